"""A page that leads to the explanations of several images."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from kerasvis.figures import OcclusionRow
from kerasvis.reports import pages
from kerasvis.reports.static_files import write_static_files
from kerasvis.storage.files import write_text

if TYPE_CHECKING:
    from kerasvis.analyses import Explanation


class ExplainedImage(NamedTuple):
    """An explained image on a page that leads to several.

    Attributes:
        address: address of the folder of its own page.
        title: name of the image.
        class_name: name of the class that is explained.
        probability: probability of that class.
        other_name: name of the class that it is compared with.
    """

    address: str
    title: str
    class_name: str
    probability: float
    other_name: str

    @classmethod
    def of(
        cls,
        explanation: "Explanation",
        address: str,
        title: str,
        class_names: Mapping[int, str] | Sequence[str] | None = None,
    ) -> "ExplainedImage":
        """Describes an `Explanation` whose page is in the folder `address`."""
        name = OcclusionRow(explanation.occlusion, explanation.pixels, class_names).name
        probability = float(explanation.occlusion.base_probability)
        class_name, other_name = name(explanation.class_index), name(explanation.other_index)
        return cls(address, title, class_name, probability, other_name)


def write_explanation_index(
    explained: Sequence[ExplainedImage], directory: str | os.PathLike
) -> Path:
    """Writes a page that leads to the explanations of several images.

    Args:
        explained: an `ExplainedImage` for each image; the folder of its page is in `directory`.
        directory: folder to write into.

    Returns:
        Path of the page, `index.html`.

    Raises:
        OSError: if it cannot be written; existing files stay intact.
    """
    directory = Path(directory)
    write_static_files(directory)
    write_text(directory / "index.html", pages.explanation_index(explained))
    return directory / "index.html"
