"""What feature maps respond to with the current weights: one column of Figure 4."""

import threading

import numpy as np

from kerasvis.activations.scan import Scan
from kerasvis.activations.strongest_activations import StrongestActivations
from kerasvis.activations.top_activations import LayerActivations
from kerasvis.analyses.feature_visualization import choose_features, visualize_chosen
from kerasvis.arguments import standardize_images, standardize_layers
from kerasvis.data.images import FetchedImages
from kerasvis.deconvnet.deconv_model import DeconvModel
from kerasvis.deconvnet.whole_images import fitting_batch_size
from kerasvis.graph import image_shape

ANY_SIZE = 224  # pixels; replaces an unknown height or width of the images


class FeatureSnapshots:
    """Takes snapshots of the feature maps of a model while it trains.

    The forward pass and the deconvnets are built once and share the model's weights. Each snapshot
    therefore shows the current weights, and nothing is compiled again.

    Args:
        model: a functional or Sequential `keras.Model`; it is not changed.
        layers, features, num_features, seed, rectification, rules, preprocessing, batch_size,
            steps, with_patches: see `kerasvis.callbacks.FeatureEvolution`.

    Attributes:
        feature_indices: `{layer: int64 (features,)}`, random subsets included.

    Raises:
        ValueError: if a layer or a feature map is not in the model.
    """

    def __init__(
        self,
        model,
        layers,
        features=None,
        *,
        num_features=8,
        seed=0,
        rectification="deconvnet",
        rules=(),
        preprocessing=None,
        batch_size=None,
        steps=None,
        with_patches=True,
    ):
        layers = standardize_layers(layers)
        _check_layers(layers, features or {})
        self.deconvs = {name: DeconvModel(model, name, rectification, rules) for name in layers}
        self.feature_indices = {
            name: choose_features(
                deconv.target_shape[-1], (features or {}).get(name), num_features, seed
            )
            for name, deconv in self.deconvs.items()
        }
        self._model = model
        self.preprocessing = preprocessing
        self.steps, self.with_patches = steps, with_patches
        self._interrupted = threading.Event()
        self.batch_size = batch_size
        self._scan = Scan(
            model,
            [(name, StrongestImages(chosen)) for name, chosen in self.feature_indices.items()],
        )

    @property
    def layers(self):
        """Names of the layers."""
        return tuple(self.deconvs)

    def take(self, images):
        """Projects the strongest activation of every chosen feature map over the images.

        Args:
            images: array `(images, rows, columns, channels)`, an `ImageFolder`, or batches of
                images that can be read repeatedly, such as a `tf.data.Dataset`.

        Returns:
            `{layer: FeatureVisualization}` with k = 1.

        Raises:
            NotFiniteError: if a weight or an activation is NaN or infinite.
            ValueError: if the images do not fit the model.
        """
        self._interrupted.clear()
        source = self.source(images, self._batch_size())
        strongest = self._scan.run(source, on_progress=self._check_interrupted)
        return {
            name: visualize_chosen(
                deconv,
                CachedImages(images_of_layer, source.preprocessing),
                top,
                self.feature_indices[name],
                with_patches=self.with_patches,
            )
            for (name, deconv), (top, images_of_layer) in zip(
                self.deconvs.items(), strongest, strict=True
            )
        }

    def source(self, images, batch_size):
        """The `Images` of the snapshots."""
        options = {"batch_size": batch_size, "steps": self.steps, "fetched": True}
        source = standardize_images(self._model, images, self.preprocessing, **options)
        if self.with_patches:
            source.known_preprocessing()
        return source

    def interrupt(self):
        """Ends a snapshot that another thread is taking, after the current batch."""
        self._interrupted.set()

    def _batch_size(self):
        if self.batch_size:
            return self.batch_size
        return fitting_batch_size((None, *(n or ANY_SIZE for n in image_shape(self._model))))

    def _check_interrupted(self, progress):
        if self._interrupted.is_set():
            raise InterruptedError("The snapshot was interrupted.")


class StrongestImages(StrongestActivations):
    """The strongest activation of each feature map, with the images of some feature maps.

    The result of a layer is `(LayerActivations, {image index: image})`.

    Args:
        features: int64 `(features,)`, the feature maps whose images are cached.
    """

    def __init__(self, features):
        super().__init__(k=1)
        self.features = features

    def update(self, state, measured, batch):
        state = state or {}
        top = {name: state[name] for name in LayerActivations._fields if state}
        top = super().update(top or None, measured, batch)
        indices = np.unique(top["image_indices"][self.features, 0]).tolist()
        images = {f"image {index}": index for index in indices}
        cached = {
            name: state[name] if name in state else batch.image(index)
            for name, index in images.items()
        }
        return top | cached

    def result(self, layer, state):
        images = {
            int(name.removeprefix("image ")): image
            for name, image in state.items()
            if name.startswith("image ")
        }
        return super().result(layer, state), images


class CachedImages(FetchedImages):
    """The images that a scan cached, and no others.

    Args:
        images: `{image index: image}`.
        preprocessing: how the images were made from pixels, or None.
    """

    def __init__(self, images, preprocessing):
        self.preprocessing = preprocessing
        self._images = images

    def sample(self):
        return self[list(self._images)[:1]]

    def __getitem__(self, image_indices):
        images = [self._images[index] for index in np.ravel(image_indices).tolist()]
        sizes = sorted({image.shape[:2] for image in images})
        if len(sizes) > 1:
            raise ValueError(
                "The images have different sizes: resize them to one, so that their projections "
                f"can be compared. Received: images of {sizes[0]} and {sizes[-1]} pixels"
            )
        return np.stack(images)


def _check_layers(layers, features):
    if not isinstance(features, dict):
        raise ValueError(
            "Give a dict from layers to lists of feature map numbers. "
            f"Received: features={features!r}"
        )
    if unknown := [name for name in features if name not in layers]:
        raise ValueError(
            f"features contains {unknown[0]!r}, but the layers are {', '.join(layers)}: add it to "
            f"layers, or leave it out. Received: features={features!r}"
        )
