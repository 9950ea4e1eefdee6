"""From the model's scores to probabilities."""

import keras
from keras import ops

ACTIVATIONS = ("auto", "softmax", "sigmoid", "linear")


def probability_function(graph, output, activation="auto"):
    """What turns the model's output into probabilities.

    Args:
        graph: the model's `Graph`.
        output: number of the output tensor.
        activation: `"softmax"` or `"sigmoid"`, for a model that returns logits; `"linear"` for one
            that returns probabilities; `"auto"` takes the latter for a model that ends with a
            softmax or sigmoid; for any other softmax, and sigmoid if it returns a single score.

    Returns:
        A function from scores `(images, classes)` or `(images, 1, 1, classes)` to float32
        `(images, classes)`.

    Raises:
        ValueError: if `activation` is none of these.
    """
    if activation not in ACTIVATIONS:
        known = ", ".join(map(repr, ACTIVATIONS))
        raise ValueError(f"activation is {activation!r}: give {known}.")
    if activation == "auto":
        activation = "linear" if _are_probabilities(graph, output) else None

    def to_probabilities(scores):
        num_classes = scores.shape[-1]
        chosen = activation or ("sigmoid" if num_classes == 1 else "softmax")
        scores = ops.cast(ops.reshape(scores, (-1, num_classes)), "float32")
        return keras.activations.get(chosen)(scores)

    return to_probabilities


def _are_probabilities(graph, output):
    """Whether the output comes from a softmax or a sigmoid, be it reshaped or cast after it."""
    (node,) = (node for node in graph.nodes if output in node.outputs)
    if node.type_name in ("Softmax", "Sigmoid"):
        return True
    if getattr(getattr(node.layer, "activation", None), "__name__", "") in ("softmax", "sigmoid"):
        return True
    passes_on = node.type_name in ("Flatten", "Reshape", "Cast", "Squeeze", "Identity", "Dropout")
    return passes_on and len(node.inputs) == 1 and _are_probabilities(graph, node.inputs[0])
