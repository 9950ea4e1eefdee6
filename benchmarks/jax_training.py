"""Training by a recipe on Keras' JAX backend, on a GPU or a CPU, without TensorFlow.

    KERAS_BACKEND=jax python -m benchmarks.jax_training --data tiny_imagenet_30_jpegs.npz --out net

What `kerasvis train` does, for sets of images that the device holds whole: the same crops,
optimiser, filter RMS constraint and annealing. The order of the images and their crops are drawn by
JAX, so that the same recipe gives another net than there; an interrupted run does not resume.
"""

import argparse
import dataclasses
import json
import os
import shlex
import sys
import time
from functools import partial
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")

import jax
import jax.numpy as jnp
import keras
import numpy as np

from kerasvis.analyses.filters.filter_spectra import filter_spectra
from kerasvis.callbacks import FeatureEvolution
from kerasvis.commands.model_card import END, NAMES, NORMALIZATIONS, percent
from kerasvis.convnets import AlexNet, ZFNet
from kerasvis.data import load_labelled
from kerasvis.data.labelled.sub_crops import center_crop, sub_crop_positions, ten_crops
from kerasvis.layers import PixelMean
from kerasvis.storage.files import write_text
from kerasvis.training import (
    AnnealOnPlateau,
    Recipe,
    compile_for,
    filter_rms,
    limit_filters,
    prepare,
)
from kerasvis.training.fit import write_history

BUILDERS = {"zfnet": ZFNet, "alexnet": AlexNet}
RECIPES = {"small": Recipe.for_small_images, "paper": Recipe.scaled}
STRIDES = {"zfnet": (1, 2), "alexnet": (2, 1)}  # for 64×64 pixels
CONVOLUTIONS = ("conv1", "conv2", "conv3", "conv4", "conv5")
NUM_EVOLUTION_IMAGES = 500


@dataclasses.dataclass(frozen=True, kw_only=True)
class Convnet:
    """A convnet to train, as the options of `kerasvis train` describe it.

    Attributes:
        net: `"zfnet"` or `"alexnet"`.
        width: factor on the paper's filters.
        dense_units: units in fc6 and in fc7.
        strides: of conv1 and of conv2.
        normalization: `"local_response"`, the paper's, or `"batch"`.
    """

    net: str
    width: float = 0.5
    dense_units: int = 512
    strides: tuple[int, int] = (1, 2)
    normalization: str = "batch"

    def build(self, recipe, num_classes, name):
        """The convnet, with initial weights that follow from the recipe's seed."""
        keras.utils.set_random_seed(recipe.seed)
        return BUILDERS[self.net](
            (recipe.crop_size, recipe.crop_size, 3),
            num_classes,
            width=self.width,
            dense_units=self.dense_units,
            strides=self.strides,
            normalization=self.normalization,
            kernel_initializer=recipe.kernel_initializer,
            name=name,
        )


class FirstLayer:
    """Measures of conv1: RMS of its filters, their frequencies, and what is left of their start."""

    def __init__(self, model):
        self.start = self._filters(model)

    def __call__(self, model):
        """`{measure: value}` now.

        `conv1_high` is the share of filters with most of their energy at high frequencies, as
        `kerasvis.diagnose_filters` counts them; `conv1_start` the median cosine of a filter to what
        it was in the beginning.
        """
        kernel = model.get_layer("conv1").kernel
        rms = np.asarray(filter_rms(kernel))
        bands = filter_spectra(np.asarray(kernel)).band_shares.argmax(axis=1)
        return {
            "conv1_median_rms": np.median(rms),
            "conv1_largest_rms": rms.max(),
            "conv1_high": np.mean(bands == 2),
            "conv1_start": np.median((self._filters(model) * self.start).sum(axis=0)),
        }

    def _filters(self, model):
        """Filters of norm 1, `(weights, filters)`."""
        kernel = np.asarray(model.get_layer("conv1").kernel)
        filters = kernel.reshape(-1, kernel.shape[-1])
        return filters / np.linalg.norm(filters, axis=0)


