"""Speed and memory of the switch layers, side by side with what a user would otherwise pick.

    python -m benchmarks.switch_layers [--repetitions 30] [--skip-models]

Prints ratios of median times. The contenders take turns, in changing order, so that a busy machine
slows all of them.
"""

import argparse
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf

from benchmarks.turns import median_times, verdict
from kerasvis.convnets.zfnet import ZFNet
from kerasvis.layers import MaxPooling2DWithSwitches, MaxUnpooling2D
from kerasvis.layers.xla_compilation import plain_operations

FEATURE_MAPS_SHAPE = (8, 112, 112, 64)
WINDOWS = [(2, 2, "valid"), (3, 2, "valid"), (3, 2, "same")]
MIN_SPEEDUP = 5.0
MAX_SLOWDOWN = 1.10
MODELS = {"VGG16": keras.applications.VGG16, "ZFNet": ZFNet}
BATCH_SIZE = 8


def main():
    arguments = parse_arguments()
    compare_layers(arguments.repetitions)
    if not arguments.skip_models:
        compare_models(max(3, arguments.repetitions // 2))


def compare_layers(repetitions):
    """Pooling with switches against `max_pool_with_argmax`: milliseconds, speed-up, memory."""
    shape = "x".join(map(str, FEATURE_MAPS_SHAPE))
    print(f"\nPooling float32 {shape}, milliseconds (in a graph, as in fit and predict)")
    header = (
        *("window", "argmax", "switches", "eager", "all XLA", "no XLA", "max pool", "unpool"),
        "memory",
    )
    print_row(*header, f"speed-up (>= {MIN_SPEEDUP:.0f})")
    feature_maps = rectified_noise(FEATURE_MAPS_SHAPE)
    for pool_size, strides, padding in WINDOWS:
        contenders = pooling_contenders(feature_maps, pool_size, strides, padding)
        times = median_times(contenders, repetitions)
        speedup = times["argmax"] / times["switches"]
        print_row(
            f"{pool_size}x{pool_size}/{strides} {padding}",
            *(f"{1e3 * seconds:.1f}" for seconds in times.values()),
            f"1/{memory_ratio(contenders):g}",
            f"{speedup:.1f} {verdict(speedup >= MIN_SPEEDUP)}",
        )


def pooling_contenders(feature_maps, pool_size, strides, padding):
    pooling = MaxPooling2DWithSwitches(pool_size, strides, padding)
    unpooling = MaxUnpooling2D(pool_size, strides, padding)
    pooled, switches = pooling(feature_maps)
    in_graph, compiled = tf.function(pooling), tf.function(pooling, jit_compile=True)
    unpooling_in_graph = tf.function(unpooling)
    max_pooling = tf.function(keras.layers.MaxPooling2D(pool_size, strides, padding))
    with plain_operations():
        plain = tf.function(pooling).get_concrete_function(feature_maps)

    @tf.function
    def argmax_pooling(inputs):
        return tf.nn.max_pool_with_argmax(inputs, pool_size, strides, padding.upper())

    # A call returns when its values are there (TensorFlow waits for its CPU kernels), so none is
    # copied out to NumPy, which would add the same to all.
    return {
        "argmax": lambda: argmax_pooling(feature_maps),
        "switches": lambda: in_graph(feature_maps),
        "eager": lambda: pooling(feature_maps),
        "all XLA": lambda: compiled(feature_maps),
        "no XLA": lambda: plain(feature_maps),
        "max pool": lambda: max_pooling(feature_maps),
        "unpool": lambda: unpooling_in_graph(pooled, switches, feature_maps),
    }


def memory_ratio(contenders):
    _, argmax = contenders["argmax"]()
    _, switches = contenders["switches"]()
    return argmax.numpy().nbytes / switches.numpy().nbytes


def compare_models(repetitions):
    """`predict` of whole nets with switches returned, against the plain nets."""
    print(f"\npredict of {BATCH_SIZE} images at 224x224, default jit_compile, seconds")
    print_row("model", "plain", "switches", f"ratio (<= {MAX_SLOWDOWN:.2f})")
    images = np.random.default_rng(0).uniform(0, 255, (BATCH_SIZE, 224, 224, 3)).astype("float32")
    for name, build in MODELS.items():
        plain = build(weights=None)
        contenders = {
            key: lambda model=model: model.predict(images, batch_size=BATCH_SIZE, verbose=0)
            for key, model in (("plain", plain), ("switches", with_switches(plain)))
        }
        times = median_times(contenders, repetitions)
        ratio = times["switches"] / times["plain"]
        seconds = (f"{value:.3f}" for value in times.values())
        print_row(name, *seconds, f"{ratio:.2f} {verdict(ratio <= MAX_SLOWDOWN)}")


def with_switches(model):
    """A copy of `model` with switch layers for its `MaxPooling2D`, which also returns them."""
    switches = []

    def exchanged(layer):
        if isinstance(layer, keras.layers.MaxPooling2D):
            return MaxPooling2DWithSwitches.from_config(layer.get_config())
        return layer.__class__.from_config(layer.get_config())

    def called(layer, *args, **kwargs):
        if not isinstance(layer, MaxPooling2DWithSwitches):
            return layer(*args, **kwargs)
        pooled, layer_switches = layer(*args, **kwargs)
        switches.append(layer_switches)
        return pooled

    copy = keras.models.clone_model(model, clone_function=exchanged, call_function=called)
    copy.set_weights(model.get_weights())
    return keras.Model(copy.inputs, [*copy.outputs, *switches])


def rectified_noise(shape):
    return tf.constant(np.random.default_rng(0).normal(size=shape).clip(0).astype("float32"))


def print_row(first, *others):
    print(f"{first:<14}" + "".join(f"{other:>10}" for other in others[:-1]) + f"{others[-1]:>20}")


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--repetitions", type=int, default=30, help="turns of every contender")
    parser.add_argument("--skip-models", action="store_true", help="layers only, some seconds")
    return parser.parse_args()


if __name__ == "__main__":
    main()
