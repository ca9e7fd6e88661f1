// tests/train/toy.c: the temporary folder, toy data and commands that the tests of training share.

#include "toy.h"
#include "base/json.h"
#include "base/rng.h"
#include "scratch.h"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void npy_write(const char *name, const char *type, const char *shape, const void *data, size_t size)
{
    char head[128];
    const int text =
        snprintf(head + 10, sizeof head - 10, "{'descr': '%s', 'fortran_order': False, 'shape': %s, }", type, shape);
    memcpy(head, "\x93NUMPY\x01\x00\x76\x00", 10);
    memset(head + 10 + text, ' ', sizeof head - 10 - (size_t)text);
    head[sizeof head - 1] = '\n';
    FILE *file = fopen(name, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(head, 1, sizeof head, file), sizeof head);
    assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

void toy_set(const char *name, int n, int side)
{
    const size_t area = (size_t)side * (size_t)side;
    float *x = malloc((size_t)n * area * 3 * sizeof *x);
    int64_t *y = malloc((size_t)n * sizeof *y);
    char shape[64], path[128];
    assert_true(x != NULL && y != NULL);
    assert_int_equal(file_make_folder(name), GRAFT_OK);
    for (int i = 0; i < n; i++) {
        y[i] = i % 2;
        for (size_t p = 0; p < area; p++)
            for (size_t c = 0; c < 3; c++)
                x[((size_t)i * area + p) * 3 + c] = (c == 2 * (size_t)(i % 2) ? 0.7f : -0.7f) +
                                                    0.3f * rng_unit(rng_hash(RNG_TEST, (uint64_t)i, p, c));
    }
    snprintf(shape, sizeof shape, "(%d, %d, %d, 3)", n, side, side);
    snprintf(path, sizeof path, "%s/x.npy", name);
    npy_write(path, "<f4", shape, x, (size_t)n * area * 3 * sizeof *x);
    snprintf(shape, sizeof shape, "(%d,)", n);
    snprintf(path, sizeof path, "%s/y.npy", name);
    npy_write(path, "<i8", shape, y, (size_t)n * sizeof *y);
    free(x);
    free(y);
}

int toy_setup(void **state)
{
    if (scratch_enter(state) != 0)
        return -1;
    toy_set("set", TOY_N, TOY_SIDE);
    return 0;
}

int toy_teardown(void **state) { return scratch_leave(state); }

static void line_add(char *text, size_t size, const char *line)
{
    const size_t used = strlen(text);
    snprintf(text + used, size - used, "\n%s", line);
}

static void on_log(void *user, graft_level level, const char *text)
{
    struct seen *seen = user;
    line_add(seen->log, sizeof seen->log, text);
    if (level == GRAFT_WARNING)
        line_add(seen->warnings, sizeof seen->warnings, text);
}

static void on_progress(void *user, const graft_progress *p)
{
    struct seen *seen = user;
    if (strcmp(p->stage, "train") != 0)
        return;
    seen->steps_told = p->steps;
    if (++seen->steps > 0 && seen->on_step != NULL)
        seen->on_step(seen->steps);
}

static void on_result(void *user, const char *json)
{
    struct seen *seen = user;
    json_t *o = json_loads(json, 0, NULL);
    assert_non_null(o);
    assert_null(strchr(json, '\n'));
    const json_t *loss = json_object_get(o, "train_loss");
    if (loss != NULL)
        *(seen->results == 0 ? &seen->first_loss : &seen->last_loss) = json_number_value(loss);
    seen->results++;
    json_decref(o);
}

static int cancelled(void *user)
{
    const struct seen *seen = user;
    return seen->stop_after > 0 && seen->steps >= seen->stop_after;
}

graft_status toy_run(const char *command, struct seen *seen, const char *const *arguments)
{
    graft_options *o = graft_options_new(command);
    assert_non_null(o);
    for (; *arguments != NULL; arguments += 2)
        if (arguments[0][0] == '\0')
            assert_int_equal(graft_options_add_input(o, arguments[1]), GRAFT_OK);
        else
            assert_int_equal(graft_options_set(o, arguments[0], arguments[1][0] != '\0' ? arguments[1] : NULL),
                             GRAFT_OK);
    const graft_hooks hooks = {seen, on_log, on_progress, on_result, cancelled};
    const graft_status status = graft_run(o, &hooks);
    graft_options_free(o);
    return status;
}

char *text_of_file(const char *path)
{
    struct file_map map;
    if (file_map_open(path, &map) != GRAFT_OK)
        fail_msg("%s", graft_message());
    char *text = malloc(map.data.size + 1);
    assert_non_null(text);
    memcpy(text, map.data.ptr, map.data.size);
    text[map.data.size] = '\0';
    file_map_close(&map);
    return text;
}

int files_named(const char *path, const char *part)
{
    DIR *d = opendir(path);
    int n = 0;
    assert_non_null(d);
    for (const struct dirent *e; (e = readdir(d)) != NULL;)
        n += strstr(e->d_name, part) != NULL;
    closedir(d);
    return n;
}
