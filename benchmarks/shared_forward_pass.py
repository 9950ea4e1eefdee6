"""Units of the same images: one forward pass per image, against one per unit.

    python -m benchmarks.shared_forward_pass

VGG16 with random weights at 224×224, 32 units in `project_units`, of which several lie in one
image. It prints the time of a unit alone over its time when the forward pass is shared.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np

import kerasvis as kv
from benchmarks.turns import median_times
from kerasvis.data.demo_photographs import DemoPhotographs
from kerasvis.deconvnet.targets import Unit

LAYERS = ("block4_conv2", "block5_conv1", "block5_conv3")
UNITS_OF_AN_IMAGE = (2, 4, 8)
NUM_UNITS = 32


def main():
    model = keras.applications.VGG16(weights=None)
    images = DemoPhotographs((224, 224), "caffe")[: NUM_UNITS // min(UNITS_OF_AN_IMAGE)]
    print(
        f"VGG16 at 224x224, {NUM_UNITS} units: seconds for a unit alone, and speed-ups of sharing"
    )
    heading = "".join(f"{f'{n} an image':>12}" for n in UNITS_OF_AN_IMAGE)
    print(f"{'layer':<14}{'alone':>10}{heading}")
    for layer in LAYERS:
        deconv = kv.DeconvModel(model, layer)
        times = median_times(contenders(deconv, images), 3)
        alone = times.pop("alone")
        speedups = "".join(f"{alone / seconds:>12.2f}" for seconds in times.values())
        print(f"{layer:<14}{alone / NUM_UNITS:>10.4f}{speedups}", flush=True)


def contenders(deconv, images):
    """`{name: call}` that projects the same number of units."""
    rng = np.random.default_rng(0)
    *size, num_maps = deconv.target_shape
    unit = Unit(*(rng.integers(0, length, NUM_UNITS) for length in (num_maps, *size)))
    own = np.resize(images, (NUM_UNITS, *images.shape[1:]))
    calls = {"alone": lambda: deconv.project_units(own, unit)}
    for number in UNITS_OF_AN_IMAGE:
        numbers = np.arange(NUM_UNITS) // number
        calls[str(number)] = lambda numbers=numbers: deconv.project_units(images, unit, numbers)
    return calls


if __name__ == "__main__":
    main()
