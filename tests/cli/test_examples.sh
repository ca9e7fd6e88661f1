#!/bin/sh
# tests/cli/test_examples.sh GRAFT: the programs of examples/, beside GRAFT in the build, on a toy CIFAR-10.
. "$(dirname "$0")/common.sh"
build=$(dirname "$1")
export XDG_CACHE_HOME="$work" HOME="$work"

cifar cifar

# example NAME SIZE: trains an epoch on random weights, measures, and says so in JSON.
example() {
    if "$build/examples/example_$1" cifar 16 8 weights=none imgsz="$2" epochs=1 >log 2>&1 &&
        grep -q '^train {.*"val_log_loss"' log && grep -q '^val {.*"log_loss"' log; then
        echo "ok example $1"
    else
        echo "not ok example $1"
        sed 's/^/    /' log
    fi
}
example vgg16 32
example inception_v3 96
