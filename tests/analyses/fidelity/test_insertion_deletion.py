import keras
import numpy as np
import pytest
from keras import layers

from kerasvis.analyses.fidelity.chosen_units import choose_units
from kerasvis.analyses.fidelity.insertion_deletion import (
    RANDOM,
    InsertionDeletion,
    by_chance,
    measure_insertion_deletion,
    order_of_pixels,
    replaced,
)
from kerasvis.analyses.fidelity.unit_maps import unit_methods
from kerasvis.attributions.edges import edges

SIZE = (5, 4)


def test_curves_of_a_linear_unit_by_hand():
    """Weights 20, 19, ..., 1 on white pixels: the gradient takes them in this order."""
    weights = np.arange(20, 0, -1, dtype="float32")
    shuffled = np.random.default_rng(0).permutation(weights)
    stack = [layers.Flatten(), layers.Dense(1, use_bias=False, name="unit")]
    model = keras.Sequential([keras.Input((*SIZE, 1)), *stack])
    model.set_weights([shuffled[:, None]])
    images = np.ones((2, *SIZE, 1), "float32")
    units = choose_units(model, "unit", images)
    num_advances = []
    found = measure_insertion_deletion(
        units,
        {**unit_methods(["gradient"]), RANDOM: by_chance},
        np.zeros_like(images),
        num_steps=5,
        advance=lambda: num_advances.append(1),
    )
    assert found.methods == ("gradient", "random")
    assert len(num_advances) == 4
    np.testing.assert_array_equal(found.shares, [0, 0.25, 0.5, 0.75, 1])
    inserted = np.array([0, *(weights[:n].sum() for n in (5, 10, 15, 20))]) / 210
    np.testing.assert_allclose(found.insertion[0], [inserted] * 2, rtol=1e-5)
    np.testing.assert_allclose(found.deletion[0], [1 - inserted] * 2, rtol=1e-5, atol=1e-6)
    area = 0.25 * (inserted[1:4].sum() + inserted[4] / 2)
    np.testing.assert_allclose(found.insertion_area[0], area, rtol=1e-5)
    np.testing.assert_allclose(found.deletion_area[0], 1 - area, rtol=1e-5)
    # In random order, what is inserted and what is deleted make up the whole.
    np.testing.assert_allclose(found.insertion[1] + found.deletion[1], 1, rtol=1e-5)
    assert (found.insertion_area[1] < area).all()


def test_only_pixels_that_the_unit_sees_are_replaced():
    model = keras.Sequential([keras.Input((6, 7, 2)), layers.Conv2D(1, 3, name="unit")])
    model.set_weights([np.ones((3, 3, 2, 1)), np.zeros(1)])
    images = np.random.default_rng(0).random((1, 6, 7, 2)).astype("float32")
    units = choose_units(model, "unit", images)
    options = {"num_steps": 10, "seed": 4}
    found = measure_insertion_deletion(
        units,
        {"edges": edges, RANDOM: by_chance},
        np.zeros_like(images),
        **options,
    )
    # Nine pixels, one a step: all of them count.
    assert (np.diff(found.insertion, axis=-1) > 0).all()
    assert (np.diff(found.deletion, axis=-1) < 0).all()
    np.testing.assert_allclose(found.insertion[..., -1], 1, rtol=1e-5)


def test_order_of_pixels():
    values = np.zeros((6, 5, 2))
    values[2, 3] = [-4, -1]
    values[1, 1] = [2, -2]
    values[0, 0] = 100  # not seen
    order = order_of_pixels(values, (1, 1, 4, 5), 0)
    assert order[:2].tolist() == [[2, 3], [1, 1]]
    assert sorted(map(tuple, order.tolist())) == [(r, c) for r in (1, 2, 3) for c in (1, 2, 3, 4)]
    other = order_of_pixels(values, (1, 1, 4, 5), 1)
    assert other[:2].tolist() == order[:2].tolist()
    assert other.tolist() != order.tolist(), "pixels of equal strength come by chance"


def test_exchanged_pixels():
    image, other = np.zeros((2, 2, 1)), np.ones((2, 2, 1))
    order = np.array([[1, 0], [0, 1], [0, 0], [1, 1]])
    found = replaced(image, other, order, 0.5)[..., 0]
    np.testing.assert_array_equal(found, [[0, 1], [1, 0]])
    assert not image.any()
    assert not replaced(image, other, order, 0).any()
    assert replaced(image, other, order, 1).all()


@pytest.mark.parametrize(("curve", "area"), [([1, 1, 1], 1), ([0, 1, 0], 0.5), ([0, 0, 2], 0.5)])
def test_areas(curve, area):
    curves = np.array([[curve]], "float64")
    check = InsertionDeletion(("random",), np.array([0, 0.5, 1]), curves, 2 * curves)
    assert check.deletion_area == pytest.approx(area)
    assert check.insertion_area == pytest.approx(2 * area)
