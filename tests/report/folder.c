// tests/report/folder.c: run folders written by hand, and a strict look at the HTML.

#include "folder.h"
#include "scratch.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int no_sync(int fd) // thousands of small files: waiting for the disk shows nothing here
{
    (void)fd;
    return 0;
}

int folder_setup(void **state)
{
    file_ops.fsync = no_sync;
    return scratch_enter(state);
}

int folder_teardown(void **state) { return scratch_leave(state); }

void file_put_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
    assert_int_equal(fclose(file), 0);
}

char *file_text(const char *path)
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

static void put_in(const char *name, const char *file, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", name, file);
    file_put_text(path, text);
}

void run_make(const char *name)
{
    char media[256];
    snprintf(media, sizeof media, "%s/media", name);
    assert_int_equal(file_make_folder(media), GRAFT_OK);
    put_in(
        name, "events.jsonl",
        "{\"event\":\"start\",\"network\":\"vgg16\",\"train\":20,\"val\":10,\"classes\":3}\n"
        "{\"event\":\"step\",\"epoch\":1,\"step\":1,\"loss\":1.5,\"lr\":0.001}\n"
        "{\"event\":\"epoch\",\"epoch\":1,\"train_loss\":1.2,\"val_loss\":1.0,\"val_log_loss\":1.0,\"val_top1\":0.5,"
        "\"val_top5\":1,\"lr\":0.001,\"seconds\":3,\"wait_seconds\":0.5,\"forward_seconds\":1,\"backward_seconds\":1,"
        "\"update_seconds\":0.25,\"val_seconds\":0.2}\n"
        "{\"event\":\"epoch\",\"epoch\":2,\"train_loss\":0.9,\"val_loss\":0.8,\"val_log_loss\":0.8,\"val_top1\":0.7,"
        "\"val_top5\":1,\"lr\":0.0005,\"seconds\":3}\n"
        "{\"event\":\"end\",\"seconds\":6,\"skipped\":1,\"rss_mb\":100}\n");
    put_in(name, "args.json",
           "{\"command\":\"train\",\"model\":\"vgg16\",\"data\":\"my pets/it's\",\"epochs\":\"2\","
           "\"dropout\":null,\"log-steps\":true,\"no-save\":false,\"output\":\"x\"}\n");
    put_in(name, "classes.txt", "cat\ndog\nowl\n");
    put_in(name, "split.csv", "path,label,split\na.jpg,cat,train\nb.jpg,cat,train\nc.jpg,dog,train\n0.jpg,cat,val\n");
    put_in(name, "skipped.csv", "path,reason\nbad.jpg,\"bad.jpg: the file is empty\"\n");
    put_in(name, "val_predictions.csv",
           "path,label,cat,dog,owl\n0.jpg,cat,0.9,0.05,0.05\n1.jpg,cat,0.8,0.1,0.1\n2.jpg,cat,0.1,0.85,0.05\n"
           "3.jpg,cat,0.7,0.2,0.1\n4.jpg,dog,0.1,0.8,0.1\n5.jpg,dog,0.2,0.6,0.2\n6.jpg,dog,0.55,0.4,0.05\n"
           "7.jpg,owl,0.1,0.1,0.8\n8.jpg,owl,0.2,0.2,0.6\n9.jpg,owl,0.3,0.4,0.3\n");
    put_in(name, "layers.csv", "layer,forward,backward,update\nconv_stem,0.5,0.7,0.1\nclassifier,0.1,0.1,0\n");
}

