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
expect 2 'was trained on whole pictures' '--crop cam for one' "$graft" predict whole pictures --crop cam
expect 3 "'close/whole/model.safetensors' is not there" '--crop cam without the model that looks' "$graft" val close -d list.csv --crop cam
head -n 20 boxes.csv >few.csv
expect 3 '5 of 24 pictures have no box' 'pictures without a box' "$graft" predict close pictures --crop few.csv
expect 3 '5 of 24 pictures have no box' 'training pictures without a box' "$graft" train $toy --crop few.csv -o no
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

# One command for the three, and one option for boxes: the same bits.
cam="$graft train $toy --epochs 2 --crop cam -o cam"
expect 0 '3 of 3' 'train --crop cam' $cam
# The boxes are no part of what makes data other data: the pictures are the same.
expect 0 'all, geometric' 'ensemble of a run of whole pictures, one of boxes, one that looks for them' "$graft" ensemble whole close cam
mkdir beside
"$graft" crops cam/whole -d list.csv -o beside/boxes.csv >log 2>&1
"$graft" train $toy --epochs 2 --crop beside/boxes.csv -o three >log 2>&1
"$graft" train $toy --epochs 2 -o first >log 2>&1
# equal MODEL MODEL: the same weights; the headers, which say how they were made, differ.
tensors() { tail -c +$(($(od -An -tu8 -N8 "$1") + 9)) "$1"; }
equal() { tensors "$1" >1.bin && tensors "$2" >2.bin && cmp 1.bin 2.bin; }
holds 'whole pictures as without it' equal first/model.safetensors cam/whole/model.safetensors
holds 'the boxes of crops' cmp beside/boxes.csv cam/boxes.csv
holds 'crops as with their file' equal three/model.safetensors cam/model.safetensors
holds 'validated alike' cmp three/val_predictions.csv cam/val_predictions.csv
holds 'what the first validated' sh -c 'cut -d, -f1-3 cam/split.csv >s && cut -d, -f1-3 cam/whole/split.csv | cmp - s'
holds 'args.json says it' grep -q '"crop":"cam"' cam/args.json
"$graft" runs . --json >listed 2>log
holds 'one run of the list' sh -c 'grep -q "/cam\"" listed && ! grep -q cam/whole listed'
for of in cam beside/boxes.csv; do
    name=$(basename "$of" .csv)
    "$graft" predict cam pictures --crop "$of" --csv "p-$name.csv" >log 2>&1
    "$graft" val cam -d list.csv --crop "$of" --json >"v-$name" 2>log
    "$graft" explain cam pictures/3.bmp --crop "$of" -o "e-$name.png" >log 2>&1
    "$graft" pseudo cam -d trained.csv --crop "$of" --threshold 0 --labels soft -o "l-$name.csv" >log 2>&1
done
for pair in p-cam.csv=p-boxes.csv v-cam=v-boxes e-cam.png=e-boxes.png l-cam.csv=l-boxes.csv; do
    holds "--crop cam as --crop FILE: $pair" cmp "${pair%=*}" "${pair#*=}"
done
expect 3 "here --crop cam lets 'cam/whole/model.safetensors'" 'predict says --crop cam' "$graft" predict cam pictures
expect 3 'of predict, val, pseudo and explain --crop cam' 'so does one that has it not' "$graft" features cam -d list.csv -o f.npy
expect 3 '1 of 2 inputs gave no result' 'a picture that cannot be read' "$graft" predict cam broken --crop cam
holds 'is named once' [ "$(grep -c 'broken/1.bmp: not a picture' log)" = 1 ]

