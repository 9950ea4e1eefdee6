import itertools
import math

import numpy as np
import pytest

from kerasvis.analyses.filters.aliasing import aliasing


def noise(size, channels=3, num_features=1, seed=0):
    return np.random.default_rng(seed).normal(size=(num_features, *size, channels))


def ratio_by_hand(projection, strides):
    """The definition, point by point of a spectrum whose sides are multiples of the strides."""
    height, width, channels = projection.shape
    points = [s * math.ceil(4 * n / s) for s, n in zip(strides, (height, width), strict=True)]
    strength = np.zeros((height, width))
    for row, column, channel in itertools.product(range(height), range(width), range(channels)):
        hann = [
            math.sin(math.pi * (place + 1) / (length + 1)) ** 2
            for place, length in ((row, height), (column, width))
        ]
        strength[row, column] += abs(projection[row, column, channel]) * hann[0] * hann[1]
    multiples = [
        (i / strides[0], j / strides[1])
        for i in range(strides[0])
        for j in range(strides[1])
        if (i, j) != (0, 0)
    ]
    farthest = min(height / (2 * strides[0]), width / (2 * strides[1]))
    at_peaks, around = [], []
    for i, j in itertools.product(*map(range, points)):
        vertical, horizontal = i / points[0], j / points[1]
        distances = [
            math.hypot(circle(vertical - v) * height, circle(horizontal - h) * width)
            for v, h in multiples
        ]
        rows = np.exp(-2j * np.pi * vertical * np.arange(height))
        columns = np.exp(-2j * np.pi * horizontal * np.arange(width))
        energy = abs(rows @ strength @ columns) ** 2
        if min(distances) <= 1 + 1e-9:
            at_peaks.append(energy)
        if any(2 - 1e-9 <= distance <= farthest + 1e-9 for distance in distances):
            around.append(energy)
    return np.mean(at_peaks) / np.mean(around)


def circle(difference):
    return min(abs(difference - n) for n in (-1, 0, 1))


@pytest.mark.parametrize(
    ("size", "strides", "channels"),
    [((17, 19), (4, 4), 3), ((13, 18), (2, 3), 1), ((15, 16), (1, 2), 2), ((21, 13), (3, 1), 3)],
)
def test_is_the_ratio_of_the_definition(size, strides, channels):
    projections = noise(size, channels, num_features=2)
    expected = [ratio_by_hand(projection, strides) for projection in projections]
    np.testing.assert_allclose(aliasing(projections, strides), expected, rtol=1e-5)


def grid_of(stride, phase=0, size=(48, 44)):
    """Noise of mean zero, stronger on a grid: its energy at the stride is in its strength alone."""
    rows, columns = np.indices(size)
    is_on = ((rows + phase) % stride == 0) & ((columns + phase) % stride == 0)
    return noise(size, num_features=8) * (1 + is_on)[:, :, None]


@pytest.mark.parametrize("phase", [0, 1])
@pytest.mark.parametrize("stride", [2, 3, 4, 5])
def test_a_grid_stands_out_at_its_stride_alone(stride, phase):
    projections = grid_of(stride, phase)
    assert np.median(aliasing(projections, (stride, stride))) > 2
    others = [other for other in (2, 3, 4, 5) if math.gcd(stride, other) == 1]
    for other in others:
        assert np.median(aliasing(projections, (other, other))) < 1.2


def test_noise_has_a_ratio_of_one():
    projections = noise((40, 40), num_features=200)
    for stride in (2, 3, 4):
        assert np.mean(aliasing(projections, (stride, stride))) == pytest.approx(1, abs=0.1)


def test_scale_and_sign_do_not_matter():
    projections = grid_of(4)
    expected = aliasing(projections, (4, 4))
    np.testing.assert_allclose(aliasing(-1e-6 * projections, (4, 4)), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("size", "strides"), [((30, 30), (1, 1)), ((15, 40), (4, 4)), ((40, 7), (2, 2))]
)
def test_nothing_to_measure(size, strides):
    assert np.isnan(aliasing(noise(size, num_features=3), strides)).all()


def test_a_projection_of_zeros():
    projections = grid_of(4)
    projections[2] = 0
    assert np.isnan(aliasing(projections, (4, 4))).tolist() == [n == 2 for n in range(8)]
