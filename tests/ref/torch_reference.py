"""The formulas of docs/method.md in PyTorch, written for clearness and shared with nothing in src/.

Operators, layers, losses, penalties, optimizers, and the training of a network: what tests/golden/ is computed with, and
what tools/bench_peers compares its faster networks with. A network is a list of layers as a spec has them, its tensors
are a dictionary by "layer.name"; shapes and names are those of spherenet's checkpoints. All of it is differentiable.
"""

import math
from dataclasses import dataclass, field
from typing import Any, Iterator, Optional

import torch
import torch.nn.functional as F
from torch import Tensor

Spec = dict[str, Any]
Layers = list[Spec]
Tensors = dict[str, Tensor]
Shape = tuple[int, int, int]  # channels, height, width

COSINE_LIMIT = 1 - 1e-6  # of the cosines whose angles are taken
ANGULAR_LOSSES = ("w_softmax", "a_softmax", "ga_softmax", "cosface", "arcface", "sphereface2")
LEAST_RHO = 1e-4  # what a trained rho of 0 stands for


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
# Random numbers
# ---------------------------------------------------------------------------------------------------------------------

DROPOUT, STOCHASTIC_DEPTH = 6, 7  # purposes of streams
BITS = 2**64 - 1


def splitmix64(state: int) -> tuple[int, int]:
    """The next state, and the number that comes with it."""
    state = state + 0x9E3779B97F4A7C15 & BITS
    z = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 & BITS
    z = (z ^ z >> 27) * 0x94D049BB133111EB & BITS
    return state, z ^ z >> 31


def rotated(value: int, bits: int) -> int:
    return (value << bits | value >> 64 - bits) & BITS


def uniform(seed: int, purpose: int, a: int, b: int, count: int) -> list[float]:
    """The first numbers in [0, 1) of a stream: xoshiro256++, seeded from its names by splitmix64."""
    key, s, numbers = 0, [], []
    for name in (seed, purpose, a, b):
        key = splitmix64(key ^ name)[1]
    for _ in range(4):
        key, number = splitmix64(key)
        s.append(number)
    for _ in range(count):
        numbers.append(((rotated(s[0] + s[3] & BITS, 23) + s[0] & BITS) >> 11) * 2.0**-53)
        shifted = s[1] << 17 & BITS
        s[2] ^= s[0]
        s[3] ^= s[1]
        s[1] ^= s[2]
        s[0] ^= s[3]
        s[2] ^= shifted
        s[3] = rotated(s[3], 45)
    return numbers


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
    if angular == "square_cosine":
        return cosine * cosine.abs()
    return cosine if angular == "cosine" else activation_of_angle(angular, torch.acos(cosine), k)


def activation_of_angle(angular: str, theta: Tensor, k: Optional[Tensor]) -> Tensor:
    """The activations that are functions of the angle, and the square of its cosine."""
    if angular == "square_cosine":
        return torch.cos(theta) * torch.cos(theta).abs()
    if angular == "linear":
        return 1 - 2 * theta / math.pi
    return torch.tanh((math.pi / 2 - theta) / (2 * k)) / torch.tanh(math.pi / (4 * k))


def effective_rho(operator: Spec, rho: Optional[Tensor], like: Tensor) -> Tensor:
    """Of the magnitude tanh: how long a patch is."""
    return like.new_tensor([operator["rho"]]) if rho is None else rho.abs() + LEAST_RHO


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
    rho: Optional[Tensor] = None,
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
    if magnitude == "tanh":
        return activation * torch.tanh(norm_x / effective_rho(operator, rho, weight))
    return activation * norm_x if magnitude == "linear" else activation * norm_x * norm_w


# ---------------------------------------------------------------------------------------------------------------------
# Layers
# ---------------------------------------------------------------------------------------------------------------------


def per_channel(values: Tensor, x: Tensor) -> Tensor:
    return values.view(1, -1, *[1] * (x.dim() - 2))


def operator_layer(layer: Spec, x: Tensor, tensors: Tensors, margins: Margins) -> Tensor:
    """conv, sphere_conv and dense; a dense layer is a 1x1 convolution of a 1x1 image."""
    name = layer["name"]
    weight, bias, k, rho = (tensors.get(f"{name}.{part}") for part in ("weight", "bias", "k", "rho"))
    operator = operator_of(layer)
    if layer["type"] == "dense":
        flat = x.flatten(1)[:, :, None, None]
        y = convolve(operator, flat, weight[:, :, None, None], k, margins=margins, rho=rho).flatten(1)
    else:
        y = convolve(operator, x, weight, k, layer["stride"], layer["padding"], margins, rho)
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


@dataclass
class Step:
    """What random layers know: the run's seed, the position of the batch's first image, layers' numbers by identity."""

    seed: int = 0
    first_image: int = 0
    numbers: dict[int, int] = field(default_factory=dict)


