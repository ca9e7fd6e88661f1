#!/bin/sh
# tests/cli/test_cli.sh GRAFT: the program from outside: exit codes, messages, a whole run on a toy set, hostile pictures.
. "$(dirname "$0")/common.sh"

expect 0 'usage: graft COMMAND' help "$graft" --help
expect 0 'usage: graft knn MODEL PICTURES' 'help knn' "$graft" help knn
expect 0 'usage: graft COMMAND' 'help --help' "$graft" help --help
expect 2 "no command 'trian'" 'help of an unknown command' "$graft" help trian
expect 0 'graft 0.' version "$graft" --version
expect 2 "no command 'trian'" 'unknown command' "$graft" trian
expect 2 'did you mean --epochs' 'unknown option' "$graft" train --epoch 3
expect 2 'a whole number' 'bad value' "$graft" train -d x --batch zero
expect 2 'one of train, stats, frozen' 'bad choice' "$graft" train -d x --bn maybe
expect 2 'which pictures' 'no data' "$graft" train
expect 2 "did you mean 'vgg16'" 'unknown network' "$graft" models vg16
expect 3 "'nowhere'" 'missing data' "$graft" train -d nowhere
expect 3 "cannot open 'no.pth'" 'missing weights' "$graft" predict no.pth x.jpg
expect 0 'efficientnet_lite0' models "$graft" models
expect 0 'features.0' 'layers' "$graft" models vgg16 --layers
HOME=$work
export HOME
unset XDG_CACHE_HOME KERAS_HOME TORCH_HOME HF_HOME HF_HUB_CACHE GRAFT_MIRROR http_proxy https_proxy all_proxy HTTPS_PROXY ALL_PROXY
expect 3 'no published weights' 'empty caches' "$graft" predict vgg16 x.jpg --offline

mkdir set && idx train && idx t10k
expect 0 'best' 'toy run' "$graft" train --weights none -d set --imgsz 32 --epochs 6 --val 24 --lr 0.02 -b 8 --dropout 0 --log-steps -o run
for file in model.safetensors last.ckpt.safetensors args.json classes.txt split.csv events.jsonl results.csv results.json \
    val_predictions.csv confusion_matrix.csv per_class.csv skipped.csv layers.csv report.html media/train.csv; do
    if [ -s run/$file ]; then ok "run folder has $file"; else not_ok "run folder has $file"; fi
