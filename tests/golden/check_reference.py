"""Checks of tools/spherenet_torch.py: values and gradients against definitions written once more, in other ways."""

import math
from functools import partial
from typing import Callable, Optional

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cases import (
    ACTIVATIONS,
    CLASSES,
    NO_ANNEALING,
    OPERATORS,
    SPHEREFACE_ANNEALING,
    SQUARES,
    a_softmax,
    additive,
    angular_losses,
    batch_normalisation,
    ga_softmax,
    sphereface2,
    square_losses,
    w_softmax,
)
from draw import initial_norm
from spherenet_torch import (
    BatchNorm,
    Spec,
    Tensors,
    angular_loss,
    annealing_factor,
    cosines,
    moved_cosine,
    operate,
    plain_logits,
    psi,
    softmax_loss,
    sphereface2_loss,
)


def sigmoid_of_the_paper(theta: Tensor, k: Tensor) -> Tensor:
    """The paper's own form of the sigmoid activation; overflows for small k."""
    edge = torch.exp(-math.pi / (2 * k))
    falling = torch.exp(theta / k - math.pi / (2 * k))
    return (1 + edge) / (1 - edge) * (1 - falling) / (1 + falling)


def convolve_by_patches(
    operator: Spec, x: Tensor, weight: Tensor, k: Optional[Tensor], rho: Optional[Tensor], stride: int, padding: int
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
        "square_cosine": lambda: torch.sign(math.pi / 2 - theta) * torch.cos(theta) ** 2,
        "linear": lambda: -theta / (math.pi / 2) + 1,
        "sigmoid": lambda: sigmoid_of_the_paper(theta, torch.tensor(operator["k"], dtype=x.dtype)),
        "learnable_sigmoid": lambda: sigmoid_of_the_paper(theta, (k.abs() + operator["k_offset"]).view(1, -1, 1)),
    }
    length = operator.get("rho", 1.0) if rho is None else rho.abs() + 1e-4
    bounded = 1 - 2 / (torch.exp(2 * norm_x / length) + 1)
    scales = {"sphere": 1.0, "linear": norm_x, "product": norm_x * norm_w, "tanh": bounded}
    y = scales[operator["magnitude"]] * activations[operator["angular"]]()
    height = (x.shape[2] + 2 * padding - weight.shape[2]) // stride + 1
    return y.unflatten(2, (height, -1))


def convolve(
    operator: Spec,
    x: Tensor,
    weight: Tensor,
    k: Optional[Tensor],
    stride: int = 1,
    padding: int = 0,
    rho: Optional[Tensor] = None,
) -> Tensor:
    trained = k if operator["angular"] == "learnable_sigmoid" else None
    return operate(operator, partial(F.conv2d, stride=stride, padding=padding), x, weight, trained, rho)


def check_operator(operator: Spec, rng: np.random.RandomState) -> None:
    """Values and gradients of `operate` against the patch form and against finite differences."""
    x = torch.from_numpy(0.7 * rng.standard_normal([2, 2, 5, 6])).requires_grad_()
    weight = torch.from_numpy(0.4 * rng.standard_normal([3, 2, 3, 3])).requires_grad_()
    k = torch.from_numpy(np.array([0.7, -0.5, 0.3])).requires_grad_()
    rho = torch.tensor([-0.7], dtype=torch.float64, requires_grad=True) if operator.get("train_rho", False) else None
    inputs = [x, weight, k] if operator["angular"] == "learnable_sigmoid" else [x, weight]
    inputs += [] if rho is None else [rho]
    exact = operator["magnitude"] == "product" and operator["angular"] == "cosine"
    by_patches = {**operator, "epsilon": 0.0} if exact else operator
    for stride, padding in ((1, 1), (2, 0)):
        y = convolve(operator, x, weight, k, stride, padding, rho=rho)
        independent = convolve_by_patches(by_patches, x, weight, k, rho, stride, padding)
        torch.testing.assert_close(y, independent, rtol=1e-11, atol=1e-12)
        upstream = torch.from_numpy(rng.standard_normal(y.shape))
        gradients = zip(torch.autograd.grad(y, inputs, upstream), torch.autograd.grad(independent, inputs, upstream))
        for ours, other in gradients:
            torch.testing.assert_close(ours, other, rtol=1e-9, atol=1e-10)
        assert torch.autograd.gradcheck(lambda *t: convolve(operator, t[0], t[1], k, stride, padding, rho=rho), inputs[:2])
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
    norm = BatchNorm(layer, {name[len("bn.") :]: value for name, value in tensors.items()})
    for _ in range(3):
        torch.testing.assert_close(norm(x), own(x))
    count = x.numel() / 3
    torch.testing.assert_close(norm.running_mean, own.running_mean)
    torch.testing.assert_close(norm.running_var, own.running_var * (count - 1) / count)
    own.running_var.copy_(norm.running_var)
    torch.testing.assert_close(norm.eval()(x), own.eval()(x))


