"""What a unit is invariant to: how its activation curves around an image that excites it.

Images of the same norm lie on a sphere. In directions in which the activation decreases fast, the
unit is selective; where it hardly decreases, it is invariant. The directions of strongest and
weakest curvature are the first and last eigenvectors of the Hessian on that sphere.

A model of ReLUs and max pooling is piecewise linear: its Hessian is 0 wherever it exists, and the
sphere alone curves the activation, equally in all directions. For such a model the curvature is
that of the gradient over a finite step, across the kinks within it. It depends on the step: a
smaller step gives larger curvatures, which say less about images further away. The activations
along each direction are computed without this approximation, and show how far the directions can be
trusted.

Reference:
    Zeiler & Fergus 2013, Section 1.1, on Le et al. 2010, "Tiled Convolutional Neural Networks", and
    Berkes & Wiskott 2006, "On the Analysis and Interpretation of Inhomogeneous Quadratic Forms as
    Receptive Fields".
"""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import keras
import numpy as np
import tqdm
from scipy.sparse.linalg import LinearOperator, eigsh

from kerasvis.arguments import standardize_model
from kerasvis.attributions.activation_gradient import ActivationGradient
from kerasvis.deconvnet.targets import Unit
from kerasvis.graph.receptive_fields import receptive_field
from kerasvis.storage.fields import Array
from kerasvis.storage.results import Result

if TYPE_CHECKING:
    from kerasvis.deconvnet.targets import Target


DEFAULT_ANGLES = (-60, -40, -20, 0, 20, 40, 60)


@dataclasses.dataclass(frozen=True, eq=False)
class UnitInvariance(Result):
    """Directions on the sphere around an image, from the most selective to the most invariant.

    Attributes:
        layer: name of the layer.
        feature_index: number of the feature map or dense unit.
        position: int64 `(2,)`, (row, column) of the unit; (0, 0) in a dense layer.
        box: int64 `(4,)`: (top, left, bottom, right) of the unit's receptive field.
        activation: the unit's activation for the image.
        radius: radius of the sphere, in units of the model's images.
        step: step of the central differences to either side, as a share of the radius.
        curvatures: float64 `(directions,)`, ascending: the second derivative of the activation with
            respect to the angle in radians.
        directions: float32 `(directions, height, width, channels)`, of length 1, in the box.
        angles: float64 `(angles,)` in degrees, the image at 0.
        images: float32 `(directions, angles, height, width, channels)`: the sphere along each
            direction, in the box, in units of the model's images.
        activations: float32 `(directions, angles)`.
    """

    layer: str
    feature_index: int
    position: Annotated[np.ndarray, Array("int64", 2)]
    box: Annotated[np.ndarray, Array("int64", 4)]
    activation: float
    radius: float
    step: float
    curvatures: Annotated[np.ndarray, Array("float64", "directions")]
    directions: Annotated[np.ndarray, Array("float32", "directions", "height", "width", "channels")]
    angles: Annotated[np.ndarray, Array("float64", "angles")]
    images: Annotated[
        np.ndarray, Array("float32", "directions", "angles", "height", "width", "channels")
    ]
    activations: Annotated[np.ndarray, Array("float32", "directions", "angles")]


