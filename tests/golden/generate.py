#!/usr/bin/env python3
"""Writes the golden training runs of this folder: an independent PyTorch reference of docs/method.md.

Every case is a five-step training run of a small network on random data, computed in float64 from values that float32
holds exactly. README.md describes the files. Needs torch, numpy and the standard library.
"""

import gzip
import io
import json
import math
import struct
import zlib
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Callable, Iterator, Optional

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

Spec = dict[str, Any]
Layers = list[Spec]
Tensors = dict[str, Tensor]

FOLDER = Path(__file__).resolve().parent
STEPS = 5
CLASSES = 5
ATTEMPTS = 200  # random draws tried before a case is given up as badly conditioned
IMAGE_GRID = 2.0**-5  # coarse grids keep the files small; the values are exact in float32
INIT_GRID = 2.0**-10
FINAL_GRID = 2.0**-28  # far below float32 rounding; hides differences of float64 rounding between processors
LOSS_GRID = 2.0**-36
COSINE_LIMIT = 1 - 1e-6
FLOAT32_TOLERANCE = 1e-6  # a float32 rerun has to end this close: |a - b| <= tolerance * (1 + |b|)


# ---------------------------------------------------------------------------------------------------------------------
# Conditioning: how near a run came to a point where rounding could change its course
# ---------------------------------------------------------------------------------------------------------------------


@dataclass
class Margins:
    """Smallest distances met during a run, and the least that is accepted of each."""

    relu: float = math.inf  # of a ReLU input from 0
    pool: float = math.inf  # between the two largest values under a max-pooling window
    cosine: float = math.inf  # of |cos theta| from 1
    angle: float = math.inf  # the same where a loss takes the angle itself, whose slope grows towards |cos theta| = 1
    gradient: float = math.inf  # of a gradient element from 0 (Adam divides by its size)

    LEAST = {"relu": 1e-5, "pool": 1e-5, "cosine": 1e-4, "angle": 1e-3, "gradient": 2e-7}

    def note(self, kind: str, distances: Tensor) -> None:
        if distances.numel():
            setattr(self, kind, min(getattr(self, kind), float(distances.detach().min())))

    def violation(self) -> Optional[str]:
        for kind, least in self.LEAST.items():
            if getattr(self, kind) < least:
                return f"{kind} {getattr(self, kind):.1e}"
        return None


# ---------------------------------------------------------------------------------------------------------------------
# The operator family: y = h(|w|, |x|) * g(theta)
# ---------------------------------------------------------------------------------------------------------------------


def operator_of(layer: Spec) -> Spec:
    """The layer's operator with its defaults filled in."""
    magnitude = "sphere" if layer["type"] == "sphere_conv" else "product"
    defaults = {"magnitude": magnitude, "angular": "cosine", "epsilon": 1e-4}
    return {**defaults, **layer.get("operator", {})}


def angular_activation(angular: str, cosine: Tensor, k: Optional[Tensor]) -> Tensor:
    """g(theta); k is the effective sharpness of the sigmoid, shaped to broadcast."""
    return cosine if angular == "cosine" else activation_of_angle(angular, torch.acos(cosine), k)


def activation_of_angle(angular: str, theta: Tensor, k: Optional[Tensor]) -> Tensor:
    """The linear and the sigmoid activation."""
    if angular == "linear":
        return 1 - 2 * theta / math.pi
    return torch.tanh((math.pi / 2 - theta) / (2 * k)) / torch.tanh(math.pi / (4 * k))


def effective_k(operator: Spec, k: Optional[Tensor], like: Tensor) -> Optional[Tensor]:
    if operator["angular"] == "sigmoid":
        return like.new_tensor([operator["k"]])
    if operator["angular"] == "learnable_sigmoid":
        return k.abs() + operator["k_offset"]
    return None


def convolve(
    operator: Spec,
    x: Tensor,
    weight: Tensor,
    k: Optional[Tensor],
    stride: int = 1,
    padding: int = 0,
    margins: Optional[Margins] = None,
) -> Tensor:
    """The operator over all patches of x [N, C, H, W] with weight [out, C, kH, kW]."""
    dot = F.conv2d(x, weight, stride=stride, padding=padding)
    magnitude, angular = operator["magnitude"], operator["angular"]
    if magnitude == "product" and angular == "cosine":
        return dot
    energy = F.conv2d(x * x, torch.ones_like(weight[:1]), stride=stride, padding=padding)
    norm_x = torch.sqrt(energy + operator["epsilon"])
    norm_w = torch.sqrt(weight.flatten(1).square().sum(1) + operator["epsilon"]).view(1, -1, 1, 1)
    cosine = dot / (norm_w * norm_x)
    if margins is not None:
        margins.note("cosine", 1 - cosine.abs())
    sharpness = effective_k(operator, k, weight)
    sharpness = None if sharpness is None else sharpness.view(1, -1, 1, 1)
    activation = angular_activation(angular, cosine.clamp(-COSINE_LIMIT, COSINE_LIMIT), sharpness)
    if magnitude == "sphere":
        return activation
    return activation * norm_x if magnitude == "linear" else activation * norm_x * norm_w


# ---------------------------------------------------------------------------------------------------------------------
# Layers
# ---------------------------------------------------------------------------------------------------------------------


def per_channel(values: Tensor, x: Tensor) -> Tensor:
    return values.view(1, -1, *[1] * (x.dim() - 2))


def operator_layer(layer: Spec, x: Tensor, tensors: Tensors, margins: Margins) -> Tensor:
    """conv, sphere_conv and dense; a dense layer is a 1x1 convolution of a 1x1 image."""
    name = layer["name"]
    weight, bias, k = (tensors.get(f"{name}.{part}") for part in ("weight", "bias", "k"))
    operator = operator_of(layer)
    if layer["type"] == "dense":
        flat = x.flatten(1)[:, :, None, None]
        y = convolve(operator, flat, weight[:, :, None, None], k, margins=margins).flatten(1)
    else:
        y = convolve(operator, x, weight, k, layer["stride"], layer["padding"], margins)
    return y if bias is None else y + per_channel(bias, y)


def running_average(old: Tensor, value: Tensor, layer: Spec, updates: int) -> Tensor:
    decay = layer["decay"]
    if layer["debias"]:
        decay = decay * (1 - decay ** (updates - 1)) / (1 - decay**updates)
    return decay * old + (1 - decay) * value


def batch_norm(layer: Spec, x: Tensor, tensors: Tensors) -> Tensor:
    """Training mode; normalises and averages with the biased variance."""
    name = layer["name"]
    positions = [d for d in range(x.dim()) if d != 1]
    mean = x.mean(positions)
    variance = (x - per_channel(mean, x)).square().mean(positions)
    tensors[f"{name}.num_batches_tracked"] += 1
    updates = int(tensors[f"{name}.num_batches_tracked"])
    for part, value in (("running_mean", mean), ("running_var", variance)):
        key = f"{name}.{part}"
        tensors[key] = running_average(tensors[key], value.detach(), layer, updates)
    normal = (x - per_channel(mean, x)) / torch.sqrt(per_channel(variance, x) + layer["epsilon"])
    return normal * per_channel(tensors[f"{name}.weight"], x) + per_channel(tensors[f"{name}.bias"], x)


