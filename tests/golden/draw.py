"""Random initial values and batches for a case, such that no rounding can divert its run."""

import math
import zlib
from dataclasses import dataclass
from typing import Optional

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cases import CLASSES, STEPS, alignment_of
from reference_run import Run, operator_of, train
from spherenet_torch import Layers, Spec, Tensors, segments, takes_angle

ATTEMPTS = 200  # random draws tried before a case is given up as badly conditioned
IMAGE_GRID = 2.0**-5  # coarse grids keep the files small; the values are exact in float32
INIT_GRID = 2.0**-10
FLOAT32_TOLERANCE = 1e-6  # a float32 rerun has to end this close: |a - b| <= tolerance * (1 + |b|)


# ---------------------------------------------------------------------------------------------------------------------
# Initial values
# ---------------------------------------------------------------------------------------------------------------------


def on_grid(values: np.ndarray, grid: float) -> Tensor:
    return torch.from_numpy(np.round(values / grid) * grid)


def away_from_zero(rng: np.random.RandomState, count: int) -> np.ndarray:
    """Offsets of either sign: weight decay gives each a definite gradient, and few kill a whole ReLU channel."""
    return rng.uniform(0.03, 0.15, count) * rng.choice([-1.0, 1.0], count)


def initial_k(operator: Spec, filters: int, rng: np.random.RandomState) -> Tensor:
    count = 1 if operator.get("k_shared", "filter") == "layer" else filters
    return on_grid(operator["initial_k"] + rng.uniform(-0.1, 0.1, count), INIT_GRID)


def initial_operator(layer: Spec, shape: list[int], rng: np.random.RandomState, tensors: Tensors) -> None:
    name, operator = layer["name"], operator_of(layer)
    filters = layer["units"] if layer["type"] == "dense" else layer["filters"]
    kernel = [] if layer["type"] == "dense" else [layer["kernel"]] * 2
    fan = [math.prod(shape)] if layer["type"] == "dense" else [shape[0], *kernel]
    scale = math.sqrt(2 / math.prod(fan))
    weight = scale * rng.standard_normal([filters, *fan])
    tensors[f"{name}.weight"] = on_grid(weight, INIT_GRID) + INIT_GRID / 2  # never exactly zero
    if layer["bias"]:
        tensors[f"{name}.bias"] = on_grid(away_from_zero(rng, filters), INIT_GRID)
    if operator["angular"] == "learnable_sigmoid":
        tensors[f"{name}.k"] = initial_k(operator, filters, rng)
    if operator.get("train_rho", False):
        tensors[f"{name}.rho"] = on_grid(operator["rho"] + rng.uniform(-0.1, 0.1, 1), INIT_GRID)


def initial_norm(layer: Spec, channels: int, rng: np.random.RandomState, tensors: Tensors) -> None:
    name = layer["name"]
    trained = layer.get("trained", True)
    weight = rng.uniform(0.7, 1.3, channels) if trained else np.ones(channels)
    bias = away_from_zero(rng, channels) if trained else np.zeros(channels)
    tensors[f"{name}.weight"] = on_grid(weight, INIT_GRID)
    tensors[f"{name}.bias"] = on_grid(bias, INIT_GRID)
    if layer["type"] == "batch_norm":
        tensors[f"{name}.running_mean"] = torch.zeros(channels, dtype=torch.float64)
        tensors[f"{name}.running_var"] = torch.zeros(channels, dtype=torch.float64)
        tensors[f"{name}.num_batches_tracked"] = torch.zeros(1, dtype=torch.float64)


def windowed(size: int, layer: Spec) -> int:
    return (size + 2 * layer.get("padding", 0) - layer["kernel"]) // layer["stride"] + 1


def initialise(layers: Layers, shape: list[int], rng: np.random.RandomState, tensors: Tensors) -> list[int]:
    """Fills `tensors` for layers that see images of shape [C, H, W]; returns the shape that leaves them."""
    for layer in layers:
        kind = layer["type"]
        if kind == "dense":
            initial_operator(layer, shape, rng, tensors)
            shape = [layer["units"], 1, 1]
        elif kind in ("conv", "sphere_conv"):
            initial_operator(layer, shape, rng, tensors)
            shape = [layer["filters"], windowed(shape[1], layer), windowed(shape[2], layer)]
        elif kind in ("batch_norm", "sphere_norm"):
            initial_norm(layer, shape[0], rng, tensors)
        elif kind == "residual":
            initialise(layer.get("shortcut", []), shape, rng, tensors)
            shape = initialise(layer["body"], shape, rng, tensors)
        elif kind == "avg_pool" and layer.get("global", False):
            shape = [shape[0], 1, 1]
        elif kind in ("max_pool", "avg_pool"):
            shape = [shape[0], windowed(shape[1], layer), windowed(shape[2], layer)]
    return shape


