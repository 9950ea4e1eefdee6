"""The checks of a fidelity report on the machines of a cluster, a part for each check and method.

A method's maps are computed for all images at once, as in one process, so that the result is the
same to the byte.
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
    """A part of a report, which is not divided; it can be sent to another machine.

    Attributes:
        check: name of the check.
        method: name of the method.
    """

    check: str
    method: str

    num_images = num_batches = 1  # it is done as a whole, or not at all

    def halves(self) -> tuple[Self, Self]:
        """An error: nothing of a single image or batch is divided."""
        raise RuntimeError("The check of a method is not divided.")

    probes = halves

    def describe(self) -> str:
        """What an error calls it."""
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
        missing: the parts that are to be computed.

    Yields:
        `(part, result)`, as they are completed.
    """
    left = list(missing)
    if left:
        with contextlib.closing(engine.map(FidelityWorker(units, checks), left)) as completed:
            yield from completed
