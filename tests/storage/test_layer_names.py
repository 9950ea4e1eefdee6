"""What the configuration in a model's file tells of its layers is what the loaded model has."""

import keras
import pytest
from keras import layers

import kerasvis as kv
from kerasvis.graph import read_graph
from kerasvis.storage.archives import read_json
from kerasvis.storage.layer_names import check_layer_names, plain_names


def sequential():
    inputs = keras.Input((8, 9, 3))
    return keras.Sequential([inputs, layers.Conv2D(2, 3, name="conv_1"), layers.ReLU(name="relu")])


def functional():
    inputs = keras.Input((8, 9, 3), name="image")
    one, other = (layers.Conv2D(2, 3, name=name)(inputs) for name in ("conv_1", "conv_2"))
    pooled = kv.layers.MaxPooling2DWithSwitches(2, name="pool")(
        layers.Add(name="sum")([one, other])
    )
    return keras.Model(inputs, pooled[0])


def with_nested():
    return keras.Sequential([keras.Input((8, 9, 3)), sequential()])


def with_shared():
    inputs = keras.Input((8, 9, 2))
    conv = layers.Conv2D(2, 3, padding="same", name="conv_1")
    return keras.Model(inputs, conv(conv(inputs)))


def with_operation():
    inputs = keras.Input((8, 9, 2))
    return keras.Model(inputs, layers.Conv2D(2, 3, name="conv_1")(inputs) * 2)


def unbuilt():
    return keras.Sequential([layers.Conv2D(2, 3, name="conv_1")])


@pytest.fixture
def saved(tmp_path):
    """Function that saves a model; returns it and the configuration in its file."""

    def saved(build):
        model = build()
        model.save(tmp_path / "model.keras")
        return model, read_json(tmp_path / "model.keras", "config.json")

    return saved


@pytest.mark.parametrize("build", [sequential, functional])
def test_layers_of_a_plain_model(saved, build):
    model, config = saved(build)
    graph = read_graph(model)
    assert set(plain_names(config)) == {node.name for node in graph.nodes}
    check_layer_names(config, plain_names(config), "--layers")
    for name in ("conv1", "conv_3", "rel", "image_"):
        with pytest.raises(ValueError, match="has no layer") as of_graph:
            graph.node(name)
        if "did you mean" in str(of_graph.value):
            with pytest.raises(ValueError, match="did you mean") as early:
                check_layer_names(config, ["conv_1", name], "--layers")
            ends = (f" Received: --layers={name}", f" Received: layer={name!r}")
            begins = [
                str(error.value).removesuffix(end)
                for error, end in zip((early, of_graph), ends, strict=True)
            ]
            assert begins[0] == begins[1]
            assert begins[0].endswith("?")
    # Where no name is near, the sentence lists all layers, whose order only Keras knows.
    check_layer_names(config, ["zzzz"], "--layers")


@pytest.mark.parametrize("build", [with_nested, with_shared, with_operation])
def test_what_the_configuration_does_not_tell_is_not_refused(saved, build):
    _, config = saved(build)
    assert plain_names(config) == ()
    check_layer_names(config, ["conv1", "conv_1:2"], "--layers")


@pytest.mark.parametrize(
    "config",
    [
        None,
        [],
        {"module": "keras", "class_name": "Sequential"},
        {"module": "keras", "class_name": "Sequential", "config": {"layers": []}},
        {"module": "keras", "class_name": "Sequential", "config": {"layers": [None, "a"]}},
        {"module": "keras", "class_name": "Sequential", "config": None},
        {"module": "mine", "class_name": "Functional", "config": {}},
    ],
)
def test_a_strange_configuration_is_left_to_keras(config):
    check_layer_names(config, ["conv1"], "--layers")


def test_a_model_without_input_is_left_to_keras():
    config = keras.saving.serialize_keras_object(unbuilt())
    check_layer_names(config, ["conv1"], "--layers")
