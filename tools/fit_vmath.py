#!/usr/bin/python3 -B
"""Fits the polynomials of src/kernel/vmath.h anew and compares them with those that stand there.

    tools/fit_vmath.py

Each is x + x z p(z), or 1 + z p(z) for sec, with z = x^2. The coefficients of p are those of least squares of the
relative error on Chebyshev's points of the range, which comes near to the smallest largest error. Prints, for each
function, every coefficient in float as fitted and as in the header, and the largest errors of the latter: relative in
exact arithmetic, and in units in the last place when computed in float with fused multiply-adds.

Exit status: 0 all coefficients are the same floats, 1 some differ, 2 a mistake in the command line.
"""

import re
import sys
from dataclasses import dataclass
from typing import Callable

from common import ROOT, arguments_of, explain_missing, fail, run_tool

try:
    import numpy as np
except ImportError as missing:
    explain_missing(__doc__, missing, "apt-get install python3-numpy")

HEADER = ROOT / "src" / "kernel" / "vmath.h"
POINTS = 1000
EVERY = 97  # of the floats of a range, this one is tried
SMALLEST = 2.0**-24  # below, x z p(z) is less than half a unit in the last place of x
Array = np.ndarray


@dataclass(frozen=True)
class Function:
    name: str
    where: str  # the name of the function in the header that holds the coefficients
    exact: Callable[[Array], Array]
    range: float
    terms: int
    even: bool = False  # 1 + z p(z)

    def first(self, x: Array) -> Array:
        """The term before p's."""
        return np.ones_like(x) if self.even else x


FUNCTIONS = [
    Function("asin", "vmath_asin_tail", np.arcsin, 0.5, 5),
    Function("tanh", "vmath_small_tanh", np.tanh, 1.0, 8),
    Function("atanh", "vmath_small_atanh", np.arctanh, 0.5, 6),
    Function("sin", "vmath_small_sin", np.sin, np.pi / 2, 5),
    # asin of 1/2 in float may lie a little beyond pi/6.
    Function("sec", "vmath_small_sec", lambda x: 1 / np.cos(x), np.pi / 6 * 1.00005, 5, even=True),
]


def fitted(function: Function) -> Array:
    """p's coefficients, the constant one first."""
    points = np.arange(POINTS)
    x = function.range * np.cos((2 * points + 1) * np.pi / (4 * POINTS))
    value, first = function.exact(x), function.first(x)
    weight = first * x**2 / value
    terms = np.vander(x**2, function.terms, increasing=True) * weight[:, None]
    return np.linalg.lstsq(terms, (value - first) / value, rcond=None)[0]


def present(function: Function, header: str) -> Array:
    body = re.search(rf"float {function.where}\(float x\) \{{(.*?)\n\}}", header, re.DOTALL)
    found = re.findall(r"(-?[0-9.]+(?:e[-+][0-9]+)?)F\b", body[1]) if body else []
    if len(found) != function.terms:
        fail(f"{HEADER}: {function.where}: expected {function.terms} coefficients, found {len(found)}")
    return np.array(found[::-1], dtype=np.float64)


def in_float(function: Function, p: Array, x: Array) -> Array:
    """As the header computes it. A product of two floats is exact in double: one rounding to float, as of an FMA."""

    def fma(a: Array, b: Array, c: Array) -> Array:
        return (a.astype(np.float64) * b + c).astype(np.float32)

    z, sum_so_far = x * x, np.full_like(x, p[-1])
    for coefficient in p[-2::-1]:
        sum_so_far = fma(z, sum_so_far, coefficient)
    return fma(z if function.even else x * z, sum_so_far, function.first(x))


def largest_errors(function: Function, p: Array) -> tuple[float, float]:
    """Relative in exact arithmetic, and in units in the last place of float."""
    bits = np.array([SMALLEST, function.range], dtype=np.float32).view(np.int32)
    x = np.arange(bits[1], bits[0], -EVERY, dtype=np.int32).view(np.float32)
    exact_x = x.astype(np.float64)
    exact = function.exact(exact_x)
    first = function.first(exact_x)
    relative = (first + first * exact_x**2 * np.polyval(p[::-1], exact_x**2)) / exact - 1
    units = (in_float(function, p.astype(np.float32), x) - exact) / np.spacing(exact.astype(np.float32))
    return float(np.abs(relative).max()), float(np.abs(units).max())


def main() -> None:
    arguments_of(__doc__).parse_args()
    header = HEADER.read_text(encoding="utf-8")
    all_same = True
    for function in FUNCTIONS:
        ours, theirs = fitted(function), present(function, header)
        relative, units = largest_errors(function, theirs)
        print(
            f"{function.name}, |x| <= {function.range:.6g}: off by {relative:.1e}, {units:.2f} units in the last place"
        )
        for power, (new, old) in enumerate(zip(ours.astype(np.float32), theirs.astype(np.float32))):
            print(f"    z^{power}  fitted {new!s:>16}  header {old!s:>16}" + ("" if new == old else "  differ"))
            all_same = all_same and new == old
    sys.exit(0 if all_same else 1)


if __name__ == "__main__":
    run_tool(main)
