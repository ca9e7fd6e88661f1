// train/twins.c: near duplicates across the split, found from what the first epoch has loaded.

#include "train/twins.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"
#include "data/fingerprint.h"

enum { SHOWN = 5 };

static graft_status pairs_write(const char *folder, const struct dataset *d, const struct twins *pairs, size_t n)
{
    struct text t = {0};
    char *path = path_join(folder, "near_duplicates.csv");
    text_put(&t, "held_out,trained\n");
    for (size_t i = 0; i < n; i++) {
        text_put_field(&t, d->samples[pairs[i].held_out].path);
        text_put(&t, ",");
        text_put_field(&t, d->samples[pairs[i].trained].path);
        text_put(&t, "\n");
    }
    const graft_status status = text_write(&t, path);
    mem_free(path);
    return status;
}

graft_status twins_report(const struct run_folder *f, const struct dataset *d)
{
    struct twins *pairs;
    size_t n;
    graft_status status = GRAFT_OK;
    TRY(twins_find(d, &pairs, &n));
    if (n > 0)
        log_warning("%zu of the pictures held out look like one to train on, so their figures are too good%s%s%s:", n,
                    f->save ? " (all pairs: " : "", f->save ? f->path : "", f->save ? "/near_duplicates.csv)" : "");
    for (size_t i = 0; i < n && i < SHOWN; i++)
        log_warning("  %s  looks like  %s", d->samples[pairs[i].held_out].path, d->samples[pairs[i].trained].path);
    if (n > 0 && f->save)
        status = pairs_write(f->path, d, pairs, n);
    mem_free(pairs);
    return status;
}
