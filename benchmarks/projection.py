"""Projections of single units of VGG16, against Captum and Xplique: seconds per unit.

16 feature maps × 9 photographs in one call of `visualize_features`, at 224×224 with random weights.
Captum's `NeuronDeconvolution` takes one unit a call; Xplique's `DeconvNet` projects a whole output
of a model that ends in the layer, image by image.
"""

import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np

import kerasvis as kv
from benchmarks.turns import median_times, verdict
from kerasvis.data.demo_photographs import DemoPhotographs

NUM_FEATURES, K = 16, 9
NUM_PHOTOGRAPHS = 48
MIN_SPEEDUP = {"block3_conv3": 20.0, "block5_conv3": None}
# Position of the layer's ReLU in the `features` of the same net in PyTorch.
TORCH_LAYERS = {"block3_conv3": 15, "block5_conv3": 29}


def main():
    model = keras.applications.VGG16(weights=None)
    images = DemoPhotographs((224, 224), "caffe")[:NUM_PHOTOGRAPHS]
    print(f"VGG16 at 224x224, {NUM_FEATURES} feature maps x {K} photographs, seconds per unit")
    print(f"{'layer':<14}{'kerasvis':>10}{'Captum':>10}{'Xplique':>10}{'speed-ups':>18}")
    for layer, wanted in MIN_SPEEDUP.items():
        times = {"kerasvis": time_of_kerasvis(model, layer, images)}
        times |= median_times(
            {"Captum": captum(layer, images), "Xplique": xplique(model, layer, images)}, 5
        )
        speedups = [times[name] / times["kerasvis"] for name in ("Captum", "Xplique")]
        said = "" if wanted is None else verdict(min(speedups) >= wanted)
        print(
            f"{layer:<14}"
            + "".join(f"{seconds:>10.4f}" for seconds in times.values())
            + f"{speedups[0]:>9.1f}{speedups[1]:>9.1f} {said}",
            flush=True,
        )


def time_of_kerasvis(model, layer, images, repetitions=3):
    """Median seconds per unit of one call, after the first, which compiles."""
    deconv = kv.DeconvModel(model, layer)
    top = kv.find_top_activations(model, [layer], images, K, verbose=0)
    num_units = NUM_FEATURES * K
    call = lambda: kv.visualize_features(  # noqa: E731
        deconv.convnet, deconv.layer, images, range(NUM_FEATURES), top=top, preprocessing="caffe"
    )
    return median_times({"": call}, repetitions)[""] / num_units


def captum(layer, images):
    """One call of Captum for one unit."""
    import torch
    from captum.attr import NeuronDeconvolution

    net = torch_vgg16(TORCH_LAYERS[layer])
    attribution = NeuronDeconvolution(net, net[-1])
    inputs = torch.from_numpy(np.ascontiguousarray(images[:1].transpose(0, 3, 1, 2)))
    inputs.requires_grad_()
    return lambda: attribution.attribute(inputs, neuron_selector=(12, 6, 6)).detach()


def torch_vgg16(last):
    """The convolutions of VGG16 as far as module `last`, with random weights."""
    from torch import nn

    modules, channels = [], 3
    for filters in (64, 64, None, 128, 128, None, 256, 256, 256, None) + (512, 512, 512, None) * 2:
        if filters is None:
            modules.append(nn.MaxPool2d(2))
        else:
            modules += [nn.Conv2d(channels, filters, 3, padding=1), nn.ReLU()]
            channels = filters
    return nn.Sequential(*modules[: last + 1])


def xplique(model, layer, images):
    """One call of Xplique for one image."""
    from xplique.attributions import DeconvNet

    pooled = keras.layers.GlobalMaxPooling2D()(model.get_layer(layer).output)
    explainer = DeconvNet(keras.Model(model.inputs, pooled))
    targets = np.eye(pooled.shape[-1], dtype="float32")[12:13]
    return lambda: np.asarray(explainer.explain(images[:1], targets))


if __name__ == "__main__":
    start = time.perf_counter()
    main()
    print(f"{time.perf_counter() - start:.0f} s")
