"""Parts of a sequence whose items keep their places."""

from collections.abc import Sequence
from typing import Any


class Section(Sequence):
    """Some items in a row of a sequence, under the places that they have there.

    Args:
        items: the items, as an array or a tuple.
        begin: the place of the first one.
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
    """Some items of a sequence, under the places that they have there.

    Args:
        items: the sequence.
        places: of the items that are chosen.
    """

    def __init__(self, items, places):
        self._items, self._length = {place: items[place] for place in places}, len(items)

    def __len__(self):
        return self._length

    def __getitem__(self, place):
        return self._items[place]