def train(model, data, recipe, callbacks=(), measure=lambda model: {}):
    """Trains `model` by `recipe`, as `kerasvis.training.fit` does.

    Args:
        model: ends in class probabilities; takes crops of the recipe's size.
        data: `LabelledData` of `LabelledImages` of the recipe's image size.
        recipe: a `Recipe`.
        callbacks: Keras callbacks, which act at the ends of epochs.
        measure: function of the model that returns `{metric: value}` after each epoch.

    Returns:
        `{metric: values of all epochs}`.
    """
    prepare(model, recipe)
    adapt_mean(model, data.train.pixels, recipe)
    compile_for(model, recipe, data.train.num_images)
    model.optimizer.build(model.trainable_variables)
    images = [jnp.asarray(data.train.pixels), jnp.asarray(data.train.labels.astype("int32"))]
    unseen = [
        jnp.asarray(center_crop(data.validation.pixels, (recipe.crop_size,) * 2)),
        jnp.asarray(data.validation.labels.astype("int32")),
    ]
    step = jax.jit(partial(train_step, model, recipe))
    metrics_of = jax.jit(partial(evaluate, model, recipe.batch_size))
    if recipe.annealing == "plateau":
        lowering = AnnealOnPlateau(
            factor=recipe.annealing_factor, patience=recipe.annealing_patience
        )
        callbacks = [lowering, *callbacks]
    listeners = keras.callbacks.CallbackList([*callbacks], model=model)
    history = {}
    key = jax.random.key(recipe.seed)
    listeners.on_train_begin()
    for epoch in range(recipe.epochs):
        listeners.on_epoch_begin(epoch)
        rate, start = float(model.optimizer.learning_rate), time.perf_counter()
        state, sums = train_epoch(
            partial(step, images),
            recipe.batch_size,
            state_of(model),
            jax.random.fold_in(key, epoch),
            data.train.num_images,
        )
        assign(model, state)
        logs = named(sums, data.train.num_images)
        seconds = time.perf_counter() - start  # `named` has waited for the numbers
        unseen_sums = metrics_of(*state[:2], *unseen)
        logs |= named(unseen_sums, data.validation.num_images, "val_")
        logs |= {"learning_rate": rate, "seconds": seconds, **measure(model)}
        listeners.on_epoch_end(epoch, logs)
        for name, value in logs.items():
            history.setdefault(name, []).append(float(value))
    listeners.on_train_end()
    return history


def adapt_mean(model, pixels, recipe):
    """Sets the model's `PixelMean` to the mean of the ten sub-crops of the training images."""
    mean = pixels.mean(axis=0, dtype="float64")[None]
    crops = np.concatenate(ten_crops(mean, (recipe.crop_size,) * 2))
    for layer in model.layers:
        if isinstance(layer, PixelMean):
            layer.adapt(crops)


def state_of(model):
    """The values that training changes: `(trainable, other, of the optimiser)`."""
    owners = (
        model.trainable_variables,
        model.non_trainable_variables,
        model.optimizer.variables,
    )
    return tuple([variable.value for variable in variables] for variables in owners)


def assign(model, state):
    """Gives the model such values."""
    trainable, others, of_optimizer = state
    pairs = [
        *zip(model.trainable_variables, trainable, strict=True),
        *zip(model.non_trainable_variables, others, strict=True),
        *zip(model.optimizer.variables, of_optimizer, strict=True),
    ]
    for variable, value in pairs:
        variable.assign(value)


def train_epoch(step, batch_size, state, key, num_images):
    """One pass over all images in a new order, the last batch smaller: `(state, sums)`."""
    order_key, crop_key = jax.random.split(key)
    order = jax.random.permutation(order_key, num_images)
    total = jnp.zeros(3)
    for begin in range(0, num_images, batch_size):
        chosen = order[begin : begin + batch_size]
        state, sums = step(state, jax.random.fold_in(crop_key, begin), chosen)
        total = total + sums
    return state, total


def train_step(model, recipe, images, state, key, chosen):
    """One step of the optimiser, on the images chosen: `(state, sums over them)`.

    `images` are `(pixels, labels)`, `state` what `state_of` returns.
    """
    pixels, labels = (array[chosen] for array in images)
    crops = random_crops(pixels, key, recipe)
    trainable, others, of_optimizer = state

    def loss_of(trainable):
        probabilities, changed = model.stateless_call(trainable, others, crops, training=True)
        losses = keras.losses.sparse_categorical_crossentropy(labels, probabilities)
        return losses.mean(), (probabilities, changed)

    (_, (probabilities, others)), gradients = jax.value_and_grad(loss_of, has_aux=True)(trainable)
    trainable, of_optimizer = model.optimizer.stateless_apply(of_optimizer, gradients, trainable)
    return (list(trainable), list(others), list(of_optimizer)), sums_of(probabilities, labels)


