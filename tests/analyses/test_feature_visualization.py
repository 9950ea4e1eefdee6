import dataclasses

import keras
import numpy as np
import pytest
from keras import layers

import kerasvis as kv
from kerasvis.activations import LayerActivations, TopActivations
from kerasvis.analyses import FeatureVisualization
from kerasvis.analyses.feature_visualization import choose_features
from kerasvis.data import ImageFolder, Preprocessing
from tests.marks import grid, slow

SIZE = (33, 26)
NUM_IMAGES = 7


@pytest.fixture(scope="module")
def model():
    """Overlapping pools, both paddings, unequal strides and kernels, two branches, dense layers."""
    keras.utils.set_random_seed(0)
    random = {"kernel_initializer": "he_normal", "bias_initializer": "random_normal"}
    inputs = keras.Input((*SIZE, 3))
    x = layers.Conv2D(5, (3, 4), (2, 1), "same", activation="relu", name="conv1", **random)(inputs)
    x = layers.MaxPooling2D(3, 2, "same", name="pool1")(x)
    x = layers.Conv2D(6, 3, activation="relu", name="conv2", **random)(x)
    left = layers.Conv2D(3, 1, activation="relu", name="left", **random)(x)
    right = layers.Conv2D(3, 3, padding="same", activation="relu", name="right", **random)(x)
    x = layers.Concatenate(name="both")([left, right])
    x = layers.MaxPooling2D(2, name="pool2")(x)
    x = layers.Dense(4, activation="relu", name="fc", **random)(layers.Flatten()(x))
    return keras.Model(inputs, layers.Dense(3, activation="softmax", name="scores", **random)(x))


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(0).integers(0, 256, (NUM_IMAGES, *SIZE, 3)).astype("uint8")


@pytest.fixture(scope="module")
def images(pixels):
    return pixels.astype("float32")


@pytest.fixture(scope="module")
def top(model, images):
    return kv.find_top_activations(
        model, ["conv1", "conv2", "both", "fc", "scores"], images, 4, verbose=0
    )


def by_hand(deconv, images, pixels, found, feature_indices):
    """Each unit projected in its whole image, alone, then cut pixel by pixel.

    Returns:
        `{(row of features, place): (projection, patch, box, projection of the whole image)}`.
    """
    field = deconv.receptive_field(images.shape[1:3])
    rows, columns = images.shape[1:3]
    cut = {}
    for row, feature in enumerate(feature_indices):
        for place, index in enumerate(found.image_indices[feature]):
            position = found.positions[feature, place]
            unit = [int(feature), *map(int, position)] if not field.is_whole_image else None
            unit = unit or [int(feature)] + [
                int(p) for p in position if len(deconv.target_shape) == 3
            ]
            whole = deconv.project(images[index][None], kv.targets.Unit(*unit))[0]
            top, left, bottom, right = field.box(*map(int, position))
            projection = np.zeros((bottom - top, right - left, 3), "float32")
            patch = np.zeros(projection.shape, "uint8")
            inside = []
            for r in range(top, bottom):
                for c in range(left, right):
                    if 0 <= r < rows and 0 <= c < columns:
                        projection[r - top, c - left] = whole[r, c]
                        patch[r - top, c - left] = pixels[index, r, c]
                        inside.append((r - top, c - left))
            (first_row, first_column), (last_row, last_column) = inside[0], inside[-1]
            box = [first_row, first_column, last_row + 1, last_column + 1]
            cut[row, place] = projection, patch, box, whole
    return cut


