"""A subclassed model, or one that was never built: served where that can be, or one sentence."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerasvis as kv
from kerasvis.activations import map_statistics
from kerasvis.deconvnet.targets import Strongest, Unit, WholeMap
from tests.field.strange_models import (
    SHAPE,
    UNBUILT,
    WITHOUT_GRAPH,
    Subclassed,
    images,
    stack,
    unbuilt,
)
from tests.marks import few

LABELS = np.arange(6) % 2


def labelled():
    data = kv.data.LabelledImages(images(), LABELS)
    return kv.data.LabelledData(data, data, ("a", "b"), SHAPE[:2])


def train_with_evolution(model, folder):
    evolution = kv.callbacks.FeatureEvolution(
        "conv1", images(), epochs=[1], directory=folder, preprocessing="raw"
    )
    evolution.set_model(model)
    evolution.on_train_begin()


def evolution_of_models(model, folder):
    return kv.analyses.evolution_of_models([model, model], "conv1", images(), [1, 2])


# Every public call that takes a model; all but the last with images, from which one can be built.
ENTRANCES = {
    "find_top_activations": lambda m, _: kv.find_top_activations(m, "conv1", images(), k=2),
    "map_statistics": lambda m, _: map_statistics(m, ["conv1"], images()),
    "visualize_features": lambda m, _: kv.visualize_features(m, "conv1", images(), [0], k=2),
    "write_gallery": lambda m, folder: kv.write_gallery(m, ["conv1"], images(), folder / "g"),
    "diagnose_filters": lambda m, _: kv.diagnose_filters(m, images(50)),
    "attribute": lambda m, _: kv.attribute(m, "scores", images(), Unit(1), "deconvnet"),
    "grad_cam": lambda m, _: kv.attribute(m, "scores", images(), Unit(1), "grad_cam"),
    "compare_methods": lambda m, _: kv.compare_methods(m, "scores", images(), Unit(1), ["guided"]),
    "fidelity_report": lambda m, _: kv.fidelity_report(
        m, "conv2", images(2), checks=["selectivity"]
    ),
    "unit_invariance": lambda m, _: kv.analyses.unit_invariance(
        m, "conv1", images()[0].astype("float32"), Strongest(0), num_directions=1
    ),
    "transfer_features": lambda m, _: kv.transfer_features(
        m, "conv1", labelled(), per_class=1, folds=1, heads="svm"
    ),
    "measure_correspondence": lambda m, _: kv.analyses.measure_correspondence(
        m, "conv1", images(3), {"eye": [(0, 0, 4, 4)] * 3}, num_draws=1
    ),
    "evolution_of_models": evolution_of_models,
}
WITHOUT_IMAGES = {
    "DeconvModel": lambda m, _: kv.DeconvModel(m, "conv1"),
    "receptive_field": lambda m, _: kv.receptive_field(m, "conv1"),
    "feature_extractor": lambda m, _: kv.feature_extractor(m, ["conv1"]),
    "maximize_activation": lambda m, _: kv.maximize_activation(
        m, "conv1", WholeMap(0), num_steps=1
    ),
    "feature_invariance": lambda m, _: kv.analyses.feature_invariance(m, "conv1", list(images(1))),
    "diagnose_filters of weights": lambda m, _: kv.diagnose_filters(m),
    "FeatureEvolution": train_with_evolution,
}
SENTENCE = "no graph of layers|A keras.Model was expected|cannot be traced|no layer 'conv1'"


@pytest.mark.parametrize("case", WITHOUT_GRAPH)
@pytest.mark.parametrize("entrance", {**ENTRANCES, **WITHOUT_IMAGES})
def test_what_has_no_graph_gets_a_sentence(entrance, case, tmp_path):
    if (entrance, case) == ("FeatureEvolution", "None"):
        pytest.skip("`fit` is a method of a model, so that there always is one")
    with pytest.raises(ValueError, match=SENTENCE) as error:
        {**ENTRANCES, **WITHOUT_IMAGES}[entrance](WITHOUT_GRAPH[case](), tmp_path)
    assert "Received: model=" in str(error.value) or "no layer 'conv1'" in str(error.value)


@pytest.mark.parametrize("case", UNBUILT)
@pytest.mark.parametrize("entrance", WITHOUT_IMAGES)
def test_an_unbuilt_model_without_images_gets_a_sentence(entrance, case, tmp_path):
    with pytest.raises(ValueError, match=r"no input shape yet: build it, model\.build"):
        WITHOUT_IMAGES[entrance](UNBUILT[case](), tmp_path)


@pytest.mark.parametrize("entrance", few(ENTRANCES, 5))
def test_a_sequential_model_is_built_for_its_images(entrance, tmp_path):
    keras.utils.set_random_seed(1)
    model = unbuilt()
    ENTRANCES[entrance](model, tmp_path)
    assert model.input_shape == (None, *SHAPE)


SOURCES = {
    "array": images,
    "in [0, 1]": lambda: images() / 255,
    "tensor": lambda: tf.constant(images()),
    "list": lambda: list(images()),
    "batches": lambda: [images(4), images(2)],
    "tf.data": lambda: tf.data.Dataset.from_tensor_slices((images(), LABELS)).batch(4),
    "labelled": lambda: kv.data.LabelledImages(images(), LABELS),
}


@pytest.mark.parametrize("source", SOURCES)
def test_it_is_built_for_images_of_any_kind(source):
    model = unbuilt()
    top = kv.find_top_activations(model, "conv2", SOURCES[source](), k=2, verbose=0)
    assert model.input_shape == (None, *SHAPE)
    assert top["conv2"].values.shape == (5, 2)


def test_it_is_built_for_the_size_of_a_folder(tmp_path):
    from PIL import Image

    for number, pixels in enumerate(images(2)):
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    model = unbuilt()
    kv.find_top_activations(model, "conv1", kv.data.ImageFolder(tmp_path, SHAPE[:2]), k=1)
    assert model.input_shape == (None, *SHAPE)
    with pytest.raises(ValueError, match="no input shape yet"):
        kv.find_top_activations(unbuilt(), "conv1", tmp_path, k=1)


def test_a_stream_that_can_be_read_once_is_not_read_for_it():
    batches = iter([images()])
    with pytest.raises(ValueError, match="no input shape yet"):
        kv.find_top_activations(unbuilt(), "conv1", batches)
    assert next(batches).shape == (6, *SHAPE)


def test_images_too_small_for_it_get_a_sentence():
    with pytest.raises(ValueError, match=r"cannot be built for these images.*Received: images"):
        kv.find_top_activations(unbuilt(), "conv1", np.zeros((1, 2, 2, 3)))


def test_a_model_that_was_built_by_a_batch_takes_any_number_of_images():
    """Keras then remembers the length of that batch as part of the input's shape."""
    model = unbuilt()
    expected = model(images(4)).numpy()
    top = kv.find_top_activations(model, ["conv2", "scores"], images(), k=6, verbose=0)
    of_first = expected[:, 0][np.argsort(-expected[:, 0])]
    found = top["scores"].image_indices[0]
    np.testing.assert_allclose(top["scores"].values[0][found < 4], of_first, rtol=1e-5, atol=1e-6)
    kv.visualize_features(model, "conv2", images(), [0, 1], top=top, verbose=0)
    deconv = kv.DeconvModel(model, "conv2")
    whole = deconv.project(images(), WholeMap(1))
    alone = deconv.project(images()[5:], WholeMap(1))
    np.testing.assert_allclose(whole[5:], alone, rtol=1e-5, atol=1e-7)


