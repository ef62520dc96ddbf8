"""Networks that spherenet has trained, as modules of PyTorch.

    from spherenet_torch import Loss, load, make_optimizer, save

    network = load("runs/quickstart")                   # a run, its best: load(..., which="best"), or a checkpoint's file
    logits = network(network.preprocess(pixels))        # pixels: uint8 [N, H, W, C]; logits: [N, classes], no margin
    features = network.features(network.preprocess(pixels))

    network.train()                                     # load() gives it for evaluation
    loss, optimizer = Loss(network), make_optimizer(network)
    (loss(images, labels) + loss.penalty()).backward()  # what spherenet minimises, with the margin of the iteration
    optimizer.step()

    save(network, "tuned.safetensors")                  # for `spherenet eval`, `features` and train.init_from

Needs PyTorch 1.13 or newer, PyYAML, and beside them Python alone. The names in state_dict() are those of spherenet's
checkpoints. The formulas are those of docs/method.md, written from there; spherenet's tests compare both.
docs/pytorch.md says more.
"""

import copy
import gzip
import json
import math
import re
import struct
from functools import partial
from pathlib import Path
from typing import Any, Callable, Iterator, NamedTuple, Optional, Union

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Spec = dict[str, Any]
Layers = list[Spec]
Tensors = dict[str, Tensor]
Product = Callable[[Tensor, Tensor], Tensor]

COSINE_LIMIT = 1 - 1e-6  # of the cosines whose angles are taken
LEAST_RHO = 1e-4  # what a trained rho of 0 stands for


class Unsupported(ValueError):
    """Says what there is no version of."""


# ---------------------------------------------------------------------------------------------------------------------
# The operator family: y = h(|w|, |x|) * g(theta)
# ---------------------------------------------------------------------------------------------------------------------


class Clamp(torch.autograd.Function):
    """To [-COSINE_LIMIT, COSINE_LIMIT]; beyond, the gradient is the one at the limit."""

    @staticmethod
    def forward(ctx: Any, cosine: Tensor) -> Tensor:
        return cosine.clamp(-COSINE_LIMIT, COSINE_LIMIT)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient


def clamped(cosine: Tensor) -> Tensor:
    return Clamp.apply(cosine)  # type: ignore[no-any-return, no-untyped-call]


def per_channel(values: Tensor, x: Tensor) -> Tensor:
    return values.view(1, -1, *[1] * (x.dim() - 2))


def effective_k(settings: Spec, k: Optional[Tensor], like: Tensor) -> Tensor:
    """The sharpness of a sigmoid, fixed or trained, for each filter or for all."""
    return like.new_tensor([settings["k"]]) if k is None else k.abs() + settings["k_offset"]


def activation_of_complement(angular: str, complement: Tensor, k: Optional[Tensor]) -> Tensor:
    """g of pi/2 - theta; k: a sigmoid's, shaped to broadcast."""
    if angular == "square_cosine":
        return torch.sin(complement) * torch.sin(complement).abs()
    if angular == "linear":
        return complement * (2 / math.pi)
    if angular not in ("sigmoid", "learnable_sigmoid"):
        raise Unsupported(f"the angular activation {angular}")
    assert k is not None
    return torch.tanh(complement * (0.5 / k)) * (1 / torch.tanh(math.pi / 4 / k))


def activation(angular: str, cosine: Tensor, k: Optional[Tensor]) -> Tensor:
    """g(theta)."""
    if angular == "cosine":
        return cosine
    if angular == "square_cosine":
        return cosine * cosine.abs()
    return activation_of_complement(angular, torch.asin(clamped(cosine)), k)


def lengths(rows: Tensor, epsilon: float) -> Tensor:
    """Of each filter, or each image's feature."""
    return torch.sqrt(rows.flatten(1).square().sum(1) + epsilon)


def patch_energy(product: Product, x: Tensor, weight: Tensor, sum_first: bool) -> Tensor:
    """The sums of squares under a filter, one channel. sum_first: over channels, before those over pixels."""
    squares = x.square()
    if sum_first:
        return product(squares.sum(1, keepdim=True), torch.ones_like(weight[:1, :1]))
    return product(squares, torch.ones_like(weight[:1]))


