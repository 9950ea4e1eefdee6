"""The names of a model's classes, and the class that a user means."""

import difflib
import json
from pathlib import Path

from command import UserError


def load_class_names(model, filepath=None):
    """`{class index: name}`; empty where there are none.

    Args:
        model: what the user gave as the model; where it is a file, `classes.json` beside it is
            taken by default.
        filepath: a JSON file: a list of names, a list of objects with `index` and `name`, or an
            object of names by index.

    Raises:
        UserError: if the file cannot be read as one of these.
    """
    beside = Path(model).with_name("classes.json")
    if filepath is None and not (Path(model).is_file() and beside.is_file()):
        return {}
    filepath = Path(filepath or beside)
    try:
        entries = json.loads(filepath.read_text(encoding="utf-8"))
        return _by_index(entries)
    except OSError as error:
        raise UserError(
            f"The class names {filepath} cannot be read ({error.strerror}): give a JSON file."
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{filepath} holds no class names: give a JSON list of names, or of objects with index "
            "and name."
        ) from error


def _by_index(entries):
    if isinstance(entries, dict):
        return {int(index): str(name) for index, name in entries.items()}
    if entries and isinstance(entries[0], dict):
        return {int(entry["index"]): str(entry["name"]) for entry in entries}
    return {index: str(name) for index, name in enumerate(entries)}


def class_index_of(asked, names, num_classes):
    """The number of the class that was asked for by number, name or the first words of its name.

    Raises:
        UserError: if there is none, or several.
    """
    if asked.isdecimal():
        if int(asked) >= num_classes:
            raise UserError(
                f"There is no class {asked}: the model knows {num_classes}, give 0 to "
                f"{num_classes - 1}."
            )
        return int(asked)
    plain = {index: _plain(name) for index, name in names.items()}
    word = _plain(asked)
    exact = [index for index, name in plain.items() if word == name]
    found = exact or [i for i, name in plain.items() if word in map(str.strip, name.split(","))]
    if len(found) == 1:
        return found[0]
    if not names:
        raise UserError(
            f"The class {asked!r} is not known, as the model's classes have no names here: give "
            "its number, or --class-names."
        )
    near = difflib.get_close_matches(word, [n for x in plain.values() for n in x.split(", ")], n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else "give its number."
    known = f"several classes are called {asked!r}" if found else f"there is no class {asked!r}"
    raise UserError(f"{known[0].upper()}{known[1:]}: {hint}")


def _plain(name):
    return name.lower().replace("_", " ").strip()
