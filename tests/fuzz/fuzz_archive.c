// fuzz/fuzz_archive.c: libFuzzer's entry over tar and zip archives: listing, and reading every member.
// In: any bytes.  A crash, a leak, a hang or a read outside them is the bug; a refusal is fine.  Seeds:
// golden/data/archives/.

#include "data/archive.h"
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int fd = -1;
    char path[64];
    struct archive *a;
    size_t n;
    if (fd < 0)
        fd = memfd_create("archive", 0);
    ASSERT(fd >= 0 && ftruncate(fd, 0) == 0 && pwrite(fd, data, size, 0) == (ssize_t)size);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (archive_open(path, &a) != GRAFT_OK)
        return 0;
    const struct member *m = archive_members(a, &n);
    for (size_t i = 0; i < n; i++) {
        struct file_map map;
        if (member_read(&m[i], m[i].name, 1 << 20, &map) == GRAFT_OK)
            file_map_close(&map);
    }
    archive_free(a);
    return 0;
}
