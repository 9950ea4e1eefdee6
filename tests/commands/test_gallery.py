import json
import re
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

import kerasvis as kv
from kerasvis.analyses.evolution.feature_snapshot import FeatureSnapshots
from kerasvis.analyses.evolution.snapshot_files import Snapshot, SnapshotFiles
from kerasvis.commands.command_line import run
from kerasvis.data import ImageFolder
from kerasvis.graph import feature_extractor
from kerasvis.reports import addresses
from tests.reports.small_galleries import SIZE, Page, files_of, random_images, small_convnet

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def model_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "small.keras"
    small_convnet("small").save(path)
    return path


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photographs")
    for number, pixels in enumerate(random_images(7).astype("uint8")):
        path = folder / ("n01440764" if number % 2 else "cat & dog") / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(path)
    return folder


@pytest.fixture
def build(model_file, photographs, tmp_path):
    """Runs the command; returns the output folder."""

    def build(*arguments, model=model_file, images=photographs, out=tmp_path / "out"):
        given = ["--model", model, "--images", images, "--out", out, *arguments]
        run(["gallery", *(str(argument) for argument in given)])
        return out

    return build


@pytest.fixture
def mistake(build, sentence_of):
    return sentence_of(build)


def test_builds_pages_of_all_convolutions(build, capsys):
    out = build("--k", "4")
    pages = {path.relative_to(out).as_posix() for path in out.rglob("*.html")}
    for layer, num_maps in (("Conv.1", 5), ("squeeze", 4), ("../..", 4)):
        assert {addresses.map_page(layer, feature) for feature in range(num_maps)} <= pages
    printed = capsys.readouterr().out
    assert "7 images, 2 classes, 3 layers of small\n" in printed
    assert printed.endswith(f"Gallery: {out / 'index.html'}\n")
    page = Page.read(out / addresses.map_page("squeeze", 1))
    cells = [e for e in page.all("span") if e.attributes.get("class") == "cell"]
    assert len(cells) == 2 * 4
    assert "cat & dog" in page.text


def test_goes_on_with_more_layers(build):
    out = build("--layers", "squeeze")
    before = files_of(out)
    build("--layers", "Conv.1")
    after = files_of(out)
    maps = [path for path in before if re.search(r"squeeze/\d+\.", path)]
    assert len(maps) == 2 * 4
    assert all(after[path] == before[path] for path in maps)
    assert addresses.map_page("Conv.1", 0) in after


def test_classes_are_named(build, tmp_path):
    names = [{"index": 0, "wnid": "n01440764", "name": "tench"}, {"index": 1, "name": "goldfish"}]
    (tmp_path / "names.json").write_text(json.dumps(names))
    out = build("--layers", "squeeze", "--class-names", tmp_path / "names.json")
    search = (out / "search.js").read_text()
    assert "tench" in search
    assert "n01440764" not in search


def test_occlusion_pages(build, model_file, photographs, tmp_path):
    photograph = photographs / "cat & dog" / "0.png"
    model = keras.saving.load_model(model_file)
    image = np.asarray(Image.open(photograph), "float32")
    options = {"patch_size": 6, "strides": 6, "layer": "squeeze", "feature": 1, "verbose": 0}
    kv.occlusion_sensitivity(model, image, class_index=2, **options).save(tmp_path / "heat.npz")
    out = build("--layers", "squeeze", "--occlusion", tmp_path / "heat.npz", photograph)
    page = Page.read(out / "occlusion" / "0.html")
    assert "Occlusion of 0.png" in " ".join(page.text.split())
    assert f"../{addresses.map_page('squeeze', 1)}" in page.references


@pytest.fixture(scope="module")
def snapshots(tmp_path_factory):
    """The folder that a FeatureEvolution leaves behind."""
    files = SnapshotFiles(tmp_path_factory.mktemp("snapshots"))
    taking = FeatureSnapshots(small_convnet("small"), ["squeeze"], {"squeeze": [3, 1]})
    features = taking.take(random_images(5))
    for epoch in (1, 2, 10):
        files.save(Snapshot(epoch, features, settings={}, run="run", weights=f"of {epoch}"))
    return files.directory


def test_the_evolution_of_feature_maps(build, snapshots):
    out = build("--layers", "squeeze", "Conv.1", "--evolution", snapshots)
    for feature in (1, 3):
        page = Page.read(out / addresses.map_page("squeeze", feature))
        texts = [e.attributes["alt"] for e in page.all("img") if "epoch" in e.attributes["alt"]]
        assert texts[::2] == [f"Projection at epoch {epoch}" for epoch in (1, 2, 10)]
        assert texts[1::2] == [f"Image patch at epoch {epoch}" for epoch in (1, 2, 10)]
        assert (out / addresses.evolution_sprite("squeeze", feature)).is_file()
    assert "Evolution" not in Page.read(out / addresses.map_page("Conv.1", 1)).text


