#!/bin/sh
# tests/cli/test_entry.sh GRAFT: from one network to a competition's entry, from outside: views, folds, ensembles, submissions.
. "$(dirname "$0")/common.sh"

people person
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
holds 'rows have their fold' sh -c "'$graft' train $toy --epochs 1 --group person --folds 3 -q -o rows 2>/dev/null | grep -q '^fold  epoch'"
holds 'and in JSON' sh -c "'$graft' watch rows/fold-1 --json 2>/dev/null | grep -q '\"fold\":1}'"
holds 'numbers without noise' sh -c "! '$graft' watch rows/fold-1 --json 2>/dev/null | grep -q '[0-9]\{14\}'"
expect 2 'from 0 to 0.9999999' 'what an average may keep' "$graft" train $toy --ema 1 -o none
"$graft" train $toy --epochs 50 --group person --folds 3 -o halted >told 2>&1 &
i=0
while [ ! -s halted/fold-0/results.csv ] && [ $i -lt 100 ]; do sleep 0.1; i=$((i + 1)); done
kill -INT $! && wait $!
holds 'one way to go on' sh -c "[ \"\$(grep -c -- '--resume halted\`' told)\" = 1 ] && ! grep -q -- '--resume halted/fold' told"
expect 0 'folds/report.html' 'report of a fold run' "$graft" report folds
holds 'its folds side by side' sh -c "grep -q '3 folds side by side' folds/report.html && grep -q 'fold-2' folds/report.html"
holds 'with their spread' sh -c "grep -q '(standard deviation [0-9.]*)' folds/report.html && ! grep -q 'Options that differ' folds/report.html"
expect 3 'name folds/fold-0' 'watch of a fold run' "$graft" watch folds
expect 3 'name folds/fold-0' 'report of a fold run and another' "$graft" report folds run
expect 3 'name folds/fold-0' 'knn of a fold run' "$graft" knn folds pictures --csv near.csv
expect 2 'folds/fold-0' 'explain of a fold run' "$graft" explain folds pictures/3.bmp
expect 3 "there is no folder 'nowhere'" 'watch of nothing' "$graft" watch nowhere
expect 3 "there is no folder 'nowhere'" 'report of nothing' "$graft" report nowhere
expect 3 "there is no folder 'nowhere'" 'nothing to resume' "$graft" train --resume nowhere
expect 0 'has ended' 'a finished fold run again' "$graft" train --resume folds

# The folds on two machines, another seed: the same folds; put together by --resume.
expect 0 '1 fold is missing' 'train --folds-run' "$graft" train $toy --epochs 2 --group person --folds 3 --folds-run 0,2 --seed 7 -o part
cut -d, -f1-3 part/folds.csv | sort >listed2
holds 'the same folds for another seed' cmp listed listed2
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
holds 'nothing was begun' [ ! -e no ]
sed '2,4s/,p[0-9]*$/,/' list.csv >few.csv
expect 0 'few.csv: 3 of 36 pictures have no group' 'pictures without a group' "$graft" data stats few.csv --group person
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

# Ensembles: of another network and another size, by every rule; a model like any other.
expect 0 'over all 36 pictures' 'folds of another network' "$graft" train $toy -m mobilenet_v2 --imgsz 64 --epochs 1 --group person --folds 3 -o other
for rule in arithmetic geometric weights greedy stack; do
    expect 0 'all, ' "ensemble by $rule" "$graft" ensemble folds other --rule $rule -o by_$rule
    expect 0 'log-loss' "val of it, by $rule" "$graft" val by_$rule -d list.csv --split all
done
# Scores over pictures that a member was trained on say so.
expect 0 "36 of the 36 pictures were trained on by the fold run in 'other', each by all its models but one" \
    'val of an ensemble over its pictures' "$graft" val by_stack -d list.csv --split all
expect 0 "out of fold its log-loss is $(sed -n 's/.*"oof_log_loss": *\([0-9.]*\).*/\1/p' folds/results.json | cut -c1-4)" \
    'val of a fold run over its pictures' "$graft" val folds -d list.csv --split all
