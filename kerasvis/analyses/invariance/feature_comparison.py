"""How far the features of images lie from those of another image, and what the model answers."""

import keras
import numpy as np
from keras import ops

from kerasvis.graph import FeatureExtractor, read_graph
from kerasvis.graph.shapes import infer_shapes
from kerasvis.occlusion.scores import probability_function


class FeatureComparison(keras.Model):
    """Compares the features of images with those of the first of them.

    Args:
        model: a functional or Sequential `keras.Model` that returns scores of classes.
        layers: names of layers.
        activation: see `kerasvis.occlusion.scores.probability_function`.

    Call arguments:
        images: `(images, rows, columns, channels)`, as the model takes them.

    Returns:
        `(distances, probabilities)`: float32 `(images, layers)`, Euclidean, and `(images,
        classes)`.
    """

    def __init__(self, model, layers, activation):
        super().__init__(autocast=False)  # the layers cast as they do inside `model`
        graph = read_graph(model)
        scores = _scores_node(graph, model)
        self.extractor = FeatureExtractor(model, [*layers, scores.name])
        self._to_probabilities = probability_function(graph, scores.outputs[0], activation)
        self.built = True

    def call(self, images):
        *features, scores = self.extractor(images)
        distances = [_distances_to_first(ops.cast(x, "float32")) for x in features]
        return ops.stack(distances, axis=1), self._to_probabilities(scores)

    def run(self, original, versions, to_images, batch_size):
        """Compares versions of an image with it, in batches that each begin with it.

        Args:
            original: uint8 `(height, width, channels)`.
            versions: uint8 `(versions, height, width, channels)`.
            to_images: function from pixels to what the model takes.
            batch_size: images in a step.

        Returns:
            `(distances, probabilities)`: float32 `(versions, layers)`, and `(1 + versions,
            classes)`, those of the image itself first.

        Raises:
            ValueError: if a number is NaN or infinite.
        """
        distances, probabilities = [], []
        for begin in range(0, len(versions), batch_size):
            pixels = np.concatenate([original[None], versions[begin : begin + batch_size]])
            moved, of_classes = self.predict_on_batch(to_images(pixels))
            distances.append(moved[1:])
            probabilities += [*(of_classes[1:] if begin else of_classes)]
        distances, probabilities = np.concatenate(distances), np.stack(probabilities)
        if not (np.isfinite(distances).all() and np.isfinite(probabilities).all()):
            raise ValueError(
                "The model gives NaN or infinity: check the range of the images, the preprocessing "
                "and the model's weights."
            )
        # Equal images may differ in the last bit, by their places in the batch.
        is_same = (versions == original).all(axis=(1, 2, 3))
        distances[is_same] = 0
        probabilities[1:][is_same] = probabilities[0]
        return distances, probabilities


def num_classes_of(model, image_size):
    """How many classes a model tells apart.

    Args:
        model: a functional or Sequential `keras.Model`.
        image_size: `(height, width)` in pixels.

    Raises:
        ValueError: if the model returns anything else than one vector of scores.
    """
    graph = read_graph(model)
    (output,) = _scores_node(graph, model).outputs
    shape = infer_shapes(graph, graph.nodes, model, image_size)[output]
    if len(shape) < 2 or any(length != 1 for length in shape[1:-1]):
        raise ValueError(
            f"The model {model.name!r} returns {shape}, but scores (images, classes) were "
            "expected: give the model with its classifier."
        )
    return shape[-1]


def _distances_to_first(features):
    differences = ops.reshape(features - features[:1], (-1, int(np.prod(features.shape[1:]))))
    return ops.sqrt(ops.sum(ops.square(differences), axis=1))


def _scores_node(graph, model):
    if len(graph.outputs) != 1:
        raise ValueError(
            f"The model {model.name!r} has {len(graph.outputs)} outputs, but one vector of scores "
            "was expected: make a keras.Model of its inputs and that output."
        )
    return next(node for node in graph.nodes if graph.outputs[0] in node.outputs)
