#!/bin/sh
# tests/cli/test_bad_input.sh GRAFT: what makes no sense is refused by name before anything is trained; a run goes on
# with what it was made with, or says what changed; what is lost beside its checkpoints is no reason to lose the run.
. "$(dirname "$0")/common.sh"

mkdir set && idx train && idx t10k
train="$graft train --weights none -d set --imgsz 32 --val 24 -b 8 --threads 1 --recipe guide"

# Senseless options.
expect 2 '--lr 0: a number from' 'a rate of zero' $train --lr 0
expect 2 '--lr 1e9: a number from' 'a rate of a billion' $train --lr 1e9
expect 2 '--lr nan: a number from' 'a rate that is no number' $train --lr nan
expect 2 '--patience 3 can never stop a run of 3 epochs' 'patience as long as the run' $train --epochs 3 --patience 3
expect 2 '--warmup 2 is not shorter than the run of 2 epochs' 'warmup as long as the run' $train --epochs 2 --warmup 2
expect 2 'epoch 3 comes after the run of 2 epochs' 'unfreezing after the end' \
    $train --epochs 2 --freeze head --unfreeze-epoch 2:blocks.5,3:all
expect 2 'the rate never changes in a run of 2 epochs' 'steps after the end' \
    $train --epochs 2 --scheduler step --step-epochs 2
expect 2 'of 2 classes the best five are always right' 'a figure that cannot change' $train --epochs 2 --monitor val_top5
expect 2 "no layer ''" 'a layer without a name' $train --epochs 2 --freeze ''
for option in '--freeze conv_haed' '--lr-mult conv_haed=0.1' '--freeze head --unfreeze-epoch 2:conv_haed'; do
    expect 2 "did you mean 'conv_head'?" "a layer that does not exist: $option" $train --epochs 2 $option
done
expect 2 'graft ensemble has no option -d' 'a letter that is no option' "$graft" ensemble run -d set
expect 2 "'other': train takes its data with -d" 'data without -d' $train other
expect 3 "cannot create folder 'file': Not a directory" 'a file for a folder' sh -c "echo x >file && $train --epochs 1 -o file"
holds 'nothing was begun' [ ! -e runs ]

# Arrays that nothing resizes.
$train --lr 1e-4 --epochs 1 -o run >log 2>&1
floats small 16
floats large 64
for side in 16 64; do
    [ $side = 16 ] && data=small || data=large
    text="of ${side}x$side, which nothing resizes, and the model takes 32x32"
    expect 3 "$text" "val on arrays of $side" "$graft" val run -d $data --split all
    expect 3 "$text" "features of arrays of $side" "$graft" features run -d $data -o f.npy
    expect 3 "$text" "svm on arrays of $side" "$graft" svm run -d $data --folds 2 -o machine
done
expect 0 '4 pictures' 'features at the size of the arrays' "$graft" features run -d large --imgsz 64 -o f.npy
expect 0 'x.npy#3' 'predict takes the size from an array' "$graft" predict run large/x.npy
expect 2 '--imgsz 32: the array' 'and refuses another' "$graft" predict run large/x.npy --imgsz 32

# A temperature goes into a run's model and changes nothing else.
calibrate() { "$graft" val "$@" -d set -d set --split all --calibrate; }
cp -r run warm && cp warm/last.ckpt.safetensors state
expect 2 'is the state that' 'no temperature for a checkpoint' calibrate warm/last.ckpt.safetensors
holds 'which stays as it is' cmp state warm/last.ckpt.safetensors
for option in '--resize squash' --icc '--heads main'; do
    expect 2 "--calibrate: the temperature stays in the model, ${option%% *} is" "no temperature with $option" calibrate warm $option
done
holds 'which leave the model as it is' cmp run/model.safetensors warm/model.safetensors
exec 9>>warm/.lock && flock 9 # as a run in it would
expect 3 "'warm' is in use by another run" 'no temperature while the run goes on' calibrate warm/model.safetensors
expect 0 'log-loss' 'which may be looked at' "$graft" val warm -d set --val 24
exec 9>&-
expect 0 'is now in warm/model.safetensors' 'a temperature of a run' calibrate warm
holds 'in the model' sh -c '! cmp -s run/model.safetensors warm/model.safetensors'
expect 0 'is now in warm/model.safetensors' 'another in its place' calibrate warm/model.safetensors --tta 2
for run in run warm; do tail -c 13000000 $run/model.safetensors >$run/tensors; done
holds 'beside the same tensors' cmp run/tensors warm/tensors
expect 0 'the run is in warm' 'resuming after it' "$graft" train --resume warm --epochs 2
holds 'knows the best model' sh -c '! grep -q "is not the model of epoch" log'

