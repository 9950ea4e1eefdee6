"""Explanations of many images, one file each, so that an interrupted run resumes."""

import functools
import os
from collections.abc import Iterable, Iterator

from kerasvis.analyses.explanation.explanation import Explanation, ExplanationAnalysis
from kerasvis.analyses.image_by_image import AnalysisWorker, results_on_engine, stream_results
from kerasvis.engines import Ray
from kerasvis.graph.model_fingerprint import model_fingerprint
from kerasvis.storage.parts import Parts


def stream_explanations(
    analysis: ExplanationAnalysis,
    images: Iterable,
    directory: str | os.PathLike,
    names: Iterable[str],
    *,
    class_index: int | None = None,
    other_index: int | None = None,
    engine: Ray | None = None,
) -> Iterator[Explanation]:
    """Explains images one after another and writes each result as soon as it is computed.

    Existing results are read instead of computed.

    Args:
        analysis: an `ExplanationAnalysis`.
        images: iterable of `(rows, columns, channels)`, as the model takes them.
        directory: folder to write into; see `kerasvis.storage.parts` for what it may already
            contain.
        names: names of the files within it, ending in `.npz`.
        class_index: number of the class; by default the most probable one of each image.
        other_index: number of the class with which it is compared; by default the most probable one
            of the others.
        engine: a `Ray` to explain them on the machines of a cluster, where all results are computed
            before the first is yielded; None for this process.

    Yields:
        An `Explanation` for each image.

    Raises:
        ValueError: if the folder holds results of another model or of other settings, or a result
            of the same name for another image or class.
        OSError: if another run is writing into the folder, or it cannot be written to.
    """
    occlusion = analysis.occlusion

    def computed_from():
        return {"model": model_fingerprint(occlusion.nodes), **analysis.settings}

    def on_engine(images, arguments, done):
        make = functools.partial(ExplanationAnalysis, **{**analysis.arguments, "verbose": 0})
        worker = AnalysisWorker(occlusion.model, make, arguments)
        return results_on_engine(engine, worker, images, done)

    images = list(images)
    classes = {"class_index": class_index, "other_index": other_index}
    with Parts(directory, computed_from) as parts:
        yield from stream_results(
            analysis,
            Explanation,
            images,
            [classes] * len(images),
            names,
            parts,
            None if engine is None else on_engine,
        )
