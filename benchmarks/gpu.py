"""On a GPU, on Keras' JAX backend: projections, the scan and occlusion, against the forward pass.

    KERAS_BACKEND=jax python -m benchmarks.gpu [--precision float32] [--parts scan occlusion ...]

All in 224×224 with random weights. The forward pass is `model.predict` on the same images in
batches of the same size. `--precision` is that of matrix products and convolutions of float32:
`float32` itself, or `tf32`, which JAX takes on such a GPU if it is not told otherwise.

- scan: `find_top_activations` of all convolution layers, beside the forward pass.
- projection: 64 feature maps × 9 images in one call of `visualize_features`, beside the forward
  pass of one batch.
- occlusion: occluder 16, stride 8 (729 positions), the affected windows against the full method,
  by batch size.
- captum: its `Occlusion` and `NeuronDeconvolution` on torchvision's VGG16, in turns with ours.

Every row is a process of its own, for its peak memory on the GPU. Times are medians of calls after
the first, which compiles; what the first takes longer is a column of its own.
"""

import argparse
import json
import os
import subprocess
import sys

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # PyTorch is on the same GPU

import keras
import numpy as np

import kerasvis as kv
from benchmarks.occlusion import PATCH_SIZE, STRIDES, Call, an_image, build, seconds_of
from benchmarks.projection import TORCH_LAYERS
from benchmarks.turns import median_times
from kerasvis.occlusion import Occluders

NETS = ("VGG16", "ResNet50")
OCCLUDED_NETS = ("VGG16", "ResNet50", "MobileNet", "ZFNet", "AlexNet")
LAYERS = {"VGG16": ("block3_conv3", "block5_conv3"), "ResNet50": ("conv3_block4_out",)}
BATCH_SIZE = 128
NUM_IMAGES = 1024
NUM_FEATURES, K = 64, 9
PARTS = ("scan", "projection", "occlusion", "captum")


def main():
    arguments = parse_arguments()
    if problem := why_not():
        print(f"Nothing is measured: {problem}")
    elif arguments.row:
        set_precision(arguments.precision)
        part, *details = arguments.row
        found = MEASURES[part](*details, turns=arguments.turns)
        print(json.dumps(found | {"gibibytes": peak_gibibytes()}))
    else:
        import jax

        print(f"{jax.devices()[0].device_kind}, jax {jax.__version__}, {arguments.precision}")
        for part in arguments.parts:
            TABLES[part](arguments)


def why_not():
    """Why nothing can be measured here, or None."""
    if keras.backend.backend() != "jax":
        return f"Keras' backend is {keras.backend.backend()}: set KERAS_BACKEND=jax."
    import jax

    platform = jax.devices()[0].platform
    return None if platform == "gpu" else f"JAX sees no GPU, but a {platform}."


def set_precision(precision):
    """Of float32 matrix products and convolutions, in JAX and, where it is there, in PyTorch."""
    import jax

    name = {"float32": "highest", "tf32": "tensorfloat32"}[precision]
    jax.config.update("jax_default_matmul_precision", name)


def peak_gibibytes():
    """What JAX has held of the GPU's memory at most."""
    import jax

    return jax.local_devices()[0].memory_stats()["peak_bytes_in_use"] / 2**30


def measured(arguments, *row):
    """The measures of one row, from a process of its own; None if it fails."""
    command = [sys.executable, "-m", "benchmarks.gpu", "--precision", arguments.precision]
    command += ["--turns", str(arguments.turns), "--row", *map(str, row)]
    finished = subprocess.run(command, capture_output=True, text=True)
    if finished.returncode:
        print(f"{' '.join(map(str, row))}: {finished.stderr.strip().splitlines()[-1]}", flush=True)
        return None
    return json.loads(finished.stdout.splitlines()[-1])


def table_of_scans(arguments):
    print(f"\nScan of all convolution layers, batch {BATCH_SIZE}, images per second")
    print(f"{'net':<12}{'forward':>9}{'scan':>9}{'share':>8}{'compiling s':>13}{'peak GiB':>10}")
    for net in NETS:
        if found := measured(arguments, "scan", net):
            print(
                f"{net:<12}{found['forward']:>9.0f}{found['scan']:>9.0f}"
                f"{found['scan'] / found['forward']:>8.0%}{found['compiling']:>13.1f}"
                f"{found['gibibytes']:>10.1f}",
                flush=True,
            )


