#!/bin/sh
# bench/load_h5.sh FILE.h5 PICTURE: what loading a large Keras file costs beside `cat` of it, three times each, in turn.
# Out: seconds of `cat FILE`; seconds of graft from start to the picture's classes (so loading is less); the most anonymous
# memory graft held, of which the parameters are one copy of the file.  $GRAFT is the program (build/graft).
set -eu
[ $# = 2 ] || { sed -n 2,4p "$0"; exit 2; }
graft=${GRAFT:-build/graft}
cat "$1" >/dev/null # into the page cache
echo "file: $(($(stat -c %s "$1") / 1000000)) MB"
for turn in 1 2 3; do
    begin=$(date +%s%N)
    cat "$1" >/dev/null
    middle=$(date +%s%N)
    "$graft" predict -q "$1" "$2" >/dev/null &
    pid=$!
    most=0
    while [ -r "/proc/$pid/status" ] && now=$(sed -n 's/^RssAnon:[^0-9]*\([0-9]*\) kB/\1/p' "/proc/$pid/status") && [ -n "$now" ]; do
        [ "$now" -le "$most" ] || most=$now
        sleep 0.01
    done
    wait $pid
    end=$(date +%s%N)
    echo "$turn: cat $(((middle - begin) / 1000000)) ms, graft $(((end - middle) / 1000000)) ms, anonymous $((most / 1000)) MB"
done
