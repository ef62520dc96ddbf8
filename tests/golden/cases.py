"""The specs of the golden runs, case by case."""

from typing import Any, Optional

Spec = dict[str, Any]
Layers = list[Spec]

STEPS = 5
CLASSES = 5


# ---------------------------------------------------------------------------------------------------------------------
# Specs
# ---------------------------------------------------------------------------------------------------------------------


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
    "tanh_cosine": {"magnitude": "tanh", "rho": 1.5, "train_rho": False, "angular": "cosine"},
    "tanh_trained": {"magnitude": "tanh", "rho": 0.8, "train_rho": True, "angular": "linear"},
    "product_linear": {"magnitude": "product", "angular": "linear"},
    "product_sigmoid": {"magnitude": "product", "angular": "sigmoid", "k": 0.3},
}
SQUARES: dict[str, Spec] = {  # near 0 too often for a ReLU that follows at once
    "sphere_square": {"magnitude": "sphere", "angular": "square_cosine"},
    "linear_square": {"magnitude": "linear", "angular": "square_cosine"},
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


def dropout(rate: float) -> Spec:
    return {"type": "dropout", "rate": rate}


def dropout_cases() -> dict[str, Spec]:
    feature = [FLATTEN, dropout(0.25), dense("feature", 8, SPHERE_COSINE), dropout(0.5)]
    second = [conv("conv2", 6, SPHERE_LINEAR), batch_normalisation("bn2"), RELU]
    body = unit_body("1", 4, 1)
    units = [residual("1", [*body[:3], dropout(0.5), *body[3:]], []), residual("2", [dropout(0.1), conv("c2", 4)], [])]
    return {
        "dropout_images": make_spec([dropout(0.2), *small_network(dropout(0.3), *second)], SGD, (5, 7)),
        "dropout_features": make_spec(small_network(*feature), ADAM),
        "dropout_residual": make_spec(residual_network(*units), SGD),
        "dropout_rate_0": make_spec(small_network(dropout(0.0), *second), ADAM),
    }


def stochastic_depth(rate: float) -> Spec:
    return {"type": "stochastic_depth", "rate": rate}


def stochastic_depth_cases() -> dict[str, Spec]:
    """No ReLU outside of the units: a skipped image with zeros would sit on its kink."""
    root = [conv("root", 4), batch_normalisation("root_bn")]
    first = residual("1", [*unit_body("1", 4, 1), stochastic_depth(0.3)], [])
    second = residual("2", [*unit_body("2", 6, 2), stochastic_depth(0.5)], projection("2", 6))
    end = [GLOBAL_POOL, FLATTEN, SCORE]
    return {
        "stochastic_depth_identity": make_spec([*root, first, *end], ADAM),
        "stochastic_depth_two_units": make_spec([*root, first, second, *end], SGD, (6, 8)),
    }


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
    "cosine": {"angular": "cosine"},
    "linear": {"angular": "linear"},
    "square": {"angular": "square_cosine"},
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


def sphereface2(scale: float, detach: bool = False, exponent: float = 3.0, loss_weight: float = 1.0) -> Spec:
    shape = {"scale": scale, "margin": 0.4, "exponent": exponent, "balance": 0.7}
    return {"type": "sphereface2", **shape, "loss_weight": loss_weight, "detach": detach, "epsilon": 1e-4}


def binary_losses() -> dict[str, Spec]:
    return {
        "sphereface2": sphereface2(8.0),
        "sphereface2_detached": sphereface2(8.0, detach=True, exponent=2.5, loss_weight=5.0),
        "sphereface2_cosine": sphereface2(20.0, exponent=1.0, loss_weight=2.0),
    }


def square_losses() -> dict[str, Spec]:
    return {"w_softmax_square": w_softmax("square"), "ga_softmax_square_m3": ga_softmax("square", 3)}


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
    "sphereface2_cosine",
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
    losses = {**angular_losses(), **learnable_losses(), **binary_losses(), **square_losses()}
    for index, (name, loss) in enumerate(losses.items()):
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
        "sphereface2": sphereface2(8.0),
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
    cases = {f"optimizer_{name}": make_spec(layers, optimizer) for name, optimizer in optimizers.items()}
    decay = {**REGULARIZER, "weight_decay": 0.5, "weight_decay_on": ["sphere_weights", "norm"]}
    cases["optimizer_adamw"] = make_spec(layers, {**ADAM, "type": "adamw", "learning_rate": 0.01}, regularizer=decay)
    return cases


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
        "detail_square": make_spec(plain_network(SQUARES["sphere_square"], "batch"), SGD),
        "detail_square_linear": make_spec(plain_network(SQUARES["linear_square"], "both"), ADAM),
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
        **dropout_cases(),
        **stochastic_depth_cases(),
        **loss_cases(),
        **angular_loss_cases(),
        **aligned_cases(),
        **optimizer_cases(),
        **regularizer_cases(),
        **norm_cases(),
        **operator_detail_cases(),
    }
