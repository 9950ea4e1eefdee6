"""The scan: one forward pass over a data set that feeds any number of reducers.

```
 images ──► forward pass of a batch ──► measure, layer by layer ──► reducers' states ──► results
             (once for all)              (once for equal             (saved together)
                                          measurements)
```
"""

import contextlib
import functools
import itertools
import json
import operator
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import keras
import numpy as np
import tqdm

from kerasvis.activations.forward_pass import ForwardPass
from kerasvis.activations.reducers import Batch, Reducer, State
from kerasvis.activations.scan_in_parts import PartOfScan, PartsInOrder, ScanWorker
from kerasvis.arguments import (
    standardize_engine,
    standardize_images,
    standardize_layers,
    standardize_model,
    standardize_verbose,
)
from kerasvis.data.image_ranges import ImageRange, aligned, image_ranges, num_batches
from kerasvis.data.images import Images, Progress
from kerasvis.engines import Ray
from kerasvis.graph import image_shape
from kerasvis.graph.model_fingerprint import model_fingerprint
from kerasvis.graph.reading import nodes_up_to
from kerasvis.storage.parts import Parts

SECONDS_BETWEEN_SAVES = 30


class NotFiniteError(ValueError):
    """Weights, images or measurements of layers are NaN or infinite."""


def scan_layers(
    model: keras.Model,
    layers: str | Sequence[str],
    images: Any,
    reducers: Sequence[Reducer],
    *,
    batch_size: int = 16,
    steps: int | None = None,
    directory: str | Path | None = None,
    engine: Ray | None = None,
    verbose: str | int = "auto",
) -> list[dict[str, Any]]:
    """Reduces the outputs of layers over a data set, in one forward pass for all reducers.

    With a `directory`, the scan may be interrupted or killed at any time: it regularly writes the
    states of all reducers to that folder, and the same call resumes from there. The states remain
    after the scan, so that the same call returns at once.

    Args:
        model: a functional or Sequential `keras.Model`; it is not changed.
        layers: names of layers, or one name.
        images: what `kerasvis.arguments.standardize_images` takes: an array, a folder, batches.
        reducers: `Reducer`s, such as `StrongestActivations(k=9)` or one of your own.
        batch_size: images per step, for an array or a folder.
        steps: maximum number of batches to read; required for data sets without a known end.
        directory: folder for the state of the scan.
        engine: a `kerasvis.engines.Ray`, to scan on the machines of a cluster; None for this
            process.
        verbose: 1 shows a progress bar, 0 none; `"auto"` shows one on a terminal.

    Returns:
        For each reducer, `{layer: result}`.

    Raises:
        ValueError: if an argument is wrong; if the folder contains a scan of another model or of
            other images, layers or reducers; or if a weight, an image or a measurement is NaN or
            infinite (a `NotFiniteError`).
        OSError: if the folder cannot be written to, or another run is writing to it.

    Example:
        >>> import keras, numpy as np
        >>> import kerasvis as kv
        >>> from kerasvis.activations import AllMaxima, StrongestActivations, scan_layers
        >>> model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3, name="a")])
        >>> images = np.ones((5, 8, 8, 3))
        >>> reducers = [StrongestActivations(k=2), AllMaxima()]
        >>> top, statistics = scan_layers(model, ["a"], images, reducers, verbose=0)
        >>> top["a"].values.shape, statistics["a"].maxima.shape
        ((4, 2), (5, 4))
    """
    layers, is_shown = standardize_layers(layers), standardize_verbose(verbose)
    reducers, engine = _standardized(reducers), standardize_engine(engine)
    model = standardize_model(model, images, needs_graph=False)
    scan = Scan(model, list(itertools.product(layers, reducers)))
    source = standardize_images(model, images, batch_size=batch_size, steps=steps)
    settings = [reducer.settings for reducer in reducers]
    with (
        scan.parts(directory, source, reducers=settings) as parts,
        progress_bar("Scan", source, is_shown) as on_progress,
    ):
        results = iter(scan.run(source, parts, engine=engine, on_progress=on_progress))
    by_layer = {layer: [next(results) for _ in reducers] for layer in layers}
    return [
        {layer: found[number] for layer, found in by_layer.items()}
        for number in range(len(reducers))
    ]


