#!/bin/sh
# tests/cli/test_crops.sh GRAFT: crops by class activation from outside: boxes, training on them, who needs them.
. "$(dirname "$0")/common.sh"

# 24 BMPs of 12x4, of class a bright, of class b dark.
mkdir pictures
n=0
echo 'path,label' >list.csv
while [ $n -lt 24 ]; do
    if [ $((n % 2)) = 0 ]; then label=a c=3$((n % 8))0; else label=b c=0$((n % 8))0; fi
    {
        printf 'BM\306\0\0\0\0\0\0\0\66\0\0\0\50\0\0\0\14\0\0\0\4\0\0\0\1\0\30\0\0\0\0\0\220\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0'
        i=0
        while [ $i -lt 48 ]; do printf "\\$c\\12$((i % 8))\\$c"; i=$((i + 1)); done
    } >pictures/$n.bmp
    echo "pictures/$n.bmp,$label" >>list.csv
    n=$((n + 1))
done
toy='--weights none -d list.csv --imgsz 64 --lr 0.02 -b 8 --dropout 0 --threads 1'
expect 0 'best' 'toy run' "$graft" train $toy --epochs 1 -o whole
expect 0 'boxes of 24 pictures' 'crops' "$graft" crops whole -d pictures -o boxes.csv
holds 'a row a picture' [ "$(wc -l <boxes.csv)" = 25 ]
holds 'parts of the picture' awk -F, 'NR > 1 && !($2 >= 0 && $3 >= 0 && $4 > 0 && $5 > 0 && $2 + $4 <= 1.00001 && $3 + $5 <= 1.00001) { bad = 1 } END { exit bad }' boxes.csv
"$graft" predict whole pictures -k 1 --csv p.csv >log 2>&1
tr -d '"' <p.csv | awk -F, 'NR > 1 { print $1 "," ($2 >= $3 ? "a" : "b") }' | sort >wanted
sed 1d boxes.csv | cut -d, -f1,6 | sort >found
holds 'of the class that is predicted' cmp found wanted
sed 's/,a$/,x/; s/,b$/,a/; s/,x$/,b/' list.csv >swapped.csv
expect 0 'boxes of 24' 'crops of a CSV' "$graft" crops whole -d swapped.csv -o swapped-boxes.csv
sort boxes.csv >found && sort swapped-boxes.csv >wanted
holds 'whatever its labels' cmp found wanted
expect 0 'explain' 'explain --box' sh -c "'$graft' explain whole pictures/3.bmp --box -o box.png && '$graft' explain whole pictures/3.bmp -o plain.png && echo explain"
holds 'draws a frame' sh -c '! cmp -s box.png plain.png'

# Training on the boxes; the model says so, and asks for boxes.
expect 0 'best' 'train --crop' "$graft" train $toy --epochs 2 --crop boxes.csv -o close
expect 0 '"crop":' 'the model says so' "$graft" inspect close/model.safetensors --json
expect 3 'add --crop FILE.csv here' 'predict without boxes' "$graft" predict close pictures
expect 3 'was trained on crops' 'val without boxes' "$graft" val close -d list.csv
expect 3 'use predict, val, pseudo or explain' 'a command that has no --crop' "$graft" features close/model.safetensors -d list.csv -o f.npy
expect 3 'was trained on crops' 'boxes of a model of boxes' "$graft" crops close -d pictures -o no.csv
expect 3 'was trained on crops' 'explain without boxes' "$graft" explain close pictures/3.bmp -o e.png
expect 0 'pictures/3.bmp' 'predict --crop' "$graft" predict close pictures --crop boxes.csv --csv c.csv
# The same figures as the run's own validation.
awk -F, 'NR == FNR { gsub(/"/, "", $1); p[$1] = $2; next } FNR > 1 { n++; d = p[$1] - $3; if (d > 1e-5 || d < -1e-5) bad = 1 } END { exit bad || !n }' c.csv close/val_predictions.csv &&
    ok 'as training validated' || not_ok 'as training validated'
expect 0 'log-loss' 'val --crop' "$graft" val close -d list.csv --split all --crop boxes.csv
expect 0 'explain' 'explain --crop' sh -c "'$graft' explain close pictures/3.bmp --crop boxes.csv -o e.png && echo explain"
awk -F, 'NR == 1 || $3 == "train" { print $1 }' close/split.csv >trained.csv
expect 0 'soft labels for 20' 'pseudo --crop' "$graft" pseudo close -d trained.csv --crop boxes.csv --threshold 0 --labels soft -o s.csv
expect 0 'best' 'pseudo-labels and crops' "$graft" train $toy --epochs 1 --val 4 --crop boxes.csv --pseudo s.csv -o both
expect 2 'was trained on whole pictures' '--crop for a model of whole pictures' "$graft" predict whole pictures --crop boxes.csv
head -n 20 boxes.csv >few.csv
expect 3 '5 of 24 pictures have no box' 'pictures without a box' "$graft" predict close pictures --crop few.csv
expect 3 '5 of 24 pictures have no box' 'training pictures without a box' "$graft" train $toy --crop few.csv -o no
expect 2 'then `graft crops RUN' '--crop cam' "$graft" train $toy --crop cam -o no
expect 2 '--cache keeps whole pictures' '--cache and --crop' "$graft" train $toy --crop boxes.csv --cache ram -o no
expect 0 'going on with' 'resuming' "$graft" train --resume close --epochs 3
sed 's/,a,/,a,/; 2s/,[0-9.]*,[0-9.]*,[0-9.]*,[0-9.]*,/,0,0,0.5,0.5,/' boxes.csv >x && mv x boxes.csv
expect 3 'was made with something else' 'resuming with other boxes' "$graft" train --resume close --epochs 4
"$graft" crops whole -d pictures -o boxes.csv >log 2>&1
expect 0 'out of fold' 'folds of crops' "$graft" train $toy --epochs 1 --folds 2 --crop boxes.csv -o folds
expect 0 'pictures/3.bmp' 'predict by them' "$graft" predict folds pictures --crop boxes.csv
expect 3 'is several models' 'crops by several models' sh -c "'$graft' train $toy --epochs 1 --folds 2 -o plain -q; '$graft' crops plain -d pictures -o no.csv; [ \$? = 2 ] && echo is several models && exit 3"
mkdir broken && cp pictures/0.bmp broken && echo nothing >broken/1.bmp
expect 0 'not cropped' 'a picture that cannot be read' "$graft" crops whole -d broken -o broken.csv
holds 'keeps its whole' grep -q '^broken/1.bmp,0,0,1,1,,0$' broken.csv
