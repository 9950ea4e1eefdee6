"""The scan: one upward pass over a data set that keeps what drives each feature map most."""

import contextlib
import itertools
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tqdm

from kerasvis.activations.channel_maxima import ChannelMaxima
from kerasvis.activations.partial_scan import PartialScan
from kerasvis.activations.running_top import RunningTop
from kerasvis.activations.top_activations import TopActivations
from kerasvis.arguments import (
    LARGEST_K,
    positive_integer,
    standardize_images,
    standardize_layers,
    standardize_model,
    standardize_verbose,
)
from kerasvis.graph import image_shape
from kerasvis.graph.model_fingerprint import model_fingerprint
from kerasvis.graph.nodes import nodes_up_to

SECONDS_BETWEEN_SAVES = 30


def find_top_activations(
    model: keras.Model,
    layers: str | Sequence[str],
    images: Any,
    k: int = 9,
    *,
    batch_size: int = 16,
    steps: int | None = None,
    filepath: str | Path | None = None,
    verbose: str | int = "auto",
) -> TopActivations:
    """Finds the k strongest activations of every feature map, one per image, over a data set.

    All layers are watched in one upward pass. Of equal activations the image with the lowest index
    counts, and in it the first position in row-major order. Memory grows with the number of
    feature maps times k, not with the images.

    With a `filepath` the scan may be stopped at any time, also by a signal that kills it: every
    half minute it writes its state beside that file, and the same call goes on from there, to the
    very bytes that a scan in one piece would have written. A data set of batches has to give the
    same batches again; those that are done are read and dropped.

    Within `strategy.scope()` of several devices each takes a batch at a time; several workers share
    the images with `Shard`. The result is the same, to the bit.

    Args:
        model: a functional or Sequential `keras.Model`; it is left as it is. Of a subclassed one
            the outputs can be watched: `"output"`, or the keys of a dict that it returns.
        layers: names of layers, or one name; `"outer/inner"` inside a nested model. The units of a
            dense layer count as feature maps of one cell.
        images: what `kerasvis.arguments.standardize_images` takes: an array, a folder, batches; or
            a `Shard` of any of these.
        k: number of activations per feature map.
        batch_size: images per step, of an array or a folder.
        steps: batches to read at most; needed where a data set has no end, or does not tell.
        filepath: where to write the result, a file that `TopActivations.load` reads.
        verbose: 1 or 0, with or without a progress bar; `"auto"`: with one on a terminal.

    Returns:
        A `TopActivations`.

    Raises:
        ValueError: if an argument is wrong; if the partial scan beside `filepath` is one of another
            model or of other images, layers or k; or if a weight, an image or an activation is NaN
            or infinite. TensorFlow's fused convolutions rectify NaN to 0 on a CPU, so what comes of
            an overflow below the watched layers can escape.

    Reference:
        Zeiler & Fergus 2013, Figure 2.

    Example:
        >>> import keras, numpy as np
        >>> import kerasvis as kv
        >>> model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3, name="a")])
        >>> top = kv.find_top_activations(model, ["a"], np.ones((5, 8, 8, 3)), k=2, verbose=0)
        >>> top["a"].image_indices[0]
        array([0, 1])
    """
    layers = standardize_layers(layers)
    k = positive_integer(k, "k", LARGEST_K)
    is_shown = standardize_verbose(verbose)
    model = standardize_model(model, images, needs_graph=False)
    shape, dtype = image_shape(model), model.inputs[0].dtype
    maxima = ChannelMaxima(model, layers)
    nodes = nodes_up_to(model, layers)
    _check_weights(nodes)
    source = standardize_images(model, images, batch_size=batch_size, steps=steps)
    top = RunningTop.before_all_images(sum(maxima.num_maps), k)
    partial = None
    if filepath is not None:
        fingerprint = {"model": model_fingerprint(nodes), "images": source.fingerprint()}
        partial = PartialScan(filepath, fingerprint | {"layers": list(layers), "k": k})
        top = _begun(partial, top, source)

    last_save = time.monotonic()
    bar = tqdm.tqdm(
        desc="Strongest activations",
        unit=" images",
        total=source.num_images,
        initial=top.progress.next_index,
        disable=not is_shown,
    )
    try:
        with bar, contextlib.closing(source.batches(top.progress)) as batches:
            while group := list(itertools.islice(batches, maxima.num_replicas)):
                image_indices = [indices for indices, _ in group]
                group = [_standardized_batch(batch, shape, dtype) for _, batch in group]
                for indices, batch in zip(image_indices, group, strict=True):
                    _check_images(batch, indices, source)
                results = maxima.predict_batches(group)
                for indices, (values, rows, columns) in zip(image_indices, results, strict=True):
                    _check_values(values, indices, source, layers, maxima.num_maps)
                    top = top.after(indices, values, rows, columns)
                    bar.update(top.progress.next_index - bar.n)
                if partial and time.monotonic() - last_save >= SECONDS_BETWEEN_SAVES:
                    partial.save(top, source.skipped_reasons)
                    last_save = time.monotonic()
    except BaseException:  # an interruption from the keyboard too
        if partial:
            partial.save(top, source.skipped_reasons)
        raise
    if not top.progress.num_batches:
        if partial:  # or the next run could not take other images
            partial.remove()
        raise ValueError(f"No image could be scanned: {source.why_none()}")
    found = TopActivations(top.by_layer(layers, maxima.num_maps))
    if partial:
        found.save(filepath)
        partial.remove()
    return found


