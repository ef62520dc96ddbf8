#!/usr/bin/env python3
"""Networks of every row, trained for some steps by the program: tools/spherenet_torch.py makes the same of real images.

    tests/torch/compare.py [WORD]    cases whose names begin with WORD

Prints a row a case: the largest difference of a logit, of a feature and of the loss, relative to the largest logit and
feature and to 1 + loss. The images are Fashion-MNIST's, and CIFAR's where SPHERENET_TEST_DATA names a folder with
cifar10-mini. Then the way there and back: a network that spherenet has trained is tuned here, and evaluated by both.
SPHERENET names the program. Needs PyTorch and PyYAML.
"""

import csv
import gzip
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Callable

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tools"))
sys.dont_write_bytecode = True

import torch
from torch import Tensor

from spherenet_torch import Loss, Network, load, make_optimizer, save

PROGRAM = os.environ.get("SPHERENET") or str(ROOT / "spherenet")
FASHION = Path("/usr/share/datasets/fashion-mnist")
CIFAR = Path(os.environ.get("SPHERENET_TEST_DATA", "")) / "cifar10-mini"
IMAGES, TRAINED, CLASSES = 200, 400, 10
TOLERANCE = 1e-5
FEATURE_TOLERANCE = 2e-5  # six digits are written
LOSS_TOLERANCE = 1e-5


# ---------------------------------------------------------------------------------------------------------------------
# Cases: the spec from the network on, in YAML
# ---------------------------------------------------------------------------------------------------------------------

MAGNITUDES = {"product": "", "sphere": "", "linear": "", "tanh": ", rho: 2, train_rho: true"}
ANGULARS = {
    "cosine": "",
    "square_cosine": "",
    "linear": "",
    "sigmoid": ", k: 0.2",
    "learnable_sigmoid": ", initial_k: 0.4",
}
LAYERS = """network:
  layers:
    - {{type: conv, name: root, filters: 6, stride: 2, padding: 1}}
    - {{type: sphere_conv, name: conv1, filters: 8, padding: 1, bias: true, operator: {operator}}}
    - batch_norm
    - relu
    - {{type: max_pool, kernel: 3, padding: 1}}
    - {{type: sphere_conv, filters: 8, operator: {operator}}}
    - {{type: sphere_norm, name: a.norm.of.dots}}
    - {{type: dense, units: 12, operator: {operator}}}
    - {{type: dense, name: score, units: 10, bias: {bias}, operator: {classifier}}}
loss: {loss}
"""
EVERY_LAYER = """network:
  layers:
    - {type: dropout, rate: 0.1}
    - {type: conv, name: features, filters: 8, kernel: 5, stride: 2, padding: 2, bias: true}
    - relu
    - {type: sphere_norm, trained: false}
    - type: residual
      name: unit
      body:
        - relu
        - {type: sphere_conv, name: weight.in, filters: 8, padding: 1}
        - batch_norm
        - {type: residual, body: [relu, {type: sphere_conv, filters: 8, padding: 1}], shortcut: [{type: batch_norm}]}
        - {type: stochastic_depth, rate: 0.2}
    - {type: avg_pool, kernel: 3, stride: 2}
    - {type: sphere_conv, name: weight, filters: 12, kernel: 1}
    - {type: batch_norm, debias: false, epsilon: 0.01}
    - {type: avg_pool, global: true}
    - {type: residual, body: [flatten, {type: dense, units: 12, bias: false}]}
    - {type: dropout, rate: 0.3}
    - flatten
    - {type: dense, units: 10}
"""
NO_CLASSIFIER = """network:
  layers:
    - {type: conv, filters: 8, stride: 4}
    - relu
    - {type: conv, filters: 5, kernel: 5}
    - batch_norm
    - {type: avg_pool, kernel: 3, stride: 3}
    - {type: conv, filters: 10, kernel: 1}
    - flatten
    - relu
"""


def operator(magnitude: str, angular: str) -> str:
    return f"{{magnitude: {magnitude}, angular: {angular}, epsilon: 1e-3{MAGNITUDES[magnitude]}{ANGULARS[angular]}}}"


def operator_cases() -> dict[str, str]:
    cases = {}
    for magnitude in MAGNITUDES:
        for angular in ANGULARS:
            own, plain = operator(magnitude, angular), operator("product", "cosine")
            names = {"loss": "softmax", "bias": "true"}
            cases[f"operator {magnitude} {angular}"] = LAYERS.format(operator=own, classifier=plain, **names)
            cases[f"classifier {magnitude} {angular}"] = LAYERS.format(operator=plain, classifier=own, **names)
    return cases


