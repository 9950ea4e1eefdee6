"""Analyses images one by one, in this process or on a cluster; each result is saved to a file."""

import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import keras
import numpy as np

from kerasvis.data.image_ranges import ImageRange, image_ranges
from kerasvis.data.image_source import image_source
from kerasvis.data.images import Progress
from kerasvis.engines import Ray
from kerasvis.graph.portable_model import PortableModel
from kerasvis.storage.fingerprints import digest
from kerasvis.storage.parts import Parts
from kerasvis.storage.results import Result


class AnalysisWorker:
    """Analyses images on a machine that has not seen the model.

    Args:
        model: a functional or Sequential `keras.Model`.
        make: function of the model that returns the analysis, a function `(image, *arguments)`.
        arguments: the further arguments of every image, as a tuple.
    """

    def __init__(self, model: keras.Model, make: Callable, arguments: Sequence[tuple]):
        self._portable, self._make, self._arguments = PortableModel(model), make, list(arguments)

    def open(self):
        self._analysis = self._make(self._portable.load())
        del self._portable

    def __call__(self, images: ImageRange) -> dict[int, Any]:
        return {
            index: self._analysis(image, *self._arguments[index])
            for indices, batch in images.batches()
            for index, image in zip(indices.tolist(), batch, strict=True)
        }


def results_on_engine(
    engine: Ray, worker: AnalysisWorker, images: np.ndarray, done: Iterable[int] = ()
) -> Iterator[tuple[int, Any]]:
    """Analyses images in any order, one at a time on each worker.

    Args:
        engine: the `Ray`.
        worker: the `AnalysisWorker`.
        images: `(images, rows, columns, channels)`, as the model takes them.
        done: indices of images to skip.

    Yields:
        `(index, result)`, as they are completed.
    """
    source = image_source(images, batch_size=1)
    left = image_ranges(source, 1, Progress(), [(index, index + 1) for index in done])
    with contextlib.closing(engine.map(worker, left)) as completed:
        for _, results in completed:
            yield from results.items()


def stream_results(
    analysis: Callable,
    kind: type[Result],
    images: Iterable[np.ndarray],
    arguments: Iterable[dict],
    names: Iterable[str],
    parts: Parts,
    on_engine: Callable | None = None,
) -> Iterator[Any]:
    """Analyses images one after another; each result is written as soon as it is computed.

    Existing results are read instead of computed.

    Args:
        analysis: function `(image, *values of the arguments)` that returns the result.
        kind: class of the results.
        images: `(rows, columns, channels)` each, as the model takes them.
        arguments: `{name: value}` for each image.
        names: names of the files, ending in `.npz`.
        parts: the `Parts`, whose context has been entered.
        on_engine: function `(images, arguments, indices of images to skip)` that yields `(index,
            result)` of the others. They are all computed before the first result is yielded. None
            for this process.

    Yields:
        The result of each image.

    Raises:
        ValueError: if a result of the same name exists for another image or other arguments.
    """
    if on_engine is not None:
        images, arguments, names = list(images), list(arguments), list(names)
        _compute(on_engine, images, arguments, names, parts)
    for image, own, name in zip(images, arguments, names, strict=True):
        yield parts.result(
            name,
            kind,
            functools.partial(analysis, image, *own.values()),
            of=_computed_of(image, own),
        )


def _computed_of(image, arguments):
    return {"image": digest([np.asarray(image)]), **arguments}


def _compute(on_engine, images, arguments, names, parts):
    """Computes the missing results, and saves each as soon as it is computed."""
    done = []
    for index, (image, own, name) in enumerate(zip(images, arguments, names, strict=True)):
        parts.check_part(name, _computed_of(image, own))
        if parts.is_complete(name):
            done.append(index)
    if len(done) == len(images):
        return
    results = on_engine(np.stack(images), [tuple(own.values()) for own in arguments], done)
    with contextlib.closing(results):
        for index, result in results:
            parts.save(names[index], result.to_arrays())
