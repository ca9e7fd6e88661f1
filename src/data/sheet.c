// data/sheet.c: a contact sheet: a row a picture, first as evaluation sees it, then as the first epochs would.
// What is drawn is the network's input turned back into colours, mixup and cutmix included: a column is a batch.

#include "data/canvas.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/rng.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { GAP = 6, CAPTION = 2 * TEXT_HEIGHT + 4, HEAD = 2 * TEXT_HEIGHT + 14, LEAST_CELL = 128, MOST_CELL = 224 };
static const uint32_t paper = 0x16181c, ink = 0xe8e8e8, pale = 0x9aa0a8;

struct sheet {
    const struct dataset *data;
    const struct input_spec *spec;
    const struct augmentation *how;
    int rows, columns; // columns: of changed pictures
    uint32_t *index;   // of the rows' samples
    bool mixes;        // every row has a class
    float *plain, *input, *targets;
    struct picture out;
    int scale, cell; // a cell is the input times `scale`, or the input made smaller (scale 0)
};

static size_t item_of(const struct sheet *s) { return 3 * (size_t)s->spec->size * s->spec->size; }

// Classes take turns, pictures of a class in an order drawn by the seed; what cannot be read is passed over.
static graft_status rows_choose(struct sheet *s)
{
    const struct dataset *d = s->data;
    uint32_t *order = mem_alloc((d->count + 1) * sizeof *order);
    size_t *taken = mem_zero((size_t)d->n_classes + 1, sizeof *taken); // by class: where to go on in `order`
    const int wanted = s->rows, classes = d->n_classes > 0 ? d->n_classes : 1;
    uint32_t n = 0;
    s->rows = 0;
    s->mixes = !d->array_float;
    if (order == NULL || taken == NULL) {
        mem_free(order);
        mem_free(taken);
        return fail_memory("a sheet of pictures");
    }
    for (size_t i = 0; i < d->count; i++)
        if (d->samples[i].part != PART_VAL && d->samples[i].part != PART_TEST)
            order[n++] = (uint32_t)i;
    rng_shuffle(order, n, RNG_AUGMENT, s->how->seed, 0);
    for (int turn = 0, idle = 0; s->rows < wanted && idle < classes; turn++) {
        const int class = turn % classes;
        size_t *at = &taken[class];
        idle++;
        for (bool found = false; *at < n && !found; (*at)++) {
            const struct sample *sample = &d->samples[order[*at]];
            if (sample->label != class && sample->label >= 0)
                continue;
            if (sample_load(d, order[*at], s->spec, NULL, s->plain + (size_t)s->rows * item_of(s)) != GRAFT_OK) {
                log_warning("passed over: %s", graft_message());
                continue;
            }
            s->index[s->rows++] = order[*at];
            s->mixes &= sample->label >= 0;
            found = true;
            idle = 0;
        }
    }
    mem_free(order);
    mem_free(taken);
    return s->rows > 0 ? GRAFT_OK : fail(GRAFT_BAD_FILE, "no picture that can be read to show");
}

static graft_status cell_draw(struct sheet *s, const float *input, int x, int y)
{
    const struct input_spec *spec = s->spec;
    const size_t area = (size_t)spec->size * spec->size;
    struct picture p = {mem_alloc(area * 3), spec->size, spec->size}, small;
    if (p.rgb == NULL)
        return fail_memory("a sheet of pictures");
    for (int c = 0; c < 3; c++)
        for (size_t i = 0; i < area; i++) {
            const float value = input[c * area + i] / spec->scale[c] + spec->mean[c];
            p.rgb[3 * i + (size_t)(spec->bgr ? 2 - c : c)] = value < 0 ? 0 : value > 255 ? 255 : (uint8_t)lrintf(value);
        }
    graft_status status = GRAFT_OK;
    if (s->scale > 0)
        canvas_put(&s->out, &p, x, y, s->scale);
    else if ((status = picture_resize(&p, s->cell, s->cell, FILTER_BILINEAR, &small)) == GRAFT_OK) {
        canvas_put(&s->out, &small, x, y, 1);
        picture_free(&small);
    }
    picture_free(&p);
    return status;
}

// "+30% dog" of a cat's picture; empty when it is all cat.
static void mixed_text(const struct sheet *s, const float *target, int label, char *out, size_t size)
{
    size_t at = 0;
    out[0] = '\0';
    for (int c = 0; c < s->data->n_classes && at < size; c++)
        if (c != label && target[c] >= 0.005f)
            at += (size_t)snprintf(out + at, size - at, "+%.0f%% %s ", target[c] * 100, s->data->classes[c]);
}

