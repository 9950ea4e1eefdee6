import itertools
import math
import re

import numpy as np
import pytest

from kerasvis.data import PlantedObjects
from kerasvis.data.planted_objects import Placement, bounding_box, in_object


@pytest.fixture(scope="module")
def planted():
    return PlantedObjects(160, image_size=(48, 70), seed=3)


@pytest.fixture(scope="module")
def images(planted):
    return planted[:]


def test_images_are_pixels(planted, images):
    assert images.shape == planted.shape == (160, 48, 70, 3)
    assert images.dtype == "float32"
    np.testing.assert_array_equal(images, images.astype("uint8"))


def test_an_image_depends_on_the_seed_and_its_index_alone(planted, images):
    longer = PlantedObjects(1000, image_size=(48, 70), seed=3)
    for indices in ([159], [80, 2], [0]):
        np.testing.assert_array_equal(longer[indices], images[indices])
    np.testing.assert_array_equal(planted[:], images)
    np.testing.assert_array_equal(longer.masks[:160], planted.masks)
    other = PlantedObjects(160, image_size=(48, 70), seed=4)
    assert all((other[i] != images[i]).any() for i in range(5))
    assert len(np.unique(images.reshape(160, -1), axis=0)) == 160


def test_indexing_is_that_of_an_array(planted, images):
    assert len(planted) == 160
    np.testing.assert_array_equal(planted[7], images[7])
    np.testing.assert_array_equal(planted[-1], images[159])
    np.testing.assert_array_equal(planted[np.array([9, 2])], images[[9, 2]])
    np.testing.assert_array_equal(planted[3:9:2], images[3:9:2])
    assert planted[5:5].shape == (0, 48, 70, 3)
    with pytest.raises(IndexError):
        planted[160]


def test_every_class_is_equally_frequent(planted):
    assert planted.labels.dtype == np.int64
    np.testing.assert_array_equal(np.bincount(planted.labels), [20] * 8)
    assert planted.class_names == (
        "striped disc",
        "checked disc",
        "striped ring",
        "checked ring",
        "striped cross",
        "checked cross",
        "striped triangle",
        "checked triangle",
    )


def of_class(planted, word):
    """Indices of the images whose class has `word` in its name."""
    classes = [number for number, name in enumerate(planted.class_names) if word in name]
    return np.flatnonzero(np.isin(planted.labels, classes))


def scalar_inside(shape, row, column):
    """Whether a point is in a shape, in the object's axes and radii; written from geometry."""
    if shape == "disc":
        return math.hypot(row, column) < 1
    if shape == "ring":
        return 0.3 < math.hypot(row, column) ** 2 < 1.3
    if shape == "cross":  # two bars, three times as long as wide, of 20/9 times their half length²
        long = math.sqrt(math.pi / (20 / 9))
        bars = ((abs(row), abs(column)), (abs(column), abs(row)))
        return any(along < long and across < long / 3 for along, across in bars)
    side = math.sqrt(4 * math.pi / math.sqrt(3))  # of the equilateral triangle
    corners = [side / math.sqrt(3) * np.exp(1j * (math.pi + k * math.tau / 3)) for k in range(3)]
    point = row + 1j * column
    crosses = [
        ((b - a).conjugate() * (point - a)).imag
        for a, b in zip(corners, corners[1:] + corners[:1], strict=True)
    ]
    return min(crosses) > 0 or max(crosses) < 0


@pytest.mark.parametrize("shape", ["disc", "ring", "cross", "triangle"])
def test_masks_are_the_shapes(planted, shape):
    for index in of_class(planted, shape)[:3]:
        placement = planted._start(index)[1]
        assert placement.shape == shape
        expected = np.zeros((48, 70), bool)
        for row, column in np.ndindex(48, 70):
            point = complex(row + 0.5, column + 0.5) - complex(*placement.centre)
            point *= np.exp(1j * placement.angle) / placement.radius
            expected[row, column] = scalar_inside(shape, point.real, point.imag)
        assert (planted.masks[index] != expected).sum() <= 1  # a pixel's centre on the outline


def test_all_shapes_have_the_area_of_the_disc(planted):
    areas = planted.masks.sum(axis=(1, 2))
    for index, area in enumerate(areas):
        radius = planted._start(index)[1].radius
        assert 0.15 * 48 <= radius <= 0.2 * 48
        assert area == pytest.approx(math.pi * radius**2, rel=0.1)


