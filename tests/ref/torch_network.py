"""The networks of torch_reference.py as modules of PyTorch, written to be fast: what spherenet's speed is compared with.

Layers come from a resolved spec, so every key is there, and every layer has a name.
"""

import math
from dataclasses import dataclass
from typing import Any, Optional

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import torch_reference as reference

Spec = dict[str, Any]

TOLERANCE = 1e-6  # of a difference from the reference, relative to the largest of the values


class Unsupported(Exception):
    """Says what there is no version of."""


@dataclass(frozen=True)
class Variant:
    """A way to write the same network."""

    channels_last: bool
    sum_first: bool  # sum x^2 over channels before the convolution with ones, instead of by it

    def __str__(self) -> str:
        order = "channels-last" if self.channels_last else "contiguous"
        return order + (", norms from squares summed over channels" if self.sum_first else "")

    @property
    def memory_format(self) -> torch.memory_format:
        return torch.channels_last if self.channels_last else torch.contiguous_format


def variants_of(layers: list[Spec]) -> list[Variant]:
    convolutions = [layer for layer in reference.all_layers(layers) if layer["type"] in ("conv", "sphere_conv")]
    norms = any(not is_ordinary(layer) for layer in convolutions)
    return [Variant(last, first) for first in ([False, True] if norms else [False]) for last in (False, True)]


# ---------------------------------------------------------------------------------------------------------------------
# Layers
# ---------------------------------------------------------------------------------------------------------------------


def is_ordinary(layer: Spec) -> bool:
    operator = reference.operator_of(layer)
    return operator["magnitude"] == "product" and operator["angular"] == "cosine"


def trained_k(settings: Spec, filters: int) -> Optional[nn.Parameter]:
    if settings.get("angular") != "learnable_sigmoid":
        return None
    return nn.Parameter(torch.full([1 if settings["k_shared"] == "layer" else filters], float(settings["initial_k"])))


class SphereLayer(nn.Module):
    """A convolution or dense layer of any operator but the ordinary product."""

    def __init__(self, layer: Spec, filters: int, patch: list[int]):
        super().__init__()
        self.operator = reference.operator_of(layer)
        self.weight = nn.Parameter(torch.randn(filters, *patch) * math.sqrt(2 / math.prod(patch)))
        self.bias = nn.Parameter(torch.zeros(filters)) if layer["bias"] else None
        self.k = trained_k(self.operator, filters)

    def dot(self, x: Tensor, weight: Tensor) -> Tensor:
        raise NotImplementedError

    def energy(self, x: Tensor) -> Tensor:
        """The patches' sums of squares, one channel."""
        raise NotImplementedError

    def angular(self, cosine: Tensor) -> Tensor:
        angular = self.operator["angular"]
        if angular == "cosine":
            return cosine
        complement = torch.asin(cosine.clamp(-reference.COSINE_LIMIT, reference.COSINE_LIMIT))  # pi/2 - theta
        if angular == "linear":
            return complement * (2 / math.pi)
        if angular == "sigmoid":
            k = self.operator["k"]
            return torch.tanh(complement * (0.5 / k)) * (1 / math.tanh(math.pi / 4 / k))
        if self.k is None:
            raise Unsupported(f"the angular activation {angular}")
        k = reference.per_channel(self.k.abs() + self.operator["k_offset"], cosine)
        return torch.tanh(complement * (0.5 / k)) * (1 / torch.tanh(math.pi / 4 / k))

    def activation(self, x: Tensor) -> Tensor:
        epsilon, magnitude = self.operator["epsilon"], self.operator["magnitude"]
        norm_w = torch.sqrt(self.weight.flatten(1).square().sum(1) + epsilon)
        dot = self.dot(x, self.weight / norm_w.view(-1, *[1] * (self.weight.dim() - 1)))
        if magnitude == "linear" and self.operator["angular"] == "cosine":
            return dot
        energy = self.energy(x) + epsilon
        y = self.angular(dot * torch.rsqrt(energy))
        if magnitude == "sphere":
            return y
        if magnitude == "linear":
            return y * torch.sqrt(energy)
        if magnitude == "product":
            return y * torch.sqrt(energy) * reference.per_channel(norm_w, y)
        raise Unsupported(f"the magnitude {magnitude}")

    def forward(self, x: Tensor) -> Tensor:
        y = self.activation(x)
        return y if self.bias is None else y + reference.per_channel(self.bias, y)


