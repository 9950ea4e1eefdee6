"""Windows are cut without losing a pixel of what lies inside the images."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerasvis.figures.cut_windows import cut_windows


def drawn(seed, window=(9, 11), image=(6, 20), features=2, k=3):
    """Windows at random places of images, those of `-1` absent; 0 outside the image."""
    rng = np.random.default_rng(seed)
    corners = rng.integers(np.negative(window) + 1, image, (features, k, 2))
    begins = np.maximum(-corners, 0)
    boxes = np.concatenate([begins, np.minimum(np.subtract(image, corners), window)], axis=-1)
    projections = np.zeros((features, k, *window, 1), "float32")
    for place in np.ndindex(features, k):
        top, left, bottom, right = boxes[place]
        projections[place][top:bottom, left:right] = 1 + rng.random(
            (bottom - top, right - left, 1), "float32"
        )
    image_indices = rng.integers(-1, 9, (features, k))
    boxes[image_indices < 0], projections[image_indices < 0] = 0, 0
    return SimpleNamespace(
        projections=projections,
        patches=(100 * projections).astype("uint8"),
        boxes=boxes.astype("int32"),
        image_indices=image_indices,
        layer="conv",
    )


@pytest.mark.parametrize("size", [None, (6, 11)])
@given(seed=st.integers(0, 2**32 - 1))
def test_nothing_inside_an_image_is_lost(size, seed):
    layer = drawn(seed)
    cut = cut_windows(layer, size)
    assert cut.projections.shape[2:4] == cut.patches.shape[2:4]
    present = layer.image_indices >= 0
    largest = (layer.boxes[..., 2:] - layer.boxes[..., :2])[present].max(axis=0, initial=1)
    np.testing.assert_array_equal(cut.projections.shape[2:4], largest if size is None else size)
    for place in np.argwhere(present):
        old, new = layer.boxes[tuple(place)], cut.boxes[tuple(place)]
        for name in ("projections", "patches"):
            np.testing.assert_array_equal(
                inside(getattr(cut, name)[tuple(place)], new),
                inside(getattr(layer, name)[tuple(place)], old),
            )
        outside = cut.projections[tuple(place)].copy()
        inside(outside, new)[:] = 0
        assert not outside.any()
    assert not cut.projections[~present].any()


def inside(window, box):
    top, left, bottom, right = box
    return window[top:bottom, left:right]


def test_windows_that_fit_stay_as_they_are():
    layer = drawn(0, window=(4, 5), image=(30, 30))
    layer.boxes[:] = 0, 0, 4, 5
    layer.image_indices[:] = 0
    assert cut_windows(layer) is layer
    assert cut_windows(layer, (30, 30)) is layer


def test_without_patches():
    layer = drawn(1)
    layer.patches = np.zeros((2, 3, 0, 0, 1), "uint8")
    cut = cut_windows(layer, (6, 11))
    assert cut.projections.shape == (2, 3, 6, 11, 1)
    assert cut.patches.shape == (2, 3, 0, 0, 1)


def test_a_result_stays_a_result():
    @dataclasses.dataclass(frozen=True)
    class Result:
        projections: np.ndarray
        patches: np.ndarray
        boxes: np.ndarray
        image_indices: np.ndarray
        layer: str

    layer = Result(**vars(drawn(2)))
    cut = cut_windows(layer, (6, 11))
    assert isinstance(cut, Result)
    assert cut.layer == "conv"
    assert layer.projections.shape[2:4] == (9, 11)
