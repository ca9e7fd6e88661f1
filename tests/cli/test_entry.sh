#!/bin/sh
# tests/cli/test_entry.sh GRAFT: from one network to a competition's entry, from outside: views, folds, ensembles, submissions.
set -u
graft=$1
here=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

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
holds() { # holds NAME CONDITION...: a test(1) or any other command
    name=$1
    shift
    if "$@" >log 2>&1; then ok "$name"; else not_ok "$name"; fi
}

# 36 pictures (PPM has no reader here, so BMP): 4x4, of class a bright, of class b dark, from six people.
mkdir pictures
bmp() { # FILE BYTE (octal, three digits)
    {
        printf 'BM\146\0\0\0\0\0\0\0\66\0\0\0\50\0\0\0\4\0\0\0\4\0\0\0\1\0\30\0\0\0\0\0\60\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0'
        i=0
        while [ $i -lt 16 ]; do printf "\\$2\\$3\\$2"; i=$((i + 1)); done
    } >"$1"
}
echo 'path,label,person' >list.csv
n=0
while [ $n -lt 36 ]; do
    person=$((n % 6))
    if [ $((n / 6 % 2)) = 0 ]; then label=a c=3$((n % 8))0; else label=b c=0$((n % 8))0; fi
    bmp "pictures/$n.bmp" $c 1$((person))0
    echo "pictures/$n.bmp,$label,p$person" >>list.csv
    n=$((n + 1))
done
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