def sums_of(probabilities, labels):
    """Sums over a batch, float32 `(3,)`: cross-entropy, hits of top-1 and of top-5."""
    losses = keras.losses.sparse_categorical_crossentropy(labels, probabilities)
    own = jnp.take_along_axis(probabilities, labels[:, None], axis=1)
    rank = (probabilities > own).sum(axis=1)
    return jnp.stack([losses.sum(), (rank < 1).sum(), (rank < 5).sum()]).astype("float32")


def evaluate(model, batch_size, trainable, others, crops, labels):
    """The sums over all images, as `sums_of`."""
    total = jnp.zeros(3)
    for begin in range(0, len(labels), 4 * batch_size):
        batch = slice(begin, begin + 4 * batch_size)
        probabilities, _ = model.stateless_call(trainable, others, crops[batch], training=False)
        total = total + sums_of(probabilities, labels[batch])
    return total


def named(sums, number, prefix=""):
    """`{metric: mean}` of such sums."""
    means = np.asarray(sums, "float64") / number
    return {
        f"{prefix}{name}": float(mean)
        for name, mean in zip(("loss", "top_1", "top_5"), means, strict=True)
    }


def random_crops(images, key, recipe):
    """The crops of a recipe, drawn at random, float32."""
    images = images.astype("float32")
    if recipe.crops == "random_scale":
        return random_scale_crops(images, key, recipe.smallest_crop)
    return random_sub_crops(images, key, (recipe.crop_size, recipe.crop_size))


def random_sub_crops(images, key, crop_size):
    """One of the ten sub-crops of each image, as `kerasvis.data.random_sub_crops`."""
    rows, columns = sub_crop_positions(images.shape[1:3], crop_size)
    which = jax.random.randint(key, (len(images),), 0, len(rows))
    return gathered(images, jnp.asarray(rows)[which], jnp.asarray(columns)[which])


def random_scale_crops(images, key, smallest):
    """Crops of random scale and place, half of them mirrored, resized back bilinearly.

    As `kerasvis.data.random_scale_crops`, for float32 images `(images, rows, columns, 3)`.
    """
    uniform = jax.random.uniform(key, (4, len(images)))
    side = smallest + (1 - smallest) * uniform[0]
    starts = (1 - side) * uniform[1:3]
    ends = starts + side
    is_mirrored = uniform[3] < 0.5
    left, right = (
        jnp.where(is_mirrored, ends[1], starts[1]),
        jnp.where(is_mirrored, starts[1], ends[1]),
    )
    height, width = images.shape[1:3]
    rows = between(starts[0], ends[0], height)
    columns = between(left, right, width)
    return bilinear(images, rows, columns)


def between(first, last, size):
    """`size` places from `first` to `last`, shares of an axis of that length, `(images, size)`."""
    steps = jnp.arange(size) / (size - 1)
    return (first[:, None] + (last - first)[:, None] * steps) * (size - 1)


def bilinear(images, rows, columns):
    """The images at real-valued rows and columns."""
    height, width = images.shape[1:3]
    above = jnp.clip(jnp.floor(rows).astype("int32"), 0, height - 2)
    before = jnp.clip(jnp.floor(columns).astype("int32"), 0, width - 2)
    down = (rows - above)[:, :, None, None]
    right = (columns - before)[:, None, :, None]
    upper = gathered(images, above, before) * (1 - right)
    upper += gathered(images, above, before + 1) * right
    lower = gathered(images, above + 1, before) * (1 - right)
    lower += gathered(images, above + 1, before + 1) * right
    return upper * (1 - down) + lower * down


def gathered(images, rows, columns):
    """The images at int rows `(images, n)` and columns `(images, m)`."""
    return jax.vmap(lambda image, row, column: image[row][:, column])(images, rows, columns)