done
cp "$here"/golden/data/rgb.png good.png
expect 0 'top-1' 'val of the run' "$graft" val run/model.safetensors -d set --val 24
expect 2 'holds a run already' 'no run is overwritten' "$graft" train --weights none -d set --imgsz 32 --epochs 1 -o run
expect 0 'efficientnet_lite0' 'inspect the model' "$graft" inspect run/model.safetensors
expect 0 'weights: run/model.safetensors (safetensors), ' 'the weight file names the network' "$graft" train --weights run/model.safetensors -d set --imgsz 32 --epochs 1 --val 0 --no-save -o run_again
expect 0 'ONNX opset 17, efficientnet_lite0, 2 classes' 'convert to ONNX' "$graft" convert run/model.safetensors run/model.onnx
expect 0 'graft model' 'convert to safetensors' "$graft" convert run/model.safetensors run/again.safetensors
if cmp -s run/model.safetensors run/again.safetensors; then ok 'a graft model converts to itself'; else not_ok 'a graft model converts to itself'; fi
expect 0 'Keras 3 .keras' 'convert to .keras' "$graft" convert run/model.safetensors run/model.keras
expect 0 'Keras .h5 (model)' 'convert .keras to .h5' "$graft" convert run/model.keras run/model.h5
expect 0 'graft model' 'convert .h5 back' "$graft" convert run/model.h5 run/again.safetensors
if cmp -s run/model.safetensors run/again.safetensors; then ok 'through Keras and back'; else not_ok 'through Keras and back'; fi
expect 3 'no network of keras.applications' 'weights alone' "$graft" convert run/model.safetensors run/model.weights.h5
expect 2 'whole models' 'weights alone of what' "$graft" convert --weights-only run/model.safetensors run/model.onnx
expect 0 'crop to' 'inspect shows the preprocessing' "$graft" inspect run/model.safetensors
expect 0 '"classes":["0","1"]' 'inspect in JSON' "$graft" inspect run/model.keras --json
expect 0 'keras_version 3.15' 'inspect names the writer' "$graft" inspect run/model.h5
expect 3 'graft writes but does not read' 'no ONNX in' "$graft" inspect run/model.onnx
expect 2 'graft writes .safetensors' 'convert to what' "$graft" convert run/model.safetensors run/model.txt
expect 2 'the same file' 'convert onto itself' "$graft" convert run/model.safetensors ./run/model.safetensors
expect 3 'nowhere' 'convert into no folder' "$graft" convert run/model.safetensors nowhere/model.onnx
expect 3 'not vgg16' 'weights of another network' "$graft" train -m vgg16 --weights run/model.safetensors -d set
first=$(grep '"step"' run/events.jsonl | head -n 1 | sed 's/.*"loss":\([0-9.e-]*\).*/\1/')
last=$(grep '"step"' run/events.jsonl | tail -n 1 | sed 's/.*"loss":\([0-9.e-]*\).*/\1/')
if awk "BEGIN { exit !($last < $first / 2) }"; then ok 'the loss falls'; else echo "$first $last" >log; not_ok 'the loss falls'; fi
"$graft" train --weights none -d set --imgsz 32 --epochs 6 --val 24 --lr 0.02 -b 8 --dropout 0 --log-steps -o run2 >/dev/null 2>&1
if cmp -s run/model.safetensors run2/model.safetensors; then ok 'the same seed gives the same bits'; else not_ok 'the same seed gives the same bits'; fi
for workers in 1 3; do
    "$graft" train --weights none -d set --imgsz 32 --epochs 2 --val 24 -b 8 --augment strong --workers $workers -o mixed$workers >log 2>&1
done
if cmp -s mixed1/model.safetensors mixed3/model.safetensors; then ok 'augmentation does not depend on threads'; else not_ok 'augmentation does not depend on threads'; fi
expect 2 "did you mean 'rotate'" 'a part that does not exist' "$graft" train -d set --augment rotat=10
expect 2 'degrees from 0 to 180' 'a value that does not fit' "$graft" train -d set --augment flip,rotate=x
expect 0 'sheet.png: ' 'contact sheet' "$graft" data show set --augment standard -o sheet.png --imgsz 32 --rows 3
if [ "$(head -c 4 sheet.png | tail -c 3)" = PNG ]; then ok 'the sheet is a PNG'; else not_ok 'the sheet is a PNG'; fi
expect 2 'say -o SHEET.png' 'a sheet needs a name' "$graft" data show set
expect 2 'the action is' 'unknown data action' "$graft" data shwo set
expect 0 'best' 'without Winograd' "$graft" train -m vgg16.keras --weights none -d set --imgsz 32 --train-limit 8 --epochs 1 --val 8 -b 8 --exact -o run7
expect 2 'AVX-512 BF16' 'bf16 is refused where it cannot be' env ONEDNN_MAX_CPU_ISA=AVX2 "$graft" bench resnet18 --precision bf16
expect 2 "fp32, bf16" 'an unknown precision' "$graft" train -d set --precision fp16
if grep -q avx512_bf16 /proc/cpuinfo; then
    bf16() { "$graft" train -m resnet18 --weights none -d set --imgsz 32 --train-limit 24 --val 8 -b 8 --precision bf16 "$@"; }
    expect 0 'best' 'training in bf16' bf16 --epochs 2 -o narrow2
    bf16 --epochs 1 -o narrow1 >log 2>&1
    "$graft" train --resume narrow1 --epochs 2 >log 2>&1
    # of 89 MB of tensors; the last is a checksum of the options too
    for run in narrow1 narrow2; do head -c -4096 $run/last.ckpt.safetensors | tail -c 80000000 >$run/tail; done
    if cmp -s narrow1/tail narrow2/tail; then
        ok 'a resumed run in bf16 has the same bits'; else not_ok 'a resumed run in bf16 has the same bits'; fi
    expect 0 'top-1' 'evaluation in bf16' "$graft" val narrow2/model.safetensors -d set --val 8 --precision bf16
    for type in fp32 bf16; do # a network that is sure: both print the same
        "$graft" predict narrow2/model.safetensors "$here"/golden/data/augment/coffee.png --precision $type >$type.txt 2>log
    done
    if [ -s bf16.txt ] && cmp -s fp32.txt bf16.txt; then ok 'prediction in bf16'; else not_ok 'prediction in bf16'; fi
    expect 0 'bf16' 'the layers of a plan in bf16' "$graft" bench resnet18 --imgsz 64 --batch 1 --steps 1 --layers --precision bf16
