// api/run_report.c: `graft report`.

#include "api/run.h"
#include "base/memory.h"
#include "base/file.h"
#include "report/report.h"

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
    graft_status status = report_write(o->inputs[0], path, train_defaults);
    if (status == GRAFT_OK)
        result_take(json_pack("{s:s+}", "report", path, ""));
    mem_free(path);
    return status;
}
