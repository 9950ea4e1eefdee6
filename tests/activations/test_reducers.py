"""Any number of reducers in one scan, a user's own among them, against plain NumPy."""

import functools

import keras
import numpy as np
import pytest

from kerasvis.activations import (
    AllMaxima,
    CountActive,
    EveryImage,
    NotFiniteError,
    Reducer,
    StrongestActivations,
    find_top_activations,
    map_statistics,
    scan_layers,
)
from kerasvis.activations.reducers import Batch
from kerasvis.activations.scan import Scan
from kerasvis.data.image_ranges import image_ranges
from kerasvis.data.image_source import image_source
from kerasvis.data.images import Progress
from kerasvis.graph import feature_extractor
from kerasvis.storage.fields import equal
from tests.activations.small_models import small_convnet, whole_numbered_images

LAYERS = ["conv", "inner/linear", "dense"]


@pytest.fixture(scope="module")
def model():
    return small_convnet()


@pytest.fixture(scope="module")
def images():
    return whole_numbered_images(23)


@pytest.fixture(scope="module")
def outputs(model, images):
    found = feature_extractor(model, LAYERS).predict(images, verbose=0)
    return dict(zip(LAYERS, found, strict=True))


def scan(model, images, reducers, layers=LAYERS):
    return scan_layers(model, layers, images, reducers, batch_size=5, verbose=0)


class MeanActivation(Reducer):
    num_traced = 0

    def measure(self, outputs, layer):
        self.num_traced += 1
        return keras.ops.mean(outputs, axis=tuple(range(1, len(outputs.shape))))

    def summary(self, measured, batch):
        return {"sum": measured.sum(dtype="float64"), "number": len(batch)}

    def merge(self, state, other):
        return {name: state[name] + other[name] for name in state}

    def result(self, layer, state):
        return float(state["sum"] / state["number"])


class Means(EveryImage):
    """The mean of each feature map in each image, and the image's own first pixel."""

    def measure(self, outputs, layer):
        return keras.ops.mean(outputs, axis=(1, 2)) if len(outputs.shape) == 4 else outputs


def test_a_reducer_of_ones_own(model, images, outputs):
    (means,) = scan(model, images, [MeanActivation()])
    assert list(means) == LAYERS
    for layer in LAYERS:
        np.testing.assert_allclose(means[layer], outputs[layer].mean(dtype="float64"), rtol=1e-6)


def test_all_in_one_pass_are_what_each_finds_alone(model, images, outputs):
    top, statistics, active, means = scan(
        model, images, [StrongestActivations(4), AllMaxima(), CountActive(), Means()]
    )
    alone = find_top_activations(model, LAYERS, images, 4, batch_size=5, verbose=0)
    expected = map_statistics(model, LAYERS, images, batch_size=5, verbose=0)
    for layer in LAYERS:
        assert equal(top[layer], alone[layer])
        assert statistics[layer] == expected[layer]
        maps = outputs[layer].reshape(len(images), -1, outputs[layer].shape[-1])
        np.testing.assert_array_equal(active[layer].num_active, (maps.max(1) > 0).sum(0))
        assert active[layer].num_images == len(images)
        image_indices, values = means[layer]
        np.testing.assert_array_equal(image_indices, np.arange(len(images)))
        np.testing.assert_allclose(values, maps.mean(axis=1), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("batches_per_part", [1, 2, 4])
def test_merged_states_of_parts_are_the_state_of_all(model, images, batches_per_part):
    reducers = [StrongestActivations(4), AllMaxima(), CountActive(), Means()]
    watched = [(layer, reducer) for layer in LAYERS for reducer in reducers]
    source = image_source(images, batch_size=5)
    scan_of_all = Scan(model, watched)
    parts = [scan_of_all.part(part) for part in image_ranges(source, batches_per_part, Progress())]
    whole = scan_of_all.run(source)
    for number, ((layer, reducer), expected) in enumerate(zip(watched, whole, strict=True)):
        states = [state for part in parts for state in part.states[number]]
        for order in (states, states[::-1]):
            merged = functools.reduce(reducer.merge, order)
            assert equal(reducer.result(layer, merged), expected)
        if not isinstance(reducer, CountActive):
            with pytest.raises(ValueError, match=r"Image \d+ was scanned twice"):
                reducer.merge(states[0], states[0])


def test_parts_that_share_one_image_are_refused(model, images):
    (part, *_) = image_ranges(image_source(images[:5], batch_size=5), 1, Progress())
    ((state,),) = Scan(model, [("conv", Means())]).part(part).states
    later = {**state, "image_indices": state["image_indices"] + 4}
    with pytest.raises(ValueError, match="Image 4 was scanned twice"):
        Means().merge(state, later)


def test_what_is_measured_alike_is_computed_once(model, images):
    reducer = MeanActivation()
    scan(model, images[:5], [reducer, reducer], ["conv"])
    assert reducer.num_traced == 1


def test_states_are_never_changed(model, images):
    class Watched(Means):
        earlier = ()

        def update(self, state, measured, batch):
            for before, copy in self.earlier:
                length = int(before["length"])
                np.testing.assert_array_equal(before["values"][:length], copy)
            if state is not None:
                length = int(state["length"])
                self.earlier += ((state, state["values"][:length].copy()),)
            return super().update(state, measured, batch)

    scan(model, images, [Watched()], ["conv"])


def test_what_is_measured_may_not_depend_on_the_size_of_images():
    class RowMeans(EveryImage):
        def measure(self, outputs, layer):
            return keras.ops.mean(outputs, axis=(2, 3))

    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, keras.layers.Rescaling(2, name="twice")(inputs))
    batches = [np.zeros((2, rows, 4, 3)) for rows in (5, 6)]
    with pytest.raises(ValueError, match=r"size of the images|images of another size"):
        scan(model, batches, [RowMeans()], ["twice"])


def test_what_is_measured_has_to_be_finite(model, images):
    class Logarithm(Means):
        def measure(self, outputs, layer):
            return keras.ops.log(super().measure(outputs, layer) * 0 - 1)

    with pytest.raises(NotFiniteError, match="Image 0 gives NaN in layer 'conv', feature map 0"):
        scan(model, images, [Logarithm()], ["conv"])


@pytest.mark.parametrize("reducers", [[], [3], StrongestActivations])
def test_what_is_no_reducer_is_refused(model, images, reducers):
    with pytest.raises(ValueError, match="reducers="):
        scan(model, images, reducers)


def test_states_that_cannot_be_written_to_are_merged():
    """As those that a worker sends: the first one has room for more rows."""
    reducer, states = Means(), [None, None]
    for number, begin, end in [(0, 0, 3), (0, 3, 6), (0, 6, 9), (0, 9, 12), (1, 12, 13)]:
        batch = Batch(np.arange(begin, end), np.zeros((end - begin, 1, 1, 1)))
        measured = np.arange(begin, end, dtype="float32")[:, None]
        states[number] = reducer.update(states[number], measured, batch)
    assert len(states[0]["values"]) > 12
    for state in states:
        for name in ("image_indices", "values"):
            state[name].flags.writeable = False
    image_indices, values = reducer.result("layer", reducer.merge(*states))
    np.testing.assert_array_equal(image_indices, np.arange(13))
    np.testing.assert_array_equal(values.ravel(), np.arange(13))
