// fetch/fixture.h: what the tests of fetching share.
#pragma once

#include "base/file.h" // before cmocka.h, which has a macro fail()
#include "base/log.h"
#include "fetch/download.h"
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/types.h>

#include <cmocka.h>

extern char scratch[64], cache[128]; // HOME, and our folder in it
extern struct file_map served;       // what the server has: a small weight file
extern int port;
extern char digest[DIGEST_TEXT];
extern char hashed[32];              // "data-XXXXXXXX.pth": a name that holds the digest's beginning
extern char logged[16384];           // log lines since the test began
extern graft_progress last;
extern int progressed;
extern volatile sig_atomic_t interrupted;

void prepare(void);      // before all tests: the home, the file, the server
int fresh(void **state); // before each test
void folder_remove(const char *folder);
void put_file(const char *folder, const char *name, const void *data, size_t size);
bool there(const char *name);    // in the cache
off_t size_of(const char *name); // -1: not there
void check_text(const char *text, const char *part);
void check_message(const char *part);
void check_logged(const char *part);
// A file under this name, asked for with this manner of the server.
struct published offered(const char *manner, const char *name);
graft_status get(const char *manner, const char *name, struct found_file *out);
void assert_whole(const char *name, struct found_file *f); // it came whole, and nothing else is left in the folder
void assert_gets(const char *manner, const char *name);
void assert_fails(const char *manner, const char *name, const char *reason, int hits);
#define TEST(name) cmocka_unit_test_setup(name, fresh)
