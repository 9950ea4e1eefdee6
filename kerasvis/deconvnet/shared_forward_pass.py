"""Projection of many units of few images: one forward pass per image, for all of its units.

Among the nine strongest units of each of 512 feature maps, many lie in the same image, and a
forward pass costs as much as a projection. The record of the forward pass is the same for all units
of an image; each unit uses the crop of it that contains its receptive field, see
`kerasvis.graph.crops`, or the whole record.
"""

import keras
import numpy as np
from keras import ops

from kerasvis.deconvnet import passes
from kerasvis.deconvnet.projection_engine import ProjectionEngine
from kerasvis.graph.batch_function import BatchFunction
from kerasvis.graph.replicas import predict_undivided

NUM_PIXELS_IN_STEP = 16 * 224 * 224


class SharedForwardPass(ProjectionEngine):
    """Projects units, with one forward pass for all that lie in the same image.

    Args:
        plans: the `Plan`s, one for each rectification; they also share the forward pass.
        crops: the `UnitCrops` for images of this size, or None if cropping saves nothing.
        run_eagerly: see `BatchFunction`.
    """

    def __init__(self, plans, crops=None, run_eagerly=False):
        self._crops = crops
        self._plans = plans
        self._projector = BatchFunction(self._project_units, plans[0].layers, run_eagerly)

    def project(self, images, image_numbers, features, positions, batch_size=None, verbose=0):
        """See `ProjectionEngine`; all targets are units."""
        origins, positions_in_parts, size = self._parts(positions, np.shape(images[0])[:2])
        units = {"feature": features, "position": positions_in_parts, "origin": origins}
        batch_size = batch_size or max(1, NUM_PIXELS_IN_STEP // int(np.prod(size)))
        shape = (len(features), len(self._plans), *size, np.shape(images[0])[2])
        projections = np.zeros(shape, "float32")
        bar = keras.utils.Progbar(-(-len(features) // batch_size), verbose=verbose)
        for chosen, inputs in steps(images, image_numbers, units, batch_size):
            # `predict` would hold all projections twice, and would be slow to return: see
            # `data.labelled.autotuning`.
            projections[chosen] = predict_undivided(self._projector, inputs)
            bar.add(1)
        return projections, origins

    def _parts(self, positions, image_size):
        """`(origins, positions, size)`: of parts in images, of units in parts, and of all parts."""
        if self._crops is None:
            return np.zeros((len(positions), 2), "int32"), positions, image_size
        grid = self._crops.grid
        return grid.origins(positions), grid.positions(positions), grid.size

    def _project_units(self, inputs):
        """Projections of units by each plan, from the record of their images."""
        plan = self._plans[0]
        tensors, switches = passes.forward(plan, inputs["images"])

        def part(number, tensor):
            """The part of a tensor for every unit; only those that a mirror uses are computed."""
            if self._crops is None or number not in self._crops.strides:
                return ops.take(tensor, inputs["image"], axis=0)
            strides = np.array(self._crops.strides[number], "int32")
            size = self._crops.shapes[number][1:3]
            return cut_out(tensor, inputs["image"], inputs["origin"] // strides, size)

        pooled = {node.name: node.outputs[0] for node in plan.nodes}
        return passes.project_chosen_by(
            self._plans,
            {number: part(number, tensor) for number, tensor in tensors.items()},
            {name: part(pooled[name], tensor) for name, tensor in switches.items()},
            inputs["feature"],
            inputs["position"],
        )


def steps(images, image_numbers, units, batch_size):
    """Divides units into steps, in the order of their images.

    Args:
        images: array `(images, rows, columns, channels)`, or a list of such images.
        image_numbers: int `(units,)`.
        units: `{name: array (units, ...)}`.
        batch_size: units per step.

    Yields:
        `(numbers, inputs)`: int64 `(batch,)`, the numbers of the units; and the inputs of a step,
        including the images that it needs, whose number differs from step to step.
    """
    order = np.argsort(image_numbers, kind="stable")
    for begin in range(0, len(order), batch_size):
        chosen = order[begin : begin + batch_size]
        needed, in_step = np.unique(image_numbers[chosen], return_inverse=True)
        yield (
            chosen,
            {
                "images": np.stack([images[image] for image in needed]),
                "image": in_step.ravel().astype("int32"),
                **{name: array[chosen] for name, array in units.items()},
            },
        )


def cut_out(tensor, numbers, begins, size):
    """Cuts parts of one size out of a batch of feature maps.

    Args:
        tensor: `(images, rows, columns, channels)`.
        numbers: int32 `(parts,)`, the image of each part.
        begins: int32 `(parts, 2)`, the first (row, column) of each part.
        size: `(height, width)` of all parts.

    Returns:
        Tensor `(parts, height, width, channels)`.
    """
    _, height, width, num_channels = ops.shape(tensor)
    rows = begins[:, :1] + ops.arange(size[0], dtype="int32")
    columns = begins[:, 1:] + ops.arange(size[1], dtype="int32")
    places = (numbers[:, None, None] * height + rows[:, :, None]) * width + columns[:, None, :]
    return ops.take(ops.reshape(tensor, (-1, num_channels)), places, axis=0)
