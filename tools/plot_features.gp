# Draws two-dimensional features of images, one panel a file, coloured by class, with the same scale on x and y and the
# origin marked. tools/plot_features.sh checks the files and calls this; it can be called without:
#
#     gnuplot -e "file1 = 'a.csv'; file2 = 'b.csv'; title2 = 'cosine'; out = 'features'" tools/plot_features.gp
#
# file1, file2, ...    files with columns label, f0 and f1, as spherenet features writes them
# title1, title2, ...  the panels' titles; a file's name without .csv unless told
# out                  the picture's name: out.png and out.svg are written; features unless told
# width                in pixels; 1400 unless told, 1000 if there is but one file
#
# A file's name goes in single quotes, a quote in it is doubled. Columns are found by their names. A last line without
# an end is left out.

if (!exists("out")) out = "features"

# Ten colours, any two of which are at least 24 apart in CIELAB, to the colour-blind (protanopia, deuteranopia) as to
# others; further classes get them again, with other marks.
array colours[10] = [ \
    0x3f90da, 0xe69f00, 0xbd1f01, 0x332288, 0x66ccee, 0xaa3377, 0x000000, 0xee8866, 0x663333, 0xcc6677]
array marks[6] = [7, 9, 5, 11, 13, 1]
colour(class) = colours[int(class) % 10 + 1]
mark(class) = marks[int(class) / 10 % 6 + 1]

# --- Reading ---------------------------------------------------------------------------------------------------------

file(i) = value(sprintf("file%d", i))
is_file(i) = exists(sprintf("file%d", i))
quoted(s) = strstrt(s, "'") ? s[1:strstrt(s, "'") - 1]."'\\''".quoted(s[strstrt(s, "'") + 1:*]) : s
base_name(s) = strstrt(s, "/") ? base_name(s[strstrt(s, "/") + 1:*]) : s
without_csv(s) = strlen(s) > 4 && s[strlen(s) - 3:*] eq ".csv" ? s[1:strlen(s) - 4] : s
title(i) = exists(sprintf("title%d", i)) ? value(sprintf("title%d", i)) : without_csv(base_name(file(i)))

# Prints a file as gnuplot's commands: the datablock $NAME with f0, f1 and the class, in the file's order lest the last
# classes hide the others; NAME_rows and NAME_class, the greatest class; NAME_x, NAME_y and NAME_half, the centre of a
# square that holds all points and the origin, and half its side. Of the points of a class that would lie within a few
# thousandths of that side, one is kept: that changes nothing to see, and makes the SVG smaller.
reduce = '\
function is_number(text) { return text ~ /^[-+]?[0-9.]+([eE][-+]?[0-9]+)?$/ } \
BEGIN { print "$" name " << END_OF_TABLE" } \
NR == 1 { fields = NF; for (i = 1; i <= NF; i++) column[$i] = i; next } \
NF != fields || !("label" in column && "f0" in column && "f1" in column) { next } \
is_number($column["f0"]) && is_number($column["f1"]) && $column["label"] ~ /^[0-9]+$/ { \
    n++; \
    x[n] = $column["f0"] + 0; y[n] = $column["f1"] + 0; class[n] = $column["label"] + 0; \
    if (x[n] < x_min) x_min = x[n]; \
    if (x[n] > x_max) x_max = x[n]; \
    if (y[n] < y_min) y_min = y[n]; \
    if (y[n] > y_max) y_max = y[n]; \
    if (class[n] > greatest) greatest = class[n]; \
} \
END { \
    half = (x_max - x_min > y_max - y_min ? x_max - x_min : y_max - y_min) * 0.52; \
    if (half == 0) half = 1; \
    cell = half / 300; \
    for (i = 1; i <= n; i++) \
        if (!seen[int((x[i] - x_min) / cell), int((y[i] - y_min) / cell), class[i]]++) \
            printf "%.5g %.5g %d\n", x[i], y[i], class[i]; \
    print "END_OF_TABLE"; \
    print name "_rows = " n + 0; \
    print name "_class = " greatest + 0; \
    printf "%s_x = %.9g; %s_y = %.9g; %s_half = %.9g\n", \
        name, (x_min + x_max) / 2, name, (y_min + y_max) / 2, name, half; \
}'
table(i) = "< { cat -- '".quoted(file(i))."'; echo; } 2>/dev/null | sed '$d' | ".\
    sprintf("awk -F, -v name=points%d '", i).reduce."'"

