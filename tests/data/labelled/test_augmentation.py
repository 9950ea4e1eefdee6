import numpy as np
import pytest

from kerasvis.data import random_scale_crops, random_sub_crops
from kerasvis.data.labelled.sub_crops import ten_crops


def numbered_images(number, size=(6, 9)):
    return np.arange(number * size[0] * size[1] * 3).reshape(number, *size, 3).astype("float32")


def test_each_sub_crop_is_one_of_the_ten():
    images = numbered_images(300)
    crops = np.array(random_sub_crops(images, (1, 2), (4, 5)))
    candidates = np.stack(ten_crops(images, (4, 5)), axis=1)
    is_it = (candidates == crops[:, None]).all(axis=(2, 3, 4))
    np.testing.assert_array_equal(is_it.sum(axis=1), 1)
    counts = is_it.sum(axis=0)
    assert counts.min() > 10  # 30 expected of each, deviation 5


def test_bytes_stay_bytes():
    assert random_sub_crops(np.zeros((2, 6, 9, 3), "uint8"), (1, 2), (4, 5)).dtype == "uint8"


@pytest.mark.parametrize(
    "crops",
    [
        lambda images, seed: random_sub_crops(images, seed, (4, 5)),
        lambda images, seed: random_scale_crops(images, seed, 0.5),
    ],
)
def test_the_seed_decides(crops):
    images = numbered_images(20)
    first, again, other = (np.array(crops(images, seed)) for seed in [(1, 2), (1, 2), (1, 3)])
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_crops_of_full_scale_are_the_image_or_its_mirror_image():
    images = numbered_images(40)
    crops = np.array(random_scale_crops(images, (1, 2), 1.0))
    mirrored = [not np.allclose(a, b, atol=1e-2) for a, b in zip(images, crops, strict=True)]
    assert 5 < sum(mirrored) < 35
    for image, crop, is_mirrored in zip(images, crops, mirrored, strict=True):
        expected = image[:, ::-1] if is_mirrored else image
        np.testing.assert_allclose(crop, expected, atol=1e-2)


def test_no_crop_has_a_black_edge():
    white = np.full((5000, 9, 12, 1), 255.0, "float32")
    np.testing.assert_allclose(random_scale_crops(white, (1, 2), 0.9), white, rtol=1e-6)


def test_scales_run_from_the_smallest_to_the_whole():
    """On a ramp, the difference of two columns is the side of the crop as a share."""
    size = 32
    ramp = np.broadcast_to(np.arange(size, dtype="float32")[:, None, None], (200, size, size, 1))
    crops = np.array(random_scale_crops(ramp, (1, 2), 0.6))
    sides = (crops[:, -1, 0, 0] - crops[:, 0, 0, 0]) / (size - 1)
    assert sides.min() == pytest.approx(0.6, abs=0.02)
    assert sides.max() == pytest.approx(1.0, abs=0.02)
    assert sides.mean() == pytest.approx(0.8, abs=0.03)
