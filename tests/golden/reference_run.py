"""Training runs of tools/spherenet_torch.py that the files of this folder are made of: with spherenet's own random
numbers, and watched for points at which rounding could divert them."""

import copy
import math
import sys
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Optional

import torch
import torch.nn.functional as F
from torch import Tensor, nn

sys.path.append(str(Path(__file__).resolve().parents[2] / "tools"))

import spherenet_torch
from spherenet_torch import Loss, Network, Spec, Tensors, make_optimizer, operate, takes_angle

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


def draw_numbers(spec: Spec, run: "Run", layer: int, module: spherenet_torch.Drop, x: Tensor) -> Tensor:
    """Those that the layer has for the images of this step: for each value in the order row, column, channel, or for
    dropping whole images the first one."""
    first, purpose = run.steps * spec["train"]["batch_size"], STOCHASTIC_DEPTH if module.of_images else DROPOUT
    channels, height, width = x.shape[1:]
    count = 1 if module.of_images else channels * height * width
    numbers = [uniform(spec["seed"], purpose, first + image, layer, count) for image in range(len(x))]
    shape = [len(x), 1, 1, 1] if module.of_images else [len(x), height, width, channels]
    return torch.tensor(numbers, dtype=torch.float64).view(shape).movedim(3, 1)


# ---------------------------------------------------------------------------------------------------------------------
# Specs, whose keys are not all there
# ---------------------------------------------------------------------------------------------------------------------

DEFAULTS: dict[str, Spec] = {
    "sphere_norm": {"trained": True},
    "max_pool": {"padding": 0},
    "avg_pool": {"kernel": 2, "stride": 2, "global": False},
    "residual": {"shortcut": []},
}


def operator_of(layer: Spec) -> Spec:
    """The layer's operator with its defaults filled in."""
    magnitude = "sphere" if layer["type"] == "sphere_conv" else "product"
    return {"magnitude": magnitude, "angular": "cosine", "epsilon": 1e-4, **layer.get("operator", {})}


def resolved(spec: Spec) -> Spec:
    """With every key that the network is made from."""
    spec = copy.deepcopy(spec)
    for layer in spherenet_torch.all_layers(spec["network"]["layers"]):
        for key, value in DEFAULTS.get(layer["type"], {}).items():
            layer.setdefault(key, value)
        if layer["type"] in ("conv", "sphere_conv", "dense"):
            layer["operator"] = operator_of(layer)
    spec["network"]["type"] = "layers"
    return spec


# ---------------------------------------------------------------------------------------------------------------------
# Training
# ---------------------------------------------------------------------------------------------------------------------


@dataclass
class Run:
    """The end of a training run and the losses of its steps, each at the weights before the update."""

    final: Tensors = field(default_factory=dict)
    losses: dict[str, list[float]] = field(default_factory=lambda: {"fit": [], "weight_decay": [], "orthogonality": []})
    margins: Margins = field(default_factory=Margins)
    targets: list[Tensor] = field(default_factory=list)  # an angular loss's cos theta of the labels, step by step
    steps: int = 0


def note_relu(margins: Margins, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    margins.note("relu", inputs[0].abs())


def note_pool(margins: Margins, module: spherenet_torch.Pool, inputs: tuple[Tensor, ...]) -> None:
    padded = F.pad(inputs[0].detach(), [module.padding] * 4, value=-math.inf)
    windows = padded.unfold(2, module.kernel, module.stride).unfold(3, module.kernel, module.stride).flatten(4)
    first, second = windows.topk(2, dim=4).values.unbind(4)
    dead = first == 0  # a window of clipped ReLU outputs: nothing flows back whichever is taken
    margins.note("pool", (first - second)[~dead])


def note_cosine(margins: Margins, module: spherenet_torch.Filters, inputs: tuple[Tensor, ...]) -> None:
    x = inputs[0].flatten(1) if isinstance(module, spherenet_torch.Dense) else inputs[0]
    cosine = operate({**module.operator, "magnitude": "sphere", "angular": "cosine"}, module.product, x, module.weight)
    margins.note("cosine", 1 - cosine.abs())


def is_ordinary(operator: Spec) -> bool:
    return bool(operator["magnitude"] == "product" and operator["angular"] == "cosine")


def watch(network: Network, run: Run, labels: Tensor) -> None:
    """Has the network's layers note how near they come to such points, and draw the numbers that the spec's seed gives."""
    spec = network.spec
    for number, layer in enumerate(network.layers):
        module = None if layer["type"] == "residual" else network.layer(layer["name"])
        if isinstance(module, nn.ReLU):
            module.register_forward_pre_hook(partial(note_relu, run.margins))
        elif isinstance(module, spherenet_torch.Pool) and module.kind == "max_pool":
            module.register_forward_pre_hook(partial(note_pool, run.margins))
        elif isinstance(module, spherenet_torch.Filters) and not is_ordinary(module.operator):
            module.register_forward_pre_hook(partial(note_cosine, run.margins))
        elif isinstance(module, spherenet_torch.Drop):
            setattr(module, "numbers", partial(draw_numbers, spec, run, number, module))
        elif isinstance(module, spherenet_torch.Classifier):
            watch_classifier(module, run, labels)


def watch_classifier(classifier: spherenet_torch.Classifier, run: Run, labels: Tensor) -> None:
    cosines_of = classifier.cosines

    def cosines(x: Tensor) -> tuple[Tensor, Tensor]:
        cosine, norm_x = cosines_of(x)
        run.margins.note("angle" if takes_angle(classifier.loss) else "cosine", 1 - cosine.abs())
        run.targets.append(cosine.detach().gather(1, labels[run.steps][:, None]))
        return cosine, norm_x

    setattr(classifier, "cosines", cosines)


def step(loss: Loss, optimizer: torch.optim.Optimizer, run: Run, images: Tensor, labels: Tensor) -> None:
    settings, parameters = loss.network.spec["optimizer"], list(loss.network.parameters())
    terms = {"fit": loss(images, labels), "weight_decay": loss.weight_decay(), "orthogonality": loss.orthogonality()}
    optimizer.zero_grad()
    torch.stack(list(terms.values())).sum().backward()
    if settings["type"] in ("adam", "adamw"):
        for parameter in parameters:
            run.margins.note("gradient", parameter.grad.abs())
    if "clip_norm" in settings:
        torch.nn.utils.clip_grad_norm_(parameters, settings["clip_norm"])
    optimizer.step()
    for term, value in terms.items():
        run.losses[term].append(value.item())
    run.steps += 1


def train(spec: Spec, init: Tensors, images: Tensor, labels: Tensor, dtype: torch.dtype) -> Run:
    """images [steps, N, C, H, W] and labels [steps, N]: the batch of each step."""
    run, network = Run(), Network(resolved(spec), {name: value.to(dtype).clone() for name, value in init.items()})
    watch(network, run, labels)
    loss, optimizer = Loss(network), make_optimizer(network)
    for index in range(len(images)):
        step(loss, optimizer, run, images[index].to(dtype), labels[index])
    end = network.state_dict()
    run.final = {name: end[name].to(dtype).reshape(value.shape) for name, value in init.items()}
    return run