files = 0
greatest = 0
while (is_file(files + 1)) {
    files = files + 1
    load table(files)
    if (!value(sprintf("points%d_rows", files))) {
        print "plot_features: ".file(files).": there is nothing to draw"
        exit status 1
    }
    class = value(sprintf("points%d_class", files))
    greatest = class > greatest ? class : greatest
}
if (!files) { print "plot_features: there is nothing to draw"; exit status 1 }

# --- Drawing ---------------------------------------------------------------------------------------------------------

# At most four panels in a line, the legend below them all. Sizes in pixels.
if (!exists("width")) width = files > 1 ? 1400 : 1000
columns = files < 4 ? files : 4
lines = (files + columns - 1) / columns
left = 55
above = 45
below = 35
side = width / columns - left - 15
legend_columns = (width - 40) / 70
legend_columns = legend_columns < 10 ? legend_columns : legend_columns < 20 ? 10 : 20
legend_columns = greatest < legend_columns ? greatest + 1 : legend_columns
legend_lines = greatest / legend_columns + 1
height = lines * (above + side + below) + 22 * legend_lines + 25
size = side > 700 ? 0.4 : side > 400 ? 0.35 : 0.25

entries = ""
do for [class = 0:greatest] {
    entries = entries.sprintf(", keyentry with points pt %d ps 1.2 lc rgb %d title '%d'", \
        mark(class), colour(class), class)
}

set encoding utf8

do for [type in "png svg"] {
    if (type eq "png") {
        set terminal pngcairo size width, height font "sans,11" background "white"
    } else {
        set terminal svg size width, height dynamic font "sans,13" background "white"
    }
    set output out.".".type
    set border 15 lc rgb "#888888"
    set tics nomirror out scale 0.5 textcolor rgb "#222222"
    set xtics format "%g"
    set ytics format "%g"
    set zeroaxis lt 1 lw 1 lc rgb "#bbbbbb"
    unset key
    set multiplot
    do for [i = 1:files] {
        x = value(sprintf("points%d_x", i))
        y = value(sprintf("points%d_y", i))
        half = value(sprintf("points%d_half", i))
        x0 = (i - 1) % columns * (side + left + 15) + left
        y0 = height - ((i - 1) / columns + 1) * (above + side + below) + below
        set lmargin at screen real(x0) / width
        set rmargin at screen real(x0 + side) / width
        set bmargin at screen real(y0) / height
        set tmargin at screen real(y0 + side) / height
        set xrange [x - half:x + half]
        set yrange [y - half:y + half]
        set title title(i) noenhanced offset 0, -0.3
        eval sprintf("plot $points%d using 1:2:(mark($3)):(colour($3)) with points pt variable ps %g ", i, size)\
            ."lc rgb variable notitle, "\
            ."'+' using (0):(0) every ::::0 with points pt 1 ps 2.5 lw 3 lc rgb 'white' notitle, "\
            ."'+' using (0):(0) every ::::0 with points pt 1 ps 2 lw 1.5 lc rgb 'black' notitle"
    }
    # The legend, in a panel of the whole width.
    set lmargin at screen 0
    set rmargin at screen 1
    set key at screen 0.5, screen 8.0 / height center bottom maxrows legend_lines maxcols legend_columns vertical Left \
        reverse samplen 0.5 width 1 noenhanced
    unset border
    unset tics
    unset title
    unset zeroaxis
    eval "plot [0:1] [0:1] NaN notitle".entries
    unset multiplot
    unset output
}