static bool is_void(const char *name)
{
    static const char *const names[] = {"meta", "br", "img"};
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

enum { MOST_OPEN = 64, MOST_IDS = 512, NAME = 64 };
struct ids {
    char name[MOST_IDS][NAME];
    int n;
};

static bool has_id(const struct ids *ids, const char *name)
{
    for (int i = 0; i < ids->n; i++)
        if (strcmp(ids->name[i], name) == 0)
            return true;
    return false;
}

static void id_add(struct ids *ids, const char *value)
{
    if (has_id(ids, value))
        fail_msg("the id '%s' stands twice", value);
    assert_true(ids->n < MOST_IDS && strlen(value) < NAME);
    strcpy(ids->name[ids->n++], value);
}

// Attributes of one element; leaves `*at` on '>' or "/>".
static void attributes(const char **at, const char *element, struct ids *ids, struct ids *wanted)
{
    bool alt = false;
    for (;;) {
        while (isspace((unsigned char)**at))
            ++*at;
        if (**at == '>' || **at == '/')
            break;
        char name[NAME], value[NAME];
        const size_t length = strcspn(*at, "= >");
        assert_true(length < NAME);
        snprintf(name, sizeof name, "%.*s", (int)length, *at);
        if (strncmp(*at + length, "=\"", 2) != 0)
            fail_msg("<%s %s: no quoted value", element, name);
        const char *begin = *at + length + 2, *end = strchr(begin, '"');
        assert_non_null(end);
        for (const char *c = begin; c < end; c++)
            if (*c == '<' || *c == '>')
                fail_msg("<%s %s: a raw bracket", element, name);
        snprintf(value, sizeof value, "%.*s", (int)(end - begin), begin);
        alt |= strcmp(name, "alt") == 0;
        if (strncmp(name, "on", 2) == 0 || strstr(value, "javascript") != NULL)
            fail_msg("<%s %s: a script", element, name);
        if (strcmp(name, "id") == 0)
            id_add(ids, value);
        if (strcmp(name, "aria-labelledby") == 0)
            for (const char *word = strtok(value, " "); word != NULL; word = strtok(NULL, " "))
                if (!has_id(wanted, word))
                    id_add(wanted, word);
        if (strcmp(name, "href") == 0) {
            assert_int_equal(value[0], '#');
            if (!has_id(wanted, value + 1))
                id_add(wanted, value + 1);
        }
        if (strcmp(name, "src") == 0)
            assert_int_equal(strncmp(begin, "data:image/jpeg;base64,", 23), 0);
        *at = end + 1;
    }
    if (strcmp(element, "img") == 0 && !alt)
        fail_msg("a picture without alt");
}

void html_check(const char *html)
{
    static char open[MOST_OPEN][NAME];
    static struct ids ids, wanted;
    int depth = 0;
    ids.n = wanted.n = 0;
    assert_int_equal(strncmp(html, "<!doctype html>", 15), 0);
    for (const char *at = html + 15; (at = strchr(at, '<')) != NULL;) {
        const bool closes = at[1] == '/';
        at += 1 + closes;
        char name[NAME];
        const size_t length = strspn(at, "abcdefghijklmnopqrstuvwxyz0123456789");
        assert_true(length > 0 && length < NAME);
        snprintf(name, sizeof name, "%.*s", (int)length, at);
        at += length;
        assert_string_not_equal(name, "script");
        if (closes) {
            assert_true(depth > 0);
            if (strcmp(open[--depth], name) != 0)
                fail_msg("</%s> closes <%s>: %.60s", name, open[depth], at);
            assert_int_equal(*at, '>');
            continue;
        }
        attributes(&at, name, &ids, &wanted);
        if (*at == '/') {
            assert_int_equal(at[1], '>');
            continue;
        }
        if (is_void(name))
            fail_msg("<%s> is not closed", name);
        assert_true(depth < MOST_OPEN);
        strcpy(open[depth++], name);
        if (strcmp(name, "style") == 0)
            at = strstr(at, "</style>");
    }
    assert_int_equal(depth, 0);
    for (int i = 0; i < wanted.n; i++)
        if (!has_id(&ids, wanted.name[i]))
            fail_msg("nothing has the id '%s'", wanted.name[i]);
    for (const char *at = html; (at = strchr(at, '&')) != NULL; at++)
        if (strcspn(at, ";") > 8)
            fail_msg("a bare &: %.40s", at);
    assert_null(strstr(html, "http:"));
    assert_null(strstr(html, "https:"));
    assert_null(strstr(html, "nan"));
}
