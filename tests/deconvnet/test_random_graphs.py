"""The deconvnet of random small graphs, held against the modified gradient."""

import keras
import numpy as np
import pytest

import kerasvis as kv
from kerasvis.graph import read_graph
from tests.marks import slow
from tests.oracles import modified_gradient, relaxed_gradient
from tests.oracles.random_graphs import draw_graph
from tests.oracles.random_targets import draw_target

RECTIFICATIONS = ("deconvnet", "guided", "gradient")
NUM_GRAPHS = 10
NUM_MORE_GRAPHS = 990
NUM_SEEN = 200  # so many hold every layer with a rule
TOLERANCE = 1e-5


def assert_projects_like_oracle(seed):
    graph = draw_graph(seed)
    if not graph.targets:
        pytest.skip("Operations alone were drawn, and no layer.")
    rng = np.random.default_rng(seed)
    layer = graph.targets[max(rng.integers(len(graph.targets), size=2))]  # rather a high one
    maps = modified_gradient.activations(graph.model, layer, graph.images)
    target, position = draw_target(maps, rng)
    rectification = RECTIFICATIONS[seed % 3]
    exchange = None
    if graph.has_gates:  # the oracle has no rule for what guided backpropagation makes of gates
        rectification = rectification.replace("guided", "deconvnet")
        exchange = relaxed_gradient.exchange if rectification == "deconvnet" else None
    options = {"rectification": rectification}

    deconv = kv.DeconvModel(graph.model, layer, rules="relaxed" if exchange else (), **options)
    actual = deconv.project(graph.images, target)
    expected = modified_gradient.project(
        graph.model, layer, graph.images, **position, **options, exchange=exchange
    )
    assert actual.dtype == np.float32
    difference = modified_gradient.relative_difference(actual, expected)
    assert difference <= TOLERANCE, f"{layer}, {options}, {target}\n{printed(graph.model)}"


def printed(model):
    lines = []
    model.summary(expand_nested=True, print_fn=lambda line, **_: lines.append(line))
    return "\n".join(lines)


@pytest.mark.parametrize(
    "seed", [*range(NUM_GRAPHS), *map(slow, range(NUM_GRAPHS, NUM_GRAPHS + NUM_MORE_GRAPHS))]
)
def test_random_graph(seed):
    assert_projects_like_oracle(seed)


@pytest.mark.slow
def test_random_graphs_hold_every_layer_operation_and_gate():
    drawn = set()
    for seed in range(NUM_SEEN):
        graph = draw_graph(seed)
        drawn |= {type(layer).__name__ for layer in graph.model._flatten_layers()}
        drawn |= {node.type_name for node in read_graph(graph.model).nodes}
        drawn |= {"gate"} if graph.has_gates else set()
    wanted = """Conv2D DepthwiseConv2D SeparableConv2D Conv2DTranspose Dense BatchNormalization
        MaxPooling2D AveragePooling2D GlobalAveragePooling2D GlobalMaxPooling2D ReLU Activation
        LocalResponseNormalization Add Subtract Average Concatenate Multiply ZeroPadding2D
        Cropping2D UpSampling2D Flatten Reshape Permute Dropout SpatialDropout2D GaussianNoise
        RandomFlip Rescaling Normalization Functional Sequential Maximum Minimum Resizing
        Relu Relu6 TrueDivide Mean Split Transpose GetItem Flip Roll Resize gate""".split()
    missing = set(wanted) - drawn
    assert not missing


def quantized(graph, seed):
    """The model with dense layers of few bits, and one that holds the kernels they stand for."""
    quantized, plain = draw_graph(seed).model, graph.model
    quantized.quantize(["int8", "int4"][seed % 2])
    for layer, twin in zip(quantized.layers, plain.layers, strict=True):
        if isinstance(layer, keras.layers.Dense):
            units = np.eye(twin.kernel.shape[0], dtype="float32")
            activation, layer.activation = layer.activation, keras.activations.linear
            outputs = np.asarray(layer(np.concatenate([units, 0 * units[:1]])))
            layer.activation = activation
            twin.kernel.assign(outputs[:-1] - outputs[-1:])
    return quantized, plain


@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize`")
@pytest.mark.parametrize("seed", [*range(3), *map(slow, range(3, 100))])
def test_quantized_graph(seed):
    """From 1, as its activation is that of inputs that are rounded, too."""
    graph = draw_graph(seed)
    layer = graph.model.layers[-1].name
    if not isinstance(graph.model.layers[-1], keras.layers.Dense) or graph.has_gates:
        pytest.skip("No dense scores were drawn.")
    model, plain = quantized(graph, seed)
    deconv = kv.DeconvModel(model, layer, starts_at="one")
    actual = deconv.project(graph.images, kv.targets.Unit(1))
    expected = modified_gradient.project(plain, layer, graph.images, 1, starts_at="one")
    assert modified_gradient.relative_difference(actual, expected) <= TOLERANCE
