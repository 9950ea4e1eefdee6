"""Runs the model for many positions of the occluder, following an `InferencePlan`.

For each position, the affected part of a feature map is stored as one window, in addition to the
feature map of the unoccluded image. A layer's rule fetches the values it needs from both, in one
gather.

Reference:
    Zeiler & Fergus 2013, Section 4.2.
"""

from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from kerasvis.graph.batch_function import BatchFunction
from kerasvis.graph.replaying import call_layer, replay
from kerasvis.occlusion.inference_plan import occluder_windows, same_windows


class Occluded(NamedTuple):
    """One tensor of the model, for several positions of the occluder.

    Attributes:
        base: `(rows, columns, channels)`, of the unoccluded image.
        values: `(positions, window rows, window columns, channels)`, the replacement; or `(rows,
            columns, channels)`, of a completely occluded image.
        rows: `Extent` along rows.
        columns: the same along columns.
    """

    base: Any
    values: Any
    rows: Any
    columns: Any


class Extent(NamedTuple):
    """Where the replaced values lie along one axis.

    Attributes:
        begins: int32 `(positions,)`: the first location that is replaced.
        ends: int32 `(positions,)`: the end of these.
        origins: int32 `(positions,)`: the location in the feature map where the stored values
            begin.
    """

    begins: Any
    ends: Any
    origins: Any


