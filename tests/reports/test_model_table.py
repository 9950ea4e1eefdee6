import hypothesis
import keras
import pytest
from hypothesis import strategies

from kerasvis.reports.model_table import edges, lanes, model_table
from tests.reports.small_galleries import FIRST, SECOND, SIZE, small_convnet


@pytest.fixture(scope="module")
def table():
    return model_table(small_convnet(), SIZE)


def test_every_call_is_a_row(table):
    assert sorted(row.name for row in table) == sorted(
        ["image", FIRST, "pool", "../..", SECOND, "sum", "means", "dense"]
    )
    assert table[0].name == "image"
    assert table[0].shape == (*SIZE, 3)


def test_shapes_types_parameters_and_fields(table):
    rows = {row.name: row for row in table}
    assert rows[FIRST].type_name == "Conv2D"
    assert rows[FIRST].shape == (6, 8, 5)
    assert rows[FIRST].num_parameters == 3 * 3 * 3 * 5 + 5
    assert rows[FIRST].receptive_field.window_size == (3, 3)
    assert rows["../.."].num_parameters == 3 * 5 * 4 + 4
    assert rows["../.."].receptive_field.window_size == (5, 13)
    assert rows["pool"].num_parameters == 0
    assert rows["dense"].receptive_field.is_whole_image
    assert rows["image"].receptive_field is None


def test_edges_join_a_layer_to_its_inputs(table):
    names = [(table[source].name, table[row].name) for source, row in edges(table)]
    assert set(names) == {
        ("image", FIRST),
        (FIRST, "pool"),
        ("pool", "../.."),
        ("pool", SECOND),
        ("../..", "sum"),
        (SECOND, "sum"),
        ("sum", "means"),
        ("means", "dense"),
    }
    assert len(names) == 8


def test_parameters_of_a_shared_layer_count_once():
    inputs = keras.Input((8, 8, 3))
    shared = keras.layers.Conv2D(3, 1, name="shared")
    table = model_table(keras.Model(inputs, shared(shared(inputs))), (8, 8))
    assert [row.name for row in table] == ["image", "shared", "shared:2"]
    assert [row.num_parameters for row in table] == [0, 12, 0]


def test_a_chain_has_one_lane():
    assert lanes([(), (0,), (1,), (2,)]) == [0, 0, 0, 0]


def test_a_residual_has_two_lanes():
    assert lanes([(), (0,), (1,), (0, 2), (3,)]) == [0, 1, 1, 0, 0]


def test_a_lane_is_free_again():
    fire = [(), (0,), (0,), (1, 2), (3,), (3,), (4, 5)]
    assert max(lanes(fire)) == 1


@strategies.composite
def graphs(draw):
    """For each row, some of the earlier rows."""
    num_rows = draw(strategies.integers(1, 12))
    rows = [()]
    for row in range(1, num_rows):
        earlier = strategies.integers(0, row - 1)
        rows.append(tuple(sorted(draw(strategies.sets(earlier, min_size=1, max_size=3)))))
    return rows


@hypothesis.given(graphs())
def test_no_dot_lies_on_a_lane_that_is_still_needed(sources):
    found = lanes(sources)
    for row, earlier in enumerate(sources):
        for source in earlier:
            between = range(source + 1, row)
            assert all(found[other] != found[source] for other in between)
