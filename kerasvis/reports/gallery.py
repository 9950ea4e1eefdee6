"""The gallery: a page for the model, one for each layer, and one for each feature map.

```
 images ──► scan ──► project ──► pages
              │         │          │
           arrays/   layers/<layer>/<map>.webp, .html
```

Each arrow leaves files behind, and what is there is not done again: a build that was stopped goes
on where it was, and one with more layers adds these.
"""

import importlib.resources
import io
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from PIL import Image

from kerasvis.arguments import standardize_engine, standardize_images
from kerasvis.attributions.methods import standardize_methods
from kerasvis.engines import Ray
from kerasvis.figures.channels import check_channels
from kerasvis.figures.occlusion_panel import occlusion_panel
from kerasvis.reports import addresses, pages
from kerasvis.reports.build import Build
from kerasvis.reports.model_table import model_table
from kerasvis.reports.sprites import webp
from kerasvis.storage.files import write_if_changed

if TYPE_CHECKING:
    from kerasvis.analyses.evolution.feature_evolution import Evolution
    from kerasvis.figures.occlusion_row import OcclusionRow


FIGURE_DPI = 200


def write_gallery(
    model: keras.Model,
    layers: str | Sequence[str] | None,
    images: Any,
    directory: str | os.PathLike,
    *,
    labels: Sequence[str | None] | None = None,
    occlusions: "Sequence[OcclusionRow]" = (),
    evolution: "Evolution | None" = None,
    fidelity: bool = False,
    relevance: bool = False,
    k: int = 9,
    channels: Sequence[int] | None = None,
    methods: str | Callable | Sequence[str | Callable] | Mapping[str, str | Callable] = "deconvnet",
    preprocessing: Any = None,
    rules: str | Sequence[tuple] = (),
    batch_size: int = 16,
    steps: int | None = None,
    engine: Ray | None = None,
    verbose: str | int = "auto",
) -> Path:
    """Writes pages on every feature map of some layers, to be opened in a browser.

    The first page, `index.html`, shows the model's graph, what is found on its filters, and the
    layers; a layer's page all of its feature maps; a map's page its strongest activations as
    projections and image patches, its activations over all images, the classes it prefers, the
    maps most like it, its filter where that looks at the image, and its evolution where that was
    recorded. The pages are plain files that need neither a server nor a network.

    A build that was stopped goes on with the same call. One with other layers adds these; those of
    an earlier build stay.

    Args:
        model: a functional or Sequential `keras.Model`; it is left as it is.
        layers: names of layers, or one name; None for all convolutions.
        images: what `kerasvis.arguments.standardize_images` takes; those with the strongest
            activations are fetched again.
        directory: folder to write into.
        labels: the name of each image's class, in the images' order, None for an image without;
            see `class_labels`.
        occlusions: `kerasvis.figures.OcclusionRow`s, a page for each.
        evolution: an `Evolution` of this model, as `kerasvis.analyses.load_evolution` returns it;
            the pages of its feature maps show what these responded to over epochs. Like labels and
            occlusions, give it again when a build goes on.
        fidelity: whether each layer's page says how far its pictures go, see
            `kerasvis.analyses.layer_fidelity`; some seconds for each layer.
        relevance: whether each map's page shows the images in which it adds most to the score of
            the class chosen, too, see `kerasvis.analyses.find_top_relevances`, and says where they
            are others than those in which it is strongest; one more pass over the images.
        k: number of strongest activations of each feature map.
        channels: numbers of the channels to show, one or three; by default all: 1 as grey, 3 as
            RGB, others one by one. Give the same when a build goes on.
        methods: how the activations are projected: a name, which is a key of
            `kerasvis.attributions.METHODS`, or several, as a list or a mapping from names; also
            functions of one's own. The pages switch between them and the image patches. The
            deconvnet, `"guided"` and `"gradient"` share the forward pass; others see whole images,
            and `"smoothgrad"` takes fifty passes for each.
        preprocessing: how `images` were made from pixels: what `kerasvis.data.Preprocessing.of`
            takes. By default that of the images, or of the model, or what the range of an array
            tells.
        rules: of the deconvnet, see `kerasvis.rules`; give the same when a build goes on.
        batch_size: images in a step of the scan.
        steps: batches to read at most; needed where a data set has no end, or does not tell.
        engine: a `kerasvis.engines.Ray`, to scan on the machines of a cluster; None for this
            process.
        verbose: 1 or 0, with or without progress bars; `"auto"`: with them on a terminal.

    Returns:
        Path of the first page.

    Raises:
        ValueError: if the folder holds a gallery of another model or of other images, a layer is
            unknown or cannot be projected, the labels do not fit the images, the evolution is
            that of another model, there is no such channel, or the model or the images are wrong,
            see `find_top_activations`.

    Reference:
        Zeiler & Fergus 2013, Figure 2, for all feature maps, and Figure 4.

    Example:
        >>> import keras
        >>> from keras import layers
        >>> import kerasvis as kv
        >>> from kerasvis.data.demo_photographs import DemoPhotographs
        >>> photographs = DemoPhotographs((24, 32))[:6]
        >>> model = keras.Sequential([keras.Input((24, 32, 3)), layers.Conv2D(2, 5, name="a")])
        >>> kv.write_gallery(model, ["a"], photographs, "gallery", k=2, verbose=0).name
        'index.html'
    """
    directory = Path(directory)
    source = standardize_images(
        model, images, preprocessing, batch_size=batch_size, steps=steps, fetched=True
    )
    source.known_preprocessing()
    methods = standardize_methods(methods)
    if channels is not None:
        channels = check_channels(channels, source.image_shape[-1])
    settings = (k, methods, rules, batch_size, verbose, standardize_engine(engine), channels)
    build = Build(model, source, directory, *settings)
    if source.num_images is not None:
        build.check_labels(labels)
    layers = build.layers(layers)
    evolutions = build.evolutions(evolution) if evolution is not None else {}
    build.check_projections(layers)
    if relevance:
        build.check_relevance(layers)
    with build.parts:
        build.scan(layers)
        if relevance:
            build.scan_relevance(layers)
        build.check_labels(labels)
        reports = tuple(
            build.report(layer, labels, evolutions.get(layer), fidelity, relevance)
            for layer in layers
        )
        findings, no_findings = build.findings()
        overview = pages.Overview(
            model_name=model.name,
            num_parameters=model.count_params(),
            image_size=build.image_size,
            num_images=reports[0].num_images,
            table=model_table(model, build.image_size),
            findings=findings,
            no_findings=no_findings,
            layers=reports,
            occlusions=tuple(occlusions),
        )
        return _write_site(overview, source.names, labels, directory)