def built_subclassed():
    keras.utils.set_random_seed(3)
    model = Subclassed()
    model(images(1))
    return model


def same_functional(model):
    """The model as a functional one."""
    inputs = x = keras.Input(SHAPE)
    for part in model.parts:
        x = part(x)
    return keras.Model(inputs, x)


@pytest.mark.parametrize("layer", ["output", "mine"])
def test_the_outputs_of_a_subclassed_model_can_be_watched(layer):
    model = built_subclassed()
    answers = model.predict(images(), verbose=0)
    top = kv.find_top_activations(model, layer, images(), k=2, verbose=0)
    order = np.argsort(-answers, axis=0)[:2].T
    np.testing.assert_array_equal(top[layer].image_indices, order)
    np.testing.assert_allclose(top[layer].values, np.sort(-answers, axis=0)[:2].T * -1, rtol=1e-5)
    statistics = map_statistics(model, [layer], images(), verbose=0)[layer]
    np.testing.assert_allclose(statistics.maxima, answers, rtol=1e-5, atol=1e-6)
    (features,) = kv.feature_extractor(model, [layer])(images())
    np.testing.assert_allclose(features, answers, rtol=1e-5, atol=1e-6)


def test_a_model_that_was_not_built_yet_can_be_watched():
    model = Subclassed()
    found = kv.find_top_activations(model, "output", images(), k=6, verbose=0)["output"]
    answers = model.predict(images(), verbose=0)
    np.testing.assert_allclose(found.values[1], np.sort(answers[:, 1])[::-1], rtol=1e-5)


