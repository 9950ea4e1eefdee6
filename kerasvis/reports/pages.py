"""The text of the pages: reports rendered by templates.

The templates escape all text from outside: the names of models, layers, files and classes.
"""

import functools
import json
import math
from typing import NamedTuple

import jinja2

from kerasvis.figures.channels import is_picture
from kerasvis.figures.contrast import CONTRAST_RULE
from kerasvis.reports import addresses
from kerasvis.reports.model_table import edges
from kerasvis.storage.counted import counted

NUM_ALIKE = 6
ROW_HEIGHT, LANE_WIDTH = 36, 14  # height of a row in CSS pixels, the same as in the style sheet
HISTOGRAM_HEIGHT, HISTOGRAM_WIDTH = 60, 240  # units of the drawing


class Overview(NamedTuple):
    """The contents of the first page.

    Attributes:
        model_name: name of the model.
        num_parameters: number of its parameters.
        image_size: `(height, width)` in pixels.
        num_images: number of scanned images.
        table: the `ModelRow`s.
        findings: the `Finding`s about its filters.
        no_findings: a sentence that says why there are none; "" if there are findings.
        layers: a `LayerReport` for each layer in the gallery.
        occlusions: the `OcclusionRow`s.
    """

    model_name: str
    num_parameters: int
    image_size: tuple[int, int]
    num_images: int
    table: tuple
    findings: tuple
    no_findings: str
    layers: tuple
    occlusions: tuple


def overview_page(overview):
    """The page of the whole model."""
    return _render(
        "overview.html",
        root="",
        overview=overview,
        pages={report.layer: addresses.layer_page(report.layer) for report in overview.layers},
        drawing=_drawing(overview.table),
    )


def layer_page(overview, report):
    """The page of a layer, with all of its feature maps."""
    layers = [other.layer for other in overview.layers]
    place = layers.index(report.layer)
    return _render(
        "layer.html",
        root="../../",
        overview=overview,
        report=report,
        previous=layers[place - 1] if place else None,
        next=layers[place + 1] if place + 1 < len(layers) else None,
        summaries=report.summaries(),
    )


def map_page(overview, report, feature, names, labels):
    """The page of a feature map.

    Args:
        overview: the `Overview`.
        report: the layer's `LayerReport`.
        feature: number of the feature map.
        names: names of the images.
        labels: class names of the images, or None.
    """
    watching = [
        number
        for number, row in enumerate(overview.occlusions)
        if (row.result.layer, row.result.feature_index) == (report.layer, feature)
    ]
    return _render(
        "map.html",
        root="../../",
        overview=overview,
        report=report,
        feature=feature,
        statistics=report.statistics,
        units=report.units(feature),
        relevant=report.relevant_units(feature),
        steps=report.evolution_steps(feature),
        names=names,
        labels=labels,
        histogram=_bars(report.statistics.histogram(feature)),
        classes=report.preferred_classes(feature),
        alike=report.statistics.most_alike(feature, NUM_ALIKE),
        occlusions=[(number, overview.occlusions[number].title) for number in watching],
    )


def occlusion_page(overview, number):
    """The page of one occlusion analysis."""
    row = overview.occlusions[number]
    lowest = row.result.probability.argmin()
    return _render(
        "occlusion.html",
        root="../",
        overview=overview,
        number=number,
        row=row,
        result=row.result,
        lowest_box=row.result.boxes.reshape(-1, 4)[lowest].tolist(),
        has_map=row.result.layer in [report.layer for report in overview.layers],
    )


def explanation_page(explanation, layers, title, name):
    """The page of one decision.

    Args:
        explanation: an `Explanation`.
        layers: its `LayerCards`, the deepest first.
        title: name of the image, or "".
        name: function from the number of a class to its name.
    """
    occlusion = explanation.occlusion
    pairs = zip(occlusion.class_indices, occlusion.base_probabilities, strict=True)
    classes = sorted(((int(index), float(share)) for index, share in pairs), key=lambda x: -x[1])
    cards = [card for layer in layers for card in (*layer.for_class, *layer.for_lead)]
    return _render(
        "explanation.html",
        root="",
        explanation=explanation,
        layers=layers,
        title=title,
        name=name,
        classes=classes,
        has_projections=any(card.has_projection for card in cards),
        has_strongest=any(card.strongest for card in cards),
        has_relevant=any(card.relevant for card in cards),
        is_picture=is_picture(explanation.pixels.shape[-1]),
    )