def loss_cases() -> dict[str, str]:
    angular = {
        f"{kind} {name}": f"{{type: {kind}, angular: {name}{keys}}}"
        for kind in ("w_softmax", "ga_softmax")
        for name, keys in ANGULARS.items()
    }
    losses = {
        "softmax smoothed": "{type: softmax, label_smoothing: 0.1, probability_floor: 0.01}",
        **angular,
        "w_softmax smoothed": "{type: w_softmax, angular: linear, label_smoothing: 0.1, probability_floor: 0.01}",
        "ga_softmax shared k": "{type: ga_softmax, angular: learnable_sigmoid, k_shared: layer, margin: 2}",
        "a_softmax": "{type: a_softmax, annealing: {base: 5, minimum: 0}}",
        "cosface": "{type: cosface, scale: 16}",
        "arcface": "{type: arcface, scale: 16}",
        "sphereface2": "sphereface2",
        "sphereface2 detached": "{type: sphereface2, scale: 20, exponent: 2.5, loss_weight: 50, detach: true}",
    }
    sphere = operator("sphere", "linear")
    fixed = {"operator": sphere, "classifier": "{epsilon: 1e-3}", "bias": "false"}
    cases = {f"loss {name}": LAYERS.format(loss=loss, **fixed) for name, loss in losses.items()}
    alone = "network: {type: layers, layers: [{type: dense, units: 10, bias: false}]}\nloss: "
    return {**cases, "loss arcface alone": alone + "{type: arcface, scale: 8}\n"}


def family_cases() -> dict[str, str]:
    small = "widths: [4, 6, 8]"
    learnable = "operator: {angular: learnable_sigmoid, k_shared: layer}"
    networks = {
        "plain": f"{{type: plain, depth: 6, {small}, features: 12}}",
        "plain sphere_norm": f"{{type: plain, depth: 3, {small}, features: 0, normalization: sphere_norm, "
        "train_sphere_norm: false}",
        "plain both": f"{{type: plain, depth: 3, {small}, features: 9, normalize_features: true, normalization: both, "
        f"bias: true, classifier_bias: true, {learnable}}}",
        "plain none": f"{{type: plain, depth: 3, {small}, normalization: none, activation: none}}",
        "plain ordinary": f"{{type: plain, depth: 3, {small}, operator: {{magnitude: product}}, bias: true, "
        "classifier_operator: {magnitude: linear, angular: linear}}",
        "resnet": f"{{type: resnet, depth: 14, {small}, normalization: both, {learnable}}}",
        "imagenet_plain": "{type: imagenet_plain, widths: [4, 6, 8, 10], operator: {angular: sigmoid}}",
        "imagenet_resnet": "{type: imagenet_resnet, widths: [16, 16, 24, 24], classifier_bias: true, "
        "batch_norm: {decay: 0.5}}",
    }
    cases = {f"family {name}": f"network: {network}\n" for name, network in networks.items()}
    return {**cases, "layers, every one": EVERY_LAYER, "layers, no classifier": NO_CLASSIFIER}


def all_cases() -> dict[str, str]:
    return {**operator_cases(), **loss_cases(), **family_cases()}


def check_rows() -> None:
    """That there is a case of all that the program has."""
    words = set(re.findall(r"\w+", " ".join(all_cases().values())))
    for kind in ("operators", "layers", "losses", "networks"):
        missing = [row for row in re.findall(r"^  (\w+) ", spherenet("list", kind), re.MULTILINE) if row not in words]
        if missing:
            sys.exit(f"no case has one of the {kind}: {' '.join(missing)}")


# ---------------------------------------------------------------------------------------------------------------------
# Both programs
# ---------------------------------------------------------------------------------------------------------------------


