// tests/train/tiny.c: the tiny network, its run in a child process, and the comparison of two runs' results.

#include "toy.h"
#include "tiny.h"
#include "base/json.h"
#include "base/log.h"
#include "scratch.h"
#include "weights/weights.h"
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SIDE = 8, BATCH = 4 };

static graft_status build(const struct network *net, struct graph *g, int size, int classes, float dropout)
{
    (void)net;
    graph_init(g, 3, size, size);
    int v = graph_conv(g, 0, "conv", conv_pad(8, 3, 2, 1, 1, false));
    v = graph_relu(g, graph_bn(g, v, "bn", (struct bn_attr){1e-3f, 0.1f, true}));
    v = graph_dropout(g, graph_global_avgpool(g, v), dropout);
    return graph_finish(g, graph_dense(g, v, "head", classes, true));
}

static const struct network network = {.name = "tiny", .head = "head", .dropout = 0.2f, .build = build};

graft_status tiny_model(struct model *m, const struct dataset *d, int freeze)
{
    *m = (struct model){.network = &network, .n_classes = d->n_classes, .source = strdup("none")};
    m->input = (struct input_spec){.size = SIDE, .resize = SIDE, .rule = RESIZE_SQUASH, .scale = {1, 1, 1}};
    m->classes = malloc((size_t)d->n_classes * sizeof *m->classes);
    for (int i = 0; i < d->n_classes; i++)
        m->classes[i] = strdup(d->classes[i]);
    TRY(build(&network, &m->graph, SIDE, m->n_classes, network.dropout));
    TRY(graph_freeze(&m->graph, freeze, BN_TRAIN));
    TRY(params_init(&m->params, &m->graph));
    for (int i = 0; i < m->params.count; i++) {
        float values[1000];
        size_t count;
        const bool weight = m->params.entries[i].shape.rank > 1,
                   ones = strstr(m->params.entries[i].name, "bn.weight") || strstr(m->params.entries[i].name, "var");
        if (!shape_count(m->params.entries[i].shape, &count) || count > 1000)
            return GRAFT_FAILED;
        for (size_t k = 0; k < count; k++)
            values[k] = weight ? 0.3f * (float)((k * 37 + (size_t)i * 11) % 17) / 17 - 0.15f : ones ? 1 : 0;
        param_from_canonical(&m->params, i, values);
    }
    return GRAFT_OK;
}

static const struct tiny *current;
static int steps;

static void on_progress(void *user, const graft_progress *p)
{
    (void)user;
    if (strcmp(p->stage, "train") != 0)
        return;
    steps++;
    if (current->on_step != NULL)
        current->on_step(current->user);
}

static int cancelled(void *user)
{
    (void)user;
    return current->stop_after > 0 && steps >= current->stop_after;
}

static void on_log(void *user, graft_level level, const char *text)
{
    (void)user;
    fprintf(stderr, "%s%s\n", level == GRAFT_WARNING ? "warning: " : "", text);
}

struct recipe tiny_guide(int epochs)
{
    return (struct recipe){
        .name = "guide",
        .optim = {.name = "sgd", .momentum = 0.9, .nesterov = true, .rho = -1, .epsilon = -1, .accumulate = 1},
        .schedule = {.kind = SCHEDULE_KERAS, .rate = 0.05, .momentum = 0.9, .decay = 1e-3, .epochs = epochs},
        .layer_decay = 1};
}

static graft_status train(const struct tiny *t)
{
    struct dataset d;
    struct model m;
    struct train_resume resume;
    char args[64];
    snprintf(args, sizeof args, "%s/args.json", t->folder);
    const bool again = file_exists(args);
    TRY(dataset_open(&(struct data_options){.paths = (const char *const[]){"tinyset"}, .n_paths = 1}, &d));
    TRY(dataset_split(&d, "0.3", 0, 1));
    TRY(tiny_model(&m, &d, t->freeze));
    if (t->before != NULL)
        t->before(t->user);
    if (again) {
        TRY(train_resume_open(t->folder, &resume));
        TRY(train_resume_check(&resume, &d, "", false));
    }
    const struct train_options options = {.folder = t->folder,
                                          .args = "{}",
                                          .batch = BATCH,
                                          .epochs = t->epochs,
                                          .workers = 1,
                                          .seed = 5,
                                          .recipe = t->recipe != NULL ? *t->recipe : tiny_guide(t->epochs),
                                          .bn = BN_TRAIN,
                                          .features = t->features, .bf16 = t->bf16,
                                          .checkpoint_seconds = t->checkpoint_seconds,
                                          .log_steps = true,
                                          .save = true,
                                          .resume = again ? &resume : NULL};
    const graft_status status = train_run(&m, &d, &options);
    if (again)
        train_resume_close(&resume);
    model_close(&m);
    dataset_free(&d);
    return status;
}

static int no_wait(int fd) // the kernel outlives every kill here: nothing is gained by waiting for the disk
{
    (void)fd;
    return 0;
}

