"""The numbers that decisions rest on: a class's score, and how far it leads another class."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from kerasvis.deconvnet.start import starting_point
from kerasvis.graph.activation_functions import call_without_activation
from kerasvis.graph.nodes import Node
from kerasvis.graph.outputs import output_tensor
from kerasvis.graph.reading import read_graph
from kerasvis.graph.replaying import call_layer, replay


class Decision(NamedTuple):
    """What is to be explained: why a class, or why one class rather than another.

    Attributes:
        class_index: number of the class.
        other_index: number of the class that it is compared with; None for the class alone.
    """

    class_index: int
    other_index: int | None = None


class DecisionScores:
    """The score of a class, or the score of one class minus that of another, for some decisions.

    A softmax or sigmoid at the end is left out, so that its saturation does not hide what a feature
    map adds. The score of a single sigmoid unit is that of class 1; class 0 has its negative.

    Args:
        model: a functional or Sequential `keras.Model` with images as its one input.
        decisions: the `Decision`s.
        output: which of its outputs, see `kerasvis.graph.Scores`.

    Raises:
        ValueError: if the output is not one score for each class, or has no such class.

    Call arguments:
        tensors: `{number: tensor}`, as from `replay` of `nodes`.

    Returns:
        Float32 tensor `(images, decisions)`.
    """

    def __init__(
        self,
        model: keras.Model,
        decisions: Sequence[Decision],
        output: str | int | None = None,
    ):
        self.model, self.graph = model, read_graph(model)
        end = output_tensor(model, self.graph, output)
        last = next(node for node in self.graph.nodes if end in node.outputs)
        self.tensor, self.scored = starting_point(last)
        self.nodes = self.graph.ancestors([self.tensor])
        self.decisions = tuple(decisions)

    def replay(self, nodes: tuple[Node, ...], tensors: dict[int, Any]) -> dict[int, Any]:
        """Runs some of the nodes as the model does, but without the last activation."""

        def call(node, args, kwargs):
            run = call_without_activation if node is self.scored else call_layer
            return run(node, args, kwargs)

        return replay(nodes, tensors, call)

    def __call__(self, tensors: dict[int, Any]) -> Any:
        scores = ops.cast(tensors[self.tensor], "float32")
        scores = ops.reshape(scores, (-1, int(np.prod(scores.shape[1:]))))
        columns = [_score(scores, *decision) for decision in self.decisions]
        return ops.stack(columns, axis=1)


def _score(scores, class_index, other_index):
    if scores.shape[1] == 1:
        # Half for each class, so that the lead of one over the other is the whole score.
        scores = scores * np.array([-1, 1], "float32") / (1 if other_index is None else 2)
    score = scores[:, class_index]
    return score if other_index is None else score - scores[:, other_index]
