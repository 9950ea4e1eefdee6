"""Types of options: numbers within bounds, and names that a file system accepts.

Other text is rejected while the command line is parsed, before any work.
"""

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from cyclopts import CoercionError, Parameter, Token

LONGEST_NAME, LONGEST_PATH = 255, 4095  # in bytes, of Linux' and macOS' file systems

Number = TypeVar("Number", int, float)
PathOrStr = TypeVar("PathOrStr", str, Path)


def whole_numbers(least: int, most: int) -> Parameter:
    """Accepts whole numbers from `least` to `most`."""

    def convert(_: object, tokens: Sequence[Token]) -> int:
        return convert_number(int, tokens, lambda number: least <= number <= most, expected)

    expected = f"a whole number from {least:,} to {most:,}"
    return Parameter(converter=convert)


def finite_numbers(least: float, most: float, *, above: bool = False) -> Parameter:
    """Accepts finite numbers from `least` to `most`; with `above`, `least` itself is excluded."""

    def convert(_: object, tokens: Sequence[Token]) -> float:
        return convert_number(float, tokens, is_within, expected)

    def is_within(number: float) -> bool:
        return (least < number if above else least <= number) and number <= most

    expected = f"a finite number {'above' if above else 'from'} {least:g} up to {most:g}"
    return Parameter(converter=convert)


def convert_number(
    type_: type[Number],
    tokens: Sequence[Token],
    is_within: Callable[[Number], bool],
    expected: str,
) -> Number:
    """The number in the first token; a `CoercionError` if it is not as expected."""
    try:
        number = type_(tokens[0].value)
    except (ValueError, OverflowError):
        number = None
    if number is None or not is_within(number):
        raise CoercionError(msg=expected, token=tokens[0], target_type=type_)
    return number


def convert_name(type_: type[PathOrStr], tokens: Sequence[Token]) -> PathOrStr:
    """The name in the first token; a `CoercionError` if no file can have it."""
    try:
        name = os.fsencode(tokens[0].value)
    except UnicodeEncodeError:
        name = b"\0"
    parts = name.split(b"/")
    if not name or b"\0" in name or len(name) > LONGEST_PATH or len(max(parts)) > LONGEST_NAME:
        raise CoercionError(
            msg=f"a name that the file system accepts, of {LONGEST_NAME} bytes at most",
            token=tokens[0],
            target_type=type_,
        )
    return type_(tokens[0].value)


def convert_devices(type_: type, tokens: Sequence[Token]) -> str:
    """A number of devices, or their names; a `CoercionError` if the first token is neither."""
    names = tokens[0].value.upper().split(",")
    is_number = re.fullmatch(r"0*[1-9][0-9]{0,2}", names[0]) and len(names) == 1
    are_names = all(re.fullmatch(r"(CPU|GPU):[0-9]{1,3}", name.strip()) for name in names)
    if not is_number and (not are_names or len({name.strip() for name in names}) < len(names)):
        expected = "a number of devices from 1 to 999, or different names, such as GPU:0,GPU:1"
        raise CoercionError(msg=expected, token=tokens[0], target_type=type_)
    return tokens[0].value


FilePath = Annotated[Path, Parameter(converter=lambda _, tokens: convert_name(Path, tokens))]
Name = Annotated[str, Parameter(converter=lambda _, tokens: convert_name(str, tokens))]
Devices = Annotated[str, Parameter(converter=convert_devices)]

Count = Annotated[int, whole_numbers(1, 10_000)]
NumImages = Annotated[int, whole_numbers(1, 1_000_000)]
BatchSize = Annotated[int, whole_numbers(1, 65_536)]
Pixels = Annotated[int, whole_numbers(1, 16_384)]
PixelsFrom0 = Annotated[int, whole_numbers(0, 16_384)]
Index = Annotated[int, whole_numbers(0, 2**31 - 1)]
Epochs = Annotated[int, whole_numbers(1, 1_000_000)]
Seed = Annotated[int, whole_numbers(0, 2**32 - 1)]

NumberFrom0 = Annotated[float, finite_numbers(0, 1e6)]
Width = Annotated[float, finite_numbers(0, 16, above=True)]  # a factor on the paper's filters
NumUnits = Annotated[int, whole_numbers(1, 65_536)]

Size = Annotated[  # one number for both axes, or two
    tuple[Pixels, ...], Parameter(consume_multiple=(1, 2), allow_repeating=False)
]
Rectification = Literal["deconvnet", "guided", "gradient"]
