// api/run_pull.c: `graft pull`: published weights onto this machine, or a list of them.

#include "api/run.h"
#include "base/log.h"
#include "base/memory.h"
#include "fetch/fetch.h"
#include <string.h>

static graft_status pull_one(const graft_options *o, const struct network *net)
{
    struct found_file f;
    TRY(fetch_weights(net, &(struct fetch_request){.offline = option_set(o, "offline"), .again = true}, &f));
    result_take(json_pack("{s:s, s:s, s:s, s:s, s:I, s:s, s:b}", "network", net->name, "file", f.file, "path", f.path,
                          "source", place_names[f.place], "bytes", (json_int_t)f.size,
                          f.kind == DIGEST_MD5 ? "md5" : "sha256", f.digest, "publishers_digest", f.publishers));
    found_file_free(&f);
    return GRAFT_OK;
}

// A row a file; "path" where it is here.
static graft_status list_one(const struct network *net)
{
    for (int i = 0; net->files[i] != NULL; i++) {
        struct network one = *net; // with this file alone
        const char *const files[] = {net->files[i], NULL};
        const struct published *p = published_find(net->files[i]);
        struct found_file here;
        char *url = NULL;
        one.files = files;
        if (p != NULL && p->url != NULL)
            TRY(fetch_url(p, true, &url));
        const graft_status status = fetch_locate(&one, &(struct fetch_request){0}, &here);
        if (status == GRAFT_OK)
            result_take(json_pack("{s:s, s:s, s:s?, s:s?}", "network", net->name, "file", net->files[i], "url", url,
                                  "path", here.path));
        mem_free(url);
        found_file_free(&here);
        TRY(status);
    }
    return GRAFT_OK;
}

static graft_status list(const graft_options *o)
{
    const int count = o->n_inputs > 0 ? (int)o->n_inputs : zoo_count();
    for (int i = 0; i < count; i++)
        TRY(list_one(o->n_inputs > 0 ? zoo_find(o->inputs[i]) : zoo_at(i)));
    return GRAFT_OK;
}

graft_status run_pull(const graft_options *o)
{
    size_t failed = 0;
    graft_status status = GRAFT_OK;
    TRY(networks_check(o));
    if (option_set(o, "list"))
        return list(o);
    if (o->n_inputs == 0)
        return fail(GRAFT_BAD_OPTION, "which networks? graft pull NET...; graft pull --list shows them");
    for (size_t i = 0; i < o->n_inputs; i++) {
        const graft_status one = pull_one(o, zoo_find(o->inputs[i]));
        if (one != GRAFT_OK && (one != GRAFT_BAD_FILE || o->n_inputs == 1))
            return one;
        if (one != GRAFT_OK) {
            log_warning("%s: %s", o->inputs[i], graft_message());
            status = one;
            failed++;
        }
    }
    return status == GRAFT_OK
               ? status
               : fail(status, "%zu of %zu networks were not pulled (the reasons are above)", failed, o->n_inputs);
}
