#!/usr/bin/env python3
"""Writes the golden training runs of this folder: those of cases.py, computed by tools/spherenet_torch.py.

    tests/golden/generate.py            writes all of them again
    tests/golden/generate.py --check    trains again from what the files hold, and compares; writes nothing

Every case is a five-step training run of a small network on random data, computed in float64 from values that float32
holds exactly. README.md describes the files. Needs torch and numpy.
"""

import gzip
import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

FOLDER = Path(__file__).resolve().parent
sys.dont_write_bytecode = True

from cases import STEPS, Spec, all_cases
from check_reference import check_reference
from draw import Draw, well_conditioned_run
from reference_run import Run, train
from spherenet_torch import Tensors, packed_tensors, read_tensors

FINAL_GRID = 2.0**-28  # far below float32 rounding; hides differences of float64 rounding between processors
LOSS_GRID = 2.0**-36


def flow(value: Any) -> str:
    """A value in YAML flow style."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(flow(item) for item in value) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else repr(value).replace("e-0", "e-")


def spec_text(spec: Spec) -> str:
    """The spec as YAML: one line a section, one line a layer of the network."""
    lines = []
    for key, value in spec.items():
        if key == "network":
            lines += ["network:", "  layers:"] + [f"    - {flow(layer)}" for layer in value["layers"]]
        else:
            lines.append(f"{key}: {flow(value)}")
    return "\n".join(lines) + "\n"


def stored_result(values: Any, grid: float) -> Tensor:
    return torch.from_numpy(np.round(np.asarray(values, dtype=np.float64) / grid) * grid)


def result_tensors(run: Run) -> Tensors:
    results = {f"final.{name}": stored_result(value, FINAL_GRID) for name, value in run.final.items()}
    return {**results, **{f"loss.{term}": stored_result(values, LOSS_GRID) for term, values in run.losses.items()}}


def case_tensors(draw: Draw, run: Run) -> Tensors:
    inputs = {f"init.{name}": value for name, value in draw.init.items()}
    inputs.update(images=draw.images, labels=draw.labels)
    return {**result_tensors(run), **{name: value.float() for name, value in inputs.items()}}


def compressed(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=buffer, mtime=0) as stream:
        stream.write(data)
    return buffer.getvalue()


def grid_steps(name: str, spec: Spec) -> float:
    """By how many steps of its grid a result of the case's file differs from that of its run made again, at most."""
    metadata, stored = read_tensors(FOLDER / f"{name}.safetensors.gz")
    if metadata["spec"] != spec_text(spec):
        sys.exit(f"{name}: the file has another spec")
    init = {name[len("init.") :]: value for name, value in stored.items() if name.startswith("init.")}
    run = train(spec, init, stored["images"], stored["labels"].long(), torch.float64)
    found = result_tensors(run)
    grids = {name: LOSS_GRID if name.startswith("loss.") else FINAL_GRID for name in found}
    return max(float((value - stored[name]).abs().max()) / grids[name] for name, value in found.items())


def check() -> None:
    """Another version of PyTorch may round a result to the grid's next value."""
    steps = {name: grid_steps(name, spec) for name, spec in all_cases().items()}
    wrong = [name for name, count in steps.items() if not count <= 1]
    print(f"{len(steps)} files, {sum(count == 0 for count in steps.values())} with the same bits")
    sys.exit(f"other results: {' '.join(wrong)}" if wrong else 0)


def main() -> None:
    torch.set_num_threads(1)
    check_reference()
    if sys.argv[1:] == ["--check"]:
        check()
    for stale in FOLDER.glob("*.safetensors.gz"):
        stale.unlink()
    total = 0
    for name, spec in all_cases().items():
        draw, run, error = well_conditioned_run(name, spec)
        metadata = {"spec": spec_text(spec), "steps": str(STEPS)}
        data = compressed(packed_tensors(metadata, case_tensors(draw, run)))
        (FOLDER / f"{name}.safetensors.gz").write_bytes(data)
        total += len(data)
        print(f"{name:42s} {len(data):6d} bytes, float32 ends within {error:.1e}", flush=True)
    print(f"{total} bytes in all")


if __name__ == "__main__":
    main()
