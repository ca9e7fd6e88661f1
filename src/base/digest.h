// base/digest.h: SHA-256 and MD5 of files, for checking downloads and naming where weights came from.
// MD5 only because Keras publishes it: it finds damage, not malice.
#pragma once

#include "base/bytes.h"

enum digest_kind { DIGEST_SHA256, DIGEST_MD5 };
enum { DIGEST_TEXT = 65 }; // the longest digest in lower-case hexadecimal, and its end

typedef void digest_blocks(uint32_t *state, const uint8_t *block, size_t n);
struct digest {
    enum digest_kind kind;
    digest_blocks *blocks;
    uint32_t state[8];
    uint64_t size; // bytes so far
    uint8_t rest[64]; // size % 64 of them
};
digest_blocks digest_sha256_plain; // for machines without the instructions; tests put it into `blocks`
void digest_init(struct digest *d, enum digest_kind kind);
void digest_add(struct digest *d, const void *data, size_t size);
void digest_end(struct digest *d, char text[DIGEST_TEXT]);
const char *digest_name(enum digest_kind kind); // "SHA-256"
// Of a file's bytes.  Watches hooks_cancelled, since a large file takes seconds.
graft_status digest_file(const char *path, enum digest_kind kind, char text[DIGEST_TEXT]);
