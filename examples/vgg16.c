// examples/vgg16.c: fine-tunes VGG16 on CIFAR-10 through the library, as the Keras guide does.
//
//     vgg16 CIFAR_FOLDER TRAIN VAL [NAME=VALUE...]
//     vgg16 cifar-10-batches-bin 3000 100 weights=vgg16.h5
//     cc vgg16.c $(pkg-config --cflags --libs graft)
//
// ImageNet weights, a new softmax for ten classes, the first ten Keras layers (four convolutions) frozen, SGD 1e-3 with
// Nesterov's momentum, the first TRAIN pictures to train on, the first VAL of the test part to validate; then the
// log-loss.  NAME=VALUE sets any other option of `graft train`.

#include <graft.h>
#include <stdio.h>
#include <string.h>

static void print_line(void *user, const char *json)
{
    printf("%s %s\n", (const char *)user, json);
}

static void print_log(void *user, graft_level level, const char *text)
{
    (void)user;
    if (level >= GRAFT_INFO)
        fprintf(stderr, "%s\n", text);
}

// Sets `count` pairs, then "name=value" arguments, then runs the command.
static graft_status run(const char *command, const char *input, const char *const (*pairs)[2], int count, char **more,
                        int n_more)
{
    graft_options *options = graft_options_new(command);
    if (options == NULL)
        return GRAFT_NO_RESOURCE;
    graft_status status = input != NULL ? graft_options_add_input(options, input) : GRAFT_OK;
    for (int i = 0; i < count && status == GRAFT_OK; i++)
        status = graft_options_set(options, pairs[i][0], pairs[i][1]);
    for (int i = 0; i < n_more && status == GRAFT_OK; i++) {
        char name[64];
        const char *value = strchr(more[i], '=');
        snprintf(name, sizeof name, "%.*s", (int)strcspn(more[i], "="), more[i]);
        status = graft_options_set(options, name, value != NULL ? value + 1 : NULL);
    }
    const graft_hooks hooks = {.user = (void *)command, .log = print_log, .result = print_line};
    if (status == GRAFT_OK)
        status = graft_run(options, &hooks);
    graft_options_free(options);
    return status;
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        fprintf(stderr, "usage: %s CIFAR_FOLDER TRAIN VAL [NAME=VALUE...]\n", argv[0]);
        return GRAFT_BAD_OPTION;
    }
    const char *const train[][2] = {
        {"model", "vgg16"}, {"data", argv[1]}, {"train-limit", argv[2]}, {"val", argv[3]}, {"freeze", "4"},
        {"lr", "1e-3"}, {"momentum", "0.9"}, {"decay", "1e-6"}, {"batch", "16"}, {"epochs", "10"},
        {"output", "vgg16_cifar10"},
    };
    const char *const val[][2] = {{"data", argv[1]}, {"val", argv[3]}};
    graft_status status = run("train", NULL, train, sizeof train / sizeof *train, argv + 4, argc - 4);
    if (status == GRAFT_OK)
        status = run("val", "vgg16_cifar10/model.safetensors", val, sizeof val / sizeof *val, NULL, 0);
    if (status != GRAFT_OK)
        fprintf(stderr, "%s\n", graft_message());
    return (int)status;
}
