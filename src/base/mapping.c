// base/mapping.c: see base/mapping.h.
// A mapping installs a handler of SIGBUS where it is not installed, or no longer.  A fault inside a guarded mapping
// puts zeros in the place of all that follows, and the read is repeated; any other SIGBUS goes where it would have
// gone. The handler calls nothing but mmap and reads only atomics: the table is of fixed size, and the beginning of a
// slot is written last and taken first.

#include "base/mapping.h"
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

enum { SLOTS = 512 };
static struct slot { _Atomic uintptr_t begin, end; atomic_bool cut; } slots[SLOTS]; // begin 0: free; 1: being filled
static atomic_int cuts;      // in all: 0 answers every question at once
static size_t page;
static struct sigaction before;

static struct slot *slot_of(uintptr_t at)
{
    for (int i = 0; i < SLOTS; i++)
        if (atomic_load(&slots[i].begin) > 1 && at >= atomic_load(&slots[i].begin) && at < atomic_load(&slots[i].end))
            return &slots[i];
    return NULL;
}

static void fault(int number, siginfo_t *info, void *context)
{
    const uintptr_t at = (uintptr_t)info->si_addr;
    struct slot *slot = info->si_code > 0 ? slot_of(at) : NULL; // else sent by somebody
    if (slot != NULL) {
        const uintptr_t from = at & ~(uintptr_t)(page - 1);
        if (mmap((void *)from, atomic_load(&slot->end) - from, PROT_READ,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) != MAP_FAILED) {
            atomic_store(&slot->cut, true);
            atomic_fetch_add(&cuts, 1);
            return;
        }
    }
    if (before.sa_flags & SA_SIGINFO)
        before.sa_sigaction(number, info, context);
    else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN)
        before.sa_handler(number);
    else { // the read is repeated, or what was sent is sent again, and takes its usual course
        sigaction(SIGBUS, &before, NULL);
        if (info->si_code <= 0)
            raise(SIGBUS);
    }
}

static bool install(void)
{
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    struct sigaction ours = {.sa_sigaction = fault, .sa_flags = SA_SIGINFO | SA_ONSTACK}, now;
    sigemptyset(&ours.sa_mask);
    pthread_mutex_lock(&mutex);
    page = (size_t)sysconf(_SC_PAGESIZE);
    bool there = sigaction(SIGBUS, NULL, &now) == 0;
    if (there && !((now.sa_flags & SA_SIGINFO) && now.sa_sigaction == fault)) {
        before = now;
        there = sigaction(SIGBUS, &ours, NULL) == 0;
    }
    pthread_mutex_unlock(&mutex);
    return there;
}

bool mapping_guard(void *mapping, size_t size)
{
    const bool installed = install();
    for (int i = 0; installed && i < SLOTS; i++) {
        uintptr_t nothing = 0;
        if (!atomic_compare_exchange_strong(&slots[i].begin, &nothing, 1))
            continue;
        atomic_store(&slots[i].end, (uintptr_t)mapping + size);
        atomic_store(&slots[i].cut, false);
        atomic_store(&slots[i].begin, (uintptr_t)mapping);
        return true;
    }
    return false;
}

void mapping_forget(void *mapping)
{
    struct slot *slot = slot_of((uintptr_t)mapping);
    if (slot != NULL)
        atomic_store(&slot->begin, 0);
}

bool mapping_was_cut(const void *at)
{
    if (atomic_load(&cuts) == 0)
        return false;
    const struct slot *slot = slot_of((uintptr_t)at);
    return slot != NULL && atomic_load(&slot->cut);
}
