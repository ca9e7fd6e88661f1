// fetch/test_caches.c: the caches of Keras, PyTorch and the hub, records of first use, networks by name, the table of
// what is published.

#include "fixture.h"
#include "base/memory.h"
#include "fetch/cache.h"
#include "fetch/http.h"
#include "server.h"
#include "weights/weights.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static graft_status want(const struct network *net, bool offline, bool again, struct found_file *out)
{
    return fetch_weights(net, &(struct fetch_request){.offline = offline, .again = again}, out);
}

static void test_caches_of_others(void **state)
{
    static const struct { const char *folder; enum place place; } places[] = {
        {".cache/graft", PLACE_CACHE}, {".keras/models", PLACE_KERAS}, {".cache/torch/hub/checkpoints", PLACE_TORCH}};
    const char *const files[] = {hashed, NULL};
    const struct network net = {.name = "net", .publisher = "nobody", .files = files};
    for (size_t i = 0; i < COUNT_OF(places); i++) {
        char folder[256], path[512];
        struct found_file f;
        fresh(state);
        snprintf(folder, sizeof folder, "%s/%s", scratch, places[i].folder);
        snprintf(path, sizeof path, "%s/%s", folder, hashed);
        assert_int_equal(want(&net, true, false, &f), GRAFT_BAD_FILE);
        check_message("nobody offers no single file of net: put data-");
        put_file(folder, hashed, served.data.ptr, served.data.size);
        assert_int_equal(fetch_locate(&net, &(struct fetch_request){0}, &f), GRAFT_OK);
        assert_string_equal(f.path, path);
        found_file_free(&f);
        assert_int_equal(want(&net, true, false, &f), GRAFT_OK);
        assert_string_equal(f.path, path); // used where it lies
        assert_int_equal(f.place, places[i].place);
        assert_true(f.publishers);
        found_file_free(&f);
        // another file under that name
        put_file(folder, hashed, "something else", 14);
        assert_int_equal(want(&net, true, false, &f), GRAFT_BAD_FILE);
        check_text(places[i].place == PLACE_CACHE ? graft_message() : logged,
                   "is not the file that is published under that name");
        assert_true(file_exists(path));
    }
}

static void test_folders_by_variables(void **state)
{
    static const struct { const char *variable, *below; } places[] = {
        {"XDG_CACHE_HOME", "graft"}, {"KERAS_HOME", "models"}, {"TORCH_HOME", "hub/checkpoints"},
        {"XDG_CACHE_HOME", "torch/hub/checkpoints"}};
    const char *const files[] = {hashed, NULL};
    const struct network net = {.name = "net", .publisher = "nobody", .files = files};
    for (size_t i = 0; i < COUNT_OF(places); i++) {
        char folder[256], value[128];
        struct found_file f;
        fresh(state);
        snprintf(value, sizeof value, "%s/elsewhere", scratch);
        snprintf(folder, sizeof folder, "%s/%s", value, places[i].below);
        put_file(folder, hashed, served.data.ptr, served.data.size);
        setenv(places[i].variable, value, 1);
        const graft_status status = want(&net, true, false, &f);
        unsetenv(places[i].variable);
        assert_int_equal(status, GRAFT_OK);
        found_file_free(&f);
    }
    unsetenv("HOME");
    struct found_file f;
    assert_int_equal(want(zoo_find("vgg16"), true, false, &f), GRAFT_BAD_FILE);
    setenv("HOME", scratch, 1);
    check_message("neither XDG_CACHE_HOME nor HOME");
}

static void test_hub(void **state)
{
    char folder[256];
    struct found_file f;
    (void)state;
    const struct network *lite = zoo_find("efficientnet_lite0");
    snprintf(folder, sizeof folder, "%s/.cache/huggingface/hub/models--timm--tf_efficientnet_lite0.in1k/refs", scratch);
    put_file(folder, "main", "0123abc\n", 8);
    assert_int_equal(want(lite, true, false, &f), GRAFT_BAD_FILE);
    snprintf(folder, sizeof folder,
             "%s/.cache/huggingface/hub/models--timm--tf_efficientnet_lite0.in1k/snapshots/0123abc", scratch);
    put_file(folder, "model.safetensors", served.data.ptr, served.data.size);
    assert_int_equal(want(lite, true, false, &f), GRAFT_OK);
    assert_int_equal(f.place, PLACE_HUB);
    check_text(f.path, "/snapshots/0123abc/model.safetensors");
    assert_string_equal(f.file, "tf_efficientnet_lite0.safetensors");
    found_file_free(&f);
}

