import keras
import numpy as np
import pytest
import scipy.stats

from kerasvis.analyses import OcclusionAgreement, occlusion_agreement, occlusion_sensitivity

SETTINGS = {"strides": 3, "layer": "conv", "verbose": 0}


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(3)
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((14, 17, 3)),
            layers.Rescaling(1 / 127.5, -1),
            layers.Conv2D(6, 3, activation="relu", name="conv"),
            layers.GlobalMaxPooling2D(),
            layers.Dense(4, activation="softmax"),
        ]
    )


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(0).uniform(0, 255, (14, 17, 3)).astype("float32")


@pytest.fixture(scope="module")
def found(model, image):
    options = {"baselines": ["grey", 40.0], "patch_sizes": [4, (5, 6)]}
    return occlusion_agreement(model, image, 2, **options, **SETTINGS)


def test_maps_are_those_of_single_analyses(model, image, found):
    assert found.occluders.tolist() == ["4×4 grey", "4×4 baseline 1", "5×6 grey", "5×6 baseline 1"]
    feature = occlusion_sensitivity(model, image, 2, patch_size=4, **SETTINGS).feature_index
    for number, (patch_size, fill) in enumerate(
        [(4, "grey"), (4, 40.0), ((5, 6), "grey"), ((5, 6), 40.0)]
    ):
        single = occlusion_sensitivity(
            model, image, 2, patch_size=patch_size, baseline=fill, feature=feature,
            **SETTINGS,
        )  # fmt: skip
        np.testing.assert_allclose(found.drops[number], single.heat_map(single.drop), rtol=1e-5)
        np.testing.assert_allclose(
            found.activity_drops[number], single.heat_map(single.activity_drop), rtol=1e-5
        )


def test_agreement_is_spearmans(found):
    for maps, agreement in (
        (found.drops, found.agreement),
        (found.activity_drops, found.activity_agreement),
    ):
        expected = scipy.stats.spearmanr(maps.reshape(4, -1), axis=1).statistic
        np.testing.assert_allclose(agreement, expected, atol=1e-3)  # ties apart in float32
        np.testing.assert_allclose(np.diag(agreement), 1)


def test_lowest_agreement(found):
    value, first, second = found.lowest
    names = found.occluders.tolist()
    assert found.agreement[names.index(first), names.index(second)] == value
    assert value == found.agreement.min()


def test_table_has_a_row_for_each_occluder(found):
    lines = str(found).splitlines()
    assert [line.split("  ")[0] for line in lines[1:]] == found.occluders.tolist()
    assert "1.00" in lines[1]


def test_round_trip(found, tmp_path):
    found.save(tmp_path / "agreement.npz")
    loaded = OcclusionAgreement.load(tmp_path / "agreement.npz")
    assert loaded == found
    assert str(loaded) == str(found)


def test_one_occluder_cannot_be_compared(model, image):
    with pytest.raises(ValueError, match="at least two occluders"):
        occlusion_agreement(model, image, baselines=["grey"], patch_sizes=[4], **SETTINGS)