class Scan:
    """A forward pass over images, compiled once and run any number of times.

    Each run uses the current weights of the model.

    Args:
        model: a functional or Sequential `keras.Model`; it does not change.
        watched: pairs of a layer's name and a `Reducer`.

    Raises:
        ValueError: if a layer is unknown, or returns neither feature maps nor units.
    """

    def __init__(self, model: keras.Model, watched: Sequence[tuple[str, Reducer]]):
        self.watched = tuple(watched)
        self.layers = tuple(dict.fromkeys(layer for layer, _ in self.watched))
        self.forward_pass = ForwardPass(model, [(name, r.measure) for name, r in self.watched])
        self.nodes = nodes_up_to(model, self.layers)
        self._model = model
        self._shape, self._dtype = image_shape(model), model.inputs[0].dtype

    def parts(self, directory: str | os.PathLike | None, source: Images, **settings: Any) -> Parts:
        """The folder for the state of a run over images; `settings` are those of the reducers."""
        return Parts(
            directory,
            lambda: {
                "model": model_fingerprint(self.nodes),
                "images": source.fingerprint(),
                "layers": self.layers,
                **settings,
            },
        )

    def run(
        self,
        source: Images,
        parts: Parts | None = None,
        name: str = "scan.npz",
        *,
        engine: Ray | None = None,
        on_progress: Callable[[Progress], None] = lambda progress: None,
    ) -> list:
        """The results over all images, in the order of `watched`.

        Args:
            source: the `Images`.
            parts: where the state is saved, from which an interrupted run resumes; see `parts`.
            name: name of the part that contains the state, ending in `.npz`.
            engine: the `Ray` to scan on; None for this process.
            on_progress: function of the `Progress`, called before the first batch and after each.

        Raises:
            NotFiniteError: if a weight, an image or a measurement is NaN or infinite.
            ValueError: if there is no image, or one that the model does not take.
        """
        check_weights(self.nodes)
        saved = SavedState(parts, name, len(self.watched), source)
        state = saved.load()
        on_progress(state.progress)
        if not state.is_complete:
            steps = self._after_batches(state, source)
            if engine is not None:
                steps = self._after_parts(state, source, saved, engine)
            state = self._after_all(state, steps, source, saved, on_progress)
        return [
            reducer.result(layer, cast(State, own))  # not None after a complete scan
            for (layer, reducer), own in zip(self.watched, state.of_reducers, strict=True)
        ]

    def _after_all(self, state, steps, source, saved, on_progress):
        """The complete `ScanState`; `steps` yields `(state, progress to show)`."""
        try:
            with contextlib.closing(steps):
                for state, progress in steps:
                    on_progress(progress)
                    saved.save_now_and_then(state)
        except NotFiniteError:
            saved.discard()  # otherwise, the next run would refuse the corrected images
            raise
        except BaseException:  # including an interruption from the keyboard
            saved.save(state)
            raise
        if not state.progress.num_batches:
            saved.discard()
            raise ValueError(f"No image could be scanned: {source.why_none()}")
        state = state._replace(is_complete=True)
        saved.save(state)
        return state

    def _after_batches(self, state, source):
        """Yields the `ScanState` after each remaining batch, computed in this process."""
        with contextlib.closing(source.batches(state.progress)) as batches:
            while group := list(itertools.islice(batches, self.forward_pass.num_replicas)):
                for batch, measured in self._measured(group, source):
                    state = self._after(state, batch, measured)
                    yield state, state.progress

    def _after_parts(self, state, source, saved, engine):
        """Yields the `ScanState` after each remaining part, computed by an engine."""
        in_order = PartsInOrder(
            [reducer for _, reducer in self.watched],
            state.of_reducers,
            aligned(source, state.progress),
        )

        def after(part):
            source.skipped_reasons.update(part.skipped)
            in_order.add(part)
            shown = Progress(in_order.progress.num_batches, in_order.num_images)
            return ScanState(in_order.progress, tuple(in_order.states)), shown

        earlier = saved.completed_ranges(in_order.progress.next_index)
        for begin, end in earlier:
            yield after(saved.load_part(begin, end))
        size = engine.batches_per_part(num_batches(source), getattr(source, "batch_size", 1))
        left = image_ranges(source, size, in_order.progress, earlier)
        with contextlib.closing(engine.map(self.worker(), left)) as completed:
            for _, part in completed:
                saved.save_part(part)
                yield after(part)

    def worker(self) -> ScanWorker:
        """A worker that runs the same scan on another machine."""
        make_scan = functools.partial(Scan, watched=self.watched)
        return ScanWorker(self._model, self.layers, make_scan)

    def part(self, images: ImageRange) -> PartOfScan:
        """Scans a range of images by itself."""
        states: list[list[State]] = [[] for _ in self.watched]
        number = 0
        with contextlib.closing(images.batches()) as batches:
            for group in batches:
                for batch, measured in self._measured([group], images.source):
                    self._add(states, batch, measured)
                    number += 1
        skipped = dict(images.source.skipped_reasons)
        return PartOfScan(images.begin, images.end, number, tuple(states), skipped)

    def _add(self, states, batch, measured):
        """Adds a batch to the states of a part, as a state of its own if merging would round."""
        for (layer, reducer), own in zip(self.watched, states, strict=True):
            earlier = own.pop() if own and reducer.merges_exactly else None
            own.append(_as_arrays(reducer.update(earlier, measured[layer, reducer.measure], batch)))

    def _measured(self, group, source):
        """Yields `(batch, measured)` for some batches that run at the same time."""
        group = [Batch(indices, self._standardized(images)) for indices, images in group]
        for batch in group:
            _check_images(batch, source)
        results = self.forward_pass.measure_batches([batch.images for batch in group])
        for batch, measured in zip(group, results, strict=True):
            self._check_measured(measured, batch, source)
            yield batch, measured

    def _after(self, state, batch, measured):
        """The `ScanState` after one more batch."""
        of_reducers = tuple(
            _as_arrays(reducer.update(own, measured[layer, reducer.measure], batch))
            for (layer, reducer), own in zip(self.watched, state.of_reducers, strict=True)
        )
        done = Progress(state.progress.num_batches + 1, int(batch.image_indices[-1]) + 1)
        return state._replace(progress=done, of_reducers=of_reducers)

    def _standardized(self, images):
        shape = self._shape
        fits = images.ndim == 4 and all(
            expected in (None, actual)
            for expected, actual in zip(shape, images.shape[1:], strict=True)
        )
        if not fits or images.dtype.kind in "OSU":
            expected = ", ".join("any" if length is None else str(length) for length in shape)
            raise ValueError(
                f"The model takes images (batch, {expected}): resize the images, or batch the data "
                f"set. Received: a batch of {images.dtype} {images.shape}"
            )
        return np.asarray(images, self._dtype)

    def _check_measured(self, measured, batch, source):
        """Raises for values that are not finite; names the first image that has them."""
        wrong = []
        for (layer, _), structure in measured.items():
            for array in keras.tree.flatten(structure):
                is_finite = np.isfinite(array)
                if not is_finite.all():
                    image, *place = np.argwhere(~is_finite)[0].tolist()
                    is_of_maps = array.shape[1:] == (self.forward_pass.num_maps[layer],)
                    feature = f", feature map {place[0]}" if is_of_maps else ""
                    what = "NaN" if np.isnan(array[image, *place]) else "infinity"
                    wrong.append((image, f"gives {what} in layer {layer!r}{feature}"))
        if wrong:
            image, what = min(wrong, key=operator.itemgetter(0))
            raise NotFiniteError(
                f"{source.describe(batch.image_indices[image])} {what}: check the range of the "
                "images and the model's weights."
            )


