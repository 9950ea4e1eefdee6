"""Parts of a sequence in which items keep their indices."""

from collections.abc import Sequence
from typing import Any


class Section(Sequence):
    """Consecutive items of a sequence, under their indices in the sequence.

    Args:
        items: the items, as an array or a tuple.
        begin: the index of the first one.
    """

    def __init__(self, items: Any, begin: int):
        self.items, self.begin = items, begin
        if hasattr(items, "shape"):
            self.shape, self.dtype = (len(self), *items.shape[1:]), items.dtype

    def __len__(self):
        return self.begin + len(self.items)

    def __getitem__(self, place):
        if isinstance(place, slice):
            start, stop, _ = place.indices(len(self))
            return self.items[max(0, start - self.begin) : max(0, stop - self.begin)]
        return self.items[place - self.begin]


class Chosen(Sequence):
    """Some items of a sequence, under their indices in the sequence.

    Args:
        items: the sequence.
        places: the indices of the chosen items.
    """

    def __init__(self, items, places):
        self._items, self._length = {place: items[place] for place in places}, len(items)

    def __len__(self):
        return self._length

    def __getitem__(self, place):
        return self._items[place]
