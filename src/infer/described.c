// infer/described.c: see infer/described.h.

#include "infer/described.h"
#include "base/file.h"
#include "base/memory.h"
#include <string.h>

static char *file_of(const char *path, const char *name) // heap
{
    return strcmp(path_name(path), name) == 0 ? mem_text(path) : path_join(path, name);
}

bool described_is(const char *path, const char *name)
{
    char *file = file_of(path, name);
    const bool found = file != NULL && file_exists(file);
    mem_free(file);
    return found;
}

graft_status described_read(const char *path, const char *name,
                            graft_status (*take)(const json_t *o, const char *folder, void *out), void *out)
{
    char *file = file_of(path, name), *folder = file != NULL ? mem_text(file) : NULL;
    json_t *o = NULL;
    graft_status status = GRAFT_OK;
    if (folder == NULL)
        TRY_GOTO(fail_memory("a path"));
    folder[path_name(folder) - folder] = '\0';
    TRY_GOTO(json_read_file(file, &o));
    status = take(o, folder[0] != '\0' ? folder : ".", out);
    if (status != GRAFT_OK)
        fail_prefix(status, "%s", file);
done:
    json_decref(o);
    mem_free(file);
    mem_free(folder);
    return status;
}
