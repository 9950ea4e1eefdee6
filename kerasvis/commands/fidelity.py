"""`kerasvis fidelity`: how faithful projections of single units are."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from cyclopts import Parameter

import kerasvis as kv
from kerasvis.commands.argument_types import FilePath, Index, Name, NumImages, Size
from kerasvis.commands.image_arguments import OpenModel, check_images, open_images
from kerasvis.commands.method_names import MethodName, load_methods
from kerasvis.commands.options import (
    IMAGES,
    BaselineOptions,
    EngineOptions,
    ModelOptions,
    as_size,
)
from kerasvis.commands.output import OutputFolder, save_figure, write_csv
from kerasvis.commands.tables import in_columns
from kerasvis.storage.counted import counted

if TYPE_CHECKING:
    import numpy as np

    from kerasvis.analyses import FidelityReport
    from kerasvis.analyses.fidelity.fidelity_table import Row

FILES = ("fidelity.png", "fidelity.csv", "fidelity.npz", "parts")
DEFAULT_METHODS = ("deconvnet", "guided", "gradient", "edges")
Check = Literal[
    "weight_randomization",
    "selectivity",
    "cosine_convergence",
    "patch_sufficiency",
    "insertion_deletion",
]
CHECKS: tuple[Check, ...] = get_args(Check)


@Parameter(name="*", group=IMAGES)
@dataclass(frozen=True, kw_only=True)
class SubsetOptions:
    """The images.

    Attributes:
        images: folder of photographs, or demo for bundled images.
        num_images: number of images, spread evenly over all.
    """

    images: Name
    num_images: NumImages = 8

    def open(self, opened: OpenModel) -> tuple["np.ndarray", int]:
        """The images in one array, and the total number of images.

        Raises:
            ValueError: if there are fewer.
        """
        photographs = open_images(self.images, opened, strict=True)
        total = photographs.count()
        if total < self.num_images:
            raise ValueError(
                f"There are only {counted(total, 'image')}: give a smaller --num-images. Received: "
                f"--num-images={self.num_images}"
            )
        chosen = [number * total // self.num_images for number in range(self.num_images)]
        return photographs[chosen], total


@Parameter(name="*", group="Checks")
@dataclass(frozen=True, kw_only=True)
class CheckOptions(BaselineOptions):
    """What to check.

    Attributes:
        methods: names, as for kerasvis compare, or module:NAME, your own function.
        checks: all by default.
        feature: number of a feature map; by default that of the strongest unit.
        stages: layers at which projections of randomized copies are compared; by default all with
            weights.
        patch_size: height and width, or a side, in pixels; by default a third of the receptive
            field.
        seed: seed of random weights, activations, boxes and orders.
    """

    methods: tuple[MethodName, ...] = DEFAULT_METHODS
    checks: tuple[Check, ...] = CHECKS
    feature: Index | None = None
    stages: tuple[str, ...] = ()
    patch_size: Size = ()


def fidelity(
    *,
    model: ModelOptions,
    images: SubsetOptions,
    layer: str,
    checks: CheckOptions = CheckOptions(),
    cluster: EngineOptions = EngineOptions(),
    out: FilePath = Path("fidelity"),
) -> None:
    """Check how faithful projections of single units are.

    The projection of the strongest unit of the layer in each photograph is compared with the
    projections of copies of the model with random weights, of other units and of other photographs.
    Random activations are projected as well. The part of the photograph that the projection points
    to is occluded, and shown alone. Writes `fidelity.png`, `fidelity.csv` and `fidelity.npz`, the
    arrays of a `FidelityReport`. An interrupted run resumes when it is started again: completed
    parts are cached in the folder `parts`.

    Args:
        layer: layer of the units.
        out: folder to write into.
    """
    output = OutputFolder(out, inputs=[images.images], files=FILES)
    check_images([images.images])
    model.check(layer=layer)
    opened = model.open()
    chosen, total = images.open(opened)
    print(f"{len(chosen)} of {total} images, layer {layer}", flush=True)
    with output.made() as folder:
        report = kv.fidelity_report(
            opened.model,
            layer,
            chosen,
            load_methods(checks.methods),
            feature=checks.feature,
            checks=checks.checks,
            stages=checks.stages or None,
            patch_size=as_size(checks.patch_size) if checks.patch_size else None,
            baseline=checks.value(),
            preprocessing=opened.preprocessing,
            rules=opened.rules,
            seed=checks.seed,
            directory=folder / "parts",
            engine=cluster.open(),
        )
        report.save(folder / "fidelity.npz")
        rows = kv.analyses.fidelity_rows(report)
        write_csv(["check", "measure", "method", "value"], lines_of(rows), folder / "fidelity.csv")
        save_figure(kv.figures.fidelity_panels(report), folder / "fidelity.png")
    print(table(rows, report.methods))
    print(verdict(report), f"Figure: {folder / 'fidelity.png'}", sep="\n")


def lines_of(rows: Iterable["Row"]) -> Iterator[list[str]]:
    """One line for each number: its check, its measure and its method."""
    for row in rows:
        numbers = [*row.values.items(), *([row.reference] if row.reference else [])]
        yield from ([row.check, row.measure, name, f"{number:.6f}"] for name, number in numbers)


def table(rows: Iterable["Row"], methods: Sequence[str]) -> str:
    """A line for each row, a column for each method."""
    lines = [["check", "measure", *methods, "random"]]
    for row in rows:
        numbers = [row.values.get(method) for method in methods]
        numbers.append(row.reference[1] if row.reference else None)
        cells = ["" if number is None else f"{number:.3f}" for number in numbers]
        lines.append([row.check, row.measure, *cells])
    return "\n".join(["Means over the images.", in_columns(lines, num_left=2)])


def verdict(report: "FidelityReport") -> str:
    """Which methods give the same projections even if all weights are random."""
    from kerasvis.analyses.fidelity.weight_randomization import UNAFFECTED

    check = report.weight_randomization
    if check is None:
        return "Random weights were not tried."
    names = [m for m, flag in zip(check.methods, check.is_unaffected, strict=True) if flag]
    return (
        f"Unaffected by random weights down to {check.layers[-1]} (rank, absolute, of "
        f"{UNAFFECTED} or more): {', '.join(names) or 'none'}."
    )