def unit_invariance(
    model: keras.Model,
    layer: str,
    image: np.ndarray,
    target: "Target",
    *,
    centre: float | np.ndarray = 0.0,
    num_directions: int = 3,
    angles: Sequence[float] = DEFAULT_ANGLES,
    step: float = 0.01,
    tolerance: float = 1e-3,
    seed: int = 0,
    verbose: str | int = 0,
) -> UnitInvariance:
    """Finds the directions in which an activation curves most and least.

    Only the pixels of the unit's receptive field are changed. The Hessian is never computed: its
    product with a direction is the central difference of the gradient along it, and Lanczos' method
    needs only such products.

    Args:
        model: a functional or Sequential `keras.Model`; it is not changed.
        layer: name of the layer; its softmax or sigmoid is left out.
        image: array `(rows, columns, channels)`, as the model takes it: one that excites the unit,
            ideally its optimal one.
        target: `kerasvis.targets.Unit`, or `Strongest` for the strongest unit in the image.
        centre: centre of the sphere, usually grey: a number, or an array that broadcasts to the
            image.
        num_directions: number of the most selective, and of the most invariant directions.
        angles: positions along each direction in degrees.
        step: step of the central difference, as a share of the radius. For a model of ReLUs use a
            larger one, such as 0.3, that spans many kinks.
        tolerance: relative tolerance of the curvatures.
        seed: seed of the initial direction.
        verbose: whether to show a progress bar.

    Returns:
        A `UnitInvariance` with `2 * num_directions` directions.

    Raises:
        ValueError: if an argument is wrong, the layer is unknown or one below it cannot be
            projected through, the image is the centre, or the receptive field has too few pixels
            for the number of directions.
    """
    _check(step, tolerance, num_directions, angles)
    image = np.asarray(image)
    model = standardize_model(model, image[None])
    derivatives = ActivationGradient(model, layer)
    images = derivatives.check_images(image[None])
    unit = _one_unit(derivatives, images, target)
    box = _box_of(model, layer, image.shape[:2], unit)
    patch = Patch(derivatives, unit, image, box, centre)
    sphere = Sphere(patch.values - patch.centre)
    if sphere.dimension <= 2 * num_directions:
        raise ValueError(
            f"The unit's receptive field has only {sphere.dimension + 1} values: give a smaller "
            f"num_directions. Received: num_directions={num_directions}"
        )
    with tqdm.tqdm(desc="Hessian products", disable=not verbose) as progress:

        def product(tangent):
            progress.update()
            return hessian_product(patch, sphere, step, tangent)

        curvatures, tangents = extreme_eigenvectors(
            product, sphere.dimension, num_directions, tolerance, seed
        )
    directions = np.stack([sphere.embedded(tangent) for tangent in tangents.T])
    degrees = np.asarray(angles, "float64")
    along = np.stack([sphere.moved(directions, angle) for angle in np.deg2rad(degrees)], axis=1)
    activations = [patch.derive(patch.centre + images)[0] for images in along]
    shape = patch.shape
    return UnitInvariance(
        layer=layer,
        feature_index=unit.feature,
        position=np.array([unit.row, unit.column], "int64"),
        box=np.array(box, "int64"),
        activation=float(patch.derive(patch.values[None])[0][0]),
        radius=sphere.radius,
        step=float(step),
        curvatures=curvatures,
        directions=directions.reshape(-1, *shape).astype("float32"),
        angles=degrees,
        images=(patch.centre + along).reshape(*along.shape[:2], *shape).astype("float32"),
        activations=np.array(activations, "float32"),
    )


class Patch:
    """The pixels of a unit's receptive field as a vector, and its activation as their function.

    Attributes:
        values: float64 `(values,)` of the image.
        centre: float64 `(values,)`.
        shape: `(height, width, channels)`.
    """

    def __init__(self, derivatives, unit, image, box, centre):
        top, left, bottom, right = box
        self._derivatives, self._unit, self._image = derivatives, unit, image.astype("float32")
        self._inside = (slice(None), slice(top, bottom), slice(left, right))
        centre = np.broadcast_to(np.asarray(centre, "float64"), image.shape)
        self.shape = image[top:bottom, left:right].shape
        self.values = image[top:bottom, left:right].astype("float64").ravel()
        self.centre = centre[top:bottom, left:right].ravel()

    def derive(self, values):
        """`(activations, gradients)` at `values` `(points, values)`, two points at a time."""
        activations, gradients = [], []
        for begin in range(0, len(values), 2):
            few = values[begin : begin + 2]
            images = np.repeat(self._image[None], len(few), axis=0)
            images[self._inside] = few.reshape(-1, *self.shape)
            found = self._derivatives.derive(images, self._unit)
            activations.append(found["activation"])
            gradients.append(found["gradient"][self._inside].reshape(len(few), -1))
        return np.concatenate(activations), np.concatenate(gradients).astype("float64")


