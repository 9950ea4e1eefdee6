import pytest

from kerasvis.reports.built_from import check_built_from, note_built_from

BUILT_FROM = {"model": "a", "images": "b", "k": 9}


@pytest.fixture
def note(tmp_path):
    return tmp_path / "gallery" / "arrays" / "built_from.json"


def test_a_new_gallery_may_be_of_anything(note):
    check_built_from(note, BUILT_FROM)
    assert not note.exists()


def test_the_same_goes_on(note):
    note_built_from(note, BUILT_FROM)
    check_built_from(note, dict(reversed(BUILT_FROM.items())))


def test_something_else_is_refused(note):
    note_built_from(note, BUILT_FROM)
    sentence = (
        r"The gallery in .*gallery was begun with other model and k: go on with what it was begun "
        r"with, delete it, or give another folder\."
    )
    with pytest.raises(ValueError, match=sentence):
        check_built_from(note, BUILT_FROM | {"model": "c", "k": 4})


@pytest.mark.parametrize("content", ["", "{", "3", "[1]", '"text"'])
def test_a_damaged_note_is_refused(note, content):
    note.parent.mkdir(parents=True)
    note.write_text(content)
    with pytest.raises(ValueError, match="is damaged, so that it is not known what the gallery"):
        check_built_from(note, BUILT_FROM)
