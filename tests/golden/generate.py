#!/usr/bin/env python3
"""Writes the golden training runs of this folder: those of cases.py, computed by tests/ref/torch_reference.py.

Every case is a five-step training run of a small network on random data, computed in float64 from values that float32
holds exactly. README.md describes the files. Needs torch, numpy and the standard library.
"""

import gzip
import io
import json
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

FOLDER = Path(__file__).resolve().parent
sys.path.append(str(FOLDER.parent / "ref"))
sys.dont_write_bytecode = True

from cases import STEPS, Spec, all_cases
from check_reference import check_reference
from draw import Draw, well_conditioned_run
from torch_reference import Run

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


def stored_result(values: Any, grid: float) -> np.ndarray:
    return (np.round(np.asarray(values, dtype=np.float64) / grid) * grid).astype("<f8")


def case_arrays(draw: Draw, run: Run) -> dict[str, np.ndarray]:
    """The tensors of a case; float64 ones come first, which keeps all of them aligned."""
    results = {f"final.{name}": stored_result(value, FINAL_GRID) for name, value in run.final.items()}
    losses = {f"loss.{term}": stored_result(values, LOSS_GRID) for term, values in run.losses.items()}
    inputs = {f"init.{name}": value for name, value in draw.init.items()}
    inputs.update(images=draw.images, labels=draw.labels)
    return {**results, **losses, **{name: value.numpy().astype("<f4") for name, value in inputs.items()}}


def safetensors(metadata: dict[str, str], arrays: dict[str, np.ndarray]) -> bytes:
    header: Spec = {"__metadata__": metadata}
    offset = 0
    for name, array in arrays.items():
        dtype = {4: "F32", 8: "F64"}[array.itemsize]
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [offset, offset + array.nbytes]}
        offset += array.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + b"".join(array.tobytes() for array in arrays.values())


def compressed(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=buffer, mtime=0) as stream:
        stream.write(data)
    return buffer.getvalue()


def main() -> None:
    torch.set_num_threads(1)
    check_reference()
    for stale in FOLDER.glob("*.safetensors.gz"):
        stale.unlink()
    total = 0
    for name, spec in all_cases().items():
        draw, run, error = well_conditioned_run(name, spec)
        metadata = {"spec": spec_text(spec), "steps": str(STEPS)}
        data = compressed(safetensors(metadata, case_arrays(draw, run)))
        (FOLDER / f"{name}.safetensors.gz").write_bytes(data)
        total += len(data)
        print(f"{name:42s} {len(data):6d} bytes, float32 ends within {error:.1e}", flush=True)
    print(f"{total} bytes in all")


if __name__ == "__main__":
    main()
