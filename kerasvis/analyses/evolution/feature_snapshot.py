"""What feature maps respond to with the weights of this moment: one column of Figure 4."""

import contextlib
import threading

import keras
import numpy as np

from kerasvis.activations.channel_maxima import ChannelMaxima
from kerasvis.activations.running_top import RunningTop
from kerasvis.activations.top_activations import TopActivations
from kerasvis.analyses.feature_visualization import choose_features, visualize_chosen
from kerasvis.arguments import standardize_images, standardize_layers
from kerasvis.data.image_sources import Images
from kerasvis.deconvnet.deconv_model import DeconvModel, fitting_batch_size
from kerasvis.graph import image_shape
from kerasvis.graph.nodes import nodes_up_to

ANY_SIZE = 224  # pixels, of a model that takes any


class NotFiniteError(ValueError):
    """Weights or activations are NaN or infinite, so that no activation is the strongest."""


class FeatureSnapshots:
    """Takes snapshots of the feature maps of a model while it learns.

    The upward pass and the deconvnets are built once and share the model's weights, so that each
    snapshot shows the weights that the model has then, and nothing is compiled again.

    Args:
        model: a functional or Sequential `keras.Model`; left as it is.
        layers: names of layers, or one name.
        features: `{layer: numbers of feature maps}`; where a layer is missing, some are
            drawn at random.
        num_features: how many are drawn of each layer, all if there are fewer.
        seed: of the drawing.
        rectification: as of `DeconvModel`.
        rules: as of `DeconvModel`.
        preprocessing: how the images were made from pixels: what `kerasvis.data.Preprocessing.of`
            takes; by default found as `kerasvis.arguments.standardize_images` does.
        batch_size: images per step; chosen from their size by default.
        steps: batches to read at most, where a data set has no end.
        with_patches: whether the image patches are kept, too.

    Attributes:
        features: `{layer: int64 (features,)}`, with those that were drawn.

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
        self._maxima = ChannelMaxima(model, layers)
        self._nodes = nodes_up_to(model, layers)
        self._dtype = model.inputs[0].dtype

    @property
    def layers(self):
        """Names of the layers."""
        return tuple(self.deconvs)

    def take(self, images):
        """Projects the strongest activation of every chosen feature map over the images.

        Args:
            images: array `(images, rows, columns, channels)`, an `ImageFolder`, or something of
                batches of images that can be read again and again, as a `tf.data.Dataset`.

        Returns:
            `{layer: FeatureVisualization}` with k = 1.

        Raises:
            NotFiniteError: if a weight or an activation is NaN or infinite.
            ValueError: if the images do not fit the model.
        """
        self._check_weights()
        self._interrupted.clear()
        top, winners = self._scan(self.source(images, self._batch_size()))
        return {
            name: visualize_chosen(
                deconv,
                winners,
                top[name],
                self.feature_indices[name],
                with_patches=self.with_patches,
            )
            for name, deconv in self.deconvs.items()
        }

    def source(self, images, batch_size):
        """The `Images` for what the snapshots are taken of."""
        options = {"batch_size": batch_size, "steps": self.steps, "fetched": True}
        source = standardize_images(self._model, images, self.preprocessing, **options)
        if self.with_patches:
            source.known_preprocessing()
        return source

    def interrupt(self):
        """Ends a snapshot that another thread is taking, after its batch."""
        self._interrupted.set()

    def _batch_size(self):
        if self.batch_size:
            return self.batch_size
        return fitting_batch_size((None, *(n or ANY_SIZE for n in image_shape(self._model))))

    def _scan(self, source):
        """The strongest activations of all feature maps, and the images of the chosen ones."""
        top = RunningTop.before_all_images(sum(self._maxima.num_maps), k=1)
        winners = Winners(self._chosen(), source.preprocessing)
        with contextlib.closing(source.batches()) as batches:
            for image_indices, batch in batches:
                if self._interrupted.is_set():
                    raise InterruptedError("The snapshot was interrupted.")
                batch = self._checked(batch)
                values, rows, columns = self._maxima.predict_on_batch(batch)
                self._check_finite(values, image_indices, source)
                top = top.after(image_indices, values, rows, columns)
                winners.update(top.activations.image_indices[:, 0], image_indices, batch)
        if not top.progress.num_batches:
            raise ValueError(f"No image could be scanned: {source.why_none()}")
        return TopActivations(top.by_layer(self.layers, self._maxima.num_maps)), winners

    def _chosen(self):
        """Numbers of the chosen feature maps among those of all layers."""
        begins = np.cumsum([0, *self._maxima.num_maps[:-1]])
        chosen = zip(begins, self.feature_indices.values(), strict=True)
        return np.concatenate([begin + features for begin, features in chosen])

    def _checked(self, batch):
        """The batch in the model's dtype, if the model takes such images."""
        return np.asarray(next(iter(self.deconvs.values())).check_images(batch), self._dtype)

    def _check_weights(self):
        # Convolutions on a CPU rectify NaN to 0, so the activations alone would not tell.
        for node in self._nodes:
            for weight in getattr(node.layer, "weights", ()):
                if not np.isfinite(keras.ops.convert_to_numpy(weight)).all():
                    raise NotFiniteError(
                        f"The weights of layer {node.name!r} hold NaN or infinity: look for a "
                        "training run that diverged."
                    )

    def _check_finite(self, values, image_indices, source):
        wrong = np.argwhere(~np.isfinite(values))
        if len(wrong):
            image, feature_map = wrong[0]
            ends = np.cumsum(self._maxima.num_maps)
            layer = self.layers[int(np.searchsorted(ends, feature_map, side="right"))]
            raise NotFiniteError(
                f"{source.describe(image_indices[image])} gives NaN or infinity in layer "
                f"{layer!r}: look for an overflow, or for such an image."
            )


class Winners(Images):
    """The images that are the strongest of some feature map so far, and no others.

    Args:
        chosen: numbers of the feature maps that count.
        preprocessing: by which the images were made from pixels, or None.
    """

    def __init__(self, chosen, preprocessing):
        super().__init__()
        self.preprocessing = preprocessing
        self._chosen = chosen
        self._images = {}

    def update(self, strongest, image_indices, batch):
        """Takes in the winners among a batch, and drops those that it beat.

        Args:
            strongest: int64 `(feature maps,)`, image indices with the batch counted in.
            image_indices: int64 `(images,)`, those of the batch.
            batch: `(images, rows, columns, channels)`.
        """
        new = dict(zip(image_indices.tolist(), batch, strict=True))
        still = np.unique(strongest[self._chosen]).tolist()
        self._images = {
            index: self._images[index] if index in self._images else new[index].copy()
            for index in still
        }

    def __getitem__(self, image_indices):
        images = [self._images[index] for index in np.ravel(image_indices).tolist()]
        sizes = sorted({image.shape[:2] for image in images})
        if len(sizes) > 1:
            raise ValueError(
                f"The images have different sizes, such as {sizes[0]} and {sizes[-1]}: bring them "
                "to one size, so that their projections can be compared."
            )
        return np.stack(images)


def _check_layers(layers, features):
    if not isinstance(features, dict):
        raise ValueError(
            f"features is {features!r}: give a dict from layers to lists of numbers "
            "of feature maps."
        )
    if unknown := [name for name in features if name not in layers]:
        raise ValueError(
            f"features holds {unknown[0]!r}, but the layers are {', '.join(layers)}: add it "
            "to layers, or leave it out."
        )