class ScanState(NamedTuple):
    """The state of a scan; replaced after each batch, so that it never contains half of one.

    Attributes:
        progress: the `Progress` among the images.
        of_reducers: the state of each reducer of a layer; None before the first batch.
        is_complete: whether all images were scanned.
    """

    progress: Progress
    of_reducers: tuple[State | None, ...]
    is_complete: bool = False


class SavedState:
    """A `ScanState` saved in a folder, with the images that could not be decoded so far.

    Args:
        parts: the `Parts`; None to save nothing.
        name: name of the part.
        num_reducers: number of states of reducers.
        source: the `Images`.
    """

    def __init__(self, parts: Parts | None, name: str, num_reducers: int, source: Images):
        self._parts, self._name = Parts(None, dict) if parts is None else parts, name
        self._num_reducers, self._source = num_reducers, source
        self._seconds, self._last = 0.0, time.monotonic()

    def load(self) -> ScanState:
        """The state of an earlier run, or a new one, saved at once to find a wrong path early."""
        arrays = self._parts.load(self._name)
        if arrays is None:
            state = ScanState(Progress(), (None,) * self._num_reducers)
            self.save(state)
            return state
        skipped = json.loads(str(arrays["skipped"]))
        self._source.skipped_reasons.update({int(n): reason for n, reason in skipped.items()})
        progress = Progress(*arrays["progress"].tolist())
        if not progress.num_batches:
            return ScanState(progress, (None,) * self._num_reducers)
        states: list[State] = [{} for _ in range(self._num_reducers)]
        for name, array in arrays.items():
            number, slash, own_name = name.partition("/")
            if slash:
                states[int(number)][own_name] = array
        return ScanState(progress, tuple(states), bool(arrays["is_complete"]))

    def save(self, state: ScanState) -> None:
        """Writes a state atomically."""
        begin = time.monotonic()
        arrays = {
            "progress": np.array(state.progress, "int64"),
            "is_complete": np.array(state.is_complete),
            "skipped": np.array(json.dumps(self._source.skipped_reasons)),
        }
        for number, own in enumerate(state.of_reducers):
            arrays |= {f"{number}/{name}": array for name, array in (own or {}).items()}
        self._parts.save(self._name, arrays)
        for begin, end in self._ranges():
            if state.is_complete or end <= state.progress.next_index:  # now part of the state
                self._parts.discard(self._part_name(begin, end))
        self._last = time.monotonic()
        self._seconds = self._last - begin

    def save_now_and_then(self, state: ScanState) -> None:
        """Writes a state if the last one is old; the longer writing takes, the less often."""
        if time.monotonic() - self._last >= SECONDS_BETWEEN_SAVES * max(1.0, self._seconds):
            self.save(state)

    def save_part(self, part: PartOfScan) -> None:
        """Writes a part that is not in the state yet."""
        self._parts.save(self._part_name(part.begin, part.end), part.to_arrays())

    def load_part(self, begin: int, end: int) -> PartOfScan:
        """A part of `completed_ranges`."""
        arrays = self._parts.load(self._part_name(begin, end))
        if arrays is None:
            raise KeyError(f"Images {begin} to {end - 1} are not among the completed ranges.")
        return PartOfScan.from_arrays(arrays)

    def completed_ranges(self, next_index: int) -> list[tuple[int, int]]:
        """`(begin, end)` of the saved parts that begin at an image index or later, in order."""
        return [
            (begin, end)
            for begin, end in self._ranges()
            if begin >= next_index and self._parts.is_complete(self._part_name(begin, end))
        ]

    def discard(self) -> None:
        """Deletes what was saved."""
        self._parts.discard(self._name)
        for begin, end in self._ranges():
            self._parts.discard(self._part_name(begin, end))

    def _part_name(self, begin, end):
        return f"{self._name.removesuffix('.npz')}-{begin}-{end}.npz"

    def _ranges(self):
        stem = self._name.removesuffix(".npz")
        found = [
            re.fullmatch(r"-(\d+)-(\d+)\.npz", name.removeprefix(stem))
            for name in self._parts.names(f"{stem}-")
        ]
        return sorted(tuple(map(int, match.groups())) for match in found if match)


