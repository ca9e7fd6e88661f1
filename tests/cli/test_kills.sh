#!/bin/sh
# tests/cli/test_kills.sh GRAFT: folds, crops, ensemble, features, svm, knn and predict, killed at points all over their
# time and started again: what lies there is whole or not there, and the end is the undisturbed command's.
. "$(dirname "$0")/common.sh"

# 24 pictures of 4x4, of class a bright, of class b dark.
mkdir pictures
echo 'path,label' >list.csv
n=0
while [ $n -lt 24 ]; do
    if [ $((n % 2)) = 0 ]; then label=a c=3$((n % 8))0; else label=b c=0$((n % 8))0; fi
    bmp "pictures/$n.bmp" $c 1$((n % 8))0
    echo "pictures/$n.bmp,$label" >>list.csv
    n=$((n + 1))
done

# same DONE UNDISTURBED PART: what is in the one is in the other with the same bytes; PART: it may lack some.  What names
# the time, the process or the folder itself is no output.
same() {
    for file in $(cd "$2" && find . -type f ! -name '*.jsonl' ! -name '.lock' ! -name 'args.json' ! -name '*.ckpt.safetensors' \
        ! -name 'report.html' ! -name 'layers.csv' ! -name 'results.csv' ! -name 'results.json' ! -path '*/tb/*' ! -path '*/media/*'); do
        if [ ! -e "$1/$file" ]; then [ "$3" = part ] || { echo "$file is missing"; return 1; }; continue; fi
        cmp "$1/$file" "$2/$file" || return 1
    done
}
# killed NAME AGAIN COMMAND...: the command, which writes below out/, is killed after a part of its time; AGAIN is what is
# said in its place afterwards ("same": itself).
killed() {
    name=$1 again=$2
    shift 2
    rm -rf out undisturbed kept && mkdir out
    begin=$(date +%s%N)
    "$@" >log 2>&1 || { not_ok "$name, undisturbed"; return; }
    whole=$((($(date +%s%N) - begin) / 1000))
    mv out undisturbed
    kills=0 point=1
    while [ $point -le "${POINTS:-6}" ]; do
        rm -rf out kept && mkdir out
        after=$((whole * (2 * point - 1) / (2 * ${POINTS:-6})))
        "$@" >log 2>&1 &
        process=$!
        sleep "$(printf '%d.%06d' $((after / 1000000)) $((after % 1000000)))"
        kill -KILL $process 2>/dev/null
        wait $process 2>/dev/null || kills=$((kills + 1))
        same out undisturbed part >log 2>&1 || { echo "killed after $after us" >>log; not_ok "$name: something half written"; return; }
        if [ -e out/svm/svm.json ]; then :; # it had ended, and is not replaced
        elif [ "$again" != same ] && [ -e out/run/args.json ]; then $again >log 2>&1; else "$@" >log 2>&1; fi ||
            { echo "killed after $after us of $whole" >>log; not_ok "$name: started again"; return; }
        same out undisturbed whole >log 2>&1 || { echo "killed after $after us of $whole" >>log; not_ok "$name: another end"; return; }
        [ -z "$(find out -name '*.tmp-*')" ] || { find out -name '*.tmp-*' >log; not_ok "$name: scratch files stay"; return; }
        for run in out/run/fold-*; do # of the run's last event
            [ ! -d "$run" ] || { [ -e "$run/report.html" ] && [ ! "$run/events.jsonl" -nt "$run/report.html" ]; } || { not_ok "$name: an old report"; return; }
        done
        point=$((point + 1))
    done
    if [ $kills -gt 0 ]; then ok "$name, killed $kills times"; else not_ok "$name was never killed"; fi
}

toy='--weights none -d list.csv --imgsz 32 --lr 0.02 -b 8 --dropout 0 --threads 1'
killed 'train --folds' "$graft train --resume out/run" \
    "$graft" train $toy --epochs 2 --folds 2 --freeze head --cache-features kept -o out/run
cp -r undisturbed/run folds
killed 'train --crop cam' "$graft train --resume out/run" "$graft" train $toy --epochs 1 --imgsz 64 --crop cam -o out/run
cp -r undisturbed/run cam
killed 'features' same "$graft" features folds/fold-0/model.safetensors -d list.csv -o out/features.npy
killed 'svm' same "$graft" svm folds/fold-0/model.safetensors -d list.csv --folds 2 -o out/svm
killed 'ensemble' same "$graft" ensemble folds --rule stack -o out/both
killed 'ensemble of models of crops' same "$graft" ensemble cam cam --rule geometric -o out/both
"$graft" predict folds/fold-0/model.safetensors pictures --csv p.csv >log 2>&1
killed 'knn' same "$graft" knn folds/fold-0/model.safetensors pictures -k 3 --predictions p.csv --csv out/near.csv
killed 'predict' same "$graft" predict folds/fold-0/model.safetensors pictures --csv out/p.csv
