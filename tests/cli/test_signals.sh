#!/bin/sh
# tests/cli/test_signals.sh GRAFT: a training run that is signalled, killed, or meets a full or read-only disk, and goes on.
. "$(dirname "$0")/common.sh"
trap 'umount "$work/disk" 2>/dev/null; rm -rf "$work"' EXIT

has() { grep -qF -- "$1" log; }

mkdir set && idx train && idx t10k
options='--weights none -d set --imgsz 32 --val 24 -b 8 --lr 1e-4 --log-steps --epochs 4 --threads 1'
"$graft" train $options -o whole >log 2>&1 || not_ok 'the undisturbed run'

# start RUN: trains in the background until a step of the second epoch is done; its process is in $process.
start() {
    rm -rf "$1"
    "$graft" train $options -o "$1" >log 2>&1 &
    process=$!
    i=0
    while ! grep -q '"step","epoch":2' "$1/events.jsonl" 2>/dev/null && [ $i -lt 6000 ]; do
        sleep 0.01
        i=$((i + 1))
    done
}
# ended NAME STATUS TEXT: how the process of `start` ended, and that going on gives the undisturbed run's model.
ended() {
    status=0
    wait "$process" 2>/dev/null || status=$?
    if [ "$status" = "$2" ] && has "$3"; then ok "$1"; else echo "exit $status, expected $2 and '$3'" >>log; not_ok "$1"; fi
    "$graft" train --resume run >log 2>&1 || not_ok "$1: goes on"
    if cmp whole/model.safetensors run/model.safetensors >>log 2>&1; then ok "$1: the same model"; else not_ok "$1: the same model"; fi
}

start run; kill -INT "$process"; ended 'SIGINT' 130 'graft train --resume run'
start run; kill -TERM "$process"; ended 'SIGTERM' 143 'graft train --resume run'
if [ $((0x$(awk '/^SigIgn/ { print substr($2, 9) }' /proc/self/status) & 1)) = 0 ]; then
    start run; kill -HUP "$process"; ended 'SIGHUP' 129 'graft train --resume run'
else # started by nohup: then a run goes on
    start run; kill -HUP "$process"; ended 'SIGHUP under nohup' 0 'done in'
fi
start run; kill -INT "$process"; kill -INT "$process"; ended 'SIGINT twice' 130 ''
start run; kill -KILL "$process"; ended 'SIGKILL' 137 ''

# A reader of its output who has seen enough ends no run.
rm -rf run
{ "$graft" train $options -o run 2>/dev/null; echo $? >code; } | head -n 1 >log
if [ "$(cat code)" = 0 ] && cmp whole/model.safetensors run/model.safetensors >>log 2>&1; then ok 'a closed stdout'; else cat code >>log; not_ok 'a closed stdout'; fi
{ "$graft" train $options -o run2 2>&1; echo $? >code; } | true
if [ "$(cat code)" = 0 ] && cmp whole/model.safetensors run2/model.safetensors >>log 2>&1; then ok 'stderr, too'; else cat code >>log; not_ok 'stderr, too'; fi

start run
"$graft" train $options -o run >log2 2>&1
mv log2 log
if has 'is in use by another run'; then ok 'a second run in the folder'; else not_ok 'a second run in the folder'; fi
kill -KILL "$process"
wait "$process" 2>/dev/null
"$graft" train --resume set >log 2>&1
if [ $? = 3 ] && has 'not the folder of a run'; then ok 'not a run'; else not_ok 'not a run'; fi

mkdir disk
if mount -t tmpfs -o size=40m tmpfs disk 2>/dev/null; then # a root's real disk: room for one checkpoint and a model
    "$graft" train $options --checkpoint-minutes 1e-6 -o disk/run >log 2>&1 # at every step, however fast it is
    if [ $? = 4 ] && has 'MB are left' && has 'No space left' && has '--resume disk/run'; then ok 'a full disk'; else not_ok 'a full disk'; fi
    mount -o remount,size=200m disk
    "$graft" train --resume disk/run >log 2>&1
    if cmp whole/model.safetensors disk/run/model.safetensors >>log 2>&1; then ok 'a full disk: goes on'; else not_ok 'a full disk: goes on'; fi
    mount -o remount,ro disk
    "$graft" train --resume disk/run --epochs 9 >log 2>&1
    if [ $? = 4 ] && has 'Read-only'; then ok 'a read-only disk'; else not_ok 'a read-only disk'; fi
    "$graft" train $options -o disk/new >log 2>&1
    if [ $? = 4 ] && has 'Read-only'; then ok 'a read-only disk, new run'; else not_ok 'a read-only disk, new run'; fi
fi
