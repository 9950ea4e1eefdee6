"""Which feature maps carried a decision: the score without each of them.

The model runs once up to the layer. The layers above it then run once for each feature map, with
that feature map set to 0. The drop in the score is what the feature map added, through all layers
above. Gradient × activation estimates the same to first order, from one backward pass.
"""

import dataclasses
from typing import Annotated

import numpy as np
import scipy.stats
from keras import ops

from kerasvis.analyses.explanation.decision_scores import DecisionScores
from kerasvis.graph.batch_function import BatchFunction
from kerasvis.graph.dependence import tensors_that_depend_on
from kerasvis.graph.differentiation import vector_jacobian_product
from kerasvis.graph.replicas import even_batch_size, predict_undivided
from kerasvis.storage.fields import Array
from kerasvis.storage.results import Result

NO_CLASS = -1
NUM_VALUES_IN_STEP = 2**25  # float32 values of the largest tensor in a step


@dataclasses.dataclass(frozen=True, eq=False)
class FeatureEvidence(Result):
    """What each feature map of a layer adds to the score of one image.

    Attributes:
        layer: name of the layer.
        class_index: number of the class.
        other_index: number of the class that it is compared with; -1 for the class alone.
        score: score of the class, before a softmax or sigmoid; or its lead over the other class.
        effects: float32 `(features,)`: the score minus that without the feature map.
        estimates: float32 `(features,)`: gradient × activation, summed over the feature map.
        activations: float32 `(features,)`: the strongest of each feature map.
        positions: int32 `(features, 2)`: where that is, (row, column); (0, 0) in a dense layer.
        agreement: Spearman's rank correlation of effects and estimates over the feature maps that
            are active; NaN where it is not defined.
    """

    layer: str
    class_index: int
    other_index: int
    score: float
    effects: Annotated[np.ndarray, Array("float32", "features")]
    estimates: Annotated[np.ndarray, Array("float32", "features")]
    activations: Annotated[np.ndarray, Array("float32", "features")]
    positions: Annotated[np.ndarray, Array("int32", "features", 2)]
    agreement: float

    @property
    def ranked(self) -> np.ndarray:
        """int64 `(features,)`: the feature maps, those that add most first."""
        return np.argsort(-self.effects, kind="stable")


