#!/bin/sh
# bench/kept.sh GRAFT FASHION WORK [NETWORK...]: training the head alone, its features kept, beside prediction: images a
# second of `graft bench --mode infer`, of the first epoch (which makes the features), and the middle one of four later.
#   sh bench/kept.sh build/graft /usr/share/datasets/fashion-mnist build/kept efficientnet_lite0 vgg16
set -eu
[ $# -ge 3 ] || { sed -n 2,4p "$0"; exit 2; }
graft=$(readlink -f "$1") fashion=$(readlink -f "$2") work=$3
shift 3
mkdir -p "$work"
cd "$work"
for network in "${@:-efficientnet_lite0}"; do
    rm -rf run kept
    predicts=$("$graft" bench "$network" --mode infer --json 2>log | sed 's/.*"img_s": *\([0-9.]*\).*/\1/')
    "$graft" train -q -m "$network" --weights none -d "$fashion" --train-limit 640 --val 0 --recipe guide --lr 1e-4 \
        --freeze head --epochs 5 --cache-features kept -o run >log 2>&1 || { cat log >&2; exit 1; }
    rates=$(sed -n 's/.*"event":"epoch".*"img_s":\([0-9.]*\).*/\1/p' run/events.jsonl)
    first=$(printf '%s\n' $rates | head -n 1) later=$(printf '%s\n' $rates | tail -n +2 | sort -n | sed -n 2p)
    echo "$predicts $first $later" | awk -v n="$network" '{ printf "%s: predicts %.1f, first epoch %.1f (%.2f times), later %.0f (%.0f times)\n", n, $1, $2, $2 / $1, $3, $3 / $1 }'
done
