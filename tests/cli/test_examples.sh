#!/bin/sh
# tests/cli/test_examples.sh GRAFT: the programs of examples/, beside GRAFT in the build, on a toy CIFAR-10.
set -u
build=$(dirname "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export XDG_CACHE_HOME="$work" HOME="$work"

# Forty records of CIFAR-10: dark pictures of class 0, bright ones of class 1.
mkdir cifar
for file in data_batch_1 data_batch_2 data_batch_3 data_batch_4 data_batch_5 test_batch; do
    for i in 1 2 3 4; do
        { printf '\0' && head -c 3072 /dev/zero && printf '\1' && head -c 3072 /dev/zero | tr '\0' '\360'; } >>cifar/$file.bin
    done
done
printf 'airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n' >cifar/batches.meta.txt

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
