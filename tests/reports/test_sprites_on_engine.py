"""Feature maps as the parts of a cluster's work; what it makes of them is in `tests/engines`."""

import numpy as np
import pytest

from kerasvis.reports.sprites_on_engine import MapsOfLayer


@pytest.mark.parametrize("number", [2, 5])
def test_the_halves_of_a_part_are_its_maps(number):
    names = tuple(f"{feature}.webp" for feature in range(number))
    part = MapsOfLayer("conv", np.arange(number) + 3, names, images=None, top=None, channels=[1])
    halves = part.halves()
    assert sum(half.num_images for half in halves) == part.num_images == number
    assert np.concatenate([half.maps for half in halves]).tolist() == part.maps.tolist()
    assert sum((half.names for half in halves), ()) == names
    assert {tuple(half.channels) for half in halves} == {(1,)}


def test_parts_are_named_in_messages():
    part = MapsOfLayer("conv", np.array([3, 4, 7]), ("a", "b", "c"), images=None, top=None)
    assert part.describe() == "Feature maps 3 to 7 of layer 'conv'"
    assert part.halves()[0].describe() == "Feature map 3 of layer 'conv'"
