"""Whether kerasvis, Captum and Xplique return the same where their definitions agree.

    python -m benchmarks.attribution_equality

A small convnet and VGG16, with random weights, are converted to PyTorch; each method is run on the
scores of several classes. What is printed is the largest difference of any value, over the largest
absolute value of that image's map.

What differs by definition, and is made alike here:

- Captum's `Saliency` takes absolute values (`abs=False` here), Xplique's too, and then the maximum
  over the channels; kerasvis returns the signed derivative of each channel.
- Xplique reduces the other methods over the channels by the mean (`reducer=None` here).
- Captum's `Deconvolution` and Xplique's `DeconvNet` start at 1, kerasvis' at the activation, as the
  paper; where that is positive it is divided by it.
- Captum's `LayerGradCam` keeps negative values (`relu_attributions=True` here) and the size of the
  feature maps; Xplique resizes it bicubically, kerasvis bilinearly. Compared at the size of the
  feature maps with Captum, and resized bicubically with Xplique.
- SmoothGrad is random, each with its own noise, and is left out.
"""

import os
import sys
import warnings

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
from keras import layers

from benchmarks.turns import verdict
from kerasvis.attributions import attribute
from kerasvis.attributions.grad_cam import coarse_grad_cam
from kerasvis.deconvnet.targets import Unit

TOLERANCE = 1e-4
NUM_IMAGES = 4


def main():
    largest = 0.0
    print(f"{'net':<8}{'method':<22}{'Captum':>10}{'Xplique':>10}")
    for name, build in {"small": small_convnet, "vgg16": vgg16}.items():
        keras.utils.set_random_seed(0)
        model, maps_layer = build()
        rng = np.random.default_rng(0)
        images = rng.normal(size=(NUM_IMAGES, *model.input_shape[1:])).astype("float32")
        classes = model.predict(images, verbose=0).argmax(axis=1)  # whose scores are positive
        ours = by_kerasvis(model, maps_layer, images, classes)
        theirs = {
            "Captum": by_captum(model, maps_layer, images, classes),
            "Xplique": by_xplique(model, maps_layer, images, classes),
        }
        for method in theirs["Captum"]:
            differences = [
                relative_difference(
                    as_defined_by(peer, method, ours[method], images.shape[1:3]), found[method]
                )
                for peer, found in theirs.items()
            ]
            largest = max(largest, *differences)
            print(f"{name:<8}{method:<22}" + "".join(f"{x:>10.1e}" for x in differences))
    is_equal = largest <= TOLERANCE
    print(f"largest difference {largest:.1e}, at most {TOLERANCE:.0e}: {verdict(is_equal)}")
    return is_equal


def small_convnet():
    """Strides, pooling and dense layers on images that are not square."""
    options = {"activation": "relu", "kernel_initializer": "he_normal"}
    model = keras.Sequential(
        [
            keras.Input((30, 23, 3)),
            layers.Conv2D(8, 5, 2, name="conv1", bias_initializer="random_normal", **options),
            layers.MaxPooling2D(2),
            layers.Conv2D(12, 3, padding="same", name="conv2", **options),
            layers.Flatten(),
            layers.Dense(16, **options),
            layers.Dense(5),
        ]
    )
    return model, "conv2"


def vgg16():
    shape = {"input_shape": (64, 64, 3), "classes": 10, "classifier_activation": None}
    return keras.applications.VGG16(weights=None, **shape), "block5_conv3"


def by_kerasvis(model, maps_layer, images, classes):
    arguments = (model, model.layers[-1].name, images, Unit(classes.tolist()))
    found = {
        method: attribute(*arguments, method)
        for method in ("gradient", "gradient_times_input", "guided", "deconvnet")
    }
    scores = model.predict(images, verbose=0)[np.arange(len(images)), classes]
    found["deconvnet"] = found["deconvnet"] / scores[:, None, None, None]
    found["grad_cam"] = coarse_grad_cam(*arguments, maps_layer=maps_layer)
    return found


