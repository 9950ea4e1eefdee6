"""Occlusion sensitivity of many images, one file each, so that an interrupted run resumes."""

import contextlib
import os
from collections.abc import Iterable, Iterator

import numpy as np

from kerasvis.analyses.occlusion.occlusion_on_engine import occlusion_on_engine
from kerasvis.analyses.occlusion.occlusion_result import OcclusionSensitivity
from kerasvis.analyses.occlusion.occlusion_sensitivity import OcclusionAnalysis
from kerasvis.engines import Ray
from kerasvis.graph.model_fingerprint import model_fingerprint
from kerasvis.storage.fingerprints import digest
from kerasvis.storage.parts import Parts


def stream_occlusion_sensitivity(
    analysis: OcclusionAnalysis,
    images: Iterable,
    class_indices: Iterable[int | None],
    directory: str | os.PathLike,
    names: Iterable[str],
    engine: Ray | None = None,
) -> Iterator[OcclusionSensitivity]:
    """Analyses images one after another and writes each result as soon as it is computed.

    Existing results are read instead of computed.

    Args:
        analysis: an `OcclusionAnalysis`.
        images: iterable of `(rows, columns, channels)`, as the model takes them.
        class_indices: the correct class of each, or None.
        directory: folder to write into; see `kerasvis.storage.parts` for what it may already
            contain.
        names: of the files, `<name>.npz`.
        engine: a `Ray` to analyse them on the machines of a cluster, where all results are computed
            before the first is yielded; None for this process.

    Yields:
        An `OcclusionSensitivity` for each image.

    Raises:
        ValueError: if the folder holds results of another model or of other settings, or a result
            of the same name for another image or class.
        OSError: if another run is writing into the folder, or it cannot be written to.
    """

    def computed_from():
        return {"model": model_fingerprint(analysis.nodes), **analysis.settings}

    with Parts(directory, computed_from) as parts:
        if engine is not None:
            images, class_indices, names = list(images), list(class_indices), list(names)
            _compute(engine, analysis, images, class_indices, names, parts)
        for image, class_index, name in zip(images, class_indices, names, strict=True):
            yield parts.result(
                f"{name}.npz",
                OcclusionSensitivity,
                lambda image=image, class_index=class_index: analysis(image, class_index),
                of=_computed_of(image, class_index),
            )


def _computed_of(image, class_index):
    return {"image": digest([np.asarray(image)]), "class_index": class_index}


def _compute(engine, analysis, images, class_indices, names, parts):
    """Computes the missing results and saves each as soon as it is computed."""
    done = []
    for index, (image, class_index, name) in enumerate(
        zip(images, class_indices, names, strict=True)
    ):
        parts.check_part(f"{name}.npz", _computed_of(image, class_index))
        if parts.is_complete(f"{name}.npz"):
            done.append(index)
    results = occlusion_on_engine(engine, analysis, np.stack(images), class_indices, done)
    with contextlib.closing(results):
        for index, result in results:
            parts.save(f"{names[index]}.npz", result.to_arrays())