class OccludedInference:
    """Maps occluder positions to the model's scores and one feature map's summed activity.

    Args:
        plan: the `InferencePlan`, which watches the scores and the layer of the feature map.
        occluders: the `Occluders`.
        scores: the `kerasvis.graph.Scores`, which are decided before the first call.

    Attributes:
        function: `BatchFunction` from a dictionary of `"position"`, int32 `(positions, 2)`, in the
            grid of positions; `"feature_index"`, int32 `(1,)`; `"class_indices"`, int32 `(requested
            classes,)`; and the tensors of `prepare`. It returns `(probabilities, label, activity)`:
            float32 `(positions, requested classes)`, int32 `(positions,)`, the most probable class,
            -1 where any probability is not finite, and float32 `(positions,)`, 0 if no feature map
            is watched.
    """

    def __init__(self, plan, occluders, scores):
        self.plan, self._scores = plan, scores
        self._intervals = (occluders.rows, occluders.columns)
        self._source_windows = occluder_windows(occluders)
        self.function = BatchFunction(self._answers, [scores.model])

    def prepare(self, image, baseline):
        """What all positions share: a forward pass of the image, and the baseline's first nodes.

        Args:
            image: `(rows, columns, channels)`, as the model takes it.
            baseline: the same for the completely occluded image.

        Returns:
            The `"base ..."`, `"baseline ..."` and `"fixed ..."` inputs.
        """
        plan = self.plan
        nodes = [*plan.fixed_nodes, *plan.pixelwise, *(step.node for step in plan.steps)]
        tensors = _maps(nodes, {plan.image: image})
        baselines = _maps(plan.pixelwise, {plan.image: baseline})
        kept = {*plan.sources, *self._fetched()}
        prepared = {f"base {n}": tensors[n][0] for n in sorted(kept)}
        prepared |= {f"fixed {n}": tensors[n] for n in plan.fixed}
        return prepared | {f"baseline {n}": baselines[n][0] for n in plan.sources}

    def _fetched(self):
        """Tensors above the sources from which values outside the windows are needed."""
        plan, windows = self.plan, self.plan.windows()
        needed = set()
        for step in plan.steps:
            for number in step.node.inputs:
                is_moved = number in windows and not same_windows(windows[number], step.windows)
                if step.rule.reads is not None or is_moved:
                    needed.add(number)
        for node in plan.whole_nodes:
            needed.update(node.inputs)
        return needed.union(plan.watched).intersection(windows)

    def _answers(self, inputs):
        rows, columns = inputs["position"][:, 0], inputs["position"][:, 1]
        occluded = self._sources(inputs, rows, columns)
        for step in self.plan.steps:
            self._run(step, occluded, inputs, rows, columns)
        whole = _Whole(occluded, self.plan.shapes)
        number = ops.shape(rows)[0]
        whole |= {n: ops.repeat(inputs[f"fixed {n}"], number, axis=0) for n in self.plan.fixed}
        tensors = _replayed(self.plan.whole_nodes, whole)
        output, *layers = self.plan.watched
        probabilities = self._scores(tensors[output] if output in tensors else whole[output])
        label = ops.cast(ops.argmax(probabilities, axis=-1), "int32")
        is_finite = ops.all(ops.isfinite(probabilities), axis=-1)
        activity = ops.zeros_like(probabilities[:, 0])
        for layer in layers:
            activity = self._activity(layer, tensors, occluded, inputs["feature_index"])
        return (
            ops.take(probabilities, inputs["class_indices"], axis=-1),
            ops.where(is_finite, label, -1),
            activity,
        )

    def _activity(self, layer, tensors, occluded, feature_index):
        if layer in tensors:
            feature_map = ops.take(tensors[layer], feature_index, axis=-1)
        else:
            base, values = (ops.take(x, feature_index, axis=-1) for x in occluded[layer][:2])
            height, width = self.plan.shapes[layer][1:3]
            feature_map = whole_maps(
                occluded[layer]._replace(base=base, values=values), height, width
            )
        return ops.sum(ops.cast(feature_map, "float32"), axis=(1, 2, 3))

    def _sources(self, inputs, rows, columns):
        extents = []
        for intervals, indices in zip(self._intervals, (rows, columns), strict=True):
            begins, ends = (ops.take(ops.convert_to_tensor(x), indices) for x in intervals.T)
            extents.append(Extent(begins, ends, ops.zeros_like(begins)))
        return {
            n: Occluded(inputs[f"base {n}"], inputs[f"baseline {n}"], *extents)
            for n in self.plan.sources
        }

    def _run(self, step, occluded, inputs, rows, columns):
        extents = [
            _extent(window, indices)
            for window, indices in zip(step.windows, (rows, columns), strict=True)
        ]
        if step.rule.reads is None:
            outputs = self._run_pointwise(step, occluded, inputs, extents)
        else:
            outputs = step.rule.run(*_read(step, occluded[step.node.inputs[0]], extents))
        for number, values in zip(step.node.outputs, keras.tree.flatten(outputs), strict=True):
            base = inputs.get(f"base {number}")
            occluded[number] = Occluded(base, values, *extents)

    def _run_pointwise(self, step, occluded, inputs, extents):
        windows = self.plan.windows()
        tensors = {}
        for number in step.node.inputs:
            own = windows.get(number)
            if number in self.plan.fixed:
                tensors[number] = _fixed_values(inputs[f"fixed {number}"], step, extents)
            elif own is not None and same_windows(own, step.windows):
                tensors[number] = occluded[number].values
            else:
                tensors[number] = fetch(occluded[number], *_places(step, extents))[0]
        above = replay([step.node], tensors)
        return [above[number] for number in step.node.outputs]


class _Whole(dict):
    """Whole feature maps of occluded tensors, each computed when it is first needed."""

    def __init__(self, occluded, shapes):
        super().__init__()
        self._occluded, self._shapes = occluded, shapes

    def __missing__(self, number):
        height, width = self._shapes[number][1:3]
        self[number] = whole_maps(self._occluded[number], height, width)
        return self[number]


def _maps(nodes, images):
    """All tensors of nodes for one image, as a batch of one."""
    images = {n: ops.convert_to_tensor(image)[None] for n, image in images.items()}
    return replay(nodes, images)


def _replayed(nodes, whole):
    """The outputs of nodes on whole feature maps."""
    needed = {n for node in nodes for n in node.inputs}
    made = {n for node in nodes for n in node.outputs}
    return replay(nodes, {n: whole[n] for n in sorted(needed - made)}, call_layer)