else
    echo 'skipped: the processor has no AVX-512 BF16, so --precision bf16 is only refused here'
fi
way=winograd
[ -z "${GRAFT_SANITIZED:-}" ] || way=jit # our own kernels are slow under the sanitizers, so the race goes otherwise
expect 0 $way 'the layers of a plan' "$graft" bench resnet18 --imgsz 64 --batch 1 --steps 1 --layers
expect 1 'smaller' 'a loss that is not a number' "$graft" train -m vgg16.keras --weights none -d set --imgsz 32 --epochs 9 --lr 1e6 -b 8 -o run3
if grep -qF "the step's 8 pictures: " log; then ok 'its pictures are named'; else not_ok 'its pictures are named'; fi
if [ -z "${GRAFT_SANITIZED:-}" ]; then # the sanitizers' shadow memory needs more address space than the limit
    limited() { ( ulimit -v 4000000; "$@" ) }
    expect 4 'would fit' 'no memory for the plan' limited "$graft" train --weights none -d set --imgsz 1024 --epochs 1 -o run6
    if [ -e run6 ]; then not_ok 'a refused run leaves nothing'; else ok 'a refused run leaves nothing'; fi
fi
# Groups, splits that are read back, several sets, class lists.
mkdir -p people/a people/b
i=0
while [ $i -lt 12 ]; do
    cp "$here"/golden/data/augment/coffee.png people/a/$i.png
    cp "$here"/golden/data/augment/chelsea.png people/b/$i.png
    i=$((i + 1))
done
printf 'path,label,who,split\n' >leak.csv
printf 'path,label,who\n' >fair.csv
i=0
while [ $i -lt 12 ]; do
    for c in a b; do
        printf 'people/%s/%d.png,%s,p%d,%s\n' $c $i $c $((i / 3)) "$([ $i = 4 ] && echo val)" >>leak.csv
        printf 'people/%s/%d.png,%s,p%d\n' $c $i $c $((i / 3)) >>fair.csv
    done
    i=$((i + 1))
