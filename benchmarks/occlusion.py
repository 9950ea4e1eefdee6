"""Occlusion sensitivity: incremental inference against covering the image and running the model.

    python -m benchmarks.occlusion [--parts peers nets growth] [--turns 3] [--nets VGG16 ZFNet]

- peers: VGG16 at 224×224, occluder 16, stride 8 (729 positions): both methods, a bare batched loop
  over images that are covered already, Xplique's `Occlusion` and Captum's.
- nets: what each net gets, losses included, with the peak memory of a process that does nothing
  else; beside it what Krypton (Nakandala et al. 2019), the published incremental inference, claims
  at most without approximation.
- growth: time against the number of positions, and against the size of the image.

All weights are random. Times are those of a call after the first, which also compiles; what
compiling takes is a column of its own.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np

from benchmarks.turns import median_times, verdict
from kerasvis.analyses.occlusion.occlusion_sensitivity import last_convolution
from kerasvis.convnets import AlexNet, SqueezeNet, ZFNet
from kerasvis.occlusion import Occluders, OcclusionSweep

OWN_NETS = {"ZFNet": ZFNet, "AlexNet": AlexNet, "SqueezeNet": SqueezeNet}
NETS = ("VGG16", "ZFNet", "AlexNet", "ResNet50", "MobileNet", "SqueezeNet")
PATCH_SIZE, STRIDES = 16, 8
BARE_BATCH_SIZE = 32
MIN_OF_FULL, MIN_OF_BARE_LOOP = 4.5, 0.95
MIN_OF_PEERS = {"Xplique": 6.0, "Captum": 9.0}
MAX_GIBIBYTES = 4.0
KRYPTON = 5.0  # times, at most, where nothing is approximated: its abstract


def main():
    arguments = parse_arguments()
    if arguments.net:
        print(json.dumps(measure_net(arguments.net, arguments.turns)))
        return
    for part in arguments.parts:
        {"peers": compare_peers, "nets": compare_nets, "growth": show_growth}[part](arguments)


def compare_peers(arguments):
    """VGG16, each contender in turn."""
    model, image = build("VGG16", 224), an_image(224)
    occluders = Occluders((224, 224), PATCH_SIZE, STRIDES)
    print(f"\nVGG16 at 224x224, occluder {PATCH_SIZE}, stride {STRIDES}, seconds for an image")
    ours = {method: Call(model, occluders, image, method) for method in ("incremental", "full")}
    first = {name: seconds_of(call) for name, call in ours.items()}
    contenders = ours | {"bare loop": bare_loop(model, image, occluders)}
    times = median_times(contenders, arguments.turns, warm_up=False)
    times |= median_times(peers(model, image), 1, warm_up=False)
    for name, seconds in times.items():
        compiled = f" (first call {first[name]:.1f})" if name in first else ""
        print(f"  {name:<12}{seconds:>8.1f}{compiled}", flush=True)
    speedup = {name: seconds / times["incremental"] for name, seconds in times.items()}
    of_loop = times["bare loop"] / times["full"]
    print(f"full against the bare loop: {of_loop:.2f} {verdict(of_loop >= MIN_OF_BARE_LOOP)}")
    for name, wanted in {"full": MIN_OF_FULL, **MIN_OF_PEERS}.items():
        said = verdict(speedup[name] >= wanted)
        print(f"incremental against {name}: {speedup[name]:.1f} times (>= {wanted}) {said}")


class Call:
    """One call for one image, planned and compiled once."""

    def __init__(self, model, occluders, image, method, batch_size=None):
        layer = last_convolution(model)
        self.sweep = OcclusionSweep(model, occluders, layer, method=method, batch_size=batch_size)
        self._image, self._fill = image, np.zeros_like(image)

    def __call__(self):
        base = self.sweep.base(self._image)
        classes = np.argsort(-base.probabilities)[:5]
        return self.sweep.run(self._image, self._fill, base.strongest_feature, classes, verbose=0)


def bare_loop(model, image, occluders):
    """What a user would write: the model on batches of images that are covered already."""
    num_positions = int(np.prod(occluders.shape))
    batch = np.repeat(image[None], BARE_BATCH_SIZE, axis=0)
    model.predict_on_batch(batch)  # compiles

    def run():
        for begin in range(0, num_positions, BARE_BATCH_SIZE):
            model.predict_on_batch(batch[: min(BARE_BATCH_SIZE, num_positions - begin)])

    return run


def peers(model, image):
    """`{name: call}` of the libraries that users know."""
    import torch
    from captum.attr import Occlusion as CaptumOcclusion
    from xplique.attributions import Occlusion as XpliqueOcclusion

    xplique = XpliqueOcclusion(model, patch_size=PATCH_SIZE, patch_stride=STRIDES, batch_size=32)
    target = np.eye(1000, dtype="float32")[:1]
    captum = CaptumOcclusion(torch_vgg16())
    channels_first = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)[None]))
    options = {
        "sliding_window_shapes": (3, PATCH_SIZE, PATCH_SIZE),
        "strides": (3, STRIDES, STRIDES),
        "target": 0,
        "perturbations_per_eval": 64,  # as in its documentation
    }

    def run_captum():
        with torch.no_grad():
            return captum.attribute(channels_first, **options)

    return {"Xplique": lambda: xplique.explain(image[None], target), "Captum": run_captum}


def torch_vgg16():
    """VGG16 in PyTorch, with random weights."""
    from torch import nn

    from benchmarks.projection import torch_vgg16 as convolutions

    dense = [nn.Linear(512 * 49, 4096), nn.ReLU(), nn.Linear(4096, 4096), nn.ReLU()]
    modules = [*convolutions(30), nn.Flatten(), *dense, nn.Linear(4096, 1000), nn.Softmax(1)]
    return nn.Sequential(*modules).eval()


def compare_nets(arguments):
    """Each net in a process of its own, for its peak memory."""
    print(f"\nAt 224x224 (SqueezeNet 227x227), occluder {PATCH_SIZE}, stride {STRIDES}, seconds")
    print(
        f"{'net':<12}{'full':>8}{'incremental':>13}{'speed-up':>10}{'Krypton':>9}{'compiling':>11}"
        f"{'operations':>12}{'auto':>13}{'peak GiB':>10}"
    )
    for net in arguments.nets:
        command = [sys.executable, "-m", "benchmarks.occlusion", "--net", net]
        command += ["--turns", str(arguments.turns)]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        found = json.loads(said.splitlines()[-1])
        is_small = verdict(found["gibibytes"] <= MAX_GIBIBYTES)
        print(
            f"{net:<12}{found['full']:>8.1f}{found['incremental']:>13.1f}"
            f"{found['full'] / found['incremental']:>10.2f}{f'<= {KRYPTON:.0f}':>9}"
            f"{found['compiling']:>11.1f}"
            f"{found['operations']:>12.1%}{found['auto']:>13}"
            f"{found['gibibytes']:>10.1f} {is_small}",
            flush=True,
        )


def measure_net(net, turns):
    size = 227 if net == "SqueezeNet" else 224
    model, image = build(net, size), an_image(size)
    occluders = Occluders((size, size), PATCH_SIZE, STRIDES)
    calls = {method: Call(model, occluders, image, method) for method in ("incremental", "full")}
    first = seconds_of(calls["incremental"])
    times = median_times(calls, turns)
    plan = OcclusionSweep(model, occluders, last_convolution(model)).plan
    return {
        **times,
        "compiling": first - times["incremental"],
        "operations": calls["incremental"].sweep.plan.operations / plan.full_operations,
        "auto": plan.method,
        "gibibytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }


def show_growth(arguments):
    """ZFNet: time against positions and against the size of the image."""
    print("\nZFNet, occluder 16, seconds for an image")
    print(f"{'image':<10}{'positions':>10}{'full':>8}{'incremental':>13}{'speed-up':>10}")
    for size, strides in ((224, 32), (224, 16), (224, 8), (160, 8), (320, 16), (448, 16)):
        model, image = build("ZFNet", size), an_image(size)
        occluders = Occluders((size, size), PATCH_SIZE, strides)
        calls = {name: Call(model, occluders, image, name) for name in ("incremental", "full")}
        times = median_times(calls, arguments.turns)
        print(
            f"{size}x{size:<6}{np.prod(occluders.shape):>10}{times['full']:>8.1f}"
            f"{times['incremental']:>13.1f}{times['full'] / times['incremental']:>10.2f}",
            flush=True,
        )


def build(net, size):
    keras.utils.set_random_seed(0)
    builder = OWN_NETS.get(net) or getattr(keras.applications, net)
    return builder(input_shape=(size, size, 3), weights=None)


def an_image(size):
    return np.random.default_rng(0).uniform(-100, 100, (size, size, 3)).astype("float32")


def seconds_of(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parts = ("peers", "nets", "growth")
    parser.add_argument("--parts", nargs="+", choices=parts, default=parts)
    parser.add_argument("--nets", nargs="+", choices=NETS, default=NETS)
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--net", choices=NETS, help="measure one net, and print JSON")
    return parser.parse_args()


if __name__ == "__main__":
    main()
