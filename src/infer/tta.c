// infer/tta.c: what views test-time augmentation takes.

#include "infer/tta.h"
#include "base/log.h"
#include <stdlib.h>
#include <string.h>

// The model's own changes but those that hide a part or mix pictures, which are a burden put on training alone.
static graft_status parts_of(const struct model *m, struct augment *out)
{
    json_t *trained = NULL;
    graft_status status = GRAFT_OK;
    *out = (struct augment){0};
    if (m->trained != NULL)
        TRY(json_parse((bytes){(const uint8_t *)m->trained, strlen(m->trained)}, "graft.trained", &trained));
    const char *text = json_string_value(json_object_get(json_object_get(trained, "options"), "augment"));
    if (text != NULL)
        status = augment_parse(text, out);
    json_decref(trained);
    out->on[AUGMENT_ERASE] = out->on[AUGMENT_MIXUP] = out->on[AUGMENT_CUTMIX] = false;
    if (status == GRAFT_OK && !augment_any(out))
        status = augment_parse("rotate=5,shift=0.05", out);
    return status;
}

graft_status tta_parse(const char *text, const struct model *m, struct tta *out)
{
    char *end;
    const long views = strtol(text, &end, 10);
    const bool counted = end != text && (*end == '\0' || *end == ',');
    *out = (struct tta){.views = TTA_VIEWS};
    if (counted && (views < 2 || views > TTA_MOST))
        return fail(GRAFT_BAD_OPTION, "--tta %s: 2 to %d views are expected, or changes such as flip,rotate=5", text,
                    TTA_MOST);
    if (counted)
        out->views = (int)views;
    const char *parts = !counted ? text : *end == ',' ? end + 1 : "";
    if (parts[0] == '\0')
        TRY(parts_of(m, &out->augment));
    else {
        const graft_status status = augment_parse(parts, &out->augment);
        if (status != GRAFT_OK)
            return fail_prefix(status, "--tta %s", text);
    }
    if (out->augment.on[AUGMENT_MIXUP] || out->augment.on[AUGMENT_CUTMIX])
        return fail(GRAFT_BAD_OPTION, "--tta %s: mixup and cutmix mix pictures with others, which tells nothing of one",
                    text);
    if (!augment_any(&out->augment))
        return fail(GRAFT_BAD_OPTION, "--tta %s: changes are expected, such as flip,rotate=5,shift=0.05", text);
    return GRAFT_OK;
}
