"""A scan whose parts are computed by an engine in any order, and merged in the order of the images.

```
 ranges of images ──► engine ──► parts, in any order ──► saved ──► merged from the first image on
```
"""

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Self

import keras
import numpy as np

from kerasvis.activations.reducers import Reducer, State
from kerasvis.data.image_ranges import ImageRange
from kerasvis.data.images import Progress
from kerasvis.graph.portable_model import PortableModel


@dataclasses.dataclass(frozen=True, eq=False)
class PartOfScan:
    """What a worker returns for a range of images.

    Attributes:
        begin: index of the first image.
        end: index after the last one.
        num_batches: number of batches with at least one image that could be decoded.
        states: for each reducer of a layer, its states, to be merged in order: one, or one for each
            batch if merging rounds.
        skipped: `{image index: reason}` of the images that could not be decoded.
    """

    begin: int
    end: int
    num_batches: int
    states: tuple[list[State], ...]
    skipped: dict[int, str]

    def to_arrays(self) -> dict[str, np.ndarray]:
        """The part as it is saved: `{name: array}`."""
        described = [self.begin, self.end, self.num_batches, [len(each) for each in self.states]]
        arrays = {"described": np.array(json.dumps([*described, self.skipped]))}
        for number, states in enumerate(self.states):
            for place, state in enumerate(states):
                arrays |= {f"{number}/{place}/{name}": array for name, array in state.items()}
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """The part that was saved."""
        begin, end, num_batches, lengths, skipped = json.loads(str(arrays["described"]))
        states: tuple[list[dict], ...] = tuple([{} for _ in range(length)] for length in lengths)
        for path, array in arrays.items():
            number, slash, rest = path.partition("/")
            place, _, name = rest.partition("/")
            if slash:
                states[int(number)][int(place)][name] = array
        skipped = {int(index): reason for index, reason in skipped.items()}
        return cls(begin, end, num_batches, states, skipped)


class ScanWorker:
    """Scans ranges of images on another machine, to which it brings the model.

    Args:
        model: a functional or Sequential `keras.Model`.
        layers: names of the layers that are scanned; None if the whole model is needed.
        make_scan: function of the model that returns its `Scan`.
    """

    def __init__(self, model: keras.Model, layers: Sequence[str] | None, make_scan: Callable):
        self._portable, self._make_scan = PortableModel(model, layers), make_scan

    def open(self):
        self._scan = self._make_scan(self._portable.load())
        del self._portable

    def __call__(self, images: ImageRange) -> PartOfScan:
        return self._scan.part(images)


class PartsInOrder:
    """Merges parts that arrive in any order, in the order of their images.

    Args:
        reducers: the `Reducer` of each state.
        states: the initial state of each; None before the first batch.
        progress: the `Progress` of these states.
    """

    def __init__(self, reducers: Sequence[Reducer], states: Sequence, progress: Progress):
        self._reducers, self.states, self.progress = reducers, list(states), progress
        self._waiting: dict[int, PartOfScan] = {}

    @property
    def num_images(self) -> int:
        """Number of images that have been scanned, in order or not."""
        return self.progress.next_index + sum(p.end - p.begin for p in self._waiting.values())

    def add(self, part: PartOfScan) -> None:
        """Adds a part, which is merged once all earlier ones have arrived."""
        self._waiting[part.begin] = part
        while (following := self._waiting.pop(self.progress.next_index, None)) is not None:
            self._merge(following)

    def _merge(self, part):
        for number, (reducer, states) in enumerate(zip(self._reducers, part.states, strict=True)):
            for state in states:
                earlier = self.states[number]
                self.states[number] = state if earlier is None else reducer.merge(earlier, state)
        self.progress = Progress(self.progress.num_batches + part.num_batches, part.end)
