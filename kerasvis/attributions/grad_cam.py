"""Grad-CAM: a sum of feature maps, weighted by the activation's derivatives."""

import numpy as np
from keras import layers, ops

from kerasvis.attributions.activation_gradient import ActivationGradient
from kerasvis.attributions.made_once import made_once
from kerasvis.deconvnet.start import Start
from kerasvis.graph import read_graph
from kerasvis.graph.dependence import tensors_that_depend_on
from kerasvis.graph.shapes import infer_shapes

_CONVOLUTIONS = (layers.Conv2D, layers.DepthwiseConv2D, layers.SeparableConv2D)


def grad_cam(model, layer, images, target, *, batch_size=None, verbose=0, maps_layer=None):
    """Heat maps that show where the feature maps that drive the activation are active.

    Args:
        model, layer, images, target, batch_size, verbose: see `attribute`.
        maps_layer: name of the layer whose feature maps are weighted; by default the result of
            `last_feature_maps`.

    Returns:
        float32 `(images, rows, columns)`, of the size of the images, at least 0: the maps of
        `coarse_grad_cam`, resized bilinearly.

    Raises:
        ValueError: if the target does not depend on `maps_layer`, or that layer has no feature
            maps.

    Reference:
        Selvaraju et al. 2017, "Grad-CAM", Section 3.
    """
    coarse = coarse_grad_cam(
        model,
        layer,
        images,
        target,
        batch_size=batch_size,
        verbose=verbose,
        maps_layer=maps_layer,
    )
    size = np.shape(images)[1:3]
    maps = ops.image.resize(
        coarse[..., None], size, interpolation="bilinear", data_format="channels_last"
    )
    return ops.convert_to_numpy(maps)[..., 0]


def coarse_grad_cam(model, layer, images, target, *, batch_size=None, verbose=0, maps_layer=None):
    """Grad-CAM at the size of the feature maps: see `grad_cam`.

    The weight of a feature map is the mean of the activation's derivative over its positions.
    Negative values of the weighted sum are set to 0. The result is in units of the activation.

    Returns:
        float32 `(images, rows, columns)`.
    """
    if maps_layer is None:
        maps_layer = made_once(last_feature_maps, model, layer, np.shape(images)[1:3])
    derivatives = made_once(ActivationGradient, model, layer, maps_layer)
    found = derivatives.derive(images, target, batch_size, verbose)
    if found["maps"].ndim != 4:
        raise ValueError(
            f"Layer {maps_layer!r} returns arrays of shape {found['maps'].shape}, which are not "
            "feature maps: give a convolution layer as maps_layer. "
            f"Received: maps_layer={maps_layer!r}"
        )
    weights = found["gradient"].mean(axis=(1, 2))
    return np.maximum(np.einsum("nhwc,nc->nhw", found["maps"], weights), 0)


def last_feature_maps(model, layer, image_size=None):
    """Name of the layer with the last feature maps below a target layer.

    It is the last layer call whose feature maps have the size of the last convolution's. It comes
    after that convolution's normalisation, its rectification and the addition of a shortcut, and
    before pooling. Convolutions of 1×1 feature maps, as in squeeze and excitation, are ignored.

    Args:
        model: the `keras.Model`.
        layer: name of the target layer.
        image_size: `(height, width)` in pixels, for a model that takes images of any size.

    Raises:
        ValueError: if there is no convolution below the target.
    """
    graph = read_graph(model)
    start = Start.of(model, graph, layer)
    shapes = infer_shapes(graph, start.nodes, model, image_size)
    image_dependent = tensors_that_depend_on(start.image, start.nodes) - {start.image, start.target}
    nodes = [
        node
        for node in start.nodes
        if node.outputs[0] in image_dependent
        and len(shapes[node.outputs[0]]) == 4
        and shapes[node.outputs[0]][1:3] != (1, 1)
    ]
    convolutions = [node for node in nodes if isinstance(node.layer, _CONVOLUTIONS)]
    if not convolutions:
        raise ValueError(
            f"There is no convolution below the target in layer {layer!r} of {model.name!r}: give "
            f"a layer further up, or maps_layer. Received: layer={layer!r}"
        )
    last = convolutions[-1]
    size = shapes[last.outputs[0]][1:3]
    following = nodes[nodes.index(last) :]
    return [node.name for node in following if shapes[node.outputs[0]][1:3] == size][-1]
