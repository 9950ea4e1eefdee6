import json
import re

import keras
import numpy as np
import pytest
from PIL import Image

import kerasvis as kv
from kerasvis.analyses import LayerFidelity
from kerasvis.data import ImageFolder
from kerasvis.graph import feature_extractor
from kerasvis.reports import addresses
from kerasvis.reports.sprites import SpriteLayout, feature_sprite
from kerasvis.storage.files import TEMPORARY
from tests.reports.conftest import brightness
from tests.reports.small_galleries import (
    EVIL,
    FIRST,
    LABELS,
    NESTED,
    NUM_IMAGES,
    SECOND,
    SIZE,
    Page,
    pages_of,
    random_images,
)

LAYERS = {FIRST: 5, NESTED: 4, SECOND: 4}  # name: number of maps
K = 9


def maxima_of(model, images, layer):
    """The strongest activation of every map in every image, `(images, maps)`, by NumPy."""
    (maps,) = feature_extractor(model, [layer]).predict(images, verbose=0)
    return maps.max(axis=(1, 2))


def map_page(gallery, layer, feature):
    return Page.read(gallery / addresses.map_page(layer, feature))


# The site as a whole


def test_every_layer_and_every_map_has_a_page(gallery):
    expected = {"index.html", "occlusion/0.html", "occlusion/1.html"}
    for layer, num_maps in LAYERS.items():
        expected.add(addresses.layer_page(layer))
        expected |= {addresses.map_page(layer, feature) for feature in range(num_maps)}
    assert {page.relative_to(gallery).as_posix() for page in pages_of(gallery)} == expected


def test_every_reference_leads_to_a_file_of_the_gallery(gallery):
    for page in pages_of(gallery):
        references = Page.read(page).references
        assert len(references) > 4
        for reference in references:
            path, _, fragment = reference.partition("#")
            target = (page.parent / path).resolve() if path else page
            assert target.is_file(), f"{page} leads to {reference}"
            assert target.is_relative_to(gallery.resolve())
            assert not fragment or f'id="{fragment}"' in target.read_text()


def test_every_page_can_be_reached(gallery):
    reached, waiting = set(), [gallery / "index.html"]
    while waiting:
        page = waiting.pop().resolve()
        if page not in reached:
            reached.add(page)
            targets = (page.parent / reference for reference in Page.read(page).references)
            waiting += [target for target in targets if target.suffix == ".html"]
    assert reached == {page.resolve() for page in pages_of(gallery)}


def test_nothing_lies_outside_and_nothing_is_half_written(gallery):
    assert list(gallery.parent.iterdir()) == [gallery]
    names = {path.name for path in gallery.rglob("*")}
    assert not [name for name in names if TEMPORARY in name or "scan" in name]
    assert ".." not in names


def test_nothing_is_loaded_from_elsewhere(gallery):
    for file in [*pages_of(gallery), gallery / "gallery.css", gallery / "gallery.js"]:
        assert not re.search(r"https?:|url\(|@import|fetch|XMLHttp", file.read_text())


def test_pictures_are_as_large_as_the_pages_say(gallery):
    for layer in LAYERS:
        page = Page.read(gallery / addresses.layer_page(layer))
        pictures = page.all("img")
        assert len(pictures) == LAYERS[layer]
        for picture in pictures:
            given = [int(picture.attributes[side]) for side in ("width", "height")]
            path = gallery / addresses.layer_folder(layer) / picture.attributes["src"]
            with Image.open(path.resolve()) as image:
                assert list(image.size) == given
            assert picture.attributes["loading"] == "lazy"


# The numbers


@pytest.mark.parametrize("layer", LAYERS)
def test_strongest_activations_are_those_of_the_maps(gallery, model, images, layer):
    maxima = maxima_of(model, images, layer)
    for feature in range(LAYERS[layer]):
        order = np.lexsort((np.arange(NUM_IMAGES), -maxima[:, feature]))[:K]
        values = map_page(gallery, layer, feature).values[: 2 * K]
        np.testing.assert_allclose(values[::2], maxima[order, feature], rtol=1e-5)
        assert values[1::2] == order.tolist()


