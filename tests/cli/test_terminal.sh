#!/bin/sh
# tests/cli/test_terminal.sh GRAFT: what a terminal shows: the live line at any width, colour or none, tables.
. "$(dirname "$0")/common.sh"

not_ok() { printf 'not ok %s\n' "$1"; [ ! -f shown ] || tr '\r\033' '\n~' <shown | tail -n 40 | sed 's/^/    /'; }
is() { if [ "$2" = 0 ]; then ok "$1"; else not_ok "$1"; fi; } # NAME STATUS

mkdir set && idx train && idx t10k
command -v script >/dev/null || { ok 'no script(1) here: nothing is asked of a terminal'; exit 0; }

# on COLUMNS COMMAND: what it shows on a terminal of that width, in the file `shown`.
on() { TERM=xterm script -qec "stty cols $1; $2" /dev/null </dev/null >shown 2>&1; }
# The longest line that was drawn, in characters, escape sequences aside.
widest() { tr '\r' '\n' <shown | sed 's/\x1b\[[0-9;]*[mK]//g' | grep '^epoch [0-9]' | awk '{ if (length > n) n = length } END { print n + 0 }'; }
run="'$graft' train --weights none -d set --imgsz 32 --val 24 -b 8 --lr 1e-4 --threads 1 --epochs 2"

on 120 "$run -o wide"
grep -q 'epoch 1/2  step [0-9]*/3  loss [0-9.]*  top-1 [0-9.]*  [0-9.]* images/s  data wait [0-9]*%  [0-9]* MB  [0-9:]* left' shown
is 'the live line' $?
grep -q 'epoch  train_loss  val_loss  val_log_loss  val_top1  val_top5          lr  images/s  seconds' shown
is 'the table' $?
grep -q "$(printf '\033')\[1m *[12] .*best" shown
is 'the best epoch is bold' $?
for text in 'data: 24 pictures to train on, 24 to validate; 2 classes of 12 training pictures each' \
    'training: all layers' 'memory: about' 'recipe: '; do
    grep -qF "$text" shown
    is "before the first step: $text" $?
done

# Head first, features kept: the time of all phases; in the stage that makes features nothing that was not measured.
on 120 "$run -b 2 --epochs 4 --recipe best --cache-features features -o phases"
grep -q 'time: about [0-9]* seconds for 4 epochs' shown
is 'the expected time of all phases' $?
tr '\r' '\n' <shown | grep 'features 24/24' | grep 'images/s' >line && ! grep -q 'loss\|top-1\|step' line
is 'the live line while features are made' $?

for columns in 60 40 20; do
    on $columns "$run -o narrow$columns"
    n=$(widest)
    [ "$n" -gt 8 ] && [ "$n" -lt $columns ]
    is "a terminal of $columns columns (line of $n)" $?
done
grep -q 'epoch    train  log_loss   top1    time' shown
is 'the narrow table' $?

on 120 "(sleep 0.2; stty cols 30 </dev/tty) & $run --epochs 60 -o resized" # resized while it runs
n=$(tr '\r' '\n' <shown | sed 's/\x1b\[[0-9;]*[mK]//g' | grep '^epoch 60/60' | awk '{ if (length > n) n = length } END { print n + 0 }')
[ "$n" -gt 8 ] && [ "$n" -lt 30 ]
is "a terminal that is resized (line of $n)" $?

on 120 "NO_COLOR=1 $run -o plain"
! grep -q "$(printf '\033')\[[0-9]*m" shown
is 'NO_COLOR' $?
on 120 "TERM=dumb $run -o dumb"
! grep -q "$(printf '\033')" shown
is 'a dumb terminal' $?
on 120 "$run -q -o quiet"
! grep -q 'step\|memory:' shown && grep -q 'train_loss' shown
is 'quiet: the table alone' $?
sh -c "$run -o piped" >shown 2>&1
! grep -q "$(printf '[\033\r]')" shown && grep -q 'train_loss' shown
is 'no terminal: plain lines' $?
sh -c "$run --json -o json 2>/dev/null" >shown
[ "$(wc -l <shown)" = 2 ] && grep -q '^{"epoch":2,"epochs":2,"train_loss":[^ ]*,"lr":[^ ]*,"img_s":[^ ]*,"seconds":.*"val_top5":[^ ]*}$' shown
is 'JSON: a line an epoch' $?

# Nobody watches: a line now and then; a job in the background draws nothing over the shell's line.
sh -c "GRAFT_PROGRESS_SECONDS=0 $run -o told" >shown 2>&1
grep -q '^epoch 1/2  step 1/3  loss ' shown && ! grep -q "$(printf '[\033\r]')" shown
is 'no terminal: progress in plain lines' $?
sh -c "GRAFT_PROGRESS_SECONDS=0 $run -q -o silent" >shown 2>&1
! grep -q 'step' shown
is 'and none when quiet' $?
on 120 "sh -mc '$(printf %s "$run" | sed "s/'//g") -o behind & wait'"
grep -q 'memory: about' shown && ! grep -q 'step' shown
is 'a job in the background draws no live line' $?

# Messages are broken between words, and nothing of them is lost.
on 50 "$run -o flowing"
[ "$(tr -d '\r' <shown | grep -v "$(printf '\033')" | awk '{ if (length > n) n = length } END { print n + 0 }')" -le 50 ]
is 'messages flow in a narrow terminal' $?
tr -d '\r' <shown | tr '\n' ' ' | tr -s ' ' | grep -qF '2 classes of 12 training pictures each'
is 'and are whole' $?
printf 'n\n' | TERM=xterm script -qec "'$graft' runs rm flowing" /dev/null >shown 2>&1
grep -q "'flowing' stays" shown && ! grep -q 'no terminal' shown && [ -d flowing ]
is 'no is an answer' $?
