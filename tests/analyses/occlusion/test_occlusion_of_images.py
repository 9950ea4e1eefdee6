import keras
import numpy as np
import pytest

from kerasvis.analyses import OcclusionAnalysis, OcclusionSensitivity
from kerasvis.analyses.occlusion.occlusion_of_images import stream_occlusion_sensitivity
from tests.marks import few


def convnet():
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((12, 12, 3)),
            layers.Conv2D(4, 3, activation="relu", name="conv"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3, activation="softmax"),
        ]
    )


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return convnet()


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).uniform(0, 255, (3, 12, 12, 3)).astype("float32")


class Counting(OcclusionAnalysis):
    """Counts the images that it really analyses, and may stop at one."""

    num_analyzed, stop_at = 0, None

    def __call__(self, image, class_index=None):
        if self.num_analyzed == self.stop_at:
            raise KeyboardInterrupt
        self.num_analyzed += 1
        return super().__call__(image, class_index)


def analysis(model, **settings):
    return Counting(model, (12, 12), **{"patch_size": 4, "strides": 4, "verbose": 0, **settings})


def run(analysis, images, folder, class_indices=(0, 1, None)):
    names = [str(number) for number in range(len(images))]
    return list(stream_occlusion_sensitivity(analysis, images, class_indices, folder, names))


def test_results_are_those_of_the_analysis_and_are_read_again(model, images, tmp_path):
    first = analysis(model)
    results = run(first, images, tmp_path)
    assert first.num_analyzed == 3
    for result, image, class_index in zip(results, images, (0, 1, None), strict=True):
        expected = analysis(model)(image, class_index)
        np.testing.assert_array_equal(result.probability, expected.probability)
    again = analysis(model)
    for result, earlier in zip(run(again, images, tmp_path), results, strict=True):
        np.testing.assert_array_equal(result.activity, earlier.activity)
    assert again.num_analyzed == 0
    assert OcclusionSensitivity.load(tmp_path / "1.npz").class_index == 1


def test_a_stopped_run_goes_on(model, images, tmp_path):
    stopped = analysis(model)
    stopped.stop_at = 2
    with pytest.raises(KeyboardInterrupt):
        run(stopped, images, tmp_path)
    assert sorted(path.name for path in tmp_path.glob("[!.]*")) == ["0.npz", "1.npz"]
    again = analysis(model)
    run(again, images, tmp_path)
    assert again.num_analyzed == 1


@pytest.mark.parametrize(
    "settings",
    few([{"patch_size": 3}, {"strides": 3}, {"baseline": 5.0}, {"feature": 1}, {"seed": 1}]),
    ids=lambda settings: next(iter(settings)),
)
def test_other_settings_are_refused(model, images, tmp_path, settings):
    run(analysis(model), images, tmp_path)
    other = analysis(model, **settings)
    with pytest.raises(ValueError, match=f"computed from other {next(iter(settings))} "):
        run(other, images, tmp_path)
    assert other.num_analyzed == 0


def test_another_model_image_or_class_is_refused(model, images, tmp_path):
    results = run(analysis(model), images, tmp_path)
    keras.utils.set_random_seed(1)
    other_images = [images[0], 0.5 * images[1], images[2]]
    for words, arguments in {
        "computed from other model": (analysis(convnet()), images, tmp_path),
        r"1\.npz was computed from another image": (analysis(model), other_images, tmp_path),
        r"2\.npz .* another class_index \(null there, 2 here\)": (
            *(analysis(model), images, tmp_path),
            (0, 1, 2),
        ),
    }.items():
        with pytest.raises(ValueError, match=words):
            run(*arguments)
        assert arguments[0].num_analyzed == 0
    again = analysis(model)
    assert run(again, images, tmp_path) == results
    assert again.num_analyzed == 0


def test_a_damaged_file_is_computed_again(model, images, tmp_path):
    results = run(analysis(model), images, tmp_path)
    (tmp_path / "2.npz").write_bytes(b"damaged")
    again = analysis(model)
    assert run(again, images, tmp_path) == results
    assert again.num_analyzed == 1
