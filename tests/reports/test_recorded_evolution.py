import dataclasses

import numpy as np
import pytest
from PIL import Image

from kerasvis.analyses import Evolution
from kerasvis.figures import signed_to_rgb
from kerasvis.graph import feature_extractor
from kerasvis.reports import addresses, write_gallery
from kerasvis.reports.recorded_evolution import RecordedEvolution
from tests.reports.small_galleries import (
    EPOCHS,
    FIRST,
    NESTED,
    SECOND,
    WATCHED,
    Page,
    convnets_of_epochs,
    files_of,
    pages_of,
)

K = 9
COLUMNS = ("activations", "image_indices", "positions", "projections", "patches", "boxes")
MAPS = [(layer, feature) for layer, features in WATCHED.items() for feature in features]


def evolution_page(gallery, layer, feature):
    return Page.read(gallery / addresses.map_page(layer, feature))


@pytest.fixture(scope="module")
def strongest(images):
    """`{layer: (values, image indices)}`, each `(epochs, maps)`, by NumPy."""
    found = {}
    for layer in WATCHED:
        maxima = np.stack(
            [
                feature_extractor(model, [layer]).predict(images, verbose=0)[0].max(axis=(1, 2))
                for model in convnets_of_epochs().values()
            ]
        )
        found[layer] = maxima.max(axis=1), maxima.argmax(axis=1)
    return found


# What the pages tell


@pytest.mark.parametrize(("layer", "feature"), MAPS)
def test_epochs_and_values_are_those_of_the_models(evolving, strongest, layer, feature):
    found = evolution_page(evolving, layer, feature).values[2 * K : 2 * K + 2 * len(EPOCHS)]
    assert found[::2] == list(EPOCHS)
    np.testing.assert_allclose(found[1::2], strongest[layer][0][:, feature], rtol=1e-5)


@pytest.mark.parametrize(("layer", "feature"), MAPS)
def test_a_mark_where_the_strongest_image_changes(evolving, strongest, layer, feature):
    page = evolution_page(evolving, layer, feature)
    begin = next(i for i, e in enumerate(page.elements) if e.attributes.get("id") == "evolution")
    items = [e for e in page.elements[begin:] if e.tag == "li"][: len(EPOCHS)]
    image_indices = strongest[layer][1][:, feature]
    changed = [False, *(image_indices[1:] != image_indices[:-1]).tolist()]
    assert [e.attributes.get("class") == "jump" for e in items] == changed
    assert page.text.count("other image") == sum(changed)


def test_there_are_marks_and_steps_without(strongest):
    changed = [
        strongest[layer][1][1:, feature] != strongest[layer][1][:-1, feature]
        for layer, feature in MAPS
    ]
    assert not np.any(changed, axis=0)[0]
    assert np.any(changed, axis=0)[1]


@pytest.mark.parametrize("number", [0, 1])
def test_the_sprite_holds_projections_and_patches_epoch_by_epoch(evolving, evolution, number):
    maps = evolution[FIRST]
    feature = int(maps.feature_indices[number])
    with Image.open(evolving / addresses.evolution_sprite(FIRST, feature)) as image:
        pixels = np.asarray(image.convert("RGB"))
    assert pixels.shape == (2 * 3, 4 * 3, 3)  # two columns of each, of 3×3 pixels
    for epoch, (row, column) in enumerate([(0, 0), (0, 1), (1, 0)]):
        tile = pixels[3 * row : 3 * row + 3]
        projection = tile[:, 3 * column : 3 * column + 3]
        np.testing.assert_array_equal(projection, signed_to_rgb(maps.projections[number, epoch]))
        patch = tile[:, 6 + 3 * column : 9 + 3 * column]
        np.testing.assert_array_equal(patch, maps.patches[number, epoch])


def test_pictures_are_loaded_when_seen_and_described(evolving):
    pictures = [
        e.attributes
        for e in evolution_page(evolving, FIRST, 3).all("img")
        if e.attributes["src"] == "evolution-3.webp"
    ]
    assert [picture["alt"] for picture in pictures] == [
        f"{what} at epoch {epoch}" for epoch in EPOCHS for what in ("Projection", "Image patch")
    ]
    assert {picture["loading"] for picture in pictures} == {"lazy"}


def test_patches_that_were_left_out_are_not_shown(write, evolution, evolving):
    nothing = evolution[FIRST].patches[:, :, :0, :0]
    folder = write([FIRST], evolution=with_maps(evolution, patches=nothing))
    page = evolution_page(folder, FIRST, 3)
    pictures = [e for e in page.all("img") if e.attributes["src"] == "evolution-3.webp"]
    assert [e.attributes["alt"] for e in pictures] == [f"Projection at epoch {e}" for e in EPOCHS]
    assert "the projection, without the image patch" in page.text
    assert "below the image patch" not in page.text
    address = addresses.evolution_sprite(FIRST, 3)
    with Image.open(folder / address) as image, Image.open(evolving / address) as with_patches:
        shown, expected = (np.asarray(x.convert("RGBA")) for x in (image, with_patches))
    np.testing.assert_array_equal(shown[:, :6], expected[:, :6])
    assert not shown[:, 6:, 3].any()


def test_maps_that_were_not_watched_show_none(evolving, gallery):
    page = evolution_page(evolving, FIRST, 1)
    assert "Evolution" not in page.text
    assert not (evolving / addresses.evolution_sprite(FIRST, 1)).exists()
    assert not [path for path in gallery.rglob("*") if "evolution" in path.name]
    assert all("Evolution" not in Page.read(path).text for path in pages_of(gallery))


