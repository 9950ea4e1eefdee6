"""The parts of a computation that are still to be done, and those that were lost with a worker.

A part that is lost is computed again in two halves: where a machine went away this is less to do
again, and where an image ends every worker it leads to that image. A batch is never divided, since
its values can depend on its size in the last bit. A batch that is lost twice is probed: parts of it
are computed, their results dropped, only to see which image ends the worker.
"""

import collections
import dataclasses
from collections.abc import Iterable
from typing import Any, Protocol, Self

MOST_LOSSES = 2  # of a batch before it is probed, and of an image before it is blamed


class WorkerDiedError(ChildProcessError):
    """Every worker that computes an image, or a batch of them, dies without a Python exception."""


class Part(Protocol):
    """Some batches in a row, as a worker takes them."""

    @property
    def num_images(self) -> int:
        """Number of images."""

    @property
    def num_batches(self) -> int:
        """Number of batches."""

    def halves(self) -> tuple[Self, Self]:
        """Two parts, of half the batches each; there are at least two."""

    def probes(self) -> tuple[Self, Self]:
        """Two smaller batches, of one with at least two images."""

    def describe(self) -> str:
        """What an error calls these images."""


@dataclasses.dataclass(eq=False)
class Attempt:
    """A part that is computed, maybe not for the first time.

    Attributes:
        part: the `Part`.
        probed: the attempt at a batch of which this is a probe; None if the result counts.
        num_losses: how often it was lost.
        num_probes: probes of it that are not done.
        is_harmless: whether all of its probes were computed.
    """

    part: Part
    probed: "Attempt | None" = None
    num_losses: int = 0
    num_probes: int = 0
    is_harmless: bool = False


class Queue:
    """The attempts that wait for a worker.

    Args:
        parts: the `Part`s, which are taken one by one as workers ask for them.
    """

    def __init__(self, parts: Iterable[Any]):
        self._parts = iter(parts)
        self._again: collections.deque[Attempt] = collections.deque()
        self._open: set[Attempt] = set()

    def count(self, most: int) -> int:
        """How many attempts are computed or wait, as far as `most`."""
        while len(self._open) + len(self._again) < most:
            part = next(self._parts, None)
            if part is None:
                break
            self._again.append(Attempt(part))
        return min(most, len(self._open) + len(self._again))

    def next(self) -> Attempt | None:
        """The next attempt, which is computed from now on; None if there is none at the moment."""
        if not self._again and not self.count(len(self._open) + 1) > len(self._open):
            return None
        attempt = self._again.popleft()
        self._open.add(attempt)
        return attempt

    def done(self, attempt: Attempt) -> bool:
        """Whether the result of an attempt that was computed counts; a probe's does not."""
        self._open.remove(attempt)
        batch = attempt.probed
        if batch is None:
            return True
        batch.num_probes -= 1
        if not batch.num_probes:
            batch.is_harmless = True
            self._again.appendleft(batch)
        return False

    def lost(self, attempt: Attempt) -> None:
        """Plans again what was lost with its worker.

        Raises:
            WorkerDiedError: if it is known which image, or which batch, ends every worker.
        """
        self._open.remove(attempt)
        part, batch = attempt.part, attempt.probed or attempt
        attempt.num_losses += 1
        if part.num_batches > 1:
            self._again.extendleft(map(Attempt, reversed(part.halves())))
        elif attempt.num_losses < MOST_LOSSES:
            self._again.appendleft(attempt)
        elif attempt.is_harmless:
            raise WorkerDiedError(
                f"{part.describe()}: every worker that computes these together dies without an "
                "error of Python, although each of them alone is computed: give a smaller "
                "batch_size, or workers with more memory."
            )
        elif part.num_images == 1:
            raise WorkerDiedError(
                f"{part.describe()}: every worker that computes it dies without an error of "
                "Python, as for want of memory or by a crash in a library: leave it out, or give "
                "workers with more memory."
            )
        else:
            batch.num_probes += 2 if attempt is batch else 1  # a probe gives way to two
            self._again.extendleft(Attempt(probe, batch) for probe in reversed(part.probes()))
