"""Targets: what they represent, and every way to get one wrong."""

import numpy as np
import pytest

from kerasvis.deconvnet.targets import STRONGEST, WHOLE, Strongest, Unit, WholeMap, as_arrays

MAPS = (5, 7, 4)


def test_one_number_stands_for_all_images():
    features, positions = as_arrays(Unit(3, 4, 6), 3, MAPS)
    assert features.tolist() == [3, 3, 3]
    assert positions.tolist() == [[4, 6]] * 3
    assert (features.dtype, positions.dtype) == ("int32", "int32")


def test_one_entry_per_image():
    features, positions = as_arrays(Unit([0, 3], [1, 2], np.array([5, 6])), 2, MAPS)
    assert features.tolist() == [0, 3]
    assert positions.tolist() == [[1, 5], [2, 6]]


def test_strongest_and_whole_map():
    assert as_arrays(Strongest(1), 2, MAPS)[1].tolist() == [[STRONGEST] * 2] * 2
    assert as_arrays(WholeMap([1, 0]), 2, MAPS)[1].tolist() == [[WHOLE] * 2] * 2


def test_dense_units_have_position_zero():
    assert as_arrays(Unit([3, 9]), 2, (10,))[1].tolist() == [[0, 0], [0, 0]]
    assert as_arrays(Unit(3, 0, 0), 1, (10,))[1].tolist() == [[0, 0]]


def test_unknown_sizes_are_not_checked():
    assert as_arrays(Unit(0, 90, 91), 1, (None, None, 4))[1].tolist() == [[90, 91]]


@pytest.mark.parametrize(
    ("target", "shape", "sentence"),
    [
        (Unit(4, 0, 0), MAPS, "The layer has 4 features: give 0 to 3. Received: feature=4"),
        (Strongest(-1), MAPS, "The layer has 4 features: give 0 to 3. Received: feature=-1"),
        (Unit(0, 5, 0), MAPS, "The layer has 5 rows: give 0 to 4. Received: row=5"),
        (Unit(0, 0, 7), MAPS, "The layer has 7 columns: give 0 to 6. Received: column=7"),
        (Unit(0), MAPS, "A feature map has many units: give Unit(feature, row, column), or"),
        (Unit(0, 1, 0), (10,), "The units of a dense layer have no position: give Unit("),
        (Unit([1, 2, 3], 0, 0), MAPS, "or one per image. Received: 3 numbers for 2 images"),
        (Strongest(1.5), MAPS, "Received: feature=1.5"),
        (42, MAPS, "Received: target=42"),
    ],
)
def test_what_does_not_fit(target, shape, sentence):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        as_arrays(target, 2, shape)
    assert sentence in str(error.value)
