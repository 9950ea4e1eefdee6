"""Reading a model as nodes: whatever was read and is replayed computes what the model computes."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from kerasvis.graph import feature_extractor, read_graph, replay
from kerasvis.layers import MaxPooling2DWithSwitches, MaxUnpooling2D

SIZE = (6, 8, 3)


def images():
    return np.random.default_rng(0).normal(size=(2, *SIZE)).astype("float32")


def assert_replays_as_predicted(model, inputs=None):
    """Returns the names of the nodes."""
    inputs = images() if inputs is None else inputs
    graph = read_graph(model)
    flat = [ops.convert_to_tensor(x) for x in keras.tree.flatten(inputs)]
    tensors = replay(graph.nodes, dict(zip(graph.inputs, flat, strict=True)))
    expected = keras.tree.flatten(model.predict(inputs, verbose=0))
    for number, outputs in zip(graph.outputs, expected, strict=True):
        np.testing.assert_allclose(np.array(tensors[number]), outputs, rtol=1e-5, atol=1e-6)
    return [node.name for node in graph.nodes]


def conv(name, **options):
    return layers.Conv2D(3, 3, padding="same", name=name, **options)


def test_a_chain():
    model = keras.Sequential([keras.Input(SIZE), conv("a"), layers.ReLU(name="b")])
    assert assert_replays_as_predicted(model) == ["a", "b"]


def test_a_sequential_built_by_its_first_call():
    model = keras.Sequential([conv("a"), layers.ReLU(name="b")])
    model(images())
    assert assert_replays_as_predicted(model) == ["a", "b"]


def test_calls_come_after_those_they_depend_on():
    inputs = keras.Input(SIZE)
    a = conv("a")(inputs)
    b = conv("b")(a)
    model = keras.Model(inputs, layers.Add(name="sum")([b, conv("c")(a), a, a]))
    names = assert_replays_as_predicted(model)
    assert names.index("a") < min(names.index("b"), names.index("c"))
    assert names[-1] == "sum"
    assert len(names) == 4
    node = read_graph(model).node("sum")
    assert node.inputs[2] == node.inputs[3] == read_graph(model).node("a").outputs[0]
    assert node.type_name == "Add"


def test_nested_models():
    deep = keras.Sequential([keras.Input(SIZE), conv("a")], name="deep")
    inner = keras.Sequential([keras.Input(SIZE), conv("a"), deep], name="inner")
    inputs = keras.Input(SIZE)
    model = keras.Model(inputs, layers.ReLU(name="top")(inner(inputs)))
    assert assert_replays_as_predicted(model) == ["inner/a", "inner/deep/a", "top"]


def test_a_shared_layer_and_a_nested_model_called_twice():
    shared = conv("shared")
    inside = keras.Input((None, None, 3))
    inner = keras.Model(inside, shared(shared(inside)), name="inner")
    inputs = keras.Input(SIZE)
    model = keras.Model(inputs, inner(inner(inputs)))
    names = assert_replays_as_predicted(model)
    assert names == ["inner/shared", "inner/shared:2", "inner/shared:3", "inner/shared:4"]
    graph = read_graph(model)
    assert graph.node("inner/shared:2").inputs == graph.node("inner/shared").outputs
    assert graph.node("inner/shared:3").layer is shared


def test_calls_are_numbered_as_they_were_made():
    """Whatever the order in which they run, also inside a shared model."""
    shared = layers.Conv2D(3, 3, name="shared")
    inner = keras.Input((None, None, 3))
    tower = keras.Model(inner, shared(inner), name="tower")
    inputs = keras.Input((30, 20, 3))
    x, levels = inputs, []
    for _ in range(3):
        levels.append(layers.GlobalMaxPooling2D()(tower(x)))
        x = layers.AveragePooling2D(2)(x)
    model = keras.Model(inputs, layers.Add()(levels[::-1]))
    images = np.zeros((1, 30, 20, 3), "float32")
    for suffix, size in (("", (28, 18)), (":2", (13, 8)), (":3", (5, 3))):
        (maps,) = feature_extractor(model, [f"tower/shared{suffix}"])(images)
        assert maps.shape[1:3] == size


def test_a_nested_model_whose_input_is_an_output():
    inside = keras.Input(SIZE)
    inner = keras.Model(inside, [inside, conv("a")(inside)], name="inner")
    inputs = keras.Input(SIZE)
    model = keras.Model(inputs, layers.Subtract(name="top")(inner(inputs)))
    assert assert_replays_as_predicted(model) == ["inner/a", "top"]
    graph = read_graph(model)
    assert graph.node("top").inputs[0] == graph.inputs[0]


def test_a_model_whose_input_is_an_output():
    inputs = keras.Input(SIZE)
    model = keras.Model(inputs, [inputs, layers.ReLU(name="a")(inputs)])
    assert assert_replays_as_predicted(model) == ["a"]
    assert read_graph(model).outputs[0] == read_graph(model).inputs[0]


@pytest.mark.parametrize("structure", ["list", "dict", "reversed dict"])
def test_nested_models_called_with_a_dict(structure):
    z, a = keras.Input(SIZE, name="z"), keras.Input(SIZE, name="a")
    given = {"list": [z, a], "dict": {"a": a, "z": z}, "reversed dict": {"z": z, "a": a}}
    inner = keras.Model(given[structure], layers.Subtract()([z, a]), name="inner")
    inputs = keras.Input(SIZE)
    model = keras.Model(inputs, inner({"z": conv("b")(inputs), "a": inputs}))
    assert_replays_as_predicted(model)


def test_a_nested_model_that_returns_a_dict():
    inside = keras.Input(SIZE)
    inner = keras.Model(inside, {"z": conv("z")(inside), "a": conv("a")(inside)}, name="inner")
    inputs = keras.Input(SIZE)
    outputs = inner(inputs)
    assert_replays_as_predicted(keras.Model(inputs, outputs["z"] - 2 * outputs["a"]))


def test_layers_with_several_outputs():
    inputs = keras.Input(SIZE)
    pooled, switches = MaxPooling2DWithSwitches(name="pool")(inputs)
    unpooled = MaxUnpooling2D(name="unpool")(pooled, switches, reference=inputs)
    model = keras.Model(inputs, [unpooled, switches])
    assert assert_replays_as_predicted(model) == ["pool", "unpool"]
    graph = read_graph(model)
    assert len(graph.node("pool").outputs) == 2
    assert graph.node("unpool").inputs == (*graph.node("pool").outputs, graph.inputs[0])
    assert graph.node("unpool").arguments[1]["reference"].number == graph.inputs[0]


def test_tensors_as_keyword_arguments():
    inputs = keras.Input(SIZE)
    x = layers.Reshape((48, 3))(conv("a")(inputs=inputs))
    attention = layers.MultiHeadAttention(2, 2, name="attention")
    model = keras.Model(inputs, attention(query=x, value=x, key=x))
    assert assert_replays_as_predicted(model)[-1] == "attention"


def test_layers_called_for_training_are_replayed_as_predicted():
    """`predict` runs them for inference, whatever they were called with."""
    inputs = keras.Input(SIZE)
    x = layers.BatchNormalization()(conv("a")(inputs), training=True)
    frozen = keras.Sequential([keras.Input(SIZE), layers.BatchNormalization()])
    x = frozen(layers.Dropout(0.5)(x, training=True), training=False)
    model = keras.Model(inputs, x)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.moving_mean.assign([1.0, 2.0, 3.0])
    assert_replays_as_predicted(model)


def test_operations():
    inputs = keras.Input(SIZE)
    x = inputs[:, 1:, ::2] * 2 + np.arange(3, dtype="float32")
    x = ops.concatenate([x, ops.relu(x)], axis=-1)
    model = keras.Model(inputs, [x[..., None], ops.reshape(x, (-1, 20 * 6))])
    assert_replays_as_predicted(model)


def test_a_model_between_two_tensors_of_another():
    inputs = keras.Input(SIZE)
    a = conv("a")(inputs)
    c = layers.ReLU(name="c")(conv("b")(a))
    keras.Model(inputs, c)
    assert assert_replays_as_predicted(keras.Model(a, c)) == ["b", "c"]


def test_layers_that_are_in_several_models():
    inputs = keras.Input(SIZE)
    a = conv("a")
    keras.Model(inputs, a(inputs))
    other = keras.Input((4, 4, 3))
    x = layers.ReLU(name="b")(a(other))
    assert assert_replays_as_predicted(keras.Model(other, x), images()[:, :4, :4]) == ["a", "b"]


def test_several_inputs():
    a, b = keras.Input(SIZE), keras.Input((3,))
    model = keras.Model([a, b], layers.Multiply()([a, layers.Reshape((1, 1, 3))(b)]))
    assert_replays_as_predicted(model, [images(), images()[:, 0, 0]])


def test_a_saved_model(tmp_path):
    inputs = keras.Input(SIZE)
    inner = keras.Sequential([keras.Input(SIZE), conv("a")], name="inner")
    model = keras.Model(inputs, ops.relu(inner(inner(inputs)) + inputs))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    assert assert_replays_as_predicted(loaded)[:2] == ["inner/a", "inner/a:2"]


@pytest.mark.slow
def test_an_application_inside_a_model():
    base = keras.applications.MobileNetV2((32, 32, 3), 0.35, include_top=False, weights=None)
    inputs = keras.Input((32, 32, 3))
    x = layers.Rescaling(1 / 127.5, -1)(inputs)
    model = keras.Model(inputs, layers.GlobalAveragePooling2D()(base(x, training=False)))
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype("float32")
    names = assert_replays_as_predicted(model, pixels)
    assert f"{base.name}/Conv1" in names


def test_replay_in_place_of_a_layer():
    model = keras.Sequential([keras.Input(SIZE), layers.ReLU(name="a"), layers.ReLU(name="b")])
    graph = read_graph(model)
    seen = []

    def call(node, args, kwargs):
        seen.append(node.name)
        return args[0] + 1

    tensors = replay(graph.nodes, {graph.inputs[0]: images()}, call)
    assert seen == ["a", "b"]
    np.testing.assert_array_equal(tensors[graph.outputs[0]], images() + 1 + 1)


def test_ancestors():
    inputs = keras.Input(SIZE)
    a, b = conv("a")(inputs), conv("b")(inputs)
    graph = read_graph(keras.Model(inputs, [conv("c")(a), layers.ReLU(name="d")(b)]))
    assert [node.name for node in graph.ancestors(graph.node("c").outputs)] == ["a", "c"]
    assert graph.ancestors(graph.inputs) == ()


class Subclassed(keras.Model):
    def call(self, inputs):
        return 2 * inputs


class Overridden(keras.Model):
    """Functional, but what it runs is not its graph."""

    def __init__(self):
        inputs = keras.Input(SIZE)
        super().__init__(inputs, layers.ReLU()(inputs), name="overridden")

    def call(self, inputs, training=None, mask=None):
        return 2 * super().call(inputs)


class FunctionalSubclass(keras.Model):
    def __init__(self):
        inputs = keras.Input(SIZE)
        super().__init__(inputs, layers.ReLU(name="a")(inputs))


def test_a_functional_subclass():
    assert assert_replays_as_predicted(FunctionalSubclass()) == ["a"]


@pytest.mark.parametrize("inner", [Subclassed(name="opaque"), Overridden()])
def test_a_model_without_a_graph_inside_another_is_one_node(inner):
    inputs = keras.Input(SIZE)
    model = keras.Model(inputs, inner(conv("a")(inputs)))
    assert assert_replays_as_predicted(model) == ["a", inner.name]


NO_GRAPH = {
    "<Subclassed subclassed>": lambda: Subclassed(name="subclassed"),
    "<Overridden overridden>": Overridden,
    "<Sequential unbuilt>": lambda: keras.Sequential([layers.ReLU()], name="unbuilt"),
}


@pytest.mark.parametrize("described", NO_GRAPH)
def test_models_without_a_graph(described):
    with pytest.raises(ValueError, match=r"has no graph of layers, as .*: ") as error:
        read_graph(NO_GRAPH[described]())
    assert str(error.value).endswith(f"Received: model={described}")


def test_no_model():
    with pytest.raises(ValueError, match=r"keras.Model was expected.*Received: model=<ReLU "):
        read_graph(layers.ReLU())


@pytest.fixture(scope="module")
def named():
    inner = keras.Sequential([keras.Input(SIZE), conv("conv"), conv("last")], name="inner")
    inputs = keras.Input(SIZE)
    x = layers.ReLU(name="block1_relu")(conv("block1_conv")(inputs))
    return read_graph(keras.Model(inputs, inner(inner(x))))


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("block1_convv", "did you mean block1_conv or block1_relu?"),
        ("conv", "did you mean inner/conv?"),
        ("last", "did you mean inner/last?"),
        ("inner", "did you mean inner/last:2?"),
        (
            "?",
            "it has block1_conv, block1_relu, inner/conv, inner/last, inner/conv:2, inner/last:2.",
        ),
    ],
)
def test_unknown_layers(named, name, hint):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        named.node(name)
    assert str(error.value) == (f"The model has no layer {name!r}: {hint} Received: layer={name!r}")
