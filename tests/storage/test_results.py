"""All results: they come back from files as they were, or are refused with the reason."""

import dataclasses
import re
from typing import Annotated, NamedTuple

import numpy as np
import pytest

from kerasvis.storage.fields import Array, field_of, names_of
from kerasvis.storage.files import write_npz
from kerasvis.storage.results import Result
from tests.storage.example_results import Examples, changed, result_classes

CLASSES = result_classes()


class Pair(NamedTuple):
    values: Annotated[np.ndarray, Array("float32", "features", "k")]
    positions: Annotated[np.ndarray, Array("int32", "features", "k", 2)]


@dataclasses.dataclass(frozen=True, eq=False)
class Inner(Result):
    name: str
    pair: Pair


@dataclasses.dataclass(frozen=True, eq=False)
class Whole(Result):
    text: str
    number: int
    share: float
    is_so: bool
    texts: tuple[str, ...]
    size: tuple[int, int]
    settings: dict
    names: Annotated[np.ndarray, Array("str", "names")]
    maps: dict[str, Annotated[np.ndarray, Array("float32", "rows", ...)]]
    pairs: dict[str, Pair]
    inner: tuple[Inner, ...]
    projection: Annotated[np.ndarray, Array("float64", "rows", "columns")] | None
    check: Inner | None


@pytest.fixture(params=[0, 1, 2, "empty"])
def whole(request):
    if request.param == "empty":
        return Examples(is_empty=True).of(Whole)
    return Examples(request.param).of(Whole)


def test_a_result_comes_back(whole, tmp_path):
    whole.save(tmp_path / "a.npz")
    loaded = Whole.load(tmp_path / "a.npz")
    assert loaded == whole
    for name in ("text", "number", "share", "is_so", "texts", "size", "projection", "check"):
        assert type(getattr(loaded, name)) is type(getattr(whole, name))
    assert all(type(number) is int for number in loaded.size)


def test_names_of_arrays():
    pair = Pair(np.ones((2, 3), "float32"), np.ones((2, 3, 2), "int32"))
    assert list(Inner("a", pair).to_arrays()) == [
        *("kerasvis/class", "kerasvis/version"),
        *("name", "pair/values", "pair/positions"),
    ]


@pytest.mark.parametrize("is_empty", [False, True])
@pytest.mark.parametrize("name", CLASSES)
def test_every_class_comes_back(name, is_empty, tmp_path):
    kind = CLASSES[name]
    for seed in range(3):
        result = Examples(seed, is_empty).of(kind)
        result.save(tmp_path / "result.npz")
        assert kind.load(tmp_path / "result.npz") == result


@pytest.mark.parametrize("name", CLASSES)
def test_every_class_compares_by_value(name):
    result = Examples().of(CLASSES[name])
    assert result == Examples().of(CLASSES[name])
    for field, other in changed(result):
        assert result != other, field
    assert result != 5
    with pytest.raises(TypeError, match="unhashable"):
        hash(result)


@pytest.mark.parametrize(
    "name", [name for name, kind in CLASSES.items() if kind._repr_html_ is Result._repr_html_]
)
def test_every_class_shows_itself(name):
    """The other classes are in `test_html_table.py`."""
    html = Examples().of(CLASSES[name])._repr_html_()
    assert html.count("<tr>") == 1 + len(names_of(CLASSES[name]))
    assert "<b>größer" not in html


def may_be_missing(kind, key):
    """Whether earlier files do not have it: class and version, and fields that were added later."""
    name = key.rpartition("/")[2]
    has_default = any(hasattr(of, name) for of in CLASSES.values() if name in names_of(of))
    return key.startswith("kerasvis/") or has_default


@pytest.mark.parametrize("name", CLASSES)
def test_every_class_refuses_what_is_damaged(name, tmp_path):
    """One array after the other is missing, or something else."""
    kind, file = CLASSES[name], tmp_path / "a.npz"
    arrays = Examples().of(kind).to_arrays()
    for key in arrays:
        for other in (None, np.zeros((1,) * 9, "complex64")):
            if other is None and may_be_missing(kind, key):
                continue
            damaged = {k: v for k, v in arrays.items() if k != key}
            write_npz(file, damaged if other is None else damaged | {key: other})
            with pytest.raises(ValueError, match=f"not an .npz file .*{re.escape(repr(key))}"):
                kind.load(file)


def test_values_are_equal_by_content():
    one = Examples().of(Whole)
    not_a_number = dataclasses.replace(one, share=float("nan"))
    assert not_a_number == dataclasses.replace(one, share=float("nan"))
    assert not_a_number != one
    assert dataclasses.replace(one, names=one.names.astype("U99")) == one


def test_the_order_of_a_dict_counts():
    maps = {"b": np.ones((1, 2), "float32"), "a": np.ones((1, 2), "float32")}
    one = dataclasses.replace(Examples().of(Whole), maps=maps)
    other = dataclasses.replace(one, maps=dict(sorted(maps.items())))
    assert one != other
    assert list(other.maps) == ["a", "b"]


@pytest.mark.parametrize(
    "other",
    [np.ones(3, "float64"), np.ones(4, "float32"), np.ones((1, 3), "float32"), 1.0, None],
    ids=str,
)
def test_arrays_differ_by_dtype_and_shape(other):
    result = Inner("a", Pair(np.ones(3, "float32"), None))
    assert result == Inner("a", Pair(np.ones(3, "float32"), None))
    assert result != Inner("a", Pair(other, None))


