"""Occlusion sensitivity of many images, each computed on a machine of a cluster."""

import functools
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from kerasvis.analyses.image_by_image import AnalysisWorker, results_on_engine
from kerasvis.analyses.occlusion.occlusion_result import OcclusionSensitivity
from kerasvis.analyses.occlusion.occlusion_sensitivity import OcclusionAnalysis
from kerasvis.engines import Ray


def occlusion_on_engine(
    engine: Ray,
    analysis: OcclusionAnalysis,
    images: np.ndarray,
    class_indices: Sequence[int | None],
    done: Iterable[int] = (),
) -> Iterator[tuple[int, OcclusionSensitivity]]:
    """Analyses images in any order, one at a time on each worker.

    Args:
        engine: the `Ray`.
        analysis: the `OcclusionAnalysis`.
        images: `(images, rows, columns, channels)`, as the model takes them.
        class_indices: the correct class of each, or None.
        done: indices of images to skip.

    Yields:
        `(index, OcclusionSensitivity)`, as they are completed.
    """
    make = functools.partial(OcclusionAnalysis, **{**analysis.arguments, "verbose": 0})
    arguments = [(class_index,) for class_index in class_indices]
    worker = AnalysisWorker(analysis.model, make, arguments)
    return results_on_engine(engine, worker, images, done)
