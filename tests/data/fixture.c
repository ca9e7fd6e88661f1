// data/fixture.c: golden pictures, a scratch folder, comparing.

#include "data/fixture.h"
#include "base/memory.h"
#include "scratch.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef GRAFT_SOURCE
#define GRAFT_SOURCE "."
#endif

char scratch[64];
const struct input_spec crop_spec = {
    16, 19, RESIZE_CROP, FILTER_BICUBIC, {127, 127, 127}, {1 / 128.f, 1 / 128.f, 1 / 128.f}, 0};

const char *text(const char *format, ...)
{
    static char out[4][4096];
    static int next;
    char *at = out[next++ % 4];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(at, sizeof out[0], format, arguments);
    va_end(arguments);
    return at;
}

const char *golden(const char *name)
{
    const char *folder = getenv("GRAFT_GOLDEN");
    return text("%s/data/%s", folder != NULL ? folder : GRAFT_SOURCE "/tests/golden", name);
}

const char *put(const char *name, const void *data, size_t size)
{
    const char *path = text("%s/%s", scratch, name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    fclose(file);
    return path;
}

const char *folder(const char *name)
{
    static char paths[32][128];
    static int next;
    char *path = paths[next++];
    assert_true(next <= 32);
    snprintf(path, sizeof paths[0], "%s/%s", scratch, name);
    assert_int_equal(mkdir(path, 0700), 0);
    return path;
}

struct file_map map_of(const char *name)
{
    struct file_map map;
    if (file_map_open(golden(name), &map) != GRAFT_OK)
        fail_msg("%s", graft_message());
    return map;
}

struct picture ppm_read(const char *name)
{
    struct file_map map = map_of(name);
    struct picture p = {0};
    char head[32] = {0};
    int used;
    memcpy(head, map.data.ptr, map.data.size < 31 ? map.data.size : 31);
    assert_int_equal(sscanf(head, "P6 %d %d 255%n", &p.w, &p.h, &used), 2);
    const size_t size = (size_t)p.w * p.h * 3;
    assert_int_equal(map.data.size, (size_t)used + 1 + size);
    p.rgb = mem_alloc(size);
    memcpy(p.rgb, map.data.ptr + used + 1, size);
    file_map_close(&map);
    return p;
}

void same(const struct picture *a, const struct picture *b, int tolerance, const char *what)
{
    if (a->w != b->w || a->h != b->h)
        fail_msg("%s: %dx%d, expected %dx%d", what, a->w, a->h, b->w, b->h);
    for (int i = 0; i < a->w * a->h * 3; i++)
        if (abs(a->rgb[i] - b->rgb[i]) > tolerance)
            fail_msg("%s: pixel %d, %d channel %d is %d, expected %d", what, i / 3 % a->w, i / 3 / a->w, i % 3,
                     a->rgb[i], b->rgb[i]);
}

void copy_to(const char *name, const char *path)
{
    struct file_map map = map_of(name);
    put(path, map.data.ptr, map.data.size);
    file_map_close(&map);
}

int scratch_make(void **state)
{
    (void)state;
    return temporary_make(scratch, sizeof scratch);
}

int scratch_remove(void **state)
{
    (void)state;
    return temporary_remove(scratch);
}

