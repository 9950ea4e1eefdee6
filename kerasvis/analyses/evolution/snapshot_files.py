"""The files of a feature evolution during training: one per snapshot, in one folder."""

import dataclasses
import os
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from kerasvis.analyses.feature_visualization import FeatureVisualization
from kerasvis.storage.files import write_npz
from kerasvis.storage.results import Result, layers_as_dict

NAME = re.compile(r"epoch_(\d{4,})\.npz")


@dataclasses.dataclass(frozen=True, eq=False)
class Snapshot(Result):
    """What some feature maps responded to at the end of one epoch.

    Attributes:
        epoch: number of the epoch, from 1.
        features: `{layer: FeatureVisualization}` with k = 1.
        settings: the settings shared by all snapshots of an evolution, as plain data.
        run: digest of the weights at the start of training.
        weights: digest of the weights at the snapshot.
    """

    epoch: int
    features: dict[str, FeatureVisualization]
    settings: dict
    run: str
    weights: str

    @classmethod
    def upgraded(cls, arrays: Mapping[str, np.ndarray], version: int) -> dict[str, np.ndarray]:
        return layers_as_dict(arrays, "features")


class SnapshotFiles:
    """The folder of an evolution's snapshots, `epoch_0001.npz` and so on.

    Args:
        directory: path of the folder.
    """

    def __init__(self, directory):
        self.directory = Path(directory)

    def filepath(self, epoch):
        """The path of the snapshot of an epoch."""
        return self.directory / f"epoch_{epoch:04d}.npz"

    def epochs(self):
        """The epochs that have a file, ascending."""
        if not self.directory.is_dir():
            return []
        names = [NAME.fullmatch(name) for name in os.listdir(self.directory)]
        return sorted(int(name[1]) for name in names if name)

    def make_folder(self):
        """Creates the folder if necessary, and checks that it can be written to.

        Raises:
            ValueError: if it cannot be written to.
        """
        probe = self.directory / ".kerasvis-probe"
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise ValueError(
                f"The folder cannot be written to ({error.strerror}): give another directory. "
                f"Received: directory={str(self.directory)!r}"
            ) from error

    def save(self, snapshot):
        """Writes a snapshot atomically.

        Raises:
            ValueError: if it cannot be written.
        """
        filepath = self.filepath(snapshot.epoch)
        try:
            write_npz(filepath, snapshot.to_arrays(), compressed=True)
        except OSError as error:
            raise ValueError(str(error)) from error

    def load(self, epoch):
        """Reads the snapshot of an epoch.

        Raises:
            ValueError: if there is no file, or it is not a snapshot.
        """
        return Snapshot.load(self.filepath(epoch))


def changed_settings(earlier, settings):
    """Names of the settings that differ, in words."""
    names = {**settings, **earlier}
    return " and ".join(name for name in names if earlier.get(name) != settings.get(name))