def test_objects_lie_wholly_inside_all_over_the_image(planted):
    masks = planted.masks
    assert masks.dtype == bool
    assert masks.shape == (160, 48, 70)
    assert not masks[:, [0, -1]].any()
    assert not masks[:, :, [0, -1]].any()
    assert masks.any(axis=0)[10:-10, 10:-10].all()


def test_boxes_just_hold_the_masks(planted):
    assert planted.boxes.dtype == np.int32
    for mask, (top, left, bottom, right) in zip(planted.masks, planted.boxes, strict=True):
        inside = mask[top:bottom, left:right]
        assert inside.sum() == mask.sum()
        assert all(edge.any() for edge in (inside[0], inside[-1], inside[:, 0], inside[:, -1]))


def test_bounding_box_by_hand():
    mask = np.zeros((5, 7), bool)
    mask[1, 4] = mask[3, 2] = True
    assert bounding_box(mask) == (1, 2, 4, 5)


def test_axes_of_an_object_by_hand():
    row, column = in_object(Placement("disc", (1.5, 2.5), 2.0, math.pi / 2), (3, 5))
    np.testing.assert_allclose(row, -(np.arange(5) - 2)[None] / 2 + np.zeros((3, 1)), atol=1e-6)
    np.testing.assert_allclose(column, (np.arange(3) - 1)[:, None] / 2 + np.zeros(5), atol=1e-6)


def test_only_the_object_has_two_colours(planted, images):
    """Inside the mask the pixels fall into two groups, of about equal numbers, far apart."""
    for image, mask in zip(images, planted.masks, strict=True):
        grey = np.sort(image[mask].mean(axis=-1))
        lower, upper = grey[: len(grey) // 3], grey[-len(grey) // 3 :]
        assert upper.mean() - lower.mean() > 50


def test_textures_differ_in_one_direction(planted, images):
    """Along the stripes nothing changes; of checks no direction is without change."""

    def smallest_change(index):
        # Structure tensor of the texture: its smaller eigenvalue is 0 for parallel stripes.
        grey, mask = images[index].mean(axis=-1), planted.masks[index]
        core = (
            mask[1:-1, 1:-1] & mask[:-2, 1:-1] & mask[2:, 1:-1] & mask[1:-1, :-2] & mask[1:-1, 2:]
        )
        slopes = np.stack([g[1:-1, 1:-1][core] for g in np.gradient(grey)])
        values = np.linalg.eigvalsh(slopes @ slopes.T)
        return values[0] / values[1]

    striped, checked = (
        [smallest_change(index) for index in of_class(planted, word)]
        for word in ("striped", "checked")
    )
    assert np.median(striped) < 0.3 < 0.5 < np.median(checked)


def test_colours_do_not_tell_the_object_from_the_background():
    planted = PlantedObjects(200, seed=5)
    inside, outside = (planted[:][mask] for mask in (planted.masks, ~planted.masks))
    shares = [
        np.histogram(grey.mean(axis=-1), bins=16, range=(0, 256))[0] / len(grey)
        for grey in (inside, outside)
    ]
    assert np.minimum(*shares).sum() > 0.75
    np.testing.assert_allclose(inside.mean(axis=0), outside.mean(axis=0), atol=12)
    np.testing.assert_allclose(inside.std(axis=0), outside.std(axis=0), rtol=0.25)


@pytest.mark.slow
def test_colours_do_not_tell_the_class():
    """The best linear guess from means and deviations, of image and object, is hardly luckier."""
    planted = PlantedObjects(1200, image_size=(32, 32), seed=6)
    images, masks = planted[:], planted.masks
    features = np.array(
        [
            [part(pixels, axis=0) for part, pixels in itertools.product((np.mean, np.std), both)]
            for both in ((i.reshape(-1, 3), i[m]) for i, m in zip(images, masks, strict=True))
        ]
    ).reshape(1200, -1)
    features = np.column_stack([features / 255, np.ones(1200)])
    fit, check = slice(0, 800), slice(800, 1200)
    weights = np.linalg.lstsq(features[fit], np.eye(8)[planted.labels[fit]], rcond=None)[0]
    accuracy = ((features[check] @ weights).argmax(axis=1) == planted.labels[check]).mean()
    assert accuracy < 2 / 8


@pytest.mark.parametrize(
    ("num_images", "image_size"), [(0, (64, 64)), (3, (31, 64)), (3, (64, 31)), (3, (64, 64, 3))]
)
def test_what_cannot_be_generated_is_refused(num_images, image_size):
    sentence = f"Received: num_images={num_images}, image_size={image_size}"
    with pytest.raises(ValueError, match=re.escape(sentence)):
        PlantedObjects(num_images, image_size)