# Stopped after the first run, and after the boxes; by a signal somewhere.
mv cam done
left() { rm -rf cam && mkdir cam && cp -r done/whole done/args.json cam && : >cam/events.jsonl; }
whole_again() { for f in boxes.csv whole/model.safetensors val_predictions.csv model.safetensors; do cmp "cam/$f" "done/$f" || return 1; done; }
left
expect 0 '2 of 3' 'goes on with the boxes' "$graft" train --resume cam
holds 'to the same bits' whole_again
left && cp done/boxes.csv cam
expect 0 '3 of 3' 'goes on with the crops' "$graft" train --resume cam
holds 'to the same bits again' whole_again
# The data lose a picture that was held out: what the first run learnt from is not validated all the same.
left && cp done/boxes.csv cam && cp list.csv all.csv
grep -vF "$(awk -F, '$3 == "val" { print $1; exit }' done/split.csv)," all.csv >list.csv
expect 0 'are not among the data any more' 'goes on with fewer pictures' "$graft" train --resume cam
holds 'in the same parts' sh -c '! cut -d, -f1-3 cam/split.csv | grep -vxFf s && [ $(grep -c ,val, cam/split.csv) = 3 ]'
mv all.csv list.csv
left
expect 2 "go on with \`graft train --resume cam\`" 'another one in its place' $cam
rm -rf cam
$cam >log 2>&1 &
process=$!
until [ -e cam/whole/last.ckpt.safetensors ] || ! kill -0 $process 2>/dev/null; do sleep 0.05; done
kill -INT $process 2>/dev/null
wait $process 2>/dev/null
expect 0 'on the boxes' 'after a signal' "$graft" train --resume cam
holds 'to the same bits after it' whole_again
expect 0 'is removed' 'runs rm' "$graft" runs rm cam --yes
holds 'and nothing stays' [ ! -e cam ]

# Folds look for their own boxes; what cannot be is said before anything is trained.
expect 0 'out of fold' 'folds of --crop cam' "$graft" train $toy --epochs 1 --folds 2 --crop cam -o cams
expect 0 'pictures/3.bmp' 'predict by all of them' "$graft" predict cams pictures --crop cam --csv both.csv
"$graft" predict cams/fold-1 pictures --crop cams/fold-1/boxes.csv --csv wanted.csv >log 2>&1
"$graft" predict cams/fold-1 pictures --crop cam --csv found.csv >log 2>&1
holds 'each by its own' cmp found.csv wanted.csv
# Models of crops and of whole pictures together: each sees its own.
expect 0 'all, arithmetic' 'ensemble of both' "$graft" ensemble cams/fold-0 cams/fold-0/whole --rule arithmetic -o mixed
for of in cam cams/fold-0/boxes.csv; do
    expect 0 'pictures/3.bmp' "both, --crop $of" "$graft" predict mixed pictures --crop "$of" --csv found.csv
    "$graft" predict cams/fold-0 pictures --crop "$of" --csv 1.csv >log 2>&1
    "$graft" predict cams/fold-0/whole pictures --csv 2.csv >log 2>&1
    paste -d, 1.csv 2.csv found.csv | awk -F, 'NR > 1 { n++; d = ($2 + $5) / 2 - $8; if (d > 1e-6 || d < -1e-6) bad = 1 } END { exit bad || !n }' &&
        ok 'their mean' || not_ok 'their mean'
done
expect 3 'knows nothing else' 'both, without boxes' "$graft" predict mixed pictures
"$graft" ensemble cams/fold-0/whole cams/fold-1/whole -o wholes >log 2>&1
expect 2 'all models of the ensemble were trained on whole pictures' 'boxes for nobody' "$graft" predict wholes pictures --crop cam

# An ensemble takes along what looks for its members' boxes, and forgets what nobody needs any more.
expect 0 'all, geometric' 'ensemble of models of crops' "$graft" ensemble cams --rule geometric -o together
"$graft" predict together pictures --crop cam --csv found.csv >log 2>&1
holds 'predicts as its members do' cmp found.csv both.csv
mv cams elsewhere && mv together moved
"$graft" predict moved pictures --crop cam --csv found.csv >log 2>&1
holds 'without them, and wherever it lies' cmp found.csv both.csv
expect 0 'all, geometric' 'another in its place' "$graft" ensemble folds --rule geometric -o moved
holds 'has no models that look' [ -z "$(ls moved/whole)" ]
expect 3 "'moved/whole/model.safetensors' is not there" 'and says so' "$graft" predict moved pictures --crop cam
expect 2 'so --no-save has no place' '--crop cam and --no-save' "$graft" train $toy --crop cam --no-save -o no
expect 2 '--cache keeps whole pictures' '--crop cam and --cache' "$graft" train $toy --crop cam --cache ram -o no
expect 2 'use a larger --imgsz' 'a map of one place' "$graft" train $toy --imgsz 32 --crop cam -o no
mkdir set && idx train
expect 2 'not of arrays' '--crop cam of arrays' "$graft" train --weights none -d set --crop cam -o no
expect 3 "cannot open './cam'" 'a file called cam' "$graft" train $toy --crop ./cam -o no
holds 'nothing was begun' [ ! -e no ]
