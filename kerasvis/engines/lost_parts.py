"""A queue of the parts of a computation, including those that were lost with a worker.

A lost part is divided into two halves. If a machine failed, less work is lost the next time; if an
image kills every worker, the halves lead to that image. A batch is never divided, since the last
bit of its values can depend on its size. A batch that is lost twice is probed instead: pieces of it
are computed only to see which image kills the worker, and their results are discarded.
"""

import collections
import dataclasses
from collections.abc import Iterable
from typing import Any, Protocol, Self

MOST_LOSSES = 2  # of a batch before it is probed, and of an image before it is blamed


class WorkerDiedError(ChildProcessError):
    """Every worker that computes a certain image or batch dies without a Python exception."""


class Part(Protocol):
    """Consecutive batches, which a worker computes in one go."""

    @property
    def num_images(self) -> int:
        """Number of images."""

    @property
    def num_batches(self) -> int:
        """Number of batches."""

    def halves(self) -> tuple[Self, Self]:
        """Two parts with half of the batches each, of a part with at least two."""

    def probes(self) -> tuple[Self, Self]:
        """Two smaller batches, of a single batch with at least two images."""

    def describe(self) -> str:
        """How error messages name these images."""


@dataclasses.dataclass(eq=False)
class Attempt:
    """A part that waits or is being computed, with what happened to it so far.

    Attributes:
        part: the `Part`.
        probed: of a probe, the attempt at the whole batch; None if the result is to be used.
        num_losses: how often it was lost.
        num_probes: number of its probes that are not completed.
        is_harmless: whether all of its probes were completed.
    """

    part: Part
    probed: "Attempt | None" = None
    num_losses: int = 0
    num_probes: int = 0
    is_harmless: bool = False


class Queue:
    """The attempts that wait for a worker.

    Args:
        parts: the `Part`s, taken one by one as workers become free.
    """

    def __init__(self, parts: Iterable[Any]):
        self._parts = iter(parts)
        self._again: collections.deque[Attempt] = collections.deque()
        self._open: set[Attempt] = set()

    def count(self, most: int) -> int:
        """Number of attempts that wait or are being computed, counted up to `most`."""
        while len(self._open) + len(self._again) < most:
            part = next(self._parts, None)
            if part is None:
                break
            self._again.append(Attempt(part))
        return min(most, len(self._open) + len(self._again))

    def next(self) -> Attempt | None:
        """The next attempt, now being computed; None if none is waiting."""
        if not self._again and not self.count(len(self._open) + 1) > len(self._open):
            return None
        attempt = self._again.popleft()
        self._open.add(attempt)
        return attempt

    def done(self, attempt: Attempt) -> bool:
        """Marks an attempt as completed; returns whether its result is used: a probe's is not."""
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
        """Schedules again what was lost with its worker.

        Raises:
            WorkerDiedError: once it is known which image or batch kills every worker.
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
                f"{part.describe()}: every worker that computes these together dies without a "
                "Python exception, although each of them can be computed alone: give a smaller "
                "batch_size, or workers with more memory."
            )
        elif part.num_images == 1:
            raise WorkerDiedError(
                f"{part.describe()}: every worker that computes it dies without a Python "
                "exception, for example because memory runs out or a library crashes: leave it "
                "out, or give workers with more memory."
            )
        else:
            batch.num_probes += 2 if attempt is batch else 1  # two probes replace a lost one
            self._again.extendleft(Attempt(probe, batch) for probe in reversed(part.probes()))