static void test_first_use_is_remembered(void **state)
{
    const char *const files[] = {"plain.safetensors", NULL};
    const struct network net = {.name = "net", .publisher = "nobody", .files = files};
    struct found_file f;
    (void)state;
    put_file(cache, "plain.safetensors", served.data.ptr, served.data.size);
    assert_int_equal(want(&net, true, false, &f), GRAFT_OK);
    assert_false(f.publishers);
    assert_string_equal(f.digest, digest);
    found_file_free(&f);
    assert_true(there("plain.safetensors.json"));
    // a byte is turned, the length stays
    char *bent = mem_alloc(served.data.size);
    memcpy(bent, served.data.ptr, served.data.size);
    bent[served.data.size / 2] ^= 1;
    put_file(cache, "plain.safetensors", bent, served.data.size);
    assert_int_equal(want(&net, true, false, &f), GRAFT_BAD_FILE);
    check_message("has changed since it was first used");
    check_message(digest);
    // the same with the old time: only a check of the bytes finds it, which `pull` makes
    char path[512];
    snprintf(path, sizeof path, "%s/plain.safetensors", cache);
    put_file(cache, "plain.safetensors", served.data.ptr, served.data.size);
    assert_int_equal(want(&net, true, false, &f), GRAFT_OK);
    found_file_free(&f);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    FILE *file = fopen(path, "r+");
    assert_non_null(file);
    fseek(file, 100, SEEK_SET);
    fputc('!', file);
    fclose(file);
    const struct timespec times[2] = {st.st_atim, st.st_mtim};
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
    assert_int_equal(want(&net, true, false, &f), GRAFT_OK);
    found_file_free(&f);
    assert_int_equal(want(&net, true, true, &f), GRAFT_BAD_FILE);
    // a damaged record is as good as none
    put_file(cache, "plain.safetensors", bent, served.data.size);
    put_file(cache, "plain.safetensors.json", "{\"path\"", 7);
    assert_int_equal(want(&net, true, false, &f), GRAFT_OK);
    found_file_free(&f);
    mem_free(bent);
}

static void test_networks_are_pulled(void **state)
{
    char mirror[128];
    struct found_file f;
    const struct network *lite = zoo_find("efficientnet_lite0");
    (void)state;
    assert_int_equal(want(lite, true, false, &f), GRAFT_BAD_FILE);
    check_message("--offline forbids");
    check_message("tf_efficientnet_lite0-0aa007d2.pth from https://github.com/");
    check_message(cache);
    assert_int_equal(server_hits("hub"), 0);
    // the first of its files is not to be had, the second is
    snprintf(mirror, sizeof mirror, "http://127.0.0.1:%d/hub", port);
    setenv("GRAFT_MIRROR", mirror, 1);
    assert_int_equal(want(lite, false, false, &f), GRAFT_OK);
    assert_int_equal(f.place, PLACE_DOWNLOADED);
    assert_int_equal(server_hits("hub"), 2);
    assert_whole("tf_efficientnet_lite0.safetensors", &f);
    // damaged: what uses it refuses it, a pull replaces it
    put_file(cache, "tf_efficientnet_lite0.safetensors", "damage", 6);
    assert_int_equal(want(lite, false, false, &f), GRAFT_BAD_FILE);
    check_message("`graft pull` replaces it");
    assert_int_equal(want(lite, false, true, &f), GRAFT_OK);
    assert_whole("tf_efficientnet_lite0.safetensors", &f);
    // torchvision's second file of the network is other weights: nobody is given those instead
    assert_int_equal(want(zoo_find("resnet50"), false, false, &f), GRAFT_BAD_FILE);
    assert_int_equal(server_hits("hub"), 5); // one more than before: the first file only
    // a server without any of them
    fresh(state);
    snprintf(mirror, sizeof mirror, "http://127.0.0.1:%d/missing", port);
    setenv("GRAFT_MIRROR", mirror, 1);
    assert_int_equal(want(lite, false, false, &f), GRAFT_BAD_FILE);
    check_message("cannot download tf_efficientnet_lite0-0aa007d2.pth: the server answers 404");
    check_message("By hand: put tf_efficientnet_lite0-0aa007d2.pth");
}