def sphere_norm(layer: Spec, x: Tensor, tensors: Tensors) -> Tensor:
    name = layer["name"]
    return x * per_channel(tensors[f"{name}.weight"], x) + per_channel(tensors[f"{name}.bias"], x)


def max_pool(layer: Spec, x: Tensor, margins: Margins) -> Tensor:
    kernel, stride, padding = layer["kernel"], layer["stride"], layer.get("padding", 0)
    padded = F.pad(x.detach(), [padding] * 4, value=-math.inf)
    windows = padded.unfold(2, kernel, stride).unfold(3, kernel, stride).flatten(4)
    first, second = windows.topk(2, dim=4).values.unbind(4)
    dead = first == 0  # a window of clipped ReLU outputs: nothing flows back whichever is taken
    margins.note("pool", (first - second)[~dead])
    return F.max_pool2d(x, kernel, stride, padding)


def avg_pool(layer: Spec, x: Tensor) -> Tensor:
    if layer.get("global", False):
        return x.mean([2, 3], keepdim=True)
    return F.avg_pool2d(x, layer["kernel"], layer["stride"])


def forward(layers: Layers, x: Tensor, tensors: Tensors, margins: Margins) -> Tensor:
    """Runs the layers in training mode; the running averages in `tensors` move."""
    for layer in layers:
        kind = layer["type"]
        if kind in ("conv", "sphere_conv", "dense"):
            x = operator_layer(layer, x, tensors, margins)
        elif kind == "batch_norm":
            x = batch_norm(layer, x, tensors)
        elif kind == "sphere_norm":
            x = sphere_norm(layer, x, tensors)
        elif kind == "relu":
            margins.note("relu", x.abs())
            x = F.relu(x)
        elif kind == "max_pool":
            x = max_pool(layer, x, margins)
        elif kind == "avg_pool":
            x = avg_pool(layer, x)
        elif kind == "residual":
            body = forward(layer["body"], x, tensors, margins)
            x = body + forward(layer.get("shortcut", []), x, tensors, margins)
        elif kind == "flatten":
            x = x.flatten(1)
        else:
            raise ValueError(f"unknown layer type {kind}")
    return x


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


# ---------------------------------------------------------------------------------------------------------------------
# Losses and training
# ---------------------------------------------------------------------------------------------------------------------


def all_layers(layers: Layers) -> Iterator[Spec]:
    for layer in layers:
        yield layer
        yield from all_layers(layer.get("body", []) + layer.get("shortcut", []))


def parameter_groups(layers: Layers, tensors: Tensors) -> dict[str, str]:
    """The regularisation group of every trained parameter: weights, sphere_weights, norm, bias or k."""
    groups = {}
    for layer in all_layers(layers):
        name = layer.get("name")
        if layer["type"] in ("conv", "sphere_conv", "dense"):
            product = operator_of(layer)["magnitude"] == "product"
            groups[f"{name}.weight"] = "weights" if product else "sphere_weights"
            groups[f"{name}.bias"] = "bias"
            groups[f"{name}.k"] = "k"
        elif layer["type"] in ("batch_norm", "sphere_norm") and layer.get("trained", True):
            groups[f"{name}.weight"] = groups[f"{name}.bias"] = "norm"
    return {name: group for name, group in groups.items() if name in tensors}


def softmax_loss(loss: Spec, logits: Tensor, labels: Tensor) -> Tensor:
    smoothing, classes = loss["label_smoothing"], logits.shape[1]
    targets = (1 - smoothing) * F.one_hot(labels, classes).to(logits) + smoothing / classes
    probabilities = torch.softmax(logits, dim=1)
    return -(targets * torch.log(probabilities + loss["probability_floor"])).sum(1).mean()


def annealing_factor(annealing: Spec, iteration: int) -> float:
    """lambda, the weight of the logit without margin; iterations count from 1."""
    decayed = annealing["base"] * (1 + annealing["gamma"] * iteration) ** -annealing["power"]
    return max(annealing["minimum"], decayed)


def segments(margin: int, cosine: Tensor) -> Tensor:
    """p = floor(m theta / pi), at most m - 1: on the pieces' common ends both give the same value and slope."""
    edges = [math.cos(math.pi * q / margin) for q in range(1, margin)]
    return sum(((cosine.detach() <= edge).to(cosine) for edge in edges), torch.zeros_like(cosine.detach()))


def multiple_angle(margin: int, cosine: Tensor) -> Tensor:
    """cos(m theta) as a polynomial in cos theta: its gradient stays finite where theta is 0 or pi."""
    before, now = torch.ones_like(cosine), cosine
    for _ in range(margin - 1):
        before, now = now, 2 * cosine * now - before
    return now


def psi(angular: str, margin: int, cosine: Tensor, k: Optional[Tensor]) -> Tensor:
    """g at m times the angle, continued so that it keeps falling over [0, pi].

    Every g here has one slope at 0 and pi, so psi's slope has no jump: rounding may change p without harm.
    """
    p = segments(margin, cosine)
    if angular == "cosine":
        return (1 - 2 * (p % 2)) * multiple_angle(margin, cosine) - 2 * p
    return activation_of_angle(angular, margin * torch.acos(cosine) - math.pi * p, k) - 2 * p


def moved_cosine(cosine: Tensor, margin: float) -> Tensor:
    """cos(theta + m), continued past pi so that it keeps falling; its slope has no jump either."""
    moved = torch.acos(cosine) + margin
    return torch.where(moved > math.pi, torch.cos(moved - math.pi) - 2, torch.cos(moved))


def takes_angle(loss: Spec) -> bool:
    """Whether a loss goes through arccos."""
    return loss["type"] == "arcface" or loss.get("angular", "cosine") != "cosine"