expect 0 "24 of the 36 pictures were trained on by the run in 'alone'" 'val of a run over its pictures' "$graft" val alone -d list.csv --split all
holds 'not over those held out' sh -c "'$graft' val alone -d list.csv --split alone/split.csv 2>&1 | grep -c 'trained on' | grep -qx 0"
expect 0 'pictures/3.bmp' 'predict by an ensemble with views' "$graft" predict by_stack pictures --tta 2 --csv e.csv
holds 'a row a picture' [ "$(wc -l <e.csv)" = 37 ]
# By hand: the geometric mean of two models' predictions.
"$graft" predict folds/fold-0/model.safetensors pictures --csv a.csv >log 2>&1
"$graft" predict other/fold-1/model.safetensors pictures --csv b.csv >log 2>&1
expect 0 'nothing can be scored' 'ensemble of models' "$graft" ensemble folds/fold-0/model.safetensors other/fold-1/model.safetensors \
    --weights 3,1 -o pair
"$graft" predict pair/ensemble.json pictures --csv p.csv >log 2>&1
expect 0 'holds predictions and no model' 'ensemble of CSVs' "$graft" ensemble a.csv b.csv --weights 3,1 -o csvs
paste -d, a.csv b.csv p.csv csvs/predictions.csv | tr -d "\"" | awk -F, 'NR > 1 {
    x = exp(0.75 * log($2) + 0.25 * log($5)); y = exp(0.75 * log($3) + 0.25 * log($6)); x = x / (x + y)
    d = $8 - x; e = $11 - x; if (d < 0) d = -d; if (e < 0) e = -e; if (d > 1e-6 || e > 1e-6) { print NR, x, $8, $11; bad = 1 }
    if ($1 != $4 || $1 != $7 || $1 != $10) bad = 1 } END { exit bad }' >log 2>&1 && ok 'the mean by hand' || not_ok 'the mean by hand'
expect 0 'all, weights' 'ensemble of out-of-fold CSVs' "$graft" ensemble folds/oof_predictions.csv other/oof_predictions.csv --rule weights
"$graft" ensemble folds other --rule weights --json >one.json 2>log
"$graft" ensemble folds/oof_predictions.csv other/oof_predictions.csv --rule weights --json >two.json 2>log
holds 'with the same figures' sh -c "sed 's/\"members.*\"log/\"log/' one.json >x; sed 's/\"members.*\"log/\"log/' two.json | cmp - x"
for change in '$3 - 1' '$3 + 1000000000'; do
    for run in folds other; do awk -F, -v OFS=, "NR > 1 { \$3 = sprintf(\"%d\", $change) } { print }" $run/oof_predictions.csv >$run.csv; done
    "$graft" ensemble folds.csv other.csv --rule weights --json >two.json 2>log
    holds "the same with folds as $change" sh -c "sed 's/\"members.*\"log/\"log/' two.json | cmp - x"
done
cut -d, -f1,2,4- folds/oof_predictions.csv >folds.csv
"$graft" ensemble folds.csv other --rule weights --json >two.json 2>log
holds 'the same where the second alone names the folds' sh -c "sed 's/\"members.*\"log/\"log/' two.json | cmp - x"
expect 0 'all, arithmetic' 'an ensemble of ensembles by their predictions' "$graft" ensemble by_stack/oof_predictions.csv folds --rule arithmetic

