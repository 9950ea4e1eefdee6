"""Results as HTML, in which whatever a user named stays text."""

from html.parser import HTMLParser
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from kerasvis.activations.top_activations import LayerActivations, TopActivations
from kerasvis.analyses import (
    FeatureTransfer,
    FidelityReport,
    LayerAblation,
    OcclusionAnalysis,
    diagnose_filters,
    filter_findings,
)
from kerasvis.analyses.fidelity.selectivity import Selectivity
from kerasvis.deconvnet import DeconvModel
from kerasvis.storage.html_table import html_table, html_text

HOSTILE = "<script>alert('&amp;')</script>"


class Reader(HTMLParser):
    """The texts of cells, row by row, and all tags."""

    def __init__(self):
        super().__init__()
        self.rows, self.tags, self.text = [], set(), ""

    def handle_starttag(self, tag, attrs):
        assert not attrs
        self.tags.add(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data):
        self.text += data
        if self.rows and self.rows[-1] and data.strip():
            self.rows[-1][-1] += data


def read(html):
    reader = Reader()
    reader.feed(html)
    reader.close()
    return reader


def test_what_is_written_can_be_read():
    rows = [["a", 1, None], [HOSTILE, 0.5, "x < y & z"]]
    found = read(html_table(HOSTILE, ["one", HOSTILE, '"three"'], rows))
    assert found.rows[0] == ["one", HOSTILE, '"three"']
    assert found.rows[1:] == [["a", "1", ""], [HOSTILE, "0.5", "x < y & z"]]
    assert found.text.startswith(HOSTILE)
    assert found.tags == {"table", "caption", "tr", "td", "th"}


def test_printed_text_keeps_its_lines():
    found = read(html_text(SimpleNamespace(a=HOSTILE)))
    assert found.tags == {"pre"}
    assert found.text == str(SimpleNamespace(a=HOSTILE))


def layer_activations(num_maps, k):
    values = np.arange(num_maps * k, dtype="float32").reshape(num_maps, k)
    images = np.zeros((num_maps, k), "int64")
    return LayerActivations(values, images, np.zeros((num_maps, k, 2), "int32"))


def test_top_activations():
    top = TopActivations({HOSTILE: layer_activations(5, 3), "conv2": layer_activations(2, 1)})
    found = read(top._repr_html_())
    assert found.rows[1:] == [[HOSTILE, "5", "3", "14"], ["conv2", "2", "1", "1"]]
    assert "script" not in found.tags


def test_layer_ablation():
    ablation = LayerAblation(
        variants=("as it is", HOSTILE),
        train_errors=np.array([[10.04, 5], [20, 9]]),
        validation_errors=np.array([[30, 15.26], [40, 19]]),
        num_parameters=np.array([1234567, 8]),
        seconds=np.ones(2),
        num_images=np.array([30, 20]),
        num_classes=7,
        num_epochs=12,
    )
    found = read(ablation._repr_html_())
    assert found.rows[1:] == [
        ["as it is", "1,234,567", "10.0", "30.0", "15.3"],
        [HOSTILE, "8", "20.0", "40.0", "19.0"],
    ]
    assert "12 epochs, 7 classes" in found.text
    assert "script" not in found.tags


def test_feature_transfer():
    accuracies = np.zeros((2, 2, 2, 3), "float32")
    accuracies[1, 0, 1] = [0.2, 0.3, 0.4]  # layer 1, head 0, size 1
    transfer = FeatureTransfer(
        layers=("pool1", HOSTILE),
        heads=("svm", "softmax"),
        per_class=np.array([15, 30]),
        accuracies=accuracies,
        scratch_accuracies=np.zeros((2, 0), "float32"),
        num_features=np.array([96, 256]),
        num_test_images=np.array([5, 5, 5]),
        class_names=("a", "b"),
        num_images=99,
        duplicate_indices=np.zeros(0, "int64"),
    )
    found = read(transfer._repr_html_())
    sizes = ["svm, 15 a class", "svm, 30 a class", "softmax, 15 a class", "softmax, 30 a class"]
    assert found.rows[0] == ["layer", "features", *sizes]
    assert found.rows[1] == ["pool1", "96", *["0.0%"] * 4]
    assert found.rows[2] == [HOSTILE, "256", "0.0%", "30.0%", "0.0%", "0.0%"]
    assert "script" not in found.tags


def test_fidelity_report():
    between = np.zeros((2, 4, 1))
    between[1] = [[0.1], [0.2], [0.3], [np.nan]]
    methods = ("deconvnet", HOSTILE)
    curves = np.full((3, 4), 0.25)
    report = FidelityReport(
        layer="<b>conv",
        methods=methods,
        features=np.zeros(4, "int32"),
        positions=np.zeros((4, 2), "int32"),
        activations=np.ones(4, "float32"),
        boxes=np.zeros((4, 4), "int64"),
        selectivity=Selectivity(methods, ("rank",), np.zeros((4, 2), "int32"), between, between),
        insertion_deletion=SimpleNamespace(
            methods=methods, deletion_area=curves, insertion_area=2 * curves
        ),
    )
    found = read(report._repr_html_())
    assert "Layer <b>conv, means over 4 images" in found.text
    assert found.rows == [
        ["check", "measure", "deconvnet", HOSTILE, "random"],
        ["selectivity", "between units: rank", "0.000", "0.200", ""],
        ["selectivity", "between images: rank", "0.000", "0.200", ""],
        ["pixels", "deletion, area", "0.250", "0.250", "0.250"],
        ["pixels", "insertion, area", "0.500", "0.500", "0.500"],
    ]
    assert found.tags == {"table", "caption", "tr", "td", "th"}


@pytest.fixture
def convnet():
    """A slash would be a nested model's, so its names open tags without closing them."""
    layers = [
        keras.layers.Conv2D(8, 5, 2, activation="relu", name="<b>conv"),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(3, activation="softmax"),
    ]
    return keras.Sequential([keras.Input((32, 32, 3)), *layers], name="<i>net")


def test_filter_diagnosis(convnet):
    diagnosis = diagnose_filters(convnet)
    found = read(diagnosis._repr_html_())
    findings = filter_findings(diagnosis)
    assert [row[0] for row in found.rows[1:]] == [finding.name for finding in findings]
    assert [row[2:] for row in found.rows[1:]] == [[f.evidence, f.remedy] for f in findings]
    assert "not looked at" in [row[1] for row in found.rows]
    assert "<i>net" in found.text
    assert "<b>conv" in found.text
    assert found.tags == {"table", "caption", "tr", "td", "th"}


@pytest.mark.parametrize("kind", ["deconvnet", "occlusion"])
def test_plans(convnet, kind):
    if kind == "deconvnet":
        plan = DeconvModel(convnet, "<b>conv").plan
    else:
        plan = OcclusionAnalysis(convnet, (32, 32)).sweep.plan
    found = read(plan._repr_html_())
    assert found.text == str(plan)
    assert "<b>conv" in found.text
    assert found.tags == {"pre"}
