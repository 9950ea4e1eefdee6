"""The gallery in a browser, opened from disk. Skipped where there is no Chromium."""

import itertools
import re

import pytest

from kerasvis.reports import addresses
from tests.marks import few, slow
from tests.reports.browsers import PHONE, complaints_of_axe
from tests.reports.small_galleries import EPOCHS, EVIL, FIRST, NESTED, SECOND, WATCHED, pages_of


def shown(page):
    """The numbers of the tiles that are shown, in their order."""
    tiles = page.locator("#tiles > li:not([hidden])")
    return [int(n) for n in tiles.evaluate_all("tiles => tiles.map(t => t.dataset.number)")]


def data_of(page, name):
    tiles = page.locator("#tiles > li:not([hidden])")
    return tiles.evaluate_all(f"tiles => tiles.map(t => t.dataset.{name})")


def focused(page):
    return page.evaluate("document.activeElement.getAttribute('href')")


def test_search_finds_a_map_and_leads_to_it(open_page):
    page = open_page("index.html")
    page.fill("#query", "SQUEEZE 2")
    found = page.locator("#found a")
    assert found.count() == 1
    assert found.first.inner_text() == f"{SECOND} 2"
    assert page.inner_text("#num-found") == "1 of 13 feature maps"
    found.first.click()
    assert page.inner_text("h1") == f"{SECOND}, feature map 2"


def test_search_by_class_and_for_nothing(open_page):
    page = open_page("index.html")
    page.fill("#query", "alert(1) conv.1")
    assert 0 < page.locator("#found a").count() <= 5
    assert EVIL in page.locator("#found li").first.inner_text()
    page.fill("#query", "no such class")
    assert page.inner_text("#num-found") == "0 of 13 feature maps"
    page.fill("#query", "")
    assert page.locator("#found a").count() == 0


def test_slash_leads_to_the_search(open_page):
    for address, field in (("index.html", "query"), (addresses.layer_page(FIRST), "filter")):
        page = open_page(address)
        page.keyboard.press("/")
        assert page.evaluate("document.activeElement.id") == field
        page.keyboard.press("/")
        assert page.input_value(f"#{field}") == "/"


def test_a_layer_is_filtered(open_page):
    page = open_page(addresses.layer_page(FIRST))
    assert shown(page) == [0, 1, 2, 3, 4]
    page.fill("#filter", "3")
    assert shown(page) == [3]
    assert page.inner_text("#num-shown") == "1 of 5"
    page.fill("#filter", "zebra")
    assert all("zebra" in classes for classes in data_of(page, "classes"))


@pytest.mark.parametrize(
    ("order", "name", "falls"),
    [
        ("strongest", "strongest", True),
        ("rate", "rate", False),
        slow("sparseness", "sparseness", True),
    ],
)
def test_a_layer_is_sorted_by_numbers(open_page, order, name, falls):
    page = open_page(addresses.layer_page(FIRST))
    page.select_option("#order", order)
    values = [float(value) for value in data_of(page, name)]
    known = [value for value in values if value == value]
    assert known == sorted(known, reverse=falls)
    assert values[: len(known)] == known  # what is not known comes last
    page.select_option("#order", "number")
    assert shown(page) == [0, 1, 2, 3, 4]


def test_a_layer_is_sorted_by_class(open_page):
    page = open_page(addresses.layer_page(FIRST))
    page.select_option("#order", "class")
    classes = data_of(page, "class")
    assert classes[-1] == ""  # the feature map that is never active
    assert len(set(classes)) == 1 + sum(a != b for a, b in itertools.pairwise(classes))


def test_views_show_one_half_or_both(open_page):
    page = open_page(addresses.layer_page(SECOND))
    ratios = {}
    for view in ("0", "1", "all"):
        page.check(f"[name=view][value='{view}']")
        mosaic, picture = (
            page.locator(f"#tiles {part}").first.bounding_box() for part in (".mosaic", "img")
        )
        ratios[view] = mosaic["width"] / mosaic["height"]
        left = {"0": 0, "1": -mosaic["width"], "all": 0}[view]
        assert picture["x"] - mosaic["x"] == pytest.approx(left, abs=1)
        times = 1 if view == "all" else 2
        assert picture["width"] == pytest.approx(times * mosaic["width"], abs=1)
    assert ratios["all"] == pytest.approx(2 * ratios["0"], rel=0.05)


def test_the_view_is_remembered(open_page):
    page = open_page(addresses.layer_page(SECOND))
    page.check("[name=view][data-panel=patches]")
    page.reload()
    assert page.is_checked("[name=view][data-panel=patches]")
    assert "view-one" in page.get_attribute("#tiles", "class")
    page.goto(page.url.replace("index.html", "2.html"))
    assert cells_shown(page) == [False, True]


def cells_shown(page):
    """Which of the panels of the strongest activation are shown on a map's page."""
    cells = page.locator(".pair").first.locator(".cell")
    return [cells.nth(number).is_visible() for number in range(cells.count())]