def measure_scan(net, turns):
    """Rates from the difference of two calls, so that compiling does not count."""
    model = build(net, 224)
    layers = [layer.name for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    images = random_images(NUM_IMAGES + BATCH_SIZE)
    calls = {
        "forward": lambda some: model.predict(some, BATCH_SIZE, verbose=0),
        "scan": lambda some: kv.find_top_activations(
            model, layers, some, batch_size=BATCH_SIZE, verbose=0
        ),
    }
    contenders = {
        (name, number): lambda call=call, number=number: call(images[:number])
        for name, call in calls.items()
        for number in (BATCH_SIZE, NUM_IMAGES + BATCH_SIZE)
    }
    times = median_times(contenders, turns)
    seconds = {
        name: times[name, NUM_IMAGES + BATCH_SIZE] - times[name, BATCH_SIZE] for name in calls
    }
    return {name: NUM_IMAGES / value for name, value in seconds.items()} | {
        "compiling": times["scan", BATCH_SIZE] - seconds["scan"] * BATCH_SIZE / NUM_IMAGES
    }


def table_of_projections(arguments):
    print(f"\nProjections, {NUM_FEATURES} feature maps x {K} images, per second")
    print(
        f"{'net':<12}{'layer':<20}{'projections':>12}{'forward':>9}{'share':>8}"
        f"{'first call s':>14}{'peak GiB':>10}"
    )
    for net in NETS:
        for layer in LAYERS[net]:
            if found := measured(arguments, "projection", net, layer):
                print(
                    f"{net:<12}{layer:<20}{found['projections']:>12.0f}{found['forward']:>9.0f}"
                    f"{found['projections'] / found['forward']:>8.0%}{found['first']:>14.1f}"
                    f"{found['gibibytes']:>10.1f}",
                    flush=True,
                )


def measure_projection(net, layer, turns):
    model = build(net, 224)
    images = random_images(BATCH_SIZE)
    deconv = kv.DeconvModel(model, layer)
    top = kv.find_top_activations(model, [layer], images, K, batch_size=BATCH_SIZE, verbose=0)
    call = lambda: kv.visualize_features(  # noqa: E731
        deconv.convnet, deconv.layer, images, range(NUM_FEATURES), top=top, preprocessing="raw"
    )
    first = seconds_of(call)
    predict = lambda: model.predict(images, BATCH_SIZE, verbose=0)  # noqa: E731
    times = median_times({"call": call, "predict": predict}, turns)
    return {
        "projections": NUM_FEATURES * K / times["call"],
        "forward": len(images) / times["predict"],
        "first": first,
    }


def table_of_occlusion(arguments):
    print(
        f"\nOcclusion of one image, occluder {PATCH_SIZE}, stride {STRIDES}, seconds by batch size"
    )
    print(
        f"{'net':<12}{'method':<14}{'operations':>11}{'batch':>7}{'seconds':>9}{'positions/s':>13}"
        f"{'of forward':>12}{'first call s':>14}{'peak GiB':>10}"
    )
    for net in arguments.nets:
        for method in ("full", "incremental"):
            for batch_size in arguments.batch_sizes:
                found = measured(arguments, "occlusion", net, method, batch_size)
                if found:
                    rate = found["positions"] / found["seconds"]
                    print(
                        f"{net:<12}{method:<14}{found['operations']:>11.0%}{found['batch']:>7}"
                        f"{found['seconds']:>9.3f}{rate:>13.0f}{rate / found['forward']:>12.1f}"
                        f"{found['first']:>14.1f}{found['gibibytes']:>10.1f}",
                        flush=True,
                    )


def measure_occlusion(net, method, batch_size, turns):
    """With a batch size of 0, that which `OcclusionSweep` chooses."""
    model, image = build(net, 224), an_image(224)
    occluders = Occluders((224, 224), PATCH_SIZE, STRIDES)
    call = Call(model, occluders, image, method, batch_size=int(batch_size) or None)
    plan = call.sweep.plan
    first = seconds_of(call)
    images = random_images(BATCH_SIZE)
    predict = lambda: model.predict(images, BATCH_SIZE, verbose=0)  # noqa: E731
    times = median_times({"call": call, "predict": predict}, turns)
    return {
        "seconds": times["call"],
        "forward": len(images) / times["predict"],
        "positions": int(np.prod(occluders.shape)),
        "operations": plan.operations / plan.full_operations,
        "batch": call.sweep.batch_size,
        "first": first - times["call"],
    }


def table_of_captum(arguments):
    print("\nVGG16 beside Captum on the same GPU, in turns, seconds")
    for measure in ("occlusion", "projection"):
        if found := measured(arguments, "captum", measure):
            peak = found.pop("gibibytes")
            times = "   ".join(f"{name} {seconds:.4f}" for name, seconds in found.items())
            print(f"{measure:<12}{times}   (peak of kerasvis {peak:.1f} GiB)", flush=True)


def measure_captum(measure, turns):
    """Seconds of an image's occlusion, or of the projection of one unit."""
    import jax
    import torch

    allows_tf32 = jax.config.jax_default_matmul_precision == "tensorfloat32"
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = allows_tf32
    found = {"occlusion": captum_occlusion, "projection": captum_projection}[measure](turns)
    return found | {"Captum's peak GiB": torch.cuda.max_memory_allocated() / 2**30}


def captum_occlusion(turns):
    import torch
    from captum.attr import Occlusion

    model, image = build("VGG16", 224), an_image(224)
    occluders = Occluders((224, 224), PATCH_SIZE, STRIDES)
    captum, channels_first = Occlusion(torchvision_vgg16()), on_gpu(image)

    def run_captum(batch_size):
        with torch.no_grad():
            return captum.attribute(
                channels_first,
                sliding_window_shapes=(3, PATCH_SIZE, PATCH_SIZE),
                strides=(3, STRIDES, STRIDES),
                target=0,
                perturbations_per_eval=batch_size,
            ).cpu()

    contenders = {
        **{method: Call(model, occluders, image, method) for method in ("incremental", "full")},
        "Captum, 64 at a time": lambda: run_captum(64),  # as in its documentation
        "Captum, 256 at a time": lambda: run_captum(256),
    }
    return median_times(contenders, turns)


def captum_projection(turns):
    """Captum takes one unit a call."""
    from captum.attr import NeuronDeconvolution

    model, net, images = build("VGG16", 224), torchvision_vgg16(), random_images(BATCH_SIZE)
    inputs = on_gpu(images[0]).requires_grad_()
    found = {}
    for layer in LAYERS["VGG16"]:
        deconv = kv.DeconvModel(model, layer)
        top = kv.find_top_activations(model, [layer], images, K, batch_size=BATCH_SIZE, verbose=0)
        captum = NeuronDeconvolution(net, net.features[TORCH_LAYERS[layer]])
        contenders = {
            "kerasvis": lambda deconv=deconv, top=top: kv.visualize_features(
                deconv.convnet,
                deconv.layer,
                images,
                range(NUM_FEATURES),
                top=top,
                preprocessing="raw",
            ),
            "Captum": lambda captum=captum: (
                captum.attribute(inputs, neuron_selector=(12, 6, 6)).detach().cpu()
            ),
        }
        times = median_times(contenders, turns)
        found[f"{layer}: kerasvis"] = times["kerasvis"] / (NUM_FEATURES * K)
        found["Captum" + " " * len(found)] = times["Captum"]
    return found


def torchvision_vgg16():
    """torchvision's, with random weights; Captum needs ReLUs that work out of place."""
    import torch
    import torchvision

    net = torchvision.models.vgg16(weights=None).eval().cuda()
    for module in net.modules():
        if isinstance(module, torch.nn.ReLU):
            module.inplace = False
    return net


def on_gpu(image):
    """The image as a batch of one for PyTorch, channels first."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)[None])).cuda()


def random_images(number):
    images = np.random.default_rng(0).uniform(0, 255, (number, 224, 224, 3))
    return images.astype("float32")


MEASURES = {
    "scan": measure_scan,
    "projection": measure_projection,
    "occlusion": measure_occlusion,
    "captum": measure_captum,
}
TABLES = {
    "scan": table_of_scans,
    "projection": table_of_projections,
    "occlusion": table_of_occlusion,
    "captum": table_of_captum,
}


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--precision", choices=("float32", "tf32"), default="float32")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--nets", nargs="+", choices=OCCLUDED_NETS, default=OCCLUDED_NETS)
    parser.add_argument(
        "--batch-sizes", nargs="+", type=int, default=(0, 512), help="0: as it is chosen"
    )
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--row", nargs="+", help="measure one row, and print JSON")
    return parser.parse_args()


if __name__ == "__main__":
    main()