@pytest.mark.parametrize(
    ("layer", "method"),
    grid(
        ["conv1", "conv2", "both", "fc", "scores"],
        ["deconvnet", "gradient"],
        quick=[("both", "gradient"), ("fc", "deconvnet")],
    ),
)
def test_is_each_unit_projected_by_itself_and_cut(model, images, pixels, top, layer, method):
    deconv = kv.DeconvModel(model, layer, method)
    feature_indices = [2, 0]
    features = kv.visualize_features(
        deconv.convnet, deconv.layer, images, feature_indices, top=top, methods=method
    )
    found = top[layer]
    expected = by_hand(deconv, images, pixels, found, feature_indices)
    assert len(expected) == 8
    for (row, place), (projection, patch, box, whole) in expected.items():
        scale = np.abs(projection).max()
        assert scale > 0 or found.values[feature_indices[row], place] == 0
        error = np.abs(features.projections[row, place] - projection).max()
        assert error <= 1e-5 * scale
        np.testing.assert_array_equal(features.patches[row, place], patch)
        np.testing.assert_array_equal(features.boxes[row, place], box)
        # Nothing of the projection lies outside its window.
        np.testing.assert_allclose(
            np.abs(projection).sum(dtype="float64"), np.abs(whole).sum(dtype="float64"), rtol=1e-6
        )
    assert features.layer == layer
    assert features.feature_indices.tolist() == feature_indices
    np.testing.assert_array_equal(features.activations, found.values[feature_indices])
    np.testing.assert_array_equal(features.image_indices, found.image_indices[feature_indices])
    np.testing.assert_array_equal(features.positions, found.positions[feature_indices])


def test_shapes_and_dtypes(model, images, top):
    features = kv.visualize_features(model, "conv2", images, [5], top=top)
    actual = {
        name: (array.dtype.name, array.shape)
        for name, array in dataclasses.asdict(features).items()
        if name not in ("layer", "pixel_range", "method")
    }
    window = (15, 10)  # rows: 3, then + 2 * 2, then + 2 * 4; columns: 4, then + 2 * 1, then + 2 * 2
    assert actual == {
        "feature_indices": ("int64", (1,)),
        "activations": ("float32", (1, 4)),
        "image_indices": ("int64", (1, 4)),
        "positions": ("int32", (1, 4, 2)),
        "projections": ("float32", (1, 4, *window, 3)),
        "patches": ("uint8", (1, 4, *window, 3)),
        "boxes": ("int32", (1, 4, 4)),
    }


def at(positions):
    """`TopActivations` of the units of `conv2` at `positions`, one in each image."""
    k = len(positions)
    values = np.ones((6, k), "float32")
    indices = np.tile(np.arange(k), (6, 1))
    return TopActivations(
        {"conv2": LayerActivations(values, indices, np.tile(positions, (6, 1, 1)).astype("int32"))}
    )