done
small="--weights none --imgsz 32 --epochs 1 -b 8 --dropout 0"
expect 3 "'p1' (4 train, 2 val)" 'a group on both sides' "$graft" train $small -d leak.csv --group who -o leak
if [ -e leak ]; then not_ok 'a leaking run leaves nothing'; else ok 'a leaking run leaves nothing'; fi
expect 0 'best' 'groups can be waived' "$graft" train $small -d leak.csv --group none -o leak
expect 2 'no such column' 'no such group column' "$graft" train $small -d fair.csv --group nobody -o fair
expect 0 'best' 'split by group' "$graft" train $small -d fair.csv --group who --val 0.25 -o fair
expect 0 'best' 'a split is read back' "$graft" train $small -d fair.csv --group who --split fair/split.csv -o fair2
if cmp -s fair/split.csv fair2/split.csv && [ "$(grep -c ',val,[0-9a-f]*,p' fair/split.csv)" = 6 ]; then ok 'the same split'; else cp fair/split.csv log; not_ok 'the same split'; fi
expect 0 'pictures  6 ' 'val takes a split' "$graft" val fair/model.safetensors -d people --split fair/split.csv
expect 0 'pictures  18 ' 'val takes a part of a split' "$graft" val fair/model.safetensors -d people --split fair/split.csv --part train
expect 2 'has no place' 'split and val exclude each other' "$graft" train $small -d people --split fair/split.csv --val 0.2
printf 'b\na\n' >order.txt
expect 0 '48 pictures to train on' 'several sets and a class list' "$graft" train $small -d people -d fair.csv --classes order.txt --val 0 -o ordered
if [ "$(head -n 1 ordered/classes.txt)" = b ]; then ok 'classes in the order given'; else not_ok 'classes in the order given'; fi
printf 'img,c0\n0.png,1\n' >people/a/submission.csv
expect 0 'people/a/0.png' 'predict reads a list' "$graft" predict run/model.safetensors people/a/submission.csv
rm people/a/submission.csv
expect 0 '54 pictures to train on' 'copies and balance' "$graft" train $small -d people --val 0.25 --copies 2 --balance -o copied
if [ "$(grep -c . copied/split.csv)" = 25 ]; then ok 'copies are no pictures of the split'; else not_ok 'copies are no pictures of the split'; fi
expect 0 'going on with' 'copies with their default changes go on' "$graft" train --resume copied --epochs 2
expect 2 'mix each batch anew' 'copies cannot be mixed' "$graft" train $small -d people --copies 1 --augment mixup
expect 0 'best' 'balanced weights' "$graft" train $small -d people --val 0.25 --class-weights balanced -o weighed
printf 'class,weight\na,1\n' >weights.csv
expect 3 "no weight for class 'b'" 'a weight is missing' "$graft" train $small -d people --class-weights weights.csv
expect 0 'best' 'train on an archive' "$graft" train $small -d "$here"/golden/data/archives/stored.zip --val 0.5 -o packed
expect 0 'pictures  4 in 2 classes' 'an archive is looked through' "$graft" data stats "$here"/golden/data/archives/pax.tar
expect 0 'gnu.tar/pets/dogs/1.jpg' 'predict on an archive' "$graft" predict run/model.safetensors "$here"/golden/data/archives/gnu.tar
all="--weights none --imgsz 32 -b 8 -d people -d fair.csv --group who --val 0.25 --augment strong --copies 0 --balance --class-weights balanced"
"$graft" train $all --epochs 3 -o whole >log 2>&1
"$graft" train $all --epochs 2 -o parts >log 2>&1
expect 0 'going on with' 'a run with everything goes on' "$graft" train --resume parts --epochs 3
if cmp -s whole/val_predictions.csv parts/val_predictions.csv && [ "$(tail -n 1 whole/results.csv | cut -d , -f 3-)" = "$(tail -n 1 parts/results.csv | cut -d , -f 3-)" ]; then ok 'and ends with the same figures'; else not_ok 'and ends with the same figures'; fi
expect 3 'data given otherwise' 'several sets are remembered' "$graft" train --resume parts --epochs 4 -d people -d fair.csv -d people
# The doctor.
expect 0 'The same picture' 'near and exact duplicates are found' "$graft" data check people
expect 3 'Groups with pictures in two parts' 'leaking groups are found' "$graft" data check leak.csv --group who
expect 0 'look like one to train on' 'train warns of twins' "$graft" train $small -d people --val 0.25 -o twins
if [ "$(grep -c . twins/near_duplicates.csv)" = 7 ]; then ok 'the pairs are listed'; else cp twins/near_duplicates.csv log; not_ok 'the pairs are listed'; fi
# The cache.
for cache in none ram disk disk; do
    dir=
    [ "$cache" != disk ] || dir='--cache-dir kept'
    rm -rf cached
    "$graft" train $small -d people --val 0.25 --augment flip,rotate=10 --decode exact --cache "$cache" $dir -o cached >log 2>&1
    cksum <cached/val_predictions.csv
