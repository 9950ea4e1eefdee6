"""Trains a convnet of the paper by a recipe, and saves it with its history and model card.

python scripts/train_convnet.py --data tiny_imagenet_30_jpegs.npz --out saved_models/my-zfnet

Interrupted, it goes on when it is started again with the same arguments.
"""

import dataclasses
import importlib.util
import json
from pathlib import Path

from command import Parser, UserError, as_user_errors, new_folder, run

# What --recipe small is for; with the paper's recipe the nets are the paper's too.
SMALL = {"normalization": "batch", "strides": {"zfnet": (1, 2), "alexnet": (2, 1)}}
CONVOLUTIONS = ["conv1", "conv2", "conv3", "conv4", "conv5"]


def main(arguments):
    from kerasvis.training.distribution import WorkerLost, is_chief, strategy_for

    check_evolution(arguments)
    with as_user_errors(OSError, ValueError, WorkerLost):
        # First of all, before anything touches TensorFlow's devices.
        strategy = strategy_for(arguments.strategy, arguments.devices)
        recipe = recipe_of(arguments)
        # Of several processes that train together one writes.
        folder = new_folder(arguments.out) if is_chief(strategy) else Path(arguments.out)
        check_folder(folder)
        check_tensorboard(arguments.tensorboard)
        data = load_data(arguments.data, recipe)
        with strategy.scope():
            model = build_convnet(arguments, recipe, len(data.class_names))
        if (folder / "README.md").exists():
            check_same_run(model, data, recipe, folder)
        elif is_chief(strategy):
            train_and_save(model, data, recipe, folder, arguments)
        else:
            train(model, data, recipe, folder)
        if arguments.export and is_chief(strategy):
            export_model(folder)


def check_evolution(arguments):
    if arguments.without_patches and not arguments.evolution:
        raise UserError(
            "--without-patches is about the evolution of features, but none is to be recorded: "
            "give --evolution, too, or leave it out."
        )


def recipe_of(arguments):
    """The recipe that the arguments name, with the epochs and the seed that they give."""
    from kerasvis.training import Recipe

    if arguments.recipe == "paper":
        recipe = Recipe.scaled(arguments.crop_size or 224)
    elif arguments.recipe == "small":
        recipe = Recipe.for_small_images(arguments.crop_size or 64)
    elif arguments.crop_size:
        raise ValueError("A recipe's file states its crop_size: leave out --crop-size.")
    else:
        recipe = Recipe.load(arguments.recipe)
    given = {"epochs": arguments.epochs, "seed": arguments.seed}
    return dataclasses.replace(
        recipe, **{name: value for name, value in given.items() if value is not None}
    )


def check_folder(folder):
    """Refuses a folder with a model of which it is not known how it was trained."""
    from kerasvis.training import Checkpoint

    if (folder / "model.keras").exists() and not Checkpoint(folder).has_begun:
        raise UserError(
            f"{folder} holds a model already, but no record of its training: give another --out."
        )


def check_tensorboard(log_dir):
    """Refuses to begin what could not be recorded."""
    if log_dir is None:
        return
    if importlib.util.find_spec("tensorboard") is None:
        raise UserError(
            "--tensorboard takes the package of that name: install it with pip install tensorboard."
        )
    new_folder(log_dir, "--tensorboard")


def load_data(source, recipe):
    """The training and validation images, of the recipe's size."""
    from kerasvis.data import load_labelled

    data = load_labelled(source, image_size=recipe.image_size, seed=recipe.seed)
    if data.skipped:
        path, reason = data.skipped[0]
        print(f"Left out {len(data.skipped)} unreadable files, the first {path} ({reason}).")
    return data


def build_convnet(arguments, recipe, num_classes):
    """The net, with initial weights that follow from the recipe's seed."""
    import keras

    from kerasvis import convnets

    keras.utils.set_random_seed(recipe.seed)
    build = {"zfnet": convnets.ZFNet, "alexnet": convnets.AlexNet}[arguments.net]
    options = net_options(arguments)
    return build(
        (recipe.crop_size, recipe.crop_size, 3),
        num_classes,
        kernel_initializer=recipe.kernel_initializer,
        name=Path(arguments.out).name.replace("-", "_"),
        **options | {"normalization": none_or(options["normalization"])},
    )


def net_options(arguments):
    """Width, dense units, strides and normalisation, as given or as they suit the recipe."""
    is_small = arguments.recipe == "small"
    paper = {"zfnet": (2, 2), "alexnet": (4, 1)}
    strides = (SMALL["strides"] if is_small else paper)[arguments.net]
    normalization = SMALL["normalization"] if is_small else "local_response"
    return {
        "width": arguments.width,
        "dense_units": arguments.dense_units,
        "strides": tuple(arguments.strides or strides),
        "normalization": arguments.normalization or normalization,
    }