# Parameters that are no numbers; outputs that are none, of numbers too large for their sums.
flood() { # FOLDER TENSOR OCTAL: the run's model with a tensor full of that byte, in that folder
    mkdir -p "$1" && cp run/model.safetensors "$1/model.safetensors"
    header=$(($(od -An -t u8 -N 8 run/model.safetensors)))
    range=$(head -c $((8 + header)) run/model.safetensors | tail -c +9 |
        sed -n "s/.*\"$2\":{[^}]*\"data_offsets\":\[\([0-9]*\),\([0-9]*\)\].*/\1 \2/p")
    head -c $((${range#* } - ${range% *})) /dev/zero | tr '\0' "\\$3" |
        dd of="$1/model.safetensors" bs=4096 seek=$((8 + header + ${range% *})) oflag=seek_bytes conv=notrunc 2>/dev/null
}
good=$here/golden/data/rgb.png
flood none blocks.1.0.conv_pwl.weight 377
for command in "predict none $good" 'val none -d set' 'features none -d set -o f.csv' \
    'train -d set --weights none/model.safetensors'; do
    expect 3 "tensor 'blocks.1.0.conv_pwl.weight' of none/model.safetensors holds values that are no numbers" \
        "weights that are no numbers: ${command%% *}" "$graft" $command
done
flood none classifier.weight 177
expect 3 "rgb.png: the model's outputs for it are no numbers" 'predict' "$graft" predict none "$good" --csv none.csv
holds 'no row of them' [ "$(wc -l <none.csv)" = 1 ]
expect 3 '"error":' 'predict --json' "$graft" predict none "$good" --json
expect 3 'are no numbers' 'predict --tta' "$graft" predict none "$good" --tta 2 --tta-mean geometric
expect 1 'so no figure would mean anything' 'val' "$graft" val none -d set --val 24
expect 1 'so no figure would mean anything' 'val --tta' "$graft" val none -d set --val 24 --tta 2 --tta-mean geometric
flood none blocks.1.0.conv_pwl.weight 177
for command in 'features none -d set -o f.csv' 'svm none -d set --folds 2 -o machine' "knn none $here/golden/data -k 1 --csv f.csv"; do
    expect 1 'is no numbers: its training has diverged' "features that are no numbers: ${command%% *}" \
        "$graft" $command --layer blocks.1.0.conv_pwl
done
expect 1 'the validation loss is not a number at epoch 1, step 1; no model was saved yet' 'a validation without a loss' \
    $train -m vgg16.keras -b 24 --lr 1e6 --epochs 2 --dropout 0 -o blown
holds 'and without an epoch' sh -c '! grep -q "\"epoch\"" blown/events.jsonl && [ ! -e blown/model.safetensors ]'

# Going on.
mkdir empty
expect 3 "there is no folder 'nowhere'" 'going on with nowhere' "$graft" train --resume nowhere
for folder in empty file set; do
    expect 3 "'$folder' is not the folder of a run" "going on with $folder" "$graft" train --resume $folder
done
again() { # EXIT TEXT NAME CHANGE [OPTION]...: with two epochs, in a copy of the run in which something is other
    rm -rf copy && cp -r run copy
    exit=$1 text=$2 name=$3
    (cd copy && eval "$4") || exit 1
    shift 4
    expect "$exit" "$text" "$name" "$graft" train --resume copy --epochs 2 "$@"
}
again 0 'the run is in copy' 'a whole run goes on' :
again 3 '--batch 4 (was 8).  Add --force' 'with other options' : --batch 4
again 0 'going on although something changed: --batch 4 (was 8)' 'with --force' : --batch 4 --force
again 3 "holds efficientnet_lite0, not vgg16" 'another network, even with --force' : -m vgg16 --force
again 3 'the classes 1 is new (2)' 'other classes' : --num-classes 3
# A class may get another name, not another's place.
printf 'path,label\n' >list.csv
for n in 0 1 2 3 4 5 6 7; do
    bmp $n.bmp 340 010 && echo "$n.bmp,$((n % 2))" >>list.csv
done
sed -i 's/,0$/,a/; s/,1$/,c/' list.csv
"$graft" train --weights none -d list.csv --imgsz 32 --val 4 -b 4 --threads 1 --recipe guide --epochs 1 -o named >log 2>&1
sed -i 's/,a$/,d/' list.csv
expect 3 "knows 'c' under another number; of the classes 1 is gone (a), 1 is new (d)." 'a class in the place of another' \
    "$graft" train --resume named --epochs 2 --force
sed -i 's/,d$/,b/' list.csv
expect 0 'of the classes 1 is gone (a), 1 is new (b)' 'a class of another name' "$graft" train --resume named --epochs 2 --force
again 3 'nobody can tell, since copy/split.csv is missing' 'without its list of pictures' 'rm split.csv'
again 0 'copy/events.jsonl is gone; it begins again here' 'without its logs' 'rm events.jsonl results.csv skipped.csv'
holds 'the log goes on' grep -q '"event":"epoch","epoch":2' copy/events.jsonl
holds 'its table has a head' [ "$(head -n 1 copy/results.csv)" = "$(head -n 1 run/results.csv)" ]
holds 'and a report is made of it' "$graft" report copy
again 3 "what it says of the option 'lr' is not a text" 'options that are no texts' "printf '{\"lr\":5}' >args.json"
again 3 "what it says of the option 'class-weights'" 'a list of other things' "printf '{\"class-weights\":[1]}' >args.json"
again 2 'there is no --recipe: one of' 'options that are missing' "printf '{\"data\":\"set\"}' >args.json"
again 3 "has an option 'epochz'" 'options of another graft' "sed -i s/epochs/epochz/ args.json"
again 3 'bad JSON' 'options cut short' "printf '{\"lr\":' >args.json"
printf '\1' | dd of=set/train-images-idx3-ubyte bs=1 seek=40 conv=notrunc 2>/dev/null
again 3 'is other' 'a changed picture' :
again 0 'going on although something changed' 'a changed picture, with --force' : --force
