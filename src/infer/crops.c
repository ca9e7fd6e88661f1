// infer/crops.c: see infer/crops.h.

#include "infer/crops.h"
#include "base/file.h"
#include "base/memory.h"
#include <math.h>
#include <stdbool.h>

char *crop_finder(const char *file)
{
    const char *name = path_name(file);
    char *run = mem_format("%.*s" WHOLE_FOLDER "/model.safetensors", (int)(name - file), file);
    char *member = mem_format("%.*s" WHOLE_FOLDER "/%s", (int)(name - file), file, name);
    const bool of_ensemble = run != NULL && member != NULL && !file_exists(run) && file_exists(member);
    mem_free(of_ensemble ? run : member);
    return of_ensemble ? member : run;
}

struct bounds {
    int left, top, right, bottom; // of cells; the ends are past the last
};

// The cells that hang together with the hottest; `queue` and `seen`: a place a cell.
static struct bounds bounds_of(const float *heat, int h, int w, float limit, int *queue, bool *seen)
{
    int peak = 0, n = 0;
    for (int i = 1; i < h * w; i++)
        peak = heat[i] > heat[peak] ? i : peak;
    struct bounds b = {peak % w, peak / w, peak % w + 1, peak / w + 1};
    queue[n++] = peak;
    seen[peak] = true;
    for (int at = 0; at < n; at++) {
        static const int across[] = {-1, 1, 0, 0}, down[] = {0, 0, -1, 1};
        const int x = queue[at] % w, y = queue[at] / w;
        b.left = x < b.left ? x : b.left;
        b.top = y < b.top ? y : b.top;
        b.right = x >= b.right ? x + 1 : b.right;
        b.bottom = y >= b.bottom ? y + 1 : b.bottom;
        for (int k = 0; k < 4; k++) {
            const int to_x = x + across[k], to_y = y + down[k], to = to_y * w + to_x;
            if (to_x < 0 || to_y < 0 || to_x >= w || to_y >= h || seen[to] || heat[to] < limit)
                continue;
            seen[to] = true;
            queue[n++] = to;
        }
    }
    return b;
}

graft_status crop_of_heat(const float *heat, int h, int w, const struct crop_rule *rule, double *box)
{
    const size_t area = (size_t)h * (size_t)w;
    int *queue = mem_alloc(area * sizeof *queue);
    bool *seen = mem_zero(area, sizeof *seen);
    float most = 0;
    if (queue == NULL || seen == NULL) {
        mem_free(queue);
        mem_free(seen);
        return fail_memory("a crop");
    }
    for (size_t i = 0; i < area; i++)
        most = fmaxf(most, heat[i]);
    box[0] = box[1] = 0;
    box[2] = box[3] = 1;
    if (most > 0) {
        const struct bounds b = bounds_of(heat, h, w, (float)rule->threshold * most, queue, seen);
        const double begin[] = {(double)b.left / w, (double)b.top / h};
        const double end[] = {(double)b.right / w, (double)b.bottom / h};
        const double longer = fmax(end[0] - begin[0], end[1] - begin[1]);
        const double side = fmin(1, fmax(rule->least, longer * (1 + 2 * rule->margin)));
        for (int i = 0; i < 2; i++) {
            box[i] = fmin(fmax(0, (begin[i] + end[i] - side) / 2), 1 - side);
            box[i + 2] = side;
        }
    }
    mem_free(queue);
    mem_free(seen);
    return GRAFT_OK;
}

void crop_to_picture(const double *box, const double offset[2], const double scale[2], float *out)
{
    for (int i = 0; i < 2; i++) {
        const double begin = fmin(fmax(offset[i] + scale[i] * box[i], 0), 1);
        const double end = fmin(fmax(offset[i] + scale[i] * (box[i] + box[i + 2]), 0), 1);
        out[i] = (float)begin;
        out[i + 2] = (float)(end - begin);
    }
}
