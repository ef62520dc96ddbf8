#!/bin/sh
# Draws the learning curves of runs on one sheet; tools/plot_curves.gp does the drawing.
set -eu

usage() {
    cat <<'END'
usage: tools/plot_curves.sh [--out NAME] RUN [RUN ...]

Draws the learning curves of runs, given by their folders, on one sheet: accuracy and loss, over iterations and over
seconds. Strong lines with points are the test (eval.csv), light ones the training (train.csv, running means), its loss
without penalties, as the test's. Runs may still be going on. Writes NAME.png and NAME.svg; NAME is curves unless told.

    tools/plot_curves.sh --out operators runs/sphere9_cosine runs/sphere9_linear
END
}

complain() {
    echo "plot_curves: $*" >&2
}

give_up() {
    complain "$@"
    exit 1
}

# A name as gnuplot reads it: in single quotes, those within doubled.
quote() {
    printf "'%s'" "$(printf %s "$1" | sed "s/'/''/g")"
}

# How many rows, without the header and a line that is still being written.
count_rows() {
    if [ -f "$1" ]; then lines=$(wc -l <"$1"); else lines=0; fi
    echo $((lines > 1 ? lines - 1 : 0))
}

# Complains about a table of a run that has nothing to draw; false if neither has.
check_run() {
    [ -d "$1" ] || give_up "$1: there is no such folder"
    [ -f "$1/train.csv" ] || [ -f "$1/eval.csv" ] || give_up "$1: this is no run: it has neither train.csv nor eval.csv"
    for table in train.csv eval.csv; do
        [ ! -f "$1/$table" ] || [ -r "$1/$table" ] || give_up "$1/$table: cannot be read"
    done
    train_rows=$(count_rows "$1/train.csv")
    test_rows=$(count_rows "$1/eval.csv")
    if [ "$train_rows" -eq 0 ] && [ "$test_rows" -eq 0 ]; then
        complain "$1: left out: there are no rows yet"
        return 1
    fi
    [ "$train_rows" -gt 0 ] || complain "$1: drawn without training: train.csv is missing or has no rows yet"
    [ "$test_rows" -gt 0 ] || complain "$1: drawn without test: eval.csv is missing or has no rows yet"
}

out=curves
while [ $# -gt 0 ]; do
    case $1 in
    -h | --help) usage && exit ;;
    --out) [ $# -gt 1 ] || give_up "--out needs a name" && out=$2 && shift 2 ;;
    --out=*) out=${1#--out=} && shift ;;
    --) shift && break ;;
    -*) give_up "$1: there is no such option; --help tells more" ;;
    *) break ;;
    esac
done
[ $# -gt 0 ] || { usage >&2 && exit 1; }
[ -n "$out" ] || give_up "--out needs a name"
[ -d "$(dirname -- "$out")" ] || give_up "$out: there is no such folder to write to"
command -v gnuplot >/dev/null || give_up "gnuplot is missing: apt-get install gnuplot-nox"

runs=0
settings="out = $(quote "$out")"
for run; do
    check_run "$run" || continue
    runs=$((runs + 1))
    settings="$settings; run$runs = $(quote "$run")"
done
[ $runs -gt 0 ] || give_up "no run has anything to draw yet"

gnuplot -e "$settings" "${0%.sh}.gp"
echo "$out.png and $out.svg"
