import shutil
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from kerasvis.analyses import LayerAblation, ablate
from kerasvis.data.labelled.sub_crops import center_crop
from kerasvis.storage.files import read_npz
from kerasvis.training import fit
from tests.training.small_runs import CROP_SIZE, NUM_CLASSES, small_images, small_recipe

RECIPE = small_recipe(epochs=3, seed=5)
DATA = SimpleNamespace(
    train=small_images(37), validation=small_images(11, seed=1), class_names=("ant", "bee", "cat")
)
VARIANTS = {"without layer 6": {"units": None}, "none": {}}


def small_net(units=8):
    layers = keras.layers
    dense = [layers.Dense(units, "relu"), layers.Dropout(0.3)] if units else []
    return keras.Sequential(
        [
            keras.Input((CROP_SIZE, CROP_SIZE, 3)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(4, 5, 2, activation="relu"),
            layers.BatchNormalization(),
            layers.Flatten(),
            *dense,
            layers.Dense(NUM_CLASSES, activation="softmax"),
        ]
    )


def ablate_small(directory, variants=VARIANTS, recipe=RECIPE, data=DATA, builder=small_net):
    return ablate(builder, variants, recipe, data, directory, verbose=0)


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return tmp_path_factory.mktemp("ablation")


@pytest.fixture(scope="module")
def ablation(directory):
    return ablate_small(directory)


def error_oracle(model, images, k):
    """Image by image, in %."""
    probabilities = model.predict(center_crop(images.pixels, (CROP_SIZE, CROP_SIZE)), verbose=0)
    wrong = 0
    for row, label in zip(probabilities, images.labels, strict=True):
        wrong += label not in sorted(range(NUM_CLASSES), key=lambda n, row=row: -row[n])[:k]
    return 100 * wrong / len(images.labels)


def test_errors_are_those_of_the_final_weights(ablation):
    """Against the second net trained by itself, and its predictions counted."""
    keras.utils.set_random_seed(5)
    model = small_net()
    fit(model, DATA.train, DATA.validation, RECIPE, verbose=0)
    expected = [[error_oracle(model, s, k) for k in (1, 5)] for s in (DATA.train, DATA.validation)]
    found = [ablation.train_errors[1], ablation.validation_errors[1]]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-4)  # Keras' means are float32


def test_what_else_it_tells(ablation):
    assert ablation.variants == ("without layer 6", "none")
    convolution, norm, num_units = 5 * 5 * 3 * 4 + 4, 2 * 4, 4 * 4 * 4
    dense = [num_units * 3 + 3, num_units * 8 + 8 + 8 * 3 + 3]
    assert ablation.num_parameters.tolist() == [convolution + norm + n for n in dense]
    assert ablation.num_images.tolist() == [37, 11]
    assert (ablation.num_classes, ablation.num_epochs) == (3, 3)
    assert len(set(ablation.train_errors[:, 0])) > 1
    assert (ablation.seconds > 0).all()


@pytest.mark.usefixtures("eager_functions")
def test_nothing_is_trained_twice(ablation, directory, convolutions):
    assert ablate_small(directory) == ablation
    assert convolutions.num_new() == 0
    for state in directory.rglob("state.npz"):  # no weights stay
        assert read_npz(state, "a history").keys() == {"history"}


@pytest.mark.slow
@pytest.mark.usefixtures("eager_functions")
def test_interrupted_within_a_variant(tmp_path, convolutions):
    whole = ablate_small(tmp_path / "whole")
    of_a_net, remainder = divmod(convolutions.num_new(), 2)
    assert remainder == 0  # both have one convolution
    convolutions.interrupt_after(of_a_net + of_a_net // 2)
    with pytest.raises(KeyboardInterrupt):
        ablate_small(tmp_path / "stopped")
    convolutions.num_new()
    again = ablate_small(tmp_path / "stopped")
    # The first net is not trained again; the second resumes from its last epoch.
    assert of_a_net // 2 <= convolutions.num_new() < 0.8 * of_a_net
    np.testing.assert_array_equal(again.train_errors, whole.train_errors)
    np.testing.assert_array_equal(again.validation_errors, whole.validation_errors)


def test_files(ablation, tmp_path):
    ablation.save(tmp_path / "ablation.npz")
    assert LayerAblation.load(tmp_path / "ablation.npz") == ablation


def test_wrong_variants(tmp_path):
    with pytest.raises(
        ValueError, match=r"no variant to train: give at least one. Received: variants=\{\}"
    ):
        ablate_small(tmp_path, {})
    sentence = (
        r"^The variants 'a, b' and 'a b' would share the folder .*a_b: give names that differ"
    )
    with pytest.raises(ValueError, match=sentence):
        ablate_small(tmp_path, {"a, b": {}, "a b": {}})


def test_mistakes_come_before_the_long_work(tmp_path):
    def builder(units=8):
        if units < 0:
            raise ValueError("units is negative.")
        return small_net(units)

    with pytest.raises(ValueError, match=r"units is negative\."):
        ablate_small(tmp_path, {"none": {}, "wrong": {"units": -1}}, builder=builder)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"recipe": small_recipe(epochs=4, seed=5)}, r"other recipe, epochs \(3 there, 4 here\)"),
        ({"variants": {"none": {"units": 9}}}, r"other model, layer 5, a Dense:"),
        (
            {"data": SimpleNamespace(**vars(DATA) | {"train": small_images(36)})},
            r"other training data, images \(37 there, 36 here\)",
        ),
    ],
)
def test_folders_of_another_training(ablation, directory, changes, sentence):
    with pytest.raises(ValueError, match=rf"^The folder .* computed from {sentence}"):
        ablate_small(directory, **changes)


@pytest.mark.slow
def test_a_damaged_result_is_computed_again(ablation, directory, tmp_path):
    shutil.copytree(directory, tmp_path, dirs_exist_ok=True)
    filepath = tmp_path / "none" / "result.npz"
    content = bytearray(filepath.read_bytes())
    content[content.index(np.float64(ablation.train_errors[1, 0]).tobytes())] ^= 1
    filepath.write_bytes(content)
    again = ablate_small(tmp_path)
    np.testing.assert_array_equal(again.train_errors, ablation.train_errors)
    assert again.seconds[0] == ablation.seconds[0]
    assert again.seconds[1] != ablation.seconds[1]
