"""Runs a fidelity report on the machines of a cluster, one part for each check and method.

A method's maps are computed for all images at once, as in one process, so that the result is byte
for byte the same.
"""

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Self

from kerasvis.analyses.fidelity.chosen_units import ChosenUnits
from kerasvis.engines import Ray
from kerasvis.graph.portable_model import PortableModel
from kerasvis.storage.results import Result

if TYPE_CHECKING:
    from kerasvis.analyses.fidelity.fidelity_report import Check


@dataclasses.dataclass(frozen=True)
class CheckOfMethod:
    """A part of a report; it can be sent to another machine, but not divided.

    Attributes:
        check: name of the check.
        method: name of the method.
    """

    check: str
    method: str

    num_images = num_batches = 1  # so that it is never divided

    def halves(self) -> tuple[Self, Self]:
        """Raises an error, as a single image is never divided."""
        raise RuntimeError("The check of a method is not divided.")

    probes = halves

    def describe(self) -> str:
        """How error messages name this part."""
        return f"The check {self.check!r} of the method {self.method!r}"


class FidelityWorker:
    """Runs checks on a machine that has not seen the model.

    Args:
        units: the `ChosenUnits`.
        checks: `{name: Check}`.
    """

    def __init__(self, units: ChosenUnits, checks: "Mapping[str, Check]"):
        self._portable = PortableModel(units.model, [units.layer])
        self._units: Any = dataclasses.replace(units, model=None)
        self._checks = checks

    def open(self) -> None:
        self._units = dataclasses.replace(self._units, model=self._portable.load())
        del self._portable

    def __call__(self, part: CheckOfMethod) -> Result:
        check = self._checks[part.check]
        methods = {part.method: check.methods[part.method]}
        return check.of(self._units, methods, lambda *number: None)


def checked_on(
    engine: Ray,
    units: ChosenUnits,
    checks: "Mapping[str, Check]",
    missing: Iterable[CheckOfMethod],
) -> Iterator[tuple[CheckOfMethod, Result]]:
    """Runs checks on an engine.

    Args:
        engine: the `Ray`.
        units: the `ChosenUnits`.
        checks: `{name: Check}`.
        missing: the parts to compute.

    Yields:
        `(part, result)`, in order of completion.
    """
    left = list(missing)
    if left:
        with contextlib.closing(engine.map(FidelityWorker(units, checks), left)) as completed:
            yield from completed
