"""`kerasvis correspondence`: whether a model relates corresponding parts of different objects."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cyclopts import Parameter

import kerasvis as kv
from kerasvis.commands.argument_types import BatchSize, Count, FilePath
from kerasvis.commands.image_arguments import OpenModel, read_file
from kerasvis.commands.options import BaselineOptions, ModelOptions
from kerasvis.commands.output import OutputFolder, save_figure, write_csv
from kerasvis.commands.quiet_start import start_keras
from kerasvis.commands.tables import in_columns
from kerasvis.commands.told_as import told_as
from kerasvis.storage.counted import counted

if TYPE_CHECKING:
    import numpy as np

    from kerasvis.analyses import Correspondence

FILES = ("correspondence.png", "correspondence.csv", "correspondence.npz", "parts")

# Table 1, of five photographs of dogs; layers 5 and 7.
PAPER = """\
For comparison, Δ of an ImageNet-trained ZFNet in the paper, layers 5 and 7, other photographs:
right eye  0.067  0.069
left eye   0.069  0.068
nose       0.079  0.069
random     0.107  0.073
"""


@Parameter(name="*", group="Parts")
@dataclass(frozen=True, kw_only=True)
class PartOptions:
    """The parts of the photographs.

    Attributes:
        parts: JSON or CSV file with their boxes.
        images: folder of the photographs named in that file; by default the file's own folder.
        frame: a part, such as the face, to which each photograph is cropped first, so that the
            other parts are at similar positions.
        draws: number of random boxes of the same size, per part.
    """

    parts: FilePath
    images: FilePath | None = None
    frame: str | None = None
    draws: Count = 10

    def paths(self, parts: dict[str, dict[str, tuple]]) -> list[Path]:
        """The photographs named in the file of parts.

        Raises:
            ValueError: if there are fewer than two.
        """
        if len(parts) < 2:
            raise ValueError(
                f"The file contains parts of {counted(len(parts), 'image')}: annotate two or more. "
                f"Received: --parts={self.parts}"
            )
        folder = self.parts.parent if self.images is None else self.images
        return [folder / name for name in parts]


def correspondence(
    *,
    model: ModelOptions,
    layers: tuple[str, ...],
    parts: PartOptions,
    occluded: BaselineOptions = BaselineOptions(),
    batch_size: BatchSize = 16,
    out: FilePath = Path("correspondence"),
) -> None:
    """Measure whether a convnet relates corresponding parts of different objects (Section 4.3).

    The parts are annotated boxes in pixels of the photographs, in JSON: `{"dog.jpg": {"nose": [top,
    left, bottom, right]}}`, or in CSV with the columns image, part, top, left, bottom, right. Units
    are compared position by position: --frame face first crops each photograph to the part "face",
    so that the eyes are at similar positions. Writes `correspondence.png`, `correspondence.csv` and
    `correspondence.npz`, the arrays of a `Correspondence`. An interrupted run resumes when it is
    started again: completed parts are cached in the folder `parts`.

    Args:
        layers: names of layers; the paper uses 5 and 7.
        batch_size: images per step.
        out: folder to write into.
    """
    model.check(layers=layers)
    noted = read_noted(parts)
    paths = parts.paths(noted)
    output = OutputFolder(out, inputs=[parts.parts, *paths], files=FILES)
    opened = model.open()
    kv.feature_extractor(opened.model, layers)  # fails early for unknown names
    images, boxes = open_parts(noted, paths, parts.frame, opened)
    num_parts = counted(len(boxes), "part")
    print(f"{counted(len(images), 'photograph')}, {num_parts} of each", flush=True)
    with output.made() as folder:
        found = kv.analyses.measure_correspondence(
            opened.model,
            layers,
            images,
            boxes,
            baseline=occluded.value(),
            preprocessing=opened.preprocessing,
            num_draws=parts.draws,
            batch_size=batch_size,
            seed=occluded.seed,
            directory=folder / "parts",
        )
        found.save(folder / "correspondence.npz")
        rows = rows_of(found)
        write_csv(list(rows[0]), map(texts_of, rows), folder / "correspondence.csv")
        save_figure(kv.figures.correspondence_bars(found), folder / "correspondence.png")
    print(table(rows, found), PAPER, sep="\n")
    print(f"Bars: {folder / 'correspondence.png'}")


def read_noted(parts: PartOptions) -> dict[str, dict[str, tuple]]:
    """The annotated boxes."""
    start_keras()
    from kerasvis.data.image_parts import read_parts

    with told_as("--parts", parts.parts, "filepath="):
        return read_parts(parts.parts)


def open_parts(
    noted: dict[str, dict[str, tuple]], paths: list[Path], frame: str | None, opened: OpenModel
) -> tuple["np.ndarray", dict[str, "np.ndarray"]]:
    """`(images, boxes)`: images as the model takes them, `{part: (images, 4)}` in their pixels."""
    import numpy as np

    from kerasvis.data.image_parts import boxes_in_images

    photographs = [
        read_file(
            path, opened.image_size, None if frame is None else boxes.get(frame), opened.channels
        )
        for path, boxes in zip(paths, noted.values(), strict=True)
    ]
    with told_as("--frame", frame, "frame="):
        boxes = boxes_in_images(noted.values(), paths, opened.image_size, frame)
    return opened.preprocessing.images(np.stack(photographs)), boxes


def rows_of(found: "Correspondence") -> list[dict[str, Any]]:
    """One dictionary for each layer and part."""
    import numpy as np

    from kerasvis.figures.correspondence_bars import mean_and_deviation

    measures = {
        "delta": (found.delta, *mean_and_deviation(found.random_delta)),
        "opposition": (found.opposition, *mean_and_deviation(found.random_opposition)),
    }
    rows = []
    for place in np.ndindex(found.delta.shape):
        row = {"layer": found.layers[place[0]], "part": found.parts[place[1]]}
        for name, arrays in measures.items():
            columns = (name, f"random_{name}", f"random_{name}_deviation")
            row |= {column: array[place] for column, array in zip(columns, arrays, strict=True)}
        rows.append(row)
    return rows


def texts_of(row: dict[str, Any]) -> list[str]:
    """The row as text, as a file holds it."""
    return [value if isinstance(value, str) else f"{value:.6f}" for value in row.values()]


def table(rows: list[dict[str, Any]], found: "Correspondence") -> str:
    """The results at parts and at random boxes, a line for each layer and part."""
    lines = [["layer", "part", "Δ", "random", "opposite", "random"]]
    for row in rows:
        numbers = []
        for name in ("delta", "opposition"):
            numbers += [f"{row[name]:.3f}", f"{row[f'random_{name}']:.3f} ± "]
            numbers[-1] += f"{row[f'random_{name}_deviation']:.3f}"
        lines.append([row["layer"], row["part"], *numbers])
    num_images, num_draws = found.boxes.shape[1], found.random_boxes.shape[1]
    heading = (
        f"{counted(num_images, 'image')}. "
        "Δ: share of units whose changes differ in sign. Opposite: of the "
        "units that\nchange in both images, the share of opposite signs. Random: boxes of the same "
        f"sizes, mean ±\nstandard deviation over {counted(num_draws, 'sample')}."
    )
    return "\n".join([heading, in_columns(lines, num_left=len(lines[0])), ""])