def test_keys_switch_between_methods_and_patches_of_a_map(open_page, by_methods):
    page = open_page(by_methods / addresses.map_page(SECOND, 2))
    assert cells_shown(page) == [True] * 4
    for key in "1342":
        page.keyboard.press(key)
        assert cells_shown(page) == [str(panel + 1) == key for panel in range(4)]
        cell = page.locator(".cell:visible").first
        box, picture = cell.bounding_box(), cell.locator("img").bounding_box()
        place = 2 * (int(key) - 1)  # in a sprite of 2×2 tiles in each of 4 panels
        assert (box["x"] - picture["x"]) / box["width"] == pytest.approx(place, abs=0.05)
        assert picture["width"] == pytest.approx(8 * box["width"], rel=0.02)
    page.keyboard.press("7")  # there is none
    assert page.is_checked("[name=view][data-panel=guided]")
    page.keyboard.press("ArrowRight")
    page.wait_for_url(re.compile(r"/3\.html$"))
    assert cells_shown(page) == [False, True, False, False]
    page.keyboard.press("0")
    assert cells_shown(page) == [True] * 4


def test_keys_switch_between_methods_and_patches_of_a_layer(open_page, by_methods):
    page = open_page(by_methods / addresses.layer_page(SECOND))
    ratios = {}
    for key in "1234":
        page.keyboard.press(key)
        mosaic, picture = (
            page.locator(f"#tiles {part}").first.bounding_box() for part in (".mosaic", "img")
        )
        left = (picture["x"] - mosaic["x"]) / mosaic["width"]
        assert left == pytest.approx(1 - int(key), abs=0.01)
        ratios[key] = mosaic["width"] / mosaic["height"]
    page.focus("[name=view][data-panel=mine]")
    page.keyboard.press("0")  # a digit is no letter there
    mosaic = page.locator("#tiles .mosaic").first.bounding_box()
    assert mosaic["width"] / mosaic["height"] == pytest.approx(4 * ratios["1"], rel=0.05)
    page.keyboard.press("ArrowDown")  # the next of the choices, not a tile
    assert page.is_checked("[name=view][data-panel=patches]")


def test_arrow_keys_move_among_tiles(open_page):
    page = open_page(addresses.layer_page(FIRST), viewport={"width": 700, "height": 800})
    for key, expected in [
        ("ArrowRight", "0.html"),
        ("ArrowRight", "1.html"),
        ("ArrowDown", "3.html"),  # two in a row
        ("ArrowLeft", "2.html"),
        ("ArrowUp", "0.html"),
        ("ArrowUp", "0.html"),
    ]:
        page.keyboard.press(key)
        assert focused(page) == expected
    page.keyboard.press("Enter")
    assert page.inner_text("h1") == f"{FIRST}, feature map 0"


def test_arrow_keys_lead_to_neighbours(open_page):
    page = open_page(addresses.map_page(FIRST, 0))
    page.keyboard.press("ArrowLeft")  # there is none
    for number in (1, 2, 3):
        page.keyboard.press("ArrowRight")
        page.wait_for_url(re.compile(f"/{number}\\.html$"))
    page.keyboard.press("ArrowLeft")
    page.wait_for_url(re.compile(r"/2\.html$"))
    page.keyboard.press("u")
    page.wait_for_url(re.compile(r"/index\.html$"))
    assert page.inner_text("h1") == FIRST


def test_keys_in_a_field_are_letters(open_page):
    page = open_page(addresses.layer_page(FIRST))
    page.fill("#filter", "zebra")
    page.focus("#filter")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("u")
    assert page.input_value("#filter") == "zebrau"


def test_light_and_dark(open_page):
    def ground(page):
        return page.evaluate("getComputedStyle(document.body).backgroundColor")

    light = open_page("index.html", color_scheme="light")
    dark = open_page("index.html", color_scheme="dark")
    assert ground(light) != ground(dark)
    light.click("#theme")
    assert ground(light) == ground(dark)
    light.goto(light.url.replace("index.html", addresses.map_page(SECOND, 0)))
    assert ground(light) == ground(dark)  # it was remembered


def test_paper_is_light_and_has_no_controls(open_page):
    page = open_page(addresses.layer_page(FIRST), color_scheme="dark")
    page.emulate_media(media="print")  # the system stays dark
    ground, text = page.evaluate(
        "(style => [style.backgroundColor, style.color])(getComputedStyle(document.body))"
    )
    assert ground == "rgb(255, 255, 255)"
    assert text == "rgb(27, 30, 34)"
    for part in (".controls", ".neighbours", "#theme"):
        assert page.locator(part).count() == 1
        assert not page.is_visible(part)
    assert page.is_visible("#tiles")
    assert complaints_of_axe(page) == []


def test_every_page_shows_its_pictures_without_complaint(open_page, gallery):
    page = open_page("index.html")
    for path in pages_of(gallery):
        page.goto(path.as_uri())
        page.evaluate("[...document.images].forEach(i => i.loading = 'eager')")
        page.wait_for_function("[...document.images].every(i => i.complete && i.naturalWidth)")


