"""What the tools share: the program they run, how they fail, how they read its tables."""

import argparse
import csv
import os
import signal
import sys
from pathlib import Path
from typing import Callable, NoReturn, Optional

ROOT = Path(__file__).resolve().parent.parent
IS_SOURCE = (ROOT / "Makefile").exists()  # else the tools are installed, as PREFIX/share/spherenet/tools
PROGRAM = os.environ.get("SPHERENET") or str(ROOT / "spherenet" if IS_SOURCE else ROOT.parents[1] / "bin" / "spherenet")
TOOL = Path(sys.argv[0]).name


def fail(message: str, status: int = 1) -> NoReturn:
    print(f"{TOOL}: {message}", file=sys.stderr)
    sys.exit(status)


def as_called(usage: Optional[str]) -> str:
    """The text, which names the tool as it lies in the sources, with the name by which it was called elsewhere."""
    return (usage or "").replace(f"tools/{Path(sys.argv[0]).resolve().name}", f"tools/{TOOL}" if IS_SOURCE else TOOL)


def explain_missing(usage: Optional[str], problem: ImportError, packages: str) -> NoReturn:
    """A module that the tool needs cannot be imported; --help works without."""
    if {"-h", "--help"} & set(sys.argv[1:]):
        print(as_called(usage))
        sys.exit(0)
    fail(f"{problem}; {packages}")


def run_tool(main: Callable[[], None]) -> None:
    """Calls main; a file that cannot be read or written is told in one line."""
    try:
        main()
    except OSError as problem:
        hint = "; `make` builds it" if IS_SOURCE and problem.filename == PROGRAM else ""
        fail((f"{problem.filename}: " if problem.filename else "") + f"{problem.strerror}{hint}")


def arguments_of(description: Optional[str]) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(description=as_called(description), formatter_class=argparse.RawDescriptionHelpFormatter)


def why_it_ended(status: int) -> str:
    """Of a process that ended with that status, as subprocess has it."""
    if status < 0:
        return f"killed by signal {-status}, {signal.strsignal(-status)}"
    return f"ended with exit status {status}"


def whole_rows(path: Path) -> list[dict[str, str]]:
    """A table by column names, without a last line that is still being written; none if there is no such file."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return []
    return list(csv.DictReader(text[: text.rfind("\n") + 1].splitlines()))
