// zoo/keys.h: private to zoo/: a weight file's names and those a network expects, as sorted keys.
#pragma once

#include "zoo/families.h"

enum { NAME_SIZE = 256 };
struct key { char *text; int index; }; // of a tensor, or of a parameter
struct keys { struct key *items; size_t count, capacity; };
void keys_free(struct keys *keys);

enum form { BY_NAME, BY_CLASS, BY_PLACE }; // how layers are told
struct found {          // the file's keys; `placed` only for Keras's
    struct keys named, placed;
    bool keras;
    enum form form;     // of `named`
};
graft_status found_read(const struct tensor_set *set, struct found *out);
static inline const struct keys *keys_of(const struct found *found, enum form form)
{
    return form == BY_PLACE ? &found->placed : &found->named;
}
graft_status keys_expected(const struct network *net, const struct graph *g, const struct dialect *dialect,
                           enum form form, struct keys *out);