def test_windows_over_every_border(model, images, pixels):
    deconv = kv.DeconvModel(model, "conv2")
    rows, columns, _ = deconv.target_shape
    corners = [(0, 0), (0, columns - 1), (rows - 1, 0), (rows - 1, columns - 1)]
    top = at([*corners, (rows // 2, columns // 2)])
    features = kv.visualize_features(deconv.convnet, deconv.layer, images, [0], top=top)
    height, width = features.patches.shape[2:4]
    overhanging = (features.boxes[0] != (0, 0, height, width)).any(axis=0)
    assert overhanging.all()  # over each of the four borders
    for (_, place), (projection, patch, box, _) in by_hand(
        deconv, images, pixels, top["conv2"], [0]
    ).items():
        np.testing.assert_array_equal(features.boxes[0, place], box)
        np.testing.assert_array_equal(features.patches[0, place], patch)
        np.testing.assert_allclose(
            features.projections[0, place], projection, atol=1e-5 * np.abs(projection).max()
        )
        top_, left, bottom, right = box
        outside = np.ones((height, width), bool)
        outside[top_:bottom, left:right] = False
        assert not features.patches[0, place][outside].any()
        assert not features.projections[0, place][outside].any()
    assert (features.boxes[0, 4] == (0, 0, height, width)).all()


def test_batch_size_changes_nothing(model, images, top):
    deconv = kv.DeconvModel(model, "conv2")
    one = kv.visualize_features(deconv.convnet, deconv.layer, images, top=top, batch_size=1)
    many = kv.visualize_features(deconv.convnet, deconv.layer, images, top=top, batch_size=64)
    scale = np.abs(one.projections).max()
    np.testing.assert_allclose(one.projections, many.projections, atol=1e-5 * scale)


def test_units_beyond_one_part(model, images, top, monkeypatch):
    deconv = kv.DeconvModel(model, "conv2")
    whole = kv.visualize_features(deconv.convnet, deconv.layer, images, top=top)
    monkeypatch.setattr("kerasvis.analyses.unit_windows.NUM_UNITS_AT_ONCE", 5)
    parts = kv.visualize_features(deconv.convnet, deconv.layer, images, top=top)
    scale = np.abs(whole.projections).max()
    np.testing.assert_allclose(parts.projections, whole.projections, atol=1e-5 * scale)
    np.testing.assert_array_equal(parts.patches, whole.patches)


def test_fewer_images_than_places(model, images, pixels):
    top = kv.find_top_activations(model, ["conv1"], images[:2], 4, verbose=0)
    features = kv.visualize_features(model, "conv1", images[:2], [1, 3], top=top)
    assert (features.image_indices[:, 2:] == -1).all()
    assert (features.activations[:, 2:] == -np.inf).all()
    for name in ("projections", "patches", "boxes"):
        assert not getattr(features, name)[:, 2:].any()
        assert getattr(features, name)[:, :2].any()


@pytest.mark.slow
def test_a_random_subset_by_seed(model, images, top):
    deconv = kv.DeconvModel(model, "conv2")
    subsets = {
        seed: kv.visualize_features(
            deconv.convnet, deconv.layer, images, top=top, num_features=3, seed=seed
        ).feature_indices
        for seed in range(5)
    }
    again = kv.visualize_features(
        deconv.convnet, deconv.layer, images, top=top, num_features=3, seed=2
    ).feature_indices
    assert again.tolist() == subsets[2].tolist()
    assert len({tuple(subset) for subset in subsets.values()}) > 1
    for subset in subsets.values():
        assert len(set(subset)) == 3
        assert (np.diff(subset) > 0).all()
    everything = kv.visualize_features(
        deconv.convnet, deconv.layer, images, top=top, num_features=100
    ).feature_indices
    assert everything.tolist() == list(range(6))


def test_every_feature_map_is_drawn_equally_often():
    drawn = np.concatenate([choose_features(20, None, 5, seed) for seed in range(400)])
    counts = np.bincount(drawn, minlength=20)
    assert counts.sum() == 2000
    assert (np.abs(counts - 100) < 5 * np.sqrt(100 * 0.75)).all()


def test_only_the_images_needed_are_fetched(model, images, top):
    class Recording:
        shape = images.shape

        def __init__(self):
            self.asked = []

        def __getitem__(self, index):
            self.asked.append(index)
            return images[index]

    recording = Recording()
    features = kv.visualize_features(model, "conv2", recording, [4], top=top, preprocessing="raw")
    assert recording.asked == sorted(set(features.image_indices.ravel()))


@pytest.mark.parametrize("mode", ["caffe", slow("torch"), slow("raw"), slow("tf")])
def test_patches_are_the_pixels_and_projections_in_rgb(model, pixels, mode):
    preprocessing = Preprocessing(mode)
    images = preprocessing.images(pixels)
    top = kv.find_top_activations(model, ["conv2"], images, 3, verbose=0)
    deconv = kv.DeconvModel(model, "conv2")
    plain = kv.visualize_features(
        deconv.convnet, deconv.layer, images, [1, 2], top=top, preprocessing=preprocessing
    )
    for feature, place in np.ndindex(2, 3):
        index = plain.image_indices[feature, place]
        row, column = plain.positions[feature, place]
        top_, left, bottom, right = deconv.receptive_field().box(int(row), int(column))
        inside = plain.boxes[feature, place]
        window = pixels[index, max(top_, 0) : bottom, max(left, 0) : right]
        actual = plain.patches[feature, place][inside[0] : inside[2], inside[1] : inside[3]]
        np.testing.assert_array_equal(actual, window)
        unit = kv.targets.Unit(int(plain.feature_indices[feature]), int(row), int(column))
        projection = deconv.project(images[index][None], unit)[0]
        projection = projection[max(top_, 0) : bottom, max(left, 0) : right]
        if mode == "caffe":  # the model sees blue, green, red
            projection = projection[..., ::-1]
        actual = plain.projections[feature, place][inside[0] : inside[2], inside[1] : inside[3]]
        np.testing.assert_allclose(actual, projection, atol=1e-5 * np.abs(projection).max())
    by_name = kv.visualize_features(
        deconv.convnet, deconv.layer, images, [1, 2], top=top, preprocessing=mode
    )
    np.testing.assert_array_equal(by_name.patches, plain.patches)


def test_a_folder_of_photographs(model, pixels, tmp_path):
    from PIL import Image

    for number, photograph in enumerate(pixels):
        Image.fromarray(photograph).save(tmp_path / f"{number}.png")
    folder = ImageFolder(tmp_path, SIZE, "caffe")
    images = Preprocessing("caffe").images(pixels)
    deconv = kv.DeconvModel(model, "both")
    shown = []
    for source in (folder, images):
        top = kv.find_top_activations(model, ["both"], source, 2, verbose=0)
        shown.append(
            kv.visualize_features(
                deconv.convnet, deconv.layer, source, [0, 5], top=top, preprocessing="caffe"
            )
        )
    for name, array in dataclasses.asdict(shown[0]).items():
        np.testing.assert_array_equal(array, getattr(shown[1], name), err_msg=name)


def test_one_channel():
    model = keras.Sequential([keras.Input((9, 8, 1)), layers.Conv2D(2, 3, name="conv")])
    images = np.random.default_rng(0).integers(0, 256, (3, 9, 8, 1)).astype("float32")
    top = kv.find_top_activations(model, ["conv"], images, 2, verbose=0)
    features = kv.visualize_features(model, "conv", images, top=top)
    assert features.projections.shape == features.patches.shape == (2, 2, 3, 3, 1)


def test_the_model_is_left_as_it_is(model, images, top):
    before = [w.copy() for w in model.get_weights()]
    kv.visualize_features(model, "conv2", images, top=top)
    for weight, kept in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, kept)


def test_save_and_load(model, images, top, tmp_path):
    features = kv.visualize_features(model, "conv2", images, [3], top=top)
    features.save(tmp_path / "a.npz")
    features.save(tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    loaded = FeatureVisualization.load(tmp_path / "a.npz")
    assert loaded == features
    assert (loaded.layer, loaded.pixel_range) == ("conv2", "pixels in [0, 255]")


def test_save_and_load_without_patches(model, images, top, tmp_path):
    features = kv.visualize_features(model, "conv2", images, [3], top=top).without_patches()
    features.save(tmp_path / "a.npz")
    assert FeatureVisualization.load(tmp_path / "a.npz") == features


@pytest.mark.parametrize(
    ("feature_indices", "sentence"),
    [
        (
            [0, 6],
            "Feature 6 is not in the layer, which has 6 feature maps: give 0 to 5. Received: "
            "features=[0, 6]",
        ),
        (
            [-1],
            "Feature -1 is not in the layer, which has 6 feature maps: give 0 to 5. Received: "
            "features=[-1]",
        ),
        ([], "Give a list of numbers of feature maps. Received: features=[]"),
        ([0.5], "Give a list of numbers of feature maps. Received: features=[0.5]"),
        (3, "Give a list of numbers of feature maps. Received: features=3"),
    ],
)
def test_feature_indices_that_do_not_fit(model, images, top, feature_indices, sentence):
    with pytest.raises(ValueError) as raised:  # noqa: PT011 - compared below
        kv.visualize_features(model, "conv2", images, feature_indices, top=top)
    assert str(raised.value) == sentence


def test_a_layer_that_was_not_scanned(model, images, top):
    deconv = kv.DeconvModel(model, "pool1")
    with pytest.raises(ValueError, match="The layer 'pool1' was not scanned, but conv1, conv2"):
        kv.visualize_features(deconv.convnet, deconv.layer, images, top=top)


def test_an_unknown_preprocessing(model, images, top):
    deconv = kv.DeconvModel(model, "conv2")
    with pytest.raises(ValueError, match="preprocessing='coffee'"):
        kv.visualize_features(deconv.convnet, deconv.layer, images, top=top, preprocessing="coffee")


def test_no_image_left(model, images):
    nothing = LayerActivations(
        np.full((6, 2), -np.inf, "float32"), np.full((6, 2), -1), np.full((6, 2, 2), -1, "int32")
    )
    with pytest.raises(ValueError, match="no image among the strongest activations: scan"):
        kv.visualize_features(model, "conv2", images, top=TopActivations({"conv2": nothing}))


def brightness(model, layer, images, target):
    """A user's own method: a heat map."""
    return images.mean(axis=-1)


@pytest.mark.parametrize("layer", ["conv2", slow("fc")])
def test_several_methods_of_the_same_activations(model, images, top, layer):
    methods = {"guided": "guided", "times input": "gradient_times_input", "mine": brightness}
    methods["deconvnet"] = "deconvnet"
    options = {"features": [2, 0], "top": top, "verbose": 0}
    found = kv.visualize_features(model, layer, images, methods=methods, **options)
    assert list(found) == list(methods)
    for name, features in found.items():
        assert features.method == name
        for field in ("activations", "image_indices", "positions", "patches", "boxes"):
            np.testing.assert_array_equal(
                getattr(features, field), getattr(found["deconvnet"], field)
            )
    for name in ("deconvnet", "guided"):
        alone = kv.visualize_features(model, layer, images, methods=name, **options)
        scale = np.abs(alone.projections).max()
        assert scale > 0
        np.testing.assert_allclose(
            found[name].projections, alone.projections, rtol=1e-5, atol=1e-5 * scale
        )
    unit = found["guided"]
    target = kv.targets.Unit(2, *([] if layer == "fc" else unit.positions[0, 1]))
    image = images[unit.image_indices[0, 1]][None]
    top_, left, bottom, right = unit.boxes[0, 1]
    for name in ("times input", "mine"):
        (whole,) = kv.attribute(model, layer, image, target, methods[name])
        shown = found[name].projections[0, 1, top_:bottom, left:right]
        field = kv.DeconvModel(model, layer).receptive_field(SIZE)
        row, column = field.box(*map(int, unit.positions[0, 1]))[:2]
        rows, columns = (slice(row + top_, row + bottom), slice(column + left, column + right))
        expected = whole[rows, columns]
        expected = expected if expected.ndim == 3 else expected[..., None] + np.zeros(3)
        np.testing.assert_allclose(shown, expected, rtol=1e-5, atol=1e-5 * np.abs(whole).max())


def test_methods_that_need_no_rule_project_through_any_layer():
    options = {"activation": "tanh", "kernel_initializer": keras.initializers.RandomNormal(0, 1e-4)}
    model = keras.Sequential([keras.Input((9, 8, 3)), layers.Conv2D(4, 3, **options, name="tanh")])
    images = np.random.default_rng(0).uniform(0, 255, (3, 9, 8, 3)).astype("float32")
    options = {"preprocessing": "raw", "k": 1, "verbose": 0}
    found = kv.visualize_features(model, "tanh", images, methods=["gradient"], **options)
    assert np.abs(found["gradient"].projections).max() > 0
    with pytest.raises(ValueError, match="no rule"):
        kv.visualize_features(model, "tanh", images, methods=["gradient", "deconvnet"], **options)


class Counting(layers.Layer):
    """Counts how often its Python code runs: once for each compilation."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.count = 0

    def call(self, inputs):
        self.count += 1
        return inputs


@pytest.mark.parametrize("method", ["gradient_times_input", "grad_cam"])
def test_a_method_is_compiled_once_for_all_units(method, monkeypatch):
    monkeypatch.setattr("kerasvis.analyses.unit_windows.NUM_UNITS_AT_ONCE", 5)
    counting = Counting()
    below = layers.Conv2D(3, 3, activation="relu")
    conv = layers.Conv2D(9, 3, activation="relu", bias_initializer="ones", name="conv")
    model = keras.Sequential([keras.Input((9, 8, 3)), counting, below, conv])
    images = np.random.default_rng(0).uniform(0, 255, (4, 9, 8, 3)).astype("float32")
    options = {"preprocessing": "raw", "methods": [method], "batch_size": 5, "verbose": 0}
    top = kv.find_top_activations(model, "conv", images, 2, verbose=0)
    counts = []
    for features in ([0], list(range(9))):
        counting.count = 0
        kv.visualize_features(model, "conv", images, features, top=top, **options)
        counts.append(counting.count)
    assert counts[0] == counts[1] > 0
