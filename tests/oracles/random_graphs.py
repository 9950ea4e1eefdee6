"""Small random Keras models: chains and branches of all layers that the deconvnet mirrors.

`draw_graph(seed)` gives the same model for the same seed. A model is a chain of pieces; a piece is
one layer, a branch, a layer or model called twice, or a model inside the model. Weights,
statistics and images are continuous, so that only ReLU makes ties.
"""

import re
from typing import NamedTuple

import keras
import numpy as np
from keras import layers, ops

from kerasvis.layers import LocalResponseNormalization

MAX_SIZE = 20
MAX_CHANNELS = 8


class RandomGraph(NamedTuple):
    """A model, the names of its calls that may be targets (in order), and images.

    With gates it is projected by the relaxed rules, or derived.
    """

    model: keras.Model
    targets: tuple[str, ...]
    images: np.ndarray
    has_gates: bool


def draw_graph(seed, num_images=2):
    """Draws a model and images for it."""
    rng = np.random.default_rng(seed)
    drawing = _Drawing(rng)
    size = rng.integers(8, 18, 2)
    inputs = keras.Input((*map(int, size), int(rng.integers(1, 5))), name="images")
    x = drawing.pieces(inputs, rng.integers(4, 11))
    if drawing.chance(0.5):
        x = drawing.head(x)
    model = keras.Model(inputs, x, name="convnet")
    randomize_weights(model, rng)
    images = rng.normal(size=(num_images, *inputs.shape[1:])).astype("float32")
    has_gates = any(name.startswith("gated") for name in layer_names(model))
    return RandomGraph(model, tuple(drawing.targets), images, has_gates)


def layer_names(model):
    """The names of all layers, nested ones included."""
    return [layer.name for layer in model._flatten_layers()]


def randomize_weights(model, rng):
    """Weights as large as keep activations alive, biases, and batch-norm statistics."""
    for variable in model.weights:
        if "float" in variable.dtype:  # a table of positions has whole numbers
            variable.assign(_random_weight(variable, rng))


def _random_weight(variable, rng):
    shape, name = tuple(variable.shape), variable.path.split("/")[-1]
    if name == "gamma":
        return rng.uniform(0.5, 1.5, shape) * rng.choice([-1, 1, 1], shape)
    if name == "moving_variance":
        return rng.uniform(0.5, 2.0, shape)
    if len(shape) < 2:
        return 0.2 * rng.normal(size=shape)
    fan_in = np.prod(shape[:2]) if "depthwise" in name else np.prod(shape[:-1])
    return rng.normal(size=shape) * 1.5 / np.sqrt(fan_in)


class _Drawing:
    """The random choices, and the names given so far."""

    def __init__(self, rng, prefix="", targets=None, is_nested=False):
        self.rng = rng
        self.prefix = prefix
        self.targets = [] if targets is None else targets
        self.is_nested = is_nested
        self.num_names = 0

    def chance(self, probability):
        return self.rng.random() < probability

    def choice(self, options):
        return options[self.rng.integers(len(options))]

    def name(self, kind):
        self.num_names += 1
        kind = re.sub("(?<=[a-z])(?=[A-Z])", "_", kind.__name__).lower()
        return f"{kind}_no{self.num_names}"  # Keras gives operations names such as multiply_1

    def make(self, kind, *args, **kwargs):
        return kind(*args, **kwargs, name=self.name(kind))

    def call(self, kind, x, *args, **kwargs):
        """Adds one layer; it may be a target."""
        layer = self.make(kind, *args, **kwargs)
        self.targets.append(self.prefix + layer.name)
        return layer(x)

    def pieces(self, x, number):
        """A chain of so many pieces."""
        for _ in range(number):
            x = self.choice(PIECES)(self, x)
        return x

    def head(self, x):
        """From maps to scores."""
        pooling = self.choice(
            [layers.Flatten, layers.GlobalAveragePooling2D, layers.GlobalMaxPooling2D]
        )
        x = self.call(pooling, x)
        if self.chance(0.6):
            x = self.call(layers.Dense, x, 5, activation="relu", use_bias=self.chance(0.7))
            x = self.choice([_pass, _batch_normalization, _dropout])(self, x)
        activation = self.choice([None, "softmax", "sigmoid", "relu"])
        return self.call(layers.Dense, x, 4, activation=activation)

    # Arguments of layers

    def window(self, x, largest=3):
        return tuple(int(self.rng.integers(1, min(largest, n) + 1)) for n in x.shape[1:3])

    def padding(self):
        return self.choice(["valid", "same"])

    def filters(self):
        return int(self.rng.integers(1, 7))

    def strides_or_dilation(self, kernel_size, x, equal=False):
        """Keras takes strides or a dilation rate above 1, not both."""
        rate = (
            (self.choice([1, 2]),) * 2 if equal else (self.choice([1, 2]), self.choice([1, 2, 3]))
        )
        if self.chance(0.4):
            return {"strides": rate}
        reach = [(k - 1) * r + 1 for k, r in zip(kernel_size, rate, strict=True)]
        if self.chance(0.4) and all(r <= n for r, n in zip(reach, x.shape[1:3], strict=True)):
            return {"dilation_rate": rate}
        return {}