def test_the_evolution_of_another_net_is_refused(mistake, snapshots, tmp_path):
    layer = keras.layers.Conv2D(3, 3, activation="relu", name="squeeze")
    keras.Sequential([keras.Input((*SIZE, 3)), layer], name="other").save(tmp_path / "other.keras")
    sentence = mistake("--evolution", snapshots, model=tmp_path / "other.keras")
    assert sentence == (
        "The evolution shows feature map 3 of layer 'squeeze', which has 3 in this model: give the "
        "snapshots of this model's training."
    )
    assert "contains no snapshots such as epoch_0001.npz" in mistake("--evolution", tmp_path)
    assert "contains no snapshots" in mistake("--evolution", tmp_path / "nowhere")


@pytest.mark.slow
def test_runs_as_a_command(model_file, photographs, tmp_path):
    given = ["--model", model_file, "--images", photographs, "--layers", "squeeze", "--k", "1"]
    command = [sys.executable, ROOT / "scripts" / "build_gallery.py", *given, "--out", "site"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.endswith("Gallery: site/index.html\n")
    assert (tmp_path / "site" / "index.html").is_file()


def test_mistakes_are_told_in_a_sentence(mistake, photographs, tmp_path):
    assert "There is no such model file: give a file that model.save" in mistake(model="no.keras")
    assert "There is no such photograph or folder" in mistake(images="nowhere")
    assert "The model has no layer 'sqeeze': did you mean squeeze" in mistake("--layers", "sqeeze")
    assert "--k takes a whole number from 1" in mistake("--k", "0")
    damaged = tmp_path / "damaged.npz"
    damaged.write_bytes(b"")
    photograph = photographs / "cat & dog" / "0.png"
    assert "not an .npz file containing" in mistake("--occlusion", damaged, photograph)
    assert "There is no such file" in mistake("--occlusion", tmp_path / "no.npz", photograph)
    names = tmp_path / "names.json"
    assert "cannot be read" in mistake("--class-names", names)
    names.write_text("{")
    assert "does not hold class names" in mistake("--class-names", names)


def test_a_gallery_of_other_images_is_refused(build, mistake, tmp_path):
    build("--layers", "squeeze")
    other = tmp_path / "other"
    other.mkdir()
    Image.new("RGB", SIZE[::-1]).save(other / "a.png")
    assert "other images" in mistake("--layers", "squeeze", images=other)


def test_files_that_cannot_be_decoded_are_told_of(build, photographs, tmp_path, capsys):
    folder = tmp_path / "some"
    folder.mkdir()
    (folder / "a.png").write_bytes(b"no image")
    (folder / "b.png").write_bytes((photographs / "cat & dog" / "0.png").read_bytes())
    out = build("--layers", "squeeze", images=folder)
    assert "Skipped " in capsys.readouterr().out
    assert Page.read(out / "index.html").values[1] == 1


@pytest.mark.slow
def test_squeezenet_over_real_photographs(shared_data, build, tmp_path):
    folder = tmp_path / "photographs"
    folder.mkdir()
    for path in sorted((shared_data / "imagenet-samples" / "images").iterdir())[:20]:
        (folder / path.name).symlink_to(path)
    weights = np.load(shared_data / "squeezenet-v1.1" / "squeezenet_v1_1.npz")
    model = kv.convnets.SqueezeNet()
    for layer in model.layers:
        if f"{layer.name}/kernel" in weights:
            kernel = weights[f"{layer.name}/kernel"]
            kernel = kernel[:, :, ::-1] if layer.name == "conv1" else kernel  # takes RGB here
            layer.set_weights([kernel, weights[f"{layer.name}/bias"]])
    model.save(tmp_path / "squeezenet.keras")
    layers = ["conv1", "fire9_squeeze1x1"]
    out = build("--layers", *layers, images=folder, model=tmp_path / "squeezenet.keras")
    images = ImageFolder(folder, (227, 227))[:]
    for layer, maps in zip(layers, feature_extractor(model, layers).predict(images), strict=True):
        maxima = maps.max(axis=(1, 2))
        for feature in range(64):
            activation, image_index = Page.read(out / addresses.map_page(layer, feature)).values[:2]
            np.testing.assert_allclose(activation, maxima[:, feature].max(), rtol=1e-5)
            assert image_index == maxima[:, feature].argmax()
    assert "tench" in (out / "search.js").read_text()
