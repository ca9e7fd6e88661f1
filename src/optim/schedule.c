// optim/schedule.c: schedules, as Keras 3 and PyTorch compute them, of t = updates since the start, T = all of the
// run's, W = those of the warm-up.
//   warm-up    rate t / W                                                         (all but onecycle)
//   constant   rate
//   step       rate gamma^(epoch / step_epochs)                                   PyTorch's StepLR
//   cosine     rate (1 + cos(pi (t - W) / (T - W))) / 2                           Keras's CosineDecay with its warm-up
//   onecycle   from rate / 25 up to rate and down to rate / 25e4, by cosines      PyTorch's OneCycleLR
//   plateau    rate gamma^drops                                                   both frameworks' ReduceLROnPlateau
//   keras      rate / (1 + decay t)                                               Keras 2's decay, 3's InverseTimeDecay

#include "optim/schedule.h"
#include <math.h>

const char *const schedule_names[] = {"constant", "step", "cosine", "onecycle", "plateau", "keras", NULL};

static double between(double start, double end, double share)
{
    return end + (start - end) / 2 * (cos(M_PI * share) + 1);
}

// PyTorch's defaults: pct_start 0.3, div_factor 25, final_div_factor 1e4, momentum between 0.85 and 0.95.
static void onecycle(const struct schedule_options *o, double t, double all, long warm, double *rate, double *momentum)
{
    const double share = warm > 0 ? (double)warm / all : 0.3, top = share * all - 1;
    const double low = o->rate / 25, last = low / 1e4;
    const bool rising = t <= top;
    const double at = rising ? (top > 0 ? t / top : 1) : (t - top) / (all - 1 - top);
    *rate = rising ? between(low, o->rate, at) : between(o->rate, last, at);
    if (o->cycles_momentum)
        *momentum = rising ? between(0.95, 0.85, at) : between(0.85, 0.95, at);
}

void schedule_at(const struct schedule_options *o, const struct plateau *p, const struct moment *at, double *rate,
                 double *momentum)
{
    const double all = (double)at->per_epoch * o->epochs;
    const long warm = lround(o->warmup * (double)at->per_epoch);
    const double t = fmin((double)at->per_epoch * at->epoch + (double)at->updates, all - 1); // never past the run's end
    *momentum = o->momentum;
    *rate = o->rate;
    if (o->kind == SCHEDULE_ONECYCLE) {
        onecycle(o, t, all, warm, rate, momentum);
        return;
    }
    if (t < (double)warm) {
        *rate = o->rate * t / (double)warm;
        return;
    }
    switch (o->kind) {
    case SCHEDULE_STEP:
        *rate = o->rate * pow(o->gamma, at->epoch / o->step_epochs);
        break;
    case SCHEDULE_COSINE:
        *rate = o->rate * 0.5 * (1 + cos(M_PI * (t - (double)warm) / (all - (double)warm)));
        break;
    case SCHEDULE_PLATEAU:
        *rate = p->rate;
        break;
    case SCHEDULE_KERAS:
        *rate = o->rate / (1 + o->decay * (double)at->all_updates);
        break;
    default:
        break;
    }
}

void plateau_begin(const struct schedule_options *o, struct plateau *p) { *p = (struct plateau){.rate = o->rate}; }

// Keras: an absolute gain of 1e-4 counts, and the rate drops when `patience` epochs brought none.  PyTorch: a relative
// gain of 1e-4, and one epoch more; a drop of less than 1e-8 is not made.  What is not finite is no gain, ever: as the
// first value it would be a best that no other could beat.
void plateau_epoch(const struct schedule_options *o, struct plateau *p, double value, bool rises)
{
    const bool torch = o->rules == RULES_TORCH;
    const double limit =
        torch ? (rises ? p->best * (1 + 1e-4) : p->best * (1 - 1e-4)) : p->best + (rises ? 1e-4 : -1e-4);
    if (isfinite(value) && (!p->started || (rises ? value > limit : value < limit))) {
        p->best = value;
        p->started = true;
        p->waited = 0;
        return;
    }
    if (++p->waited < o->step_epochs + torch)
        return;
    const double lower = p->rate * o->gamma;
    if (!torch || p->rate - lower > 1e-8)
        p->rate = lower;
    p->waited = 0;
}
