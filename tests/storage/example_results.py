"""Results of every class in the package, of random values: made of what their fields state."""

import dataclasses
import importlib
import pkgutil

import numpy as np

import kerasvis
from kerasvis.occlusion.occluders import Occluders
from kerasvis.storage import fields
from kerasvis.storage.fields import field_of
from kerasvis.storage.results import Result

TEXTS = ("", "conv1", "outer/inner", "<b>größer</b>", "a b\n", "values")
# Records that do not take any values.
MADE = {Occluders: lambda rng: Occluders((31, 17), (5, 4), int(rng.integers(1, 9)))}


def result_classes():
    """All subclasses of `Result` in the package, by name."""
    for module in pkgutil.walk_packages(kerasvis.__path__, "kerasvis."):
        importlib.import_module(module.name)
    found, waiting = {}, [Result]
    while waiting:
        inner = waiting.pop().__subclasses__()
        found |= {kind.__name__: kind for kind in inner if kind.__module__.startswith("kerasvis.")}
        waiting += inner
    return dict(sorted(found.items()))


class Examples:
    """Random values of the fields of results.

    Args:
        seed: of all values.
        is_empty: whether axes and tuples are of length 0, and what may be None is.
    """

    def __init__(self, seed=0, is_empty=False):
        self.rng, self.is_empty = np.random.default_rng(seed), is_empty
        self.lengths = {}

    def of(self, kind):
        """A value of a class."""
        if kind in MADE:
            return MADE[kind](self.rng)
        self.lengths = {}  # of a class' axes
        record = field_of(kind)
        arrays = {n: self.value(f) for n, f in record.fields.items() if isinstance(f, fields.Array)}
        others = {n: self.value(f) for n, f in record.fields.items() if n not in arrays}
        return kind(**arrays, **others)

    def value(self, field):
        match field:
            case fields.Array():
                return self.array(field)
            case fields.OrNone():
                return None if self.is_empty else self.value(field.inner)
            case fields.Plain():
                return self.plain(field.kind)
            case fields.Values():
                length = self.number() if field.length is None else field.length
                return tuple(self.plain(field.kind) for _ in range(length))
            case fields.Json():
                return {"a": [self.plain(int), 2.5, None, self.plain(str)], "b": {}}
            case fields.Several():
                return tuple(self.value(field.inner) for _ in range(self.number()))
            case fields.Named():
                return {name: self.value(field.inner) for name in TEXTS[: self.number()]}
            case fields.Structure():
                return self.of(field.kind)

    def number(self):
        return 0 if self.is_empty else int(self.rng.integers(1, 5))

    def plain(self, kind):
        values = {
            str: TEXTS,
            bool: (False, True),
            int: (-1, 0, 2**62),
            float: (0.5, float("nan"), float("-inf")),
        }
        return values[kind][self.rng.integers(len(values[kind]))]

    def array(self, field):
        shape = [
            axis if isinstance(axis, int) else self.lengths.setdefault(axis, self.number())
            for axis in field.axes
        ]
        if field.dtype == "str":
            texts = [self.plain(str) for _ in range(int(np.prod(shape)))]
            return np.array(texts, "str").reshape(shape)
        array = np.asarray(self.rng.normal(0, 100, shape)).astype(field.dtype.partition("|")[0])
        if array.dtype.kind == "f" and array.size:
            array.flat[0] = np.nan
        return array


def changed(result):
    """`(field, the same result with another value in it)`, for each field."""
    for name, field in field_of(type(result)).fields.items():
        value = getattr(result, name)
        other = Examples(seed=1).value(field)
        for seed in range(2, 20):
            if not fields.equal(other, value):
                break
            other = Examples(seed).value(field)
        yield name, dataclasses.replace(result, **{name: other})
