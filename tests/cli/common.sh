#!/bin/sh
# tests/cli/common.sh: what the tests of the program share; read in by each of them, with the program's path in $1.
set -u
graft=$1
here=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1

ok() { printf 'ok %s\n' "$1"; }
not_ok() { printf 'not ok %s\n' "$1"; [ ! -f log ] || sed 's/^/    /' log; }
# expect STATUS TEXT NAME COMMAND...: the exit code, and a text that the output must hold.
expect() {
    status=$1 text=$2 name=$3
    shift 3
    found=0
    "$@" >log 2>&1 || found=$?
    if [ "$found" = "$status" ] && grep -qF -- "$text" log; then ok "$name"; else
        echo "exit $found, expected $status and '$text'" >>log
        not_ok "$name"
    fi
}
# holds NAME CONDITION...: a test(1) or any other command.
holds() {
    name=$1
    shift
    if "$@" >log 2>&1; then ok "$name"; else not_ok "$name"; fi
}
# bmp FILE BYTE BYTE: a picture of 4x4 pixels of blue, green, blue (PPM has no reader); bytes in octal, three digits.
bmp() {
    {
        printf 'BM\146\0\0\0\0\0\0\0\66\0\0\0\50\0\0\0\4\0\0\0\4\0\0\0\1\0\30\0\0\0\0\0\60\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0'
        i=0
        while [ $i -lt 16 ]; do printf "\\$2\\$3\\$2"; i=$((i + 1)); done
    } >"$1"
}
# people COLUMN: pictures/ of 36, of class a bright, of class b dark, and list.csv, whose COLUMN says of whom: p0 to p5.
people() {
    mkdir pictures
    echo "path,label,$1" >list.csv
    n=0
    while [ $n -lt 36 ]; do
        person=$((n % 6))
        if [ $((n / 6 % 2)) = 0 ]; then label=a c=3$((n % 8))0; else label=b c=0$((n % 8))0; fi
        bmp "pictures/$n.bmp" $c 1$((person))0
        echo "pictures/$n.bmp,$label,p$person" >>list.csv
        n=$((n + 1))
    done
}
# npy FILE TYPE SHAPE: the head of an array, as NumPy writes it; its data are to be appended.
npy() { { printf '\223NUMPY\1\0\166\0' && printf '%-117s\n' "{'descr': '$2', 'fortran_order': False, 'shape': ($3), }"; } >"$1"; }
# floats FOLDER SIDE: x.npy and y.npy of four preprocessed pictures of two classes, all black.
floats() {
    mkdir "$1"
    npy "$1/x.npy" '<f4' "4, $2, $2, 3" && head -c $((4 * $2 * $2 * 3 * 4)) /dev/zero >>"$1/x.npy"
    npy "$1/y.npy" '|u1' '4,' && printf '\0\1\0\1' >>"$1/y.npy"
}
# Two classes that a network tells apart at once: 24 grey pictures of 8x8, bright and dark, made without any tool.
idx() { # name: an IDX pair of them
    printf '\0\0\10\3\0\0\0\30\0\0\0\10\0\0\0\10' >set/$1-images-idx3-ubyte
    printf '\0\0\10\1\0\0\0\30' >set/$1-labels-idx1-ubyte
    i=0
    while [ $i -lt 24 ]; do
        if [ $((i % 2)) = 0 ]; then c='\360' l='\0'; else c='\20' l='\1'; fi
        row=$(printf '%s%s%s%s%s%s%s%s' $c $c $c $c $c $c $c $c)
        printf "$row$row$row$row$row$row$row$row" >>set/$1-images-idx3-ubyte
        printf "$l" >>set/$1-labels-idx1-ubyte
        i=$((i + 1))
    done
}
# cifar FOLDER: a toy CIFAR-10 of 48 records: dark pictures of class 0, bright ones of class 1.
cifar() {
    mkdir "$1"
    for file in data_batch_1 data_batch_2 data_batch_3 data_batch_4 data_batch_5 test_batch; do
        for i in 1 2 3 4; do
            { printf '\0' && head -c 3072 /dev/zero && printf '\1' && head -c 3072 /dev/zero | tr '\0' '\360'; } \
                >>"$1/$file.bin"
        done
    done
    printf 'airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n' >"$1/batches.meta.txt"
}