@contextlib.contextmanager
def progress_bar(title: str, source: Images, is_shown: bool) -> Iterator[Callable]:
    """A progress bar over the images; yields a function that updates it to a `Progress`."""
    with tqdm.tqdm(
        desc=title, unit=" images", total=source.num_images, disable=not is_shown
    ) as bar:
        yield lambda progress: bar.update(progress.next_index - bar.n)


def check_weights(nodes: Sequence) -> None:
    """Raises if weights of some nodes are NaN or infinite.

    Convolutions on a CPU rectify NaN to 0, so activations alone would not reveal it.
    """
    for node in nodes:
        for weight in getattr(node.layer, "weights", ()):
            if not np.isfinite(keras.ops.convert_to_numpy(weight)).all():
                raise NotFiniteError(
                    f"The weights of layer {node.name!r} contain NaN or infinity, so activations "
                    "cannot be compared: load weights that are finite, or check whether training "
                    "diverged."
                )


def _check_images(batch, source):
    is_finite = np.isfinite(batch.images)
    if not is_finite.all():
        first = int(np.argmin(is_finite.all(axis=(1, 2, 3))))
        raise NotFiniteError(
            f"{source.describe(batch.image_indices[first])} contains NaN or infinity, which would "
            "reach every layer: correct the image or leave it out."
        )


def _as_arrays(state):
    """A state as it would be after saving and loading, as NumPy treats bare numbers differently."""
    return {name: np.asarray(array) for name, array in state.items()}


def _standardized(reducers):
    reducers = tuple(reducers) if isinstance(reducers, list | tuple) else (reducers,)
    if not reducers or not all(isinstance(reducer, Reducer) for reducer in reducers):
        raise ValueError(
            "Give a list of reducers, such as [StrongestActivations(k=9)]. "
            f"Received: reducers={list(reducers)!r}"
        )
    return reducers
