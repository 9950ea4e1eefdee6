"""The names of a model's classes, and the class that a user names."""

import difflib
import re
from pathlib import Path
from typing import Any

from kerasvis.storage.counted import counted
from kerasvis.storage.text_files import parse_json, read_text

LARGEST_INDEX = 10_000_000


def load_class_names(model: str | Path, filepath: Path | None = None) -> dict[int, str]:
    """`{class index: name}`; empty where there are none.

    Args:
        model: the user's --model; if it is a file, `classes.json` in its folder is read by default.
        filepath: a JSON file: a list of names, a list of objects with `index` and `name`, or an
            object of names by index.

    Raises:
        ValueError: if the file cannot be read as one of these.
    """
    default = Path(model).parent / "classes.json"
    if filepath is None and not (Path(model).is_file() and default.is_file()):
        return {}
    filepath = filepath or default
    try:
        return _by_index(parse_json(read_text(filepath)))
    except OSError as error:
        raise ValueError(
            f"The class names cannot be read ({error.strerror or error}): give a JSON file. "
            f"Received: --class-names={filepath}"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            "The file does not hold class names: give a JSON list of names, or of objects with "
            f"index and name. Received: --class-names={filepath}"
        ) from error


def _by_index(entries: Any) -> dict[int, str]:
    if isinstance(entries, dict):
        return {_index(int(index)): _name(name) for index, name in entries.items()}
    if not isinstance(entries, list) or not entries:
        raise TypeError
    if isinstance(entries[0], dict):
        names = {_index(entry["index"]): _name(entry["name"]) for entry in entries}
        if len(names) < len(entries):
            raise ValueError
        return names
    return dict(enumerate(map(_name, entries)))


def _index(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= LARGEST_INDEX:
        raise ValueError
    return value


def _name(value: object) -> str:
    """A name on one line that can be written and printed; a number counts as one."""
    if not isinstance(value, str | int) or isinstance(value, bool):
        raise TypeError
    name = str(value).encode("utf-8", "backslashreplace").decode("utf-8")
    return " ".join(name.split())


def check_class_names(names: dict[int, str], num_classes: int) -> None:
    """Checks that the names fit the model; those in a file of another model may not.

    Raises:
        ValueError: if there is a name for a class that the model does not have.
    """
    if names and max(names) >= num_classes:
        raise ValueError(
            f"The model has {num_classes} classes, but more are named: give its own names with "
            "--class-names, or remove classes.json from its folder. Received: "
            f"{names[max(names)]!r} for class {max(names)}"
        )


def class_index_of(
    asked: str, names: dict[int, str], num_classes: int, *, option: str = "--class"
) -> int:
    """The number of a class, given by number, by name or by the first words of its name.

    Args:
        asked: what was typed.
        names: `{number: name}`.
        num_classes: number of classes of the model.
        option: the option that names the class, for errors.

    Raises:
        ValueError: if there is none, or several.
    """
    if re.fullmatch(r"[0-9]{1,9}", asked):
        if int(asked) >= num_classes:
            raise ValueError(
                f"The model has {counted(num_classes, 'class', 'classes')}: give 0 to "
                f"{num_classes - 1}. Received: {option}={asked}"
            )
        return int(asked)
    plain = {index: _plain(name) for index, name in names.items() if index < num_classes}
    word = _plain(asked)
    exact = [index for index, name in plain.items() if word == name]
    found = exact or [i for i, name in plain.items() if word in map(str.strip, name.split(","))]
    if len(found) == 1:
        return found[0]
    if not names:
        raise ValueError(
            "The names of the model's classes are unknown: give the number of the class, or "
            f"--class-names. Received: {option}={asked}"
        )
    near = difflib.get_close_matches(word, [n for x in plain.values() for n in x.split(", ")], n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else "give its number."
    known = "Several classes have that name" if found else "There is no class of that name"
    raise ValueError(f"{known}: {hint} Received: {option}={asked}")


def _plain(name: str) -> str:
    return name.lower().replace("_", " ").strip()
