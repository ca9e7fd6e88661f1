#!/bin/sh
# bench/competition.sh GRAFT WEIGHTS IDX_FOLDER WORK [SEED...]: the whole entry at small scale, what each step buys.
# docs/competition.md explains it.  Prints log-loss on held-out pictures and on those of groups that nothing was trained
# on, by seed, then mean and sample standard deviation over the seeds.
maker=grouped_fashion.py
. "$(dirname "$0")/fashion.sh"
sed -s 1d data/train.csv data/test.csv | awk -F, '{ print "data/" $1 "," $2 }' >truth.csv

log_loss() { grep -o '"log_loss": *[0-9.]*' | head -n 1 | sed 's/.*: *//'; } # as it comes, before any temperature
unseen() { "$graft" val "$@" -d data/test.csv --split all --json 2>>log | log_loss; }
score() { # of predictions in a CSV: the labels put beside them
    awk -F, -v OFS=, 'NR == FNR { label[$1] = $2; next } { gsub(/"/, "", $1) } FNR == 1 { $1 = "path,label" } FNR > 1 { $1 = $1 "," label[$1] } { print }' \
        truth.csv "$1" | tr -d '"' >scored.csv
    "$graft" ensemble scored.csv --json 2>>log | sed 's/"members".*\]//' | log_loss
}
views='--tta 5,flip,shift=0.08,rotate=5 --tta-mean geometric'
# held_out RUN: what views, and then neighbours, say of each picture by the model of the fold that held it out, in
# held-views.csv and held-near.csv.
held_out() {
    rm -f held-views.csv held-near.csv
    for i in 0 1 2 3; do
        awk -F, -v fold=$i 'NR == 1 { print "path" } NR > 1 && $3 == fold { print $1 }' "$1/folds.csv" >part.csv
        "$graft" predict "$1/fold-$i" part.csv $views --csv part-views.csv >>log 2>&1
        "$graft" knn "$1/fold-$i/model.safetensors" part.csv -k 3 --predictions part-views.csv --csv part-near.csv >>log 2>&1
        for step in views near; do
            if [ $i = 0 ]; then cat part-$step.csv; else sed 1d part-$step.csv; fi >>held-$step.csv
        done
    done
}
options="--weights $weights --imgsz 64 ${OPTIONS:---epochs 6 --augment flip=h,shift=0.08,rotate=5}"
row() { printf '%-44s %8.6s %8.6s\n' "$1" "$2" "$3" | tee -a table; }
# Of a table of several seeds: the four folds as their mean and their best, then every row over the seeds.
over_seeds() {
    awk 'function put(name, held, unseen) {
             if (!(name in n)) names[++count] = name
             n[name]++
             x[name, "held", n[name]] = held
             x[name, "unseen", n[name]] = unseen
         }
         function spread(name, which,   i, mean, square) {
             if (x[name, which, 1] == "-") return "-"
             for (i = 1; i <= n[name]; i++) mean += x[name, which, i] / n[name]
             for (i = 1; i <= n[name]; i++) square += (x[name, which, i] - mean) ^ 2
             return sprintf("%.3f +- %.3f", mean, n[name] > 1 ? sqrt(square / (n[name] - 1)) : 0)
         }
         /^seed/ { next }
         {
             name = substr($0, 1, 44)
             sub(/ +$/, "", name)
             held = $(NF - 1)
             unseen = $NF
         }
         /^fold/ {
             folds++
             held_sum += held / 4
             unseen_sum += unseen / 4
             best = folds == 1 || unseen < best ? unseen : best
             if (folds < 4) next
             put("a fold, mean of the four", held_sum, unseen_sum)
             put("the best of the four on unseen groups", "-", best)
             folds = held_sum = unseen_sum = 0
             next
         }
         /^the four/ && !/arithmetic/ { base = name }
         /^\+/ { name = base " " name }
         { put(name, held, unseen) }
         END {
             printf "%-60s %17s %17s\n", n[names[1]] " seeds", "held", "unseen"
             for (i = 1; i <= count; i++)
                 printf "%-60s %17s %17s\n", names[i], spread(names[i], "held"), spread(names[i], "unseen")
         }' table
}

: >table
for seed; do
    row "seed $seed" held unseen
    "$graft" train $options -d data/train.csv --seed "$seed" --group none --val 0.25 -o plain-$seed --json >>log 2>&1
    row 'one run, held out by picture' "$(sed -n 's/.*"val_log_loss": \([0-9.]*\).*/\1/p' plain-$seed/results.json)" "$(unseen plain-$seed/model.safetensors)"
    "$graft" train $options -d data/train.csv --seed "$seed" --folds 4 -o folds-$seed >>log 2>&1
    for i in 0 1 2 3; do
        row "fold $i, held out by group" "$(sed -n 's/.*"val_log_loss": \([0-9.]*\).*/\1/p' folds-$seed/fold-$i/results.json)" "$(unseen folds-$seed/fold-$i/model.safetensors)"
    done
    oof=$(sed -n 's/.*"oof_log_loss": *\([0-9.]*\).*/\1/p' folds-$seed/results.json)
    "$graft" ensemble folds-$seed --rule geometric -o ensemble-$seed >>log 2>&1
    row 'the four, geometric mean' "$oof" "$(unseen ensemble-$seed)"
    "$graft" ensemble folds-$seed --rule arithmetic -o mean-$seed >>log 2>&1
    row 'the four, arithmetic mean' "$oof" "$(unseen mean-$seed)"
    held_out folds-$seed
    "$graft" predict ensemble-$seed data/test $views --csv views-$seed.csv >>log 2>&1
    row '+ 5 views' "$(score held-views.csv)" "$(score views-$seed.csv)"
    "$graft" knn folds-$seed/fold-0/model.safetensors data/test -k 3 --predictions views-$seed.csv --csv near-$seed.csv >>log 2>&1
    row '+ 3 neighbours' "$(score held-near.csv)" "$(score near-$seed.csv)"
    # The unseen groups' pictures without their labels, by the models that never saw the fold they label for.
    "$graft" pseudo folds-$seed -d data/test ${PSEUDO:---top 60 --labels soft} --rounds 2 -o pseudo-$seed >>log 2>&1
    for round in 1 2; do
        "$graft" ensemble pseudo-$seed/round-$round --rule geometric -o students-$seed-$round >>log 2>&1
        row "the four with pseudo-labels, round $round" "$(sed -n 's/.*"oof_log_loss": *\([0-9.]*\).*/\1/p' pseudo-$seed/round-$round/results.json)" "$(unseen students-$seed-$round)"
    done
    held_out pseudo-$seed/round-2
    "$graft" predict students-$seed-2 data/test $views --csv student-views-$seed.csv >>log 2>&1
    row '+ 5 views' "$(score held-views.csv)" "$(score student-views-$seed.csv)"
    "$graft" svm "$weights" -d data/train.csv --imgsz 64 --folds 4 -o svm-$seed >>log 2>&1 &&
        row 'linear SVM on published features' "$("$graft" ensemble svm-$seed/oof_predictions.csv --json 2>>log | sed 's/"members".*\]//' | log_loss)" "$(unseen svm-$seed)"
done
over_seeds