static int column_x(const struct sheet *s, int column) // the first stands apart
{
    return 2 * GAP + column * (s->cell + GAP) + (column > 0 ? 2 * GAP : 0);
}

static int row_y(const struct sheet *s, int row) { return HEAD + CAPTION + row * (s->cell + CAPTION + GAP); }

static graft_status column_draw(struct sheet *s, int column)
{
    const struct dataset *d = s->data;
    const struct augmentation how = {s->how->augment, s->how->seed, (uint64_t)column};
    struct batch b = {.input = s->input, .index = s->index, .n = s->rows};
    char text[256];
    for (int r = 0; r < s->rows; r++)
        TRY(sample_load(d, s->index[r], s->spec, &how, s->input + (size_t)r * item_of(s)));
    if (s->mixes) {
        batch_targets(d, d->n_classes, 0, &b, s->targets);
        batch_mix(&how, s->spec->size, d->n_classes, &b, s->targets);
    }
    snprintf(text, sizeof text, "epoch %d", column);
    canvas_text(&s->out, text, column_x(s, column), HEAD, s->cell, 2, pale);
    for (int r = 0; r < s->rows; r++) {
        TRY(cell_draw(s, s->input + (size_t)r * item_of(s), column_x(s, column), row_y(s, r)));
        if (!s->mixes)
            continue;
        mixed_text(s, s->targets + (size_t)r * d->n_classes, d->samples[s->index[r]].label, text, sizeof text);
        canvas_text(&s->out, text, column_x(s, column), row_y(s, r) + s->cell + 3, s->cell, 2, pale);
    }
    return GRAFT_OK;
}

static graft_status sheet_draw(struct sheet *s)
{
    char text[512] = "";
    augment_text(s->how->augment, text, sizeof text);
    TRY(canvas_new(column_x(s, s->columns + 1) + GAP, row_y(s, s->rows) + GAP, paper, &s->out));
    canvas_text(&s->out, text, 2 * GAP, GAP + 2, s->out.w - 4 * GAP, 2, ink);
    canvas_text(&s->out, "as it is", column_x(s, 0), HEAD, s->cell, 2, pale);
    for (int r = 0; r < s->rows; r++) {
        const int label = s->data->samples[s->index[r]].label;
        TRY(cell_draw(s, s->plain + (size_t)r * item_of(s), column_x(s, 0), row_y(s, r)));
        canvas_text(&s->out, label >= 0 ? s->data->classes[label] : path_name(s->data->samples[s->index[r]].path),
                    column_x(s, 0), row_y(s, r) + s->cell + 3, s->cell, 2, ink);
    }
    for (int c = 1; c <= s->columns; c++)
        TRY(column_draw(s, c));
    return GRAFT_OK;
}

graft_status sheet_make(const struct dataset *d, const struct input_spec *spec, const struct augmentation *how,
                        int rows, int columns, struct picture *out)
{
    struct sheet s = {.data = d, .spec = spec, .how = how, .rows = rows, .columns = columns};
    const size_t item = item_of(&s);
    graft_status status = GRAFT_OK;
    s.scale = spec->size > MOST_CELL ? 0 : spec->size >= LEAST_CELL ? 1 : (LEAST_CELL + spec->size - 1) / spec->size;
    s.cell = s.scale > 0 ? spec->size * s.scale : MOST_CELL;
    s.index = mem_alloc((size_t)rows * sizeof *s.index);
    s.plain = mem_alloc((size_t)rows * item * sizeof *s.plain);
    s.input = mem_alloc((size_t)rows * item * sizeof *s.input);
    s.targets = mem_alloc((size_t)rows * ((size_t)d->n_classes + 1) * sizeof *s.targets);
    if (s.index == NULL || s.plain == NULL || s.input == NULL || s.targets == NULL)
        TRY_GOTO(fail_memory("a sheet of pictures"));
    TRY_GOTO(rows_choose(&s));
    TRY_GOTO(sheet_draw(&s));
    *out = s.out;
    s.out = (struct picture){0};
done:
    picture_free(&s.out);
    mem_free(s.index);
    mem_free(s.plain);
    mem_free(s.input);
    mem_free(s.targets);
    return status;
}
