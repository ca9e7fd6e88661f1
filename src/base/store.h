// base/store.h: a folder of blobs by key, bounded, safe to share between processes and threads, each blob verified when
// read. It is a cache: what cannot be kept is not, silently, and what is damaged is removed and was never there.
#pragma once

#include "base/bytes.h"
#include <stdbool.h>

struct store;
struct store_key {
    uint64_t a, b;
};
// Makes the folder.  Holds up to `most` bytes, beyond which blobs that nobody used since this process opened the store
// go, the oldest first; where there are none, nothing more is kept.  Processes that write at the same time may exceed
// it by a sixteenth each.
graft_status store_open(const char *folder, uint64_t most, struct store **out);
bool store_get(struct store *s, struct store_key key, bytes *out); // heap
void store_put(struct store *s, struct store_key key, const void *head, size_t head_size, const void *tail,
               size_t tail_size); // head and tail as one blob
void store_close(struct store *s); // NULL is fine
