// base/memory.h: the one allocator table.  Every allocation of graft goes through it, so tests can fail any call and
// count them.  Callers check for NULL and report fail_memory().
#pragma once

#include <stddef.h>
#include <stdint.h>

struct memory_table {
    void *(*alloc)(size_t size);              // uninitialised
    void *(*resize)(void *old, size_t size);
    void *(*alloc_aligned)(size_t alignment, size_t size);
    void (*release)(void *pointer);           // of any of the three; NULL is fine
};
extern struct memory_table memory; // replaced by tests only, before threads start

void *mem_alloc(size_t size);
void *mem_zero(size_t count, size_t size); // zeroed; NULL when count * size overflows
void *mem_resize(void *old, size_t count, size_t size);
void *mem_aligned(size_t size);            // 64-byte aligned, uninitialised
void mem_free(void *pointer);
char *mem_text(const char *text);          // a copy
char *mem_format(const char *format, ...) __attribute__((format(printf, 1, 2)));
uint64_t mem_calls(void);                  // allocations since the start, all threads
void mem_trim(void);                       // what was freed goes back to the system where that is possible
uint64_t mem_resident(void);               // bytes: the process's resident set now; 0: not known
uint64_t mem_resident_peak(void);          // bytes: the process's peak resident set, from the kernel
// Bytes that this process may still take: the least of what the machine has available, its control group's limit
// (cgroup v2) and its address-space limit leave; SIZE_MAX where none of them can be read.
size_t mem_available(void);

// Grows *array (elements of `size`) so that it holds at least `need`; false when memory is out.
int mem_grow(void *array_pointer, size_t *capacity, size_t need, size_t size);
