"""One decision as a page: what is written, and what it says."""

import html.parser
import json
import os
import urllib.parse

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

from kerasvis.analyses import Explanation
from kerasvis.commands.command_line import run

SIZE = (26, 21)
NAMES = ["cat", "dog", "<b>fox</b> & co"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("explain")
    keras.utils.set_random_seed(2)
    model = keras.Sequential(
        [
            keras.Input((*SIZE, 3)),
            layers.Rescaling(1 / 128, offset=-1),
            layers.Conv2D(4, 3, activation="relu", name="conv1"),
            layers.MaxPooling2D(),
            layers.Conv2D(5, 3, activation="relu", name="conv2"),
            layers.Flatten(),
            layers.Dense(3, activation="softmax", name="classes"),
        ]
    )
    model.save(folder / "model.keras")
    (folder / "classes.json").write_text(json.dumps(NAMES))
    random = np.random.default_rng(0)
    (folder / "photographs").mkdir()
    for number in range(3):
        pixels = random.integers(0, 256, (*SIZE, 3)).astype("uint8")
        Image.fromarray(pixels).save(folder / "photographs" / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def explain(folder):
    def explain(*options, image="0.png", out="explanation"):
        given = ["--model", folder / "model.keras", "--image", folder / "photographs" / image]
        given += ["--patch-size", 9, "--strides", 6, "--out", folder / out]
        run(["explain", *map(str, [*given, *options])])
        return folder / out

    return explain


@pytest.fixture(scope="module")
def written(explain, folder):
    return explain("--strongest-in", folder / "photographs", "--relevance", "--num-features", 2)


class Page(html.parser.HTMLParser):
    """Texts and addresses of a page."""

    def __init__(self, path):
        super().__init__()
        self.texts, self.addresses, self.tags = [], [], set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data):
        self.texts.append(" ".join(data.split()))


def test_all_that_the_page_leads_to_is_there(written):
    page = Page(written / "index.html")
    inside = [a for a in page.addresses if not a.startswith(("data:", "#"))]
    assert {"occlusion.webp", "photograph.png", "gallery.css"} <= set(inside)
    for address in inside:
        assert (written / urllib.parse.unquote(address)).is_file(), address


def test_names_of_classes_are_text(written):
    page = Page(written / "index.html")
    assert "b" not in page.tags
    assert NAMES[2] in page.texts


def test_the_numbers_are_those_of_the_result(written, capsys):
    found = Explanation.load(written / "explanation.npz")
    page = Page(written / "index.html")
    assert list(found.evidence) == ["conv1", "conv2"]
    for evidence in (*found.evidence.values(), *found.comparison.values()):
        for feature in evidence.ranked[:2]:
            if evidence.effects[feature] > 0:
                assert str(feature) in page.texts
                assert f"{evidence.effects[feature]:.3g}".rstrip("0").rstrip(".") in " ".join(
                    page.texts
                )
    best = int(found.maps["conv2"].feature_indices[0])
    with Image.open(written / "layers" / "conv2" / f"strongest-{best}.webp") as picture:
        assert picture.width > picture.height
    assert (written / "layers" / "conv2" / f"relevant-{best}.webp").is_file()
    assert "Mostly relevant in images other than their strongest" in " ".join(page.texts)


def test_two_classes_by_name(explain):
    out = explain("--class", "dog", "--versus", "cat", "--layers", "conv2", out="dog")
    found = Explanation.load(out / "explanation.npz")
    assert (found.class_index, found.other_index) == (1, 0)
    assert list(found.evidence) == ["conv2"]
    assert "Why" in " ".join(Page(out / "index.html").texts)


@pytest.mark.slow
def test_leads_to_the_pages_of_a_gallery(explain, folder):
    gallery = folder / "gallery"
    given = ["--model", folder / "model.keras", "--images", folder / "photographs"]
    run(["gallery", *map(str, [*given, "--layers", "conv2", "--out", gallery])])
    out = explain("--gallery", gallery, "--layers", "conv2", out="linked")
    pages = [a for a in Page(out / "index.html").addresses if a.endswith(".html")]
    assert pages
    for address in pages:
        assert os.path.samefile(out / address, gallery / address.partition("gallery/")[2])


@pytest.mark.parametrize(
    ("options", "received"),
    [
        (("--versus", "wolf"), "Received: --versus=wolf\n"),
        (("--class", "dog", "--versus", "dog"), "Received: --versus=dog\n"),
        (("--gallery", "none"), "--gallery=none"),
        (("--strongest-in", "none"), "Received: --strongest-in=none\n"),
        (("--relevance",), "--strongest-in"),
        (("--layers", "conv9"), "conv9"),
        (("--num-features", "0"), "--num-features=0"),
    ],
)
def test_mistakes(explain, folder, capsys, options, received):
    with pytest.raises(SystemExit) as ended:
        explain(*options, out="refused")
    assert ended.value.code == 2
    sentence = capsys.readouterr().err
    assert sentence.count("\n") == 1
    assert received in sentence
    assert not (folder / "refused").exists()


def test_the_most_probable_class_is_not_compared_with_itself(explain, written, folder, sentence_of):
    probable = Explanation.load(written / "explanation.npz").class_index
    sentence = sentence_of(explain)("--versus", probable, out="refused")
    assert sentence.endswith(f"Received: --versus={probable}")
    assert not (folder / "refused").exists()


def test_a_folder_without_reference_images(explain, folder, sentence_of):
    (folder / "none in here").mkdir()
    sentence = sentence_of(explain)("--strongest-in", folder / "none in here", out="refused")
    assert sentence.endswith(f"Received: --strongest-in={folder / 'none in here'}")
    assert not (folder / "refused").exists()


@pytest.mark.parametrize("image", ["none.png", "../broken.png", "demo:cup"])
def test_an_image_that_cannot_be_read(explain, folder, sentence_of, image):
    (folder / "broken.png").write_bytes(b"no image")
    sentence = sentence_of(explain)(image=image, out="refused")
    assert sentence.endswith(f"Received: --image={folder / 'photographs' / image}")
    assert not (folder / "refused").exists()


@pytest.mark.slow
def test_several_photographs(explain, folder, capsys):
    (folder / "several").mkdir()
    for number in range(2):
        source = folder / "photographs" / f"{number}.png"
        (folder / "several" / source.name).write_bytes(source.read_bytes())
    options = ("--layers", "conv2", "--num-features", 2)
    out = explain(*options, image="../several", out="many")
    page = Page(out / "index.html")
    assert {"0/index.html", "1/index.html", "0/photograph.png"} <= set(page.addresses)
    alone = explain(*options, out="alone")
    assert (out / "0" / "explanation.npz").read_bytes() == (alone / "explanation.npz").read_bytes()
    assert (out / "0" / "index.html").read_text() == (alone / "index.html").read_text()
    names = [Explanation.load(out / each / "explanation.npz").class_index for each in "01"]
    texts = " ".join(page.texts)
    assert all(NAMES[index] in texts for index in names)
    # An interrupted run resumes: what is there is not computed again.
    kept = (out / "0" / "explanation.npz").stat().st_mtime_ns
    (out / "1" / "explanation.npz").unlink()
    explain(*options, image="../several", out="many")
    assert (out / "1" / "explanation.npz").is_file()
    assert (out / "0" / "explanation.npz").stat().st_mtime_ns == kept
    with pytest.raises(SystemExit):
        explain("--layers", "conv1", "--num-features", 2, image="../several", out="many")
    assert "layers" in capsys.readouterr().err
