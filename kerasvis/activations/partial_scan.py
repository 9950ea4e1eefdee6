"""What a scan writes down on its way, so that one that was stopped can go on."""

import json
from pathlib import Path

import numpy as np

from kerasvis.activations.running_top import RunningTop
from kerasvis.activations.top_activations import LayerActivations
from kerasvis.data.image_sources import Progress
from kerasvis.storage.files import read_npz, write_npz


class PartialScan:
    """The file beside `filepath` that holds a scan's state.

    Args:
        filepath: where the finished scan goes; the partial one has `.partial` added.
        fingerprint: `{what: value}` of all that the result depends on.

    Raises:
        ValueError: if `filepath` is a folder.
    """

    def __init__(self, filepath, fingerprint):
        filepath = Path(filepath)
        if filepath.is_dir():
            raise ValueError(f"{filepath} is a folder: give the path of a file to write.")
        self.filepath = filepath.with_name(filepath.name + ".partial")
        self.fingerprint = fingerprint

    def load(self):
        """The `RunningTop` and the skipped files of an earlier run; None if there was none.

        Raises:
            ValueError: if that was a run on something else.
        """
        if not self.filepath.exists():
            return None
        parts = LayerActivations._fields
        names = ["fingerprint", "progress", "skipped", *parts]
        arrays = read_npz(self.filepath, "a partial scan", names)
        self._check(json.loads(str(arrays["fingerprint"])))
        activations = LayerActivations(*(arrays[part] for part in parts))
        skipped = json.loads(str(arrays["skipped"]))
        top = RunningTop(activations, Progress(*arrays["progress"].tolist()))
        return top, {int(index): reason for index, reason in skipped.items()}

    def save(self, top, skipped_reasons):
        """Writes the state atomically.

        Raises:
            ValueError: if it cannot be written.
        """
        arrays = {
            "fingerprint": np.array(json.dumps(self.fingerprint)),
            "progress": np.array(top.progress, "int64"),
            "skipped": np.array(json.dumps(skipped_reasons)),
            **top.activations._asdict(),
        }
        try:
            write_npz(self.filepath, arrays)
        except OSError as error:
            raise ValueError(str(error)) from error

    def remove(self):
        """Deletes the file, once the whole scan is saved."""
        self.filepath.unlink(missing_ok=True)

    def _check(self, earlier):
        changed = [what for what, value in self.fingerprint.items() if earlier.get(what) != value]
        if changed:
            raise ValueError(
                f"The partial scan {self.filepath} was begun with other {' and '.join(changed)}: "
                "go on with what it was begun with, delete it, or give another filepath."
            )
