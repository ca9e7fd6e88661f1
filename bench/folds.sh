#!/bin/sh
# bench/folds.sh GRAFT WEIGHTS PICTURES WORK [TURNS]: what five folds cost beside one run, the trunk frozen, features kept.
# Each begins without features; the two take turns.  Prints seconds and their ratio, a line a turn.
set -eu
[ $# -ge 4 ] || { sed -n 2,3p "$0"; exit 2; }
graft=$(readlink -f "$1") weights=$(readlink -f "$2") pictures=$(readlink -f "$3") work=$4 turns=${5:-3}
mkdir -p "$work"
cd "$work"
seconds() { # of a run with those options
    rm -rf kept run
    begin=$(date +%s%N)
    "$graft" train -q -m efficientnet_lite0 --weights "$weights" -d "$pictures" --freeze head --epochs "${EPOCHS:-10}" \
        --cache-features kept -o run "$@" >log 2>&1 || { cat log >&2; exit 1; }
    echo "$(date +%s%N) $begin" | awk '{ printf "%.1f", ($1 - $2) / 1e9 }'
}
for turn in $(seq "$turns"); do
    one=$(seconds --val 0.2) five=$(seconds --folds 5)
    echo "$one $five" | awk '{ printf "one run %.1f s, five folds %.1f s: %.2f times\n", $1, $2, $2 / $1 }'
done
