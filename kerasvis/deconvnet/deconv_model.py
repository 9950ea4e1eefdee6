"""The deconvnet of a trained Keras convnet."""

import contextlib
import functools
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import keras
import numpy as np

from kerasvis.deconvnet import passes
from kerasvis.deconvnet.check_images import check_images
from kerasvis.deconvnet.mirror import Record
from kerasvis.deconvnet.planning import make_plan
from kerasvis.deconvnet.rule_table import standardize_rules
from kerasvis.deconvnet.shared_forward_pass import SharedForwardPass
from kerasvis.deconvnet.targets import Strongest, Unit, as_arrays
from kerasvis.deconvnet.unit_crops import UnitCrops
from kerasvis.deconvnet.whole_images import WholeImages, fitting_batch_size, pasted
from kerasvis.graph.batch_function import BatchFunction
from kerasvis.graph.readable import check_readable
from kerasvis.graph.reading import read_graph
from kerasvis.graph.receptive_fields import as_receptive_field, receptive_spans
from kerasvis.graph.replicas import predict_any_number
from kerasvis.graph.shapes import image_shape, infer_shapes
from kerasvis.layers.xla_compilation import plain_operations
from kerasvis.storage.short import short

if TYPE_CHECKING:
    from kerasvis.deconvnet.plan import Plan
    from kerasvis.deconvnet.targets import Target
    from kerasvis.graph.receptive_fields import ReceptiveField


