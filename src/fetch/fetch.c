// fetch/fetch.c: a network's published weights: found on this machine, else downloaded.

#include "fetch/fetch.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "fetch/cache.h"
#include "fetch/download.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

const char *const place_names[] = {"cache", "keras", "torch", "hub", "downloaded"};

void found_file_free(struct found_file *f)
{
    mem_free(f->path);
    *f = (struct found_file){0};
}

// Cuts "NAME:PASSWORD@" out of "https://NAME:PASSWORD@host/...".
static void forget_login(char *url)
{
    char *host = strstr(url, "//");
    if (host == NULL)
        return;
    host += 2;
    const size_t length = strcspn(host, "/?#");
    for (size_t i = length; i-- > 0;)
        if (host[i] == '@') {
            memmove(host, host + i + 1, strlen(host + i + 1) + 1);
            return;
        }
}

graft_status fetch_url(const struct published *p, bool shown, char **out)
{
    const char *mirror = getenv("GRAFT_MIRROR");
    if (mirror == NULL || mirror[0] == '\0')
        *out = mem_text(p->url);
    else if (strncasecmp(mirror, "http://", 7) != 0 && strncasecmp(mirror, "https://", 8) != 0)
        return fail(GRAFT_BAD_OPTION,
                    "GRAFT_MIRROR is '%s'; an http: or https: address is expected, to which /%s is added", mirror,
                    p->file);
    else
        *out = path_join(mirror, p->file);
    if (*out != NULL && shown)
        forget_login(*out);
    return *out != NULL ? GRAFT_OK : fail_memory("an address");
}

// --- where files lie -------------------------------------------------------------------------------------------------

enum { PLACES = PLACE_HUB + 1 };

// A folder that VARIABLE (if set) or HOME names; heap, or NULL where neither does.
static char *folder_of(const char *variable, const char *below_variable, const char *below_home)
{
    const char *set = getenv(variable), *home = getenv("HOME");
    if (set != NULL && set[0] == '/')
        return mem_format("%s/%s", set, below_variable);
    return home != NULL && home[0] == '/' ? mem_format("%s/%s", home, below_home) : NULL;
}

static void folders_find(char *folders[PLACES])
{
    const char *torch = getenv("TORCH_HOME");
    (void)cache_folder(&folders[PLACE_CACHE]);
    folders[PLACE_KERAS] = folder_of("KERAS_HOME", "models", ".keras/models");
    folders[PLACE_TORCH] = torch != NULL && torch[0] != '\0'
                               ? mem_format("%s/hub/checkpoints", torch)
                               : folder_of("XDG_CACHE_HOME", "torch/hub/checkpoints", ".cache/torch/hub/checkpoints");
    const char *hub = getenv("HF_HUB_CACHE"), *hugging = getenv("HF_HOME");
    folders[PLACE_HUB] = hub != NULL && hub[0] == '/' ? mem_text(hub)
                         : hugging != NULL && hugging[0] == '/'
                             ? mem_format("%s/hub", hugging)
                             : folder_of("XDG_CACHE_HOME", "huggingface/hub", ".cache/huggingface/hub");
}

// In a folder of files, by name.  The hub's lies as HUB/models--OWNER--REPOSITORY/snapshots/COMMIT/NAME, and refs/main
// names the commit.  `*out` is NULL where there can be none.
static graft_status path_in(const char *folder, enum place place, const char *file, char **out)
{
    static const char site[] = "https://huggingface.co/";
    const struct published *p = published_find(file);
    char owner[64], repository[128], name[128], commit[64];
    *out = NULL;
    if (place != PLACE_HUB) {
        *out = path_join(folder, file);
        return *out != NULL ? GRAFT_OK : fail_memory("a path");
    }
    if (p == NULL || p->url == NULL || strncmp(p->url, site, strlen(site)) != 0 ||
        sscanf(p->url + strlen(site), "%63[^/]/%127[^/]/resolve/main/%127s", owner, repository, name) != 3)
        return GRAFT_OK;
    char *reference = mem_format("%s/models--%s--%s/refs/main", folder, owner, repository);
    if (reference == NULL)
        return fail_memory("a path");
    FILE *ref = fopen(reference, "re");
    mem_free(reference);
    const bool read = ref != NULL && fscanf(ref, "%63[0-9a-f]", commit) == 1;
    if (ref != NULL)
        fclose(ref);
    if (!read)
        return GRAFT_OK;
    *out = mem_format("%s/models--%s--%s/snapshots/%s/%s", folder, owner, repository, commit, name);
    return *out != NULL ? GRAFT_OK : fail_memory("a path");
}

static void folders_free(char *folders[PLACES])
{
    for (int i = 0; i < PLACES; i++)
        mem_free(folders[i]);
}

static bool headless(const char *file) { return strstr(file, "_notop.") != NULL || strstr(file, "_no_top.") != NULL; }

// Goes through the places of a network's files, the network's own first; `use` decides about each that exists.
struct search {
    const struct fetch_request *request;
    char *folders[PLACES];
    graft_status (*use)(struct search *s, const char *path, const char *file, enum place place, bool *stop);
    struct found_file *out;
    bool damaged; // our own is there and is not what it should be
};

static graft_status search_network(struct search *s, const struct network *net, bool *stop)
{
    for (int i = 0; net->files != NULL && net->files[i] != NULL; i++)
        for (int place = 0; place < PLACES; place++) {
            struct stat st;
            if (s->folders[place] == NULL || (s->request->head && headless(net->files[i])))
                continue;
            char *path;
            TRY(path_in(s->folders[place], (enum place)place, net->files[i], &path));
            const graft_status status = path != NULL && stat(path, &st) == 0 && S_ISREG(st.st_mode)
                                            ? s->use(s, path, net->files[i], (enum place)place, stop)
                                            : GRAFT_OK;
            mem_free(path);
            if (status != GRAFT_OK || *stop)
                return status;
        }
    return GRAFT_OK;
}

