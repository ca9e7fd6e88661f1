#!/bin/sh
# tests/cli/test_entry.sh GRAFT: from one network to a competition's entry, from outside: views, folds, ensembles, submissions.
set -u
graft=$1
here=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

ok() { printf 'ok %s\n' "$1"; }
not_ok() { printf 'not ok %s\n' "$1"; [ ! -f log ] || sed 's/^/    /' log; }
# expect STATUS TEXT NAME COMMAND...: the exit code, and a text that the output must hold.
expect() {
    status=$1 text=$2 name=$3
    shift 3
    found=0
    "$@" >log 2>&1 || found=$?
    if [ "$found" = "$status" ] && grep -qF -- "$text" log; then ok "$name"; else
        echo "exit $found, expected $status and '$text'" >>log
        not_ok "$name"
    fi
}
holds() { # holds NAME CONDITION...: a test(1) or any other command
    name=$1
    shift
    if "$@" >log 2>&1; then ok "$name"; else not_ok "$name"; fi
}

# 36 pictures (PPM has no reader here, so BMP): 4x4, of class a bright, of class b dark, from six people.
mkdir pictures
bmp() { # FILE BYTE (octal, three digits)
    {
        printf 'BM\146\0\0\0\0\0\0\0\66\0\0\0\50\0\0\0\4\0\0\0\4\0\0\0\1\0\30\0\0\0\0\0\60\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0'
        i=0
        while [ $i -lt 16 ]; do printf "\\$2\\$3\\$2"; i=$((i + 1)); done
    } >"$1"
}
echo 'path,label,person' >list.csv
n=0
while [ $n -lt 36 ]; do
    person=$((n % 6))
    if [ $((n / 6 % 2)) = 0 ]; then label=a c=3$((n % 8))0; else label=b c=0$((n % 8))0; fi
    bmp "pictures/$n.bmp" $c 1$((person))0
    echo "pictures/$n.bmp,$label,p$person" >>list.csv
    n=$((n + 1))
done
toy='--weights none -d list.csv --imgsz 32 --lr 0.02 -b 8 --dropout 0 --threads 1'
expect 0 'best' 'toy run' "$graft" train $toy --epochs 2 --group person -o run

# Views of a picture.
expect 0 'pictures/3.bmp' 'predict --tta' "$graft" predict run/model.safetensors pictures --tta 4 --csv one.csv
expect 0 'geometric mean of 4 views' 'predict --tta of named changes' "$graft" predict run/model.safetensors pictures \
    --tta 4,flip,shift=0.2 --tta-mean geometric --csv two.csv
"$graft" predict run/model.safetensors pictures --tta 4 --threads 2 --csv again.csv >log 2>&1
holds 'the same views every time' cmp one.csv again.csv
holds 'other views' sh -c '! cmp -s one.csv two.csv'
expect 0 'log-loss' 'val --tta' "$graft" val run/model.safetensors -d list.csv --split all --tta flip,rotate=5,shift=0.05
expect 2 'did you mean' 'an unknown change' "$graft" predict run/model.safetensors pictures --tta turn=5
expect 2 'goes with --tta' '--tta-mean alone' "$graft" predict run/model.safetensors pictures --tta-mean geometric
expect 2 '--logits' 'logits of views' "$graft" predict run/model.safetensors pictures --tta 4 --logits l.npy

# Folds: the same folds whatever the seed; three models; every picture predicted once by the model that never saw it.
expect 0 'out of fold, over all 36 pictures' 'train --folds' "$graft" train $toy --epochs 2 --group person --folds 3 -o folds
for file in args.json folds.csv results.json oof_predictions.csv fold-0/model.safetensors fold-1/val_predictions.csv fold-2/report.html; do
    holds "fold run has $file" [ -s folds/$file ]
done
cut -d, -f1-3 folds/folds.csv | sort >listed
cut -d, -f1-3 folds/oof_predictions.csv | sort >predicted
holds 'every picture once, in its fold' cmp listed predicted
for i in 0 1 2; do
    awk -F, -v f=$i 'NR > 1 && $3 == f { print $1 }' folds/folds.csv | sort >ours
    awk -F, 'NR > 1 && $3 == "val" { print $1 }' folds/fold-$i/split.csv | sort >theirs
    holds "fold $i holds out its pictures" cmp ours theirs
done
awk -F, 'NR > 1 { print $5 }' folds/folds.csv | sort -u | wc -l >count
awk -F, 'NR > 1 { print $5 "," $3 }' folds/folds.csv | sort -u | wc -l >pairs
holds 'no person in two folds' cmp count pairs
expect 0 '3/3 f' 'runs shows one line' "$graft" runs folds
holds 'one line' [ "$("$graft" runs folds --json | wc -l)" = 1 ]
expect 0 'has ended' 'a finished fold run again' "$graft" train --resume folds