def operate(
    operator: Spec,
    product: Product,
    x: Tensor,
    weight: Tensor,
    k: Optional[Tensor] = None,
    rho: Optional[Tensor] = None,
    sum_first: bool = True,
) -> Tensor:
    """The operator over all patches of x. product: what multiplies them with filters; k, rho: as trained."""
    magnitude, angular, epsilon = operator["magnitude"], operator["angular"], operator["epsilon"]
    if magnitude == "product" and angular == "cosine":
        return product(x, weight)
    norm_w = lengths(weight, epsilon)
    dot = product(x, weight / norm_w.view(-1, *[1] * (weight.dim() - 1)))
    if magnitude == "linear" and angular == "cosine":
        return dot
    energy = patch_energy(product, x, weight, sum_first) + epsilon
    sharpness = per_channel(effective_k(operator, k, weight), dot) if "sigmoid" in angular else None
    y = activation(angular, dot * torch.rsqrt(energy), sharpness)
    if magnitude == "sphere":
        return y
    norm_x = torch.sqrt(energy)
    if magnitude == "tanh":
        return y * torch.tanh(norm_x / (operator["rho"] if rho is None else rho.abs() + LEAST_RHO))
    if magnitude not in ("linear", "product"):
        raise Unsupported(f"the magnitude {magnitude}")
    return y * norm_x if magnitude == "linear" else y * norm_x * per_channel(norm_w, y)


# ---------------------------------------------------------------------------------------------------------------------
# Layers, of images [N, C, H, W] all of them: what a dense layer puts out are images of one pixel
# ---------------------------------------------------------------------------------------------------------------------


class Filters(nn.Module):
    """conv, sphere_conv or dense, of any operator. sum_first: see patch_energy; the result is the same."""

    sum_first = True
    bias: Optional[nn.Parameter]
    k: Optional[nn.Parameter]
    rho: Optional[nn.Parameter]

    def __init__(self, layer: Spec, tensors: Tensors):
        super().__init__()
        self.operator = layer["operator"]
        self.weight = nn.Parameter(tensors["weight"])
        for name in ("bias", "k", "rho"):
            self.register_parameter(name, nn.Parameter(tensors[name]) if name in tensors else None)

    def product(self, x: Tensor, weight: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        y = operate(self.operator, self.product, x, self.weight, self.k, self.rho, self.sum_first)
        return y if self.bias is None else y + per_channel(self.bias, y)


class Conv(Filters):
    def __init__(self, layer: Spec, tensors: Tensors):
        super().__init__(layer, tensors)
        self.product = partial(F.conv2d, stride=layer["stride"], padding=layer["padding"])  # type: ignore[method-assign]


class Dense(Filters):
    def product(self, x: Tensor, weight: Tensor) -> Tensor:
        return F.linear(x, weight)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.flatten(1))[:, :, None, None]


class BatchNorm(nn.Module):
    """Its running averages are spherenet's: of biased variances, and where debias is set free of their start at 0."""

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, layer: Spec, tensors: Tensors):
        super().__init__()
        self.epsilon, self.decay, self.debias = layer["epsilon"], layer["decay"], layer["debias"]
        self.weight, self.bias = nn.Parameter(tensors["weight"]), nn.Parameter(tensors["bias"])
        self.register_buffer("running_mean", tensors["running_mean"])
        self.register_buffer("running_var", tensors["running_var"])
        self.register_buffer("num_batches_tracked", tensors["num_batches_tracked"].long().reshape([]))

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            averages = (self.running_mean, self.running_var)
            return F.batch_norm(x, *averages, self.weight, self.bias, False, 0.0, self.epsilon)
        mean, variance = torch.zeros_like(self.running_mean), torch.zeros_like(self.running_var)
        y = F.batch_norm(x, mean, variance, self.weight, self.bias, True, 1.0, self.epsilon)
        count = x.numel() // x.shape[1]
        self.take(mean, variance * ((count - 1) / count))
        return y

    @torch.no_grad()
    def take(self, mean: Tensor, variance: Tensor) -> None:
        """Into the averages, those of one more batch."""
        self.num_batches_tracked += 1
        seen, decay = self.num_batches_tracked.double(), torch.full_like(
            self.num_batches_tracked, self.decay, dtype=torch.double
        )
        if self.debias:
            decay = decay * (1 - decay ** (seen - 1)) / (1 - decay**seen)
        for average, value in ((self.running_mean, mean), (self.running_var, variance)):
            average.mul_(decay).add_(value * (1 - decay))


