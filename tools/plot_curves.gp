# Draws the learning curves of runs on one sheet: accuracy and loss, over iterations and over seconds, in the test
# (strong lines with points) and in training (light lines, running means of the batches' values). tools/plot_curves.sh
# checks the folders and calls this; it can be called without:
#
#     gnuplot -e "run1 = 'runs/a'; run2 = 'runs/b'; out = 'curves'" tools/plot_curves.gp
#
# run1, run2, ...  the runs' folders
# out              the sheet's name: out.png and out.svg are written; curves unless told
# window           rows of train.csv in a running mean; a fortieth of a run's rows unless told
# training_loss    column of train.csv drawn as loss; unless told fit, the loss without penalties, as in eval.csv
# width, height    of the panels together, in pixels; 1400 and 1000 unless told
#
# A folder's name goes in single quotes, a quote in it is doubled. Columns are found by their names. A last line without
# an end is left out: the run is still writing it.

if (!exists("out")) out = "curves"
if (!exists("window")) window = 0
if (!exists("training_loss")) training_loss = "fit"
if (!exists("width")) width = 1400
if (!exists("height")) height = 1000

# Ten colours, any two of which are at least 24 apart in CIELAB, to the colour-blind (protanopia, deuteranopia) as to
# others; further runs get them again, dashed.
array colours[10] = [ \
    0x3f90da, 0xe69f00, 0xbd1f01, 0x332288, 0x66ccee, 0xaa3377, 0x000000, 0xee8866, 0x663333, 0xcc6677]
colour(i) = colours[(i - 1) % 10 + 1]
mixed(c) = (c * 6 + 255 * 4) / 10
light(i) = mixed(colour(i) / 65536) * 65536 + mixed(colour(i) / 256 % 256) * 256 + mixed(colour(i) % 256)
dash(i) = (i - 1) / 10 + 1

# --- Reading ---------------------------------------------------------------------------------------------------------

folder(i) = value(sprintf("run%d", i))
is_run(i) = exists(sprintf("run%d", i))
quoted(s) = strstrt(s, "'") ? s[1:strstrt(s, "'") - 1]."'\\''".quoted(s[strstrt(s, "'") + 1:*]) : s
without_slash(s) = strlen(s) > 1 && s[strlen(s):*] eq "/" ? without_slash(s[1:strlen(s) - 1]) : s
base_name(s) = strstrt(s, "/") && s ne "/" ? base_name(s[strstrt(s, "/") + 1:*]) : s

# Prints a table as gnuplot's commands: the datablock $NAME with iteration, seconds, accuracy in percent and loss, of at
# most about 500 rows, and NAME_rows. Each row is the mean of the file's rows around it, in x as in y: at the ends,
# where only one side has rows, a mean in y alone would bend the curve.
reduce = '\
function is_number(text) { return text ~ /^[-+]?[0-9.]+([eE][-+]?[0-9]+)?$/ } \
function mean(c, from, to) { \
    if (count[c, to] == count[c, from]) return "NaN"; \
    return sprintf("%.8g", (sum[c, to] - sum[c, from]) / (count[c, to] - count[c, from])) \
} \
BEGIN { split("iteration seconds accuracy " loss, wanted, " "); print "$" name " << END_OF_TABLE" } \
NR == 1 { fields = NF; for (i = 1; i <= NF; i++) column[$i] = i; next } \
NF != fields || ("split" in column && $column["split"] != "test") { next } \
{ \
    n++; \
    for (c = 1; c <= 4; c++) { \
        text = wanted[c] in column ? $column[wanted[c]] : ""; \
        good = is_number(text); \
        sum[c, n] = sum[c, n - 1] + (good ? text * (wanted[c] == "accuracy" ? 100 : 1) : 0); \
        count[c, n] = count[c, n - 1] + good; \
    } \
} \
END { \
    half = int((window ? window : n / 40) / 2); \
    step = int((n - 1) / 500) + 1; \
    for (i = 1; i <= n; i = i < n && i + step > n ? n : i + step) { \
        from = i - half > 1 ? i - half : 1; \
        to = i + half < n ? i + half : n; \
        for (c = 1; c <= 4; c++) printf "%s%s", mean(c, from - 1, to), c < 4 ? " " : "\n"; \
    } \
    print "END_OF_TABLE"; \
    print name "_rows = " n + 0; \
}'
table(i, file, name, loss, window) = "< { cat -- '".quoted(folder(i))."/".file."'; echo; } 2>/dev/null | sed '$d' | ".\
    sprintf("awk -F, -v name=%s%d -v loss=%s -v window=%d '", name, i, loss, window).reduce."'"

