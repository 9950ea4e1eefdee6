"""How the energy of first-layer filters is spread over spatial frequencies.

In Figure 5 the paper sees a first layer of very high and very low frequencies, with little in
between. Here this is measured as the share of a filter's energy in three bands.
"""

import dataclasses

import numpy as np

BANDS = ("low", "middle", "high")

# In cycles per pixel, the same for filters of every size, so that models can be compared. Below 0.1
# an 11×11 filter contains about one period: a blob of colour. Above 0.25, half of the highest
# frequency along an axis, a period is shorter than 4 pixels, the stride that the paper found too
# large.
BAND_EDGES = (0.1, 0.25)

GRID = 64  # points of the transform along each axis: 1/64 cycles per pixel apart
NUM_FREQUENCIES = 23  # rings of width 1/32 from 0 to the corner of the spectrum, 0.707


@dataclasses.dataclass(frozen=True, eq=False)
class FilterSpectra:
    """Spectra of filters.

    Attributes:
        frequencies: float32 `(frequencies,)`: middles of rings around frequency zero, in cycles per
            pixel.
        spectra: float32 `(filters, frequencies)`: share of a filter's energy in each ring; NaN for
            a filter that is zero everywhere.
        band_shares: float32 `(filters, 3)`: the same in the low, middle and high band.
    """

    frequencies: np.ndarray
    spectra: np.ndarray
    band_shares: np.ndarray


def filter_spectra(kernels):
    """The spectrum of each filter, summed over channels and directions.

    Filters are zero-padded before the transform, so that filters of any size are measured at the
    same frequencies. The mean of a filter belongs to the low band.

    Args:
        kernels: array `(height, width, channels, filters)` of finite weights.

    Returns:
        A `FilterSpectra`.

    Reference:
        Zeiler & Fergus 2013, Section 4.1. Deviation: the paper judges by eye.

    Example:
        >>> import numpy as np
        >>> from kerasvis.analyses.filters.filter_spectra import filter_spectra
        >>> checkers = np.indices((7, 7)).sum(0)[:, :, None, None] % 2 - 0.5
        >>> filter_spectra(checkers).band_shares.round(2)
        array([[0., 0., 1.]], dtype=float32)
    """
    kernels = np.asarray(kernels, "float64")
    grid = np.maximum(GRID, kernels.shape[:2])
    energy = (np.abs(np.fft.fft2(kernels, grid, axes=(0, 1))) ** 2).sum(axis=2)
    energy = energy.reshape(-1, energy.shape[-1])
    with np.errstate(invalid="ignore"):
        energy = energy / energy.sum(axis=0)
    radii = _radii(grid).ravel()
    edges = np.linspace(0, NUM_FREQUENCIES / 32, NUM_FREQUENCIES + 1)
    return FilterSpectra(
        frequencies=((edges[:-1] + edges[1:]) / 2).astype("float32"),
        spectra=_shares(energy, radii, edges[1:-1]),
        band_shares=_shares(energy, radii, BAND_EDGES),
    )


def high_shares_of_noise(size, channels, num_filters=20_000, seed=0):
    """The high band's share of the energy of filters of independent normal weights.

    The shares are sampled directly, without filters: in the basis in which the band's energy is a
    weighted sum of squares, only these squares matter.

    Args:
        size: `(height, width)` of the filters.
        channels: number of channels.
        num_filters: size of the sample.
        seed: seed of the sample.

    Returns:
        float64 `(num_filters,)`.
    """
    grid = np.maximum(GRID, size)
    correlation = np.fft.ifft2(_radii(grid) >= BAND_EDGES[-1]).real
    rows, columns = np.indices(size).reshape(2, -1)
    weights = np.linalg.eigvalsh(correlation[rows[:, None] - rows, columns[:, None] - columns])
    squares = np.random.default_rng(seed).chisquare(channels, (num_filters, len(weights)))
    return squares @ weights / squares.sum(axis=1)


def _radii(grid):
    """Distance from frequency zero in cycles per pixel, of every point of a transform."""
    return np.hypot(*np.meshgrid(*map(np.fft.fftfreq, grid), indexing="ij"))


def _shares(energy, radii, edges):
    """Energy in the rings between `edges`: float32 `(filters, rings)`."""
    rings = np.digitize(radii, edges)
    shares = [energy[rings == ring].sum(axis=0) for ring in range(len(edges) + 1)]
    return np.stack(shares, axis=-1).astype("float32")
