"""An HTML page on one decision: an `Explanation`, its pictures and links to a gallery."""

import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from kerasvis.figures import OcclusionRow
from kerasvis.figures.channels import as_rgb
from kerasvis.reports import pages
from kerasvis.reports.card_writer import CardWriter
from kerasvis.reports.occlusion_picture import occlusion_picture
from kerasvis.reports.reference_images import GalleryReferences, VisualizedReferences
from kerasvis.reports.static_files import write_static_files
from kerasvis.storage.files import write_bytes, write_text

if TYPE_CHECKING:
    from kerasvis.analyses import Explanation, FeatureVisualization

FIGURE_DPI = 150


def write_explanation(
    explanation: "Explanation",
    directory: str | os.PathLike,
    *,
    title: str = "",
    class_names: Mapping[int, str] | Sequence[str] | None = None,
    strongest: "Mapping[str, FeatureVisualization] | None" = None,
    relevant: "Mapping[str, FeatureVisualization] | None" = None,
    gallery: str | None = None,
) -> Path:
    """Writes an explanation as a page, to be opened from disk.

    Args:
        explanation: an `Explanation`.
        directory: folder to write into.
        title: name of the image.
        class_names: `{class index: name}` or a sequence of names; numbers by default.
        strongest: `{layer: FeatureVisualization}`: the images of a data set in which the displayed
            feature maps are strongest.
        relevant: the same with `top=kerasvis.analyses.find_top_relevances(...)` over the same data
            set: the images in which they are most relevant to the decision. The page says how far
            these differ from the strongest.
        gallery: address of a gallery's folder of the same model, relative to `directory`; the
            feature maps link to its pages. For layers without `strongest` and `relevant`, the page
            shows the images of the gallery, with the relevant ones if it has them.

    Returns:
        Path of the page, `index.html`.

    Raises:
        ValueError: if the gallery's layers have fewer feature maps than the model's.
        OSError: if the page cannot be written; existing files stay intact.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    names = OcclusionRow(explanation.occlusion, explanation.pixels, class_names).name
    sources: list[VisualizedReferences | GalleryReferences] = [
        VisualizedReferences(strongest or {}, relevant or {})
    ]
    if gallery is not None:
        sources.append(GalleryReferences(directory / gallery))
    writer = CardWriter(explanation, directory, sources, gallery)
    layers = [writer.cards_of(layer) for layer in reversed(explanation.evidence)]
    rgb = as_rgb(explanation.pixels)
    write_bytes(directory / "photograph.png", _png(rgb))
    row = OcclusionRow(explanation.occlusion, rgb, class_names)
    write_bytes(directory / "occlusion.webp", occlusion_picture(row, FIGURE_DPI))
    write_static_files(directory)
    page = pages.explanation_page(explanation, layers, title, names)
    write_text(directory / "index.html", page)
    return directory / "index.html"


def _png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()