@pytest.mark.parametrize("layer", LAYERS)
def test_numbers_over_all_images(gallery, model, images, layer):
    maxima = maxima_of(model, images, layer).astype("float64")
    for feature, column in enumerate(maxima.T):
        page = map_page(gallery, layer, feature)
        num_active, rate, mean, sparseness = page.values[2 * K : 2 * K + 4]
        assert num_active == sum(value > 0 for value in column)
        np.testing.assert_allclose(rate, num_active / NUM_IMAGES)
        np.testing.assert_allclose(mean, sum(column) / NUM_IMAGES, rtol=1e-5)
        if num_active:
            evenness = mean**2 / (sum(column**2) / NUM_IMAGES)
            np.testing.assert_allclose(sparseness, (1 - evenness) / (1 - 1 / NUM_IMAGES), rtol=1e-4)
        else:
            assert np.isnan(sparseness)
        bars = [int(e.attributes["data-count"]) for e in page.all("rect")]
        assert sum(bars) == NUM_IMAGES
        assert bars == np.histogram(column, len(bars))[0].tolist()


def test_classes_that_a_map_prefers(gallery, model, images):
    maxima = maxima_of(model, images, FIRST)
    for feature in np.flatnonzero(maxima.any(axis=0)):
        page = map_page(gallery, FIRST, feature)
        found = page.values[2 * K + 4 : 2 * K + 10]
        means = {
            name: np.mean(
                [m[feature] for m, label in zip(maxima, LABELS, strict=True) if label == name]
            )
            for name in ("a cat", EVIL, "zebra")
        }
        ordered = sorted(means, key=means.get, reverse=True)
        np.testing.assert_allclose(found[::2], [means[name] for name in ordered], rtol=1e-5)
        assert found[1::2] == [LABELS.count(name) for name in ordered]
        places = [page.text.rindex(name) for name in ordered]
        assert places == sorted(places)


def test_maps_that_fire_alike(gallery, model, images):
    maxima = maxima_of(model, images, FIRST)
    active = np.flatnonzero(maxima.any(axis=0)).tolist()
    for feature in active:
        page = map_page(gallery, FIRST, feature)
        correlations = {
            other: np.corrcoef(maxima[:, feature], maxima[:, other])[0, 1]
            for other in active
            if other != feature
        }
        others = sorted(correlations, key=correlations.get, reverse=True)
        others = [other for other in others if correlations[other] > 0]
        expected = [correlations[other] for other in others]
        np.testing.assert_allclose(page.values[2 * K + 10 :], expected, rtol=1e-4)
        pictures = [e.attributes["src"].split("/")[-1] for e in page.all("img")]
        assert pictures[-len(others) :] == [f"{other}.webp" for other in others]


def test_a_feature_map_that_is_never_active(gallery, model, images):
    (silent,) = np.flatnonzero(~maxima_of(model, images, FIRST).any(axis=0))
    page = map_page(gallery, FIRST, silent)
    assert page.values[2 * K : 2 * K + 3] == [0, 0, 0]
    assert "The mean is not above 0 for any class." in page.text
    assert "Co-activated feature maps" not in page.text
    assert "1 not active in any of 13 images" in Page.read(
        gallery / addresses.layer_page(FIRST)
    ).text.replace("  ", " ")


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_lists_its_maps(gallery, model, images, layer):
    maxima = maxima_of(model, images, layer)
    tiles = [
        e.attributes
        for e in Page.read(gallery / addresses.layer_page(layer)).all("li")
        if "data-number" in e.attributes
    ]
    assert [int(tile["data-number"]) for tile in tiles] == list(range(LAYERS[layer]))
    strongest = [float(tile["data-strongest"]) for tile in tiles]
    np.testing.assert_allclose(strongest, maxima.max(axis=0), rtol=1e-5)
    rates = [float(tile["data-rate"]) for tile in tiles]
    np.testing.assert_allclose(rates, (maxima > 0).mean(axis=0))
    assert {name for tile in tiles for name in tile["data-classes"].split(", ")} <= {*LABELS, ""}


def test_the_search_knows_all_maps(gallery, model, images):
    text = (gallery / "search.js").read_text()
    assert text.startswith("window.galleryIndex = ")
    index = json.loads(text.removeprefix("window.galleryIndex = ").removesuffix(";\n"))
    assert [layer for layer, _, _ in index] == [
        FIRST,
        *sorted([NESTED, SECOND], key=list(LAYERS).index),
    ]
    for layer, folder, maps in index:
        assert folder == addresses.layer_folder(layer)
        maxima = maxima_of(model, images, layer)
        np.testing.assert_allclose([m[0] for m in maps], maxima.max(axis=0), rtol=1e-3)
        np.testing.assert_allclose([m[1] for m in maps], (maxima > 0).mean(axis=0), rtol=1e-3)


def test_overview_tells_of_the_model(gallery, model):
    page = Page.read(gallery / "index.html")
    assert page.values[:2] == [model.count_params(), NUM_IMAGES]
    assert page.values[2:] == [140.0, 64.0, 24.0, 15.0] or sorted(page.values[2:]) == [
        15,
        24,
        64,
        140,
    ]
    for name in ("Dead filters", "Dominant filters", "Aliasing"):
        assert name in page.text
    assert "whole image" in page.text