def initial_tensors(spec: Spec, shape: list[int], rng: np.random.RandomState) -> Tensors:
    """Of the network and the loss, for images of shape [C, H, W]."""
    layers, loss, tensors = spec["network"]["layers"], spec["loss"], Tensors()
    initialise(layers, shape, rng, tensors)
    if loss.get("angular") == "learnable_sigmoid":
        tensors[f"{layers[-1]['name']}.k"] = initial_k(loss, layers[-1]["units"], rng)
    if loss["type"] == "sphereface2":
        tensors[f"{layers[-1]['name']}.bias"] = on_grid(rng.uniform(-1.0, 1.0, 1), INIT_GRID)
    return tensors


# ---------------------------------------------------------------------------------------------------------------------
# Drawing and checking a case
# ---------------------------------------------------------------------------------------------------------------------


@dataclass
class Draw:
    init: Tensors
    images: Tensor
    labels: Tensor


def alignment_gaps(loss: Spec) -> tuple[float, float]:
    """How far |cos theta| of aligned images is to be from 1, least and most."""
    return (2e-3, 5e-3) if takes_angle(loss) else (2e-4, 8e-4)


def aligned_images(spec: Spec, sign: int, weight: Tensor, labels: Tensor, rng: np.random.RandomState) -> Tensor:
    units = F.normalize(weight, dim=1)[labels]
    across = torch.from_numpy(rng.standard_normal(units.shape))
    across = F.normalize(across - (across * units).sum(2, keepdim=True) * units, dim=2)
    cosine = 1 - torch.from_numpy(rng.uniform(*alignment_gaps(spec["loss"]), labels.shape))[..., None]
    length = torch.from_numpy(rng.uniform(1.5, 2.5, labels.shape))[..., None]
    images = length * (sign * cosine * units + (1 - cosine.square()).sqrt() * across)
    return on_grid(images.numpy()[..., None, None], IMAGE_GRID)


def draw_case(spec: Spec, seed: int, alignment: Optional[int] = None) -> Draw:
    rng = np.random.RandomState(seed)
    data, batch = spec["data"], spec["train"]["batch_size"]
    shape = [data["channels"], data["height"], data["width"]]
    init = initial_tensors(spec, shape, rng)
    if alignment is not None:
        labels = torch.from_numpy(rng.randint(0, CLASSES, [STEPS, batch]))
        return Draw(init, aligned_images(spec, alignment, init["score.weight"], labels, rng), labels)
    images = on_grid(0.7 * rng.standard_normal([STEPS, batch, *shape]), IMAGE_GRID)
    return Draw(init, images, torch.from_numpy(rng.randint(0, CLASSES, [STEPS, batch])))


def float32_error(spec: Spec, draw: Draw, run: Run) -> float:
    """How far a float32 run of the same case ends from the float64 one, relative to 1 + |value|."""
    rerun = train(spec, draw.init, draw.images, draw.labels, torch.float32)
    ours, theirs = (
        torch.cat([value.flatten().double() for value in (*end.final.values(), torch.tensor(end.losses["fit"]))])
        for end in (run, rerun)
    )
    return float(((theirs - ours).abs() / (1 + ours.abs())).max())


def coverage_gap(spec: Spec, run: Run, alignment: Optional[int]) -> Optional[str]:
    """What the targets of an angular loss miss: the angles asked for, every piece of psi, both sides of pi."""
    loss = spec["loss"]
    if not run.targets:
        return None
    targets = torch.cat(run.targets)
    if alignment is not None:
        least = 1 - 2 * alignment_gaps(loss)[1]
        return None if bool((alignment * targets >= least).all()) else "not aligned"
    if loss["type"] in ("a_softmax", "ga_softmax"):
        return None if len(segments(loss["margin"], targets).unique()) == loss["margin"] else "a piece of psi unmet"
    if loss["type"] == "arcface" and loss["margin"] > 1:
        beyond = torch.acos(targets) + loss["margin"] > math.pi
        return None if 0.2 < float(beyond.double().mean()) < 0.8 else "pi hardly crossed"
    return None


def well_conditioned_run(name: str, spec: Spec) -> tuple[Draw, Run, float]:
    """The first draw, of seeds that follow from the case's name, whose run no rounding can divert."""
    reasons = []
    alignment = alignment_of(name)
    for attempt in range(ATTEMPTS):
        draw = draw_case(spec, (zlib.crc32(name.encode()) + attempt) % 2**32, alignment)
        run = train(spec, draw.init, draw.images, draw.labels, torch.float64)
        reason = run.margins.violation() or coverage_gap(spec, run, alignment)
        if reason is None:
            error = float32_error(spec, draw, run)
            if error <= FLOAT32_TOLERANCE:
                return draw, run, error
            reason = f"float32 {error:.1e}"
        reasons.append(reason)
    raise RuntimeError(f"{name}: no well-conditioned draw: {', '.join(reasons)}")