@keras.saving.register_keras_serializable(package="kerasvis")
class DeconvModel(keras.Model):
    """Shows what activations of one layer respond to: projects them back to pixel space.

    The convnet runs up to the layer and records the switches of its max pooling. All activations
    but the chosen ones are set to zero; what is left is projected back through unpooling,
    rectification and the transposed filters, layer by layer, until it reaches the image. The
    weights are those of the trained model, which does not change: nothing is copied, rebuilt or
    trained.

    The model is mirrored as a graph. Where branches merge in the forward pass, the projection
    splits, and its parts are summed where the branches began. Nested models are opened, and a
    shared layer is mirrored once for each call. Batch normalisation at inference is a scale;
    contrast normalisation passes the signal unchanged. If the layer itself ends in a softmax or
    sigmoid, the score before it is projected.

    `print(deconv.plan)` reads like the paper's Figure 1; `deconv.summary()` lists the mirrored
    stack as Keras layers.

    The first projection compiles, which takes seconds in a deep model. To project only a few units,
    set `deconv.run_eagerly = True` before: nothing is compiled then.

    Args:
        model: a functional or Sequential `keras.Model` with one input of images, channels last.
        layer: name of the layer whose activations are projected; `"outer/inner"` in a nested one.
        rectification: `"deconvnet"` (the paper), `"guided"` (guided backpropagation) or
            `"gradient"` (gradient saliency): what a ReLU passes on in the backward projection.
        rules: pairs `(layer type or activation function, rule)` that precede the built-in ones, or
            `"relaxed"`; see `kerasvis.rules`.
        starts_at: the signal at the chosen units: `"activation"`, their activation as in the paper,
            or `"one"`. The projections differ by a factor, unless the activation is negative, like
            some class scores: the first rectification below sets such a signal to zero.
        name: name of this model.

    Call arguments:
        inputs: a dict of tensors: `"images"` float `(batch, rows, columns, channels)` as the model
            takes them, `"feature"` int32 `(batch,)`, and `"position"` int32 `(batch, 2)`: a
            (row, column), or (-1, -1) for the strongest unit of the feature map, or (-2, -2) for
            the whole feature map.

    Returns:
        A dict of tensors: `"projection"` `(batch, rows, columns, channels)`, signed, in units of
        the activation (of 1, if it starts at one); `"activation"` `(batch,)` of the unit;
        `"position"` int32 `(batch, 2)`.

    Raises:
        ValueError: if the layer is unknown (similar names are suggested), a layer below it has no
            rule (the remedy is named), or the model has no graph, is channels-first, or does not
            take images.

    Reference:
        Zeiler & Fergus 2013, Section 2.1 and Figure 1. Deviation: the paper does not say what
        happens where overlapping pooling windows place several values at one location; they are
        summed.

    Example:
        >>> import numpy as np
        >>> import kerasvis as kv
        >>> model = kv.convnets.ZFNet((64, 64, 3), classes=10, width=0.1, dense_units=32)
        >>> deconv = kv.DeconvModel(model, "conv3")
        >>> images = np.random.default_rng(0).uniform(0, 255, (2, 64, 64, 3))
        >>> deconv.project(images, kv.targets.Strongest(4)).shape
        (2, 64, 64, 3)
    """

    def __init__(
        self,
        model: keras.Model,
        layer: str,
        rectification: str = "deconvnet",
        rules: str | Sequence[tuple] = (),
        starts_at: str = "activation",
        name: str | None = None,
    ):
        check_readable(model)
        super().__init__(name=name or f"deconvnet_of_{model.name}", autocast=False)
        self._image_shape = image_shape(model)
        self._graph = read_graph(model)
        self._plan = make_plan(model, self._graph, layer, rectification, rules, starts_at)
        self._rules = standardize_rules(rules)
        self.convnet = model
        self.mirrors = [mirror for step in self._plan.steps for mirror in step.mirrors]
        self.built = True

    @property
    def plan(self) -> "Plan":
        """The backward projection, step by step, as a printable `Plan`."""
        return self._plan

    @property
    def layer(self) -> str:
        """Name of the layer whose activations are projected."""
        return self._plan.layer

    @property
    def rectification(self) -> str:
        """Name of the rule for rectification."""
        return self._plan.rectification

    @property
    def target_shape(self) -> tuple[int, ...]:
        """`(rows, columns, features)` of a convolution layer, `(units,)` of a dense one."""
        return self._plan.shapes[self._plan.target][1:]

    def call(self, inputs: dict[str, Any]) -> dict[str, Any]:
        images, features, positions = (inputs[key] for key in ("images", "feature", "position"))
        projection, activation, position = passes.forward_and_project(
            self._plan, images, features, positions
        )
        return {"projection": projection, "activation": activation, "position": position}

    def project(
        self, images: Any, target: "Target", batch_size: int | None = None, verbose: str | int = 0
    ) -> np.ndarray:
        """Projects the chosen activations of every image to pixel space.

        Args:
            images: array `(images, rows, columns, channels)`, as the model takes them.
            target: `kerasvis.targets.Unit`, `Strongest` or `WholeMap`; its fields are numbers, or
                sequences with one entry per image.
            batch_size: images per step; chosen from their size by default.
            verbose: whether Keras shows its progress bar.

        Returns:
            float32 array of the shape of `images`: signed, zero outside the units' receptive
            fields.

        Raises:
            ValueError: if the images or the target do not fit the model.
        """
        images = self.check_images(images)
        features, positions = as_arrays(target, len(images), self.target_shape)
        if len(images) == 0:
            return np.zeros(images.shape, "float32")
        numbers, size, own = np.arange(len(images)), images.shape[1:3], (self.rectification,)
        is_unit = isinstance(target, Unit)
        if isinstance(target, Strongest) and self._unit_crops(size, own) is not None:
            # At a known position, the strongest unit can be projected inside a crop.
            _, positions = self.locate(images, target.feature, batch_size)
            is_unit = True
        engine = self._engine(size, numbers, own) if is_unit else self._whole_images
        with self._operations():
            parts, origins = engine.project(
                images, numbers, features, positions, batch_size, verbose
            )
        return pasted(parts[:, 0], origins, images.shape)

    def project_units(
        self,
        images: Any,
        unit: Unit,
        image_numbers: Sequence[int] | None = None,
        batch_size: int | None = None,
        verbose: str | int = 0,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Projects single units, and returns only the part of the image around each one.

        Args:
            images: array `(images, rows, columns, channels)`, or a list of such images.
            unit: `kerasvis.targets.Unit`.
            image_numbers: for each unit, the number of its image; by default unit `i` is in image
                `i`. What the units of one image have in common is computed once.
            batch_size: units per step.
            verbose: whether Keras shows its progress bar.

        Returns:
            `(parts, origins)`: float32 `(units, height, width, channels)`, the parts, all of one
            size, that contain the receptive fields; and int32 `(units, 2)`, the (top, left) of each
            part in its image. If a receptive field spans most of the image, a part is the whole
            image.

        Raises:
            ValueError: if an image or a unit does not exist.
        """
        parts, origins = self.project_units_by(
            (self.rectification,), images, unit, image_numbers, batch_size, verbose
        )
        return parts[self.rectification], origins

    def project_units_by(
        self,
        rectifications: Sequence[str],
        images: Any,
        unit: Unit,
        image_numbers: Sequence[int] | None = None,
        batch_size: int | None = None,
        verbose: str | int = 0,
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Projects single units by several rules for rectification, which share the forward pass.

        Args:
            rectifications: names of the rules, `"deconvnet"`, `"guided"` or `"gradient"`; they need
                not include that of the model.
            images, unit, image_numbers, batch_size, verbose: see `project_units`.

        Returns:
            `({rectification: parts}, origins)`, parts and origins as from `project_units`.

        Raises:
            ValueError: as `project_units`, or if a rule is unknown.
        """
        rectifications = tuple(dict.fromkeys(rectifications))
        numbers = _image_numbers(image_numbers, len(images))
        features, positions = as_arrays(unit, len(numbers), self.target_shape)
        size = self.check_images(np.asarray(images[0])[None]).shape[1:3]
        engine = self._engine(size, numbers, rectifications)
        with self._operations():
            parts, origins = engine.project(
                images, numbers, features, positions, batch_size, verbose
            )
        return {name: parts[:, i] for i, name in enumerate(rectifications)}, origins

    def _operations(self):
        """A context in which nothing is compiled, if nothing is to be."""
        return plain_operations() if self.run_eagerly else contextlib.nullcontext()

    def _engine(self, size, numbers, rectifications):
        """The `ProjectionEngine` that projects units at the least cost.

        Args:
            size: `(height, width)` of the images.
            numbers: int `(units,)`, the image of each unit.
            rectifications: names of the rules for rectification.
        """
        crops = self._unit_crops(size, rectifications)
        is_own = rectifications == (self.rectification,)
        if self.run_eagerly and is_own:  # what a compiled function leaves out would be copied
            return crops or self._whole_images
        # The cost of a forward pass is proportional to the pixels that it runs on.
        num_pixels_shared = len(np.unique(numbers)) * np.prod(size)
        num_pixels_apart = len(numbers) * np.prod(size if crops is None else crops.grid.size)
        if num_pixels_shared < num_pixels_apart:
            return self._shared_forward_pass(size, rectifications)
        if crops is not None:
            return crops
        return self._whole_images if is_own else self._shared_forward_pass(size, rectifications)

    def locate(
        self,
        images: Any,
        feature: int | Sequence[int],
        batch_size: int | None = None,
        verbose: str | int = 0,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Finds the strongest unit of a feature map in every image.

        Args:
            images: array `(images, rows, columns, channels)`.
            feature: number of the feature map, or a sequence with one per image.
            batch_size: images per step.
            verbose: whether Keras shows its progress bar.

        Returns:
            `(activations, positions)`: float32 `(images,)` and int32 `(images, 2)`, (row, column).
        """
        images = self.check_images(images)
        features, _ = as_arrays(Strongest(feature), len(images), self.target_shape)
        inputs = {"images": images, "feature": features}
        batch_size = batch_size or fitting_batch_size(images.shape)
        return predict_any_number(self._locator, inputs, batch_size, verbose)

    def receptive_field(self, image_size: Sequence[int] | None = None) -> "ReceptiveField":
        """The `ReceptiveField` of the units in images of `image_size`, a (height, width)."""
        size = tuple(image_size or self._image_shape[:2])
        shapes = infer_shapes(self._graph, self._plan.nodes, self.convnet, size)
        spans = receptive_spans(self._plan.image, self._plan.nodes, shapes)
        return as_receptive_field(spans[self._plan.target], size)

    @functools.cached_property
    def _whole_images(self):
        return WholeImages(self)

    @functools.cached_property
    def _locator(self):
        return BatchFunction(
            lambda inputs: passes.strongest(self._plan, inputs["images"], inputs["feature"]),
            self._plan.layers,
            self.run_eagerly,
        )

    @functools.cached_property
    def _unit_crops(self):
        """Function that returns the `UnitCrops` for `(size of the images, rectifications)`.

        It returns None if cropping saves nothing.
        """
        return functools.cache(
            lambda size, rectifications: UnitCrops.of(
                self.plans_by(rectifications), self._graph, self.convnet, size, self.run_eagerly
            )
        )

    @functools.cached_property
    def _shared_forward_pass(self):
        """Function that returns the `SharedForwardPass` for the same arguments."""
        return functools.cache(
            lambda size, rectifications: SharedForwardPass(
                self.plans_by(rectifications),
                self._unit_crops(size, rectifications),
                self.run_eagerly,
            )
        )

    def plans_by(self, rectifications: Sequence[str]) -> "tuple[Plan, ...]":
        """The plans for several rules for rectification, in order.

        Raises:
            ValueError: if a rule is unknown, or a layer cannot be projected through with one.
        """
        return tuple(
            self._plan
            if name == self.rectification
            else make_plan(
                self.convnet, self._graph, self.layer, name, self._rules, self._plan.starts_at
            )
            for name in rectifications
        )

    def check_images(self, images: Any) -> np.ndarray:
        """Returns the images as an array; raises a ValueError if they do not fit the model."""
        return check_images(self.convnet, images)

    def summary(self, *args: Any, **kwargs: Any) -> None:
        """Prints the mirrored stack, from the target down to the image."""
        return Stack(self._plan, self.name).summary(*args, **kwargs)

    def export(self, filepath: str | os.PathLike, **kwargs: Any) -> None:
        """Writes a SavedModel that runs without Keras and without kerasvis.

        Each row of the inputs pairs an image with a feature map, so one call serves n pairs. The
        endpoints take `images` float32 `(n, rows, columns, channels)` as the model takes them,
        `feature` int32 `(n,)` and `position` int32 `(n, 2)`, and return the same dict as the model:

        - `serve(images, feature)` projects the strongest unit of each feature map;
        - `serve_unit(images, feature, position)` projects the unit at a (row, column), the
          strongest for (-1, -1), or the whole feature map for (-2, -2).

        Only the weights up to the layer are written. Asking for a unit that the layer does not have
        raises `tf.errors.InvalidArgumentError`.

        Args:
            filepath: folder to write, atomically; an existing SavedModel is replaced.
            **kwargs: `verbose`, as in `keras.Model.export`.

        Raises:
            ValueError: if the folder holds anything else.
            OSError: if it cannot be written.

        Example:
            >>> import keras, numpy as np
            >>> from keras import layers
            >>> import tensorflow as tf
            >>> import kerasvis as kv
            >>> model = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(4, 3, name="a")])
            >>> kv.DeconvModel(model, "a").export("serving", verbose=0)
            >>> served = tf.saved_model.load("serving")  # keep a reference: it holds the weights
            >>> images = tf.ones((2, 8, 8, 3))
            >>> served.serve(images, tf.constant([0, 3]))["projection"].shape
            TensorShape([2, 8, 8, 3])
        """
        from kerasvis.deconvnet.deconvnet_export import export

        export(self, filepath, **kwargs)

    def get_config(self) -> dict:
        return {
            "name": self.name,
            "model": keras.saving.serialize_keras_object(self.convnet),
            "layer": self.layer,
            "rectification": self.rectification,
            "starts_at": self._plan.starts_at,
            "rules": [[_serialized(key), _serialized(rule)] for key, rule in self._rules],
        }

    @classmethod
    def from_config(cls, config: dict, custom_objects: dict | None = None) -> Self:
        revive = keras.saving.deserialize_keras_object
        rules = [(_revived(key), _revived(rule)) for key, rule in config.pop("rules")]
        model = revive(config.pop("model"), custom_objects=custom_objects)
        return cls(model=model, rules=rules, **config)


class Stack(keras.Model):
    """The mirrors as layers of one model, called once so that Keras knows their shapes."""

    def __init__(self, plan, name):
        super().__init__(name=name)
        self.mirrors = [mirror for step in plan.steps for mirror in step.mirrors]
        self.built = True
        for step in plan.steps:
            record = _symbolic_record(plan, step)
            signals = [keras.KerasTensor(plan.shapes[number]) for number in step.node.outputs]
            for mirror in step.mirrors:
                mirror(signals if mirror.takes_several and signals[1:] else signals[0], record)


def _image_numbers(image_numbers, num_images):
    """The number of the image of each unit, checked: int `(units,)`."""
    if image_numbers is None:
        return np.arange(num_images)
    numbers = np.asarray(image_numbers)
    if numbers.ndim != 1 or (numbers.size and not np.issubdtype(numbers.dtype, np.integer)):
        raise ValueError(
            "Give the whole number of an image for each unit. Received: image_numbers of "
            f"{numbers.dtype} and shape {numbers.shape}"
        )
    if outside := numbers[(numbers < 0) | (numbers >= num_images)].tolist():
        raise ValueError(
            f"There is no image {outside[0]}, there are {num_images}: give image_numbers from 0 to "
            f"{num_images - 1}. Received: image_numbers={short(image_numbers)}"
        )
    return numbers


def _symbolic_record(plan, step):
    def symbolic(number):
        return keras.KerasTensor(plan.shapes[number])

    operands = tuple(symbolic(x.number) if hasattr(x, "number") else x for x in step.operands)
    outputs = tuple(symbolic(number) for number in step.node.outputs)
    return Record(operands, outputs, outputs[:1])


def _serialized(part):
    """The key of a rule, or the rule itself, as Keras saves it: types by their registered names."""
    if isinstance(part, str):
        return part
    if isinstance(part, type):
        return keras.saving.get_registered_name(part)
    return keras.saving.serialize_keras_object(part)


def _revived(part):
    if isinstance(part, str):
        registered = keras.saving.get_registered_object(part)
        return registered or getattr(keras.layers, part, getattr(keras, part, part))
    return keras.saving.deserialize_keras_object(part)