def explanation_index(explained):
    """The page that leads to the explanations of several images, each an `ExplainedImage`."""
    return _render("explanations.html", root="", explained=explained)


DEMO_PARTS = (
    (
        "What each feature map responds to: the gallery",
        "gallery/index.html",
        "features/features.png",
        "A page for every feature map shows its strongest activations, projected to pixel space, "
        "next to the image patches that caused them.",
    ),
    (
        "Why did it say that? One decision explained",
        "explanation/index.html",
        "explanation/occlusion.webp",
        "The parts of a photograph and the feature maps that its class depends on.",
    ),
    (
        "How its features evolved in training (Figure 4)",
        "evolution/evolution.png",
        "evolution/convergence.png",
        "The lower layers converge early, the upper layers late.",
    ),
    (
        "Where does it look? Occlusion sensitivity (Figure 6)",
        "occlusion/occlusion.png",
        "occlusion/occlusion.png",
        "A grey square occludes one part of the photograph after another.",
    ),
)


def demo_page():
    """The start page of a demonstration."""
    return _render("demo.html", root="", parts=DEMO_PARTS)


def search_index(overview):
    """The search index of the first page, as a script: a page on disk cannot read other files."""
    layers = [
        [
            report.layer,
            addresses.layer_folder(report.layer),
            [
                [_rounded(s.strongest), _rounded(s.active_share), list(s.classes)]
                for s in report.summaries()
            ],
        ]
        for report in overview.layers
    ]
    return f"window.galleryIndex = {json.dumps(layers, separators=(',', ':'))};\n"


def _rounded(number):
    return float(f"{number:.4g}")


def _drawing(table):
    """The drawing of the graph as paths and dots."""

    def x(row):
        return LANE_WIDTH * (table[row].lane + 0.75)

    def y(row):
        return ROW_HEIGHT * (row + 0.5)

    paths = []
    for source, row in edges(table):
        begin, middle = y(row) - ROW_HEIGHT, y(row) - ROW_HEIGHT / 2
        turn = f"C {x(source)} {middle} {x(row)} {middle} {x(row)} {y(row)}"
        paths.append(f"M {x(source)} {y(source)} V {begin} {turn}")
    return {
        "width": LANE_WIDTH * (max(row.lane for row in table) + 1.5),
        "height": ROW_HEIGHT * len(table),
        "paths": paths,
        "dots": [(x(row), y(row)) for row in range(len(table))],
    }


def _bars(histogram):
    """The bars of a histogram, and the ends of its axis."""
    counts, edges_of = histogram.counts.tolist(), histogram.edges.tolist()
    width = HISTOGRAM_WIDTH / len(counts)
    heights = [HISTOGRAM_HEIGHT * count / max(*counts, 1) for count in counts]
    bars = [
        {
            "x": round(place * width, 2),
            "y": round(HISTOGRAM_HEIGHT - height, 2),
            "width": round(width - 1, 2),
            "height": round(height, 2),
            "count": count,
            "low": edges_of[place],
            "high": edges_of[place + 1],
        }
        for place, (count, height) in enumerate(zip(counts, heights, strict=True))
    ]
    ends = {"low": edges_of[0], "high": edges_of[-1], "most": max(counts)}
    return {"bars": bars, "width": HISTOGRAM_WIDTH, "height": HISTOGRAM_HEIGHT, **ends}


def three_digits(number):
    """A number with three significant digits: 4910, 0.0032, 12.5; a dash if it is not finite."""
    if math.isnan(number):
        return "–"
    rounded = float(f"{number:.3g}")
    return f"{rounded:,.0f}" if 1000 <= abs(rounded) < 1e7 else f"{rounded:g}"


def two_places(number):
    """A number in [-1, 1] with two decimal places; a dash if it is undefined."""
    return "–" if math.isnan(number) else f"{number:.2f}"


def by(size):
    """A size or shape as text: 13 × 13 × 256."""
    return " × ".join("any" if length is None else f"{length:g}" for length in size)


def field_size(field):
    """A receptive field as text."""
    if field is None:
        return ""
    return "whole image" if field.is_whole_image else by(field.window_size)


@functools.cache
def _environment():
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("kerasvis.reports", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        three_digits=three_digits, two_places=two_places, by=by, field_size=field_size
    )
    environment.globals.update(addresses=addresses, contrast_rule=CONTRAST_RULE, counted=counted)
    return environment


def _render(template, **values):
    return _environment().get_template(template).render(values)
