// train/checkpoint.c: last.ckpt.safetensors, written atomically.
// Grammar: a model file, plus a tensor optimizer.velocity.NAME for each parameter that trains, plus graft.checkpoint in the
// metadata: JSON {"epochs", "steps", "run_steps", "updates", "seed"}.  Random numbers are keyed, so they need no state.

#include "train/checkpoint.h"
#include "base/memory.h"
#include "weights/weights.h"

graft_status checkpoint_write(const char *path, const struct model *m, const struct sgd *sgd, const struct position *at,
                              const char *trained)
{
    struct tensor_set set = {0};
    struct params velocity = m->params; // the trainable group comes first: the same offsets hold
    graft_status status = GRAFT_OK;
    json_t *meta = NULL, *state = NULL;
    char *metadata = NULL, *state_text = NULL;
    ASSERT(m->params.group_begin[PARAM_TRAINABLE] == 0);
    velocity.block = sgd->velocity;
    TRY_GOTO(model_metadata(m, trained, &meta));
    state = json_pack("{s:i, s:I, s:I, s:I, s:I}", "epochs", at->epochs, "steps", (json_int_t)at->steps, "run_steps",
                      (json_int_t)at->run_steps, "updates", (json_int_t)sgd->updates, "seed", (json_int_t)at->seed);
    state_text = state != NULL ? json_text(state) : NULL;
    if (state_text == NULL || json_object_set_new(meta, "graft.checkpoint", json_string(state_text)) != 0)
        TRY_GOTO(fail_memory("the checkpoint's metadata"));
    metadata = json_text(meta);
    if (metadata == NULL)
        TRY_GOTO(fail_memory("the checkpoint's metadata"));
    TRY_GOTO(model_tensors(m, &m->params, "", &set));
    TRY_GOTO(model_tensors(m, &velocity, MODEL_SLOT_PREFIX "velocity.", &set));
    TRY_GOTO(safetensors_write(path, &set, metadata));
done:
    tensor_set_free(&set);
    json_decref(meta);
    json_decref(state);
    mem_free(metadata);
    mem_free(state_text);
    return status;
}
