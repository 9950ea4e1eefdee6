"""Writes the fields of a result as named arrays, and reads them, as their type annotations say.

Each class here handles one kind of type, in both directions:

====================================  =======================================================
type of the field                     arrays
====================================  =======================================================
`str`, `bool`, `int`, `float`         `<field>`, without axes
`Annotated[np.ndarray, Array(...)]`   `<field>`
`tuple` of one of the first four      `<field>`, one axis
`dict`, without types: plain data     `<field>`, JSON
record: a dataclass or `NamedTuple`   `<field>/<name>`, for each of its fields
`tuple[record, ...]`                  `<field>`, how many; `<field>/0/...`, `<field>/1/...`
`dict[str, record or array]`          `<field>`, the keys; `<field>/<key>...`
`X | None`                            those of X; for None `<field>`, of shape (0,)
====================================  =======================================================
"""

import dataclasses
import functools
import json
import types
import typing
from typing import Annotated, Any

import numpy as np

DTYPES = {str: "str", bool: "bool", int: "int64", float: "float64"}
KINDS = {str: "U", bool: "b", int: "iu", float: "fiu"}  # kinds of dtypes that are read as each type


@functools.cache
def field_of(annotation: Any) -> Any:
    """An object that handles values of a type: by `write(value, key)` and `read(arrays, key)`.

    Raises:
        TypeError: if the type is not in the table.
    """
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType) and inner[1:] == (types.NoneType,):
        return OrNone(inner[0])
    if origin is Annotated and isinstance(inner[1], Array):
        return inner[1]
    if annotation in DTYPES:
        return Plain(annotation)
    if annotation is dict:
        return Json()
    if origin is tuple and inner[0] in DTYPES:
        return Values(inner)
    if origin is tuple and inner[1:] == (...,):
        return Several(inner[0])
    if origin is dict and inner[0] is str:
        return Named(inner[1])
    if dataclasses.is_dataclass(annotation) or hasattr(annotation, "_fields"):
        return Structure(annotation)
    raise TypeError(
        f"Fields cannot be of type {annotation!r}: use a type that kerasvis.storage.fields lists."
    )


class Array:
    """An array: its dtype and its axes. Axes of the same name within a class have the same length.

    Args:
        dtype: as NumPy spells it; `"float32|uint8"` for one or the other; `"str"` for strings of
            any length.
        *axes: for each axis, its name or its length; a final `...` allows further axes.

    Example:
        >>> import dataclasses
        >>> from typing import Annotated
        >>> import numpy as np
        >>> from kerasvis.storage.fields import Array
        >>> @dataclasses.dataclass
        ... class Strongest:
        ...     values: Annotated[np.ndarray, Array("float32", "features", "k")]
        ...     positions: Annotated[np.ndarray, Array("int32", "features", "k", 2)]
        >>> print(Array("int32", "features", "k", 2))
        int32 (features, k, 2)
    """

    def __init__(self, dtype: str, *axes: Any):
        self.dtype = dtype
        self.is_open = axes[-1:] == (...,)
        self.axes = axes[:-1] if self.is_open else axes

    def __str__(self):
        axes = ", ".join(map(str, self.axes)) + (", ..." if self.is_open else "")
        return f"{self.dtype} ({axes})"

    def write(self, value, key):
        array = np.asarray(value)
        _check(self._fits(array), key, array, self)
        yield key, array

    def read(self, arrays, key):
        array = _taken(arrays, key)
        _check(self._fits(array), key, array, self)
        return array

    def lengths(self, array):
        """`(name, length)` of the axes that have names."""
        pairs = zip(self.axes, array.shape, strict=False)
        return [(axis, length) for axis, length in pairs if isinstance(axis, str)]

    def _fits(self, array):
        is_text = self.dtype == "str" and array.dtype.kind == "U"
        lengths = array.shape[: len(self.axes)] if self.is_open else array.shape
        fixed = [axis if isinstance(axis, int) else None for axis in self.axes]
        return (
            (is_text or array.dtype.name in self.dtype.split("|"))
            and len(lengths) == len(fixed)
            and all(known in (None, length) for known, length in zip(fixed, lengths, strict=True))
        )


class Plain:
    """A string, a Boolean or a number."""

    def __init__(self, kind):
        self.kind = kind

    def write(self, value, key):
        yield key, np.array(value, DTYPES[self.kind])

    def read(self, arrays, key):
        array = _taken(arrays, key)
        fits = array.ndim == 0 and array.dtype.kind in KINDS[self.kind]
        _check(fits, key, array, f"one {self.kind.__name__}")
        return self.kind(array.item())


class Values:
    """A tuple of strings, Booleans or numbers: `tuple[int, ...]`, `tuple[int, int]`."""

    def __init__(self, kinds):
        self.kind = kinds[0]
        self.length = None if kinds[-1] is ... else len(kinds)

    def write(self, value, key):
        yield key, np.array(value, DTYPES[self.kind]).reshape(len(value))

    def read(self, arrays, key):
        array = _taken(arrays, key)
        fits = array.ndim == 1 and array.dtype.kind in KINDS[self.kind]
        fits = fits and self.length in (None, len(array))
        number = "any number" if self.length is None else self.length
        _check(fits, key, array, f"a tuple of {number} of {self.kind.__name__}")
        return tuple(map(self.kind, array.tolist()))


