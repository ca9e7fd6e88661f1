#!/bin/sh
# tests/cli/test_pseudo.sh GRAFT: pseudo-labels from outside: made by a run and by a fold run, trained on, what is refused.
. "$(dirname "$0")/common.sh"

# 36 pictures with labels of people p0 to p5, 20 without of p4 to p9.
mkdir more
people group
echo 'path,group' >more.csv
n=0
while [ $n -lt 20 ]; do
    if [ $((n / 6 % 2)) = 0 ]; then c=3$((n % 8))2; else c=0$((n % 8))2; fi
    bmp "more/$n.bmp" $c 1$((n % 6))2
    echo "more/$n.bmp,p$((n % 6 + 4))" >>more.csv
    n=$((n + 1))
done
toy='--weights none -d list.csv --imgsz 32 --lr 0.02 -b 8 --dropout 0 --threads 1'
expect 0 'best' 'toy run' "$graft" train $toy --optimizer adam --lr 0.002 -b 4 --epochs 40 -o run

# Choosing: by threshold, by top, hard and soft.
expect 0 'hard labels for 20 pictures' 'pseudo of a run' "$graft" pseudo run -d more --threshold 0 -o all.csv
holds 'a row a picture' [ "$(wc -l <all.csv)" = 21 ]
holds 'its header' [ "$(head -n 1 all.csv)" = path,label ]
"$graft" predict run more --csv p.csv >log 2>&1
tr -d '"' <p.csv | awk -F, 'NR > 1 { print $1 "," ($2 >= $3 ? "a" : "b") }' | sort >wanted
sed 1d all.csv | sort >found
holds 'the likeliest classes of predict' cmp found wanted
limit=$(tr -d '"' <p.csv | awk -F, 'NR > 1 { print ($2 >= $3 ? $2 : $3) }' | sort -r | sed -n 7,8p | awk '{ sum += $1 } END { print sum / 2 }')
expect 0 'labels for 20 pictures' 'pseudo --threshold' "$graft" pseudo run/model.safetensors -d more --threshold "$limit" -o t.csv
tr -d '"' <p.csv | awk -F, -v t="$limit" 'NR > 1 && ($2 >= t || $3 >= t) { print $1 }' | sort >wanted
sed 1d t.csv | cut -d, -f1 | sort >found
holds 'those of at least P' cmp found wanted
expect 0 'soft labels for 20' 'pseudo --top' "$graft" pseudo run -d more --top 2 --labels soft -o top.csv
tr -d '"' <p.csv | awk -F, 'NR > 1 && $2 >= $3 { print $2 "," $1 }' | sort -r | sed 's/.*,//' | head -n 2 | sort >wanted
sed 1d top.csv | awk -F, '$2 == "a" { print $1 }' | sort >found
holds 'the N likeliest of a class' cmp found wanted
holds 'soft labels are the probabilities' awk -F, 'NR == FNR { gsub(/"/, "", $1); p[$1] = $2; next } FNR > 1 { d = p[$1] - $3; if (d > 1e-6 || d < -1e-6) bad = 1 } END { exit bad }' p.csv top.csv
mkdir away
expect 0 'labels for' 'pseudo into another folder' "$graft" pseudo run -d more --threshold 0 -o away/all.csv
holds 'absolute paths' [ "$(grep -c "^$(pwd -P)/more/" away/all.csv)" = 20 ]
expect 0 'a data set that train takes' 'as a data set of its own' sh -c "cd away && printf 'a\nb\n' >classes && '$graft' train --weights none -d all.csv --classes classes --imgsz 32 --epochs 1 --val 0 -o ../own && echo a data set that train takes"

# Training with them: named in the run, never validated, the same bits for any number of workers and after a stop.
expect 0 '20 pictures with soft labels' 'pseudo --labels soft' sh -c "'$graft' pseudo run -d more --threshold 0 --labels soft -o soft.csv -q && '$graft' train $toy --epochs 2 --pseudo soft.csv --pseudo-share 0.3 --log-steps -o next"
holds 'split.csv has them' [ "$(grep -c ',pseudo,' next/split.csv)" = 20 ]
holds 'none of them is validated' [ "$(grep -c more/ next/val_predictions.csv)" = 0 ]
holds 'the model says so' sh -c "grep -q 'soft.csv' next/args.json && grep -a -q 'pseudo-share' next/model.safetensors"
"$graft" train $toy --epochs 2 --pseudo soft.csv --pseudo-share 0.3 --workers 4 -o again >log 2>&1
holds 'four workers: the same predictions' cmp next/val_predictions.csv again/val_predictions.csv
"$graft" train $toy --epochs 1 --pseudo soft.csv --pseudo-share 0.3 -o parts >log 2>&1
expect 0 'going on with' 'a run that goes on' "$graft" train --resume parts --epochs 2
holds 'the same predictions after a stop' cmp next/val_predictions.csv parts/val_predictions.csv
sed '2,$s/,\([ab]\),\([^,]*\),\(.*\)/,\1,\3,\2/' soft.csv >x && cp soft.csv kept && mv x soft.csv
expect 3 'was made with something else' 'other labels on resuming' "$graft" train --resume parts --epochs 3
mv kept soft.csv
expect 0 'going on with' 'the same labels again' "$graft" train --resume parts --epochs 3

