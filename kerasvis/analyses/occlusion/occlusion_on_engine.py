"""Occlusion sensitivity of many images, each computed on a machine of a cluster."""

import contextlib
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from kerasvis.analyses.occlusion.occlusion_result import OcclusionSensitivity
from kerasvis.analyses.occlusion.occlusion_sensitivity import OcclusionAnalysis
from kerasvis.data.image_ranges import ImageRange, image_ranges
from kerasvis.data.image_source import image_source
from kerasvis.data.images import Progress
from kerasvis.engines import Ray
from kerasvis.graph.sent_model import SentModel


class OcclusionWorker:
    """Analyses images on a machine that has not seen the model.

    Args:
        analysis: the `OcclusionAnalysis`.
        class_indices: the correct class of every image, or None.
    """

    def __init__(self, analysis: OcclusionAnalysis, class_indices: Sequence[int | None]):
        self._sent = SentModel(analysis.model)
        self._arguments = {**analysis.arguments, "verbose": 0}
        self._class_indices = list(class_indices)
        self._analysis = None

    def open(self):
        self._analysis = OcclusionAnalysis(self._sent.load(), **self._arguments)
        self._sent = None

    def __call__(self, images: ImageRange) -> dict[int, OcclusionSensitivity]:
        return {
            index: self._analysis(image, self._class_indices[index])
            for indices, batch in images.batches()
            for index, image in zip(indices.tolist(), batch, strict=True)
        }


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
        `(index, OcclusionSensitivity)` in order of completion.
    """
    source = image_source(images, batch_size=1)
    left = image_ranges(source, 1, Progress(), [(index, index + 1) for index in done])
    worker = OcclusionWorker(analysis, class_indices)
    with contextlib.closing(engine.map(worker, left)) as completed:
        for _, results in completed:
            yield from results.items()