def image_numbers(step: Step, purpose: int, layer: Spec, image: int, count: int) -> list[float]:
    return uniform(step.seed, purpose, step.first_image + image, step.numbers[id(layer)], count)


def dropout(layer: Spec, x: Tensor, image: Shape, step: Step) -> Tensor:
    """A number for each value, in the order row, column, channel of the image that x is or was before it was flat."""
    channels, height, width = image
    drawn = [image_numbers(step, DROPOUT, layer, index, x[0].numel()) for index in range(len(x))]
    numbers = torch.tensor(drawn, dtype=torch.float64).view(-1, height, width, channels).movedim(3, 1).reshape(x.shape)
    return x * ((numbers >= layer["rate"]).to(x) / (1 - layer["rate"]))


def stochastic_depth(layer: Spec, x: Tensor, step: Step) -> Tensor:
    """An image's first number decides for all of it."""
    numbers = [image_numbers(step, STOCHASTIC_DEPTH, layer, index, 1) for index in range(len(x))]
    kept = torch.tensor([float(number >= layer["rate"]) for number, in numbers]).to(x)
    return x * (kept / (1 - layer["rate"])).view(-1, *[1] * (x.dim() - 1))


def image_of(x: Tensor) -> Shape:
    return (*x.shape[1:], 1, 1)[:3]


def forward(layers: Layers, x: Tensor, tensors: Tensors, margins: Margins, step: Step = Step()) -> Tensor:
    """Runs the layers in training mode; the running averages in `tensors` move."""
    image = image_of(x)
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
            body = forward(layer["body"], x, tensors, margins, step)
            x = body + forward(layer.get("shortcut", []), x, tensors, margins, step)
        elif kind == "flatten":
            x = x.flatten(1)
        elif kind == "dropout":
            x = dropout(layer, x, image, step)
        elif kind == "stochastic_depth":
            x = stochastic_depth(layer, x, step)
        else:
            raise ValueError(f"unknown layer type {kind}")
        if kind == "dense" or x.dim() == 4:
            image = image_of(x)
    return x


def windowed(size: int, layer: Spec) -> int:
    return (size + 2 * layer.get("padding", 0) - layer["kernel"]) // layer["stride"] + 1


# ---------------------------------------------------------------------------------------------------------------------
# Losses and training
# ---------------------------------------------------------------------------------------------------------------------


def all_layers(layers: Layers) -> Iterator[Spec]:
    for layer in layers:
        yield layer
        yield from all_layers(layer.get("body", []) + layer.get("shortcut", []))


def parameter_groups(layers: Layers, tensors: Tensors) -> dict[str, str]:
    """The regularisation group of every trained parameter: weights, sphere_weights, norm, bias or shape."""
    groups = {}
    for layer in all_layers(layers):
        name = layer.get("name")
        if layer["type"] in ("conv", "sphere_conv", "dense"):
            product = operator_of(layer)["magnitude"] == "product"
            classifier = layer is layers[-1] and layer["type"] == "dense"
            groups[f"{name}.weight"] = "weights" if product or classifier else "sphere_weights"
            groups[f"{name}.bias"] = "bias"
            groups[f"{name}.k"] = groups[f"{name}.rho"] = "shape"
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


def sphereface2_loss(loss: Spec, cosine: Tensor, labels: Tensor, bias: Tensor) -> Tensor:
    """For each class whether the image is of it; `bias`: one for all classes."""
    own = F.one_hot(labels, cosine.shape[1]).bool()
    adjusted = 2 * ((cosine + 1) / 2) ** loss["exponent"] - 1
    if loss["detach"]:
        adjusted = cosine + (adjusted - cosine).detach()
    target = F.softplus(-loss["scale"] * (adjusted - loss["margin"]) - bias)
    others = F.softplus(loss["scale"] * (adjusted + loss["margin"]) + bias)
    terms = torch.where(own, loss["balance"] * target, (1 - loss["balance"]) * others)
    return loss["loss_weight"] / loss["scale"] * terms.sum(1).mean()


def angular_loss(
    loss: Spec, cosine: Tensor, norm_x: Tensor, labels: Tensor, iteration: int, trained: Optional[Tensor] = None
) -> Tensor:
    """trained: the k of an activation that trains it, or the bias of the loss."""
    if loss["type"] == "sphereface2":
        return sphereface2_loss(loss, cosine, labels, trained)
    logits = angular_logits(loss, cosine, norm_x, labels, iteration, trained)
    return softmax_loss(loss, logits, labels) if loss["type"] == "w_softmax" else F.cross_entropy(logits, labels)


def decayed(regularizer: Spec, groups: dict[str, str]) -> list[str]:
    return [name for name, group in groups.items() if group in regularizer["weight_decay_on"]]


def weight_decay_loss(spec: Spec, tensors: Tensors, groups: dict[str, str]) -> Tensor:
    """0 with AdamW, whose decay is none of the loss."""
    regularizer = spec["regularizer"]
    chosen = decayed(regularizer, groups)
    if spec["optimizer"]["type"] == "adamw" or not chosen:
        return torch.zeros(())
    return regularizer["weight_decay"] / 2 * torch.stack([tensors[name].square().sum() for name in chosen]).sum()