class TwoHeads(Subclassed):
    def call(self, inputs):
        scores = super().call(inputs)
        return {"class": scores, "where": self.parts[1](inputs)}


def test_each_of_several_outputs_has_its_name():
    model = TwoHeads()
    top = kv.find_top_activations(model, ["class", "where"], images(), k=1, verbose=0)
    assert [top[name].values.shape for name in top] == [(3, 1), (4, 1)]
    with pytest.raises(ValueError, match=r"no layer 'clas'.*class"):
        kv.find_top_activations(model, "clas", images(), verbose=0)


@pytest.mark.parametrize("method", few(["gradient", "gradient_times_input", "smoothgrad"], 1))
@pytest.mark.parametrize("target", few([Unit(1), Strongest(2), WholeMap([0, 1, 2])], 2))
def test_the_outputs_of_a_subclassed_model_can_be_derived(method, target):
    model = built_subclassed()
    options = {"num_samples": 3} if method == "smoothgrad" else {}
    photographs = images(3).astype("float32")
    found = kv.attribute(model, "output", photographs, target, method, batch_size=2, **options)
    same = same_functional(model)
    expected = kv.attribute(same, "scores", photographs, target, method, **options)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-7 * np.abs(expected).max())


@pytest.mark.parametrize("target", [Unit(1, 2, 1), Strongest([0, 3]), WholeMap(4)])
def test_maps_of_a_subclassed_model_can_be_derived(target):
    model = Subclassed(num_parts=4)
    photographs = images(2).astype("float32")
    found = kv.attribute(model, "mine", photographs, target, "gradient")
    inputs = x = keras.Input(SHAPE)
    for part in model.parts:
        x = part(x)
    same = keras.Model(inputs, x)
    expected = kv.attribute(same, "conv2", photographs, target, "gradient")
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-7 * np.abs(expected).max())


class Constant(Subclassed):
    def call(self, inputs):
        return keras.ops.cast(super().call(inputs) > 0, "float32")


def test_what_does_not_depend_on_the_image_smoothly_gets_a_sentence():
    for _ in range(2):
        with pytest.raises(ValueError, match=r"^The activations .* no derivative.*layer='output'$"):
            kv.attribute(Constant(), "output", images(1), Unit(0), "gradient")


def test_the_model_is_left_as_it_is():
    model = built_subclassed()
    before = [w.copy() for w in model.get_weights()], list(model.layers), model.built
    kv.find_top_activations(model, "output", images(), verbose=0)
    kv.attribute(model, "output", images(), Unit(0), "gradient")
    after = [w.copy() for w in model.get_weights()], list(model.layers), model.built
    assert before[1:] == after[1:]
    assert all(np.array_equal(a, b) for a, b in zip(before[0], after[0], strict=True))


class Rounded(keras.layers.Layer):
    """A layer of the user's, inside a Sequential model: one node like any other."""

    def call(self, inputs):
        return keras.ops.round(inputs)


def test_a_layer_of_the_users_in_a_sequential_model_is_refused_only_for_projections():
    model = keras.Sequential([Rounded(name="rounded"), *stack()])
    top = kv.find_top_activations(model, "conv1", images(), k=1, verbose=0)
    assert top["conv1"].values.shape == (4, 1)
    with pytest.raises(ValueError, match=r"Rounded.*\(rounded\)"):
        kv.visualize_features(model, "conv1", images(), [0], top=top)
    rules = [(Rounded, kv.rules.PassUnchanged)]
    found = kv.visualize_features(model, "conv1", images(), [0], top=top, rules=rules, verbose=0)
    assert found.projections.any()