class SphereNorm(nn.Module):
    weight: Tensor
    bias: Tensor

    def __init__(self, layer: Spec, tensors: Tensors):
        super().__init__()
        for name in ("weight", "bias"):
            if layer["trained"]:
                self.register_parameter(name, nn.Parameter(tensors[name]))
            else:
                self.register_buffer(name, tensors[name])

    def forward(self, x: Tensor) -> Tensor:
        return torch.addcmul(per_channel(self.bias, x), x, per_channel(self.weight, x))


class Pool(nn.Module):
    def __init__(self, layer: Spec):
        super().__init__()
        self.kind, self.kernel, self.stride = layer["type"], layer["kernel"], layer["stride"]
        self.padding = layer.get("padding", 0)
        self.whole = layer.get("global", False)

    def forward(self, x: Tensor) -> Tensor:
        if self.whole:
            return x.mean([2, 3], keepdim=True)
        if self.kind == "avg_pool":
            return F.avg_pool2d(x, self.kernel, self.stride)
        return F.max_pool2d(x, self.kernel, self.stride, self.padding)


class Drop(nn.Module):
    """dropout, of values, and stochastic_depth, of all values of an image; by PyTorch's random numbers."""

    def __init__(self, layer: Spec):
        super().__init__()
        self.rate, self.of_images = layer["rate"], layer["type"] == "stochastic_depth"

    def numbers(self, x: Tensor) -> Tensor:
        """In [0, 1), of what is dropped or kept by itself."""
        return torch.rand_like(x[:, :1, :1, :1] if self.of_images else x)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        return x * ((self.numbers(x) >= self.rate).to(x) / (1 - self.rate))


