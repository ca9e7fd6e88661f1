// data/quarantine.c: moving broken pictures out of a data set.  Nothing is deleted or overwritten: a file is renamed to
// a name that does not exist, or stays where it is.

#include "data/exam.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { MOST_NAMES = 1000 }; // NAME, NAME.1, NAME.2, ...

// Renames unless the target exists; false: errno says why.
static bool move_new(const char *from, const char *to)
{
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
        return true;
    if (errno != EINVAL && errno != ENOSYS)
        return false;
    // A file system without that call: a second name, which fails where one exists, then the first one's end.
    return linkat(AT_FDCWD, from, AT_FDCWD, to, 0) == 0 && unlink(from) == 0;
}

// *to: heap, the new name.
static graft_status move_one(const char *from, const char *folder, const char *class_name, char **to)
{
    char *safe = mem_text(class_name); // a label out of a CSV may be anything
    for (char *c = safe; c != NULL && *c != '\0'; c++)
        *c = *c == '/' || (*c == '.' && c == safe) ? '_' : *c;
    char *inner = safe != NULL ? path_join(folder, safe) : NULL;
    mem_free(safe);
    graft_status status = inner != NULL ? file_make_folder(inner) : fail_memory("a path");
    *to = NULL;
    for (int i = 0; status == GRAFT_OK && i < MOST_NAMES; i++) {
        *to = i == 0 ? mem_format("%s/%s", inner, path_name(from)) : mem_format("%s/%s.%d", inner, path_name(from), i);
        if (*to == NULL) {
            status = fail_memory("a path");
            break;
        }
        if (move_new(from, *to))
            break;
        const int error = errno;
        mem_free(*to);
        *to = NULL;
        if (error == EXDEV)
            status = fail(GRAFT_BAD_FILE, "'%s' is on another file system than '%s'; name a folder beside the pictures",
                          from, folder);
        else if (error != EEXIST || i + 1 == MOST_NAMES)
            status = fail(GRAFT_BAD_FILE, "cannot move '%s' to '%s': %s", from, inner, strerror(error));
    }
    mem_free(inner);
    return status;
}

graft_status quarantine(const struct dataset *d, const struct exam *exams, const char *folder, size_t *moved)
{
    char *list = path_join(folder, "quarantine.csv");
    graft_status status = GRAFT_OK;
    *moved = 0;
    if (list == NULL)
        return fail_memory("a path");
    TRY_GOTO(file_make_folder(folder));
    if (!file_exists(list))
        TRY_GOTO(file_write_all(list, "from,to,reason\n", 15));
    for (size_t i = 0; i < d->count; i++) {
        const struct sample *s = &d->samples[i];
        char *to;
        if (exams[i].error == NULL)
            continue;
        if (s->data != NULL || s->member != NULL) {
            log_warning("%s is inside another file and stays there", s->path);
            continue;
        }
        if (move_one(s->path, folder, s->label >= 0 ? d->classes[s->label] : "unlabelled", &to) != GRAFT_OK) {
            log_warning("%s", graft_message());
            continue;
        }
        struct text row = {0};
        text_put_field(&row, s->path);
        text_put(&row, ",");
        text_put_field(&row, to);
        text_put(&row, ",");
        text_put_field(&row, exams[i].error);
        text_put(&row, "\n");
        mem_free(to);
        (*moved)++;
        status = text_status(&row);
        if (status == GRAFT_OK)
            status = file_append(list, row.data, row.size);
        text_fini(&row);
        TRY_GOTO(status);
    }
done:
    mem_free(list);
    return status;
}
