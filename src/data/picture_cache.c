// data/picture_cache.c: decoded, resized pictures kept in memory or in a folder.
// Key: the file's bytes (XXH64 and size), what they were made into (sides, filter, profile), and the version of this
// code.  The bytes are read once a run; later the file's size and time of change stand for them.
// A picture is kept at the size that the resize rule gives it (whole, nothing cut off), times how far augmentation
// zooms in at most, up to MOST_ZOOM, and never larger than it is.  At that size a later resize takes the pixels as they
// are, so that without zoom the network sees the same bits as without a cache.
// A blob of the folder:  the pixels | struct facts.

#include "data/picture_cache.h"
#include "base/hash.h"
#include "base/memory.h"
#include "base/store.h"
#include "data/archive.h"
#include "data/decode.h"
#include "data/resize.h"
#include <math.h>
#include <stdatomic.h>
#include <string.h>

enum { FORMAT = 1 }; // changes with what a decoder or the resize makes of the same file
static const double MOST_ZOOM = 2;
static const uint64_t DISK_DEFAULT = (uint64_t)20 << 30;

struct facts {
    int32_t w, h, full_w, full_h;
    uint32_t traits;
};
struct kept_picture {
    uint64_t stamp;
    bool plain;
    struct picture picture;
};
struct known { // of a sample's file
    _Atomic(struct kept_picture *) kept;
    atomic_uint_fast64_t stamp, content, size; // content and size hold while the stamp does; 0: not known yet
};
struct picture_cache {
    struct store *store; // NULL: in memory
    double zoom;
    uint64_t most;
    atomic_uint_fast64_t used;
    struct known *known; // by sample
    size_t count;
};

double augment_zoom(const struct augment *a)
{
    double zoom = 1;
    if (a->on[AUGMENT_SCALE])
        zoom *= fmax(1, a->b[AUGMENT_SCALE]);
    if (a->on[AUGMENT_CROP])
        zoom *= sqrt(4 / (3 * a->a[AUGMENT_CROP])); // of the narrower side
    return fmin(zoom, MOST_ZOOM);
}

graft_status picture_cache_open(const char *folder, uint64_t most, double zoom, size_t count,
                                struct picture_cache **out)
{
    struct picture_cache *c = mem_zero(1, sizeof *c);
    graft_status status = GRAFT_OK;
    *out = NULL;
    if (c == NULL)
        return fail_memory("the cache of pictures");
    c->zoom = zoom;
    c->count = count;
    c->most = most > 0 ? most : folder != NULL ? DISK_DEFAULT : mem_available() / 2;
    c->known = mem_zero(count, sizeof *c->known);
    if (c->known == NULL)
        TRY_GOTO(fail_memory("the cache of pictures"));
    if (folder != NULL)
        TRY_GOTO(store_open(folder, c->most, &c->store));
done:
    if (status != GRAFT_OK)
        picture_cache_close(c);
    else
        *out = c;
    return status;
}

void picture_cache_close(struct picture_cache *c)
{
    if (c == NULL)
        return;
    for (size_t i = 0; c->known != NULL && i < c->count; i++) {
        struct kept_picture *kept = atomic_load(&c->known[i].kept);
        if (kept != NULL)
            picture_free(&kept->picture);
        mem_free(kept);
    }
    store_close(c->store);
    mem_free(c->known);
    mem_free(c);
}

static struct store_key key_of(const struct picture_cache *c, const struct input_spec *spec, bool plain,
                               const struct known *known)
{
    const uint64_t content = atomic_load(&known->content);
    struct {
        uint64_t content, size;
        double zoom;
        int32_t format, rule, filter, side, resize, icc;
    } what = {content, atomic_load(&known->size), plain ? 1 : c->zoom, FORMAT, spec->rule, spec->filter, spec->size,
              spec->resize, spec->icc};
    return (struct store_key){content, hash_of((bytes){(const uint8_t *)&what, sizeof what})};
}

