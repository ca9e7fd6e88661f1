#!/bin/sh
# bench/crops.sh GRAFT WEIGHTS IDX_FOLDER WORK [SEED...]: what `train --crop cam` buys where the right place is small
# (bench/cluttered_fashion.py).  Prints log-loss and accuracy on the test pictures: of whole pictures, of the network's
# own crops, of both together, of crops where the garments are.
maker=cluttered_fashion.py
. "$(dirname "$0")/fashion.sh"
options="--weights $weights -d data/train.csv --imgsz 160 ${OPTIONS:---epochs 6} --val 0.15"
row() { # NAME MODEL [OPTION]...
    name=$1
    shift
    "$graft" val "$@" -d data/test.csv --split all --json 2>>log |
        sed -n 's/.*"log_loss": *\([0-9.]*\).*"top1": *\([0-9.]*\).*/\1 \2/p' |
        { read -r loss top1 && printf '%-32s %8.6s %8.6s\n' "$name" "$loss" "$top1"; }
}
for seed; do
    printf '%-32s %8s %8s\n' "seed $seed" log-loss accuracy
    "$graft" train $options --seed "$seed" --crop cam -o cam-$seed >>log 2>&1
    row 'whole pictures' cam-$seed/whole
    row 'crops by its own activation' cam-$seed --crop cam
    "$graft" ensemble cam-$seed/whole cam-$seed -o both-$seed >>log 2>&1
    row 'both, geometric mean' both-$seed --crop cam
    "$graft" train $options --seed "$seed" --crop data/boxes.csv -o true-$seed >>log 2>&1
    row 'crops where the garments are' true-$seed --crop data/boxes.csv
done
