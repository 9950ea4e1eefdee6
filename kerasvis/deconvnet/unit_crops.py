"""Projection of single units inside a crop of the image around their receptive field.

The receptive field of a unit of `block3_conv3` in VGG16, for example, is 40 of 224 pixels wide.
Nothing outside the crop affects the unit or its projection; see `kerasvis.graph.crops` for why this
is exact.
"""

import keras
import numpy as np

from kerasvis.deconvnet import passes
from kerasvis.deconvnet.projection_engine import ProjectionEngine
from kerasvis.graph.batch_function import BatchFunction
from kerasvis.graph.crops import crop_grid
from kerasvis.graph.receptive_fields import receptive_spans
from kerasvis.graph.replicas import predict_any_number
from kerasvis.graph.shapes import infer_shapes
from kerasvis.layers import PixelMean

MAX_SHARE = 0.7  # of the image's pixels: larger crops cost more than they save
NUM_PIXELS_IN_BATCH = 4 * 224 * 224


class UnitCrops(ProjectionEngine):
    """Projects units in crops of one size around each receptive field.

    Args:
        plans: the `Plan`s, one for each rectification.
        grid, strides, shapes: see below.
        run_eagerly: see `BatchFunction`.

    Attributes:
        grid: the `kerasvis.graph.crops.CropGrid`.
        strides: `{tensor number: (rows, columns)}`, pixels between locations of the tensor.
        shapes: `{tensor number: shape}` for a crop.
    """

    def __init__(self, plans, grid, strides, shapes, run_eagerly=False):
        self.grid = grid
        self.strides = strides
        self.shapes = shapes
        self._means = {
            node.name: node.layer for node in plans[0].nodes if isinstance(node.layer, PixelMean)
        }
        self._plans = plans
        self._projector = BatchFunction(self._project_crops, plans[0].layers, run_eagerly)

    @classmethod
    def of(cls, plans, graph, model, image_size, run_eagerly=False):
        """The crops for images of one size, or None if cropping saves nothing."""
        plan = plans[0]
        if len(plan.shapes[plan.target]) != 4:
            return None
        shapes = infer_shapes(graph, plan.nodes, model, image_size)
        grid = crop_grid(plan.image, plan.nodes, shapes, plan.target)
        if grid is None or np.prod(grid.size) > MAX_SHARE * np.prod(image_size):
            return None
        spans = receptive_spans(plan.image, plan.nodes, shapes)
        strides = {
            number: tuple(int(span.stride) for span in pair) for number, pair in spans.items()
        }
        shapes = infer_shapes(graph, plan.nodes, model, grid.size)
        return cls(plans, grid, strides, shapes, run_eagerly)

    def project(self, images, image_numbers, features, positions, batch_size=None, verbose=0):
        """See `ProjectionEngine`; all targets are units, each in a crop of its own."""
        images = [images[number] for number in image_numbers]
        origins = self.grid.origins(positions)
        inputs = {
            "images": self._cut(images, origins),
            "feature": features,
            "position": self.grid.positions(positions),
        }
        for name, layer in self._means.items():
            mean = keras.ops.convert_to_numpy(layer.mean)
            inputs[f"mean {name}"] = self._cut([mean] * len(origins), origins)
        batch_size = batch_size or max(1, NUM_PIXELS_IN_BATCH // int(np.prod(self.grid.size)))
        return predict_any_number(self._projector, inputs, batch_size, verbose), origins

    def _cut(self, images, origins):
        height, width = self.grid.size
        return np.stack(
            [
                image[top : top + height, left : left + width]
                for image, (top, left) in zip(images, origins, strict=True)
            ]
        )

    def _project_crops(self, inputs):
        """Projections of one unit in every crop, by each plan."""
        means = {name: inputs[f"mean {name}"] for name in self._means}
        tensors, switches = passes.forward(self._plans[0], inputs["images"], means)
        return passes.project_chosen_by(
            self._plans, tensors, switches, inputs["feature"], inputs["position"]
        )
