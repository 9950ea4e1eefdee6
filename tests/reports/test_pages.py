"""Pages of a report made up by hand, with names as bad as they can be."""

import json

import numpy as np
import pytest

from kerasvis.activations import LayerActivations, MapStatistics
from kerasvis.analyses import Finding
from kerasvis.graph import ReceptiveField
from kerasvis.reports import pages
from kerasvis.reports.layer_report import LayerReport
from kerasvis.reports.model_table import ModelRow
from kerasvis.reports.sprites import SpriteLayout
from tests.reports.small_galleries import Page

EVIL = "\"'></bdi></title><script>alert(1)</script><img src=x onerror=alert(1)>{{ 7 * 7 }}\u202e"


def report_of(layer=EVIL, labels=(EVIL, None, "b"), **options):
    """Two maps over three images."""
    maxima = np.array([[1, 0], [3, 0], [2, 0]], "float32")
    statistics = MapStatistics(layer, np.arange(3), maxima)
    top = LayerActivations(
        np.array([[3, 2], [0, 0]], "float32"),
        np.array([[1, 2], [0, 1]]),
        np.array([[[4, 5], [6, 7]], [[0, 0], [0, 0]]], "int32"),
    )
    options = {"class_means": statistics.class_means(labels)} | options
    field = ReceptiveField((3, 5), (1, 1), (0, 0), (9, 9))
    return LayerReport(layer, top, statistics, SpriteLayout.of(2, (3, 5)), field, **options)


def overview_of(*reports, findings=(), no_findings="", occlusions=()):
    table = (
        ModelRow("image", "Input", (9, 9, 3), 0, None, (), 0),
        ModelRow(EVIL, "Conv2D", (7, 5, 2), 1234567, reports[0].receptive_field, (0,), 0),
        ModelRow("add", "Add", (None, None, 2), 0, None, (0, 1), 1),
    )
    site = (EVIL, 1234567, (9, 9), 3, table, findings, no_findings, reports, occlusions)
    return pages.Overview(*site)


def map_page_of(report, feature=0, names=("a", EVIL, "c"), labels=(EVIL, None, "b")):
    return Page(pages.map_page(overview_of(report), report, feature, names, labels))


def all_pages():
    report = report_of()
    findings = (Finding(EVIL, True, EVIL, EVIL), Finding("b", None, "c", ""))
    overview = overview_of(report, findings=findings)
    return {
        "overview": pages.overview_page(overview),
        "overview without findings": pages.overview_page(overview_of(report, no_findings=EVIL)),
        "layer": pages.layer_page(overview, report),
        "map": pages.map_page(overview, report, 0, ("a", EVIL, "c"), (EVIL, None, "b")),
    }


@pytest.mark.parametrize("name", all_pages())
def test_names_stay_text(name):
    page = Page(all_pages()[name])
    assert EVIL in "".join(text for element in page.elements for text in element.text)
    for element in page.elements:
        assert not [attribute for attribute in element.attributes if attribute.startswith("on")]
        assert element.tag != "img" or element.attributes["src"].endswith(".webp")
    assert {s.attributes["src"].split("/")[-1] for s in page.all("script")} <= {
        "gallery.js",
        "search.js",
    }


def test_names_cannot_leave_the_search():
    script = pages.search_index(overview_of(report_of()))
    assert script.count("\n") == 1
    assert script.isascii()
    ((layer, folder, maps),) = json.loads(script[len("window.galleryIndex = ") : -2])
    assert layer == EVIL
    assert folder.startswith("layers/")
    assert maps == [[3, 1, ["b", EVIL]], [0, 0, []]]


def test_units_say_where_they_are():
    text = " ".join(map_page_of(report_of("conv")).text.split())
    assert "row 4, column 5" in text
    assert "row 6, column 7" in text
    assert f"image 1 , {EVIL}" in text or f"image 1, {EVIL}" in text


def test_units_of_a_dense_layer_are_nowhere():
    page = map_page_of(report_of("dense", is_dense=True))
    assert "column" not in page.text
    assert "unit 0" in page.text


def test_tiles_are_cut_out_of_the_sprite():
    page = map_page_of(report_of("conv"))
    cells = [e.attributes["style"] for e in page.all("span") if "cell" in str(e.attributes)]
    assert cells == [
        f"--row: {row}; --column: {column}" for row, column in [(0, 0), (0, 2), (0, 1), (0, 3)]
    ]


def test_neighbours():
    links = {
        e.attributes["rel"]: e.attributes["href"] for e in map_page_of(report_of()).all("link")
    }
    assert links["up"] == "index.html"
    assert links["next"] == "1.html"
    assert "prev" not in links


def test_without_classes():
    report = report_of("conv", class_means=None)
    page = Page(pages.layer_page(overview_of(report), report))
    assert "class" not in [option.attributes["value"] for option in page.all("option")]
    assert "Class" not in map_page_of(report, labels=None).text


def test_numbers_of_a_map_that_is_never_active():
    page = map_page_of(report_of("conv"), feature=1)
    assert "–" in page.text
    assert "nan" not in page.text


def test_findings_are_told_with_their_state():
    findings = tuple(Finding(str(state), state, "e.", "r.") for state in (True, False, None))
    page = Page(pages.overview_page(overview_of(report_of(), findings=findings)))
    states = [e.text[0] for e in page.all("span") if e.attributes.get("class") == "state"]
    assert states == ["found", "not found", "not looked at"]


def test_every_row_of_the_model_is_in_the_table_and_the_drawing():
    page = Page(pages.overview_page(overview_of(report_of())))
    assert len(page.all("tr")) == 1 + 3
    assert len(page.all("circle")) == 3
    assert len(page.all("path")) == 3
    assert "any × any × 2" in page.text
    assert 1234567 in page.values


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (1, "1"),
        (12.345, "12.3"),
        (999.9, "1,000"),
        (1e9, "1e+09"),
        (4914, "4,910"),
        (-4914.2, "-4,910"),
        (123456, "123,000"),
        (0.00321, "0.00321"),
        (float("nan"), "–"),
    ],
)
def test_three_digits(number, text):
    assert pages.three_digits(number) == text


def test_what_a_unit_sees():
    def field(size):
        return ReceptiveField(size, (1, 1), (0, 0), (9, 9))

    assert pages.field_size(field((3, 5))) == "3 × 5"
    assert pages.field_size(field((None, 5))) == "whole image"
    assert pages.field_size(None) == ""
