"""The gallery: a page for the model, one for each layer, and one for each feature map.

```
 images ──► scan ──► project ──► pages
              │         │          │
           arrays/   layers/<layer>/<map>.webp, .html
```

Each step stores its results in files, and existing results are not computed again: an interrupted
build resumes, and a build with more layers adds these.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras

from kerasvis.arguments import standardize_engine, standardize_images
from kerasvis.attributions.methods import standardize_methods
from kerasvis.engines import Ray
from kerasvis.figures.channels import check_channels
from kerasvis.reports import addresses, pages
from kerasvis.reports.build import Build
from kerasvis.reports.model_table import model_table
from kerasvis.reports.occlusion_picture import occlusion_picture
from kerasvis.reports.static_files import write_static_files
from kerasvis.storage.files import write_if_changed

if TYPE_CHECKING:
    from kerasvis.analyses.evolution.evolution_result import Evolution
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
    """Writes HTML pages about every feature map of some layers.

    The first page, `index.html`, shows the layers, the findings about the filters and the model's
    graph. The page of a layer shows all of its feature maps. The page of a feature map shows its
    strongest activations as projections and image patches, its activations over all images, the
    classes it prefers, co-activated feature maps, its filter if the layer's input is the image, and
    its evolution if that was recorded. The pages are plain files that need neither a server nor a
    network.

    An interrupted build resumes when it is called again. A build with other layers adds these to
    the layers of earlier builds.

    Args:
        model: a functional or Sequential `keras.Model`; it is not changed.
        layers: names of layers, or one name; None for all convolutions.
        images: what `kerasvis.arguments.standardize_images` takes; the images with the strongest
            activations are read a second time.
        directory: folder to write into.
        labels: the class name of each image, in order, or None for an image without a class; see
            `class_labels`.
        occlusions: `kerasvis.figures.OcclusionRow`s; each gets a page.
        evolution: an `Evolution` of this model, as `kerasvis.analyses.load_evolution` returns it;
            the pages of its feature maps show what they responded to over the epochs. Like labels
            and occlusions, it must be given again to resume a build.
        fidelity: whether the page of each layer tells how faithful its projections are, see
            `kerasvis.analyses.layer_fidelity`; takes a few seconds per layer.
        relevance: whether the page of each feature map also shows the images in which it adds most
            to the score of the most probable class, see `kerasvis.analyses.find_top_relevances`,
            and how far they differ from the images in which it is strongest; takes one more pass
            over the images.
        k: number of strongest activations of each feature map.
        channels: numbers of the channels to show, one or three; by default all: 1 as grey, 3 as
            RGB, others one by one. They must be given again to resume a build.
        methods: how the activations are projected: the name of a method in
            `kerasvis.attributions.METHODS`, or a function; for several methods, a list of these or
            a mapping from names to them. The pages can switch between the methods and the image
            patches. `"deconvnet"`, `"guided"` and `"gradient"` share the forward pass; the others
            are called with whole images, and `"smoothgrad"` takes fifty passes for each image.
        preprocessing: how `images` were computed from pixels, see `kerasvis.data.Preprocessing.of`;
            by default as `kerasvis.arguments.standardize_images` infers it.
        rules: rules of the deconvnet, see `kerasvis.rules`; they must be given again to resume a
            build.
        batch_size: images per step of the scan.
        steps: maximum number of batches to read; required for data sets without a known end.
        engine: a `kerasvis.engines.Ray` to scan and project on the machines of a cluster; None for
            this process.
        verbose: 1 shows progress bars, 0 none; `"auto"` shows them on a terminal.

    Returns:
        Path of the first page.

    Raises:
        ValueError: if the folder holds a gallery of another model or of other images, a layer is
            unknown or cannot be projected, the labels do not fit the images, the evolution is of
            another model, there is no such channel, or the model or the images are invalid, see
            `find_top_activations`.

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
    if channels is not None:
        channels = check_channels(channels, source.known_shape()[-1])
    build = Build(
        model=model,
        images=source,
        directory=directory,
        k=k,
        methods=standardize_methods(methods),
        rules=rules,
        batch_size=batch_size,
        verbose=verbose,
        engine=standardize_engine(engine),
        channels=channels,
    )
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
        if engine is not None:
            build.write_sprites_on_engine(layers, relevance)
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
        picture = occlusion_picture(row, FIGURE_DPI, lossless=True)
        write_if_changed(directory / addresses.occlusion_picture(number), picture)
        page = pages.occlusion_page(overview, number)
        write_if_changed(directory / addresses.occlusion_page(number), page)
    write_static_files(directory)
    write_if_changed(directory / "search.js", pages.search_index(overview))
    first_page = directory / "index.html"
    write_if_changed(first_page, pages.overview_page(overview))  # last: all its links work now
    return first_page
