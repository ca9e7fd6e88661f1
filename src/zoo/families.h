// zoo/families.h: private to zoo/: what each family's file gives to the table in zoo.c.
#pragma once

#include "zoo/zoo.h"
#include <string.h>

graft_status efficientnet_lite0_build(const struct network *net, struct graph *g, int size, int classes, float dropout);
graft_status efficientnet_lite0_tf_build(const struct network *net, struct graph *g, int size, int classes, float dropout);
graft_status vgg16_build(const struct network *net, struct graph *g, int size, int classes, float dropout);
graft_status vgg16_keras_build(const struct network *net, struct graph *g, int size, int classes, float dropout);

// Writes the canonical name of a file's tensor name; false when it is none of that writer's.
bool efficientnet_lite_rename(const char *name, char *out, size_t size);
bool vgg16_keras_rename(const char *name, char *out, size_t size);

// Rows up to a layer of the framework's spelling, -1: none.  Canonical names have been tried before.
int efficientnet_lite_row_named(const struct graph *g, const char *name);
int vgg16_row_named(const struct graph *g, const char *name);