def _pass(_, x):
    return x


# Filtering, each with or without bias and with a fused, separate or no ReLU


def _convolution(drawing, x, **fixed):
    kernel_size = drawing.window(x)
    groups = drawing.choice([n for n in (1, 2, 3) if x.shape[-1] % n == 0])
    arguments = {
        "filters": groups * int(drawing.rng.integers(1, 1 + 6 // groups)),
        "kernel_size": kernel_size,
        "padding": drawing.padding(),
        "groups": groups,
        **drawing.strides_or_dilation(kernel_size, x),
        **fixed,
    }
    return _with_relu(drawing, layers.Conv2D, x, **arguments)


def _same_size_convolution(drawing, x, filters=None):
    return _convolution(
        drawing,
        x,
        filters=filters or x.shape[-1],
        groups=1,
        padding="same",
        strides=1,
        dilation_rate=1,
    )


def _depthwise_convolution(drawing, x):
    return _with_relu(
        drawing,
        layers.DepthwiseConv2D,
        x,
        kernel_size=(kernel_size := drawing.window(x)),
        depth_multiplier=1 if x.shape[-1] * 2 > MAX_CHANNELS else drawing.choice([1, 2]),
        padding=drawing.padding(),
        **drawing.strides_or_dilation(kernel_size, x, equal=True),
    )


def _separable_convolution(drawing, x):
    return _with_relu(
        drawing,
        layers.SeparableConv2D,
        x,
        filters=drawing.filters(),
        kernel_size=(kernel_size := drawing.window(x)),
        depth_multiplier=drawing.choice([1, 2]),
        padding=drawing.padding(),
        **drawing.strides_or_dilation(kernel_size, x, equal=True),
    )


def _transposed_convolution(drawing, x):
    strides = (drawing.choice([1, 2]), drawing.choice([1, 2, 3]))
    if max(x.shape[1:3]) * 3 > MAX_SIZE:
        strides = (1, 1)
    return _with_relu(
        drawing,
        layers.Conv2DTranspose,
        x,
        filters=drawing.filters(),
        kernel_size=drawing.window(x),
        strides=strides,
        padding=drawing.padding(),
    )


def _with_relu(drawing, kind, x, **arguments):
    use_bias = drawing.chance(0.7)
    relu = drawing.choice(["fused", "fused", "fused relu6", "layer", None])
    fused = {"fused": "relu", "fused relu6": "relu6"}.get(relu)
    x = drawing.call(kind, x, use_bias=use_bias, activation=fused, **arguments)
    return _relu(drawing, x) if relu == "layer" else x


def _relu(drawing, x):
    kind, arguments = drawing.choice(
        [
            (layers.ReLU, {}),
            (layers.ReLU, {"max_value": 0.8}),
            (layers.Activation, {"activation": "relu"}),
            (layers.Activation, {"activation": "relu6"}),
            (layers.Activation, {"activation": "linear"}),
        ]
    )
    return drawing.call(kind, x, **arguments)


# Pooling


def _max_pooling(drawing, x):
    return _pooling(drawing, layers.MaxPooling2D, x)


def _average_pooling(drawing, x):
    return _pooling(drawing, layers.AveragePooling2D, x)


def _pooling(drawing, kind, x):
    strides = drawing.choice([None, 1, 2, (2, 1), (1, 3)])
    return drawing.call(kind, x, drawing.window(x), strides, drawing.padding())


# Scaling


def _batch_normalization(drawing, x):
    center, scale = drawing.chance(0.8), drawing.chance(0.8)
    return drawing.call(layers.BatchNormalization, x, center=center, scale=scale)


def _contrast_normalization(drawing, x):
    radius = drawing.choice([0, 1, 2])
    return drawing.call(LocalResponseNormalization, x, radius, bias=2.0, alpha=0.05)


def _rescaling(drawing, x):
    scales = drawing.rng.uniform(0.5, 2, x.shape[-1]).tolist()
    return drawing.call(layers.Rescaling, x, drawing.choice([0.5, -1.5, scales]), offset=0.1)


def _normalization(drawing, x):
    mean, variance = drawing.rng.uniform(0.3, 1.5, (2, x.shape[-1])).tolist()
    return drawing.call(layers.Normalization, x, mean=mean, variance=variance)


def _multiplication_by_a_constant(drawing, x):
    rows, columns, channels = x.shape[1:]
    shape = drawing.choice([(1, 1, 1, channels), (1, rows, columns, 1), (1, rows, 1, channels)])
    factors = drawing.rng.normal(size=shape).astype("float32")
    return drawing.call(layers.Multiply, [x, factors])


# Layers that move cells about, and those that do nothing at inference


def _zero_padding(drawing, x):
    if max(x.shape[1:3]) > MAX_SIZE:
        return x
    return drawing.call(layers.ZeroPadding2D, x, drawing.choice([1, ((2, 0), (1, 3))]))


def _cropping(drawing, x):
    if min(x.shape[1:3]) < 5:
        return x
    return drawing.call(layers.Cropping2D, x, drawing.choice([1, ((2, 0), (1, 3))]))


def _upsampling(drawing, x):
    if max(x.shape[1:3]) * 3 > 2 * MAX_SIZE:
        return x
    interpolation = drawing.choice(["nearest", "bilinear"])
    size = drawing.choice([2, (3, 2), (1, 2)])
    return drawing.call(layers.UpSampling2D, x, size, interpolation=interpolation)


def _permutation(drawing, x):
    dims = drawing.choice([(2, 1, 3), (1, 3, 2), (3, 1, 2)])
    if max(x.shape[dim] for dim in dims[2:]) > MAX_CHANNELS:
        dims = (2, 1, 3)
    return drawing.call(layers.Permute, x, dims)


def _reshaping(drawing, x):
    rows, columns, channels = x.shape[1:]
    return drawing.call(layers.Reshape, x, (columns, rows, channels))


def _dropout(drawing, x):
    kinds = [layers.Dropout, layers.GaussianNoise, layers.GaussianDropout]
    if len(x.shape) == 4:
        kinds += [layers.SpatialDropout2D, layers.RandomFlip]
    kind = drawing.choice(kinds)
    return drawing.call(kind, x) if kind is layers.RandomFlip else drawing.call(kind, x, 0.4)


# Branches


def _sum(drawing, x):
    branches = [_same_size_convolution(drawing, x) for _ in range(drawing.choice([1, 2]))]
    return drawing.call(layers.Add, [*branches, x])


def _sum_with_broadcast(drawing, x):
    pooling = drawing.choice([layers.GlobalAveragePooling2D, layers.GlobalMaxPooling2D])
    vector = drawing.make(pooling, keepdims=True)(x)
    return drawing.call(layers.Add, [x, vector] if drawing.chance(0.5) else [vector, x])


def _difference(drawing, x):
    branch = _same_size_convolution(drawing, x)
    return drawing.call(layers.Subtract, [x, branch] if drawing.chance(0.5) else [branch, x])


def _mean(drawing, x):
    branches = [_same_size_convolution(drawing, x) for _ in range(2)]
    return drawing.call(layers.Average, [x, *branches] if drawing.chance(0.5) else branches)


def _concatenation(drawing, x):
    if drawing.chance(0.3) and x.shape[1] < MAX_SIZE // 2:
        return drawing.call(layers.Concatenate, [x, _same_size_convolution(drawing, x)], axis=1)
    if x.shape[-1] > MAX_CHANNELS // 2:
        return _mean(drawing, x)
    branches = [_same_size_convolution(drawing, x, filters=n) for n in (1, 3)]
    return drawing.call(layers.Concatenate, [branches[0], x, branches[1]])


def _extreme(drawing, x):
    """The larger or smaller of two tensors, as a layer or an operation."""
    branch = _same_size_convolution(drawing, x)
    if drawing.chance(0.5):
        kind = drawing.choice([layers.Maximum, layers.Minimum])
        return drawing.call(kind, [x, branch] if drawing.chance(0.5) else [branch, x, x * 0.5])
    return drawing.choice([ops.maximum, ops.minimum])(branch, x)


def _gate(drawing, x):
    """Squeeze and excitation, or a gate for each position; the gate first or last."""
    channels = x.shape[-1]
    if drawing.chance(0.6):
        gate = drawing.make(layers.GlobalAveragePooling2D, keepdims=True)(x)
    else:
        gate = x
    filters = channels if drawing.chance(0.7) else 1
    gate = drawing.make(layers.Conv2D, filters, 1, activation="sigmoid")(gate)
    drawing.num_names += 1
    name = f"gated_{drawing.num_names}"
    drawing.targets.append(drawing.prefix + name)
    return layers.Multiply(name=name)([x, gate] if drawing.chance(0.5) else [gate, x])


# Operations, as users write them without layers


def _arithmetic(drawing, x):
    factors = drawing.rng.uniform(0.5, 2, x.shape[-1]).astype("float32")
    return drawing.choice(
        [
            lambda x: x / 1.7,
            lambda x: x * 2 - 0.3,
            lambda x: 0.4 - x,
            lambda x: (x - factors) / (factors + 1),
            lambda x: ops.multiply(factors, x),
            lambda x: x + ops.mean(x, axis=(1, 2), keepdims=True),
        ]
    )(x)


def _relu_operation(drawing, x):
    return drawing.choice([ops.relu, ops.relu6, lambda x: ops.maximum(x, 0.0)])(x)


def _moving_operation(drawing, x):
    rows, columns, channels = x.shape[1:]
    half = max(channels // 2, 1)
    moves = [
        lambda x: x[..., ::-1],
        lambda x: ops.flip(x, axis=2),
        lambda x: ops.roll(x, 1, axis=1),
        lambda x: ops.transpose(x, (0, 2, 1, 3)),
        lambda x: ops.concatenate(ops.split(x, [half], axis=-1)[::-1], axis=-1),
        lambda x: ops.reshape(x, (-1, columns, rows, channels)),
    ]
    if max(rows, columns) < MAX_SIZE:
        moves.append(lambda x: ops.pad(x, [(0, 0), (1, 0), (0, 2), (0, 0)]))
    if min(rows, columns) > 5:
        moves.append(lambda x: x[:, 1:-1, : columns - 2])
    if channels * 2 <= MAX_CHANNELS:
        moves.append(lambda x: ops.repeat(x, 2, axis=-1))
    return drawing.choice(moves)(x)


def _resizing(drawing, x):
    size = [
        int(drawing.rng.integers(max(3, min(n - 4, MAX_SIZE)), min(n + 5, MAX_SIZE) + 1))
        for n in x.shape[1:3]
    ]
    interpolation = drawing.choice(["nearest", "bilinear", "bicubic"])
    if drawing.chance(0.5):
        return drawing.call(layers.Resizing, x, *size, interpolation=interpolation)
    return ops.image.resize(x, size, interpolation=interpolation)


# Shared layers and nested models


def _layer_called_at_two_sizes(drawing, x):
    """A feature pyramid; neither call is a target, as which is the first is not defined."""
    layer = drawing.make(layers.Conv2D, x.shape[-1], 2, padding="same", activation="relu")
    smaller = layer(drawing.make(layers.AveragePooling2D, 2, padding="same")(x))
    pooling = drawing.choice([layers.GlobalAveragePooling2D, layers.GlobalMaxPooling2D])
    return drawing.call(layers.Add, [layer(x), drawing.make(pooling, keepdims=True)(smaller)])


def _layer_called_twice_in_a_chain(drawing, x):
    layer = drawing.make(
        layers.Conv2D, x.shape[-1], drawing.window(x), padding="same", activation="relu"
    )
    name = drawing.prefix + layer.name
    x = layer(x)
    drawing.targets.append(name)
    x = drawing.choice([_pass, _batch_normalization, _max_pooling])(drawing, x)
    x = layer(x)
    drawing.targets.append(f"{name}:2")
    return x


def _layer_called_in_two_branches(drawing, x):
    # Which of the two calls is the first is not defined, so neither is a target.
    layer = drawing.make(layers.Conv2D, drawing.filters(), 2, padding="same", activation="relu")
    return drawing.call(layers.Add, [layer(x), layer(_batch_normalization(drawing, x))])


def _functional_model(drawing, x):
    if drawing.is_nested:
        return _convolution(drawing, x)
    name = drawing.name(keras.Model)
    inner = _Drawing(drawing.rng, f"{name}/", drawing.targets, is_nested=True)
    inputs = keras.Input(x.shape[1:])
    outputs = inner.pieces(inputs, drawing.choice([1, 2, 3]))
    outputs = _relu(inner, outputs)  # a model of nothing but `_pass` has no layers
    return keras.Model(inputs, outputs, name=name)(x)


def _functional_model_called_twice(drawing, x):
    if drawing.is_nested:
        return _convolution(drawing, x)
    name = drawing.name(keras.Model)
    inner = _Drawing(drawing.rng, f"{name}/", [], is_nested=True)
    inputs = keras.Input(x.shape[1:])
    model = keras.Model(inputs, _sum(inner, inputs), name=name)
    drawing.targets += inner.targets + [f"{target}:2" for target in inner.targets]
    return model(_max_pooling_of_step_1(drawing, model(x)))


def _max_pooling_of_step_1(drawing, x):
    return drawing.call(layers.MaxPooling2D, x, 2, 1, "same")


def _sequential_model(drawing, x):
    if drawing.is_nested:
        return _convolution(drawing, x)
    name = drawing.name(keras.Sequential)
    inner = _Drawing(drawing.rng, is_nested=True)
    stack = [
        inner.make(layers.Conv2D, inner.filters(), inner.window(x), padding=inner.padding()),
        inner.make(layers.BatchNormalization),
        inner.make(layers.ReLU),
        inner.make(layers.MaxPooling2D, 2, 1, "same"),
    ]
    drawing.targets += [f"{name}/{layer.name}" for layer in stack]
    return keras.Sequential([keras.Input(x.shape[1:]), *stack], name=name)(x)


# The paper's own layers several times, since everything else has to work along with them
PIECES = (
    *(_convolution, _convolution, _convolution, _max_pooling, _max_pooling, _relu),
    *(_depthwise_convolution, _separable_convolution, _transposed_convolution),
    *(_average_pooling, _batch_normalization, _contrast_normalization),
    *(_rescaling, _normalization, _multiplication_by_a_constant),
    *(_zero_padding, _cropping, _upsampling, _permutation, _reshaping, _dropout),
    *(_sum, _sum_with_broadcast, _difference, _mean, _concatenation),
    *(_extreme, _gate, _arithmetic, _relu_operation, _moving_operation, _resizing),
    *(_layer_called_twice_in_a_chain, _layer_called_in_two_branches, _layer_called_at_two_sizes),
    *(_functional_model, _functional_model_called_twice, _sequential_model),
)
