#!/bin/sh
# bench/recipes.sh GRAFT WEIGHTS FASHION [SEED...]: accuracy and log-loss of the recipes on Fashion-MNIST, 3,000 pictures to
# learn from and 1,000 held out, 128x128, four epochs; a line a run, the best epoch's figures.
#   sh bench/recipes.sh build/graft build/fetch/efficientnet-lite0.pth /usr/share/datasets/fashion-mnist 0 1 2 3 4
set -eu
graft=$1 weights=$2 data=$3
shift 3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for seed in "${@:-0}"; do
    for recipe in guide quick best; do
        "$graft" train --weights "$weights" -d "$data" --train-limit 3000 --val 1000 --imgsz 128 --epochs 4 --seed "$seed" \
            --recipe "$recipe" -q -o "$work/$recipe$seed" >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
        sed 's/.*"val_log_loss": \([0-9.]*\), "val_top1": \([0-9.]*\).*/accuracy \2  log-loss \1/' \
            "$work/$recipe$seed/results.json" | sed "s/^/$recipe seed $seed  /"
        rm -rf "$work/$recipe$seed"
    done
done
