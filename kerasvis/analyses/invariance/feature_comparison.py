"""Distances of the features of images to those of another image, and the model's predictions."""

import numpy as np
from keras import ops

from kerasvis.graph import replay
from kerasvis.graph.batch_function import BatchFunction
from kerasvis.graph.replicas import predict_undivided


class FeatureComparison:
    """Compares the features of images with those of the first of them.

    Args:
        scores: the `kerasvis.graph.Scores` of the model; `decide` is called before `run`.
        layers: names of layers.
    """

    def __init__(self, scores, layers):
        self._scores = scores
        self._features = [scores.graph.node(name).outputs[0] for name in layers]
        self._nodes = scores.graph.ancestors([*self._features, scores.tensor])
        self._compare = BatchFunction(self._compared, [scores.model])

    def _compared(self, images):
        """float32 `(images, layers)`, Euclidean distances to the first; `(images, classes)`."""
        scores = self._scores
        images = ops.convert_to_tensor(images, scores.model.inputs[0].dtype)
        tensors = replay(self._nodes, {scores.graph.inputs[0]: images})
        distances = [_distances_to_first(ops.cast(tensors[n], "float32")) for n in self._features]
        return ops.stack(distances, axis=1), scores(tensors[scores.tensor])

    def run(self, original, versions, to_images, batch_size):
        """Compares versions of an image with the original, which comes first in every batch.

        Args:
            original: uint8 `(height, width, channels)`.
            versions: uint8 `(versions, height, width, channels)`.
            to_images: function from pixels to images as the model takes them.
            batch_size: images per step.

        Returns:
            `(distances, probabilities)`: float32 `(versions, layers)`, and `(1 + versions,
            classes)`, those of the original first.

        Raises:
            ValueError: if a number is NaN or infinite, or contradicts the assumed activation of the
                model's output.
        """
        distances, probabilities = [], []
        for begin in range(0, len(versions), batch_size):
            pixels = np.concatenate([original[None], versions[begin : begin + batch_size]])
            of_features, of_classes = predict_undivided(self._compare, to_images(pixels))
            distances.append(of_features[1:])
            probabilities += [*(of_classes[1:] if begin else of_classes)]
        distances, probabilities = np.concatenate(distances), np.stack(probabilities)
        if not (np.isfinite(distances).all() and np.isfinite(probabilities).all()):
            raise ValueError(
                "The model returns NaN or infinity: check the range of the images, the "
                "preprocessing and the model's weights. "
                f"Received: pixels from {versions.min()} to {versions.max()}"
            )
        if self._scores.map_size is None:
            self._scores.check(probabilities)
        # The outputs of equal images may differ in the last bit, depending on the place in a batch.
        is_same = (versions == original).all(axis=(1, 2, 3))
        distances[is_same] = 0
        probabilities[1:][is_same] = probabilities[0]
        return distances, probabilities


def _distances_to_first(features):
    differences = ops.reshape(features - features[:1], (-1, int(np.prod(features.shape[1:]))))
    return ops.sqrt(ops.sum(ops.square(differences), axis=1))