def main():
    arguments = parse_arguments()
    recipe = recipe_of(arguments)
    data = load_labelled(arguments.data, image_size=recipe.image_size)
    convnet = Convnet(
        net=arguments.net,
        width=arguments.width,
        dense_units=arguments.dense_units,
        strides=tuple(arguments.strides or STRIDES[arguments.net]),
        normalization="batch" if recipe.crops == "random_scale" else "local_response",
    )
    model = convnet.build(recipe, len(data.class_names), arguments.out.name.replace("-", "_"))
    callbacks = [evolution(data, recipe, arguments.out)] if arguments.evolution else []
    history = train(model, data, recipe, callbacks, FirstLayer(model))
    save(model, data, recipe, history, arguments.out)
    card = model_card(model, data, convnet, recipe, history)
    write_text(arguments.out / "README.md", card)
    last = {name: values[-1] for name, values in history.items()}
    print(
        f"{arguments.out}: validation top-1 {last['val_top_1']:.1%}, conv1 of mostly high "
        f"frequencies {last['conv1_high']:.1%}, {sum(history['seconds']):.0f} s",
        flush=True,
    )


def recipe_of(arguments):
    """The recipe, with the changes asked for."""
    changes = dict(change.split("=") for change in arguments.changes)
    changes = {name: json.loads(value) for name, value in changes.items()}
    return RECIPES[arguments.recipe](64, **changes)


def evolution(data, recipe, directory):
    """The callback that records the evolution of features, over training images without crops."""
    chosen = np.random.default_rng(recipe.seed).permutation(data.train.num_images)
    pixels = data.train.pixels[np.sort(chosen[:NUM_EVOLUTION_IMAGES])]
    pixels = center_crop(pixels, (recipe.crop_size,) * 2).astype("float32")
    return FeatureEvolution(
        CONVOLUTIONS,
        pixels,
        directory=directory / "evolution",
        with_patches=False,
        seed=recipe.seed,
    )


def save(model, data, recipe, history, directory):
    """Writes the model and how it was trained, as `kerasvis train` does."""
    directory.mkdir(parents=True, exist_ok=True)
    limit_filters(model, None)
    keras.Model(model.inputs, model.outputs, name=model.name).save(directory / "model.keras")
    recipe.save(directory / "recipe.json")
    write_text(directory / "classes.json", json.dumps(data.class_names, indent=1) + "\n")
    write_history(history, directory)


def model_card(model, data, convnet, recipe, history):
    """The text of the card, in Markdown."""
    last = {name: values[-1] for name, values in history.items()}
    device = jax.devices()[0]
    rows = {
        "data": f"tiny_imagenet_30_jpegs.npz: {data.train.num_images:,} training and "
        f"{data.validation.num_images:,} validation images of {len(data.class_names)} classes",
        "validation top-1 / top-5": percent(last["val_top_1"], last["val_top_5"]),
        "training top-1, augmented": percent(last["top_1"]),
        "filters of conv1 of mostly high frequencies": percent(last["conv1_high"]),
        "epochs": recipe.epochs,
        "time in training steps": f"{sum(history['seconds']):.0f} s on {device.device_kind}",
        "seed": recipe.seed,
        "trained by": f"`KERAS_BACKEND=jax python -m benchmarks.jax_training {options()}`",
    }
    size = recipe.crop_size
    description = (
        f"{NAMES[convnet.net]} (Zeiler & Fergus 2013, Section 3) for {size}×{size} photographs: "
        f"strides {convnet.strides}, width {convnet.width:g}, {convnet.dense_units} dense units, "
        f"{NORMALIZATIONS[convnet.normalization]}; {model.count_params():,} parameters. It takes "
        "raw RGB pixels in [0, 255]."
    )
    table = ["| | |", "|---|---|", *(f"| {key} | {value} |" for key, value in rows.items())]
    return "\n".join([f"# {model.name}", "", description, "", *table, "", END])


def options():
    """Those of this run, without folders."""
    return shlex.join(Path(word).name for word in sys.argv[1:])


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data", required=True, help="as `kerasvis train` takes it")
    parser.add_argument("--out", type=Path, required=True, help="folder for the model")
    parser.add_argument("--net", choices=BUILDERS, default="zfnet")
    parser.add_argument("--recipe", choices=RECIPES, default="small")
    parser.add_argument("--width", type=float, default=0.5)
    parser.add_argument("--dense-units", type=int, default=512)
    parser.add_argument("--strides", type=int, nargs=2)
    parser.add_argument("--evolution", action="store_true", help="record the features' evolution")
    parser.add_argument(
        "--changes", nargs="*", default=[], metavar="FIELD=VALUE", help="of the recipe, as JSON"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