def feature_evidence(
    scores: DecisionScores, layer: str, image: np.ndarray, *, batch_size: int | None = None
) -> list[FeatureEvidence]:
    """Ranks the feature maps of a layer by what they add to the scores of decisions.

    Args:
        scores: the `DecisionScores`.
        layer: name of a layer of feature maps or units, on which the scores depend.
        image: `(rows, columns, channels)`, as the model takes it.
        batch_size: feature maps in a step; chosen from their size by default.

    Returns:
        A `FeatureEvidence` for each decision.

    Raises:
        ValueError: if the layer is unknown, the scores do not depend on it, or it holds neither
            feature maps nor units.
    """
    upper = UpperLayers(scores, layer)
    record = upper.record(image)
    outputs = ops.convert_to_numpy(record[upper.layer_tensor]).astype("float32")[0]
    width = outputs.shape[1] if outputs.ndim == 3 else 1
    maps = outputs.reshape(-1, outputs.shape[-1])
    is_active = np.flatnonzero((maps != 0).any(axis=0))
    batch_size = batch_size or max(1, NUM_VALUES_IN_STEP // upper.num_values(record))
    whole, of_active = upper.effects(record, is_active, batch_size)
    strongest = maps.argmax(axis=0)
    positions = np.stack([strongest // width, strongest % width], axis=1).astype("int32")
    gradients = upper.gradients(record)
    found = []
    for number, (class_index, other_index) in enumerate(scores.decisions):
        effects = np.zeros(maps.shape[1], "float32")
        effects[is_active] = of_active[:, number]
        estimates = (gradients[number].reshape(maps.shape) * maps).sum(axis=0)
        found.append(
            FeatureEvidence(
                layer=layer,
                class_index=class_index,
                other_index=NO_CLASS if other_index is None else other_index,
                score=float(whole[number]),
                effects=effects,
                estimates=estimates.astype("float32"),
                activations=maps.max(axis=0),
                positions=positions,
                agreement=rank_agreement(effects[is_active], estimates[is_active]),
            )
        )
    return found


def rank_agreement(effects: np.ndarray, estimates: np.ndarray) -> float:
    """Spearman's rank correlation; NaN where either does not vary."""
    if len(effects) < 2 or np.ptp(effects) == 0 or np.ptp(estimates) == 0:
        return float("nan")
    return float(scipy.stats.spearmanr(effects, estimates).statistic)


class UpperLayers:
    """The part of a model above a layer, run again with some of its feature maps set to 0.

    Args:
        scores: the `DecisionScores`.
        layer: name of the layer.
    """

    def __init__(self, scores, layer):
        self._scores = scores
        self.layer_tensor = scores.graph.node(layer).outputs[0]
        above = tensors_that_depend_on(self.layer_tensor, scores.nodes)
        if scores.tensor not in above:
            raise ValueError(
                f"The scores do not depend on layer {layer!r}: give a layer below them. Received: "
                f"layer={layer!r}"
            )
        done = {self.layer_tensor}
        self._nodes = tuple(
            node for node in scores.nodes if above.intersection(node.outputs) - done
        )
        made = {number for node in self._nodes for number in node.outputs}
        self._needed = sorted({n for node in self._nodes for n in node.inputs} - made | done)
        self._without_maps = BatchFunction(self._scores_without, [scores.model])

    def record(self, image):
        """`{number: array}` of the tensors that the upper layers need, from one forward pass."""
        dtype = self._scores.model.inputs[0].dtype
        image = ops.convert_to_tensor(np.asarray(image)[None], dtype)
        nodes = self._scores.graph.ancestors(self._needed)
        tensors = self._scores.replay(nodes, {self._scores.graph.inputs[0]: image})
        found = {number: tensors[number] for number in self._needed}
        if found[self.layer_tensor].ndim not in (2, 4):
            raise ValueError(
                "Give a layer that returns feature maps (batch, rows, columns, features) or units "
                "(batch, units). Received: an output of shape "
                f"{tuple(found[self.layer_tensor].shape)}"
            )
        return found

    def num_values(self, record):
        """Number of values of the largest tensor that is repeated for each feature map."""
        return max(int(np.prod(tensor.shape)) for tensor in record.values())

    def _scores_without(self, inputs):
        """The scores `(batch, decisions)`, each without one feature map.

        Args:
            inputs: a dict of `"removed"`, int32 `(batch,)`, numbers of the feature maps to set to
                0, or -1 for none; and `"tensor <number>"` for each tensor that the layers need,
                from the forward pass of one image, with a batch axis of 1.
        """
        removed = inputs["removed"]
        tensors = {}
        for number in self._needed:
            tensor = inputs[f"tensor {number}"]
            tensors[number] = ops.repeat(tensor, ops.shape(removed)[0], axis=0)
        maps = tensors[self.layer_tensor]
        numbers = ops.arange(maps.shape[-1], dtype="int32")
        is_kept = ops.cast(ops.not_equal(numbers, removed[:, None]), maps.dtype)
        shape = (-1, *[1] * (len(maps.shape) - 2), maps.shape[-1])
        tensors[self.layer_tensor] = maps * ops.reshape(is_kept, shape)
        return self._scores(self._scores.replay(self._nodes, tensors))

    def effects(self, record, features, batch_size):
        """`(scores, drops without each feature map)`: `(decisions,)`, `(features, decisions)`."""
        inputs = {f"tensor {number}": tensor for number, tensor in record.items()}
        removed = np.concatenate([[-1], features]).astype("int32")
        number = len(removed)
        batch_size = even_batch_size(number, batch_size)
        # The last one is repeated, so that one compiled program fits all batches.
        removed = np.pad(removed, (0, -number % batch_size), mode="edge")
        parts = [
            predict_undivided(self._without_maps, {**inputs, "removed": batch})
            for batch in np.split(removed, len(removed) // batch_size)
        ]
        of_image, *without = np.concatenate(parts)[:number]
        return of_image, of_image - np.reshape(without, (len(features), len(of_image)))

    def gradients(self, record):
        """The gradient of each decision's score at the layer's output: float32 `(decisions, ...)`.

        Each decision has a copy of the image's tensors, and so a gradient of its own.
        """
        num_decisions = len(self._scores.decisions)
        copies = {n: ops.repeat(tensor, num_decisions, axis=0) for n, tensor in record.items()}

        def function(tensor):
            tensors = {**copies, self.layer_tensor: tensor}
            return self._scores(self._scores.replay(self._nodes, tensors))

        own = ops.eye(num_decisions, dtype="float32")
        (found,) = vector_jacobian_product(function, [copies[self.layer_tensor]], own)
        return ops.convert_to_numpy(found).astype("float32")