def _write_site(overview, names, labels, directory):
    """Writes all pages; returns the path of the first."""
    for report in overview.layers:
        for feature in range(report.num_maps):
            page = pages.map_page(overview, report, feature, names, labels)
            write_if_changed(directory / addresses.map_page(report.layer, feature), page)
        page = pages.layer_page(overview, report)
        write_if_changed(directory / addresses.layer_page(report.layer), page)
    for number, row in enumerate(overview.occlusions):
        write_if_changed(directory / addresses.occlusion_picture(number), _figure(row))
        page = pages.occlusion_page(overview, number)
        write_if_changed(directory / addresses.occlusion_page(number), page)
    for file in importlib.resources.files("kerasvis.reports").joinpath("static").iterdir():
        write_if_changed(directory / file.name, file.read_bytes())
    write_if_changed(directory / "search.js", pages.search_index(overview))
    first_page = directory / "index.html"
    write_if_changed(first_page, pages.overview_page(overview))  # last: all it leads to is there
    return first_page


def _figure(row):
    """The panels of an occlusion analysis as the bytes of a WebP file."""
    png = io.BytesIO()
    occlusion_panel(row).savefig(png, format="png", dpi=FIGURE_DPI)
    return webp(np.asarray(Image.open(png).convert("RGB")), lossless=True)
