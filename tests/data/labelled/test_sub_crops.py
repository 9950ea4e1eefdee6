import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from kerasvis.data.labelled.sub_crops import (
    center_crop,
    sub_crop_corners,
    sub_crop_positions,
    ten_crops,
)

SIZES = st.tuples(st.integers(1, 6), st.integers(1, 6))


def crop_oracle(image, top, left, crop_size, mirrored):
    """Pixel by pixel."""
    rows, columns = crop_size
    crop = np.empty((rows, columns, image.shape[-1]), image.dtype)
    for row in range(rows):
        for column in range(columns):
            taken = columns - 1 - column if mirrored else column
            crop[row, column] = image[top + row, left + taken]
    return crop


@hypothesis.given(crop_size=SIZES, larger=SIZES)
def test_corners_and_centre_and_their_mirror_images(crop_size, larger):
    rows, columns = (crop + more - 1 for crop, more in zip(crop_size, larger, strict=True))
    images = np.random.default_rng(0).integers(0, 256, (2, rows, columns, 3)).astype("uint8")
    down, right = rows - crop_size[0], columns - crop_size[1]
    places = [(0, 0), (0, right), (down, 0), (down, right), (down // 2, right // 2)]
    crops = ten_crops(images, crop_size)
    assert len(crops) == 10
    by_rows, by_columns = sub_crop_positions((rows, columns), crop_size)
    for number, crop in enumerate(crops):
        place = places[number % 5]
        for image, cropped in zip(images, crop, strict=True):
            expected = crop_oracle(image, *place, crop_size, mirrored=number >= 5)
            np.testing.assert_array_equal(cropped, expected)
            np.testing.assert_array_equal(image[by_rows[number]][:, by_columns[number]], expected)
    np.testing.assert_array_equal(center_crop(images, crop_size), crops[4])


def test_the_papers_sizes():
    places = sub_crop_corners((256, 256), (224, 224))
    assert places == ((0, 0), (0, 32), (32, 0), (32, 32), (16, 16))


def test_crops_that_do_not_fit():
    with pytest.raises(ValueError, match="Received: crops of 5×4 pixels, images of 4×9"):
        ten_crops(np.zeros((1, 4, 9, 3)), (5, 4))
