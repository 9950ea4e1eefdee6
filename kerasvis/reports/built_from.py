"""What a gallery was built from, so that one that goes on does not mix models or images."""

import json
from pathlib import Path

from kerasvis.storage.files import write_if_changed


def check_built_from(filepath, built_from):
    """Compares what a gallery is to be built from with what was noted before, if anything was.

    Args:
        filepath: of the note, JSON.
        built_from: `{what: value}` of all that its arrays depend on.

    Raises:
        ValueError: if the gallery was begun with something else, or the note cannot be read.
    """
    filepath = Path(filepath)
    if not filepath.exists():
        return
    try:
        earlier = dict(json.loads(filepath.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{filepath} is damaged, so that it is not known what the gallery was built from: "
            "delete the gallery, or give another folder."
        ) from error
    changed = [what for what, value in built_from.items() if earlier.get(what) != value]
    if changed:
        raise ValueError(
            f"The gallery in {filepath.parents[1]} was begun with other {' and '.join(changed)}: "
            "go on with what it was begun with, delete it, or give another folder."
        )


def note_built_from(filepath, built_from):
    """Notes down what a gallery is built from."""
    write_if_changed(filepath, json.dumps(built_from, indent=2) + "\n")