class Classifier(nn.Module):
    """The last layer under a loss of angles; its logits are those of evaluation, without margin."""

    k: Optional[nn.Parameter]
    bias: Optional[nn.Parameter]

    def __init__(self, layer: Spec, loss: Spec, tensors: Tensors):
        super().__init__()
        self.loss, self.epsilon = loss, layer["operator"]["epsilon"]
        self.weight = nn.Parameter(tensors["weight"])
        for name in ("k", "bias"):  # the loss's own
            self.register_parameter(name, nn.Parameter(tensors[name]) if name in tensors else None)

    def trained(self) -> Optional[Tensor]:
        return self.bias if self.loss["type"] == "sphereface2" else self.k

    def cosines(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[N, classes], and the features' lengths, [N, 1]."""
        return cosines(x.flatten(1), self.weight, self.epsilon)

    def forward(self, x: Tensor) -> Tensor:
        return plain_logits(self.loss, *self.cosines(x), self.trained())[:, :, None, None]


# ---------------------------------------------------------------------------------------------------------------------
# Families
# ---------------------------------------------------------------------------------------------------------------------

ORDINARY = {"magnitude": "product", "angular": "cosine", "epsilon": 1e-4}


class Family:
    """Writes a network out layer by layer. How many filters a layer has, its tensors tell."""

    def __init__(self, network: Spec):
        self.network = network

    def conv(self, name: str, kernel: int = 3, stride: int = 1, ordinary: bool = False) -> Layers:
        operator = ORDINARY if ordinary else self.network["operator"]
        geometry = {"kernel": kernel, "stride": stride, "padding": kernel // 2}
        return [{"type": "conv", "name": name, "operator": operator, **geometry}, *self.normalization(name)]

    def normalization(self, name: str) -> Layers:
        chosen = self.network["normalization"]
        sphere = {"type": "sphere_norm", "name": f"{name}_sn", "trained": self.network["train_sphere_norm"]}
        batch = {"type": "batch_norm", "name": f"{name}_bn", **self.network["batch_norm"]}
        return [sphere] * (chosen in ("sphere_norm", "both")) + [batch] * (chosen in ("batch_norm", "both"))

    def activation(self, name: str) -> Layers:
        return [{"type": "relu", "name": f"{name}_relu"}] if self.network["activation"] == "relu" else []

    def block(self, name: str, kernel: int = 3, stride: int = 1) -> Layers:
        return self.conv(name, kernel, stride) + self.activation(name)

    def unit(self, name: str, stride: int) -> Layers:
        body = self.block(f"{name}_conv1", stride=stride) + self.conv(f"{name}_conv2")
        shortcut = self.conv(f"{name}_shortcut", 1, stride, ordinary=True) if stride > 1 else []
        return [{"type": "residual", "name": name, "body": body, "shortcut": shortcut}, *self.activation(name)]

    def pool(self, kind: str, name: str, kernel: int = 2, padding: int = 0, whole: bool = False) -> Layers:
        return [{"type": kind, "name": name, "kernel": kernel, "stride": 2, "padding": padding, "global": whole}]

    def classifier(self) -> Layers:
        return [{"type": "dense", "name": "score", "operator": self.network["classifier_operator"]}]

    def plain(self) -> Layers:
        layers = []
        for stage in (1, 2, 3):
            layers += [layer for i in range(self.network["depth"] // 3) for layer in self.block(f"conv{stage}_{i}")]
            layers += self.pool("max_pool", f"pool{stage}")
        if self.network["features"]:
            layers += [{"type": "dense", "name": "feature", "operator": self.network["operator"]}]
            layers += self.normalization("feature") if self.network["normalize_features"] else []
        return layers + self.classifier()

    def resnet(self) -> Layers:
        layers = self.block("root")
        for stage in (1, 2, 3):
            for i in range((self.network["depth"] - 2) // 6):
                layers += self.unit(f"stage{stage}_unit{i}", 2 if stage > 1 and i == 0 else 1)
        return layers + self.pool("avg_pool", "pool", whole=True) + self.classifier()

    def imagenet(self, residual: bool) -> Layers:
        layers = self.block("root", 7, 2) + self.pool("max_pool", "root_pool", 3, 1)
        for stage in (1, 2, 3, 4):
            for i in (0, 1):
                stride = 2 if stage > 1 and i == 0 else 1
                name = f"stage{stage}_unit{i}" if residual else f"stage{stage}_conv{i}"
                layers += self.unit(name, stride) if residual else self.block(name, stride=stride)
        return layers + self.pool("avg_pool", "pool", whole=True) + self.classifier()


def layers_of(network: Spec) -> Layers:
    """The network section of a resolved spec, written out."""
    kind, family = network["type"], Family(network)
    if kind == "layers":
        return copy.deepcopy(list(network["layers"]))
    if kind in ("imagenet_plain", "imagenet_resnet"):
        return family.imagenet(kind == "imagenet_resnet")
    if kind not in ("plain", "resnet"):
        raise Unsupported(f"the network {kind}")
    return family.plain() if kind == "plain" else family.resnet()


def all_layers(layers: Layers) -> Iterator[Spec]:
    """Those within residual units too, as `spherenet show` lists them."""
    for layer in layers:
        yield layer
        yield from all_layers(layer.get("body", []) + layer.get("shortcut", []))


def name_layers(layers: Layers) -> Layers:
    """All of them, each with the name that spherenet gives it where the spec gives none."""
    flat = list(all_layers(layers))
    for number, layer in enumerate(flat):
        layer["name"] = layer.get("name") or f"{layer['type']}_{number + 1}"
    return flat


# ---------------------------------------------------------------------------------------------------------------------
# Losses
# ---------------------------------------------------------------------------------------------------------------------


def softmax_loss(loss: Spec, logits: Tensor, labels: Tensor) -> Tensor:
    smoothing, floor, classes = loss.get("label_smoothing", 0.0), loss.get("probability_floor", 0.0), logits.shape[1]
    if not floor:
        return F.cross_entropy(logits, labels, label_smoothing=smoothing)
    targets = (1 - smoothing) * F.one_hot(labels, classes).to(logits) + smoothing / classes
    return -(targets * torch.log(torch.softmax(logits, dim=1) + floor)).sum(1).mean()


def annealing_factor(annealing: Spec, iteration: int) -> float:
    """lambda, the weight of the logit without margin; iterations count from 1."""
    decayed = annealing["base"] * (1 + annealing["gamma"] * iteration) ** -annealing["power"]
    return float(max(annealing["minimum"], decayed))


def segments(margin: int, cosine: Tensor) -> Tensor:
    """p = floor(m theta / pi), at most m - 1: on the pieces' common ends both give the same value and slope."""
    p = torch.zeros_like(cosine.detach())
    for q in range(1, margin):
        p = p + (cosine.detach() <= math.cos(math.pi * q / margin)).to(cosine)
    return p


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
    theta = margin * torch.acos(cosine) - math.pi * p
    return activation_of_complement(angular, math.pi / 2 - theta, k) - 2 * p


def moved_cosine(cosine: Tensor, margin: float) -> Tensor:
    """cos(theta + m), continued past pi so that it keeps falling; its slope has no jump either."""
    moved = torch.acos(cosine) + margin
    return torch.where(moved > math.pi, torch.cos(moved - math.pi) - 2, torch.cos(moved))


def takes_angle(loss: Spec) -> bool:
    """Whether the margin goes through arccos."""
    return bool(loss["type"] == "arcface" or loss.get("angular", "cosine") != "cosine")


def cosines(x: Tensor, weight: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    """cos theta [N, classes] and the length of x [N, 1]."""
    norm_x = lengths(x, epsilon)[:, None]
    return F.linear(x, weight) / (norm_x * lengths(weight, epsilon)), norm_x


def class_sharpness(loss: Spec, cosine: Tensor, trained: Optional[Tensor]) -> Optional[Tensor]:
    """The k of each class, where the loss has a sigmoid. trained: for each class or for all."""
    if "sigmoid" not in loss.get("angular", "cosine"):
        return None
    return effective_k(loss, trained, cosine).expand(cosine.shape[1])


def adjusted_cosine(loss: Spec, cosine: Tensor) -> Tensor:
    """SphereFace2's."""
    adjusted = 2 * ((cosine.clamp(-1, 1) + 1) / 2) ** loss["exponent"] - 1
    return cosine + (adjusted - cosine).detach() if loss["detach"] else adjusted


def plain_logits(loss: Spec, cosine: Tensor, norm_x: Tensor, trained: Optional[Tensor] = None) -> Tensor:
    """Without margin. trained: the k of an activation that trains it, or SphereFace2's bias."""
    kind = loss["type"]
    if kind == "sphereface2":
        assert trained is not None
        return loss["scale"] * adjusted_cosine(loss, cosine) + trained
    if kind in ("cosface", "arcface"):
        return loss["scale"] * cosine.clamp(-1, 1)
    if kind not in ("w_softmax", "a_softmax", "ga_softmax"):
        raise Unsupported(f"the loss {kind}")
    return norm_x * activation(loss.get("angular", "cosine"), cosine, class_sharpness(loss, cosine, trained))


def margined_logit(loss: Spec, target: Tensor, norm_x: Tensor, k: Optional[Tensor]) -> Tensor:
    """Of the cosine of the image's own class. k: that class's."""
    target = clamped(target) if takes_angle(loss) else target
    if loss["type"] == "cosface":
        return loss["scale"] * (target - loss["margin"])
    if loss["type"] == "arcface":
        return loss["scale"] * moved_cosine(target, loss["margin"])
    return norm_x * psi(loss.get("angular", "cosine"), loss["margin"], target, k)


def logits_with_margin(
    loss: Spec, cosine: Tensor, norm_x: Tensor, labels: Tensor, iteration: int, trained: Optional[Tensor] = None
) -> Tensor:
    plain, own = plain_logits(loss, cosine, norm_x, trained), labels[:, None]
    if loss["type"] == "w_softmax":
        return plain
    k = class_sharpness(loss, cosine, trained)
    margined = margined_logit(loss, cosine.gather(1, own), norm_x, None if k is None else k[own])
    factor = annealing_factor(loss["annealing"], iteration)
    return plain.scatter(1, own, (factor * plain.gather(1, own) + margined) / (1 + factor))


def sphereface2_loss(loss: Spec, cosine: Tensor, labels: Tensor, bias: Tensor, margin: float) -> Tensor:
    """For each class whether the image is of it; `bias`: one for all classes."""
    own = F.one_hot(labels, cosine.shape[1]).bool()
    adjusted = adjusted_cosine(loss, cosine)
    target = F.softplus(-loss["scale"] * (adjusted - margin) - bias)
    others = F.softplus(loss["scale"] * (adjusted + margin) + bias)
    terms = torch.where(own, loss["balance"] * target, (1 - loss["balance"]) * others)
    return loss["loss_weight"] / loss["scale"] * terms.sum(1).mean()


def angular_loss(
    loss: Spec, cosine: Tensor, norm_x: Tensor, labels: Tensor, iteration: int, trained: Optional[Tensor] = None
) -> Tensor:
    """iteration 0: without margin, as in evaluation. trained: as in plain_logits."""
    if loss["type"] == "sphereface2":
        assert trained is not None
        return sphereface2_loss(loss, cosine, labels, trained, loss["margin"] if iteration else 0.0)
    if not iteration:
        return softmax_loss(loss, plain_logits(loss, cosine, norm_x, trained), labels)
    return softmax_loss(loss, logits_with_margin(loss, cosine, norm_x, labels, iteration, trained), labels)


def gram_error(weight: Tensor) -> Tensor:
    """|W^T W - I|^2, the filters of a layer as columns of W."""
    filters = weight.flatten(1)
    return (filters @ filters.T - torch.eye(len(filters)).to(filters)).square().sum()


# ---------------------------------------------------------------------------------------------------------------------
# Networks
# ---------------------------------------------------------------------------------------------------------------------


class Unit(NamedTuple):
    """A residual unit, by names of layers."""

    body: "Chain"
    shortcut: "Chain"


Chain = list[Union[str, Unit]]

TENSOR_LAYERS: dict[str, Callable[[Spec, Tensors], nn.Module]] = {
    "conv": Conv,
    "sphere_conv": Conv,
    "dense": Dense,
    "batch_norm": BatchNorm,
    "sphere_norm": SphereNorm,
}
OTHER_LAYERS: dict[str, Callable[[Spec], nn.Module]] = {
    "max_pool": Pool,
    "avg_pool": Pool,
    "dropout": Drop,
    "stochastic_depth": Drop,
    "flatten": lambda layer: nn.Identity(),  # what reads a vector flattens its image
}


class Network(nn.Module):
    """The network of a resolved spec, with these tensors. Its modules stand under the names of its layers.

    layers: all of them as the spec has them, those of units too. metadata: of the checkpoint, for save_file.
    """

    pixel_mean: Tensor
    pixel_scale: Tensor

    def __init__(self, spec: Spec, tensors: Tensors, metadata: Optional[dict[str, str]] = None):
        super().__init__()
        self.spec, self.metadata = spec, dict(metadata or {})
        layers = layers_of(spec["network"])
        self.layers = name_layers(layers)
        self.last = layers[-1]
        self.chain = self._add_chain(layers, tensors)
        for name in ("pixel_mean", "pixel_scale"):
            values = torch.tensor(spec["data"].get(name, {"pixel_mean": 127.5, "pixel_scale": 128.0}[name]))
            self.register_buffer(name, values, persistent=False)
        different = set(tensors).symmetric_difference(self.state_dict())
        if different:
            raise ValueError(f"the network and its tensors do not agree in {', '.join(sorted(different))}")

    @property
    def iteration(self) -> int:
        """At which the checkpoint was made."""
        return int(self.metadata.get("iteration", 0))

    @property
    def classes(self) -> Optional[list[str]]:
        """Their names, where they have some."""
        names = self.metadata.get("classes")
        return names.splitlines() if names else None

    def _add_chain(self, layers: Layers, tensors: Tensors) -> Chain:
        chain: Chain = []
        own = False  # whether what comes to a layer is memory of this chain
        for layer in layers:
            if layer["type"] == "residual":
                chain.append(Unit(*(self._add_chain(layer.get(branch, []), tensors) for branch in Unit._fields)))
            else:
                self._add(layer["name"], self._make(layer, tensors, own))
                chain.append(layer["name"])
            own = own or layer["type"] in TENSOR_LAYERS or layer["type"] in ("residual", "max_pool", "avg_pool")
        return chain

    def _make(self, layer: Spec, tensors: Tensors, own: bool) -> nn.Module:
        kind, name = layer["type"], layer["name"]
        pattern = re.compile(re.escape(name) + r"\.([^.]*)")
        mine = {match[1]: value for key, value in tensors.items() if (match := pattern.fullmatch(key))}
        if kind == "relu":
            return nn.ReLU(inplace=own)
        if layer is self.last and self.spec["loss"]["type"] != "softmax":
            return Classifier(layer, self.spec["loss"], mine)
        if kind in TENSOR_LAYERS:
            return TENSOR_LAYERS[kind](layer, mine)
        if kind not in OTHER_LAYERS:
            raise Unsupported(f"the layer {kind}")
        return OTHER_LAYERS[kind](layer)

    def _add(self, name: str, module: nn.Module) -> None:
        """As a module within modules, where the name has dots. add_module() would refuse names of attributes."""
        *path, last = name.split(".")
        at: nn.Module = self
        for part in path:
            at = at._modules.setdefault(part, nn.Module()) or at
        within = at._modules.get(last)
        if within is not None:  # made for a layer whose name begins with this one's
            module._modules.update(within._modules)
        at._modules[last] = module

    def layer(self, name: str) -> Any:
        """The module of that name."""
        at: Optional[nn.Module] = self
        for part in name.split("."):
            assert at is not None
            at = at._modules[part]
        return at

    def run(self, chain: Chain, x: Tensor) -> Tensor:
        for step in chain:
            x = self.run(step.body, x) + self.run(step.shortcut, x) if isinstance(step, Unit) else self.layer(step)(x)
        return x

    def forward(self, images: Tensor) -> Tensor:
        """From images as preprocess makes them, [N, C, H, W], the logits [N, classes] by which evaluation ranks."""
        return self.run(self.chain, images).movedim(1, -1).flatten(1)

    def features(self, images: Tensor) -> Tensor:
        """What the classifier sees, [N, width], in the order of its weights."""
        if self.last["type"] != "dense":
            raise ValueError("the network's last layer is not a dense one, whose inputs would be the features")
        return self.run(self.chain[:-1], images).flatten(1)

    def preprocess(self, pixels: Tensor) -> Tensor:
        """Images [N, C, H, W] of pixels [N, H, W, C] from 0 to 255."""
        return ((pixels.to(self.pixel_mean) - self.pixel_mean) / self.pixel_scale).movedim(-1, 1).contiguous()

    def groups(self) -> dict[str, str]:
        """The group of every trained parameter, of which the regularizer speaks: weights, sphere_weights, norm, bias,
        or shape, which has no penalty."""
        groups = {}
        for layer in self.layers:
            name, kind = layer["name"], layer["type"]
            if kind in ("conv", "sphere_conv", "dense"):
                ordinary = layer["operator"]["magnitude"] == "product" or (layer is self.last and kind == "dense")
                groups[f"{name}.weight"] = "weights" if ordinary else "sphere_weights"
                groups[f"{name}.bias"] = "bias"
                groups[f"{name}.k"] = groups[f"{name}.rho"] = "shape"
            elif kind in ("batch_norm", "sphere_norm"):
                groups[f"{name}.weight"] = groups[f"{name}.bias"] = "norm"
        return {name: groups[name] for name, _ in self.named_parameters()}


class Loss(nn.Module):
    """What training minimises, of images as preprocess makes them.

    In training mode each call is an iteration, on which the annealing of margins depends: it counts on from the
    checkpoint's, or from `iteration`. In evaluation mode there is no margin.
    """

    def __init__(self, network: Network, iteration: Optional[int] = None):
        super().__init__()
        self.network = network
        self.iteration = network.iteration if iteration is None else iteration

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """The mean over the batch, without penalties."""
        network, settings = self.network, self.network.spec["loss"]
        self.iteration += self.training
        if settings["type"] == "softmax":
            return softmax_loss(settings, network(images), labels)
        classifier = network.layer(network.last["name"])
        cosine, norm_x = classifier.cosines(network.features(images))
        return angular_loss(settings, cosine, norm_x, labels, self.iteration * self.training, classifier.trained())

    def orthogonality(self) -> Tensor:
        regularizer = self.network.spec["regularizer"]
        return regularizer["orthogonality"] / 2 * self._sum(gram_error, regularizer["orthogonality_on"])

    def weight_decay(self) -> Tensor:
        """0 with AdamW, whose decay is none of the loss."""
        regularizer = self.network.spec["regularizer"]
        chosen = [] if self.network.spec["optimizer"]["type"] == "adamw" else regularizer["weight_decay_on"]
        return regularizer["weight_decay"] / 2 * self._sum(lambda weight: weight.square().sum(), chosen)

    def penalty(self) -> Tensor:
        return self.weight_decay() + self.orthogonality()

    def _sum(self, function: Callable[[Tensor], Tensor], groups: list[str]) -> Tensor:
        own, parameters = self.network.groups(), dict(self.network.named_parameters())
        terms = [function(value) for name, value in parameters.items() if own[name] in groups]
        return torch.stack(terms).sum() if terms else next(iter(parameters.values())).new_zeros([])


def make_optimizer(network: Network, decays: Optional[bool] = None) -> torch.optim.Optimizer:
    """The spec's, at its learning rate, without state. decays: whether it does the weight decay, which is in the loss's
    penalty otherwise; unless told AdamW alone does. train.clip_norm and the schedule are the caller's."""
    settings, regularizer = network.spec["optimizer"], network.spec["regularizer"]
    kind, rate, own = settings["type"], settings["learning_rate"], network.groups()
    decays = kind == "adamw" if decays is None else decays
    sets: list[dict[str, Any]] = []
    for decayed in (True, False):
        chosen = [v for n, v in network.named_parameters() if (own[n] in regularizer["weight_decay_on"]) == decayed]
        strength = regularizer["weight_decay"] if decayed and decays else 0.0
        sets += [{"params": chosen, "weight_decay": strength}] if chosen else []
    if kind == "sgd":
        return torch.optim.SGD(sets, lr=rate, momentum=settings["momentum"], nesterov=settings["nesterov"])
    if kind not in ("adam", "adamw"):
        raise Unsupported(f"the optimizer {kind}")
    constants = {"lr": rate, "betas": (settings["beta1"], settings["beta2"]), "eps": settings["epsilon"]}
    return torch.optim.Adam(sets, **constants) if kind == "adam" else torch.optim.AdamW(sets, **constants)


# ---------------------------------------------------------------------------------------------------------------------
# Files
# ---------------------------------------------------------------------------------------------------------------------

DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64}
CHECKSUM = "xxh3_64"  # of the metadata: of a file as it was


def read_tensors(path: Path) -> tuple[dict[str, str], Tensors]:
    """Metadata and tensors of a safetensors file, gzipped or not."""
    data = path.read_bytes()
    data = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    start = 8 + struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:start])
    metadata = header.pop("__metadata__", {})
    tensors = {}
    for name, entry in header.items():
        first, end = (start + offset for offset in entry["data_offsets"])
        values = torch.frombuffer(bytearray(data[first:end]), dtype=DTYPES[entry["dtype"]])
        tensors[name] = values.reshape(entry["shape"])
    return metadata, tensors


def packed_tensors(metadata: dict[str, str], tensors: Tensors) -> bytes:
    """A safetensors file of them. Those of wider types come first, which keeps all of them aligned."""
    names = {dtype: name for name, dtype in DTYPES.items()}
    header: dict[str, Any] = {"__metadata__": metadata} if metadata else {}
    offset, values = 0, []
    for name, tensor in sorted(tensors.items(), key=lambda item: -item[1].element_size()):
        values.append(bytes(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()))
        size = len(values[-1])
        header[name] = {
            "dtype": names[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [offset, offset + size],
        }
        offset += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + b"".join(values)


def checkpoint_path(path: Path, which: str = "latest") -> Path:
    """The file itself, or a run's newest or best checkpoint."""
    if which not in ("latest", "best"):
        raise ValueError(f'which is "{which}"; expected latest or best')
    if not path.is_dir():
        return path
    folder = path / "checkpoints" if (path / "checkpoints").is_dir() else path
    newest = max(
        folder.glob("iteration-*.safetensors.gz"),
        key=lambda file: int(file.name.split("-")[1].split(".")[0]),
        default=None,
    )
    if newest is None:
        raise FileNotFoundError(f"{path}: holds no checkpoint")
    if which == "latest":
        return newest
    return folder / f"iteration-{int(read_tensors(newest)[0]['best_iteration']):08d}.safetensors.gz"


def parsed_spec(text: str) -> Spec:
    try:
        import yaml
    except ImportError as problem:
        raise ImportError(
            "a checkpoint's spec is YAML, which PyYAML reads: pip install pyyaml, or python3-yaml"
        ) from problem
    spec: Spec = yaml.safe_load(text)
    return spec


def load(path: Union[str, Path], which: str = "latest") -> Network:
    """The network of a run's folder, or of a checkpoint, for evaluation. which: "latest" or "best" of a folder."""
    file = checkpoint_path(Path(path), which)
    metadata, tensors = read_tensors(file)
    if "spec" not in metadata:
        raise ValueError(f'{file}: not a spherenet checkpoint: its metadata has no "spec"')
    metadata.pop(CHECKSUM, None)
    weights = {name: value for name, value in tensors.items() if not name.startswith("optimizer.")}
    return Network(parsed_spec(metadata["spec"]), weights, metadata).eval()


def save(network: Network, path: Union[str, Path]) -> None:
    """A checkpoint of its weights, gzipped where the name ends with .gz: for `spherenet eval`, `features`, and
    train.init_from. There is no optimizer's state, so no run goes on from it."""
    data = packed_tensors(network.metadata, network.state_dict())
    Path(path).write_bytes(gzip.compress(data, 6, mtime=0) if str(path).endswith(".gz") else data)
