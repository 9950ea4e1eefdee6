"""Occlusion sensitivity of many images, one file each, so that a run that was stopped goes on."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from kerasvis.analyses.occlusion.occlusion_result import OcclusionSensitivity
from kerasvis.analyses.occlusion.occlusion_sensitivity import OcclusionAnalysis
from kerasvis.graph.model_fingerprint import model_fingerprint
from kerasvis.storage.files import read_npz, write_npz
from kerasvis.storage.fingerprints import digest


def stream_occlusion_sensitivity(
    analysis: OcclusionAnalysis,
    images: Iterable,
    class_indices: Iterable[int | None],
    filepaths: Iterable[str | os.PathLike],
) -> Iterator[OcclusionSensitivity]:
    """Analyses images one after another; each result is written as soon as it is there.

    A file that holds the result of the same image, model and settings is read instead; any other is
    written anew.

    Args:
        analysis: an `OcclusionAnalysis`.
        images: iterable of `(rows, columns, channels)`, as the model takes them.
        class_indices: the correct class of each, or None.
        filepaths: where each result goes, an `.npz` file.

    Yields:
        An `OcclusionSensitivity` for each image.
    """
    model = model_fingerprint(analysis.nodes)
    for image, class_index, filepath in zip(images, class_indices, filepaths, strict=True):
        fingerprint = digest([np.asarray(image), class_index, model, *analysis.settings])
        result = _finished(filepath, fingerprint)
        if result is None:
            result = analysis(image, class_index)
            write_npz(filepath, {**result.to_arrays(), "fingerprint": np.array(fingerprint)})
        yield result


def _finished(filepath, fingerprint):
    """The result in a file, if it is that of the same run."""
    if not Path(filepath).exists():
        return None
    try:
        arrays = read_npz(filepath, "occlusion sensitivity", ["fingerprint"])
        is_same = str(arrays["fingerprint"]) == fingerprint
        return OcclusionSensitivity.from_arrays(arrays) if is_same else None
    except ValueError:  # something else is in its place
        return None
