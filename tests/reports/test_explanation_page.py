"""Reference images on the page of a decision, of a net whose rankings are known by hand.

Two feature maps measure red and green; class 1 is ten times as sensitive to green as class 0 is to
red. Two of the images are the reddest of all, but so green that they belong to class 1, which does
not look at red: red is strongest there and matters elsewhere.
"""

import keras
import numpy as np
import pytest
from keras import layers

import kerasvis as kv
from kerasvis.analyses import find_top_relevances
from kerasvis.reports import (
    ExplainedImage,
    addresses,
    write_explanation,
    write_explanation_index,
    write_gallery,
)
from tests.marks import grid
from tests.reports.browsers import PHONE, VIEWPORTS, assert_accessible
from tests.reports.small_galleries import Page

SIZE = (5, 7)
RED, GREEN = 0, 1
COLOURS = [(250, 220), (240, 200), (100, 2), (90, 1), (10, 0.5), (5, 0.25)]
SHARED = {RED: 0, GREEN: 2}  # of the two images of either ranking


@pytest.fixture(scope="module")
def model():
    inputs = keras.Input((*SIZE, 3))
    conv = layers.Conv2D(2, 1, activation="relu", name="colours")
    scores = layers.Dense(2, name="scores")
    model = keras.Model(inputs, scores(layers.GlobalAveragePooling2D()(conv(inputs))))
    conv.set_weights([np.eye(3)[:, :2].reshape(1, 1, 3, 2), np.zeros(2)])
    scores.set_weights([np.array([[1, 0], [0.1, 10]]), np.zeros(2)])
    return model


def of_colour(red, green):
    return np.broadcast_to(np.array([red, green, 128], "float32"), (*SIZE, 3))


@pytest.fixture(scope="module")
def images():
    return np.stack([of_colour(*colour) for colour in COLOURS])


@pytest.fixture(scope="module")
def explanation(model):
    """Of a photograph of class 0, whose score both feature maps raise."""
    return kv.explain(model, of_colour(80, 2), preprocessing="raw", layers="colours", verbose=0)


@pytest.fixture(scope="module")
def visualized(model, images):
    """`{ranking: {layer: FeatureVisualization}}`, two images of each feature map."""
    options = {"k": 2, "verbose": 0}
    top = find_top_relevances(model, "colours", images, **options)
    options |= {"features": [RED, GREEN], "preprocessing": "raw"}
    return {
        "strongest": kv.visualize_features(model, ["colours"], images, **options),
        "relevant": kv.visualize_features(model, ["colours"], images, top=top, **options),
    }


@pytest.fixture(scope="module")
def gallery(model, images, tmp_path_factory):
    directory = tmp_path_factory.mktemp("beside") / "gallery"
    options = {"preprocessing": "raw", "relevance": True, "verbose": 0}
    write_gallery(model, ["colours"], images, directory, k=2, **options)
    return directory


def written(explanation, directory, **options):
    """`(Page, its text)`."""
    text = write_explanation(explanation, directory, **options).read_text(encoding="utf-8")
    return Page(text), " ".join(Page(text).text.split())


def check_numbers(explanation, text):
    evidence = explanation.evidence["colours"]
    assert evidence.effects[[RED, GREEN]].tolist() == pytest.approx([80, 0.2], rel=1e-4)
    assert "Mostly relevant in images other than their strongest: 1 of the 2 shown" in text
    red = text.index("0 of 2 relevant images are also among its strongest: it is mostly")
    assert red < text.index("2 of 2 relevant images are also among its strongest.")


def test_images_by_relevance_beside_those_by_activation(explanation, visualized, tmp_path):
    page, text = written(explanation, tmp_path, **visualized)
    check_numbers(explanation, text)
    sources = {element.attributes.get("src") for element in page.elements}
    for feature in SHARED:
        for ranking in ("strongest", "relevant"):
            assert f"layers/colours/{ranking}-{feature}.webp" in sources
    found = visualized["relevant"]["colours"]
    assert found.image_indices.tolist() == [[2, 3], [0, 1]]
    assert found.activations[RED].tolist() == pytest.approx([100, 90], rel=1e-5)


def test_those_of_a_gallery_linked(explanation, gallery, tmp_path):
    page, text = written(explanation, tmp_path / "page", gallery="../beside")
    assert "relevant images" not in text  # there is no gallery
    (tmp_path / "beside").symlink_to(gallery)
    page, text = written(explanation, tmp_path / "page", gallery="../beside")
    check_numbers(explanation, text)
    links = {element.attributes.get("href") for element in page.elements}
    for feature in SHARED:
        address = addresses.map_page("colours", feature)
        assert {f"../beside/{address}", f"../beside/{address}#relevance"} <= links
        kept = tmp_path / "page" / "layers" / "colours" / f"relevant-{feature}.webp"
        sprite = gallery / addresses.relevance_sprite("colours", feature)
        assert kept.read_bytes() == sprite.read_bytes()


def test_rankings_of_other_images_are_not_compared(explanation, visualized, gallery, tmp_path):
    """The gallery may be of other images than those given."""
    given = {"strongest": visualized["strongest"], "gallery": gallery}
    _, text = written(explanation, tmp_path, **given)
    assert "Strongest" in text
    assert "relevant" not in text


def test_a_map_that_adds_to_no_score(model, explanation, images, tmp_path):
    without_red = images * np.array([0, 1, 1], "float32")
    options = {"k": 2, "verbose": 0}
    top = find_top_relevances(model, ["colours"], without_red, **options)
    options |= {"features": [RED, GREEN], "preprocessing": "raw", "top": top}
    relevant = kv.visualize_features(model, ["colours"], without_red, **options)
    _, text = written(explanation, tmp_path, relevant=relevant)
    assert "It does not add to the score in any of these images." in text


def test_a_gallery_of_a_narrower_model_is_refused(images, explanation, tmp_path):
    inputs = keras.Input((*SIZE, 3))
    narrow = keras.Model(inputs, layers.Conv2D(1, 1, name="colours")(inputs))
    write_gallery(narrow, ["colours"], images, tmp_path / "other", preprocessing="raw", verbose=0)
    with pytest.raises(ValueError, match="same model"):
        write_explanation(explanation, tmp_path / "page", gallery="../other")


def test_a_page_leads_to_several_explanations(explanation, tmp_path):
    names = {0: "<b>red</b>", 1: "green"}
    entries = [ExplainedImage.of(explanation, each, f"{each}.png", names) for each in "ab"]
    page = Page(write_explanation_index(entries, tmp_path).read_text(encoding="utf-8"))
    assert not page.all("b")
    assert {"a/index.html", "b/index.html", "a/photograph.png"} <= set(page.references)
    assert page.values == [pytest.approx(explanation.occlusion.base_probability)] * 2
    for text in ("2 explanations", "<b>red</b>", "green", "a.png", "b.png"):
        assert text in page.text


@pytest.mark.parametrize(
    ("viewport", "scheme"), grid(VIEWPORTS, ["light", "dark"], quick=[(PHONE, "dark")])
)
def test_the_pages_are_accessible(explanation, visualized, tmp_path, open_page, viewport, scheme):
    entries = [ExplainedImage.of(explanation, each, f"{each}.png") for each in "ab"]
    index = write_explanation_index(entries, tmp_path)
    for each in "ab":
        written(explanation, tmp_path / each, **visualized)
    for page in (index, tmp_path / "a" / "index.html"):
        assert_accessible(open_page(page, viewport=viewport, color_scheme=scheme))
