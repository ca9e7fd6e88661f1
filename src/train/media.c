// train/media.c: JPEGs of 128 pixels beside train.csv and val.csv, which name them: path,label,predicted,file,cam.
// A CSV takes its place last, so what it names is there.

#include "train/media.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"
#include "data/encode.h"
#include "infer/mistakes.h"
#include <string.h>
#include <unistd.h>

enum { SIDE = 128, QUALITY = 82, SHEET = 32, TOP = 24, PAIRS = 6, EXAMPLES = 4, TOGETHER = 8, PRICE = 100 };
static const char header[] = "path,label,predicted,file,cam\n";

// Not flushed: a picture that a power cut takes is no loss.
static graft_status jpeg_write(const struct media *m, const struct picture *p, const char *name)
{
    bytes data = {0};
    char *path = mem_format("%s/media/%s", m->folder, name);
    graft_status status = path != NULL ? GRAFT_OK : fail_memory("a path");
    if (status == GRAFT_OK)
        status = picture_to_jpeg(p, QUALITY, &data);
    if (status == GRAFT_OK) {
        file_ops.unlink(path);
        status = file_append(path, data.ptr, data.size);
    }
    mem_free((void *)data.ptr);
    mem_free(path);
    return status;
}

// What entered the network, as large as the report shows it.
static graft_status seen_make(const struct media *m, const float *input, struct picture *out)
{
    struct picture whole;
    TRY(picture_of_input(input, &m->model->input, m->data->array_float, &whole));
    if (whole.w <= SIDE) {
        *out = whole;
        return GRAFT_OK;
    }
    const graft_status status = picture_resize(&whole, SIDE, SIDE, FILTER_BICUBIC, out);
    picture_free(&whole);
    return status;
}

static graft_status list_write(const struct media *m, const char *name, struct text *list)
{
    char *path = mem_format("%s/media/%s", m->folder, name);
    TRY(path != NULL ? GRAFT_OK : fail_memory("a path"));
    graft_status status = text_status(list);
    if (status == GRAFT_OK)
        status = file_write_all(path, list->data, list->size);
    mem_free(path);
    return status;
}

static graft_status folder_make(const struct media *m)
{
    char *path = path_join(m->folder, "media");
    const graft_status status = path != NULL ? file_make_folder(path) : fail_memory("a path");
    mem_free(path);
    return status;
}

static void row_put(const struct media *m, struct text *t, uint32_t index, int predicted, const char *file,
                    const char *cam)
{
    const struct sample *s = &m->data->samples[index];
    text_put_field(t, s->path);
    text_put(t, ",");
    text_put_field(t, s->label >= 0 ? m->model->classes[s->label] : "");
    text_put(t, ",");
    text_put_field(t, predicted >= 0 ? m->model->classes[predicted] : "");
    text_put(t, ",%s,%s\n", file, cam);
}

static graft_status batch_write(struct media *m, const struct batch *b, struct text *list)
{
    const struct value *in = &m->model->graph.values[0];
    TRY(folder_make(m));
    text_put(list, "%s", header);
    for (int i = 0; i < b->n && i < SHEET; i++) {
        struct picture seen;
        char name[32];
        snprintf(name, sizeof name, "train-%02d.jpg", i);
        TRY(seen_make(m, b->input + (size_t)i * in->c * in->h * in->w, &seen));
        const graft_status status = jpeg_write(m, &seen, name);
        picture_free(&seen);
        TRY(status);
        row_put(m, list, b->index[i], -1, name, "");
    }
    return list_write(m, "train.csv", list);
}

// A status that is no failure of the run.
static void forgive(struct media *m, graft_status status)
{
    if (status == GRAFT_OK)
        return;
    log_warning("the pictures for the report cannot be kept: %s", graft_message());
    m->broken = true;
}

void media_batch(struct media *m, const struct batch *b)
{
    struct text list = {0};
    if (m->folder == NULL || m->broken)
        return;
    forgive(m, batch_write(m, b, &list));
    text_fini(&list);
}

// The explainer, where this network and input size have one.
static void explainer_ask(struct media *m)
{
    if (m->asked)
        return;
    m->asked = true;
    if (explainer_new(m->model, m->arena, TOGETHER, &m->explainer) != GRAFT_OK)
        m->explainer = NULL;
}