static void test_variants_and_heads(void **state)
{
    const char *const own[] = {"one.safetensors", NULL}, *const notop[] = {"one_notop.h5", "one.h5", NULL};
    const struct network net = {.name = "net", .publisher = "nobody", .files = own};
    const struct network other = {.name = "other", .publisher = "nobody", .files = notop};
    struct found_file f;
    (void)state;
    put_file(cache, "one_notop.h5", "x", 1);
    assert_int_equal(fetch_locate(&net, &(struct fetch_request){.variants = true}, &f), GRAFT_OK);
    assert_null(f.path);
    assert_int_equal(fetch_locate(&other, &(struct fetch_request){.head = true}, &f), GRAFT_OK);
    assert_null(f.path);
    assert_int_equal(fetch_locate(&other, &(struct fetch_request){0}, &f), GRAFT_OK);
    assert_non_null(f.path);
    found_file_free(&f);
    // vgg16 takes Keras's file too where any variant will do
    put_file(cache, "vgg16_weights_tf_dim_ordering_tf_kernels.h5", "x", 1);
    assert_int_equal(fetch_locate(zoo_find("vgg16"), &(struct fetch_request){.variants = true}, &f), GRAFT_OK);
    assert_non_null(f.path);
    found_file_free(&f);
    assert_int_equal(fetch_locate(zoo_find("vgg16"), &(struct fetch_request){0}, &f), GRAFT_OK);
    assert_null(f.path);
    // but another width is another network
    put_file(cache, "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_224.h5", "x", 1);
    assert_int_equal(fetch_locate(zoo_find("mobilenet_v2"), &(struct fetch_request){.variants = true}, &f), GRAFT_OK);
    assert_null(f.path);
    put_file(cache, "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224.h5", "x", 1);
    assert_int_equal(fetch_locate(zoo_find("mobilenet_v2"), &(struct fetch_request){.variants = true}, &f), GRAFT_OK);
    assert_non_null(f.path);
    found_file_free(&f);
}

static void test_published_table(void **state)
{
    char expected[DIGEST_TEXT];
    (void)state;
    assert_int_equal(published_match("vgg16-397923af.pth", "397923af00", expected), PUBLISHED_SAME);
    assert_int_equal(published_match("vgg16-397923af.pth", "397923ae00", expected), PUBLISHED_DIFFERS);
    assert_string_equal(expected, "397923af");
    assert_int_equal(published_match("own-1234567.pth", "12345670", expected), PUBLISHED_UNKNOWN); // seven digits
    assert_int_equal(published_match("inception-v4_1234abcd.pth", "1234abcd", expected), PUBLISHED_UNKNOWN);
    // one name, two files: Keras 0.5's and 0.2's
    const char *name = "resnet50_weights_tf_dim_ordering_tf_kernels.h5";
    assert_int_equal(published_match(name, "2cb95161c43110f7111970584f804107", expected), PUBLISHED_SAME);
    assert_int_equal(published_match(name, "a7b3fe01876f51b976af0dea6bc144eb", expected), PUBLISHED_SAME);
    assert_int_equal(published_match(name, "a7b3fe01876f51b976af0dea6bc144ec", expected), PUBLISHED_DIFFERS);
    assert_string_equal(expected, "2cb95161c43110f7111970584f804107");
    assert_int_equal(published_kind(name), DIGEST_MD5);
    assert_int_equal(published_kind("vgg16-397923af.pth"), DIGEST_SHA256);
    // every network either can be pulled, or says in its row where its file is from
    for (int i = 0; i < zoo_count(); i++)
        for (int k = 0; zoo_at(i)->files != NULL && zoo_at(i)->files[k] != NULL; k++) {
            const struct published *p = published_find(zoo_at(i)->files[k]);
            if (p != NULL && p->url != NULL)
                assert_true(strncmp(p->url, "https://", 8) == 0 || strstr(p->url, "caffe") != NULL);
        }
}

int main(void)
{
    prepare();
    const struct CMUnitTest offline[] = {TEST(test_caches_of_others), TEST(test_folders_by_variables), TEST(test_hub),
                                         TEST(test_first_use_is_remembered), TEST(test_variants_and_heads),
                                         TEST(test_published_table)};
    const struct CMUnitTest online[] = {TEST(test_networks_are_pulled)};
    int failed = cmocka_run_group_tests_name("caches", offline, NULL, NULL);
    if (http_ready() == GRAFT_OK)
        failed += cmocka_run_group_tests_name("networks", online, NULL, NULL);
    folder_remove(scratch);
    file_map_close(&served);
    return failed;
}
