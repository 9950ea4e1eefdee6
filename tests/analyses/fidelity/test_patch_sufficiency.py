import keras
import numpy as np
import pytest
from keras import layers

from kerasvis.analyses.fidelity.chosen_units import choose_units
from kerasvis.analyses.fidelity.patch_sufficiency import (
    PatchSufficiency,
    measure_patch_sufficiency,
    pasted,
    random_boxes_beside,
    standardize_patch_size,
    strongest_box,
)
from kerasvis.analyses.fidelity.unit_maps import unit_methods

SIZE = (13, 10)
PATCH = (4, 2, 7, 6)  # top, left, bottom, right


@pytest.fixture(scope="module")
def planted():
    """A unit that depends on one patch alone."""
    kernel = np.zeros((*SIZE, 3, 1))
    kernel[4:7, 2:6] = np.random.default_rng(0).uniform(0.5, 1, (3, 4, 3, 1))
    stack = [layers.Flatten(), layers.Dense(1, activation="relu", name="unit")]
    model = keras.Sequential([keras.Input((*SIZE, 3)), *stack])
    model.set_weights([kernel.reshape(-1, 1), np.zeros(1)])
    return model


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).uniform(1, 2, (4, *SIZE, 3)).astype("float32")


def measure(model, images, methods=("deconvnet", "guided", "gradient"), **options):
    units = choose_units(model, "unit", images)
    baselines = options.pop("baselines", np.zeros_like(images))
    methods = unit_methods(methods)
    return measure_patch_sufficiency(units, methods, baselines, **options)


def test_a_planted_patch_is_necessary_and_enough(planted, images):
    num_advances = []
    found = measure(
        planted, images, patch_size=(3, 4), num_draws=6, advance=lambda: num_advances.append(1)
    )
    np.testing.assert_array_equal(found.boxes, np.broadcast_to(PATCH, (3, 4, 4)))
    np.testing.assert_allclose(found.occluded, 0, atol=1e-6)
    np.testing.assert_allclose(found.shown, 1, rtol=1e-5)
    np.testing.assert_allclose(found.random_occluded, 1, rtol=1e-5)
    np.testing.assert_allclose(found.random_shown, 0, atol=1e-6)
    np.testing.assert_allclose(found.blank, 0, atol=1e-6)
    np.testing.assert_array_equal(found.how_often_enough(0.99), 1)
    assert found.patch_size.tolist() == [3, 4]
    assert len(num_advances) == 12


def test_a_map_that_points_elsewhere_is_found_out(planted, images):
    def corner(model, layer, images, target):
        maps = np.zeros_like(images)
        maps[:, :3, -4:] = -1  # energy has no sign
        return maps

    found = measure(planted, images, {"corner": corner}, patch_size=(3, 4))
    np.testing.assert_array_equal(found.boxes[0, 0], [0, 6, 3, 10])
    np.testing.assert_allclose(found.occluded, 1, rtol=1e-5)
    np.testing.assert_allclose(found.shown, 0, atol=1e-6)
    np.testing.assert_array_equal(found.how_often_enough(), 0)


def test_a_part_of_the_patch_keeps_its_share(planted, images):
    """The strongest pixel of a linear unit, by hand; on a baseline that is not black."""
    baselines = np.full_like(images, 0.25)
    found = measure(planted, images, ["gradient"], patch_size=1, baselines=baselines)
    kernel = planted.get_layer("unit").kernel.numpy().reshape(*SIZE, 3)
    row, column = np.unravel_index((kernel**2).sum(axis=2).argmax(), SIZE)
    whole = np.einsum("nrcd,rcd->n", images, kernel)
    blank = 0.25 * kernel.sum()
    part = np.einsum("nd,d->n", images[:, row, column] - 0.25, kernel[row, column])
    np.testing.assert_allclose(found.blank, blank / whole, rtol=1e-5)
    np.testing.assert_allclose(found.shown[0], (blank + part) / whole, rtol=1e-5)
    np.testing.assert_allclose(found.occluded[0], (whole - part) / whole, rtol=1e-5)


def test_strongest_box_by_brute_force():
    values = np.random.default_rng(0).normal(size=(12, 9, 3))
    seen, (height, width) = (2, 1, 11, 9), (3, 4)
    energies = {
        (row, column): (values[row : row + height, column : column + width] ** 2).sum()
        for row in range(2, 11 - height + 1)
        for column in range(1, 9 - width + 1)
    }
    row, column = max(energies, key=energies.get)
    box = strongest_box(values, seen, (height, width))
    assert box.tolist() == [row, column, row + height, column + width]
    # All equal: the first one.
    assert strongest_box(np.ones((12, 9, 1)), seen, (3, 4)).tolist() == [2, 1, 5, 5]
    assert strongest_box(values, seen, (9, 8)).tolist() == [2, 1, 11, 9]


def test_boxes_beside_the_patch():
    box, seen = np.array([4, 2, 7, 6]), np.array([1, 1, 11, 9])
    drawn = random_boxes_beside(box, seen, 3000, 0)
    expected = {
        (row, column)
        for row in range(1, 9)
        for column in range(1, 6)
        if row + 3 <= 4 or row >= 7 or column + 4 <= 2 or column >= 6
    }
    assert {tuple(corner) for corner in drawn[:, :2].tolist()} == expected
    np.testing.assert_array_equal(drawn[:, 2:] - drawn[:, :2], np.tile([3, 4], (3000, 1)))
    np.testing.assert_array_equal(drawn, random_boxes_beside(box, seen, 3000, 0))
    assert len(random_boxes_beside(np.array([1, 1, 8, 9]), seen, 5, 0)) == 0


def test_without_room_beside_the_patch(planted, images):
    found = measure(planted, images, ["gradient"], patch_size=(9, 8), num_draws=2)
    assert np.isnan(found.random_occluded).all()
    assert np.isnan(found.random_shown).all()
    assert not found.random_boxes.any()
    np.testing.assert_allclose(found.shown, 1, rtol=1e-5)


def test_pasting_leaves_the_image_alone():
    image, other = np.zeros((4, 5, 1)), np.ones((4, 5, 1))
    result = pasted(image, other, (1, 2, 3, 4))
    assert not image.any()
    expected = np.zeros((4, 5, 1))
    expected[1:3, 2:4] = 1
    np.testing.assert_array_equal(result, expected)


def test_how_often_enough():
    shown = np.array([[0.2, 0.5, 0.9, 1.1], [0, 0, 0, 0.6]])
    check = PatchSufficiency(("a", "b"), *[None] * 5, shown, None, None)
    np.testing.assert_array_equal(check.how_often_enough(), [0.75, 0.25])
    np.testing.assert_array_equal(check.how_often_enough(0.95), [0.25, 0])


def test_patch_sizes(planted, images):
    units = choose_units(planted, "unit", images)
    assert standardize_patch_size(None, units) == (4, 3)
    assert standardize_patch_size(5, units) == (5, 5)
    for wrong in (0, (14, 2), (2, 11)):
        with pytest.raises(ValueError, match="13×10 pixels: give a size"):
            standardize_patch_size(wrong, units)