def check_softmax(rng: np.random.RandomState) -> None:
    logits = torch.from_numpy(rng.standard_normal([7, CLASSES]))
    labels = torch.from_numpy(rng.randint(0, CLASSES, 7))
    own = F.cross_entropy(logits, labels, label_smoothing=0.2)
    loss = {"label_smoothing": 0.2, "probability_floor": 0.0}
    torch.testing.assert_close(softmax_loss(loss, logits, labels), own)


def g_by_definition(activation: Spec, theta: Tensor) -> Tensor:
    if activation["angular"] == "cosine":
        return torch.cos(theta)
    if activation["angular"] == "square_cosine":
        return torch.sign(math.pi / 2 - theta) * torch.cos(theta) ** 2
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
        angular, k = activation["angular"], theta.new_tensor(activation.get("k", 1))
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
        return angular_loss(loss, *cosines(features, classes, loss["epsilon"]), labels, iteration)

    for loss in {**angular_losses(), **square_losses()}.values():
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
        torch.testing.assert_close(plain_logits(w_softmax(name), *cosines(x, weight, 1e-4)), scores)
        torch.testing.assert_close(ours(ga_softmax(name, 1), 1), own)
    torch.testing.assert_close(ours(additive("cosface", 4.0, 0.0), 1), ours(additive("arcface", 4.0, 0.0), 1))


def sphereface2_of(loss: Spec, labels: Tensor, cosine: Tensor, bias: Tensor) -> Tensor:
    return sphereface2_loss(loss, cosine, labels, bias, loss["margin"])


def check_sphereface2(rng: np.random.RandomState) -> None:
    """Against PyTorch's binary cross entropy, weighted as the authors' code does it, and finite differences."""
    cosine = torch.from_numpy(rng.uniform(-0.9, 0.9, [12, CLASSES])).requires_grad_()
    bias = torch.tensor([0.3], dtype=torch.float64).requires_grad_()
    labels = torch.from_numpy(rng.randint(0, CLASSES, 12))
    own = F.one_hot(labels, CLASSES).double()
    weight = 0.7 * own + 0.3 * (1 - own)
    for scale, exponent, loss_weight in ((8.0, 3.0, 1.0), (40.0, 1.0, 50.0)):
        loss = sphereface2(scale, exponent=exponent, loss_weight=loss_weight)
        adjusted = 2 * ((cosine + 1) / 2) ** exponent - 1
        logits = scale * (adjusted - 0.4 * (2 * own - 1)) + bias
        weights = loss_weight * CLASSES / scale * weight
        expected = F.binary_cross_entropy_with_logits(logits, own, weight=weights)
        found = sphereface2_of(loss, labels, cosine, bias)
        torch.testing.assert_close(found, expected)
        assert torch.autograd.gradcheck(partial(sphereface2_of, loss, labels), [cosine, bias])
        detached = sphereface2_of({**loss, "detach": True}, labels, cosine, bias)
        torch.testing.assert_close(detached, found)
        plain, own_slope = (torch.autograd.grad(value, cosine)[0] for value in (found, detached))
        torch.testing.assert_close(plain, own_slope * exponent * ((cosine + 1) / 2) ** (exponent - 1))


def check_annealing() -> None:
    factors = [annealing_factor(SPHEREFACE_ANNEALING, iteration) for iteration in (1, 10, 10000)]
    np.testing.assert_allclose(factors, [1000 / 1.12, 1000 / 2.2, 5.0])
    assert annealing_factor(NO_ANNEALING, 1) == 0


def check_reference() -> None:
    rng = np.random.RandomState(20)
    for operator in (*OPERATORS.values(), *SQUARES.values()):
        check_operator({"epsilon": 1e-4, **operator}, rng)
    check_batch_norm(rng)
    check_softmax(rng)
    check_psi()
    check_annealing()
    check_angular_losses(rng)
    check_sphereface2(rng)
