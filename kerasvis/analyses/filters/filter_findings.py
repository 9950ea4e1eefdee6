"""A filter diagnosis in words: what the paper found, whether it is found here, and its remedy."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from kerasvis.analyses.filters.filter_spectra import BAND_EDGES, BANDS, high_shares_of_noise

if TYPE_CHECKING:
    from kerasvis.analyses.filters.filter_diagnosis import FilterDiagnosis


# Each threshold lies between what random and healthy trained filters give and what the fault gives;
# benchmarks/filter_diagnosis.py prints how often each rule is wrong.

# Filters of random weights reach 1.1 to 1.3, those of trained nets 1.6 to 3.
DOMINANCE = 4.0

# Random filters of 27 weights (3×3, RGB), the most alike of all, stay below 0.75 in a layer of a
# hundred, and trained nets below 0.92; copies with noise of a fifth of their size are at 0.98.
TWIN_CORRELATION = 0.95

# White noise has 0.8 of its energy in the high band, which is 0.8 of the spectrum's area; of random
# 7×7 filters 1 in 500 reaches 0.9, of 3×3 ones, whose spectra are coarse, 1 in 16. Gratings of
# periods below 3 pixels lie above it.
HIGH_FREQUENCY_SHARE = 0.9
# So small filters reach it by chance. It is no chance where more do than would be expected of noise
# and 1.5 standard deviations of it, which one random layer in ten exceeds.
CHANCE_DEVIATIONS = 1.5

# Of filters spread evenly over three bands a third would be in the middle one.
LITTLE_IN_BETWEEN = 0.15

# The ratio is 1 where nothing happens at the stride. The median over features is certain only up to
# their scatter, so its lower bound counts. At strides that a net does not have, it stays below 1.1;
# at its own stride of 4 it is 1.25 and more in a trained net, 4 and more in random ones.
ALIASING = 1.1


PAPER_FILTER_SIZE = 7  # pixels, of the filters that the paper chose


class Finding(NamedTuple):
    """One thing looked for.

    Attributes:
        name: short name of the fault.
        is_found: whether it is there; None if it could not be looked at.
        evidence: a sentence with the numbers.
        remedy: the paper's, a sentence; "" unless it is found.
    """

    name: str
    is_found: bool | None
    evidence: str
    remedy: str

    def __str__(self):
        state = {True: "found", False: "not found", None: "not looked at"}[self.is_found]
        return " ".join(filter(None, [f"{self.name}: {state}.", self.evidence, self.remedy]))


def filter_findings(diagnosis: "FilterDiagnosis") -> tuple[Finding, ...]:
    """Puts a diagnosis into words.

    Args:
        diagnosis: a `FilterDiagnosis`.

    Returns:
        Tuple of `Finding`: dominant filters, dead filters, near-duplicate filters, high-frequency
        filters, a gap in the middle frequencies, dead maps, aliasing.

    Reference:
        Zeiler & Fergus 2013, Sections 3 and 4.1: the RMS limit, smaller filters and a smaller
        stride are its remedies. Deviation: for duplicates it has none; fewer filters are advised.
    """
    looks = (
        _dominance,
        _dead_filters,
        _duplicates,
        _high_frequencies,
        _little_in_between,
        _dead_maps,
        _aliasing,
    )
    findings = (look(diagnosis) for look in looks)
    return tuple(f if f.is_found else f._replace(remedy="") for f in findings)


def is_twin(diagnosis):
    """Which first-layer filters are near-duplicates of an earlier one, bool `(filters,)`."""
    return diagnosis.correlations >= TWIN_CORRELATION


def is_high_frequency(diagnosis):
    """Which first-layer filters hold little but high frequencies, bool `(filters,)`."""
    return _living(diagnosis) & (diagnosis.band_shares[:, 2] >= HIGH_FREQUENCY_SHARE)


def filters_per_band(diagnosis):
    """Share of the first layer's living filters with most energy in each band, `(3,)`."""
    shares = diagnosis.band_shares[_living(diagnosis)]
    counts = np.bincount(shares.argmax(axis=1), minlength=len(BANDS))
    return counts / max(len(shares), 1)


def _living(diagnosis):
    return ~diagnosis.first.is_weak


def _dominance(diagnosis):
    living = diagnosis.rms[_living(diagnosis)]
    if not len(living):
        return Finding("Dominant filters", None, "All filters have weights near zero.", "")
    evidence = (
        f"The largest filter of {diagnosis.first_layer} has RMS {living.max():.3g}, "
        f"{diagnosis.dominance:.1f} times the median of {np.median(living):.3g} "
        f"(limit {DOMINANCE:g})."
    )
    return Finding(
        "Dominant filters",
        diagnosis.dominance > DOMINANCE,
        evidence,
        "Train with a limit on the RMS of filters (0.1 for pixels of ±128).",
    )


def _dead_filters(diagnosis):
    is_dead = diagnosis.first.is_dead
    num_weak = int(diagnosis.first.is_weak.sum())
    evidence = (
        f"{int(is_dead.sum())} of {len(is_dead)} filters of {diagnosis.first_layer} are dead: "
        f"{num_weak} with weights near zero{_numbers(diagnosis.first.is_weak)}"
    )
    if diagnosis.first.is_watched:
        is_rare = diagnosis.first.is_rare
        evidence += f", {int(is_rare.sum())} that (almost) never fire{_numbers(is_rare)}"
    return Finding(
        "Dead filters",
        bool(is_dead.any()),
        f"{evidence}.",
        "Make the filters smaller, limit their RMS, or use fewer.",
    )


