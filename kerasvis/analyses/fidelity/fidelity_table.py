"""The numbers of a fidelity report as rows of a table."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from kerasvis.analyses.fidelity.map_similarity import mean_of_defined
from kerasvis.analyses.fidelity.patch_sufficiency import ENOUGH

if TYPE_CHECKING:
    from kerasvis.analyses.fidelity.fidelity_result import FidelityReport


class Row(NamedTuple):
    """One number for each method.

    Attributes:
        check: name of the check.
        measure: what the number is.
        values: `{method: number}`; methods without a number are left out.
        reference: `(name, number)` to compare with, or None.
    """

    check: str
    measure: str
    values: dict
    reference: tuple | None = None


def fidelity_rows(report: "FidelityReport") -> list[Row]:
    """The rows of a table of the report, means over images.

    Args:
        report: a `FidelityReport`.

    Returns:
        List of `Row`s, check by check; checks that were left out have none.
    """
    of_check = {
        "weight_randomization": _randomization_rows,
        "selectivity": _selectivity_rows,
        "cosine_convergence": _cosine_rows,
        "patch_sufficiency": _patch_rows,
        "insertion_deletion": _curve_rows,
    }
    rows = []
    for name, make_rows in of_check.items():
        if (check := getattr(report, name)) is not None:
            rows += make_rows(check)
    return rows


def _randomization_rows(check):
    rows = []
    top, all_layers = f"random at {check.layers[0]}", f"random down to {check.layers[-1]}"
    for number, measure in enumerate(check.measures):
        for stage, name in {0: top, len(check.layers) - 1: all_layers}.items():
            means = mean_of_defined(check.cascading[:, stage, :, number])
            rows.append(Row("weights", f"{name}: {measure}", _by_method(check, means)))
    return rows


def _selectivity_rows(check):
    rows = []
    for number, measure in enumerate(check.measures):
        for name in ("between_units", "between_images"):
            means = mean_of_defined(getattr(check, name)[..., number])
            label = f"{name.replace('_', ' ')}: {measure}"
            rows.append(Row("selectivity", label, _by_method(check, means)))
    return rows


def _cosine_rows(check):
    if not check.methods:
        return []
    arrived = check.cosines[:, -1].reshape(len(check.methods), -1)
    means = mean_of_defined(arrived)
    return [Row("cosine", "of random signals, at the image", _by_method(check, means))]


def _patch_rows(check):
    size = "×".join(map(str, check.patch_size))
    rows = [
        Row(
            "patch",
            f"activation, {size} {what}",
            _by_method(check, getattr(check, name).mean(axis=1)),
            ("random", float(mean_of_defined(getattr(check, f"random_{name}").ravel()))),
        )
        for name, what in (("occluded", "occluded"), ("shown", "alone"))
    ]
    often = check.how_often_enough()
    random = check.random_shown[~np.isnan(check.random_shown)]
    reference = ("random", float((random >= ENOUGH).mean()) if random.size else np.nan)
    label = f"images where it keeps {ENOUGH:.0%} alone"
    nothing = Row(
        "patch", "activation, nothing shown", _by_method(check, [check.blank.mean()] * len(often))
    )
    return [*rows, Row("patch", label, _by_method(check, often), reference), nothing]


def _curve_rows(check):
    rows = []
    for name in ("deletion", "insertion"):
        *means, random = getattr(check, f"{name}_area").mean(axis=1)
        values = {m: float(x) for m, x in zip(check.methods, means, strict=False)}
        rows.append(Row("pixels", f"{name}, area", values, ("random", float(random))))
    return rows


def _by_method(check, numbers):
    return {m: float(x) for m, x in zip(check.methods, numbers, strict=True)}