def spherenet(*arguments: str) -> str:
    done = subprocess.run([PROGRAM, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(arguments)}: {done.stdout}")
    return done.stdout


def fashion_images() -> tuple[Tensor, Tensor]:
    pixels = gzip.decompress((FASHION / "t10k-images-idx3-ubyte.gz").read_bytes())[16:]
    labels = gzip.decompress((FASHION / "t10k-labels-idx1-ubyte.gz").read_bytes())[8:]
    images = torch.frombuffer(bytearray(pixels), dtype=torch.uint8).view(-1, 28, 28, 1)
    return images, torch.frombuffer(bytearray(labels), dtype=torch.uint8).long()


def cifar_images() -> tuple[Tensor, Tensor]:
    records = torch.frombuffer(bytearray((CIFAR / "test_batch.bin").read_bytes()), dtype=torch.uint8).view(-1, 3073)
    return records[:, 1:].reshape(-1, 3, 32, 32).movedim(1, -1).contiguous(), records[:, 0].long()


def all_images() -> dict[str, tuple[str, tuple[Tensor, Tensor]]]:
    """The spec's data beside the images and labels of its test."""
    images = {"fashion": ("type: fashion_mnist", fashion_images())}
    if CIFAR.is_dir():
        images["cifar"] = (f"type: cifar10, path: {CIFAR}, standardize: true", cifar_images())
    return images


def train(data: str, rest: str) -> None:
    Path("spec.yaml").write_text(
        f"name: net\ndata: {{{data}, train_limit: {TRAINED}, test_limit: {IMAGES}}}\n{rest}"
        "optimizer: {type: adam, learning_rate: 3e-3}\ntrain: {iterations: 8, batch_size: 40}\n"
    )
    spherenet("train", "spec.yaml", "--overwrite", "--quiet")


def columns(table: list[dict[str, str]], letter: str) -> Tensor:
    names = [name for name in table[0] if name[0] == letter and name[1:].isdigit()]
    return torch.tensor([[float(row[name]) for name in names] for row in table])


def relative(ours: Tensor, theirs: Tensor) -> float:
    return float((ours - theirs).abs().max() / theirs.abs().max())


def evaluated_loss() -> float:
    with open("runs/net/eval.csv") as file:
        return float(list(csv.DictReader(file))[-1]["loss"])


@torch.no_grad()
def differences(images: Tensor, labels: Tensor) -> dict[str, float]:
    """How far the two are apart, of the run that was just trained."""
    network = load("runs/net")
    x, found = network.preprocess(images[:IMAGES]), {}
    loss, expected = float(Loss(network).eval()(x, labels[:IMAGES])), evaluated_loss()
    found["loss"] = abs(loss - expected) / (1 + expected)
    if network.last["type"] == "dense":
        spherenet("features", "runs/net", "--logits", "--out", "features.csv")
        with open("features.csv") as file:
            table = list(csv.DictReader(file))
        assert [int(row["label"]) for row in table] == labels[:IMAGES].tolist()
        found["feature"] = relative(network.features(x), columns(table, "f"))
        found["logit"] = relative(network(x), columns(table, "l"))
    return found


def compare(name: str, data: str, rest: str, test: tuple[Tensor, Tensor]) -> bool:
    train(data, rest)
    found = differences(*test)
    limits = {"logit": TOLERANCE, "feature": FEATURE_TOLERANCE, "loss": LOSS_TOLERANCE}
    good = all(value <= limits[kind] for kind, value in found.items())
    row = "  ".join(f"{kind} {found[kind]:.1e}" if kind in found else " " * (len(kind) + 8) for kind in limits)
    print(f"{name:44s} {row}{'' if good else '  DIFFERENT'}", flush=True)
    return good


# ---------------------------------------------------------------------------------------------------------------------
# There and back
# ---------------------------------------------------------------------------------------------------------------------

TUNED = """network: {type: resnet, depth: 8, widths: [8, 12, 16], normalization: both}
loss: {type: ga_softmax, angular: sigmoid, margin: 2, annealing: {base: 10, minimum: 1}}
"""
STEPS, BATCH = 20, 40
SLOW = [
    "--set",
    "optimizer.learning_rate=1e-12",
    "--set",
    "network.batch_norm={decay: 0.999999, debias: false}",
]  # leaves all as it is


def accuracy_of(output: str) -> float:
    return float(output.split("accuracy ")[-1].split()[0].rstrip(","))


@torch.no_grad()
def accuracy(network: Network, images: Tensor, labels: Tensor) -> float:
    logits = network.eval()(network.preprocess(images[:IMAGES]))
    return round(float((logits.argmax(1) == labels[:IMAGES]).double().mean()), 4)


def tune(network: Network, images: Tensor, labels: Tensor) -> None:
    loss, optimizer = Loss(network.train()), make_optimizer(network)
    for first in range(IMAGES, IMAGES + STEPS * BATCH, BATCH):
        x = network.preprocess(images[first : first + BATCH])
        optimizer.zero_grad()
        (loss(x, labels[first : first + BATCH]) + loss.penalty()).backward()
        optimizer.step()


def save_with_safetensors(network: Network, path: str) -> None:
    from safetensors.torch import save_file

    save_file(network.state_dict(), path, metadata=network.metadata)


def there_and_back(data: str, test: tuple[Tensor, Tensor]) -> bool:
    """Tuned here, evaluated there: as a checkpoint, and as what a run begins with."""
    train(data, TUNED)
    network = load("runs/net", which="best")
    before = accuracy(network, *test)
    tune(network, *test)
    after, good = accuracy(network, *test), True
    writers: dict[str, Callable[[Network, str], Any]] = {"save": save, "safetensors": save_with_safetensors}
    for name, write in writers.items():
        try:
            write(network, f"{name}.safetensors")
        except ImportError:
            print(f"there and back, {name}: skipped: there is no Python package safetensors")
            continue
        found = accuracy_of(spherenet("eval", f"{name}.safetensors", "--out", "."))
        begun = ["--set", f"train.init_from={name}.safetensors", "--set", "train.iterations=1", "--overwrite"]
        again = accuracy_of(spherenet("train", "spec.yaml", "--set", "name=back", *begun, *SLOW))
        good = good and before != after == found == again
        print(f"there and back, {name}: accuracy {before}, tuned {after}; eval says {found}, a run from it {again}")
    return good


def main() -> None:
    torch.set_num_threads(2)
    word, good = sys.argv[1] if len(sys.argv) > 1 else "", True
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        images = all_images()
        check_rows()
        for number, (name, rest) in enumerate(all_cases().items()):
            data, test = list(images.values())[number % len(images)]
            if name.startswith(word):
                good = compare(name, data, rest, test) and good
        if "there and back".startswith(word):
            for data, test in images.values():
                good = there_and_back(data, test) and good
        os.chdir("/")
    sys.exit(not good)


if __name__ == "__main__":
    main()