"$graft" train $toy --epochs 12 --pseudo soft.csv --pseudo-share 0.3 -o long >log 2>&1
for seconds in 0.4 0.5; do # stopped within an epoch, wherever that is
    if [ -e stopped/args.json ]; then timeout -s INT $seconds "$graft" train --resume stopped >log 2>&1; else
        timeout -s INT $seconds "$graft" train $toy --epochs 12 --pseudo soft.csv --pseudo-share 0.3 -o stopped >log 2>&1; fi
done
"$graft" train --resume stopped >log 2>&1
holds 'the same predictions after stops within epochs' cmp long/val_predictions.csv stopped/val_predictions.csv
expect 3 'has no temperature' '--calibrated of a model without' "$graft" pseudo long -d more --calibrated -o no.csv

# Groups: who is validated is left out, with a word.
expect 0 'labels for 20' 'groups of a CSV' "$graft" pseudo run -d more.csv --threshold 0 -o g.csv
holds 'a column of groups' [ "$(head -n 1 g.csv)" = path,label,group ]
held=$(awk -F, '$3 == "val" { print $5; exit }' run/split.csv)
sed "s/,p4\$/,$held/" g.csv >held.csv
expect 0 "because their groups are validated: '$held'" 'a validated group' "$graft" train $toy --epochs 1 --pseudo held.csv -o groups
holds 'who is not trained on' sh -c "awk -F, '\$3 == \"val\" { v[\$5] = 1 } \$3 == \"pseudo\" { p[\$5] = 1 } END { for (g in p) if (g in v) exit 1 }' groups/split.csv"
awk -F, -v OFS=, 'NR > 1 { $3 = "p" NR % 6 } { print }' g.csv >turns.csv
expect 0 'because their groups are validated' 'two in turns' "$graft" train $toy --epochs 1 --val 0.4 --pseudo turns.csv -o turns
grep 'are validated: ' log | grep -o "'p[0-9]'" | sort >named
holds 'each named once' sh -c '[ "$(wc -l <named)" = 2 ] && [ -z "$(uniq -d named)" ]'

expect 2 'has no such column' 'a column that is not there' "$graft" pseudo run -d more.csv --group person -o no.csv

# Fold runs: labels by fold, each from the model that never saw it.
expect 0 'out of fold' 'a fold run' "$graft" train $toy --epochs 2 --folds 3 -o folds
expect 0 'labels for 20' 'pseudo of a fold run' "$graft" pseudo folds -d more --threshold 0 -o byfold.csv
holds 'no spread over one fold' sh -c "'$graft' train $toy --epochs 1 --folds 3 --folds-run 0 -o single 2>&1 | grep -q '^1 fold: log-loss [0-9.]*, top-1 [0-9.]*\$'"
holds 'three times' [ "$(wc -l <byfold.csv)" = 61 ]
"$graft" predict folds/fold-1 more --csv p1.csv >log 2>&1
tr -d '"' <p1.csv | awk -F, 'NR > 1 { print $1 "," ($2 >= $3 ? "a" : "b") ",1" }' | sort >wanted
grep ',1$' byfold.csv | sort >found
holds 'by the model of the fold' cmp found wanted
expect 0 'out of fold' 'train --folds with them' "$graft" train $toy --epochs 1 --folds 3 --pseudo byfold.csv -o folds2
holds 'twenty in each fold' [ "$(grep -c ',pseudo,' folds2/fold-2/split.csv)" = 20 ]
holds 'none of them is out of fold' [ "$(grep -c more/ folds2/oof_predictions.csv)" = 0 ]
expect 3 'labels of 3 folds, the run has 4' 'other folds' "$graft" train $toy --epochs 1 --folds 4 --pseudo byfold.csv -o no
expect 3 'its labels are by fold' 'labels by fold without folds' "$graft" train $toy --epochs 1 --pseudo byfold.csv -o no
expect 0 'its labels are not by fold' 'labels of one model in a fold run' "$graft" train $toy --epochs 1 --folds 3 --folds-run 0 --pseudo all.csv -o part
expect 0 'pictures/3.bmp' 'predict of a fold run' "$graft" predict folds pictures --csv f.csv
"$graft" ensemble folds -o mean >log 2>&1 && "$graft" predict mean pictures --csv e.csv >log 2>&1
holds 'as its ensemble' cmp f.csv e.csv
expect 0 'labels for 20' 'pseudo of an ensemble' "$graft" pseudo mean -d more --top 3 --tta 3 -o e.csv

