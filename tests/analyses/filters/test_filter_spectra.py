import itertools
import math

import numpy as np
import pytest

from kerasvis.analyses.filters.filter_spectra import filter_spectra, high_shares_of_noise


def random_kernels(size=(3, 4), channels=2, num_filters=3, seed=0):
    return np.random.default_rng(seed).normal(size=(*size, channels, num_filters))


def energy_by_hand(kernel, frequencies):
    """Energy of one filter `(height, width, channels)` at some (vertical, horizontal)."""
    energies = []
    for vertical, horizontal in frequencies:
        energy = 0
        for channel in range(kernel.shape[2]):
            total = 0
            for row, column in itertools.product(*map(range, kernel.shape[:2])):
                angle = -2j * math.pi * (vertical * row + horizontal * column)
                total += kernel[row, column, channel] * np.exp(angle)
            energy += abs(total) ** 2
        energies.append(energy)
    return np.array(energies)


def test_shares_are_those_of_a_transform_in_loops():
    kernels = random_kernels()
    points = [k / 64 if k < 32 else k / 64 - 1 for k in range(64)]
    frequencies = list(itertools.product(points, points))
    radii = np.array([math.sqrt(v * v + h * h) for v, h in frequencies])
    actual = filter_spectra(kernels)
    for number in range(3):
        energy = energy_by_hand(kernels[..., number], frequencies)
        low, high = energy[radii < 0.1].sum(), energy[radii >= 0.25].sum()
        bands = np.array([low, energy.sum() - low - high, high]) / energy.sum()
        np.testing.assert_allclose(actual.band_shares[number], bands, rtol=1e-5)
        rings = [
            energy[(radii >= n / 32) & (radii < (n + 1) / 32)].sum() / energy.sum()
            for n in range(23)
        ]
        np.testing.assert_allclose(actual.spectra[number], rings, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(actual.frequencies, [(n + 0.5) / 32 for n in range(23)], rtol=1e-6)


@pytest.mark.parametrize("size", [(7, 7), (11, 9), (5, 11)])
@pytest.mark.parametrize(
    ("frequency", "band"), [((0, 0), 0), ((0, 0.18), 1), ((0.18, 0), 1), ((0.3, 0.3), 2)]
)
def test_a_grating_lies_in_the_band_of_its_frequency(size, frequency, band):
    rows, columns = np.indices(size)
    grating = np.cos(2 * np.pi * (frequency[0] * rows + frequency[1] * columns))
    shares = filter_spectra(grating[:, :, None, None]).band_shares[0]
    assert shares.argmax() == band
    assert shares.sum() == pytest.approx(1)


def test_scale_and_place_do_not_matter():
    kernels = random_kernels((5, 5), 3, 4)
    moved = np.zeros((9, 8, 3, 4))
    moved[3:8, 1:6] = 7 * kernels
    for name, values in vars(filter_spectra(kernels)).items():
        np.testing.assert_allclose(getattr(filter_spectra(moved), name), values, rtol=1e-5)


def test_a_filter_of_zeros_has_no_spectrum():
    kernels = random_kernels()
    kernels[..., 1] = 0
    spectra = filter_spectra(kernels)
    assert np.isnan(spectra.band_shares).all(axis=1).tolist() == [False, True, False]
    assert np.isnan(spectra.spectra).all(axis=1).tolist() == [False, True, False]


def test_filters_larger_than_the_transform():
    rows, columns = np.indices((70, 3))
    kernels = np.cos(np.pi * (rows + columns))[:, :, None, None]
    assert filter_spectra(kernels).band_shares[0, 2] > 0.99


@pytest.mark.parametrize(("size", "channels"), [((3, 3), 3), ((7, 5), 1)])
def test_drawn_shares_of_noise_are_distributed_as_those_of_filters(size, channels):
    filters = np.random.default_rng(1).normal(size=(*size, channels, 2000))
    measured = filter_spectra(filters).band_shares[:, 2]
    drawn = high_shares_of_noise(size, channels)
    for quantile in (0.1, 0.5, 0.9):
        assert np.quantile(drawn, quantile) == pytest.approx(
            np.quantile(measured, quantile), abs=0.01
        )