class Sphere:
    """The sphere around the origin through a point, and coordinates of its tangents there.

    A reflection maps the first axis to the point; the other axes, reflected, span the tangents.

    Args:
        point: float64 `(values,)`.

    Attributes:
        point: as given.
        radius: its length.
        dimension: dimension of the tangent space, one less than the values.
    """

    def __init__(self, point):
        self.point = point
        self.radius = float(np.linalg.norm(point))
        self.dimension = len(point) - 1
        if self.radius == 0:
            raise ValueError(
                "The image equals the centre in the unit's receptive field, so there are no "
                "directions: give another image or centre. Received: a radius of 0"
            )
        mirror = point / self.radius
        mirror[0] += 1 if mirror[0] >= 0 else -1  # the sign that avoids cancellation
        self._mirror = mirror / np.linalg.norm(mirror)

    def embedded(self, tangent):
        """The tangent `(dimension,)` as a vector `(values,)`."""
        vector = np.concatenate([[0.0], tangent])
        return vector - 2 * self._mirror * (self._mirror @ vector)

    def tangential(self, vector):
        """The coordinates of a vector's tangential part: the transpose of `embedded`."""
        return (vector - 2 * self._mirror * (self._mirror @ vector))[1:]

    def moved(self, directions, angle):
        """The point, moved along great circles by `angle` in radians."""
        return np.cos(angle) * self.point + np.sin(angle) * self.radius * directions


def hessian_product(patch, sphere, step, tangent):
    """The product of a tangent with the Hessian of the activation on the sphere, in angles.

    The second derivative along a great circle is that along its tangent, times the radius squared,
    minus the slope towards the point, because the circle bends inwards.
    """
    length = np.linalg.norm(tangent)
    shift = step * sphere.radius * sphere.embedded(tangent / length)
    ends = np.stack([patch.values + shift, patch.values - shift])
    ahead, behind = patch.derive(ends)[1]
    # The gradient at the point is the mean of the two, up to terms of the step squared.
    bent = (ahead + behind) @ sphere.point / 2
    curved = sphere.tangential(ahead - behind) * sphere.radius / (2 * step)
    return curved * length - bent * tangent


def extreme_eigenvectors(product, dimension, num_each, tolerance, seed):
    """The `num_each` lowest and highest eigenvalues, ascending, and their eigenvectors.

    Returns:
        `(values, vectors)`: `(2 * num_each,)` and `(dimension, 2 * num_each)`.
    """
    operator = LinearOperator((dimension, dimension), matvec=product, dtype="float64")
    start = np.random.default_rng(seed).standard_normal(dimension)
    values, vectors = eigsh(operator, 2 * num_each, which="BE", v0=start, tol=tolerance)
    order = np.argsort(values)
    return values[order], vectors[:, order]


def _one_unit(derivatives, images, target):
    """The target as a `Unit` of numbers."""
    unit = derivatives.fixed(images, target)
    if not isinstance(unit, Unit):
        raise ValueError(
            "The target must be one unit: give kerasvis.targets.Unit(feature, row, column), or "
            f"Strongest(feature). Received: target={target!r}"
        )
    chosen = derivatives.inputs_for(images, unit)
    return Unit(int(chosen["feature"][0]), *chosen["position"][0].tolist())


def _box_of(model, layer, image_size, unit):
    """`(top, left, bottom, right)` of the unit's receptive field, clipped at the image border."""
    field = receptive_field(model, layer, image_size)
    box = np.reshape(field.box(unit.row, unit.column), (2, 2))
    return np.clip(box, 0, image_size).ravel().tolist()


def _check(step, tolerance, num_directions, angles):
    if not (step > 0 and tolerance > 0) or num_directions < 1:
        raise ValueError(
            "Give step and tolerance above 0, and num_directions of 1 or more. Received: "
            f"step={step}, tolerance={tolerance}, num_directions={num_directions}"
        )
    if np.ndim(angles) != 1 or not np.size(angles) or not np.isfinite(angles).all():
        raise ValueError(f"Give a list of finite angles in degrees. Received: angles={angles!r}")
