// fetch/fetch.h: published weights: which files, where they are on this machine, and getting those that are not.
// A file lies in $XDG_CACHE_HOME/graft (else ~/.cache/graft), or where Keras (~/.keras/models) and PyTorch
// (~/.cache/torch/hub/checkpoints; timm: ~/.cache/huggingface/hub) have left it; theirs are used in place and never
// changed.  $GRAFT_MIRROR (an http: or https: URL) replaces the publishers' folders: MIRROR/FILE is asked for.
#pragma once

#include "base/digest.h"
#include "zoo/zoo.h"

// A file as its publisher offers it.
struct published {
    const char *file;  // its name in the caches
    const char *url;   // NULL: not to be had as one file; the row knows its digest
    double mib;        // as the publisher says, for people and for a limit; 0: not said
    const char *md5;   // the publisher's, or NULL.  A SHA-256 prefix is part of PyTorch's file names
};
const struct published *published_find(const char *file); // the one with a URL, if any; NULL: not known
// What the publisher's digest of `file` is made with (SHA-256 where none is known) ...
enum digest_kind published_kind(const char *file);
// ... and whether `digest`, of that kind, is it.  `*expected`, if not NULL, is what was, or NULL where none is known.
enum published_match { PUBLISHED_SAME, PUBLISHED_DIFFERS, PUBLISHED_UNKNOWN };
enum published_match published_match(const char *file, const char *digest, char expected[DIGEST_TEXT]);

enum place { PLACE_CACHE, PLACE_KERAS, PLACE_TORCH, PLACE_HUB, PLACE_DOWNLOADED };
extern const char *const place_names[]; // "cache", "keras", "torch", "hub", "downloaded"
struct found_file {
    char *path; // heap; NULL: not here
    const char *file;
    enum place place;
    uint64_t size;
    enum digest_kind kind;     // after fetch_weights:
    char digest[DIGEST_TEXT];  // the file's
    bool publishers;           // is the publisher's; else recorded on first use and the same since
};
struct fetch_request {
    bool offline;  // never touch the network
    bool variants; // "vgg16" leaves the variant open: Keras's file will do if it is here, the file decides the variant
    bool head;     // a file without the classifier (no-top) will not do
    bool again;    // check the bytes even if they were checked before, and replace our cached file if it is damaged
};
// The path of a network's published weights, checked against their digest; downloaded first if need be.
graft_status fetch_weights(const struct network *net, const struct fetch_request *request, struct found_file *out);
// Where they are, unchecked and without any network.  out->path stays NULL when they are not here.
graft_status fetch_locate(const struct network *net, const struct fetch_request *request, struct found_file *out);
void found_file_free(struct found_file *f); // contents
// The URL a file would be downloaded from, heap; to be shown: without the name and password that $GRAFT_MIRROR may
// hold.  Fails on a $GRAFT_MIRROR that is none.
graft_status fetch_url(const struct published *p, bool shown, char **out);