@pytest.mark.parametrize("layer", WATCHED)
def test_the_layer_leads_to_its_maps_with_an_evolution(evolving, layer):
    references = Page.read(evolving / addresses.layer_page(layer)).references
    found = [reference for reference in references if reference.endswith("#evolution")]
    assert found == [f"{feature}.html#evolution" for feature in sorted(WATCHED[layer])]


def test_every_reference_leads_to_a_file_of_the_gallery(evolving):
    for page in pages_of(evolving):
        for reference in Page.read(page).references:
            path, _, fragment = reference.partition("#")
            target = (page.parent / path).resolve() if path else page
            assert target.is_file(), f"{page} leads to {reference}"
            assert target.is_relative_to(evolving.resolve())
            assert not fragment or f'id="{fragment}"' in target.read_text()


# Building


@pytest.mark.usefixtures("eager_functions")
def test_given_later_it_redoes_nothing(write, evolution, convolutions):
    folder = write([FIRST, SECOND])
    before = files_of(folder)
    convolutions.num_new()
    write([FIRST, SECOND], evolution=evolution)
    assert convolutions.num_new() == 0
    after = files_of(folder)
    watched = WATCHED[FIRST]
    assert after.keys() - before.keys() == {addresses.evolution_sprite(FIRST, f) for f in watched}
    assert {path for path in before if after[path] != before[path]} == {
        addresses.layer_page(FIRST),
        *(addresses.map_page(FIRST, feature) for feature in watched),
    }


@pytest.mark.usefixtures("eager_functions")
def test_the_same_again_writes_nothing(evolving, evolution, model, images, convolutions):
    before = files_of(evolving)
    write_gallery(model, FIRST, images, evolving, evolution=evolution, verbose=0)
    assert convolutions.num_new() == 0
    assert files_of(evolving) == before


def first_epochs(evolution, number):
    """The evolution as it was after fewer epochs."""

    def cut(maps):
        arrays = {name: array[:, :number] for name, array in vars(maps).items() if name in COLUMNS}
        return dataclasses.replace(maps, **arrays)

    features = {layer: cut(maps) for layer, maps in evolution.features.items()}
    return Evolution(evolution.epochs[:number], features)


def test_more_epochs_take_the_place_of_fewer(write, evolving, evolution):
    write([FIRST, NESTED], evolution=first_epochs(evolution, 1))
    folder = write([FIRST, NESTED], evolution=evolution)
    ours, theirs = (
        {p: content for p, (content, _) in files_of(f).items()} for f in (folder, evolving)
    )
    assert ours == theirs


# What is told


def test_panels_of_other_channels(evolution):
    maps = evolution[FIRST]
    four = dataclasses.replace(
        maps, **{n: np.repeat(getattr(maps, n)[..., :1], 4, -1) for n in ("projections", "patches")}
    )
    recorded = RecordedEvolution(evolution.epochs, four)
    assert recorded.layout == (2, 2, (3, 3), 8)
    texts = [panel.text for panel in recorded.panels]
    assert texts[3:5] == ["Projection, channel 3", "Image patch, channel 0"]
    assert RecordedEvolution(evolution.epochs, four, (2, 1, 0)).layout == (2, 2, (3, 3), 2)
    nothing = np.zeros((*four.patches.shape[:2], 0, 0, 4), "uint8")
    without = RecordedEvolution(evolution.epochs, dataclasses.replace(four, patches=nothing))
    assert len(without.panels) == 4


def test_steps_of_a_map(evolution):
    recorded = RecordedEvolution(evolution.epochs, evolution[FIRST])
    assert recorded.features == [0, 3]
    assert recorded.layout == (2, 2, (3, 3), 2)
    assert recorded.steps(1) == []
    steps = recorded.steps(3)
    assert [(step.place, step.epoch) for step in steps] == [(0, 1), (1, 4), (2, 20)]
    assert [step.activation for step in steps] == evolution[FIRST].activations[0].tolist()
    assert [step.is_jump for step in steps] == evolution[FIRST].jumps[0].tolist()


# Evolutions of something else


def renamed(evolution, layer, name):
    maps = dataclasses.replace(evolution[layer], layer=name)
    return Evolution(evolution.epochs, {name: maps})


def with_maps(evolution, **changes):
    return Evolution(evolution.epochs, {FIRST: dataclasses.replace(evolution[FIRST], **changes)})


@pytest.mark.usefixtures("eager_functions")
def test_the_evolution_of_another_model_is_refused(write, evolution, convolutions, tmp_path):
    remedy = r"give the snapshots of this model's training\."
    sentence = f"shows layer 'conv9', which the model '.*' does not have: {remedy}"
    with pytest.raises(ValueError, match=sentence):
        write(evolution=renamed(evolution, FIRST, "conv9"))
    sentence = rf"shows feature map 5 of layer 'Conv\.1', which has 5 in this model: {remedy}"
    with pytest.raises(ValueError, match=sentence):
        write(evolution=with_maps(evolution, feature_indices=np.array([0, 5])))
    larger = np.zeros((2, 3, 5, 4, 3), "float32")
    sentence = rf"windows of 5×4 .* layer 'Conv\.1', whose receptive field is 3×3 in .*: {remedy}"
    with pytest.raises(ValueError, match=sentence):
        write(evolution=with_maps(evolution, projections=larger))
    with pytest.raises(ValueError, match=r"Give an Evolution, .* Received: evolution='folder'"):
        write(evolution="folder")
    assert convolutions.num_new() == 0
    assert list(tmp_path.iterdir()) == []