done >sums
if [ "$(wc -l <sums)" = 4 ] && [ "$(sort -u sums | wc -l)" = 1 ]; then ok 'a cache changes nothing'; else cp sums log; not_ok 'a cache changes nothing'; fi
if ls kept | grep -q blob; then ok 'the cache is on the disk'; else not_ok 'the cache is on the disk'; fi
expect 2 'goes with --cache disk' 'a folder without a cache on the disk' "$graft" train $small -d people --cache-dir kept
expect 0 'pictures/s' 'the rate of the loader' "$graft" bench loader -d people --steps 1 --imgsz 32
if grep -q '"data_wait_share": 0\.' cached/results.json; then ok 'what waiting for pictures cost'; else not_ok 'what waiting for pictures cost'; fi
: >people/a/empty.png
expect 3 '1 of 25 pictures cannot be read' 'a broken picture is found' "$graft" data check people --html people.html
if grep -q '</html>' people.html; then ok 'a page of it'; else not_ok 'a page of it'; fi
expect 0 '1 broken' 'stats only tell' "$graft" data stats people
expect 2 'name another folder' 'no quarantine inside the data' "$graft" data check people --quarantine people/a
expect 0 'moved away: 1' 'the quarantine' "$graft" data check -d people --quarantine away
if [ -f away/a/empty.png ] && [ ! -e people/a/empty.png ]; then ok 'moved, not deleted'; else not_ok 'moved, not deleted'; fi
expect 0 '"kind":"same"' 'check speaks JSON' "$graft" data check people --json

# Published weights, from a server of our own.
expect 2 'which networks' 'pull what' "$graft" pull
expect 2 "did you mean 'vgg16'" 'pull an unknown network' "$graft" pull vgg166
expect 3 "put vgg16-397923af.pth from https://download.pytorch.org/models/vgg16-397923af.pth into '$work/.cache/graft'" \
    'offline' "$graft" train -m vgg16 -d set --imgsz 32 --offline
expect 0 'https://download.pytorch.org/models/vgg16-397923af.pth' 'what can be pulled' "$graft" pull --list
GRAFT_MIRROR=file:///tmp expect 2 'an http: or https: address' 'no files as mirrors' "$graft" pull vgg16
server=$(dirname "$graft")/tests/test_fetch
if GRAFT_MIRROR=http://127.0.0.1:1 "$graft" pull vgg16 2>&1 | grep -q libcurl; then
    echo 'no libcurl: downloads are not tested' >&2
elif [ -x "$server" ]; then
    mkfifo hold
    "$server" serve run/model.safetensors <hold >port &
    exec 9>hold
    while [ ! -s port ]; do sleep 0.1; done
    mirror=http://127.0.0.1:$(cat port)
    expect 3 '127.0.0.1 port 1' 'no server' env GRAFT_MIRROR=http://127.0.0.1:1 "$graft" pull vgg16
    expect 3 'the server answers 404' 'not there' env GRAFT_MIRROR=$mirror/missing "$graft" pull vgg16
    expect 3 'nothing was kept' 'a wrong file' env GRAFT_MIRROR=$mirror/plain "$graft" pull vgg16
    if [ -z "$(ls .cache/graft | grep -v '^kernels.json$')" ]; then ok 'a wrong file leaves nothing'; else ls .cache/graft >log; not_ok 'a wrong file leaves nothing'; fi
    GRAFT_MIRROR=$mirror/slow "$graft" pull vgg16 2>log &
    pid=$!
    while [ ! -s .cache/graft/vgg16-397923af.pth.part ]; do sleep 0.1; done
    kill -INT $pid
    found=0
    wait $pid || found=$?
    if [ $found = 130 ] && [ -s .cache/graft/vgg16-397923af.pth.part ] && grep -q 'goes on from there' log; then
        ok 'an interrupted pull keeps its part'
    else
        echo "exit $found" >>log
        not_ok 'an interrupted pull keeps its part'
    fi
    expect 0 '"source":"downloaded"' 'pull' env GRAFT_MIRROR=$mirror/hub "$graft" pull efficientnet_lite0 --json
    if grep -q "\"sha256\":\"$(sha256sum <run/model.safetensors | cut -d ' ' -f 1)\"" log; then ok 'its digest'; else not_ok 'its digest'; fi
    expect 0 '"source":"cache"' 'pull again, offline' "$graft" pull efficientnet_lite0 --offline --json
    expect 0 '"cached":true' 'it is here' "$graft" models efficientnet_lite0 --json
    expect 0 'good.png' 'and used' "$graft" predict efficientnet_lite0 "$work/good.png" --offline
    printf 'x' | dd of=.cache/graft/tf_efficientnet_lite0.safetensors bs=1 seek=5000 conv=notrunc 2>/dev/null
    expect 3 'has changed since it was first used' 'a changed file' "$graft" predict efficientnet_lite0 good.png --offline
    expect 0 '"source":"downloaded"' 'pull repairs' env GRAFT_MIRROR=$mirror/hub "$graft" pull efficientnet_lite0 --json
    exec 9>&-
