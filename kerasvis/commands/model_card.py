"""The card of a trained model: what to know before using it."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from kerasvis.commands.training_options import TrainingSetup

if TYPE_CHECKING:
    import keras

    from kerasvis.data.labelled.labelled_data import LabelledData
    from kerasvis.training import TenCropAccuracy

NAMES = {"zfnet": "ZFNet", "alexnet": "AlexNet"}
NORMALIZATIONS = {
    "local_response": "contrast normalisation",
    "batch": "batch normalisation in place of contrast normalisation",
    None: "no normalisation",
}
END = """\
Every number of the run is in `recipe.json`, every epoch in `history.csv`, and the class names, in
the order of the outputs, in `classes.json`. The last epoch is kept: none was chosen by its
validation accuracy.

The weights are under the licence of kerasvis (Apache-2.0). The photographs are not part of the
project and keep the terms of their source; of the ImageNet family these are for research use.
"""


def model_card(
    model: "keras.Model",
    data: "LabelledData",
    setup: TrainingSetup,
    history: dict[str, list[float]],
    accuracy: "TenCropAccuracy | None",
) -> str:
    """The text of the card, in Markdown.

    Args:
        model: the trained `keras.Model`.
        data: the `LabelledData` on which it was trained.
        setup: the `TrainingSetup` of the run.
        history: `{metric: values}` of all epochs.
        accuracy: `TenCropAccuracy`, or None where the recipe has no ten crops.
    """
    convnet, size = setup.convnet, setup.recipe.crop_size
    normalization = NORMALIZATIONS[convnet.keywords["normalization"]]
    rows = {
        "data": f"{Path(setup.training.data).name}: {data.train.num_images:,} training and "
        f"{data.validation.num_images:,} validation images of {len(data.class_names)} classes",
        "validation top-1 / top-5": percent(history["val_top_1"][-1], history["val_top_5"][-1]),
        "the same, mean of ten sub-crops": accuracy and percent(accuracy.top_1, accuracy.top_5),
        "training top-1, augmented": percent(history["top_1"][-1]),
        "epochs": len(history["loss"]),
        "time in training steps": f"{sum(history['seconds']) / 3600:.2f} h on {devices()}",
        "of it, waiting for data": percent(mean_waiting(history)),
        "seed": setup.recipe.seed,
        "trained by": f"`{command_of(setup)}`",
    }
    lines = [f"| {key} | {value} |" for key, value in rows.items() if value is not None]
    description = (
        f"{NAMES[convnet.net]} (Zeiler & Fergus 2013, Section 3) for {size}×{size} photographs: "
        f"strides {convnet.strides}, width {convnet.width:g}, {convnet.dense_units} dense units, "
        f"{normalization}; {model.count_params():,} parameters. It takes raw RGB pixels in "
        "[0, 255]."
    )
    table = ["| | |", "|---|---|", *lines]
    return "\n".join([f"# {model.name}", "", description, "", *table, "", END])


def command_of(setup: TrainingSetup) -> str:
    """The command that trains the same model; a recipe from a file is saved with the model."""
    convnet, recipe, is_named = setup.convnet, setup.recipe, setup.training.is_named
    crop_size = f" --crop-size {recipe.crop_size}" if is_named else ""
    strides = " ".join(map(str, convnet.keywords["strides"]))
    return (
        f"kerasvis train --data {Path(setup.training.data).name} --net {convnet.net} "
        f"--recipe {setup.training.recipe if is_named else 'recipe.json'}{crop_size} "
        f"--epochs {recipe.epochs} --width {convnet.width:g} --dense-units {convnet.dense_units} "
        f"--strides {strides} --normalization {convnet.normalization} --seed {recipe.seed}"
        f"{setup.records}"
    )


def percent(*shares: float) -> str:
    """Shares as percentages."""
    return " / ".join(f"{share:.1%}" for share in shares)


def mean_waiting(history: dict[str, list[float]]) -> float:
    """The share of time in which training steps waited for data, over all epochs."""
    seconds, shares = history["seconds"], history["waiting_for_data"]
    waited = sum(second * share for second, share in zip(seconds, shares, strict=True))
    return waited / sum(seconds)


def devices() -> str:
    """The devices that TensorFlow sees, in words."""
    from kerasvis.data.tensorflow_only import tf  # here, as it starts NumPy

    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return f"{os.cpu_count()} CPU cores"
    names = [tf.config.experimental.get_device_details(gpu)["device_name"] for gpu in gpus]
    return ", ".join(names)
