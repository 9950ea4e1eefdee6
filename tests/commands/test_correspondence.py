import csv
import json

import keras
import numpy as np
import pytest
from PIL import Image

from kerasvis.analyses.correspondence import Correspondence
from kerasvis.commands.command_line import run

SIZE = (16, 20)
PARTS = {
    "a.png": {"eye": [2, 8, 10, 16], "nose": [12, 20, 24, 30]},
    "b.png": {"eye": [4, 10, 12, 20], "nose": [10, 16, 20, 30]},
    "c.png": {"eye": [0, 4, 8, 12], "nose": [14, 24, 26, 36]},
}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    keras.utils.set_random_seed(0)
    conv = {"filters": 6, "kernel_size": 3, "activation": "relu"}
    layers = [keras.layers.Conv2D(name=f"conv{number}", **conv) for number in (1, 2)]
    filepath = tmp_path_factory.mktemp("model") / "net.keras"
    net = [keras.Input((*SIZE, 3)), keras.layers.Rescaling(1 / 127.5, -1), *layers]
    keras.Sequential(net).save(filepath)
    return filepath


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Twice as large as the images, and the file that notes their parts."""
    folder = tmp_path_factory.mktemp("photographs")
    rng = np.random.default_rng(0)
    for name in PARTS:
        Image.fromarray(rng.integers(0, 256, (32, 40, 3)).astype("uint8")).save(folder / name)
    (folder / "parts.json").write_text(json.dumps(PARTS))
    return folder


@pytest.fixture
def tell(model, photographs, tmp_path):
    """Runs the command; returns the output folder."""

    def tell(*arguments, parts=photographs / "parts.json", layers=("conv2",), out="out"):
        out = tmp_path / out
        given = ["--model", model, "--parts", parts, "--layers", *layers, "--out", out, *arguments]
        run(["correspondence", *(str(argument) for argument in given)])
        return out

    return tell


@pytest.fixture
def mistake(tell, sentence_of):
    return sentence_of(tell)


def test_writes_everything(tell, capsys):
    out = tell("--draws", 4, layers=("conv1", "conv2"))
    names = ["correspondence.csv", "correspondence.npz", "correspondence.png"]
    assert sorted(path.name for path in out.glob("[!.]*")) == [*names, "parts"]
    found = Correspondence.load(out / "correspondence.npz")
    assert (found.layers, found.parts) == (("conv1", "conv2"), ("eye", "nose"))
    expected = [[[edge // 2 for edge in PARTS[x][p]] for x in PARTS] for p in found.parts]
    np.testing.assert_array_equal(found.boxes, expected)
    assert found.random_boxes.shape == (2, 4, 3, 4)

    with open(out / "correspondence.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    keys = [(row["layer"], row["part"]) for row in rows]
    assert keys == [(layer, part) for layer in found.layers for part in found.parts]
    for name in ("delta", "opposition"):
        numbers = [float(row[name]) for row in rows]
        np.testing.assert_allclose(numbers, getattr(found, name).ravel(), atol=6e-7)
        draws = getattr(found, f"random_{name}").reshape(4, 4)
        numbers = [float(row[f"random_{name}"]) for row in rows]
        np.testing.assert_allclose(numbers, np.nanmean(draws, axis=1), atol=6e-7)
        numbers = [float(row[f"random_{name}_deviation"]) for row in rows]
        np.testing.assert_allclose(numbers, np.nanstd(draws, axis=1, ddof=1), atol=6e-7)
    with Image.open(out / "correspondence.png") as figure:
        assert figure.width > 1000

    printed = capsys.readouterr().out
    assert "3 photographs, 2 parts of each" in printed
    (line,) = (line for line in printed.splitlines() if line.startswith("conv2  nose"))
    draws = found.random_delta[1, 1]
    expected = f"{found.delta[1, 1]:.3f} {draws.mean():.3f} ± {draws.std(ddof=1):.3f}"
    assert line.split()[2:6] == expected.split()
    assert "an ImageNet-trained ZFNet in the paper" in printed


def test_parts_beside_other_photographs(tell, photographs, tmp_path):
    lines = ["image,part,top,left,bottom,right"]
    lines += [
        f"{image},{p},{','.join(map(str, b))}" for image in PARTS for p, b in PARTS[image].items()
    ]
    (tmp_path / "parts.csv").write_text("\n".join(lines))
    out = tell("--images", photographs, "--baseline", "0", parts=tmp_path / "parts.csv")
    black = Correspondence.load(out / "correspondence.npz")
    grey = Correspondence.load(tell(out="grey") / "correspondence.npz")
    np.testing.assert_array_equal(black.boxes, grey.boxes)
    assert (black.delta != grey.delta).any()


def test_a_frame(tell, photographs, tmp_path):
    """As if the frames were the photographs."""
    frames = {"a.png": (2, 5, 26, 37), "b.png": (0, 0, 32, 40), "c.png": (8, 10, 32, 40)}
    shifted, framed = {}, {}
    for name in PARTS:
        top, left, bottom, right = frames[name]
        with Image.open(photographs / name) as whole:
            whole.crop((left, top, right, bottom)).save(tmp_path / name)
        inside = [top + 2, left + 2, top + 10, left + 12]
        framed[name] = {"eye": inside, "frame": frames[name]}
        shifted[name] = {"eye": [2, 2, 10, 12]}
    found = []
    for folder, parts, options in (
        (photographs, framed, ("--frame", "frame")),
        (tmp_path, shifted, ()),
    ):
        out = tell("--images", folder, *options, parts=noted(tmp_path, parts))
        found.append(Correspondence.load(out / "correspondence.npz"))
    assert found[0].parts == ("eye",)
    np.testing.assert_array_equal(found[0].distances, found[1].distances)


def noted(folder, parts):
    (folder / "noted.json").write_text(json.dumps(parts))
    return folder / "noted.json"


def test_mistakes(mistake, photographs, tmp_path):
    assert mistake(layers=["conv3"]).startswith("The model has no layer 'conv3': did you mean")
    sentence = mistake(parts=tmp_path / "no.json")
    assert "cannot be read (No such file" in sentence
    assert sentence.endswith(f"Received: --parts={tmp_path / 'no.json'}")
    assert mistake("--images", tmp_path).endswith(f"--images={tmp_path / 'a.png'}")
    assert mistake("--frame", "face") == (
        "There is no such part: give one of eye, nose. Received: --frame=face"
    )
    outside = noted(tmp_path, PARTS | {"a.png": PARTS["a.png"] | {"eye": [0, 0, 33, 2]}})
    sentence = mistake("--images", photographs, "--frame", "eye", parts=outside)
    assert "the frame [0, 0, 33, 2] is not inside its 32×40 pixels; leave it out." in sentence
    assert mistake("--baseline", "black").endswith("Received: baseline='black'")
    one = noted(tmp_path, {"a.png": PARTS["a.png"]})
    assert "contains parts of 1 image: annotate two or more." in mistake(parts=one)
    unlike = noted(tmp_path, PARTS | {"b.png": {"eye": [0, 0, 2, 2]}})
    assert mistake("--images", photographs, parts=unlike) == (
        "b.png has no 'nose', but other images do: annotate its box. Received: eye for b.png"
    )
