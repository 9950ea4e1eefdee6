"""Occlusion sensitivity of many images, one file each, so that an interrupted run resumes."""

import os
from collections.abc import Iterable, Iterator

from kerasvis.analyses.image_by_image import stream_results
from kerasvis.analyses.occlusion.occlusion_on_engine import occlusion_on_engine
from kerasvis.analyses.occlusion.occlusion_result import OcclusionSensitivity
from kerasvis.analyses.occlusion.occlusion_sensitivity import OcclusionAnalysis
from kerasvis.engines import Ray
from kerasvis.graph.model_fingerprint import model_fingerprint
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
        names: names of the files, without `.npz`.
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

    def on_engine(images, arguments, done):
        class_indices = [class_index for (class_index,) in arguments]
        return occlusion_on_engine(engine, analysis, images, class_indices, done)

    with Parts(directory, computed_from) as parts:
        yield from stream_results(
            analysis,
            OcclusionSensitivity,
            images,
            ({"class_index": class_index} for class_index in class_indices),
            (f"{name}.npz" for name in names),
            parts,
            None if engine is None else on_engine,
        )