# What is validated may not be learnt: by path, by content, in either command.
held=$(awk -F, '$3 == "val" { print $1 }' run/split.csv | head -n 1)
mkdir leak && cp more/1.bmp leak && cp "$held" leak/other.bmp
expect 3 "leak/other.bmp = $held" 'pseudo of a copy of what is validated' "$graft" pseudo run -d leak -o no.csv
expect 3 'are validated by the run' 'pseudo of the pictures themselves' "$graft" pseudo run -d pictures -o no.csv
expect 3 'are validated by the run' 'pseudo of an ensemble over its pictures' "$graft" pseudo mean -d pictures -o no.csv
expect 3 'are validated by the run' 'pseudo of a fold run over its pictures' "$graft" pseudo folds -d leak -o no.csv
holds 'no file' [ ! -e no.csv ]
printf 'path,label\nmore/1.bmp,a\nleak/other.bmp,a\n' >leaks.csv
expect 3 "leak/other.bmp = $held" 'train with a copy of what is validated' "$graft" train $toy --epochs 1 --pseudo leaks.csv -o no
expect 3 'each by the fold that holds it out' 'folds with a copy' "$graft" train $toy --epochs 1 --folds 3 --pseudo leaks.csv -o no
holds 'nothing begun' [ ! -e no/fold-0 ]

# Rounds: as the run was trained; stopped anywhere, the same command goes on to the same result.
"$graft" train $toy --epochs 2 -o base >log 2>&1
rounds='pseudo base -d more --threshold 0 --pseudo-share 0.4 --rounds 2'
expect 0 'the last round is in whole/round-2' 'two rounds' "$graft" $rounds -o whole
holds 'with the options of the run' sh -c "grep -q '\"pseudo\": *\"whole/round-2.csv\"' whole/round-2/args.json && grep -q '\"lr\": *\"0.02\"' whole/round-2/args.json"
for seconds in 0.3 0.6 1.2; do
    "$graft" $rounds -o killed >log 2>&1 &
    sleep $seconds
    kill -KILL $! 2>/dev/null
    wait $! 2>/dev/null # until it is gone, and its lock with it
done
expect 0 'the last round is in killed/round-2' 'killed, then to the end' "$graft" $rounds -o killed
holds 'the same labels' cmp whole/round-2.csv killed/round-2.csv
holds 'the same predictions' cmp whole/round-2/val_predictions.csv killed/round-2/val_predictions.csv
expect 0 'the last round is in whole/round-3' 'another round' "$graft" pseudo base -d more --threshold 0 --pseudo-share 0.4 --rounds 3 -o whole
expect 3 'threshold was 0, and is 0.5' 'rounds begun otherwise' "$graft" pseudo base -d more --threshold 0.5 --pseudo-share 0.4 --rounds 3 -o whole
expect 0 'the last round is in byfold/round-1' 'a round of a fold run' "$graft" pseudo folds -d more --threshold 0 --rounds 1 -o byfold
holds 'has its folds' [ -s byfold/round-1/oof_predictions.csv ]
expect 3 'not the folder of a run' 'rounds of a model file' "$graft" pseudo run/model.safetensors -d more --rounds 1 -o no

# Bad files and options.
printf 'path,label\nmore/1.bmp,zebra\n' >bad.csv
expect 3 "'zebra' of 'more/1.bmp' is no class" 'an unknown label' "$graft" train $toy --pseudo bad.csv -o no
printf 'path,label,a,b\nmore/1.bmp,a,0.9,0.3\n' >bad.csv
expect 3 'add up to 1.2' 'soft labels that do not add up' "$graft" train $toy --pseudo bad.csv -o no
printf 'path,label,a,b\nmore/1.bmp,a,nan,0.3\n' >bad.csv
expect 3 'is no probability' 'soft labels of NaN' "$graft" train $toy --pseudo bad.csv -o no
printf 'path,label,a,c\nmore/1.bmp,a,1,0\n' >bad.csv
expect 3 "'c' is no class of the data" 'soft labels of other classes' "$graft" train $toy --pseudo bad.csv -o no
printf 'path,label,a\nmore/1.bmp,a,1\n' >bad.csv
expect 3 "'b' has no column" 'soft labels without a class' "$graft" train $toy --pseudo bad.csv -o no
printf 'file,class\nmore/1.bmp,a\n' >bad.csv
expect 3 'a file of `graft pseudo` is expected' 'another file' "$graft" train $toy --pseudo bad.csv -o no
expect 2 'goes with --pseudo' '--pseudo-share alone' "$graft" train $toy --pseudo-share 0.5 -o no
expect 2 'pseudo-share' 'a share of all' "$graft" train $toy --pseudo all.csv --pseudo-share 1 -o no
expect 3 'a lower --threshold' 'nothing to be sure of' "$graft" pseudo run -d more --threshold 1 -o no.csv
expect 2 'are needed' 'pseudo into nothing' "$graft" pseudo run -d more
expect 3 'not complete' 'pseudo of folds that have not ended' "$graft" pseudo part -d more -o no.csv