def none_or(name):
    return None if name == "none" else name


def check_same_run(model, data, recipe, folder):
    """Says that the run is finished, if it is the one that was asked for."""
    from kerasvis.training import Checkpoint, describe_run, prepare

    prepare(model, recipe)
    checkpoint = Checkpoint(folder)
    checkpoint.begin(describe_run(model, recipe, data.train, data.validation))
    print(f"{folder} is finished: {summary(checkpoint.history)}.")


def train(model, data, recipe, folder, callbacks=()):
    """Trains, or goes on; returns the history of all epochs."""
    from kerasvis.training import fit

    return fit(
        model, data.train, data.validation, recipe, callbacks=callbacks, directory=folder
    ).history


def train_and_save(model, data, recipe, folder, arguments):
    """Trains, and writes all there is to keep; the model card, which says so, comes last."""
    from kerasvis.storage.files import atomic, write_text
    from kerasvis.training import Checkpoint, ten_crop_evaluate

    callbacks = callbacks_of(data, recipe, folder, arguments)
    history = train(model, data, recipe, folder, callbacks)
    accuracy = ten_crop_evaluate(model, data.validation) if recipe.crops == "ten" else None
    with atomic(folder / "model.keras") as temporary:
        without_training(model).save(temporary)
    recipe.save(folder / "recipe.json")
    write_text(folder / "classes.json", json.dumps(data.class_names, indent=1) + "\n")
    card = model_card(model, data, recipe, arguments, history, accuracy)
    write_text(folder / "README.md", card)
    Checkpoint(folder).drop_variables()
    print(f"Saved {folder / 'model.keras'}: {summary(history)}.")


def without_training(model):
    """The model without its optimiser, whose state is as large as the weights, and limits."""
    import keras

    from kerasvis.training import limit_filters

    limit_filters(model, None)
    return keras.Model(model.inputs, model.outputs, name=model.name)


def callbacks_of(data, recipe, folder, arguments):
    """What is recorded besides the history."""
    import keras

    callbacks = []
    if arguments.tensorboard is not None:
        callbacks.append(keras.callbacks.TensorBoard(arguments.tensorboard, write_graph=False))
    if arguments.evolution:
        callbacks.append(evolution(data, recipe, folder, arguments))
    return callbacks


def evolution(data, recipe, folder, arguments):
    """The callback that records Figure 4, on images drawn from the training set."""
    from kerasvis.callbacks import FeatureEvolution

    return FeatureEvolution(
        CONVOLUTIONS,
        probe_images(data.train, recipe, arguments.evolution_images),
        directory=folder / "evolution",
        with_patches=not arguments.without_patches,
        seed=recipe.seed,
        tensorboard=arguments.tensorboard,
    )


def probe_images(images, recipe, number):
    """The centre crops of the first `number` images of an order that follows from the seed.

    Returns:
        float32 `(images, crop_size, crop_size, 3)`.
    """
    from kerasvis.data.sub_crops import center_crop

    number = min(number, images.num_images)
    pixels, _ = next(images.batches(number, seed=(recipe.seed, 0)).as_numpy_iterator())
    return center_crop(pixels, (recipe.crop_size, recipe.crop_size)).astype("float32")


def export_model(folder):
    import keras

    from kerasvis.training import export

    if not (folder / "saved_model").exists():
        export(keras.saving.load_model(folder / "model.keras"), folder / "saved_model")
    print(f"{folder / 'saved_model'} takes uint8 pixels and returns probabilities.")


def summary(history):
    number = len(history["loss"])
    epochs = f"{number} epoch{'s' * (number != 1)}"
    return f"validation top-1 {history['val_top_1'][-1]:.1%} after {epochs}"


def model_card(model, data, recipe, arguments, history, accuracy):
    """What a person should know before using the model."""
    options = net_options(arguments)
    name = {"zfnet": "ZFNet", "alexnet": "AlexNet"}[arguments.net]
    source = Path(arguments.data).name
    size = f"{recipe.crop_size}×{recipe.crop_size}"
    rows = {
        "data": f"{source}: {data.train.num_images:,} training and "
        f"{data.validation.num_images:,} validation images of {len(data.class_names)} classes",
        "validation top-1 / top-5": percent(history["val_top_1"][-1], history["val_top_5"][-1]),
        "the same, mean of ten sub-crops": accuracy and percent(accuracy.top_1, accuracy.top_5),
        "training top-1, augmented": percent(history["top_1"][-1]),
        "epochs": len(history["loss"]),
        "time in training steps": f"{sum(history['seconds']) / 3600:.2f} h on {devices()}",
        "of it, waiting for data": percent(mean_waiting(history)),
        "seed": recipe.seed,
        "trained by": f"`{command_of(source, recipe, options, arguments)}`",
    }
    lines = [f"| {key} | {value} |" for key, value in rows.items() if value is not None]
    return "\n".join(
        [
            f"# {model.name}",
            "",
            f"{name} (Zeiler & Fergus 2013, Section 3) for {size} photographs: strides "
            f"{options['strides']}, width {options['width']:g}, {options['dense_units']} dense "
            f"units, {normalization_in_words(options['normalization'])}; "
            f"{model.count_params():,} parameters. It takes raw RGB pixels in [0, 255].",
            "",
            "| | |",
            "|---|---|",
            *lines,
            "",
            CARD_END,
        ]
    )


