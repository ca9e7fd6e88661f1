// api/run_report.c: `graft report`.

#include "api/run.h"
#include "base/memory.h"
#include "base/file.h"
#include "report/report.h"
#include "report/run_data.h"
#include "train/folds.h"

// The folds of a fold run that are here, side by side.
static graft_status folds_report(const char *folder, const char *path)
{
    char *runs[FOLDS_MOST];
    size_t n = 0;
    graft_status status = GRAFT_OK;
    for (int f = 0; f < FOLDS_MOST; f++) {
        if ((runs[n] = mem_format("%s/fold-%d", folder, f)) == NULL)
            TRY_GOTO(fail_memory("a path"));
        if (run_folder_is(runs[n]))
            n++;
        else
            mem_free(runs[n]);
    }
    TRY_GOTO(n > 0 ? report_compare(runs, n, path)
                   : fail(GRAFT_BAD_FILE, "no fold of '%s' has begun; `graft train --resume %s` goes on", folder,
                          folder));
done:
    for (size_t i = 0; i < n; i++)
        mem_free(runs[i]);
    return status;
}

graft_status run_report(const graft_options *o)
{
    const char *output = option_text(o, "output");
    if (o->n_inputs < 1)
        return fail(GRAFT_BAD_OPTION, "which run? graft report RUN, or RUN RUN... to compare runs");
    if (o->n_inputs > 1) {
        output = output != NULL ? output : "compare.html";
        TRY(report_compare(o->inputs, o->n_inputs, output));
        result_take(json_pack("{s:s+}", "report", output, ""));
        return GRAFT_OK;
    }
    char *path = output != NULL ? mem_text(output) : path_join(o->inputs[0], "report.html");
    if (path == NULL)
        return fail_memory("a path");
    graft_status status = run_folds_is(o->inputs[0]) ? folds_report(o->inputs[0], path)
                                                     : report_write(o->inputs[0], path, train_defaults);
    if (status == GRAFT_OK)
        result_take(json_pack("{s:s+}", "report", path, ""));
    mem_free(path);
    return status;
}