def gram_error(weight: Tensor) -> Tensor:
    filters = weight.flatten(1)
    gram = filters @ filters.T
    return (gram - torch.eye(len(gram), dtype=gram.dtype)).square().sum()


def orthogonality_loss(regularizer: Spec, tensors: Tensors, groups: dict[str, str]) -> Tensor:
    kinds = set(regularizer["orthogonality_on"])
    chosen = [gram_error(tensors[name]) for name, group in groups.items() if group in kinds]
    return regularizer["orthogonality"] / 2 * (torch.stack(chosen).sum() if chosen else torch.zeros(()))


def make_optimizer(settings: Spec, parameters: list[Tensor], decays: list[float]) -> torch.optim.Optimizer:
    """decays: AdamW's, of each parameter."""
    rate = settings["learning_rate"]
    if settings["type"] in ("adam", "adamw"):
        constants = {"lr": rate, "betas": (settings["beta1"], settings["beta2"]), "eps": settings["epsilon"]}
        if settings["type"] == "adam":
            return torch.optim.Adam(parameters, **constants)
        groups = [{"params": [parameter], "weight_decay": decay} for parameter, decay in zip(parameters, decays)]
        return torch.optim.AdamW(groups, **constants)
    return torch.optim.SGD(parameters, lr=rate, momentum=settings["momentum"], nesterov=settings["nesterov"])


@dataclass
class Run:
    """The end of a training run and the losses of its steps, each at the weights before the update."""

    final: Tensors = field(default_factory=dict)
    losses: dict[str, list[float]] = field(default_factory=lambda: {"fit": [], "weight_decay": [], "orthogonality": []})
    margins: Margins = field(default_factory=Margins)
    targets: list[Tensor] = field(default_factory=list)  # an angular loss's cos theta of the labels, step by step


def training_step(spec: Spec, iteration: int) -> Step:
    numbers = {id(layer): number for number, layer in enumerate(all_layers(spec["network"]["layers"]))}
    return Step(spec["seed"], (iteration - 1) * spec["train"]["batch_size"], numbers)


def fit_loss(spec: Spec, tensors: Tensors, images: Tensor, labels: Tensor, iteration: int, run: Run) -> Tensor:
    """The loss of the batch; an angular one normalises the last layer by itself."""
    layers, loss, step = spec["network"]["layers"], spec["loss"], training_step(spec, iteration)
    if loss["type"] == "softmax":
        return softmax_loss(loss, forward(layers, images, tensors, run.margins, step), labels)
    loss = {**loss, "epsilon": operator_of(layers[-1])["epsilon"]}
    x = forward(layers[:-1], images, tensors, run.margins, step).flatten(1)
    score = layers[-1]["name"]
    cosine, norm_x = cosines(loss, x, tensors[f"{score}.weight"])
    run.margins.note("angle" if takes_angle(loss) else "cosine", 1 - cosine.abs())
    run.targets.append(cosine.detach().gather(1, labels[:, None]))
    trained = "bias" if loss["type"] == "sphereface2" else "k"
    return angular_loss(loss, cosine, norm_x, labels, iteration, tensors.get(f"{score}.{trained}"))


def train(spec: Spec, init: Tensors, images: Tensor, labels: Tensor, dtype: torch.dtype) -> Run:
    """images [steps, N, C, H, W] and labels [steps, N]: the batch of each step."""
    layers = spec["network"]["layers"]
    run = Run()
    tensors = {name: value.to(dtype).clone() for name, value in init.items()}
    groups = parameter_groups(layers, tensors)
    parameters = [tensors[name].requires_grad_() for name in groups]
    chosen = decayed(spec["regularizer"], groups)
    decays = [spec["regularizer"]["weight_decay"] if name in chosen else 0.0 for name in groups]
    optimizer = make_optimizer(spec["optimizer"], parameters, decays)
    for step in range(len(images)):
        terms = {
            "fit": fit_loss(spec, tensors, images[step].to(dtype), labels[step], step + 1, run),
            "weight_decay": weight_decay_loss(spec, tensors, groups),
            "orthogonality": orthogonality_loss(spec["regularizer"], tensors, groups),
        }
        optimizer.zero_grad()
        sum(terms.values()).backward()
        if spec["optimizer"]["type"] in ("adam", "adamw"):
            for parameter in parameters:
                run.margins.note("gradient", parameter.grad.abs())
        if "clip_norm" in spec["optimizer"]:
            torch.nn.utils.clip_grad_norm_(parameters, spec["optimizer"]["clip_norm"])
        optimizer.step()
        for term, value in terms.items():
            run.losses[term].append(value.item())
    run.final = {name: value.detach() for name, value in tensors.items()}
    return run