def test_only_the_first_layer_shows_filters(gallery):
    for layer, num_maps in LAYERS.items():
        for feature in range(num_maps):
            sources = [e.attributes["src"] for e in map_page(gallery, layer, feature).all("img")]
            assert (f"filter-{feature}.webp" in sources) == (layer == FIRST)


def test_occlusion_pages(gallery, occlusions):
    result = occlusions[0].result
    page = Page.read(gallery / "occlusion" / "0.html")
    np.testing.assert_allclose(
        page.values, [result.base_probability, result.probability.min()], rtol=1e-6
    )
    assert f"Occlusion of {EVIL}.png" in " ".join(page.text.split())
    watched = map_page(gallery, SECOND, 2).references
    assert {"../../occlusion/0.html", "../../occlusion/1.html"} <= set(watched)
    assert "../../occlusion/0.html" not in map_page(gallery, SECOND, 1).references
    assert "Image 1" in Page.read(gallery / "occlusion" / "1.html").text


# Names that nobody can trust


def test_names_stay_text(gallery, model):
    for path in pages_of(gallery):
        page = Page.read(path)
        assert all(script.attributes.get("src") for script in page.all("script"))
        assert not any(
            script.text and "".join(script.text).strip() for script in page.all("script")
        )
        for element in page.elements:
            assert not [name for name in element.attributes if name.startswith("on")]
        assert all(".webp" in e.attributes["src"] for e in page.all("img"))
        assert model.name in page.text


def test_hostile_names_are_shown_as_they_are(gallery):
    assert FIRST in Page.read(gallery / addresses.layer_page(FIRST)).text
    assert NESTED in Page.read(gallery / addresses.layer_page(NESTED)).text
    assert EVIL in map_page(gallery, FIRST, 0).text


# Other models and images


def test_fewer_images_than_places(write, images):
    folder = write([SECOND], images=images[:2])
    page = map_page(folder, SECOND, 0)
    assert sorted([page.values[1], page.values[3]]) == [0, 1]
    assert len([e for e in page.all("span") if e.attributes.get("class") == "cell"]) == 4


def test_units_of_a_dense_layer(write):
    folder = write("dense")
    page = map_page(folder, "dense", 1)
    assert "unit 1" in " ".join(page.text.split())
    assert "column" not in page.text


def test_images_of_a_folder_are_named(write, tmp_path):
    photographs = tmp_path / "photographs"
    for number, pixels in enumerate(random_images(4)):
        path = photographs / ("cat" if number % 2 else "a & b") / f"<i>{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.astype("uint8")).save(path)
    page = map_page(write([SECOND], images=ImageFolder(photographs, SIZE)), SECOND, 0)
    assert "cat/<i>1.png" in page.text
    assert "a & b/<i>0.png" in page.text
    assert not page.all("i")


def test_grey_images(write):
    layers = keras.layers
    model = keras.Sequential(
        [keras.Input((*SIZE, 1)), layers.Conv2D(3, 3, activation="relu", name="conv")]
    )
    folder = write(model=model, images=random_images()[..., :1])
    assert (folder / addresses.filter_picture("conv", 2)).is_file()


def test_enough_images_for_all_findings(write):
    folder = write([SECOND], images=random_images(50))
    assert "Over 50 images, in 3 of 3 convolution layers" in Page.read(folder / "index.html").text
    assert not list((folder / "arrays").glob("*scan*"))


def test_a_model_without_convolutions_has_no_findings(write):
    layers = keras.layers
    model = keras.Sequential(
        [keras.Input((*SIZE, 3)), layers.Flatten(), layers.Dense(3, name="dense")]
    )
    page = Page.read(write(["dense"], model=model) / "index.html")
    assert "has no convolution layer whose filters could be diagnosed" in page.text


# Mistakes, told before the long work


@pytest.mark.usefixtures("eager_functions")
def test_mistakes_are_told(write, model, images, convolutions):
    with pytest.raises(ValueError, match="The model has no layer 'conv9'"):
        write(["conv9"])
    with pytest.raises(ValueError, match=r"read only once|whether it has an end"):
        write(images=iter([images]))
    with pytest.raises(ValueError, match=r"one label for each image.*2 labels for 13 images"):
        write(labels=["a", "b"])
    with pytest.raises(ValueError, match="preprocessing='rgb'"):
        write(preprocessing="rgb")
    assert convolutions.num_new() == 0