def _begun(partial, top, source):
    """Where an earlier run stopped, or `top`, written at once: a bad path is to fail now."""
    earlier = partial.load()
    if earlier is None:
        partial.save(top, source.skipped_reasons)
        return top
    top, skipped_reasons = earlier
    source.skipped_reasons.update(skipped_reasons)
    return top


def _standardized_batch(batch, shape, dtype):
    fits = batch.ndim == 4 and all(
        expected in (None, actual) for expected, actual in zip(shape, batch.shape[1:], strict=True)
    )
    if not fits or batch.dtype.kind in "OSU":
        expected = ", ".join("any" if length is None else str(length) for length in shape)
        raise ValueError(
            f"A batch of {batch.dtype} {batch.shape} came, but the model takes images "
            f"(batch, {expected}): resize the images, or batch the data set."
        )
    return np.asarray(batch, dtype)


def _check_weights(nodes):
    for node in nodes:
        for weight in getattr(node.layer, "weights", ()):
            if not np.isfinite(keras.ops.convert_to_numpy(weight)).all():
                raise ValueError(
                    f"The weights of layer {node.name!r} hold NaN or infinity, so that no image, "
                    "from image 0 on, has activations to compare: load weights that are finite."
                )


def _check_images(batch, image_indices, source):
    if np.isfinite(batch).all():
        return
    first = int(np.argmin(np.isfinite(batch).all(axis=(1, 2, 3))))
    raise ValueError(
        f"{source.describe(image_indices[first])} holds NaN or infinity, which would reach every "
        "layer: correct the image or leave it out."
    )


def _check_values(values, image_indices, source, layers, num_maps):
    """Names the first image with an activation that is not finite, and its first layer."""
    finite = np.isfinite(values)
    if finite.all():
        return
    image, feature_map = np.argwhere(~finite)[0]
    ends = np.cumsum(num_maps)
    layer = int(np.searchsorted(ends, feature_map, side="right"))
    feature = feature_map - (ends[layer] - num_maps[layer])
    what = "NaN" if np.isnan(values[image, feature_map]) else "infinity"
    raise ValueError(
        f"{source.describe(image_indices[image])} gives {what} in layer {layers[layer]!r}, feature "
        f"map {feature}: check the range of the images and the model's weights."
    )
