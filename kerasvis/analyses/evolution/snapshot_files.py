"""The files of a feature evolution while a net trains: one per snapshot, in one folder."""

import dataclasses
import json
import os
import re
from pathlib import Path

import numpy as np

from kerasvis.analyses.feature_visualization import FeatureVisualization
from kerasvis.storage.files import read_npz, write_npz

NAME = re.compile(r"epoch_(\d{4,})\.npz")
PARTS = [
    field.name
    for field in dataclasses.fields(FeatureVisualization)
    if field.name not in ("layer", "pixel_range")
]


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """What some feature maps responded to at the end of one epoch.

    Attributes:
        epoch: number of the epoch, from 1.
        features: `{layer: FeatureVisualization}` with k = 1.
        settings: what all snapshots of an evolution share, as plain data.
        run: digest of the weights with which the training began.
        weights: digest of the weights of this moment.
    """

    epoch: int
    features: dict[str, FeatureVisualization]
    settings: dict
    run: str
    weights: str


class SnapshotFiles:
    """The folder of an evolution's snapshots, `epoch_0001.npz` and so on.

    Args:
        directory: path of the folder.
    """

    def __init__(self, directory):
        self.directory = Path(directory)

    def filepath(self, epoch):
        """Where the snapshot of an epoch is, or goes."""
        return self.directory / f"epoch_{epoch:04d}.npz"

    def epochs(self):
        """The epochs of which there is a file, ascending."""
        if not self.directory.is_dir():
            return []
        names = [NAME.fullmatch(name) for name in os.listdir(self.directory)]
        return sorted(int(name[1]) for name in names if name)

    def make_folder(self):
        """Makes the folder, if need be, and tries whether it can be written to.

        Raises:
            ValueError: if it cannot.
        """
        probe = self.directory / ".kerasvis-probe"
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise ValueError(
                f"The folder {self.directory} cannot be written to ({error.strerror}): give "
                "another directory."
            ) from error

    def save(self, snapshot):
        """Writes a snapshot atomically.

        Raises:
            ValueError: if it cannot be written.
        """
        filepath = self.filepath(snapshot.epoch)
        arrays = {
            "epoch": np.array(snapshot.epoch, "int64"),
            "settings": np.array(json.dumps(snapshot.settings)),
            "run": np.array(snapshot.run),
            "weights": np.array(snapshot.weights),
            "layers": np.array(list(snapshot.features), "str"),
        }
        for name, features in snapshot.features.items():
            arrays |= {f"{name}/{part}": getattr(features, part) for part in PARTS}
        try:
            write_npz(filepath, arrays, compressed=True)
        except OSError as error:
            raise ValueError(str(error)) from error

    def load(self, epoch):
        """Reads the snapshot of an epoch.

        Raises:
            ValueError: if there is none, or the file is no snapshot.
        """
        names = ["epoch", "settings", "run", "weights", "layers"]
        filepath, what = self.filepath(epoch), "a snapshot of feature maps"
        arrays = read_npz(filepath, what, names)
        layers = arrays["layers"].tolist()
        arrays = read_npz(filepath, what, [f"{name}/{part}" for name in layers for part in PARTS])
        return Snapshot(
            epoch=int(arrays["epoch"]),
            features={
                name: FeatureVisualization(
                    layer=name, **{part: arrays[f"{name}/{part}"] for part in PARTS}
                )
                for name in layers
            },
            settings=json.loads(str(arrays["settings"])),
            run=str(arrays["run"]),
            weights=str(arrays["weights"]),
        )


def changed_settings(earlier, settings):
    """Names of the settings that differ, in words."""
    names = {**settings, **earlier}
    return " and ".join(name for name in names if earlier.get(name) != settings.get(name))