expect 3 'are not complete' 'a fold run that is not done' sh -c "cp -r folds half; rm half/oof_predictions.csv; '$graft' ensemble half"
sed 's/^path,label,fold,a,b/path,label,fold,b,a/' folds/oof_predictions.csv >swapped.csv
expect 0 'all, geometric' 'classes in another order are matched' "$graft" ensemble folds/oof_predictions.csv swapped.csv
sed '1s/,b$/,z/; s/,b,/,z,/' folds/oof_predictions.csv >renamed.csv
expect 3 "'z' only in renamed.csv" 'members with other classes' "$graft" ensemble folds renamed.csv
sed '3s/,[0-9.e-]*$/,nan/' folds/oof_predictions.csv >nan.csv
expect 3 "is no probability: 'nan'" 'predictions with NaN' "$graft" ensemble folds nan.csv
sed '3s/,[0-9.e-]*$/,0.9999/' folds/oof_predictions.csv | sed '3s/,\([012]\),[0-9.e-]*,/,\1,0.9,/' >sum.csv
expect 3 'add up to 1.8999, not to 1' 'predictions that do not sum to one' "$graft" ensemble folds sum.csv
sed '2s/,a,/,b,/' folds/oof_predictions.csv >label.csv
expect 3 "' is 'a' in" 'another label' "$graft" ensemble folds label.csv
sed 5d a.csv >less.csv
expect 3 'all must be of the same pictures' 'predictions of other pictures' "$graft" ensemble less.csv b.csv
expect 3 'is fitted on labelled' 'fitted on nothing' "$graft" ensemble a.csv b.csv --rule weights
# Members of other data: other pictures under the same names, other folds.
cp -r other swapped
sed '2,7s/,[0-9a-f]\{4\}\([0-9a-f]\{12\},p\)/,abcd\1/' other/folds.csv >swapped/folds.csv
expect 3 "'folds' and 'swapped' are of different data: 6 pictures have the same names" 'members of swapped pictures' "$graft" ensemble folds swapped
awk -F, -v OFS=, 'NR > 1 { $3 = ($3 + 1) % 3 } { print }' other/oof_predictions.csv >shifted.csv
expect 3 "36 pictures are in other folds in shifted.csv than in 'folds'" 'a CSV of other folds' "$graft" ensemble folds shifted.csv
"$graft" train $toy --epochs 1 --folds 3 --group none -o scattered >log 2>&1
expect 0 "are in other folds in 'scattered' than in 'folds'" 'fold runs of other folds' "$graft" ensemble folds scattered
expect 0 'that only some members predicted are not scored' 'members of other pictures' "$graft" ensemble folds alone
holds 'each beside the others' sh -c "'$graft' ensemble folds alone --json 2>/dev/null | grep -q '\"unscored\": *24' && '$graft' ensemble folds alone 2>/dev/null | head -n 1 | grep -q 'of 12'"
expect 2 '2 members' 'weights for others' "$graft" ensemble folds other --weights 1,2,3
expect 2 '--rounds goes with --rule greedy, not with geometric' 'rounds of nothing' "$graft" ensemble folds other --rounds 3
expect 2 'finds its own' 'weights twice' "$graft" ensemble folds other --rule stack --weights 1,2
# What several models, or a machine, do not have.
expect 2 'graft ensemble folds --rule stack' 'calibrated folds' "$graft" predict folds pictures --calibrated
expect 2 'has no temperature of its own' 'val --calibrate of folds' "$graft" val folds -d list.csv --split all --calibrate
expect 2 'graft ensemble MEMBER... --rule stack' 'a calibrated ensemble' "$graft" predict by_geometric pictures --calibrated
expect 2 'fitted the probabilities to the labels already' 'a calibrated stack' "$graft" predict by_stack pictures --calibrated
expect 2 'of several models, and explain looks into one' 'explain of folds' "$graft" explain folds pictures/3.bmp -o e.png
expect 3 'such as pair/member-0-0.safetensors' 'knn of an ensemble' "$graft" knn pair pictures --csv no.csv
expect 2 'no --imgsz' 'an ensemble at a size' "$graft" predict pair pictures --imgsz 64
expect 3 'not a graft model' 'a member that is none' "$graft" ensemble "$here/golden/weights/checkpoint.pth"
expect 2 'holds a run' 'an ensemble over a run' "$graft" ensemble folds -o folds
expect 2 'holds a fold run' 'a run over a fold run' "$graft" train $toy --epochs 1 -o folds
expect 2 'holds an ensemble' 'a run over an ensemble' "$graft" train $toy --epochs 1 -o pair
expect 2 'holds an ensemble' 'folds over an ensemble' "$graft" train $toy --folds 3 --group person -o pair
cp -r pair turned
ln -s "$work/turned/member-0-0.safetensors" zero.safetensors && ln -s "$work/turned/member-1-0.safetensors" one.safetensors
expect 2 'another member would take its place' 'an ensemble of its own members, turned' "$graft" ensemble \
    turned/member-1-0.safetensors turned/member-0-0.safetensors -o turned
