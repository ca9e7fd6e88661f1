# bench/fashion.sh: sourced by scripts with the arguments GRAFT WEIGHTS IDX_FOLDER WORK [SEED...]; `maker` is the program
# that makes data/ of Fashion-MNIST.  Sets graft and weights, goes to WORK, leaves the seeds (0 where there are none).
set -eu
[ $# -ge 4 ] || { sed -n '2,/^[^#]/{/^#/p}' "$0"; exit 2; }
graft=$(readlink -f "$1") weights=$(readlink -f "$2") fashion=$(readlink -f "$3") work=$4
shift 4
[ $# -gt 0 ] || set -- 0
maker=$(cd "$(dirname "$0")" && pwd)/$maker
mkdir -p "$work"
cd "$work"
[ -d data ] || "${PYTHON:-python3}" "$maker" "$fashion" data
