"""`kerasvis transfer`: how well features transfer to other data."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

import kerasvis as kv
from kerasvis.commands.argument_types import (
    BatchSize,
    Count,
    Epochs,
    FilePath,
    Name,
    NumImages,
    Seed,
    whole_numbers,
)
from kerasvis.commands.options import EngineOptions, ModelOptions
from kerasvis.commands.output import OutputFolder, save_figure, write_csv
from kerasvis.commands.tables import in_columns
from kerasvis.commands.trained_models import convolution_layers
from kerasvis.storage.counted import counted

if TYPE_CHECKING:
    import keras
    import numpy as np

    from kerasvis.analyses import FeatureTransfer
    from kerasvis.data.labelled.labelled_data import LabelledData
    from kerasvis.training import Recipe

FILES = ("accuracies.csv", "accuracies.json", "transfer.png", "transfer.npz")
COLUMNS = ["layer", "num_features", "head", "per_class", "accuracy", "deviation"]

# Sections 5.2 and 5.3, Tables 4, 5 and 7.
PAPER = """\
For comparison, an ImageNet-trained ZFNet in the paper:
                       Caltech-101, 15 and 30 a class   Caltech-256, 15, 30, 45 and 60 a class
softmax on layer 7            83.8 ± 0.5   86.5 ± 0.5                65.7   70.6   72.7   74.2
the model from scratch        22.8 ± 1.5   46.5 ± 1.7                 9.0   22.5   31.2   38.8

                       Caltech-101, 30 a class          Caltech-256, 60 a class