expect 2 'another member would take its place' 'an ensemble over a member by another name' "$graft" ensemble \
    folds/fold-0/model.safetensors zero.safetensors -o turned
holds 'which stays' diff -r pair turned
expect 0 'nothing can be scored' 'an ensemble where its members lie' "$graft" ensemble turned/member-0-0.safetensors \
    one.safetensors -o turned
holds 'its models' sh -c 'for m in 0 1; do cmp pair/member-$m-0.safetensors turned/member-$m-0.safetensors || exit; done'
holds 'nothing but models' [ -z "$(find turned -type l -o -name '*.tmp-*')" ]
rm -r turned zero.safetensors one.safetensors
sed 's/"geometric"/"harmonic"/' pair/ensemble.json >pair/x && mv pair/x pair/ensemble.json
expect 3 "rule 'harmonic'" 'a bad ensemble' "$graft" predict pair pictures
sed 's/"harmonic"/"geometric"/; s/member-0-0/..\/member/' pair/ensemble.json >pair/x && mv pair/x pair/ensemble.json
expect 3 'is not in the folder' 'an ensemble that reaches out' "$graft" predict pair pictures

# Submissions: the sample's header, order and names.
model=folds/fold-0/model.safetensors
printf 'img,b,a\n7.bmp,0.5,0.5\n0.bmp,0.5,0.5\n35.bmp,0.5,0.5\n' >sample.csv
expect 0 'no row asks for 33' 'predict --like' "$graft" predict $model pictures --csv sub.csv --like sample.csv --clip 0.4
holds 'its header' [ "$(head -n 1 sub.csv)" = img,b,a ]
holds 'its order' [ "$(cut -d, -f1 sub.csv | tr '\n' ' ')" = 'img 7.bmp 0.bmp 35.bmp ' ]
"$graft" predict $model pictures --csv plain.csv >log 2>&1
for name in 7 0 35; do # columns by class, clipped
    wanted=$(awk -F, -v n="\"pictures/$name.bmp\"" '$1 == n { a = $2; b = $3
        if (a < 0.4) a = 0.4; if (a > 0.6) a = 0.6; if (b < 0.4) b = 0.4; if (b > 0.6) b = 0.6; print b "," a }' plain.csv)
    holds "its row $name" grep -qx "$name.bmp,$wanted" sub.csv
done
printf 'id,label\n7,x\n0,x\n' >labels.csv
expect 0 'no row asks' 'predict --like of labels' "$graft" predict $model pictures --csv sub.csv --like labels.csv
holds 'names of classes, ids without the extension' sh -c "grep -qx '7,[ab]' sub.csv && grep -qx '0,[ab]' sub.csv"
printf 'img,a,b\n7.bmp,0,0\n77.bmp,0,0\n78.bmp,0,0\n' >missing.csv
expect 3 "for 2 of its 3 rows there is no picture: '77.bmp', '78.bmp'" 'a sample of other pictures' "$graft" predict $model pictures --csv no.csv --like missing.csv
printf 'img,a,b\n7.bmp,0,0\n7.bmp,0,0\n' >repeated.csv
expect 3 "1 row has a name again: '7.bmp'" 'a sample with a repeated name' "$graft" predict $model pictures --csv no.csv --like repeated.csv
printf 'img,a,b,zebra\n7.bmp,0,0,0\n' >unknown.csv
expect 3 "no class of the model: 'zebra'" 'a sample with an unknown class' "$graft" predict $model pictures --csv no.csv --like unknown.csv
printf 'img,a,b,a\n7.bmp,0,0,0\n' >columns.csv
expect 3 "there twice: 'a'" 'a sample with a repeated class' "$graft" predict $model pictures --csv no.csv --like columns.csv
printf 'img,a\n7.bmp,0\n' >narrow.csv
expect 3 "have no column: 'b'" 'a sample without a class' "$graft" predict $model pictures --csv no.csv --like narrow.csv
mkdir same && cp pictures/7.bmp same/
expect 3 "several pictures fit a row: '7.bmp'" 'two pictures of a name' "$graft" predict $model pictures same --csv no.csv --like sample.csv
mkdir broken && cp pictures/0.bmp pictures/7.bmp broken/ && echo nothing >broken/35.bmp
expect 3 "asks for could not be read: '35.bmp'" 'a picture that cannot be read' "$graft" predict $model broken --csv no.csv --like sample.csv
holds 'no file of a part' [ ! -e no.csv ]
expect 2 'there is no --csv' '--like alone' "$graft" predict $model pictures --like sample.csv