static graft_status search_run(struct search *s, const struct network *net)
{
    bool stop = false;
    folders_find(s->folders);
    graft_status status = search_network(s, net, &stop);
    const bool open = s->request->variants && strchr(net->name, '.') == NULL; // the name leaves the variant open
    for (int i = 0; status == GRAFT_OK && !stop && open && i < zoo_count(); i++)
        if (zoo_at(i) != net && zoo_variants(zoo_at(i), net) &&
            strchr(zoo_at(i)->name, '@') == NULL) // not other widths
            status = search_network(s, zoo_at(i), &stop);
    folders_free(s->folders);
    return status;
}

static graft_status take(struct search *s, const char *path, const char *file, enum place place, bool *stop)
{
    s->out->path = mem_text(path);
    if (s->out->path == NULL)
        return fail_memory("a path");
    s->out->file = file;
    s->out->place = place;
    *stop = true;
    return GRAFT_OK;
}

static graft_status take_if_sound(struct search *s, const char *path, const char *file, enum place place, bool *stop)
{
    const graft_status status = cache_check(path, file, s->request->again, s->out);
    if (status == GRAFT_OK)
        return take(s, path, file, place, stop);
    if (status != GRAFT_BAD_FILE)
        return status;
    if (place != PLACE_CACHE) {
        log_warning("%s; it is left alone", graft_message());
        return GRAFT_OK;
    }
    if (s->request->again && !s->request->offline) {
        log_warning("%s", graft_message());
        return GRAFT_OK; // and is replaced
    }
    return fail(status, "%.1500s; `graft pull` replaces it, `--weights FILE` uses it all the same", graft_message());
}

// --- what the program asks for ---------------------------------------------------------------------------------------

graft_status fetch_locate(const struct network *net, const struct fetch_request *request, struct found_file *out)
{
    struct search s = {.request = request, .use = take, .out = out};
    *out = (struct found_file){0};
    return search_run(&s, net);
}

// The network's first file that can be had and has a head; NULL: none.  After it, *i.
static const struct published *offer(const struct network *net, int *i)
{
    while (net->files != NULL && net->files[*i] != NULL) {
        const char *file = net->files[(*i)++];
        const struct published *p = published_find(file);
        if (p != NULL && p->url != NULL && !headless(file))
            return p;
    }
    return NULL;
}

// The next file that is the same weights at another publisher's (timm's releases, timm's hub).  What one publisher has
// several of are other weights (torchvision's V1 and V2): nobody is given those unasked.
static const struct published *offer_elsewhere(const struct network *net, const struct published *first, int *i)
{
    const size_t host = strcspn(first->url + strlen("https://"), "/") + strlen("https://");
    for (const struct published *p; (p = offer(net, i)) != NULL;)
        if (strncmp(p->url, first->url, host) != 0)
            return p;
    return NULL;
}

// Puts behind the reason, which is the present message, what a person can do without our network.
static graft_status fail_by_hand(graft_status status, const struct network *net)
{
    int i = 0;
    const struct published *p = offer(net, &i);
    char *folder, reason[1024];
    snprintf(reason, sizeof reason, "%s", graft_message());
    TRY(cache_folder(&folder));
    if (p != NULL)
        status = fail(status, "%s.  By hand: put %s from %s into '%s', or name another file", reason, p->file, p->url,
                      folder);
    else if (net->files != NULL && net->files[0] != NULL)
        status = fail(status, "%s.  %s offers no single file of %s: put %s into '%s', or name another file", reason,
                      net->publisher, net->name, net->files[0], folder);
    else
        status = fail(status, "%s, and nobody publishes any: name a file yourself", reason);
    mem_free(folder);
    return status;
}

static graft_status fetch_new(const struct network *net, const struct fetch_request *request, struct found_file *out)
{
    char *folder = NULL, first[1024] = "";
    int i = 0;
    const struct published *p = offer(net, &i);
    graft_status status = fail(GRAFT_BAD_FILE, "there are no published weights of %s on this machine%s", net->name,
                               request->offline ? ", and --offline forbids to ask for them" : "");
    if (p == NULL || request->offline)
        return fail_by_hand(status, net);
    TRY(cache_folder(&folder));
    status = download(p, folder, request->again, out);
    if (status == GRAFT_BAD_FILE) {
        snprintf(first, sizeof first, "cannot download %s: %s", p->file, graft_message());
        for (const struct published *q; status == GRAFT_BAD_FILE && (q = offer_elsewhere(net, p, &i)) != NULL;) {
            log_warning("%s: %s; asking for %s", p->file, graft_message(), q->file);
            found_file_free(out);
            p = q;
            status = download(q, folder, request->again, out);
        }
    }
    mem_free(folder);
    return status == GRAFT_BAD_FILE ? fail_by_hand(fail(status, "%s", first), net) : status;
}

graft_status fetch_weights(const struct network *net, const struct fetch_request *request, struct found_file *out)
{
    struct search s = {.request = request, .use = take_if_sound, .out = out};
    *out = (struct found_file){0};
    graft_status status = search_run(&s, net);
    if (status == GRAFT_OK && out->path == NULL)
        status = fetch_new(net, request, out);
    if (status != GRAFT_OK)
        found_file_free(out);
    return status;
}