// `take_p` at the size that is kept.
static graft_status shrink(struct picture *take_p, const struct input_spec *spec, double zoom, struct picture *out)
{
    const struct box box = box_of(spec, take_p->w, take_p->h);
    const int w = (int)fmin(take_p->w, ceil(box.full_w * zoom)), h = (int)fmin(take_p->h, ceil(box.full_h * zoom));
    const int full_w = take_p->w, full_h = take_p->h;
    const unsigned traits = take_p->traits;
    graft_status status = GRAFT_OK;
    if (w == full_w && h == full_h) {
        *out = *take_p;
    } else {
        status = picture_resize(take_p, w, h, spec->filter, out);
        picture_free(take_p);
    }
    out->full_w = full_w;
    out->full_h = full_h;
    out->traits = traits;
    return status;
}

static bool from_store(struct picture_cache *c, struct store_key key, struct picture *out)
{
    bytes blob;
    struct facts facts;
    if (!store_get(c->store, key, &blob))
        return false;
    if (blob.size > sizeof facts) {
        const size_t size = blob.size - sizeof facts;
        memcpy(&facts, blob.ptr + size, sizeof facts);
        if (facts.w > 0 && facts.h > 0 && facts.w <= MAX_SIDE && facts.h <= MAX_SIDE &&
            size == (size_t)facts.w * (size_t)facts.h * 3) {
            *out = (struct picture){.rgb = (uint8_t *)blob.ptr, .w = facts.w, .h = facts.h, .full_w = facts.full_w,
                                    .full_h = facts.full_h, .traits = facts.traits};
            return true;
        }
    }
    mem_free((void *)blob.ptr);
    return false;
}

// Into the cache; *kept: it has the picture now.
static void keep(struct picture_cache *c, struct known *known, struct store_key key, uint64_t stamp, bool plain,
                 struct picture *p, bool *kept)
{
    const size_t size = (size_t)p->w * p->h * 3;
    if (c->store != NULL) {
        const struct facts facts = {p->w, p->h, p->full_w, p->full_h, p->traits};
        store_put(c->store, key, p->rgb, size, &facts, sizeof facts);
        return;
    }
    struct kept_picture *none = NULL, *mine;
    if (atomic_fetch_add(&c->used, size) + size > c->most || (mine = mem_alloc(sizeof *mine)) == NULL) {
        atomic_fetch_sub(&c->used, size);
        return;
    }
    *mine = (struct kept_picture){stamp, plain, *p};
    *kept = atomic_compare_exchange_strong(&known->kept, &none, mine);
    if (!*kept) { // another thread's, of the file as it was or for another purpose
        mem_free(mine);
        atomic_fetch_sub(&c->used, size);
    }
}

graft_status picture_cache_get(struct picture_cache *c, const struct dataset *d, size_t index,
                               const struct input_spec *spec, bool plain, struct picture *out, bool *kept)
{
    const struct sample *s = &d->samples[index];
    struct known *known = &c->known[index];
    const uint64_t stamp = sample_stamp(d, index);
    const struct kept_picture *here = atomic_load(&known->kept);
    struct file_map map = {0};
    struct picture whole = {0};
    graft_status status = GRAFT_OK;
    *out = (struct picture){0};
    ASSERT(index < c->count);
    *kept = here != NULL && stamp != 0 && here->stamp == stamp && here->plain == plain;
    if (*kept) {
        *out = here->picture;
        return GRAFT_OK;
    }
    if (c->store != NULL && stamp != 0 && atomic_load(&known->stamp) == stamp &&
        from_store(c, key_of(c, spec, plain, known), out))
        return GRAFT_OK;
    TRY(sample_open(d, index, &map));
    if (c->store != NULL) {
        atomic_store(&known->content, hash_of(map.data));
        atomic_store(&known->size, map.data.size);
        atomic_store(&known->stamp, stamp);
        if (from_store(c, key_of(c, spec, plain, known), out))
            goto done;
    }
    TRY_GOTO(picture_decode_as(map.data, s->path, &(struct decode_job){.icc = spec->icc}, &whole));
    TRY_GOTO(shrink(&whole, spec, plain ? 1 : c->zoom, out));
    keep(c, known, key_of(c, spec, plain, known), stamp, plain, out, kept);
done:
    file_map_close(&map);
    return status;
}