# Features.
expect 0 '36 pictures, 1280 features' 'features' "$graft" features $model -d list.csv -o f.npy
holds 'whose rows they are' [ "$(wc -l <f.npy.csv)" = 37 ]
expect 0 '36 pictures, 32 features' 'features of a layer' "$graft" features $model -d list.csv --layer blocks.0.0.conv_dw -o f.libsvm
holds 'a row a picture' [ "$(wc -l <f.libsvm)" = 36 ]
expect 0 '36 pictures' 'features of unlabelled pictures' "$graft" features $model -d pictures --unlabelled -o f.csv
expect 3 'could not be' 'a broken picture among them' sh -c "'$graft' features $model -d broken --unlabelled -o g.csv && wc -l <g.csv | grep -x 3 && echo could not be && exit 3"
expect 2 'did you mean' 'no such layer' "$graft" features $model -d list.csv --layer blocks.0.0.conv_dv -o f.npy
expect 3 "cannot write '/nosuch/f.npy'" 'features into nowhere' "$graft" features $model -d list.csv -o /nosuch/f.npy
expect 3 "cannot write '/nosuch/p.csv': No such" 'predictions into nowhere' "$graft" predict $model pictures --csv /nosuch/p.csv
expect 3 "cannot write 'pictures': it is a folder" 'predictions into a folder' "$graft" predict $model pictures --csv pictures
expect 3 "cannot write '/nosuch/x.svg'" 'a range test into nowhere' "$graft" lr-find --weights none -d list.csv -o /nosuch/x.svg
expect 2 'what graft lr-find writes: .svg' 'a range test into a picture' "$graft" lr-find --weights none -d list.csv -o x.png
expect 2 'what graft features writes: .npy' 'another kind of file' "$graft" features $model -d list.csv -o f.txt

# A support vector machine on features, where liblinear is built in.
"$graft" svm $model -d list.csv --group person --folds 3 -o svm >log 2>&1
if grep -q 'built without liblinear' log; then
    ok 'no liblinear: it says so'