def test_a_model_without_convolutions_needs_layers(write):
    model = keras.Sequential([keras.Input((*SIZE, 3)), keras.layers.Flatten()], name="flat")
    with pytest.raises(ValueError, match="The model 'flat' has no convolution layers, and no"):
        write(model=model)


@pytest.mark.usefixtures("eager_functions")
def test_a_layer_without_a_rule_is_refused(write, convolutions):
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((*SIZE, 3)),
            layers.Conv2D(4, 3, name="a"),
            layers.LayerNormalization(name="norm"),
            layers.Conv2D(4, 3, name="b"),
        ]
    )
    with pytest.raises(ValueError, match="norm"):
        write(model=model)
    assert convolutions.num_new() == 0


# Several methods


def test_sprites_hold_the_projections_by_each_method(by_methods, model, images):
    found = kv.visualize_features(
        model,
        SECOND,
        images,
        [1],
        k=4,
        methods=["deconvnet", "guided", brightness],
        preprocessing="raw",
        verbose=0,
    )
    layout = SpriteLayout.of(4, found["guided"].projections.shape[2:4], 4)
    with Image.open(by_methods / addresses.sprite(SECOND, 1)) as picture:
        assert picture.size == layout.size[::-1]
        sprite = np.asarray(picture.convert("RGBA")).astype(int)
    expected = feature_sprite([*found.values()], 0)
    opaque = expected[..., 3] == 255
    np.testing.assert_array_equal(sprite[opaque], expected[opaque])
    np.testing.assert_array_equal(sprite[..., 3], expected[..., 3])


def test_pages_name_the_methods_and_say_how_far_each_goes(by_methods):
    page = Page.read(by_methods / addresses.layer_page(SECOND))
    choices = [
        e.attributes["data-panel"] for e in page.all("input") if "data-panel" in e.attributes
    ]
    assert choices == ["deconvnet", "guided", "mine", "patches", "all"]
    found = LayerFidelity.load(by_methods / "arrays" / f"fidelity-{addresses.slug(SECOND)}.npz")
    assert found.methods == ("deconvnet", "guided", "mine", "gradient")
    assert "99th percentile" in page.text
    page = map_page(by_methods, SECOND, 1)
    alts = [e.attributes["alt"] for e in page.all("img")]
    first = [alt for alt in alts if alt.endswith("of activation 1")]
    assert [alt.split(" of ")[0] for alt in first] == [
        *("Projection by deconvnet", "Projection by guided", "Projection by mine", "Image patch")
    ]


def test_pages_show_the_most_relevant_images(by_methods, model, images):
    top = kv.analyses.find_top_relevances(model, SECOND, images, k=4, verbose=0)[SECOND]
    strongest = kv.find_top_activations(model, SECOND, images, k=4, verbose=0)[SECOND]
    num_disagreeing = 0
    for feature in range(LAYERS[SECOND]):
        page, positive = map_page(by_methods, SECOND, feature), top.values[feature] > 0
        alts = [e.attributes["alt"] for e in page.all("img")]
        shown = [alt for alt in alts if alt.startswith("Image patch of relevant")]
        assert len(shown) == positive.sum()
        if not positive.any():
            assert "does not add to the score in any image" in page.text
            continue
        assert f"relevance-{feature}.webp" in page.references
        assert (by_methods / addresses.relevance_sprite(SECOND, feature)).is_file()
        indices = top.image_indices[feature][positive]
        shared = len(set(indices) & set(strongest.image_indices[feature]))
        place = 2 * 4  # behind the strongest activations and their images
        assert page.values[place] == shared
        np.testing.assert_allclose(
            page.values[place + 1 : place + 1 + 2 * len(indices) : 2],
            top.values[feature][positive],
            rtol=1e-4,
        )
        assert page.values[place + 2 : place + 2 + 2 * len(indices) : 2] == indices.tolist()
        disagrees = shared < len(indices) / 2
        assert ("mostly relevant in images other than its strongest" in page.text) == disagrees
        num_disagreeing += disagrees
    page = Page.read(by_methods / addresses.layer_page(SECOND))
    text = " ".join(page.text.split())
    assert f"Mostly relevant in images other than their strongest: {num_disagreeing} of 4" in text


@pytest.mark.usefixtures("eager_functions")
@pytest.mark.parametrize("wrong", [np.zeros((1, 3)), np.full((1, *SIZE), np.nan)])
def test_a_method_that_returns_no_maps_is_refused_before_the_scan(write, convolutions, wrong):
    with pytest.raises(ValueError, match="mine"):
        write([SECOND], methods={"mine": lambda model, layer, images, target: wrong})
    assert {num_images for _, (num_images, *_) in convolutions.calls} <= {1}