SVM, layers 1 to 5, 7  44.8 66.2 72.3 76.6 86.2 85.5    24.6 39.6 46.0 51.3 65.6 71.7
softmax, layers 5, 7                       82.9 85.4                        65.7 72.6
"""


@Parameter(name="*", group="Data")
@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """The data to transfer to.

    Attributes:
        data: an image folder with a folder for each class, an .npz archive of JPEG images, or the
            name of a data set of TFDS, such as caltech101.
        per_class: training images per class.
        folds: number of random splits into training and test images.
        test: rest tests on random images among the remaining ones, as in the paper; given, on
            those of the data's own test split.
        trained_on: training images of the model, whose near-duplicates are left out: a folder of
            photographs, an .npz archive, or a data set of TFDS.
        seed: seed of the random splits and of training.
    """

    data: Name
    per_class: tuple[NumImages, ...] = (15, 30)
    folds: Annotated[int, whole_numbers(1, 1_000)] = 5
    test: Literal["rest", "given"] = "rest"
    trained_on: Name | None = None
    seed: Seed = 0


@Parameter(name="*", group="Features and heads")
@dataclass(frozen=True, kw_only=True)
class HeadOptions:
    """The features and what is trained on them.

    Attributes:
        head: classifier that is trained on the features.
        largest_map: rows and columns to which larger feature maps are reduced by averaging.
        scratch_epochs: also train the same model from scratch, for this many epochs per fold, which
            takes long.
        cache: folder to cache the features in, for the next run.
        batch_size: images per step, for features.
    """

    head: tuple[Literal["svm", "softmax"], ...] = ("svm", "softmax")
    largest_map: tuple[Count, Count] = (6, 6)
    scratch_epochs: Epochs | None = None
    cache: FilePath | None = None
    batch_size: BatchSize = 64


def transfer(
    *,
    model: ModelOptions,
    data: DataOptions,
    layers: tuple[str, ...] = (),
    heads: HeadOptions = HeadOptions(),
    cluster: EngineOptions = EngineOptions(),
    out: FilePath = Path("transfer"),
) -> None:
    """Measure how well the features of a trained convnet transfer to other data (Section 5).

    Trains a softmax and a linear SVM on the features of each layer for images of other classes,
    with few images per class. Writes `accuracies.csv`, a row for each layer, head and number of
    training images; `accuracies.json`, the same for every fold, with all settings; `transfer.png`,
    the learning curves and the accuracy layer by layer; and `transfer.npz`, the arrays of a
    `FeatureTransfer`. With --cache, an interrupted run resumes from the features that it has
    computed.

    Args:
        layers: all convolution layers by default.
        out: folder to write into.
    """
    inputs = [name for name in (data.data, data.trained_on) if name is not None]
    output = OutputFolder(out, inputs=inputs, files=FILES)
    if heads.cache is not None:
        OutputFolder(heads.cache, "--cache", inputs=inputs)
    model.check(layers=layers)
    opened = model.open()
    from kerasvis.analyses.transfer.feature_cache import check_channels

    layers = tuple(dict.fromkeys(layers or convolution_layers(opened.model)))
    kv.feature_extractor(opened.model, layers)  # fails early for unknown names
    check_channels(opened.model)
    recipe = scratch_recipe(heads.scratch_epochs, opened.image_size, data.seed)
    references = open_references(data.trained_on)
    labelled = kv.data.load_labelled(data.data, image_size=opened.image_size, seed=data.seed)
    print_data(labelled, layers, opened.model)
    with output.made() as folder:
        found = kv.transfer_features(
            opened.model,
            layers,
            labelled,
            per_class=data.per_class,
            folds=data.folds,
            heads=heads.head,
            test=data.test,
            trained_on=references,
            preprocessing=opened.preprocessing,
            largest_map=heads.largest_map,
            cache=heads.cache,
            scratch_recipe=recipe,
            batch_size=heads.batch_size,
            engine=cluster.open(),
            seed=data.seed,
        )
        found.save(folder / "transfer.npz")
        rows = rows_of(found)
        lines = [[row[column] for column in COLUMNS] for row in rows]
        write_csv(COLUMNS, lines, folder / "accuracies.csv")
        measured = measured_with(found, model, data, heads) | {"accuracies": rows}
        write_json(measured, folder / "accuracies.json")
        save_figure(kv.figures.transfer_curves(found), folder / "transfer.png")
    print(table(rows, found), PAPER, sep="\n")
    print(f"Curves: {folder / 'transfer.png'}")


def open_references(trained_on: str | None) -> "str | LabelledData | None":
    """The images to compare with: a folder as it is, other data loaded at a small size; or None."""
    if trained_on is None or Path(trained_on).is_dir():
        return trained_on
    from kerasvis.analyses.transfer.near_duplicates import THUMBNAIL_SIZE

    return kv.data.load_labelled(trained_on, image_size=THUMBNAIL_SIZE)


def scratch_recipe(epochs: int | None, size: tuple[int, int], seed: int) -> "Recipe | None":
    """The recipe for the same model from scratch; None if it is not requested."""
    if epochs is None:
        return None
    if size[0] != size[1]:
        raise ValueError(
            f"The model takes images of {size[0]}×{size[1]} pixels, but models are trained on "
            f"squares: leave out --scratch-epochs. Received: --scratch-epochs={epochs}"
        )
    return kv.training.Recipe.for_small_images(size[0], epochs=epochs, seed=seed)


def print_data(data: "LabelledData", layers: tuple[str, ...], model: "keras.Model") -> None:
    num_images = data.train.num_images + data.validation.num_images
    print(
        f"{counted(num_images, 'image')} of {counted(len(data.class_names), 'class', 'classes')}, "
        f"{counted(len(layers), 'layer')} of {model.name}",
        flush=True,
    )
    for path, reason in data.skipped:
        print(f"Skipped {path}: {reason}", flush=True)


def rows_of(found: "FeatureTransfer") -> list[dict[str, Any]]:
    """One dictionary for each layer, head and number of training images; accuracies in [0, 1]."""
    rows = []
    for layer, name in enumerate(found.layers):
        for head, head_name in enumerate(found.heads):
            for size, per_class in enumerate(found.per_class.tolist()):
                folds = found.accuracies[layer, head, size]
                key = (name, int(found.num_features[layer]), head_name, per_class)
                rows.append(row(key, folds))
    if found.scratch_accuracies.size:
        for per_class, folds in zip(
            found.per_class.tolist(), found.scratch_accuracies, strict=True
        ):
            rows.append(row(("from scratch", None, "softmax", per_class), folds))
    return rows


def row(key: tuple, accuracies: "np.ndarray") -> dict[str, Any]:
    from kerasvis.figures.transfer_curves import mean_and_deviation

    numbers = [round(float(number), 4) for number in mean_and_deviation(accuracies)]
    folds = [round(float(accuracy), 4) for accuracy in accuracies]
    return dict(zip(COLUMNS, [*key, *numbers], strict=True)) | {"folds": folds}


def measured_with(
    found: "FeatureTransfer", model: ModelOptions, data: DataOptions, heads: HeadOptions
) -> dict[str, Any]:
    """Everything that the accuracies depend on."""
    return {
        "model": Path(model.model).name,
        "data": Path(data.data).name,
        "num_classes": len(found.class_names),
        "num_images": found.num_images,
        "num_near_duplicates_left_out": len(found.duplicate_indices),
        "num_test_images": found.num_test_images.tolist(),
        "largest_map": heads.largest_map,
        "seed": data.seed,
    }


def write_json(value: dict[str, Any], filepath: Path) -> None:
    from kerasvis.storage.files import write_text

    write_text(filepath, json.dumps(value, indent=1) + "\n")


def table(rows: list[dict[str, Any]], found: "FeatureTransfer") -> str:
    """The mean per-class accuracies in %, a line for each layer, a column for head and size."""
    columns = [(head, size) for head in found.heads for size in found.per_class.tolist()]
    cells = {(r["layer"], r["head"], r["per_class"]): r for r in rows}
    lines = [["layer", "features", *(f"{head}, {size} a class" for head, size in columns)]]
    for name in dict.fromkeys(r["layer"] for r in rows):
        features = next(r["num_features"] for r in rows if r["layer"] == name)
        accuracies = [in_percent(cells.get((name, *column))) for column in columns]
        lines.append([name, str(features or ""), *accuracies])
    num_folds = found.accuracies.shape[-1]
    heading = (
        f"Mean per-class accuracy in %, ± standard deviation over {num_folds} "
        f"fold{'s' * (num_folds != 1)}; {len(found.duplicate_indices)} near-duplicates left out:"
    )
    return "\n".join([heading, in_columns(lines), ""])


def in_percent(row: dict[str, Any] | None) -> str:
    return "" if row is None else f"{100 * row['accuracy']:.1f} ± {100 * row['deviation']:.1f}"