else
    expect 2 'holds a support vector machine' 'a machine over a machine' "$graft" svm $model -d list.csv --group person --folds 3 -o svm
    rm -rf svm
    expect 0 'out of fold: log-loss' 'svm' "$graft" svm $model -d list.csv --group person --folds 3 -o svm
    cut -d, -f1-3 svm/oof_predictions.csv | sort >predicted
    holds 'its folds are those of training' cmp listed predicted
    expect 0 'pictures/3.bmp' 'predict by it' "$graft" predict svm pictures --csv s.csv
    holds 'a row a picture, too' [ "$(wc -l <s.csv)" = 37 ]
    expect 0 "trained on by the machine in 'svm'" 'val of it' "$graft" val svm/svm.json -d list.csv --split all
    expect 0 "24 of the 36 pictures were trained on by the run in 'alone', so the machine's out-of-fold score" \
        'svm on what the network learnt' "$graft" svm alone -d list.csv --folds 3 -o svm3
    expect 0 '"rule"' 'in an ensemble by its predictions' "$graft" ensemble folds svm/oof_predictions.csv --rule weights --json
    grep '^{' log >one.json
    "$graft" ensemble folds svm --rule weights --json >two.json 2>log
    holds 'and by its folder' sh -c "sed 's/svm.oof_predictions.csv/svm/' one.json | cmp - two.json"
    expect 0 'C 0.5' 'svm of a given C and layer' "$graft" svm $model -d list.csv --c 0.5 --folds 3 --layer blocks.1.0.conv_pw -o svm2
    expect 0 'pictures/3.bmp' 'predict by that' "$graft" predict svm2 pictures
    expect 2 'what speaks for its classes is not in the network' 'explain of a machine' "$graft" explain svm pictures/3.bmp -o e.png
    expect 2 'the network below it predicts something else' 'neighbours of a machine' "$graft" knn svm pictures --csv no.csv
    expect 0 'neighbours each' 'by what it says' "$graft" knn svm pictures -k 3 --predictions s.csv --csv no.csv
    expect 2 'its probabilities are calibrated as they are' 'a calibrated machine' "$graft" predict svm pictures --calibrated
    expect 2 'as they are' 'views for a machine' "$graft" predict svm pictures --tta 4
    expect 2 'holds a run' 'a machine over a run' "$graft" svm $model -d list.csv -o run
    expect 2 'holds an ensemble' 'a machine over an ensemble' "$graft" svm $model -d list.csv -o pair
    expect 2 'holds a support vector machine' 'a run over a machine' "$graft" train $toy --epochs 1 -o svm
    expect 2 'holds a support vector machine' 'an ensemble over a machine' "$graft" ensemble folds -o svm
    expect 3 'there are 6' 'a machine of too few groups' "$graft" svm $model -d list.csv --group person --folds 7 -o no
    sed 's/"width": *[0-9]*/"width": 7/' svm/svm.json >x && mv x svm/svm.json
    expect 3 'needs 8 numbers' 'a damaged machine' "$graft" predict svm pictures
fi

# Neighbours.
expect 0 '36 pictures, 3 neighbours each' 'knn' "$graft" knn $model pictures -k 3 --csv n.csv --neighbours list3.csv
holds 'a row a picture and a neighbour' [ "$(wc -l <list3.csv)" = 109 ]
holds 'no picture is its own' sh -c "awk -F, '\$1 == \$2 { bad = 1 } END { exit bad }' list3.csv"
"$graft" predict $model pictures --csv plain.csv >log 2>&1
expect 0 'neighbours each' 'knn of given predictions' "$graft" knn $model pictures -k 3 --csv n2.csv --predictions plain.csv
# Both ways within the digits of a CSV, and the even mean by hand for one picture.
paste -d, n.csv n2.csv | awk -F, 'NR > 1 { d = $2 - $5; if (d < 0) d = -d; if (d > 1e-6) { print; bad = 1 } } END { exit bad }' >log 2>&1 &&
    ok 'the same average' || not_ok 'the same average'
"$graft" knn $model pictures -k 3 --weights even --csv even.csv >log 2>&1
wanted=$( (tr -d '"' <plain.csv; echo ---; grep '^pictures/7.bmp,' list3.csv) | awk -F, '$1 == "---" { second = 1; next }
    !second { p[$1] = $2; next } { sum += p[$2] } END { printf "%.5f", (sum + p["pictures/7.bmp"]) / 4 }')
holds 'the even mean' [ "$(awk -F, '$1 == "pictures/7.bmp" { printf "%.5f", $2 }' even.csv)" = "$wanted" ]
expect 3 'say -k 35' 'more neighbours than pictures' "$graft" knn $model pictures -k 36 --csv no.csv
expect 3 'has no prediction for' 'predictions of other pictures, for knn' "$graft" knn $model pictures --predictions folds/oof_predictions.csv --csv no.csv same/7.bmp
expect 2 'and a file are needed' 'knn into nothing' "$graft" knn $model pictures