fi
head -c 20000 run/model.safetensors >cut.safetensors
expect 3 'cut.safetensors' 'truncated weights' "$graft" predict cut.safetensors x.jpg

# A folder with broken files: everything is used or listed.
mkdir -p pets/a pets/b
cp "$here"/golden/data/good*.png pets/a/ 2>/dev/null
: >pets/a/empty.jpg
echo '<html>' >pets/a/page.jpg
mkdir pets/b/folder.jpg
ln -s loop.jpg pets/b/loop.jpg
mkfifo pets/b/pipe.jpg
expect 3 'none of the' 'nothing readable' timeout 60 "$graft" train --weights none -d pets --imgsz 32 --epochs 1 -o run4
if [ "$(grep -c . run4/skipped.csv)" -ge 5 ]; then ok 'each is listed'; else cp run4/skipped.csv log; not_ok 'each is listed'; fi
expect 3 'on-bad skip' 'on-bad fail' timeout 60 "$graft" train --weights none -d pets --imgsz 32 --epochs 1 --on-bad fail -o run5
mkdir -p tree/below
cp good.png tree/1.png
cp good.png tree/below/2.png
printf 'path,label\ntree/1.png,any\ntree/below/2.png,\n' >list.csv
expect 0 'tree/below/2.png' 'predict a folder and its folders' "$graft" predict run/model.safetensors tree
expect 0 'tree/below/2.png' 'predict a CSV' "$graft" predict run/model.safetensors list.csv
echo old >out.csv
expect 4 'No space left' 'no room for a CSV' "$graft" predict run/model.safetensors tree --csv /dev/full
expect 3 'gave no result' 'a CSV of the good ones' "$graft" predict run/model.safetensors tree pets/a/page.jpg --csv out.csv
if [ "$(wc -l <out.csv)" = 3 ] && head -n 1 out.csv | grep -qx 'path,"0","1"' && grep -q '^"tree/below/2.png",[0-9.e-]*,[0-9.e-]*$' out.csv &&
    [ -z "$(find . -name 'out.csv.tmp-*')" ]; then ok 'its rows'; else cp out.csv log; not_ok 'its rows'; fi
expect 3 'gave no result' 'predict reports the bad' "$graft" predict run/model.safetensors pets/a/page.jpg

# Reports read the run folder alone.
expect 0 'run/report.html' 'report of a run' "$graft" report run
# The command of the report makes the run again, and says nothing that is so by itself.
again() { # RUN: the command of its report, as a person copies it
    sed -n '/<section id="repeat"/,/<\/section>/p' $1/report.html | tr '\n' '\001' |
        sed 's/.*<pre><code>//;s/<\/code>.*//;s/&#39;/'"'"'/g;s/&amp;/\&/g' | tr '\001' '\n'
}
cp -r set more
expect 0 'best' 'a run by a recipe' "$graft" train --weights none --recipe best -d set -d more --imgsz 32 --val 24 -b 8 --threads 1 \
    --epochs 2 --bn train --cache-features features -o "a gain" --json
