#!/bin/sh
# tests/cli/test_guide.sh GRAFT: every command of docs/guide.md, on a toy CIFAR-10, small inputs and random weights.
# Changed are only the counts, the epochs and the size of the input; and gradients are clipped where BatchNorm keeps the
# statistics that it began with, on which the outputs of random weights are of the order of 1e17.
. "$(dirname "$0")/common.sh"
guide=$here/../docs/guide.md
export XDG_CACHE_HOME="$work" HOME="$work"

cifar cifar-10-batches-bin
cp "$here/golden/data/rgb.png" picture.png

# Random weights under the published names, in Keras's layout.
for network in vgg16 inception_v3; do
    side=32
    [ $network = vgg16 ] || side=96
    "$graft" train -q -m $network.keras --weights none -d cifar-10-batches-bin --train-limit 2 --val 2 --imgsz $side \
        --epochs 1 -o random_$network >log 2>&1 &&
        "$graft" convert -q --weights-only random_$network/model.safetensors \
            ${network}_weights_tf_dim_ordering_tf_kernels.h5 >>log 2>&1
    if [ $? = 0 ]; then echo "ok a .h5 of $network"; else echo "not ok a .h5 of $network"; sed 's/^/    /' log; fi
    rm -rf random_$network
done

# The commands: lines of `sh` blocks.
sed -n '/^```sh$/,/^```$/p' "$guide" | grep '^graft ' >commands
[ "$(wc -l <commands)" -ge 10 ] || echo "not ok the guide has commands"
while read -r line; do
    side=32 rate=
    case $line in *inception_v3*) side=96 ;; esac
    case $line in *'--bn stats'*) rate=' --clip-norm 1e-3' ;; esac
    small=$(echo "$line" | sed "s/--train-limit 3000/--train-limit 16/; s/--val 100/--val 8/; s/--epochs 10/--epochs 1/
        s/^graft train/& --imgsz $side$rate/")
    if eval "\"$graft\" ${small#graft }" </dev/null >log 2>&1; then
        echo "ok $line"
    else
        echo "not ok $line"
        sed 's/^/    /' log
    fi
done <commands