int tiny_start(const struct tiny *t)
{
    const pid_t child = fork();
    if (child != 0)
        return (int)child;
    prctl(PR_SET_PDEATHSIG, SIGKILL); // a test that was stopped leaves nobody behind
    const int log = open("tiny.log", O_WRONLY | O_CREAT | O_TRUNC, 0666);
    dup2(log, STDERR_FILENO);
    current = t;
    file_ops.fsync = no_wait;
    exec_set_threads(1);
    hooks_set(&(graft_hooks){.progress = on_progress, .cancelled = cancelled, .log = on_log});
    const graft_status status = train(t);
    if (status != GRAFT_OK)
        fprintf(stderr, "%s\n", graft_message());
    _exit(status);
}

int tiny_wait(int process)
{
    int status;
    assert_int_equal(waitpid(process, &status, 0), process);
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int tiny_run(const struct tiny *t) { return tiny_wait(tiny_start(t)); }

void tiny_expect(const struct tiny *t, int code)
{
    const int found = tiny_run(t);
    if (found != code)
        fail_msg("exit code %d, expected %d: %s", found, code, text_of_file("tiny.log"));
}

struct tiny tiny_of(const char *folder)
{
    return (struct tiny){.folder = folder, .epochs = TINY_EPOCHS, .checkpoint_seconds = 1e-9}; // after every step
}

int tiny_reference(void)
{
    toy_set("tinyset", 22, 8);
    const struct tiny t = tiny_of("reference");
    return tiny_run(&t) == GRAFT_OK ? 0 : -1;
}

void tiny_clear(const char *folder)
{
    assert_int_equal(temporary_remove(folder), 0);
}

bool tiny_long(void) { return getenv("GRAFT_LONG") != NULL; }

// Cuts out what tells the time: in results.csv the second field; seconds, times of day, rates, shares, memory.
static void drop_times(char *text, bool csv)
{
    static const char *const keys[] = {"\"seconds\":", "_seconds\":", "\"time\":", "\"img_s\":", "\"rss_mb\":",
                                       "_share\":"};
    char *to = text;
    bool line_start = true;
    for (char *at = text; *at != '\0';) {
        if (csv && line_start) {
            while (*at != ',')
                *to++ = *at++;
            *to++ = *at++;
            at += strcspn(at, ",\n");
        }
        for (size_t k = 0; !csv && k < sizeof keys / sizeof *keys; k++)
            if (strncmp(at, keys[k], strlen(keys[k])) == 0) {
                at += strlen(keys[k]);
                at += strspn(at, " 0123456789.");
            }
        line_start = *at == '\n';
        *to++ = *at++;
    }
    *to = '\0';
}

// Checkpoints come at other moments in a run that was stopped.
static void drop_checkpoints(char *text)
{
    char *to = text;
    for (char *at = text; *at != '\0';) {
        const size_t line = strcspn(at, "\n") + 1;
        if (strncmp(at, "{\"event\":\"checkpoint\"", 21) != 0) {
            memmove(to, at, line);
            to += line;
        }
        at += line;
    }
    *to = '\0';
}

static void compare_text(const char *folder, const char *reference, const char *name)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    char *a = text_of_file(path);
    snprintf(path, sizeof path, "%s/%s", reference, name);
    char *b = text_of_file(path);
    if (strstr(name, "events") != NULL || strncmp(name, "results.", 8) == 0) {
        drop_times(a, strstr(name, ".csv") != NULL);
        drop_times(b, strstr(name, ".csv") != NULL);
        drop_checkpoints(a);
        drop_checkpoints(b);
    }
    if (strcmp(a, b) != 0)
        fail_msg("%s differs from never having stopped:\n%s\nexpected:\n%s", name, a, b);
    free(a);
    free(b);
}

static void compare_tensors(const char *folder, const char *reference, const char *name, bool all)
{
    struct tensor_set a = {0}, b = {0};
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (weights_read(path, &a) != GRAFT_OK)
        fail_msg("%s", graft_message());
    snprintf(path, sizeof path, "%s/%s", reference, name);
    assert_int_equal(weights_read(path, &b), GRAFT_OK);
    assert_int_equal(a.count, b.count);
    for (size_t i = 0; i < a.count; i++) {
        const struct named_tensor *t = tensor_find(&b, a.items[i].name);
        size_t count;
        assert_true(t != NULL && shape_equal(t->shape, a.items[i].shape) && shape_count(t->shape, &count));
        if (strcmp(t->name, SAFETENSORS_SEAL) == 0) // the metadata hold times
            continue;
        if (memcmp(t->data, a.items[i].data, count * dtype_size(t->dtype)) != 0)
            fail_msg("%s: tensor '%s' differs from never having stopped", name, t->name);
    }
    if (all)
        assert_string_equal(a.metadata, b.metadata);
    tensor_set_free(&a);
    tensor_set_free(&b);
}

void tiny_compare(const char *folder, const char *reference)
{
    static const char *const texts[] = {"results.json", "results.csv", "val_predictions.csv", "confusion_matrix.csv",
                                        "per_class.csv", "events.jsonl", "skipped.csv", "split.csv", "classes.txt"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        compare_text(folder, reference, texts[i]);
    compare_tensors(folder, reference, "model.safetensors", true);
    compare_tensors(folder, reference, "last.ckpt.safetensors", false);
    assert_int_equal(files_named(folder, ".tmp-"), 0);
    assert_int_equal(files_named(folder, "next"), 0);
}
