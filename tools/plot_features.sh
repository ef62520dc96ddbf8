#!/bin/sh
# Draws two-dimensional features of images, coloured by class; tools/plot_features.gp does the drawing.
set -eu

usage() {
    cat <<'END'
usage: tools/plot_features.sh [--out NAME] [--title TEXT] ... FILE.csv [FILE.csv ...]

Draws the files that spherenet features writes, for networks with two features (network.features=2), side by side: a
point an image, coloured by class. The first --title names the first file's panel, and so on; a panel without is named
after its file. Writes NAME.png and NAME.svg; NAME is features unless told.

    tools/plot_features.sh --out operators --title cosine --title linear cosine.csv linear.csv
END
}

complain() {
    echo "plot_features: $*" >&2
}

give_up() {
    complain "$@"
    exit 1
}

# A name as gnuplot reads it: in single quotes, those within doubled.
quote() {
    printf "'%s'" "$(printf %s "$1" | sed "s/'/''/g")"
}

check_file() {
    [ -f "$1" ] || give_up "$1: there is no such file"
    [ -r "$1" ] || give_up "$1: cannot be read"
    header=$(head -n 1 <"$1")
    case $header in
    label,prediction,f0,f1) ;;
    label,prediction,f0 | label,prediction,f0,*)
        features=$(($(printf %s "$header" | tr -cd , | wc -c) - 1))
        give_up "$1: it has $features features an image; two are needed: network.features=2"
        ;;
    *) give_up "$1: this is no file of spherenet features: it begins with \"$(printf %.40s "$header")\"" ;;
    esac
    [ "$(wc -l <"$1")" -gt 1 ] || give_up "$1: it has no rows"
}

out=features
titles=0
settings=
add_title() {
    titles=$((titles + 1))
    settings="$settings; title$titles = $(quote "$1")"
}

while [ $# -gt 0 ]; do
    case $1 in
    -h | --help) usage && exit ;;
    --out) [ $# -gt 1 ] || give_up "--out needs a name" && out=$2 && shift 2 ;;
    --out=*) out=${1#--out=} && shift ;;
    --title) [ $# -gt 1 ] || give_up "--title needs a text" && add_title "$2" && shift 2 ;;
    --title=*) add_title "${1#--title=}" && shift ;;
    --) shift && break ;;
    -*) give_up "$1: there is no such option; --help tells more" ;;
    *) break ;;
    esac
done
[ $# -gt 0 ] || { usage >&2 && exit 1; }
[ -n "$out" ] || give_up "--out needs a name"
[ -d "$(dirname -- "$out")" ] || give_up "$out: there is no such folder to write to"
[ $titles -le $# ] || give_up "there are $titles titles for $# files"
command -v gnuplot >/dev/null || give_up "gnuplot is missing: apt-get install gnuplot-nox"

files=0
settings="out = $(quote "$out")$settings"
for file; do
    check_file "$file"
    files=$((files + 1))
    settings="$settings; file$files = $(quote "$file")"
done

gnuplot -e "$settings" "${0%.sh}.gp"
echo "$out.png and $out.svg"
