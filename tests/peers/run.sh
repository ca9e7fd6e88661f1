#!/bin/sh
# tests/peers/run.sh: graft's logits and training losses beside PyTorch's, on seeded random weights.
# In: ./build/graft (or $GRAFT), $PYTHON with torch, torchvision and timm.  Arguments: networks (all).
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
        --epochs 3 --dropout 0 --log-steps -o "$2/run" > "$2/train.log" 2>&1 || { cat "$2/train.log"; return 1; }
    "$PYTHON" $peers check-losses "$2/losses.json" "$2/run/events.jsonl"
}

[ $# -gt 0 ] || set -- efficientnet_lite0 vgg16
for network in "$@"; do
    folder=$scratch/$network
    if ! "$PYTHON" $peers save "$network" "$folder"; then
        failed=$((failed + 2))
        continue
    fi
    check "$network logits" logits "$network" "$folder"
    check "$network losses" losses "$network" "$folder"
    rm -rf "$folder"
done
# Real weights, real pictures: gradients and twenty steps, a line a check.
said=$("$PYTHON" tools/ref/trajectory.py "$GRAFT" "$scratch/trajectory")
printf '%s\n' "$said"
passed=$((passed + $(printf '%s\n' "$said" | grep -c '^ok ')))
failed=$((failed + $(printf '%s\n' "$said" | grep -vc '^ok ')))
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