def _duplicates(diagnosis):
    twins = is_twin(diagnosis)
    evidence = (
        f"{int(twins.sum())} of {len(twins)} filters repeat an earlier one{_numbers(twins)}; the "
        f"largest correlation is {diagnosis.correlations.max():.2f} (limit {TWIN_CORRELATION:g})."
    )
    return Finding("Near-duplicate filters", bool(twins.any()), evidence, "Use fewer filters.")


def _high_frequencies(diagnosis):
    is_high = is_high_frequency(diagnosis)
    num_by_chance = high_frequency_filters_by_chance(diagnosis.kernels.shape)
    evidence = (
        f"{int(is_high.sum())} of {len(is_high)} filters hold {HIGH_FREQUENCY_SHARE:.0%} or more "
        f"of their energy above {BAND_EDGES[1]:g} cycles per pixel{_numbers(is_high)}; of noise "
        f"up to {num_by_chance} would."
    )
    return Finding(
        "High-frequency filters",
        bool(is_high.sum() > num_by_chance),
        evidence,
        _smaller(diagnosis),
    )


def _smaller(diagnosis):
    """The paper's change of the first layer, as far as it is not made yet."""
    is_large = max(diagnosis.kernels.shape[:2]) > PAPER_FILTER_SIZE
    changes = [
        *(["filters smaller, as 7×7 for 11×11"] if is_large else []),
        *(["stride smaller, as 2 for 4"] if diagnosis.strides.max() > 1 else []),
    ]
    if not changes:
        return "Its filters and its stride are small already: the paper has no remedy."
    return f"In the first layer, make the {' and the '.join(changes)}."


def high_frequency_filters_by_chance(shape):
    """How many filters of noise may be of high frequency before it is no chance.

    Args:
        shape: `(height, width, channels, filters)`.
    """
    share = np.mean(high_shares_of_noise(shape[:2], shape[2]) >= HIGH_FREQUENCY_SHARE)
    deviation = np.sqrt(shape[3] * share * (1 - share))
    return int(shape[3] * share + CHANCE_DEVIATIONS * deviation)


def _little_in_between(diagnosis):
    low, middle, high = filters_per_band(diagnosis)
    evidence = (
        f"Most energy below {BAND_EDGES[0]:g} cycles per pixel in {low:.0%} of the filters, "
        f"between in {middle:.0%}, above {BAND_EDGES[1]:g} in {high:.0%}."
    )
    return Finding(
        "Little in the middle frequencies",
        bool(middle < LITTLE_IN_BETWEEN and min(low, high) > middle),
        evidence,
        _smaller(diagnosis),
    )


def _dead_maps(diagnosis):
    watched = [layer for layer in diagnosis.layers if layer.is_watched]
    if not watched and not any(layer.is_weak.any() for layer in diagnosis.layers):
        reason = "It takes images and rectified layers; no weights are near zero."
        return Finding("Dead maps", None, reason, "")
    dead = {layer.layer: layer.is_dead for layer in diagnosis.layers}
    found = [
        f"{int(is_dead.sum())} of {len(is_dead)} in {name}{_numbers(is_dead)}"
        for name, is_dead in dead.items()
        if is_dead.any()
    ]
    where = "By weights alone"
    if diagnosis.num_images:
        where = (
            f"Over {diagnosis.num_images} images, {len(watched)} of {len(diagnosis.layers)} "
            "convolution layers watched"
        )
    evidence = f"{where}: {', '.join(found) or 'none'}."
    return Finding(
        "Dead maps",
        bool(found),
        evidence,
        "Limit the RMS of filters, or train with a smaller learning rate or fewer filters.",
    )


def _aliasing(diagnosis):
    name, strides = "Aliasing", "×".join(map(str, diagnosis.strides.tolist()))
    if not diagnosis.second_layer:
        return Finding(name, None, "It takes images and a second convolution layer.", "")
    if diagnosis.strides.max() == 1:
        return Finding(name, False, f"{diagnosis.first_layer} has stride 1, which has none.", "")
    measured = diagnosis.aliasing[~np.isnan(diagnosis.aliasing)]
    if not len(measured):
        evidence = (
            f"The windows of {diagnosis.second_layer}, {diagnosis.projections.shape[1]}×"
            f"{diagnosis.projections.shape[2]} pixels, are too small for stride {strides}."
        )
        return Finding(name, None, evidence, "")
    bound = lower_bound_of_median(measured)
    evidence = (
        f"In projections of {diagnosis.second_layer} the energy at stride {strides} of "
        f"{diagnosis.first_layer} is {diagnosis.median_aliasing:.2f} times that around it, at "
        f"least {bound:.2f} (median of {len(measured)} features and its bound; limit "
        f"{ALIASING:g})."
    )
    return Finding(
        name,
        bool(bound > ALIASING),
        evidence,
        "Make the stride of the first layer smaller, as 2 for 4.",
    )


def lower_bound_of_median(values):
    """The value that a median falls below once in 40 times, from the order of `values` alone.

    Of n values as many lie below the true median as heads fall in n throws: n / 2, and less than
    n / 2 - sqrt(n), two standard deviations, in 2 % of all cases.
    """
    place = int(len(values) / 2 - np.sqrt(len(values)))
    return float(np.sort(values)[max(place, 0)])


def _numbers(condition, most=8):
    """The first places that are true, in brackets."""
    places = np.flatnonzero(condition).tolist()
    if not places:
        return ""
    more = ", …" if len(places) > most else ""
    return f" ({', '.join(map(str, places[:most]))}{more})"