class SphereConv(SphereLayer):
    def __init__(self, layer: Spec, inputs: int, variant: Variant):
        kernel = layer["kernel"]
        super().__init__(layer, layer["filters"], [inputs, kernel, kernel])
        self.geometry = {"stride": layer["stride"], "padding": layer["padding"]}
        self.sum_first = variant.sum_first
        self.register_buffer("ones", torch.ones(1, 1 if variant.sum_first else inputs, kernel, kernel))

    def dot(self, x: Tensor, weight: Tensor) -> Tensor:
        return F.conv2d(x, weight, **self.geometry)

    def energy(self, x: Tensor) -> Tensor:
        squares = x.square()
        return F.conv2d(squares.sum(1, keepdim=True) if self.sum_first else squares, self.ones, **self.geometry)


class SphereDense(SphereLayer):
    def dot(self, x: Tensor, weight: Tensor) -> Tensor:
        return F.linear(x.flatten(1), weight)

    def energy(self, x: Tensor) -> Tensor:
        return x.flatten(1).square().sum(1, keepdim=True)


class Dense(nn.Linear):
    def __init__(self, inputs: int, units: int, bias: bool):
        super().__init__(inputs, units, bias)
        self.register_parameter("k", None)  # of a classifier whose loss trains it

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.flatten(1))


class BatchNorm(nn.BatchNorm2d):
    def _check_input_dim(self, x: Tensor) -> None:
        """Images and feature vectors alike."""


class SphereNorm(nn.Module):
    def __init__(self, channels: int, trained: bool):
        super().__init__()
        for name, values in (("weight", torch.ones(channels)), ("bias", torch.zeros(channels))):
            if trained:
                self.register_parameter(name, nn.Parameter(values))
            else:
                self.register_buffer(name, values)

    def forward(self, x: Tensor) -> Tensor:
        return torch.addcmul(reference.per_channel(self.bias, x), x, reference.per_channel(self.weight, x))


class Residual(nn.Module):
    def __init__(self, body: nn.Module, shortcut: nn.Module):
        super().__init__()
        self.body, self.shortcut = body, shortcut

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x) + self.shortcut(x)


# ---------------------------------------------------------------------------------------------------------------------
# Networks
# ---------------------------------------------------------------------------------------------------------------------


def make_conv(layer: Spec, inputs: int, variant: Variant) -> nn.Module:
    if not is_ordinary(layer):
        return SphereConv(layer, inputs, variant)
    return nn.Conv2d(inputs, layer["filters"], layer["kernel"], layer["stride"], layer["padding"], bias=layer["bias"])


def make_dense(layer: Spec, inputs: int) -> nn.Module:
    if not is_ordinary(layer):
        return SphereDense(layer, layer["units"], [inputs])
    return Dense(inputs, layer["units"], bias=layer["bias"])


def windowed(shape: list[int], channels: int, layer: Spec) -> list[int]:
    return [channels, *(reference.windowed(size, layer) for size in shape[1:])]


def make_layer(layer: Spec, shape: list[int], first: bool, variant: Variant) -> tuple[nn.Module, list[int]]:
    """The layer for images of shape [C, H, W], and the shape that leaves it. first: of its chain."""
    kind = layer["type"]
    if kind in ("conv", "sphere_conv"):
        return make_conv(layer, shape[0], variant), windowed(shape, layer["filters"], layer)
    if kind == "dense":
        return make_dense(layer, math.prod(shape)), [layer["units"], 1, 1]
    if kind == "batch_norm":
        return BatchNorm(shape[0], eps=layer["epsilon"], momentum=1 - layer["decay"]), shape
    if kind == "sphere_norm":
        return SphereNorm(shape[0], layer["trained"]), shape
    if kind == "relu":
        return nn.ReLU(inplace=not first), shape  # a chain's input is not its own
    if kind == "max_pool":
        pool = nn.MaxPool2d(layer["kernel"], layer["stride"], layer["padding"])
        return pool, windowed(shape, shape[0], layer)
    if kind == "avg_pool" and layer["global"]:
        return nn.AdaptiveAvgPool2d(1), [shape[0], 1, 1]
    if kind == "avg_pool":
        return nn.AvgPool2d(layer["kernel"], layer["stride"]), windowed(shape, shape[0], layer)
    if kind == "flatten":
        return nn.Flatten(), shape
    if kind == "residual":
        body, out = make_chain(layer["body"], shape, variant)
        return Residual(body, make_chain(layer["shortcut"], shape, variant)[0]), out
    raise Unsupported(f"the layer {kind}")


def make_chain(layers: list[Spec], shape: list[int], variant: Variant) -> tuple[nn.Sequential, list[int]]:
    chain = nn.Sequential()
    for index, layer in enumerate(layers):
        module, shape = make_layer(layer, shape, index == 0, variant)
        chain.add_module(layer["name"], module)
    return chain, shape