class Json:
    """Plain data that JSON can represent."""

    def write(self, value, key):
        yield key, np.array(json.dumps(value))

    def read(self, arrays, key):
        return json.loads(Plain(str).read(arrays, key))


class OrNone:
    """A value of another kind, or None."""

    def __init__(self, annotation):
        self.inner = field_of(annotation)

    def write(self, value, key):
        if value is None:
            yield key, np.zeros(0)
        else:
            yield from self.inner.write(value, key)

    def read(self, arrays, key):
        if key in arrays and arrays[key].shape == (0,):
            return None
        return self.inner.read(arrays, key)


class Structure:
    """A dataclass or a `NamedTuple`. In a `Result`, fields that have a default may be missing."""

    def __init__(self, kind):
        hints = typing.get_type_hints(kind, include_extras=True)
        self.kind = kind
        self.fields = {name: field_of(hints[name]) for name in names_of(kind)}
        has_versions = hasattr(kind, "version")
        self.required = _without_default(kind) if has_versions else names_of(kind)

    def write(self, value, key=""):
        values = {name: getattr(value, name) for name in self.fields}
        self._check_lengths(values, key)
        for name, field in self.fields.items():
            yield from field.write(values[name], _joined(key, name))

    def read(self, arrays, key=""):
        values = {
            name: field.read(arrays, _joined(key, name))
            for name, field in self.fields.items()
            if name in self.required or _is_there(arrays, _joined(key, name))
        }
        self._check_lengths(values, key)
        return self.kind(**values)

    def _check_lengths(self, values, key):
        """Checks that axes of the same name have the same length."""
        expected = {}
        arrays = {name: v for name, v in values.items() if isinstance(self.fields[name], Array)}
        for name, array in arrays.items():
            for axis, length in self.fields[name].lengths(np.asarray(array)):
                fits = expected.setdefault(axis, length) == length
                described = f"{self.fields[name]} with {expected[axis]} {axis}"
                _check(fits, _joined(key, name), np.asarray(array), described)


class Several:
    """A tuple of records."""

    def __init__(self, annotation):
        self.inner = field_of(annotation)

    def write(self, value, key):
        yield key, np.array(len(value))
        for number, item in enumerate(value):
            yield from self.inner.write(item, _joined(key, number))

    def read(self, arrays, key):
        number = Plain(int).read(arrays, key)
        return tuple(self.inner.read(arrays, _joined(key, i)) for i in range(number))


class Named:
    """A dict of records or of arrays, in the order of its keys."""

    def __init__(self, annotation):
        self.inner = field_of(annotation)

    def write(self, value, key):
        yield key, np.array(list(value), "str")
        for name, item in value.items():
            yield from self.inner.write(item, _joined(key, name))

    def read(self, arrays, key):
        names = Values((str, ...)).read(arrays, key)
        return {name: self.inner.read(arrays, _joined(key, name)) for name in names}


def names_of(kind: type) -> tuple[str, ...]:
    """Names of the fields of a dataclass or a `NamedTuple`."""
    if dataclasses.is_dataclass(kind):
        return tuple(field.name for field in dataclasses.fields(kind))
    return tuple(getattr(kind, "_fields"))  # noqa: B009 - of a NamedTuple


def equal(one: Any, other: Any) -> bool:
    """Whether two values of fields are equal: arrays by dtype and content, NaN equal to NaN."""
    if one is other:
        return True
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return _equal_arrays(np.asarray(one), np.asarray(other))
    if dataclasses.is_dataclass(one):
        return type(one) is type(other) and all(
            equal(getattr(one, name), getattr(other, name)) for name in names_of(type(one))
        )
    if isinstance(one, dict) and isinstance(other, dict):
        return equal(tuple(one.items()), tuple(other.items()))
    if isinstance(one, tuple | list):
        return type(one) is type(other) and len(one) == len(other) and all(map(equal, one, other))
    return bool(one == other or (one != one and other != other))


def _equal_arrays(one, other):
    is_text = one.dtype.kind == other.dtype.kind == "U"  # its dtype depends on the longest string
    if one.shape != other.shape or not (is_text or one.dtype == other.dtype):
        return False
    return bool(((one == other) | ((one != one) & (other != other))).all())


def _taken(arrays, key):
    if key not in arrays:
        raise ValueError(f"it has no {key!r}")
    return arrays[key]


def _check(fits, key, array, expected):
    if not fits:
        raise ValueError(f"{key!r} is {array.dtype} {array.shape}, but {expected} was expected")


def _is_there(arrays, key):
    return key in arrays or any(name.startswith(f"{key}/") for name in arrays)


def _without_default(kind):
    missing = dataclasses.MISSING
    return [
        field.name
        for field in dataclasses.fields(kind)
        if field.default is missing and field.default_factory is missing
    ]


def _joined(key, name):
    return f"{key}/{name}" if key else str(name)
