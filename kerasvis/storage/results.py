"""What analyses return: results that can be saved, loaded, compared and displayed as a table."""

import os
import textwrap
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np

from kerasvis.storage.counted import counted
from kerasvis.storage.fields import equal, field_of, names_of
from kerasvis.storage.files import read_npz, write_npz
from kerasvis.storage.html_table import html_table
from kerasvis.storage.short import short

CLASS, VERSION = "kerasvis/class", "kerasvis/version"  # names of arrays in the file
MOST_LISTED = 6  # values of a tuple or a dict in a `repr`; of longer ones it states the number


class Result:
    """The base of all results: a subclass is a frozen dataclass with annotated fields.

    The format of its files follows from the types of the fields, see `kerasvis.storage.fields`, so
    a subclass needs no code for it. If a new field has a default value, earlier files are read with
    that value. For any other change of the fields, increase `version` by one; `upgraded` may then
    convert earlier files.

    Example:
        >>> import dataclasses
        >>> from typing import Annotated
        >>> import numpy as np
        >>> from kerasvis.storage.fields import Array
        >>> from kerasvis.storage.results import Result
        >>> @dataclasses.dataclass(frozen=True, eq=False)
        ... class Heights(Result):
        ...     unit: str
        ...     values: Annotated[np.ndarray, Array("float32", "people")]
        >>> Heights("m", np.ones(3, "float32")).save("heights.npz")
        >>> Heights.load("heights.npz")
        Heights(unit='m', values=float32 (3,))
    """

    version: ClassVar[int] = 1

    def __init_subclass__(cls, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        cls.__repr__ = cls.__repr__  # type: ignore[method-assign]  # its own, so a dataclass keeps it

    def save(self, filepath: str | os.PathLike) -> None:
        """Writes an `.npz` file atomically.

        Raises:
            OSError: if it cannot be written; existing files stay intact.
            ValueError: if a field is not of its type.
        """
        write_npz(filepath, self.to_arrays())

    @classmethod
    def load(cls, filepath: str | os.PathLike) -> Self:
        """Reads a file written by `save`.

        Raises:
            ValueError: if there is none, it contains something else, or it is damaged.
        """
        arrays = read_npz(filepath, f"a result `{cls.__name__}`")
        try:
            return cls.from_arrays(arrays)
        except ValueError as error:
            raise ValueError(
                f"The file is not an .npz file containing a result `{cls.__name__}`: {error}. "
                f"Received: filepath={str(filepath)!r}"
            ) from error

    def to_arrays(self) -> dict[str, np.ndarray]:
        """`{name: array}`, from which `from_arrays` restores the result."""
        header = {CLASS: np.array(type(self).__name__), VERSION: np.array(self.version)}
        kind: Any = type(self)
        return header | dict(field_of(kind).write(self))

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """The inverse of `to_arrays`; other arrays are ignored.

        Raises:
            ValueError: if the arrays are not those of this class; its message is a clause without
                a full stop.
        """
        name = field_of(str).read(arrays, CLASS) if CLASS in arrays else cls.__name__
        if name != cls.__name__:
            raise ValueError(f"it contains a result `{name}`, which `{name}.load` reads")
        version = field_of(int).read(arrays, VERSION) if VERSION in arrays else 0
        if version > cls.version:
            raise ValueError(
                f"it is of version {version}, but {cls.version} was expected: update kerasvis"
            )
        if version < cls.version:
            arrays = cls.upgraded(arrays, version)
        kind: Any = cls
        return field_of(kind).read(arrays)

    @classmethod
    def upgraded(cls, arrays: Mapping[str, np.ndarray], version: int) -> Mapping[str, np.ndarray]:
        """The arrays of a file of an earlier version, converted to this version.

        Args:
            arrays: `{name: array}`.
            version: the file's version; 0 for files without a version, whose arrays have the same
                names unless a subclass converts them.
        """
        if version > 0:
            raise ValueError(
                f"it is of version {version}, but {cls.version} was expected: compute it again"
            )
        return arrays

    def __eq__(self, other: object) -> bool:
        """By value: arrays by dtype and content, NaN equal to NaN."""
        return equal(self, other) if isinstance(other, Result) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        """The class and its fields: short values as they are, of arrays dtype and shape."""
        fields = (f"{name}={_in_line(getattr(self, name))}" for name in names_of(type(self)))
        return f"{type(self).__name__}({', '.join(fields)})"

    def _repr_html_(self) -> str:
        """The fields as a table."""
        rows = [[name, _described(getattr(self, name))] for name in names_of(type(self))]
        return html_table(type(self).__name__, ["field", "value"], rows)


def layers_as_dict(arrays: Mapping[str, np.ndarray], field: str) -> dict[str, np.ndarray]:
    """Converts the arrays of a file without a version to a field `{layer: ...}`.

    Such files have an array `layers` of names and, for each layer, arrays `<layer>/<part>`.
    """
    layers = field_of(tuple[str, ...]).read(arrays, "layers")
    inside = {f"{field}/{name}": array for name, array in arrays.items()}
    inside |= {f"{field}/{layer}/layer": np.array(layer) for layer in layers}
    return {**arrays, **inside, field: arrays["layers"]}


def _in_line(value: Any) -> str:
    """A value in a `repr`, short whatever it holds."""
    if isinstance(value, np.ndarray | Result) or hasattr(value, "_fields"):
        return _described(value)
    if isinstance(value, tuple | dict) and len(value) > MOST_LISTED:
        return f"<{counted(len(value), 'value')}>"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key!r}: {_in_line(value[key])}' for key in value)}}}"
    if isinstance(value, tuple):
        return f"({', '.join(map(_in_line, value))}{',' * (len(value) == 1)})"
    return short(value)


def _described(value: Any) -> str:
    """A value in one line: of an array, the dtype and shape; of a record, the class."""
    if isinstance(value, np.ndarray):
        return f"{value.dtype.type.__name__.removesuffix('_')} {value.shape}"
    if isinstance(value, Result) or hasattr(value, "_fields"):
        return type(value).__name__
    if isinstance(value, tuple | dict):  # of a dict, the keys
        return textwrap.shorten(", ".join(map(_described, value)), 80, placeholder=" …")
    return str(value)