# ---------------------------------------------------------------------------------------------------------------------
# Training
# ---------------------------------------------------------------------------------------------------------------------


class Training:
    """A spec's network for images of shape [C, H, W], with its loss, penalties and optimizer."""

    def __init__(self, spec: Spec, shape: list[int], variant: Variant):
        layers = spec["network"]["layers"]
        self.spec, self.iteration = spec, 0
        self.model, out = make_chain(layers, shape, variant)
        self.classes = out[0]
        if spec["loss"]["type"] in reference.ANGULAR_LOSSES:
            self.model[-1].k = trained_k(spec["loss"], self.classes)
        elif spec["loss"]["type"] != "softmax":
            raise Unsupported(f"the loss {spec['loss']['type']}")
        self.model.to(memory_format=variant.memory_format).train()
        self.groups = reference.parameter_groups(layers, self.tensors())
        self.optimizer = self.make_optimizer()

    def tensors(self) -> dict[str, Tensor]:
        """Parameters as spherenet calls them: those within residual units by their own layer."""
        return {".".join(name.split(".")[-2:]): value for name, value in self.model.named_parameters()}

    def make_optimizer(self) -> torch.optim.Optimizer:
        """Weight decay is the optimizer's: the gradient of the penalty, without its value."""
        regularizer = self.spec["regularizer"]
        parameters: dict[bool, list[Tensor]] = {True: [], False: []}
        for name, value in self.tensors().items():
            parameters[self.groups[name] in regularizer["weight_decay_on"]].append(value)
        decays = {True: regularizer["weight_decay"], False: 0.0}
        sets = [{"params": values, "weight_decay": decays[key]} for key, values in parameters.items() if values]
        return reference.make_optimizer(self.spec["optimizer"], sets)

    def fit_loss(self, images: Tensor, labels: Tensor) -> Tensor:
        settings = self.spec["loss"]
        if settings["type"] in reference.ANGULAR_LOSSES:
            operator = reference.operator_of(self.spec["network"]["layers"][-1])
            settings = {**settings, "epsilon": operator["epsilon"]}
            score = self.model[-1]
            cosine, norm_x = reference.cosines(settings, self.model[:-1](images).flatten(1), score.weight)
            return reference.angular_loss(settings, cosine, norm_x, labels, self.iteration, score.k)
        logits = self.model(images)
        if settings["probability_floor"]:
            return reference.softmax_loss(settings, logits, labels)
        return F.cross_entropy(logits, labels, label_smoothing=settings["label_smoothing"])

    def loss(self, images: Tensor, labels: Tensor) -> Tensor:
        """With the orthogonality penalty."""
        self.iteration += 1
        loss, regularizer = self.fit_loss(images, labels), self.spec["regularizer"]
        if regularizer["orthogonality"] and regularizer["orthogonality_on"]:
            loss = loss + reference.orthogonality_loss(regularizer, self.tensors(), self.groups)
        return loss

    def step(self, images: Tensor, labels: Tensor) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        self.loss(images, labels).backward()
        self.optimizer.step()

    def reference_loss(self, images: Tensor, labels: Tensor) -> Tensor:
        tensors = self.tensors()
        for name, value in self.model.named_buffers():
            tensors[".".join(name.split(".")[-2:])] = value.clone()
        loss = reference.fit_loss(self.spec, tensors, images, labels, 1, reference.Run())
        return loss + reference.orthogonality_loss(self.spec["regularizer"], tensors, self.groups)


def differs(ours: Tensor, other: Tensor, scale: float) -> bool:
    """scale: the largest of all gradients. Those that vanish, as of a bias before batch normalisation, are rounding."""
    allowed = TOLERANCE * float(other.abs().max()) + TOLERANCE**1.5 * scale
    return not float((ours - other).abs().max()) <= allowed


def difference_from_reference(training: Training, images: Tensor, labels: Tensor) -> Optional[str]:
    """What differs in the loss and the gradients of its first step, if anything. Leaves the network in double."""
    training.model.double()
    parameters = training.tensors()
    results = []
    for compute in (training.loss, training.reference_loss):
        loss = compute(images.double(), labels)
        results.append([loss.detach(), *torch.autograd.grad(loss, list(parameters.values()))])
    names = ["loss", *(f"gradient of {name}" for name in parameters)]
    scale = max(float(values.abs().max()) for values in results[1][1:])
    wrong = [name for name, ours, other in zip(names, *results) if differs(ours, other, scale)]
    return f"{wrong[0]} and {len(wrong) - 1} other values are not the reference's" if wrong else None