def test_a_unit_shows_its_own_tile(open_page):
    page = open_page(addresses.map_page(SECOND, 1))
    cells = page.locator(".cell")
    assert cells.count() == 2 * 9
    for place in (0, 4, 8):
        for half in (0, 1):
            cell = cells.nth(2 * place + half)
            box, picture = cell.bounding_box(), cell.locator("img").bounding_box()
            row, column = divmod(place, 3)
            assert (box["x"] - picture["x"]) / box["width"] == pytest.approx(
                column + 3 * half, abs=0.05
            )
            assert (box["y"] - picture["y"]) / box["height"] == pytest.approx(row, abs=0.05)


@pytest.mark.parametrize(("layer", "number"), [slow(FIRST, 0), (FIRST, 1), slow(NESTED, 0)])
def test_an_evolution_is_shown_epoch_by_epoch(open_page, evolving, evolution, layer, number):
    feature = WATCHED[layer][number]
    page = open_page(evolving / addresses.map_page(layer, feature))
    page.evaluate("[...document.images].forEach(i => i.loading = 'eager')")
    page.wait_for_function("[...document.images].every(i => i.complete && i.naturalWidth)")
    numbers = page.locator(".epochs data").evaluate_all("all => all.map(e => Number(e.value))")
    assert numbers[::2] == list(EPOCHS)
    assert numbers[1::2] == pytest.approx(evolution[layer].activations[number].tolist(), rel=1e-6)
    others = page.locator(".epochs .jump .other:visible").count()
    assert others == page.locator(".epochs .other").count() == evolution[layer].jumps[number].sum()
    cells = page.locator(".epochs .cell")
    for place, (row, column) in enumerate([(0, 0), (0, 1), (1, 0)]):  # in a sprite of 2×2
        for half in (0, 1):
            cell = cells.nth(2 * place + half)
            box, picture = cell.bounding_box(), cell.locator("img").bounding_box()
            assert (box["x"] - picture["x"]) / box["width"] == pytest.approx(
                column + 2 * half, abs=0.05
            )
            assert (box["y"] - picture["y"]) / box["height"] == pytest.approx(row, abs=0.05)
            assert picture["width"] == pytest.approx(4 * box["width"], rel=0.05)


def test_an_evolution_is_loaded_when_it_comes_into_view(open_page, evolving):
    layer_page = open_page(evolving / addresses.layer_page(FIRST))
    layer_page.click("a[href='3.html#evolution']")
    layer_page.wait_for_function(
        "[...document.querySelectorAll('.epochs img')].every(i => i.complete && i.naturalWidth)"
    )
    top = layer_page.locator("#evolution").bounding_box()["y"]
    assert 0 <= top < layer_page.viewport_size["height"]


BY_METHODS = ("index.html", addresses.layer_page(SECOND), addresses.map_page(SECOND, 1))
EVOLVING = (addresses.layer_page(FIRST), addresses.map_page(FIRST, 3))

ADDRESSES = (
    "index.html",
    addresses.layer_page(FIRST),
    addresses.map_page(FIRST, 1),
    addresses.map_page(SECOND, 2),
    "occlusion/0.html",
)
SCHEMES = ("light", "dark")


def few_pages(pages, number):
    """Each page in each colour scheme, of which `number` are quick."""
    return few(itertools.product(pages, SCHEMES), number, unpack=True)


@pytest.mark.parametrize("address", ADDRESSES)
def test_pages_fit_on_a_phone(open_page, address):
    page = open_page(address, viewport=PHONE)
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= PHONE["width"]


@pytest.mark.parametrize("address", EVOLVING)
def test_pages_with_an_evolution_fit_on_a_phone(open_page, evolving, address):
    page = open_page(evolving / address, viewport=PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


@pytest.mark.parametrize("address", BY_METHODS)
def test_pages_of_several_methods_fit_on_a_phone(open_page, by_methods, address):
    page = open_page(by_methods / address, viewport=PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


@pytest.mark.slow
@pytest.mark.parametrize(("address", "scheme"), few_pages(BY_METHODS, 1))
def test_pages_of_several_methods_are_accessible(open_page, by_methods, address, scheme):
    assert complaints_of_axe(open_page(by_methods / address, color_scheme=scheme)) == []


@pytest.mark.parametrize(("address", "scheme"), few_pages(ADDRESSES, 2))
def test_pages_are_accessible(open_page, address, scheme):
    assert complaints_of_axe(open_page(address, color_scheme=scheme)) == []


@pytest.mark.parametrize(("address", "scheme"), few_pages(EVOLVING, 1))
def test_pages_with_an_evolution_are_accessible(open_page, evolving, address, scheme):
    assert complaints_of_axe(open_page(evolving / address, color_scheme=scheme)) == []


def test_pages_can_be_read_without_scripts(open_page):
    page = open_page(addresses.layer_page(FIRST), java_script_enabled=False)
    assert page.locator("#tiles > li").count() == 5
    assert not page.is_visible(".controls")
