// base/memory.c: the allocator table over libc, and the count of its calls.

#include "base/memory.h"
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

struct memory_table memory = {malloc, realloc, aligned_alloc, free};
static atomic_uint_fast64_t calls;

static void *counted(void *pointer)
{
    atomic_fetch_add_explicit(&calls, 1, memory_order_relaxed);
    return pointer;
}

void *mem_alloc(size_t size) { return counted(memory.alloc(size > 0 ? size : 1)); }

void *mem_zero(size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes))
        return NULL;
    void *pointer = mem_alloc(bytes);
    if (pointer != NULL)
        memset(pointer, 0, bytes);
    return pointer;
}

void *mem_resize(void *old, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes))
        return NULL;
    return counted(memory.resize(old, bytes > 0 ? bytes : 1));
}

void *mem_aligned(size_t size)
{
    if (size > SIZE_MAX - 64)
        return NULL;
    return counted(memory.alloc_aligned(64, (size + 63) / 64 * 64 + (size == 0 ? 64 : 0)));
}

void mem_free(void *pointer) { memory.release(pointer); }

char *mem_text(const char *text)
{
    const size_t size = strlen(text) + 1;
    char *copy = mem_alloc(size);
    return copy != NULL ? memcpy(copy, text, size) : NULL;
}

char *mem_format(const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    const int length = vsnprintf(NULL, 0, format, args);
    char *text = length >= 0 ? mem_alloc((size_t)length + 1) : NULL;
    if (text != NULL)
        vsnprintf(text, (size_t)length + 1, format, again);
    va_end(again);
    va_end(args);
    return text;
}

uint64_t mem_calls(void) { return atomic_load(&calls); }

void mem_trim(void)
{
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}

uint64_t mem_resident(void)
{
    unsigned long whole, resident = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file == NULL)
        return 0;
    if (fscanf(file, "%lu %lu", &whole, &resident) != 2)
        resident = 0;
    fclose(file);
    return (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

// The first number after `key` (or at the start, key "") in a small system file; SIZE_MAX when it is not there ("max").
static size_t system_number(const char *path, const char *key)
{
    char text[4096];
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return SIZE_MAX;
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    const char *at = strstr(text, key);
    unsigned long long value;
    return at != NULL && sscanf(at + strlen(key), "%llu", &value) == 1 ? (size_t)value : SIZE_MAX;
}

// From the address space's own count: getrusage's outlives exec, so that a child tells the peak of who started it.
uint64_t mem_resident_peak(void)
{
    struct rusage usage;
    const size_t kilobytes = system_number("/proc/self/status", "VmHWM:");
    if (kilobytes != SIZE_MAX)
        return (uint64_t)kilobytes * 1024;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? (uint64_t)usage.ru_maxrss * 1024 : 0;
}

static size_t remaining(size_t limit, size_t used)
{
    return limit == SIZE_MAX || used == SIZE_MAX ? SIZE_MAX : limit > used ? limit - used : 0;
}

size_t mem_available(void)
{
    struct rlimit space;
    size_t least = system_number("/proc/meminfo", "MemAvailable:");
    if (least != SIZE_MAX)
        least *= 1024;
    const size_t group = remaining(system_number("/sys/fs/cgroup/memory.max", ""),
                                   system_number("/sys/fs/cgroup/memory.current", ""));
    least = group < least ? group : least;
    if (getrlimit(RLIMIT_AS, &space) == 0 && space.rlim_cur != RLIM_INFINITY) {
        size_t used = system_number("/proc/self/status", "VmSize:");
        used = used == SIZE_MAX ? used : used * 1024;
        const size_t left = remaining((size_t)space.rlim_cur, used);
        least = left < least ? left : least;
    }
    return least;
}

int mem_grow(void *array_pointer, size_t *capacity, size_t need, size_t size)
{
    if (need <= *capacity)
        return 1;
    void *old;
    memcpy(&old, array_pointer, sizeof old);
    const size_t grown = need > *capacity * 2 ? need + 8 : *capacity * 2;
    void *array = mem_resize(old, grown, size);
    if (array == NULL)
        return 0;
    memcpy(array_pointer, &array, sizeof array);
    *capacity = grown;
    return 1;
}