# The folds on two machines, another seed: the same folds; put together by --resume.
expect 0 'are missing' 'train --folds-run' "$graft" train $toy --epochs 2 --group person --folds 3 --folds-run 0,2 --seed 7 -o part
cut -d, -f1-3 part/folds.csv | sort >other
holds 'the same folds for another seed' cmp listed other
holds 'no predictions yet' [ ! -e part/oof_predictions.csv ]
expect 0 '2/3 f' 'runs shows how far it is' "$graft" runs part
"$graft" train $toy --epochs 2 --group person --folds 3 --folds-run 1 --seed 7 -o elsewhere >log 2>&1
cp -r elsewhere/fold-1 part/
expect 0 'over all 36 pictures' 'folds from two machines' "$graft" train --resume part
expect 0 'is removed' 'runs rm of a fold run' "$graft" runs rm elsewhere --yes
holds 'it is gone' [ ! -e elsewhere ]

# One fold alone is an ordinary run with the same bits.
"$graft" train $toy --epochs 2 --group person --folds 3 --fold 1 -o alone >log 2>&1
holds 'a fold alone' cmp alone/val_predictions.csv folds/fold-1/val_predictions.csv

# Killed in a fold and started again: the same predictions as never stopped.
big='--weights none -d list.csv --imgsz 64 --lr 0.02 -b 4 --dropout 0 --threads 1 --epochs 4 --group person --folds 3 --checkpoint-minutes 0.0001'
"$graft" train $big -o whole >log 2>&1
"$graft" train $big -o killed >log 2>&1 &
process=$! rounds=0
while [ ! -s killed/fold-1/last.ckpt.safetensors ] && [ $rounds -lt 1200 ]; do sleep 0.05; rounds=$((rounds + 1)); done
kill -9 $process
wait $process 2>/dev/null
holds 'killed in the second fold' [ ! -e killed/fold-2/model.safetensors ]
expect 0 'over all 36 pictures' 'a killed fold run goes on' "$graft" train --resume killed
holds 'with the same predictions' cmp whole/oof_predictions.csv killed/oof_predictions.csv
mkdir early && cp whole/args.json early/
expect 0 'over all 36 pictures' 'one killed before its list' "$graft" train --resume early --folds-run 0,1,2
holds 'with the same predictions, too' cmp whole/oof_predictions.csv early/oof_predictions.csv

expect 3 "there are 6: 'p0', 'p1'" 'fewer groups than folds' "$graft" train $toy --group person --folds 7 -o no
awk -F, -v OFS=, 'NR > 1 && $3 == "p2" { $2 = "c" } { print }' list.csv >lonely.csv
expect 3 'c in p2' 'a class in one group only' "$graft" train --weights none -d lonely.csv --imgsz 32 --group person --folds 3 -o no
(cat list.csv; tail -n 1 list.csv) >twice.csv
expect 3 'in the data twice' 'a picture twice' "$graft" train --weights none -d twice.csv --imgsz 32 --group person --folds 3 -o no
cp -r folds moved
sed '2s/,a,/,b,/' list.csv >list2.csv && cp list.csv kept.csv && cp list2.csv list.csv
expect 3 'are of other data' 'folds of other data' "$graft" train --resume moved
cp kept.csv list.csv
sed '2s/^pictures.[0-9]*.bmp/pictures\/99.bmp/' folds/fold-0/val_predictions.csv >moved/fold-0/val_predictions.csv
expect 3 "pictures/99.bmp' is not among" 'a fold of other pictures' "$graft" train --resume moved
cp folds/fold-1/val_predictions.csv moved/fold-0/val_predictions.csv
expect 3 'in another fold' 'a fold under another name' "$graft" train --resume moved
sed 2d folds/fold-0/val_predictions.csv >moved/fold-0/val_predictions.csv
expect 3 'predicted nothing for' 'a fold with less' "$graft" train --resume moved
expect 2 'has no place' '--folds with --val' "$graft" train $toy --folds 3 --val 0.2 -o no
expect 2 'would leave nothing' 'one fold' "$graft" train $toy --folds 1 -o no
expect 2 'from 0 to 2' 'no such fold' "$graft" train $toy --folds 3 --folds-run 3 -o no
expect 2 'holds a run already' 'an old fold run is kept' "$graft" train $toy --folds 3 --group person -o folds