runs = 0
all_rows = 0
while (is_run(runs + 1)) {
    runs = runs + 1
    load table(runs, "train.csv", "train", training_loss, window)
    load table(runs, "eval.csv", "test", "loss", 1)
    all_rows = all_rows + value(sprintf("train%d_rows", runs)) + value(sprintf("test%d_rows", runs))
}
if (!all_rows) { print "plot_curves: there is nothing to draw"; exit status 1 }

# --- Drawing ---------------------------------------------------------------------------------------------------------

# Runs are named after their folders, those that share that name with their whole paths.
short(i) = base_name(without_slash(folder(i)))
array names[runs]
do for [i = 1:runs] {
    names[i] = short(i)
    do for [j = 1:runs] { if (i != j && short(i) eq short(j)) { names[i] = without_slash(folder(i)) } }
}

# The legend: its entries, in as many columns as the longest name leaves room for, below the panels.
longest = strlen("training, running mean")
do for [i = 1:runs] { longest = strlen(names[i]) > longest ? strlen(names[i]) : longest }
columns = width / (9 * longest + 110)
columns = columns < 1 ? 1 : columns > runs + 2 ? runs + 2 : columns
lines = (runs + 2 + columns - 1) / columns
sheet = height + 22 * lines + 15
above = 20
below = 65

entries = "keyentry with linespoints lc rgb 'black' lw 2 pt 7 ps 0.6 title 'test', "\
    ."keyentry with lines lc rgb '#aaaaaa' lw 2 title 'training, running mean'"
do for [i = 1:runs] {
    entries = entries.sprintf(", keyentry with lines lc rgb %d lw 4 dt %d title names[%d]", colour(i), dash(i), i)
}

trained = ""
tested = ""
do for [i = 1:runs] {
    rows = value(sprintf("train%d_rows", i))
    if (rows) {
        trained = trained.sprintf("$train%d using x:y with %s lc rgb %d lw 1.5 dt %d notitle, ", \
            i, rows > 1 ? "lines" : "points pt 6", light(i), dash(i))
    }
    rows = value(sprintf("test%d_rows", i))
    if (rows) {
        tested = tested.sprintf("$test%d using x:y with linespoints lc rgb %d lw 2 dt %d pt 7 ps 0.6 pi %d notitle, ", \
            i, colour(i), dash(i), (rows - 1) / 25 + 1)
    }
}

set encoding utf8
set grid lc rgb "#dddddd" lt 1 lw 1
set xrange [0:*] noextend
array x_labels[2] = ["iteration", "seconds"]
array y_labels[2] = ["accuracy (%)", training_loss eq "fit" ? "loss, without penalties" : "loss"]

do for [type in "png svg"] {
    if (type eq "png") {
        set terminal pngcairo size width, sheet font "sans,12" background "white"
    } else {
        set terminal svg size width, sheet dynamic font "sans,14" background "white"
    }
    set output out.".".type
    set border 3 lc rgb "#444444"
    set tics nomirror out scale 0.6 textcolor rgb "#222222"
    set xtics format "%g"
    set ytics format "%g"
    unset key
    set multiplot
    do for [panel = 0:3] {
        x = panel % 2 + 1
        y = panel / 2 + 3
        set xlabel x_labels[x]
        set ylabel y_labels[y - 2]
        set lmargin at screen (x == 1 ? 0.06 : 0.56)
        set rmargin at screen (x == 1 ? 0.47 : 0.97)
        set tmargin at screen 1 - (y == 3 ? above : above + height / 2.0) / real(sheet)
        set bmargin at screen 1 - (y == 3 ? height / 2.0 - below : height - below) / real(sheet)
        eval "plot ".trained.tested."keyentry with lines notitle"
    }
    # The legend, in a panel of the whole width.
    set lmargin at screen 0
    set rmargin at screen 1
    set key at screen 0.5, screen 10.0 / sheet center bottom maxcols columns maxrows lines vertical Left reverse \
        samplen 2.5 width 1 noenhanced
    unset border
    unset tics
    unset xlabel
    unset ylabel
    eval "plot [0:1] [0:1] NaN notitle, ".entries
    unset multiplot
    unset output
}
