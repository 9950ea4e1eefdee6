"""`kerasvis ablate`: which layers a convnet of the paper needs."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cyclopts import Parameter

import kerasvis as kv
from kerasvis.commands.argument_types import FilePath, NumUnits, Width
from kerasvis.commands.output import OutputFolder, save_figure, write_csv
from kerasvis.commands.quiet_start import start_keras
from kerasvis.commands.tables import in_columns
from kerasvis.commands.training_options import ConvnetOptions, RecipeOptions, load_data

if TYPE_CHECKING:
    import keras

    from kerasvis.analyses import LayerAblation
    from kerasvis.training import Recipe

FILES = ("ablation.csv", "ablation.npz", "ablation.png")
PAPER_COLUMNS = {"replica": "replica", "zfnet": "Figure 3 net"}
METRICS = ("train_top_1_error", "validation_top_1_error", "validation_top_5_error")
NOTE = (
    "The names state the paper's layer sizes; here the layers are scaled with the convnet.\n"
    "The paper's errors are for ImageNet's 1000 classes: compare their order, not their values."
)


@Parameter(name="*", group="Convnet")
@dataclass(frozen=True, kw_only=True)
class SmallConvnetOptions(ConvnetOptions):
    """The convnet whose variants are trained.

    Attributes:
        width: factor on the paper's filters.
        dense_units: units in fc6 and in fc7.
    """

    width: Width = 0.25
    dense_units: NumUnits = 256


def ablate(
    *,
    training: RecipeOptions,
    convnet: SmallConvnetOptions = SmallConvnetOptions(),
    variants: tuple[str, ...] = (),
    out: FilePath = Path("ablation"),
) -> None:
    """Retrain a convnet of the paper with layers removed or resized (Section 5.1).

    Writes `ablation.csv` and `ablation.npz`, the errors of all variants; `ablation.png`, next to
    the errors of the paper; and a folder with the history of each variant. An interrupted run
    resumes when it is started again, and no variant is trained twice.

    Args:
        variants: names of the paper's variants; all of them by default.
        out: folder to write into, or the folder of a run to resume.
    """
    output = OutputFolder(out, inputs=[training.data], files=FILES)
    start_keras()
    recipe = training.load()
    chosen = variants_of(variants, convnet.dense_units)
    data = load_data(training.data, recipe)
    builder = builder_of(convnet.suited_to(training.recipe), recipe, len(data.class_names))
    with output.made() as folder:
        ablation = kv.analyses.ablate(builder, chosen, recipe, data, folder)
        ablation.save(folder / "ablation.npz")
        rows = rows_of(ablation)
        write_csv(list(rows[0]), [list(row.values()) for row in rows], folder / "ablation.csv")
        figure = kv.figures.ablation_chart(ablation, kv.analyses.PAPER_ERRORS)
        save_figure(figure, folder / "ablation.png")
    print(table(rows), NOTE, sep="\n")
    print(f"Figure: {folder / 'ablation.png'}")


def variants_of(names: tuple[str, ...], dense_units: int) -> dict[str, dict]:
    """The requested variants in the order of the paper; all by default."""
    variants = kv.analyses.paper_variants(dense_units)
    if unknown := [name for name in names if name not in variants]:
        raise ValueError(
            f"There is no such variant: choose from {', '.join(map(repr, variants))}. "
            f"Received: --variants={unknown[0]}"
        )
    return {name: options for name, options in variants.items() if name in (names or variants)}


def builder_of(
    convnet: ConvnetOptions, recipe: "Recipe", num_classes: int
) -> Callable[..., "keras.Model"]:
    """The function that builds the convnet; the variants set its other arguments."""
    return functools.partial(
        convnet.builder,
        (recipe.crop_size, recipe.crop_size, 3),
        num_classes,
        kernel_initializer=recipe.kernel_initializer,
        **convnet.keywords,
    )


def rows_of(ablation: "LayerAblation") -> list[dict[str, Any]]:
    """One dictionary for each variant; errors in %, None where the paper states none."""
    rows = []
    for number, name in enumerate(ablation.variants):
        (train_1, train_5), (val_1, val_5) = (
            errors[number] for errors in (ablation.train_errors, ablation.validation_errors)
        )
        errors = dict(zip(METRICS, (train_1, val_1, val_5), strict=True))
        row = {
            "variant": name,
            "parameters": int(ablation.num_parameters[number]),
            "seconds": round(float(ablation.seconds[number])),
            **{key: round(float(error), 2) for key, error in errors.items()},
            "train_top_5_error": round(float(train_5), 2),
        }
        for column, net in PAPER_COLUMNS.items():
            of_paper = kv.analyses.PAPER_ERRORS[net].get(name)
            for place, key in enumerate(METRICS):
                row[f"paper_{column}_{key}"] = of_paper and of_paper[place]
        rows.append(row)
    return rows


def table(rows: list[dict]) -> str:
    """Errors in %, as train top-1 / validation top-1 / validation top-5, in columns."""
    prefixes = ("", *(f"paper_{column}_" for column in PAPER_COLUMNS))
    lines = [
        ["", "", "", "this run", "paper, replica", "paper, Figure 3"],
        ["change", "parameters", "seconds", *["train / val / top-5"] * 3],
    ]
    for row in rows:
        numbers = [f"{row['parameters']:,}", f"{row['seconds']:,}"]
        errors = [" / ".join(in_percent(row[p + key]) for key in METRICS) for p in prefixes]
        lines.append([row["variant"], *numbers, *errors])
    return in_columns(lines)


def in_percent(error: float | None) -> str:
    """An error, or a dash if there is none."""
    return "-" if error is None else f"{error:.1f}"