grep -o '"img_s":[0-9.]*' log >told
grep -o '"img_s":[0-9.]*' 'a gain/events.jsonl' >written
holds 'images/s of the epochs as told and as written' cmp told written
(cd 'a gain' && again . >../again.sh)
holds 'the command says both data sets, and not what is so by itself' sh -c "grep -q -- '--data set --data more' again.sh &&
    grep -q -- '--recipe best' again.sh && grep -q -- '--bn train' again.sh && ! grep -q -- 'pseudo-share\|--lr \|--freeze\|--workers' again.sh"
expect 0 'best' 'the command of a report runs' sh -c "PATH='$(dirname "$graft"):$PATH'; eval \"\$(cat again.sh) -o again\""
holds 'and makes the same run' cmp 'a gain/val_predictions.csv' again/val_predictions.csv
expect 0 'compare.html' 'report of two runs' "$graft" report run run2
expect 3 'not a run' 'report of no run' "$graft" report set
expect 2 'which run' 'report of nothing' "$graft" report
expect 3 'vgg16' 'predict -m of another network' "$graft" predict -m vgg16 run/model.safetensors "$here/golden/data/rgb.png"
expect 0 'rgb.png' 'predict -m of its network' "$graft" predict -m efficientnet_lite0 run/model.safetensors "$here/golden/data/rgb.png"
expect 0 'the picture is why.png' 'explain' "$graft" explain run/model.safetensors "$here/golden/data/rgb.png" --imgsz 64 -o why.png
expect 2 'a single place' 'explain on a map of one place' "$graft" explain run/model.safetensors "$here/golden/data/rgb.png" --imgsz 32 -o why2.png
expect 2 'no such class' 'explain an unknown class' "$graft" explain run/model.safetensors "$here/golden/data/rgb.png" --imgsz 64 --class zebra
expect 2 'its name must end as what graft explain writes: .png .jpg .jpeg' 'explain into what' "$graft" explain run/model.safetensors "$here/golden/data/rgb.png" --imgsz 64 -o why.txt
expect 0 'best' 'drop path' "$graft" train --weights none -d set --imgsz 32 --val 24 -b 8 --lr 1e-4 --epochs 1 --drop-path 0.2 -o dropped
expect 2 'this network has none' 'drop path where no branch is' "$graft" train -m vgg16 --weights none -d set --imgsz 32 --drop-path 0.2 -o dropped2
expect 0 'suggested: --lr' 'lr-find' "$graft" lr-find -d set --weights run/model.safetensors --recipe guide --batch 8 --steps 40 -o rates.svg
expect 2 'no option --epochs' 'lr-find has no epochs' "$graft" lr-find -d set --epochs 3
expect 0 'efficientnet_lite0' 'runs' "$graft" runs . --sort top1
expect 0 'is finished' 'watch a run that is over' "$graft" watch run
expect 0 '--yes agrees' 'runs rm asks' "$graft" runs rm run2 </dev/null
expect 3 'run.onnx' 'runs rm keeps what is not of a run' sh -c "cp run/model.onnx run2/run.onnx; '$graft' runs rm run2 --yes"
expect 0 'is removed' 'runs rm' sh -c "rm run2/run.onnx; '$graft' runs rm run2 --yes"
if [ -e run2 ]; then not_ok 'the run is gone'; else ok 'the run is gone'; fi
expect 3 'has no temperature' 'predict --calibrated of too few pictures' "$graft" predict run/model.safetensors "$here/golden/data/rgb.png" --calibrated
expect 3 'at least 50' 'val --calibrate of too few pictures' "$graft" val run/model.safetensors -d set --val 24 --calibrate
"$graft" train --weights none -d set --imgsz 32 --epochs 1 --val 0 --lr 1e-12 -o unsure >/dev/null 2>&1
expect 0 'unknown' 'predict --reject' "$graft" predict unsure/model.safetensors "$here/golden/data/rgb.png" --reject 1 --csv answers.csv
if head -n 1 answers.csv | grep -q ',answer$' && grep -q '"unknown"$' answers.csv; then ok 'the answer column'; else cp answers.csv log; not_ok 'the answer column'; fi
expect 2 'from 0 to 1' 'predict --reject senseless' "$graft" predict run/model.safetensors "$here/golden/data/rgb.png" --reject 2
