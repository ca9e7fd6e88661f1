// base/fixture.c: the scratch folder, and calls that fail in turn.

#include "fixture.h"
#include "base/memory.h"
#include "scratch.h"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

char folder[256];
long fail_at = -1, call_number;
bool fails(void) { return call_number++ == fail_at; }

bytes text_bytes(const char *text) { return (bytes){(const uint8_t *)text, strlen(text)}; }

void check_message(const char *part)
{
    if (strstr(graft_message(), part) == NULL)
        fail_msg("the message '%s' lacks '%s'", graft_message(), part);
}

int folder_setup(void **state)
{
    (void)state;
    return temporary_make(folder, sizeof folder);
}

int entries(bool remove)
{
    DIR *dir = opendir(folder);
    int count = 0;
    for (struct dirent *e; dir != NULL && (e = readdir(dir)) != NULL;) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        count++;
        char *path = path_join(folder, e->d_name);
        if (remove && unlink(path) != 0)
            rmdir(path);
        mem_free(path);
    }
    if (dir != NULL)
        closedir(dir);
    return count;
}

int folder_empty(void **state)
{
    (void)state;
    entries(true);
    return 0;
}

int folder_teardown(void **state)
{
    folder_empty(state);
    return rmdir(folder);
}

void check_file(const char *path, const char *text)
{
    struct file_map map;
    assert_int_equal(file_map_open(path, &map), GRAFT_OK);
    assert_int_equal(map.data.size, strlen(text));
    assert_memory_equal(map.data.ptr, text, strlen(text));
    file_map_close(&map);
}
