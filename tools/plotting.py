"""What plot_curves and plot_features share: colours, the sheet with its legend, and gnuplot, which draws it."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Iterable

from common import fail

# Any two are at least 24 apart in CIELAB, to the colour-blind (protanopia, deuteranopia) as to others.
COLOURS = "3f90da e69f00 bd1f01 332288 66ccee aa3377 000000 ee8866 663333 cc6677".split()
TERMINALS = {"png": 'pngcairo font "sans,12"', "svg": 'svg dynamic font "sans,14"'}
LEGEND_LINE = 22  # pixels

STYLE = """set encoding utf8
set tics nomirror out scale 0.6 textcolor rgb "#222222"
set xtics format "%g"
set ytics format "%g"
"""


def colour(index: int) -> str:
    return "#" + COLOURS[index % len(COLOURS)]


def quoted(text: object) -> str:
    """A string as gnuplot reads it."""
    return "'" + re.sub(r"[\x00-\x1f]", "?", str(text)).replace("'", "''") + "'"


def table(name: str, rows: Iterable[Iterable[float]]) -> str:
    """Numbers that gnuplot knows as $name."""
    lines = (" ".join(f"{value:.8g}" if value == value else "NaN" for value in row) for row in rows)
    return f"${name} << END_OF_TABLE\n" + "".join(f"{line}\n" for line in lines) + "END_OF_TABLE\n"


def legend(entries: list[str], columns: int, height: int, options: str) -> str:
    """A panel of the whole sheet with nothing but the legend, at its foot."""
    lines = -(-len(entries) // columns)
    return f"""set lmargin at screen 0
set rmargin at screen 1
set key at screen 0.5, screen {10 / height} center bottom maxcols {columns} maxrows {lines} vertical Left reverse {options}
unset border; unset tics; unset xlabel; unset ylabel; unset title; unset zeroaxis
plot [0:1] [0:1] NaN notitle, {", ".join(f"keyentry {entry}" for entry in entries)}
"""


def draw(out: str, width: int, height: int, tables: str, panels: str) -> None:
    """Writes out.png and out.svg. panels: what gnuplot is told between `set multiplot` and `unset multiplot`."""
    if not out or not Path(out).parent.is_dir():
        fail(f"{out}: there is no such folder to write to")
    if not shutil.which("gnuplot"):
        fail("gnuplot is missing: apt-get install gnuplot-nox")
    script = tables
    for kind, terminal in TERMINALS.items():
        script += f"reset\n{STYLE}set terminal {terminal} size {width}, {height} background 'white'\n"
        script += (
            f"set output {quoted(f'{out}.{kind}')}\nset multiplot\nunset key\n{panels}unset multiplot\nunset output\n"
        )
    done = subprocess.run(["gnuplot", "/dev/stdin"], input=script, text=True)
    if done.returncode:
        fail(f"gnuplot ended with exit status {done.returncode}")
    print(f"{out}.png and {out}.svg")