CARD_END = """\
Every number of the run is in `recipe.json`, every epoch in `history.csv`, and the class names, in
the order of the outputs, in `classes.json`. The last epoch is kept: none was chosen by its
validation accuracy.

The weights are under the licence of kerasvis (Apache-2.0). The photographs are not part of the
project and keep the terms of their source; of the ImageNet family these are for research use.
"""


def command_of(source, recipe, options, arguments):
    """The command that trains the same net; a recipe from a file is saved beside the model."""
    known = arguments.recipe in ("paper", "small")
    crop_size = f" --crop-size {recipe.crop_size}" if known else ""
    strides = " ".join(str(stride) for stride in options["strides"])
    recorded = " --evolution" if arguments.evolution else ""
    recorded += " --without-patches" if recorded and arguments.without_patches else ""
    return (
        f"python scripts/train_convnet.py --data {source} --net {arguments.net} "
        f"--recipe {arguments.recipe if known else 'recipe.json'}{crop_size} "
        f"--epochs {recipe.epochs} --width {options['width']:g} "
        f"--dense-units {options['dense_units']} --strides {strides} "
        f"--normalization {options['normalization']} --seed {recipe.seed}{recorded}"
    )


def normalization_in_words(normalization):
    return {
        "local_response": "contrast normalisation",
        "batch": "batch normalisation in place of contrast normalisation",
        "none": "no normalisation",
    }[normalization]


def percent(*shares):
    return " / ".join(f"{share:.1%}" for share in shares)


def mean_waiting(history):
    """Of all training steps, the share of time in which they waited for data."""
    seconds, shares = history["seconds"], history["waiting_for_data"]
    waited = sum(second * share for second, share in zip(seconds, shares, strict=True))
    return waited / sum(seconds)


def devices():
    """The devices that TensorFlow sees, in words."""
    import os

    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return f"{os.cpu_count()} CPU cores"
    names = [tf.config.experimental.get_device_details(gpu)["device_name"] for gpu in gpus]
    return ", ".join(names)


def add_training_arguments(parser, width, dense_units):
    """What to train, on what, and how; with the defaults of two of them."""
    add = parser.add_argument
    add(
        "--data",
        required=True,
        help="an image folder, an .npz archive of JPEG images, or the name of a TFDS data set",
    )
    add("--net", choices=["zfnet", "alexnet"], default="zfnet")
    add("--width", type=float, default=width, help="factor on the paper's filters")
    add("--dense-units", type=int, default=dense_units, help="units in fc6 and in fc7")
    add("--strides", type=int, nargs=2, metavar=("CONV1", "CONV2"))
    add("--normalization", choices=["local_response", "batch", "none"])
    add(
        "--recipe",
        default="small",
        help="paper; small (the default), for a few thousand small images, with batch "
        "normalisation; or the path of a recipe.json",
    )
    add("--crop-size", type=int, help="pixels that the net takes: 224 (paper), 64 (small)")
    add("--epochs", type=int, help="the recipe's by default")
    add("--seed", type=int, help="the recipe's by default")


def make_parser():
    parser = Parser(description=__doc__.split("\n\n")[0])
    add_training_arguments(parser, width=0.5, dense_units=512)
    parser.add_argument("--out", required=True, help="folder for the model, or of the run to go on")
    parser.add_argument(
        "--export", action="store_true", help="also write a SavedModel for plain TensorFlow"
    )
    parser.add_argument(
        "--evolution", action="store_true", help="record the evolution of features (Figure 4)"
    )
    parser.add_argument(
        "--evolution-images", type=int, default=500, help="training images it looks at"
    )
    parser.add_argument(
        "--without-patches",
        action="store_true",
        help="leave image patches out of the evolution, so that it can be given away",
    )
    parser.add_argument(
        "--tensorboard", metavar="DIR", help="show curves, and with --evolution features, there"
    )
    parser.add_argument("--strategy", choices=["none", "mirrored", "multiworker"], default="none")
    parser.add_argument("--devices", help="for mirrored: 2, or GPU:0,GPU:1; all by default")
    return parser


if __name__ == "__main__":
    run(main, make_parser())