def _places(step, extents):
    """The rows and the columns of a step's windows."""
    return [
        extent.begins[:, None] + np.arange(window.size, dtype="int32")
        for extent, window in zip(extents, step.windows, strict=True)
    ]


def _fixed_values(maps, step, extents):
    """The windows of maps that do not depend on the image; maps of 1×1 are broadcast later."""
    if maps.shape[1:3] == (1, 1):
        return maps
    nowhere = Extent(*[ops.zeros_like(extents[0].begins)] * 3)
    return fetch(Occluded(maps[0], maps[0], nowhere, nowhere), *_places(step, extents))[0]


def _extent(window, indices):
    begins = ops.take(ops.convert_to_tensor(window.begins.astype("int32")), indices)
    return Extent(begins, begins + window.size, begins)


def _read(step, below, extents):
    """The values that a step reads, and which of them are not padding."""
    places = []
    for reads, window, extent in zip(step.rule.reads, step.windows, extents, strict=True):
        first = extent.begins * reads.stride - reads.pad_before
        offsets = np.arange(reads.num_read(window.size), dtype="int32")
        places.append(first[:, None] + offsets)
    return fetch(below, *places, outside=step.rule.outside)


def fetch(occluded, rows, columns, outside=0.0):
    """Values of an occluded tensor: replaced ones, those of the base, and padding outside.

    Args:
        occluded: an `Occluded`.
        rows: int32 `(positions, n)`: rows of the feature map, possibly outside.
        columns: int32 `(positions, m)`.
        outside: the value outside.

    Returns:
        `(values, is_inside)`: `(positions, n, m, channels)`, and `(positions, n, m, 1)` of the same
        dtype, 1 inside the feature map and 0 outside.
    """
    height, width, num_channels = occluded.base.shape
    is_inside = _both(_within(rows, 0, height), _within(columns, 0, width))
    is_replaced = _both(
        _within(rows, occluded.rows.begins[:, None], occluded.rows.ends[:, None]),
        _within(columns, occluded.columns.begins[:, None], occluded.columns.ends[:, None]),
    )
    stored_height, stored_width = occluded.values.shape[-3:-1]
    stored_rows = rows - occluded.rows.origins[:, None]
    stored_columns = columns - occluded.columns.origins[:, None]
    if len(occluded.values.shape) == 4:
        numbers = ops.arange(ops.shape(occluded.values)[0], dtype="int32")[:, None]
        stored_rows = stored_rows + numbers * stored_height
    # One table: a value of padding, the base, the replacement.
    first_stored = 1 + height * width
    table = ops.concatenate(
        [
            ops.full((1, num_channels), outside, dtype=occluded.base.dtype),
            ops.reshape(occluded.base, (-1, num_channels)),
            ops.reshape(occluded.values, (-1, num_channels)),
        ]
    )
    place = ops.where(
        is_replaced,
        first_stored + _grid(stored_rows * stored_width, stored_columns),
        1 + _grid(rows * width, columns),
    )
    place = ops.where(is_inside, place, 0)
    return ops.take(table, place, axis=0), ops.cast(is_inside[..., None], occluded.base.dtype)


def whole_maps(occluded, height, width):
    """The whole occluded feature maps, `(positions, height, width, channels)`."""
    rows = ops.arange(height, dtype="int32")[None]
    columns = ops.arange(width, dtype="int32")[None]
    if len(occluded.values.shape) == 4:
        return fetch(occluded, rows, columns)[0]
    is_replaced = _both(
        _within(rows, occluded.rows.begins[:, None], occluded.rows.ends[:, None]),
        _within(columns, occluded.columns.begins[:, None], occluded.columns.ends[:, None]),
    )
    return ops.where(is_replaced[..., None], occluded.values, occluded.base)


def _within(places, begins, ends):
    return ops.logical_and(places >= begins, places < ends)


def _both(of_rows, of_columns):
    return ops.logical_and(of_rows[:, :, None], of_columns[:, None, :])


def _grid(of_rows, of_columns):
    return of_rows[:, :, None] + of_columns[:, None, :]