// Up to TOGETHER chosen pictures from `first`: those that can be read, their heats, and both on disk.
static graft_status some_write(struct media *m, int first, float *input, float *heat, struct text *list)
{
    const size_t item = 3 * (size_t)m->model->input.size * (size_t)m->model->input.size;
    int place[TOGETHER], classes[TOGETHER] = {0}, n = 0, h = 0, w = 0;
    graft_status status = GRAFT_OK;
    for (int i = first; i < m->n_chosen && i < first + TOGETHER; i++)
        if (sample_load(m->data, m->chosen[i].index, &m->model->input, NULL, input + (size_t)n * item) == GRAFT_OK) {
            classes[n] = m->chosen[i].predicted;
            place[n++] = i;
        }
    if (m->explainer != NULL && n > 0) {
        memset(input + (size_t)n * item, 0, (size_t)(TOGETHER - n) * item * sizeof *input);
        explainer_map(m->explainer, &h, &w);
        TRY(explainer_run(m->explainer, input, classes, heat, NULL));
    }
    for (int i = 0; i < n && status == GRAFT_OK; i++) {
        struct picture seen = {0}, shown = {0};
        char name[32], cam[32] = "";
        snprintf(name, sizeof name, "val-%02d.jpg", place[i]);
        status = seen_make(m, input + (size_t)i * item, &seen);
        if (status == GRAFT_OK)
            status = jpeg_write(m, &seen, name);
        if (status == GRAFT_OK && m->explainer != NULL) {
            snprintf(cam, sizeof cam, "val-%02d-cam.jpg", place[i]);
            status = picture_with_heat(&seen, heat + (size_t)i * (size_t)h * (size_t)w, h, w, NULL, &shown);
            if (status == GRAFT_OK)
                status = jpeg_write(m, &shown, cam);
        }
        row_put(m, list, m->chosen[place[i]].index, m->chosen[place[i]].predicted, name, cam);
        picture_free(&seen);
        picture_free(&shown);
    }
    return status;
}

static graft_status chosen_write(struct media *m)
{
    struct text list = {0};
    int h = 1, w = 1;
    graft_status status = GRAFT_OK;
    const size_t item = 3 * (size_t)m->model->input.size * (size_t)m->model->input.size;
    explainer_ask(m);
    if (m->explainer != NULL)
        explainer_map(m->explainer, &h, &w);
    float *input = mem_aligned(TOGETHER * item * sizeof *input);
    float *heat = mem_alloc(TOGETHER * (size_t)h * (size_t)w * sizeof *heat);
    if (input == NULL || heat == NULL)
        TRY_GOTO(fail_memory("the pictures for the report"));
    TRY_GOTO(folder_make(m));
    text_put(&list, "%s", header);
    for (int i = 0; i < m->n_chosen; i += TOGETHER)
        TRY_GOTO(some_write(m, i, input, heat, &list));
    TRY_GOTO(list_write(m, "val.csv", &list));
    m->stale = false;
done:
    mem_free(input);
    mem_free(heat);
    text_fini(&list);
    return status;
}

static void choose(struct media *m, const uint32_t *index, const struct mistake *mistake)
{
    for (int i = 0; i < m->n_chosen; i++)
        if (m->chosen[i].index == index[mistake->row])
            return;
    if (m->n_chosen == MEDIA_MOST)
        return;
    m->chosen[m->n_chosen].index = index[mistake->row];
    m->chosen[m->n_chosen++].predicted = mistake->predicted;
}

// The surest mistakes, and some of each of the most confused pairs.
static graft_status chosen_find(struct media *m, const uint32_t *index, const int *labels, const float *probabilities,
                                size_t n)
{
    struct mistake *mistakes;
    struct confused_pair *pairs;
    size_t n_mistakes, n_pairs;
    m->n_chosen = 0;
    TRY(mistakes_find(probabilities, labels, n, m->model->n_classes, &mistakes, &n_mistakes));
    const graft_status status = pairs_find(mistakes, n_mistakes, &pairs, &n_pairs);
    if (status == GRAFT_OK) {
        for (size_t i = 0; i < n_mistakes && i < TOP; i++)
            choose(m, index, &mistakes[i]);
        for (size_t k = 0; k < n_pairs && k < PAIRS; k++) {
            int taken = 0;
            for (size_t i = 0; i < n_mistakes && taken < EXAMPLES; i++)
                if (mistakes[i].label == pairs[k].label && mistakes[i].predicted == pairs[k].predicted) {
                    choose(m, index, &mistakes[i]);
                    taken++;
                }
        }
        mem_free(pairs);
    }
    mem_free(mistakes);
    return status;
}

static void owed_write(struct media *m)
{
    const double begin = now_seconds();
    forgive(m, chosen_write(m));
    m->next = now_seconds() + PRICE * (now_seconds() - begin);
}

void media_best(struct media *m, const uint32_t *index, const int *labels, const float *probabilities, size_t n)
{
    if (m->folder == NULL || m->broken || n == 0)
        return;
    forgive(m, chosen_find(m, index, labels, probabilities, n));
    m->stale = true;
    if (!m->broken && now_seconds() >= m->next)
        owed_write(m);
}

void media_end(struct media *m, const char *best_model)
{
    if (m->folder == NULL || m->broken || !m->stale)
        return;
    const graft_status status = model_reload(m->model, best_model);
    if (status == GRAFT_OK)
        owed_write(m);
    else
        forgive(m, status);
}

void media_fini(struct media *m)
{
    explainer_free(m->explainer);
    *m = (struct media){0};
}