def pair(values=(2, 3), positions=(2, 3, 2), dtype="float32"):
    return Inner("a", Pair(np.ones(values, dtype), np.ones(positions, "int32")))


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (pair(dtype="float64"), "'pair/values' is float64 (2, 3), but float32 (features, k)"),
        (pair(values=(2,)), "'pair/values' is float32 (2,), but float32 (features, k) was"),
        (pair(positions=(2, 3, 1)), "(2, 3, 1), but int32 (features, k, 2) was expected"),
        (pair(positions=(2, 4, 2)), "int32 (features, k, 2) with 3 k was expected"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_does_not_fit_is_neither_saved_nor_loaded(wrong, sentence, tmp_path):
    file = tmp_path / "a.npz"
    with pytest.raises(ValueError, match=re.escape(sentence)):
        wrong.save(file)
    assert not file.exists()
    arrays = {"pair/values": wrong.pair.values, "pair/positions": wrong.pair.positions}
    write_npz(file, pair().to_arrays() | arrays)
    with pytest.raises(ValueError, match=re.escape(sentence) + f".*Received: filepath='{file}'$"):
        Inner.load(file)


def test_a_file_of_another_class(tmp_path):
    pair().save(tmp_path / "a.npz")
    with pytest.raises(ValueError, match="contains a result `Inner`, which `Inner"):
        Whole.load(tmp_path / "a.npz")


@dataclasses.dataclass(frozen=True, eq=False)
class Renamed(Result):
    """The third version of a class, which in the second had another name for its field."""

    version = 3
    height: int

    @classmethod
    def upgraded(cls, arrays, version):
        if version < 2:
            return super().upgraded(arrays, version)
        return {"height": arrays["size"]}


@pytest.mark.parametrize(
    ("version", "sentence"),
    [(4, "of version 4, but 3 was expected: update kerasvis"), (1, "but 3 .*: compute it again")],
)
def test_a_file_of_another_version(version, sentence, tmp_path):
    write_npz(tmp_path / "a.npz", Renamed(5).to_arrays() | {"kerasvis/version": np.array(version)})
    with pytest.raises(ValueError, match=sentence + ".*Received: filepath="):
        Renamed.load(tmp_path / "a.npz")


def test_a_file_of_an_earlier_version_is_upgraded(tmp_path):
    write_npz(tmp_path / "a.npz", {"size": np.array(7), "kerasvis/version": np.array(2)})
    assert Renamed.load(tmp_path / "a.npz").height == 7


def test_a_file_from_before_there_were_versions(tmp_path):
    arrays = {k: v for k, v in pair().to_arrays().items() if not k.startswith("kerasvis/")}
    write_npz(tmp_path / "a.npz", arrays | {"further": np.ones(1)})
    assert Inner.load(tmp_path / "a.npz") == pair()


@pytest.mark.parametrize("kind", [list, set[int], complex, np.ndarray | int, tuple[list, ...]])
def test_types_without_a_rule(kind):
    with pytest.raises(TypeError, match="Fields cannot be of type"):
        field_of(kind)


def test_a_result_prints_in_short():
    whole = Whole(
        text="a",
        number=-3,
        share=0.5,
        is_so=True,
        texts=("conv",) * 1234,
        size=(5, 7),
        settings={"k": 9, "of": "x" * 10**6},
        names=np.array(["a", "bc"]),
        maps={"conv1": np.ones((9, 5, 7, 3), "float32"), "conv2": np.ones((2, 0), "float32")},
        pairs={f"conv{i}": Pair(np.ones((2, 3), "float32"), None) for i in range(7)},
        inner=(Inner("a", Pair(None, None)),),
        projection=np.ones((31, 17)),
        check=None,
    )
    assert repr(whole) == str(whole)
    for fact in (
        "Whole(text='a', number=-3, share=0.5, is_so=True, texts=<1,234 values>, size=(5, 7), ",
        "settings={'k': 9, 'of': 'xxx",
        "names=str (2,), maps={'conv1': float32 (9, 5, 7, 3), 'conv2': float32 (2, 0)}, ",
        "pairs=<7 values>, inner=(Inner,), projection=float64 (31, 17), check=None)",
    ):
        assert fact in repr(whole)
    assert len(repr(whole)) < 600


@pytest.mark.parametrize("name", CLASSES)
def test_every_class_prints_in_short(name):
    """No array is written out."""
    result = Examples().of(CLASSES[name])
    assert repr(result).startswith(f"{name}(")
    assert "array(" not in repr(result)
    assert len(repr(result)) < 200 * (1 + len(names_of(CLASSES[name])))


def test_fields_as_a_table():
    whole = dataclasses.replace(
        Examples().of(Whole), text="<script>", texts=("conv",) * 99, check=None, projection=None
    )
    html = whole._repr_html_()
    assert "<tr><td>text</td><td>&lt;script&gt;</td></tr>" in html
    assert "<tr><td>texts</td><td>conv, conv" in html
    assert "<tr><td>check</td><td>None</td></tr>" in html
    assert f"<td>names</td><td>str ({len(whole.names)},)</td>" in html
    assert max(map(len, html.splitlines())) < 200
