import re

import hypothesis
import pytest
from hypothesis import strategies

from kerasvis.reports import addresses


@pytest.mark.parametrize("name", ["conv1", "fire2_expand3x3", "block-2", "0"])
def test_a_plain_name_is_kept(name):
    assert addresses.slug(name) == name


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("Conv1", "conv1"),
        ("outer/inner", "outer-inner"),
        ("../../etc", "etc"),
        ("<script>", "script"),
        ("conv1:2", "conv1-2"),
        ("aux", "aux"),
        ("x" * 300, "x" * 48),
        ("a-0123456789abcdef", "a-0123456789abcdef"),
    ],
)
def test_any_other_name_gets_a_digest(name, kept):
    assert re.fullmatch(re.escape(kept) + "-[0-9a-f]{16}", addresses.slug(name))


@pytest.mark.parametrize("name", ["", "..", "/", "特徴", "\udcff"])
def test_a_name_of_which_nothing_is_left_is_a_digest(name):
    assert re.fullmatch("[0-9a-f]{16}", addresses.slug(name))


@hypothesis.given(strategies.text())
def test_a_slug_is_one_plain_part_of_a_path(name):
    assert re.fullmatch("[a-z0-9_-]{1,65}", addresses.slug(name))


@hypothesis.given(strategies.text(), strategies.text())
def test_a_slug_belongs_to_one_name(name, other):
    assert (addresses.slug(name) == addresses.slug(other)) == (name == other)


def test_a_slug_taken_for_a_name_is_not_itself():
    slug = addresses.slug("Conv1")
    assert addresses.slug(slug) != slug


def test_addresses_lie_in_the_layer_folder():
    folder = "layers/conv1"
    assert addresses.layer_page("conv1") == f"{folder}/index.html"
    assert addresses.map_page("conv1", 7) == f"{folder}/7.html"
    assert addresses.sprite("conv1", 7) == f"{folder}/7.webp"
    assert addresses.evolution_sprite("conv1", 7) == f"{folder}/evolution-7.webp"
    assert addresses.filter_picture("conv1", 7) == f"{folder}/filter-7.webp"
