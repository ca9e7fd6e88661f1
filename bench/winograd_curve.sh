#!/bin/sh
# bench/winograd_curve.sh GRAFT FASHION WORK [SEED...]: 300 training steps of ResNet-18 from random weights with Winograd
# and without (--exact).  A line a run, the mean loss of the last 50 steps; then how far the two are from each other with
# the same seed, and the runs of one way from their mean: the noise.
#   sh bench/winograd_curve.sh build/graft /usr/share/datasets/fashion-mnist build/curve 0 1 2 3
set -eu
[ $# -ge 3 ] || { sed -n 2,5p "$0"; exit 2; }
graft=$(readlink -f "$1") fashion=$(readlink -f "$2") work=$3
shift 3
mkdir -p "$work"
cd "$work"
: >losses
for seed in "${@:-0}"; do
    for way in winograd exact; do
        rm -rf run
        "$graft" train -q -m resnet18 --weights none -d "$fashion" --train-limit 4800 --val 0 --imgsz 64 --epochs 1 \
            --lr 0.01 --seed "$seed" --log-steps -o run $([ $way = winograd ] || echo --exact) >log 2>&1 || { cat log >&2; exit 1; }
        sed -n 's/.*"event":"step".*"loss":\([0-9.e+-]*\).*/\1/p' run/events.jsonl |
            awk -v seed="$seed" -v way=$way 'NR > 250 { sum += $1 } END { if (NR != 300) exit 1; print seed, way, sum / 50 }' | tee -a losses
    done
done
awk '{ loss[$2, $1] = $3; seen[$1]; if ($2 == "exact") { n++; mean += $3 } }
     END { mean /= n
           for (s in seen) { d = loss["winograd", s] - loss["exact", s]; apart += d; far += d * d; e = loss["exact", s] - mean; noise += e * e }
           printf "winograd - exact: mean %+.4f, root mean square %.4f; between seeds %.4f\n", apart / n, sqrt(far / n), sqrt(noise / (n > 1 ? n - 1 : 1)) }' losses