def cosines(loss: Spec, x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """cos theta [N, classes] and the norm of x [N, 1]."""
    norm_x = torch.sqrt(x.square().sum(1, keepdim=True) + loss["epsilon"])
    norm_w = torch.sqrt(weight.square().sum(1) + loss["epsilon"])
    return x @ weight.T / (norm_x * norm_w), norm_x


def sharpness_of_classes(loss: Spec, cosine: Tensor, trained: Optional[Tensor]) -> Optional[Tensor]:
    """The sigmoid's effective k of each class; `trained`: that of a learnable one, for each class or for all."""
    if loss["angular"] == "learnable_sigmoid":
        return (trained.abs() + loss["k_offset"]).expand(cosine.shape[1])
    return cosine.new_full([cosine.shape[1]], loss["k"]) if loss["angular"] == "sigmoid" else None


def angular_logits(
    loss: Spec, cosine: Tensor, norm_x: Tensor, labels: Tensor, iteration: int, trained: Optional[Tensor] = None
) -> Tensor:
    kind = loss["type"]
    if takes_angle(loss):
        cosine = cosine.clamp(-COSINE_LIMIT, COSINE_LIMIT)
    target = cosine.gather(1, labels[:, None])
    if kind in ("cosface", "arcface"):
        plain = loss["scale"] * cosine
        moved = target - loss["margin"] if kind == "cosface" else moved_cosine(target, loss["margin"])
        margined = loss["scale"] * moved
    else:
        angular = loss.get("angular", "cosine")
        k = sharpness_of_classes({"angular": angular, **loss}, cosine, trained)
        plain = norm_x * angular_activation(angular, cosine, k)
        margined = norm_x * psi(angular, loss.get("margin", 1), target, None if k is None else k[labels][:, None])
    if kind == "w_softmax":
        return plain
    factor = annealing_factor(loss["annealing"], iteration)
    annealed = (factor * plain.gather(1, labels[:, None]) + margined) / (1 + factor)
    return torch.where(F.one_hot(labels, plain.shape[1]).bool(), annealed, plain)


def angular_loss(
    loss: Spec, cosine: Tensor, norm_x: Tensor, labels: Tensor, iteration: int, trained: Optional[Tensor] = None
) -> Tensor:
    logits = angular_logits(loss, cosine, norm_x, labels, iteration, trained)
    return softmax_loss(loss, logits, labels) if loss["type"] == "w_softmax" else F.cross_entropy(logits, labels)


def weight_decay_loss(regularizer: Spec, tensors: Tensors, groups: dict[str, str]) -> Tensor:
    chosen = [name for name, group in groups.items() if group in regularizer["weight_decay_on"]]
    return regularizer["weight_decay"] / 2 * torch.stack([tensors[name].square().sum() for name in chosen]).sum()


def gram_error(weight: Tensor) -> Tensor:
    filters = weight.flatten(1)
    gram = filters @ filters.T
    return (gram - torch.eye(len(gram), dtype=gram.dtype)).square().sum()


def orthogonality_loss(regularizer: Spec, tensors: Tensors, groups: dict[str, str]) -> Tensor:
    kinds = set(regularizer["orthogonality_on"])
    chosen = [gram_error(tensors[name]) for name, group in groups.items() if group in kinds]
    return regularizer["orthogonality"] / 2 * (torch.stack(chosen).sum() if chosen else torch.zeros(()))


def make_optimizer(settings: Spec, parameters: list[Tensor]) -> torch.optim.Optimizer:
    rate = settings["learning_rate"]
    if settings["type"] == "adam":
        betas = (settings["beta1"], settings["beta2"])
        return torch.optim.Adam(parameters, lr=rate, betas=betas, eps=settings["epsilon"])
    return torch.optim.SGD(parameters, lr=rate, momentum=settings["momentum"], nesterov=settings["nesterov"])


@dataclass
class Run:
    """The end of a training run and the losses of its steps, each at the weights before the update."""

    final: Tensors = field(default_factory=dict)
    losses: dict[str, list[float]] = field(
        default_factory=lambda: {"fit": [], "weight_decay": [], "orthogonality": []}
    )
    margins: Margins = field(default_factory=Margins)
    targets: list[Tensor] = field(default_factory=list)  # an angular loss's cos theta of the labels, step by step


def fit_loss(spec: Spec, tensors: Tensors, images: Tensor, labels: Tensor, iteration: int, run: Run) -> Tensor:
    """The loss of the batch; an angular one normalises the last layer, `score`, by itself."""
    layers, loss = spec["network"]["layers"], spec["loss"]
    if loss["type"] == "softmax":
        return softmax_loss(loss, forward(layers, images, tensors, run.margins), labels)
    loss = {**loss, "epsilon": operator_of(layers[-1])["epsilon"]}
    x = forward(layers[:-1], images, tensors, run.margins).flatten(1)
    cosine, norm_x = cosines(loss, x, tensors["score.weight"])
    run.margins.note("angle" if takes_angle(loss) else "cosine", 1 - cosine.abs())
    run.targets.append(cosine.detach().gather(1, labels[:, None]))
    return angular_loss(loss, cosine, norm_x, labels, iteration, tensors.get("score.k"))


def train(spec: Spec, init: Tensors, images: Tensor, labels: Tensor, dtype: torch.dtype) -> Run:
    layers = spec["network"]["layers"]
    run = Run()
    tensors = {name: value.to(dtype).clone() for name, value in init.items()}
    groups = parameter_groups(layers, tensors)
    parameters = [tensors[name].requires_grad_() for name in groups]
    optimizer = make_optimizer(spec["optimizer"], parameters)
    for step in range(STEPS):
        terms = {
            "fit": fit_loss(spec, tensors, images[step].to(dtype), labels[step], step + 1, run),
            "weight_decay": weight_decay_loss(spec["regularizer"], tensors, groups),
            "orthogonality": orthogonality_loss(spec["regularizer"], tensors, groups),
        }
        optimizer.zero_grad()
        sum(terms.values()).backward()
        if spec["optimizer"]["type"] == "adam":
            for parameter in parameters:
                run.margins.note("gradient", parameter.grad.abs())
        if "clip_norm" in spec["optimizer"]:
            torch.nn.utils.clip_grad_norm_(parameters, spec["optimizer"]["clip_norm"])
        optimizer.step()
        for term, value in terms.items():
            run.losses[term].append(value.item())
    run.final = {name: value.detach() for name, value in tensors.items()}
    return run


# ---------------------------------------------------------------------------------------------------------------------
# Specs
# ---------------------------------------------------------------------------------------------------------------------


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


ADAM = {"type": "adam", "learning_rate": 0.002, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}
SGD = {"type": "sgd", "learning_rate": 0.05, "momentum": 0.9, "nesterov": False}
LOSS = {"type": "softmax", "label_smoothing": 0.01, "probability_floor": 0.0001}
REGULARIZER = {
    "weight_decay": 0.005,
    "weight_decay_on": ["weights", "norm"],
    "orthogonality": 0.002,
    "orthogonality_on": ["sphere_weights"],
}


def make_spec(
    layers: Layers,
    optimizer: Spec,
    size: tuple[int, int] = (6, 6),
    channels: int = 2,
    loss: Spec = LOSS,
    regularizer: Spec = REGULARIZER,
    batch: int = 6,
) -> Spec:
    height, width = size
    return {
        "seed": 1,
        "data": {
            "type": "synthetic",
            "height": height,
            "width": width,
            "channels": channels,
            "classes": CLASSES,
            "train_images": 64,
            "test_images": 16,
        },
        "network": {"layers": layers},
        "loss": loss,
        "optimizer": optimizer,
        "schedule": {"type": "constant"},
        "regularizer": regularizer,
        "train": {"iterations": STEPS, "batch_size": batch},
    }


def conv(
    name: str,
    filters: int,
    operator: Optional[Spec] = None,
    kind: str = "sphere_conv",
    kernel: int = 3,
    stride: int = 1,
    padding: int = 1,
    bias: bool = False,
) -> Spec:
    """A convolution; without an operator it has the default of its kind."""
    layer = {"type": kind, "name": name, "filters": filters, "kernel": kernel, "stride": stride, "padding": padding}
    layer["bias"] = bias
    return layer if operator is None else {**layer, "operator": operator}


def dense(name: str, units: int, operator: Optional[Spec] = None, bias: bool = False) -> Spec:
    layer = {"type": "dense", "name": name, "units": units, "bias": bias}
    return layer if operator is None else {**layer, "operator": operator}


def batch_normalisation(name: str, epsilon: float = 0.001, decay: float = 0.9, debias: bool = False) -> Spec:
    return {"type": "batch_norm", "name": name, "epsilon": epsilon, "decay": decay, "debias": debias}


def sphere_normalisation(name: str) -> Spec:
    return {"type": "sphere_norm", "name": name}


PRODUCT = {"magnitude": "product", "angular": "cosine"}
SPHERE_COSINE = {"magnitude": "sphere", "angular": "cosine"}
SPHERE_LINEAR = {"magnitude": "sphere", "angular": "linear"}
LEARNABLE = {
    "magnitude": "sphere",
    "angular": "learnable_sigmoid",
    "initial_k": 0.7,
    "k_offset": 0.05,
    "k_shared": "filter",
}
OPERATORS: dict[str, Spec] = {
    "product_cosine": PRODUCT,
    "sphere_cosine": SPHERE_COSINE,
    "sphere_linear": SPHERE_LINEAR,
    "sphere_sigmoid": {"magnitude": "sphere", "angular": "sigmoid", "k": 0.3},
    "sphere_learnable_filter": LEARNABLE,
    "sphere_learnable_layer": {**LEARNABLE, "k_shared": "layer"},
    "linear_cosine": {"magnitude": "linear", "angular": "cosine"},
    "linear_linear": {"magnitude": "linear", "angular": "linear"},
    "product_linear": {"magnitude": "product", "angular": "linear"},
    "product_sigmoid": {"magnitude": "product", "angular": "sigmoid", "k": 0.3},
}
RELU = {"type": "relu"}
FLATTEN = {"type": "flatten"}
MAX_POOL = {"type": "max_pool", "kernel": 2, "stride": 2}
GLOBAL_POOL = {"type": "avg_pool", "global": True}
SCORE = dense("score", CLASSES, PRODUCT, bias=True)


# ---------------------------------------------------------------------------------------------------------------------
# Cases
# ---------------------------------------------------------------------------------------------------------------------


def normalisation(kind: str, index: int) -> Layers:
    """The normalisation after convolution `index`: none, sphere, batch, or both (sphere, then batch)."""
    sphere = [sphere_normalisation(f"sn{index}")] if kind in ("sphere", "both") else []
    batch = [batch_normalisation(f"bn{index}")] if kind in ("batch", "both") else []
    return sphere + batch


def plain_network(operator: Spec, norm: str, score: Spec = SCORE, widths: tuple[int, int, int] = (4, 5, 7)) -> Layers:
    """Two convolutions and a feature layer of one operator, then the classifier."""
    return [
        conv("conv1", widths[0], operator),
        *normalisation(norm, 1),
        RELU,
        conv("conv2", widths[1], operator),
        *normalisation(norm, 2),
        RELU,
        MAX_POOL,
        FLATTEN,
        dense("feature", widths[2], operator),
        score,
    ]


def operator_cases() -> dict[str, Spec]:
    cases = {}
    for row, (name, operator) in enumerate(OPERATORS.items()):
        for column, norm in enumerate(("batch", "sphere", "both", "none")):
            optimizer = (ADAM, SGD)[(row + column) % 2]
            cases[f"op_{name}_norm_{norm}"] = make_spec(plain_network(operator, norm, widths=(6, 8, 10)), optimizer)
    return cases


GEOMETRIES: list[tuple[int, int, int, tuple[int, int]]] = [  # kernel, stride, padding, image size
    (1, 1, 0, (5, 7)),
    (1, 2, 0, (6, 7)),
    (3, 1, 0, (5, 7)),
    (3, 2, 0, (6, 8)),
    (3, 2, 1, (8, 7)),
    (4, 1, 0, (4, 4)),
    (4, 2, 1, (7, 8)),
    (7, 1, 3, (6, 5)),
    (7, 2, 0, (9, 8)),
    (7, 2, 3, (12, 12)),
]


def geometry_network(operator: Spec, kind: str, kernel: int, stride: int, padding: int) -> Layers:
    return [
        conv("root", 4, kind="conv"),
        batch_normalisation("bn1"),
        RELU,
        conv("conv2", 3, operator, kind, kernel, stride, padding),
        sphere_normalisation("sn2"),
        RELU,
        FLATTEN,
        SCORE,
    ]


def geometry_cases() -> dict[str, Spec]:
    cases = {}
    for row, (kernel, stride, padding, size) in enumerate(GEOMETRIES):
        for column, (name, operator, kind) in enumerate(
            (("product", PRODUCT, "conv"), ("sphere", SPHERE_LINEAR, "sphere_conv"))
        ):
            layers = geometry_network(operator, kind, kernel, stride, padding)
            optimizer = (ADAM, SGD)[(row + column) % 2]
            cases[f"geometry_k{kernel}_s{stride}_p{padding}_{name}"] = make_spec(layers, optimizer, size)
    return cases


def unit_body(index: str, filters: int, stride: int, operator: Optional[Spec] = None) -> Layers:
    return [
        conv(f"unit{index}a", filters, operator, stride=stride),
        batch_normalisation(f"unit{index}a_bn"),
        RELU,
        conv(f"unit{index}b", filters, operator),
        batch_normalisation(f"unit{index}b_bn"),
    ]


def projection(index: str, filters: int) -> Layers:
    return [
        conv(f"unit{index}s", filters, kind="conv", kernel=1, stride=2, padding=0),
        batch_normalisation(f"unit{index}s_bn"),
    ]


def residual(index: str, body: Layers, shortcut: Layers) -> Spec:
    return {"type": "residual", "name": f"unit{index}", "body": body, "shortcut": shortcut}


def residual_network(*units: Spec) -> Layers:
    root = [conv("root", 4), batch_normalisation("root_bn"), RELU]
    return root + [layer for unit in units for layer in (unit, RELU)] + [GLOBAL_POOL, FLATTEN, SCORE]


def residual_cases() -> dict[str, Spec]:
    inner = residual("1i", unit_body("1i", 4, 1), [])
    first, second = unit_body("1", 4, 1)[:3], unit_body("1", 4, 1)[3:]
    nested_body = [*first, inner, RELU, *second]
    without_shortcut = {"type": "residual", "name": "unit1", "body": unit_body("1", 4, 1)}
    bare_body = [conv("unit1a", 4), RELU, conv("unit1b", 4)]
    down = residual("2", unit_body("2", 6, 2), projection("2", 6))
    return {
        "residual_identity": make_spec(residual_network(residual("1", unit_body("1", 4, 1), [])), ADAM),
        "residual_identity_omitted": make_spec(residual_network(without_shortcut), SGD),
        "residual_identity_bare": make_spec(residual_network(residual("1", bare_body, [])), SGD),
        "residual_projection": make_spec(residual_network(down), SGD, size=(8, 7)),
        "residual_two_units": make_spec(
            residual_network(residual("1", unit_body("1", 4, 1, SPHERE_LINEAR), []), down), ADAM, size=(6, 8)
        ),
        "residual_nested": make_spec(residual_network(residual("1", nested_body, [])), SGD),
    }


def small_network(*middle: Spec, score: Spec = SCORE) -> Layers:
    """One batch-normalised convolution, the layers under test, the classifier."""
    return [conv("conv1", 6), batch_normalisation("bn1"), RELU, *middle, FLATTEN, score]


def pooling_cases() -> dict[str, Spec]:
    windows = {"kernel": 2, "stride": 2}
    overlapping = {"kernel": 3, "stride": 2}
    second = [conv("conv2", 6, SPHERE_LINEAR), sphere_normalisation("sn2"), RELU]
    pools = {
        "avg_pool_2x2": ({"type": "avg_pool", **windows}, SGD, (6, 8)),
        "avg_pool_3x3_s2": ({"type": "avg_pool", **overlapping}, ADAM, (7, 8)),
        "avg_pool_global": (GLOBAL_POOL, SGD, (6, 5)),
        "max_pool_2x2_odd": ({"type": "max_pool", **windows}, ADAM, (7, 9)),
        "max_pool_3x3_s2": ({"type": "max_pool", **overlapping}, SGD, (7, 8)),
        "max_pool_3x3_s2_p1": ({"type": "max_pool", **overlapping, "padding": 1}, ADAM, (8, 7)),
    }
    cases = {
        name: make_spec(small_network(pool, *second), optimizer, size)
        for name, (pool, optimizer, size) in pools.items()
    }
    unclipped = [conv("conv1", 6), batch_normalisation("bn1"), {"type": "max_pool", **overlapping, "padding": 1}]
    cases["max_pool_negative"] = make_spec(unclipped + [FLATTEN, SCORE], SGD, (8, 7))
    return cases


def loss_cases() -> dict[str, Spec]:
    weight_normalised = {"magnitude": "linear", "angular": "cosine"}
    layers = plain_network(SPHERE_COSINE, "batch")
    unsmoothed = {"type": "softmax", "label_smoothing": 0.0, "probability_floor": 0.0001}
    exact = {"type": "softmax", "label_smoothing": 0.0, "probability_floor": 0.0}
    strong = {"type": "softmax", "label_smoothing": 0.2, "probability_floor": 0.05}
    cases = {
        "loss_no_smoothing": make_spec(layers, SGD, loss=unsmoothed),
        "loss_no_smoothing_no_floor": make_spec(layers, SGD, loss=exact),
        "loss_strong_smoothing_floor": make_spec(layers, SGD, loss=strong),
    }
    for index, angular in enumerate(("cosine", "linear")):
        score = dense("score", CLASSES, {**weight_normalised, "angular": angular})
        network = plain_network(SPHERE_LINEAR, "batch", score)
        cases[f"loss_w_softmax_{angular}"] = make_spec(network, (SGD, ADAM)[index])
    return cases


NO_ANNEALING = {"base": 0.0, "gamma": 0.12, "power": 1.0, "minimum": 0.0}
MILD_ANNEALING = {"base": 5.0, "gamma": 0.5, "power": 1.0, "minimum": 0.3}
SHORT_ANNEALING = {"base": 2.0, "gamma": 1.0, "power": 1.5, "minimum": 0.3}  # at its minimum from the third step on
SPHEREFACE_ANNEALING = {"base": 1000.0, "gamma": 0.12, "power": 1.0, "minimum": 5.0}
ACTIVATIONS: dict[str, Spec] = {
    "cosine": {"angular": "cosine", "k": 0.3},
    "linear": {"angular": "linear", "k": 0.3},
    "sigmoid": {"angular": "sigmoid", "k": 0.3},
    "sigmoid07": {"angular": "sigmoid", "k": 0.7},
}


def w_softmax(activation: str, smoothing: float = 0.0, floor: float = 0.0, epsilon: float = 1e-4) -> Spec:
    smoothed = {"label_smoothing": smoothing, "probability_floor": floor}
    return {"type": "w_softmax", **ACTIVATIONS[activation], "epsilon": epsilon, **smoothed}


def a_softmax(margin: int, annealing: Spec = MILD_ANNEALING) -> Spec:
    return {"type": "a_softmax", "margin": margin, "annealing": annealing, "epsilon": 1e-4}


def ga_softmax(activation: str, margin: int, annealing: Spec = MILD_ANNEALING, epsilon: float = 1e-4) -> Spec:
    rest = {"margin": margin, "annealing": annealing, "epsilon": epsilon}
    return {"type": "ga_softmax", **ACTIVATIONS[activation], **rest}


def additive(kind: str, scale: float, margin: float, annealing: Spec = NO_ANNEALING) -> Spec:
    """CosFace and ArcFace."""
    return {"type": kind, "scale": scale, "margin": margin, "annealing": annealing, "epsilon": 1e-4}


def learnable_losses() -> dict[str, Spec]:
    """Those whose activation trains k."""
    k = {"angular": "learnable_sigmoid", "initial_k": 0.4, "k_offset": 0.1}
    each, shared = {**k, "k_shared": "filter"}, {**k, "k_shared": "layer"}
    margin = {"margin": 3, "annealing": SHORT_ANNEALING, "epsilon": 1e-4}
    smoothed = {"label_smoothing": 0.1, "probability_floor": 0.01, "epsilon": 1e-4}
    return {
        "w_softmax_learnable": {"type": "w_softmax", **each, **smoothed},
        "w_softmax_learnable_shared": {"type": "w_softmax", **shared, **smoothed},
        "ga_softmax_learnable_m3": {"type": "ga_softmax", **each, **margin},
        "ga_softmax_learnable_shared_m3": {"type": "ga_softmax", **shared, **margin},
    }


def angular_losses() -> dict[str, Spec]:
    losses = {}
    for activation in ("cosine", "linear", "sigmoid"):
        epsilon = 0.05 if activation == "linear" else 1e-4
        losses[f"w_softmax_{activation}_exact"] = w_softmax(activation, epsilon=epsilon)
        losses[f"w_softmax_{activation}_smoothed"] = w_softmax(activation, 0.1, 0.01)
    for margin in (1, 2, 3, 4):
        annealing = (MILD_ANNEALING, SHORT_ANNEALING)[margin % 2]
        losses[f"a_softmax_m{margin}"] = a_softmax(margin, annealing)
        for activation in ("linear", "sigmoid", "sigmoid07"):
            losses[f"ga_softmax_{activation}_m{margin}"] = ga_softmax(activation, margin, annealing)
    losses["a_softmax_m4_sphereface"] = a_softmax(4, SPHEREFACE_ANNEALING)
    losses["a_softmax_m4_unannealed"] = a_softmax(4, NO_ANNEALING)
    losses["ga_softmax_linear_m4_unannealed"] = ga_softmax("linear", 4, NO_ANNEALING, epsilon=0.05)
    losses["ga_softmax_cosine_m3"] = ga_softmax("cosine", 3)
    losses["cosface"] = additive("cosface", 8.0, 0.35)
    losses["cosface_annealed"] = additive("cosface", 16.0, 0.35, SHORT_ANNEALING)
    losses["arcface"] = additive("arcface", 8.0, 0.5, MILD_ANNEALING)
    losses["arcface_beyond_pi"] = additive("arcface", 4.0, 1.5)
    return losses


PLANAR = {  # with a two-dimensional feature layer
    "w_softmax_linear_exact",
    "a_softmax_m4",
    "ga_softmax_linear_m2",
    "ga_softmax_sigmoid_m3",
    "cosface",
    "arcface",
}


def apart(loss: Spec) -> tuple[Spec, Spec]:
    """A spec keeps epsilon with the classifier that an angular loss asks for: the loss without, and the layer with it."""
    rest = {key: value for key, value in loss.items() if key != "epsilon"}
    return rest, dense("score", CLASSES, {"epsilon": loss["epsilon"]})


def angular_network(features: int, operator: Spec, score: Spec) -> Layers:
    return [
        conv("conv1", 3),
        batch_normalisation("bn1"),
        RELU,
        MAX_POOL,
        FLATTEN,
        dense("feature", features, operator),
        score,
    ]


def angular_loss_cases() -> dict[str, Spec]:
    cases = {}
    for index, (name, loss) in enumerate({**angular_losses(), **learnable_losses()}.items()):
        loss, score = apart(loss)
        layers = angular_network(2 if name in PLANAR else 4, (PRODUCT, SPHERE_LINEAR)[index // 3 % 2], score)
        optimizer = (SGD, ADAM)[(index + (index - 2) // 4) % 2]  # by turns for each activation too
        cases[f"loss_{name}"] = make_spec(layers, optimizer, size=(5, 4), loss=loss)
    return cases


ALIGNMENTS = {"parallel": 1, "antiparallel": -1}  # images along the label's weights: the sign of cos theta


def aligned_cases() -> dict[str, Spec]:
    """Nothing but the classifier, on images almost parallel or antiparallel to their label's weights."""
    losses = {
        "a_softmax_m4": a_softmax(4),
        "ga_softmax_linear_m4": ga_softmax("linear", 4),
        "w_softmax_sigmoid": w_softmax("sigmoid"),
        "arcface": additive("arcface", 4.0, 0.5),
    }
    cases = {}
    for row, alignment in enumerate(ALIGNMENTS):
        for column, (name, loss) in enumerate(losses.items()):
            optimizer = ({**SGD, "learning_rate": 0.01}, ADAM)[(row + column) % 2]
            loss, score = apart(loss)
            layers = [score]
            cases[f"loss_{alignment}_{name}"] = make_spec(layers, optimizer, size=(1, 1), channels=6, loss=loss)
    return cases


def alignment_of(name: str) -> Optional[int]:
    return next((sign for word, sign in ALIGNMENTS.items() if name.startswith(f"loss_{word}_")), None)


def optimizer_cases() -> dict[str, Spec]:
    layers = plain_network(SPHERE_COSINE, "batch")
    optimizers = {
        "sgd_nesterov": {**SGD, "nesterov": True},
        "sgd_plain": {**SGD, "momentum": 0.0},
        "adam_constants": {**ADAM, "learning_rate": 0.01, "beta1": 0.7, "beta2": 0.95, "epsilon": 0.01},
        "sgd_clipped": {**SGD, "clip_norm": 0.5},  # the gradients' lengths are 0.42 to 0.60
    }
    return {f"optimizer_{name}": make_spec(layers, optimizer) for name, optimizer in optimizers.items()}


def regularizer_cases() -> dict[str, Spec]:
    layers = plain_network(SPHERE_LINEAR, "both")
    layers = [{**layer, "bias": True} if layer.get("name") == "feature" else layer for layer in layers]
    layers.insert(0, conv("root", 3, kind="conv", kernel=1, padding=0, bias=True))
    settings = {
        "orthogonality_weights": {"orthogonality": 0.02, "orthogonality_on": ["weights"]},
        "orthogonality_both": {"orthogonality": 0.02, "orthogonality_on": ["weights", "sphere_weights"]},
        "decay_all": {"weight_decay": 0.02, "weight_decay_on": ["weights", "sphere_weights", "norm", "bias"]},
        "decay_sphere": {"weight_decay": 0.02, "weight_decay_on": ["sphere_weights"]},
        "decay_bias": {"weight_decay": 0.02, "weight_decay_on": ["bias"]},
    }
    return {
        f"regularizer_{name}": make_spec(layers, SGD, regularizer={**REGULARIZER, **setting})
        for name, setting in settings.items()
    }


def norm_cases() -> dict[str, Spec]:
    fixed = {**sphere_normalisation("sn2"), "trained": False}
    decay_weights = {**REGULARIZER, "weight_decay_on": ["weights"]}
    fixed_tail = [conv("conv2", 6), fixed, RELU]
    debiased = small_network(conv("conv2", 5), batch_normalisation("bn2", debias=True), RELU)
    constants = small_network(conv("conv2", 5), batch_normalisation("bn2", epsilon=0.1, decay=0.6), RELU)
    after_dense = [
        *small_network(MAX_POOL)[:-1],
        dense("feature", 8, SPHERE_COSINE),
        batch_normalisation("feature_bn"),
        RELU,
        SCORE,
    ]
    return {
        "norm_debias": make_spec(debiased, SGD),
        "norm_constants": make_spec(constants, ADAM),
        "norm_sphere_fixed": make_spec(small_network(*fixed_tail), SGD, regularizer=decay_weights),
        "norm_after_dense": make_spec(after_dense, SGD, batch=8),
    }


def operator_detail_cases() -> dict[str, Spec]:
    biased = small_network(conv("conv2", 5, SPHERE_LINEAR, bias=True), RELU)
    odd_constants = {**LEARNABLE, "initial_k": 0.4, "k_offset": 0.2, "epsilon": 0.05}
    negative = {**LEARNABLE, "initial_k": -0.5}
    sharp = {"magnitude": "sphere", "angular": "sigmoid", "k": 0.1, "epsilon": 0.01}
    implicit = [layer for layer in plain_network(SPHERE_LINEAR, "sphere") if layer != FLATTEN]
    defaults = small_network(conv("conv2", 5, kind="conv", bias=True), RELU)
    learnable_bias = small_network(conv("conv2", 5, OPERATORS["sphere_learnable_layer"], bias=True), RELU)
    wide = small_network(conv("conv2", 20), batch_normalisation("bn2"), RELU, MAX_POOL)
    return {
        "detail_sphere_bias": make_spec(biased, ADAM),
        "detail_learnable_bias": make_spec(learnable_bias, SGD),
        "detail_learnable_constants": make_spec(plain_network(odd_constants, "batch"), ADAM),
        "detail_learnable_negative_k": make_spec(plain_network(negative, "sphere"), ADAM),
        "detail_sharp_sigmoid": make_spec(plain_network(sharp, "batch"), SGD),
        "detail_implicit_flatten": make_spec(implicit, SGD, size=(4, 6)),
        "detail_conv_default": make_spec(defaults, ADAM),
        "detail_one_channel": make_spec(plain_network(SPHERE_COSINE, "batch"), SGD, size=(7, 6), channels=1),
        "detail_wide": make_spec(wide, SGD, size=(5, 5), channels=5, batch=7),
    }


def all_cases() -> dict[str, Spec]:
    return {
        **operator_cases(),
        **geometry_cases(),
        **residual_cases(),
        **pooling_cases(),
        **loss_cases(),
        **angular_loss_cases(),
        **aligned_cases(),
        **optimizer_cases(),
        **regularizer_cases(),
        **norm_cases(),
        **operator_detail_cases(),
    }


# ---------------------------------------------------------------------------------------------------------------------
# Drawing, checking and writing a case
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
    init: Tensors = {}
    initialise(spec["network"]["layers"], shape, rng, init)
    if spec["loss"].get("angular") == "learnable_sigmoid":
        init["score.k"] = initial_k(spec["loss"], CLASSES, rng)
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


# ---------------------------------------------------------------------------------------------------------------------
# Checks of the reference itself
# ---------------------------------------------------------------------------------------------------------------------


def sigmoid_of_the_paper(theta: Tensor, k: Tensor) -> Tensor:
    """The paper's own form of the sigmoid activation; overflows for small k."""
    edge = torch.exp(-math.pi / (2 * k))
    falling = torch.exp(theta / k - math.pi / (2 * k))
    return (1 + edge) / (1 - edge) * (1 - falling) / (1 + falling)


def convolve_by_patches(
    operator: Spec, x: Tensor, weight: Tensor, k: Optional[Tensor], stride: int, padding: int
) -> Tensor:
    """The operator patch by patch, with the angle from the unit vectors and the paper's sigmoid."""
    patches = F.unfold(x, tuple(weight.shape[2:]), stride=stride, padding=padding)
    epsilon = operator["epsilon"]
    norm_x = (patches.pow(2).sum(1, keepdim=True) + epsilon) ** 0.5
    filters = weight.flatten(1)
    norm_w = (filters.pow(2).sum(1, keepdim=True) + epsilon) ** 0.5
    theta = torch.acos(torch.einsum("ok,nkp->nop", filters / norm_w, patches / norm_x))
    activations = {
        "cosine": lambda: torch.cos(theta),
        "linear": lambda: -theta / (math.pi / 2) + 1,
        "sigmoid": lambda: sigmoid_of_the_paper(theta, torch.tensor(operator["k"], dtype=x.dtype)),
        "learnable_sigmoid": lambda: sigmoid_of_the_paper(theta, (k.abs() + operator["k_offset"]).view(1, -1, 1)),
    }
    scale = {"sphere": 1.0, "linear": norm_x, "product": norm_x * norm_w}[operator["magnitude"]]
    y = scale * activations[operator["angular"]]()
    height = (x.shape[2] + 2 * padding - weight.shape[2]) // stride + 1
    return y.unflatten(2, (height, -1))


def check_operator(operator: Spec, rng: np.random.RandomState) -> None:
    """Values and gradients of `convolve` against the patch form and against finite differences."""
    x = torch.from_numpy(0.7 * rng.standard_normal([2, 2, 5, 6])).requires_grad_()
    weight = torch.from_numpy(0.4 * rng.standard_normal([3, 2, 3, 3])).requires_grad_()
    k = torch.from_numpy(np.array([0.7, -0.5, 0.3])).requires_grad_()
    inputs = [x, weight, k] if operator["angular"] == "learnable_sigmoid" else [x, weight]
    exact = operator["magnitude"] == "product" and operator["angular"] == "cosine"
    by_patches = {**operator, "epsilon": 0.0} if exact else operator
    for stride, padding in ((1, 1), (2, 0)):
        y = convolve(operator, x, weight, k, stride, padding)
        independent = convolve_by_patches(by_patches, x, weight, k, stride, padding)
        torch.testing.assert_close(y, independent, rtol=1e-11, atol=1e-12)
        upstream = torch.from_numpy(rng.standard_normal(y.shape))
        gradients = zip(torch.autograd.grad(y, inputs, upstream), torch.autograd.grad(independent, inputs, upstream))
        for ours, other in gradients:
            torch.testing.assert_close(ours, other, rtol=1e-9, atol=1e-10)
        assert torch.autograd.gradcheck(lambda *t: convolve(operator, t[0], t[1], k, stride, padding), inputs[:2])
    if operator["angular"] == "learnable_sigmoid":
        fixed_x, fixed_weight = x.detach(), weight.detach()
        assert torch.autograd.gradcheck(lambda sharpness: convolve(operator, fixed_x, fixed_weight, sharpness), [k])


def check_batch_norm(rng: np.random.RandomState) -> None:
    """Against PyTorch's own layer, whose running variance is the unbiased one."""
    x = torch.from_numpy(rng.standard_normal([4, 3, 2, 5]))
    layer = batch_normalisation("bn")
    tensors: Tensors = {}
    initial_norm(layer, 3, rng, tensors)
    own = torch.nn.BatchNorm2d(3, eps=layer["epsilon"], momentum=1 - layer["decay"], dtype=torch.float64)
    own.running_var.zero_()
    own.weight.data, own.bias.data = tensors["bn.weight"], tensors["bn.bias"]
    for _ in range(3):
        torch.testing.assert_close(batch_norm(layer, x, tensors), own(x))
    count = x.numel() / 3
    torch.testing.assert_close(tensors["bn.running_mean"], own.running_mean)
    torch.testing.assert_close(tensors["bn.running_var"], own.running_var * (count - 1) / count)


def check_softmax(rng: np.random.RandomState) -> None:
    logits = torch.from_numpy(rng.standard_normal([7, CLASSES]))
    labels = torch.from_numpy(rng.randint(0, CLASSES, 7))
    own = F.cross_entropy(logits, labels, label_smoothing=0.2)
    loss = {"label_smoothing": 0.2, "probability_floor": 0.0}
    torch.testing.assert_close(softmax_loss(loss, logits, labels), own)


def g_by_definition(activation: Spec, theta: Tensor) -> Tensor:
    if activation["angular"] == "cosine":
        return torch.cos(theta)
    if activation["angular"] == "linear":
        return 1 - theta / (math.pi / 2)
    return sigmoid_of_the_paper(theta, theta.new_tensor(activation["k"]))


def psi_by_definition(activation: Spec, margin: int, theta: Tensor) -> Tensor:
    p = torch.floor(margin * theta / math.pi)
    return g_by_definition(activation, margin * theta - p * math.pi) - 2 * p


def check_continued(continued: Callable[[Tensor], Tensor], theta: Tensor, kinks: list[float]) -> None:
    """A function of cos theta, on a dense grid of theta: it falls, without a jump, nor one of its slope."""
    values = continued(torch.cos(theta))
    falls = -(values[1:] - values[:-1])
    assert bool((falls > 0).all()) and float(falls.max()) < 20 * float(theta[1] - theta[0])
    for kink in kinks:
        sides = torch.cos(theta.new_tensor([kink - 1e-6, kink + 1e-6])).requires_grad_()
        (slopes,) = torch.autograd.grad(continued(sides).sum(), sides)
        assert abs(float(slopes[1] - slopes[0])) < 1e-3


def check_psi() -> None:
    theta = torch.linspace(1e-3, math.pi - 1e-3, 20000, dtype=torch.float64)
    sharpest = {"angular": "sigmoid", "k": 0.15}
    for activation in (*ACTIVATIONS.values(), sharpest):
        angular, k = activation["angular"], theta.new_tensor(activation["k"])
        for margin in range(1, 5):
            continued = partial(psi, angular, margin, k=k)
            check_continued(continued, theta, [math.pi * q / margin for q in range(1, margin)])
            expected = psi_by_definition(activation, margin, theta)
            torch.testing.assert_close(continued(torch.cos(theta)), expected, rtol=1e-9, atol=1e-9)
            ends = continued(theta.new_tensor([1.0, -1.0]))
            torch.testing.assert_close(ends, theta.new_tensor([1.0, 1.0 - 2 * margin]))
    ends = theta.new_tensor([1.0, -1.0]).requires_grad_()
    (slopes,) = torch.autograd.grad(psi("cosine", 4, ends, None).sum(), ends)
    torch.testing.assert_close(slopes, theta.new_tensor([16.0, 16.0]))
    for margin in (0.5, 1.5, 3.0):
        check_continued(partial(moved_cosine, margin=margin), theta, [math.pi - margin])


def angular_loss_by_definition(loss: Spec, x: Tensor, weight: Tensor, labels: Tensor, iteration: int) -> Tensor:
    """Logit by logit, from the angles."""
    samples = []
    for features, label in zip(x, labels.tolist()):
        norm = (features.dot(features) + loss["epsilon"]) ** 0.5
        thetas = [torch.acos(features.dot(w) / norm / (w.dot(w) + loss["epsilon"]) ** 0.5) for w in weight]
        activation = {"angular": "cosine", **loss}
        if "scale" in loss:
            logits = [loss["scale"] * theta.cos() for theta in thetas]
            if loss["type"] == "cosface":
                margined = loss["scale"] * (thetas[label].cos() - loss["margin"])
            else:
                moved = thetas[label] + loss["margin"]
                margined = loss["scale"] * (moved.cos() if moved <= math.pi else (moved - math.pi).cos() - 2)
        else:
            logits = [norm * g_by_definition(activation, theta) for theta in thetas]
            margined = norm * psi_by_definition(activation, loss.get("margin", 1), thetas[label])
        if loss["type"] != "w_softmax":
            annealing = loss["annealing"]
            factor = annealing["base"] / (1 + annealing["gamma"] * iteration) ** annealing["power"]
            factor = max(factor, annealing["minimum"])
            logits[label] = logits[label] + (margined - logits[label]) / (1 + factor)
        exponentials = torch.stack(logits).exp()
        probabilities = exponentials / exponentials.sum() + loss.get("probability_floor", 0.0)
        rest = loss.get("label_smoothing", 0.0)
        samples.append(-(1 - rest) * probabilities[label].log() - rest * probabilities.log().mean())
    return torch.stack(samples).mean()


def check_angular_losses(rng: np.random.RandomState) -> None:
    """Values and gradients against the definitions and finite differences; losses that coincide."""
    x = torch.from_numpy(rng.standard_normal([12, 3])).requires_grad_()
    weight = torch.from_numpy(rng.standard_normal([CLASSES, 3])).requires_grad_()
    labels = torch.from_numpy(rng.randint(0, CLASSES, 12))

    def ours(loss: Spec, iteration: int, features: Tensor = x, classes: Tensor = weight) -> Tensor:
        return angular_loss(loss, *cosines(loss, features, classes), labels, iteration)

    for loss in angular_losses().values():
        for iteration in (1, 4):
            found, expected = ours(loss, iteration), angular_loss_by_definition(loss, x, weight, labels, iteration)
            torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-12)
            pairs = zip(*(torch.autograd.grad(value, [x, weight]) for value in (found, expected)))
            for gradient, other in pairs:
                torch.testing.assert_close(gradient, other, rtol=1e-9, atol=1e-10)
        assert torch.autograd.gradcheck(lambda *inputs: ours(loss, 2, *inputs), [x, weight])
    for margin in (1, 2, 3, 4):
        torch.testing.assert_close(ours(a_softmax(margin), 2), ours(ga_softmax("cosine", margin), 2), rtol=0, atol=0)
    for name, activation in ACTIVATIONS.items():
        operator = {"magnitude": "linear", **activation, "epsilon": 1e-4}
        scores = convolve(operator, x[:, :, None, None], weight[:, :, None, None], None).flatten(1)
        own = F.cross_entropy(scores, labels)
        torch.testing.assert_close(ours(w_softmax(name), 1), own)
        torch.testing.assert_close(ours(ga_softmax(name, 1), 1), own)
    torch.testing.assert_close(ours(additive("cosface", 4.0, 0.0), 1), ours(additive("arcface", 4.0, 0.0), 1))


def check_annealing() -> None:
    factors = [annealing_factor(SPHEREFACE_ANNEALING, iteration) for iteration in (1, 10, 10000)]
    np.testing.assert_allclose(factors, [1000 / 1.12, 1000 / 2.2, 5.0])
    assert annealing_factor(NO_ANNEALING, 1) == 0


def check_reference() -> None:
    rng = np.random.RandomState(20)
    for operator in OPERATORS.values():
        check_operator({"epsilon": 1e-4, **operator}, rng)
    check_batch_norm(rng)
    check_softmax(rng)
    check_psi()
    check_annealing()
    check_angular_losses(rng)


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
