"""All positions of the occluder over one image: plan, batches, progress, replicas."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import keras
import numpy as np
import tqdm
from keras import ops

from kerasvis.arguments import standardize_verbose
from kerasvis.graph import Scores, replay
from kerasvis.graph.replicas import even_batch_size, num_replicas, predict_on_replicas
from kerasvis.graph.shapes import infer_shapes
from kerasvis.occlusion.inference_plan import make_plan, num_values
from kerasvis.occlusion.occluded_inference import OccludedInference

if TYPE_CHECKING:
    from kerasvis.occlusion.occluders import Occluders


BYTES_IN_BATCH = 2**29  # of feature maps; about a third of what a batch needs at its peak
MAX_BATCH_SIZE = 128


class BaseAnswer(NamedTuple):
    """The model's answer for the unoccluded image.

    Attributes:
        probabilities: float32 `(classes,)`.
        activities: float32 `(feature maps,)`: the sum of each feature map of the layer.
        strongest_feature: number of the feature map with the strongest activation; -1 if none is
            watched.
    """

    probabilities: np.ndarray
    activities: np.ndarray
    strongest_feature: int


class OcclusionSweep:
    """Occludes images of one size, position by position, and runs the model on each.

    Args:
        model: a functional or Sequential `keras.Model`.
        occluders: the `Occluders`.
        layer: name of the layer whose feature maps are watched, or None.
        scores: the `kerasvis.graph.Scores` of the model; those of its one output by default.
        method: `"incremental"`, `"full"`, `"auto"` or `"windows"`, see `make_plan`.
        batch_size: positions per step; by default as many as `BYTES_IN_BATCH` hold.

    Attributes:
        plan: the `InferencePlan`.
        nodes: all nodes that run, in order.
        batch_size: positions per step.

    Raises:
        ValueError: if the layer is unknown or has no feature maps, the model's output is neither
            scores nor maps of classes, or the batch size is not positive.
    """

    def __init__(
        self,
        model: keras.Model,
        occluders: "Occluders",
        layer: str | None,
        scores: Any = None,
        *,
        method: str = "auto",
        batch_size: int | None = None,
    ):
        self.model, self.occluders, self.layer = model, occluders, layer
        self.scores = scores or Scores(model, image_size=occluders.image_size)
        graph = self.scores.graph
        maps = () if layer is None else (graph.node(layer).outputs[0],)
        watched = (self.scores.tensor, *maps)
        nodes = graph.ancestors(watched)
        shapes = infer_shapes(graph, nodes, model, occluders.image_size)
        for number in maps:
            _check_maps(layer, shapes[number])
        (image,) = graph.inputs
        self.plan = make_plan(image, nodes, watched, shapes, occluders, method)
        self.nodes = nodes
        self._inference = OccludedInference(self.plan, occluders, self.scores)
        if batch_size is not None and batch_size < 1:
            raise ValueError(f"Give 1 or more, or None. Received: batch_size={batch_size!r}")
        self.batch_size = default_batch_size(self.plan) if batch_size is None else batch_size

    def base(self, image: np.ndarray) -> BaseAnswer:
        """The model's answer for the unoccluded image.


        Args:
            image: `(rows, columns, channels)`.

        Returns:
            A `BaseAnswer`.
        """
        self.scores.decide(np.asarray(image)[None])
        output, *layers = self.plan.watched
        tensors = replay(self.nodes, {self.plan.image: self._as_input(image)})
        self.scores.check(ops.convert_to_numpy(ops.cast(tensors[output], "float32")))
        probabilities = ops.convert_to_numpy(self.scores(tensors[output])[0])
        if not layers:
            return BaseAnswer(probabilities, np.zeros(0, "float32"), -1)
        maps = ops.cast(tensors[layers[0]], "float32")
        return BaseAnswer(
            probabilities,
            ops.convert_to_numpy(ops.sum(maps, axis=(0, 1, 2))),
            int(ops.argmax(ops.max(maps, axis=(0, 1, 2)))),
        )

    def run(
        self,
        image: np.ndarray,
        baseline: Any,
        feature_index: int | None,
        class_indices: Sequence[int] | None,
        verbose: str | int = "auto",
    ) -> tuple:
        """Occludes the image at every position.

        Args:
            image: `(rows, columns, channels)`, as the model takes it.
            baseline: the same, completely occluded.
            feature_index: the feature map of the layer that is watched, if there is a layer.
            class_indices: int `(classes,)`: the classes whose probabilities are returned.
            verbose: `"auto"` shows a progress bar on a terminal, 0 none, 1 and 2 always.

        Returns:
            `(probabilities, label, activity)`: float32 `(rows, columns, classes)`, int64 `(rows,
            columns)` and float32 `(rows, columns)`, 0 if no feature map is watched.

        Raises:
            ValueError: if the model returns NaN or infinity (the position is named), or an answer
                contradicts how the model's output was interpreted.
        """
        self.scores.decide(np.asarray(image)[None])
        image, baseline = self._as_input(image)[0], self._as_input(baseline)[0]
        function = self._inference.function
        shared = self._inference.prepare(image, baseline) | {
            "feature_index": np.array([feature_index], "int32"),
            "class_indices": np.asarray(class_indices, "int32"),
        }
        grid = self.occluders.shape
        positions = np.stack(np.unravel_index(np.arange(grid[0] * grid[1]), grid), 1).astype(
            "int32"
        )
        batch_size = even_batch_size(len(positions), self.batch_size)
        batches = _groups(positions, batch_size)
        parts = []
        bar = tqdm.tqdm(
            desc="Occluder",
            unit=" positions",
            total=len(positions),
            leave=False,
            disable=not standardize_verbose(verbose),
        )
        with bar:
            for group in _groups(batches, num_replicas(function)):
                inputs = [{"position": _of_length(batch_size, x), **shared} for x in group]
                outputs = predict_on_replicas(function, inputs, [batch_size] * len(group))
                for batch, arrays in zip(group, outputs, strict=True):
                    parts.append([array[: len(batch)] for array in arrays])
                    bar.update(len(batch))
        probabilities, label, activity = (np.concatenate(x) for x in zip(*parts, strict=True))
        self._check_finite(label, activity)
        if self.scores.map_size is None:
            self.scores.check(probabilities)
        return (
            probabilities.reshape(*grid, -1),
            label.reshape(grid).astype("int64"),
            activity.reshape(grid),
        )

    def _as_input(self, image):
        return ops.convert_to_tensor(image, self.model.inputs[0].dtype)[None]

    def _check_finite(self, label, activity):
        wrong = (label < 0) | ~np.isfinite(activity)
        if wrong.any():
            box = self.occluders.boxes.reshape(-1, 4)[np.argmax(wrong)].tolist()
            raise ValueError(
                f"With the occluder at (top, left, bottom, right) = {tuple(box)} the model returns "
                "NaN or infinity: check the range of the image, the baseline and the weights."
            )


def _groups(values, size):
    """Consecutive groups of `size` values, the last one shorter."""
    return [values[begin : begin + size] for begin in range(0, len(values), size)]


def _of_length(length, positions):
    """Positions with the last one repeated, so that one compiled program fits all batches."""
    return np.pad(positions, ((0, length - len(positions)), (0, 0)), mode="edge")


def default_batch_size(plan):
    """Positions whose feature maps fit into `BYTES_IN_BATCH`, by the plan's largest step."""
    sizes = [1]
    for step in plan.steps:
        rows, columns = step.windows
        channels = sum(plan.shapes[n][-1] for n in (*step.node.inputs, *step.node.outputs))
        sizes.append(2 * rows.size * columns.size * channels)
    whole = [{*node.inputs, *node.outputs} for node in plan.whole_nodes]
    for tensors in [*whole, plan.watched[:1]]:
        sizes.append(sum(num_values(plan.shapes[n]) for n in tensors))
    return int(np.clip(BYTES_IN_BATCH // (4 * max(sizes)), 1, MAX_BATCH_SIZE))


def _check_maps(layer, shape):
    if len(shape) != 4:
        raise ValueError(
            f"Layer {layer!r} returns {shape}, which has no rows and columns: give a layer of "
            f"feature maps, such as a convolution. Received: layer={layer!r}"
        )