def as_defined_by(peer, method, maps, size):
    """Maps of kerasvis' as the peer defines them, for images of `size`."""
    if peer == "Xplique" and method == "gradient":
        return np.abs(maps).max(axis=-1, keepdims=True)
    if peer == "Xplique" and method == "grad_cam":
        resized = keras.ops.image.resize(maps[..., None], size, interpolation="bicubic")
        return keras.ops.convert_to_numpy(resized)
    return maps


def by_captum(model, maps_layer, images, classes):
    import torch
    from captum import attr

    net, modules = in_torch(model)
    inputs = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
    inputs.requires_grad_()
    target = torch.from_numpy(classes)
    maps = attr.LayerGradCam(net, modules[maps_layer]).attribute(
        inputs, target, relu_attributions=True
    )
    with warnings.catch_warnings(action="ignore"):  # of hooks that are set for a while
        found = {
            "gradient": attr.Saliency(net).attribute(inputs, target, abs=False),
            "gradient_times_input": attr.InputXGradient(net).attribute(inputs, target),
            "guided": attr.GuidedBackprop(net).attribute(inputs, target),
            "deconvnet": attr.Deconvolution(net).attribute(inputs, target),
        }
    arrays = {name: x.detach().numpy().transpose(0, 2, 3, 1) for name, x in found.items()}
    return arrays | {"grad_cam": maps.detach().numpy()[:, 0]}


def in_torch(model):
    """The model in PyTorch, with its weights: `(net, {layer name: module of its output})`."""
    import torch
    from torch import nn

    class FlattenAsKeras(nn.Module):
        def forward(self, maps):
            return maps.permute(0, 2, 3, 1).flatten(1)

    modules, outputs = [], {}
    for layer in model.layers:
        if isinstance(layer, layers.Conv2D):
            kernel, bias = layer.get_weights()
            module = nn.Conv2d(
                *kernel.shape[2:],
                layer.kernel_size,
                layer.strides,
                padding=layer.kernel_size[0] // 2 if layer.padding == "same" else 0,
            )
            kernel = kernel.transpose(3, 2, 0, 1)
        elif isinstance(layer, layers.Dense):
            kernel, bias = layer.get_weights()
            module = nn.Linear(*kernel.shape)
            kernel = kernel.T
        elif isinstance(layer, layers.MaxPooling2D):
            module = nn.MaxPool2d(layer.pool_size, layer.strides)
        elif isinstance(layer, layers.Flatten):
            module = FlattenAsKeras()
        else:
            continue  # the input
        if isinstance(layer, (layers.Conv2D, layers.Dense)):
            module.weight.data = torch.from_numpy(np.ascontiguousarray(kernel))
            module.bias.data = torch.from_numpy(bias)
        modules.append(module)
        if getattr(layer, "activation", None) is keras.activations.relu:
            modules.append(nn.ReLU())
        outputs[layer.name] = modules[-1]
    return nn.Sequential(*modules).eval(), outputs


def by_xplique(model, maps_layer, images, classes):
    from xplique import attributions

    one_hot = np.eye(model.output_shape[-1], dtype="float32")[classes]
    explainers = {
        "gradient": attributions.Saliency(model),
        "gradient_times_input": attributions.GradientInput(model, reducer=None),
        "guided": attributions.GuidedBackprop(model, reducer=None),
        "deconvnet": attributions.DeconvNet(model, reducer=None),
        "grad_cam": attributions.GradCAM(model, conv_layer=maps_layer),
    }
    return {
        method: np.asarray(explainer.explain(images, one_hot))
        for method, explainer in explainers.items()
    }


def relative_difference(ours, theirs):
    """The largest difference, over the largest absolute value of the same image's map."""
    axes = tuple(range(1, ours.ndim))
    if ours.shape != theirs.shape:
        raise ValueError(f"A map of shape {theirs.shape} came for one of {ours.shape}.")
    scale = np.abs(theirs).max(axes)
    return float((np.abs(ours - theirs).max(axes) / scale).max())


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
