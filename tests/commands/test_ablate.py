import csv
import re

import numpy as np
import pytest
from PIL import Image

from kerasvis.analyses import PAPER_ERRORS, LayerAblation, paper_variants
from kerasvis.commands.ablate import SmallConvnetOptions, builder_of, rows_of, table, variants_of
from kerasvis.commands.command_line import run
from kerasvis.training import Recipe
from tests.commands.tiny_archive import save_tiny_archive

CHOSEN = ["without layers 6, 7", "none"]
TINY = "--width 0.03 --dense-units 8 --crop-size 40 --epochs 1".split()


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return save_tiny_archive(tmp_path_factory.mktemp("data") / "tiny.npz", train=12, val=6)


@pytest.fixture
def ablate(archive, tmp_path):
    """Runs the command; returns its folder."""

    def ablate(*arguments, out=tmp_path / "out", data=archive):
        options = ["--data", data, "--out", out, *TINY, *arguments]
        run(["ablate", *(str(option) for option in options)])
        return out

    return ablate


@pytest.fixture
def mistake(ablate, sentence_of):
    return sentence_of(ablate)


def test_writes_everything_and_trains_once(ablate, capsys, convolutions):
    out = ablate("--variants", *CHOSEN)
    files = {path.name for path in out.glob("[!.]*")}
    written = {"ablation.csv", "ablation.npz", "ablation.png"}
    assert files == written | {"none", "without_layers_6_7"}
    found = LayerAblation.load(out / "ablation.npz")
    assert found.variants == ("none", "without layers 6, 7")  # in the order of the paper
    assert (found.num_images.tolist(), found.num_classes, found.num_epochs) == ([12, 6], 3, 1)
    with open(out / "ablation.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["variant"] for row in rows] == ["none", "without layers 6, 7"]
    errors = [float(row["validation_top_1_error"]) for row in rows]
    np.testing.assert_allclose(errors, found.validation_errors[:, 0], atol=6e-3)
    assert [row["paper_zfnet_train_top_1_error"] for row in rows] == ["33.1", ""]
    assert [row["paper_replica_validation_top_5_error"] for row in rows] == ["18.1", "22.4"]
    with Image.open(out / "ablation.png") as figure:
        assert figure.width == 2160
    printed = capsys.readouterr().out
    assert table(rows_of(found)) in printed
    assert "compare their order, not their values" in printed

    text = (out / "ablation.csv").read_text()
    convolutions.num_new()
    ablate("--variants", *CHOSEN)
    assert convolutions.num_new() == 0  # not even traced
    assert (out / "ablation.csv").read_text() == text


def test_the_table():
    names = tuple(paper_variants())
    shown = LayerAblation(
        variants=names,
        train_errors=np.full((9, 2), 12.345),
        validation_errors=np.tile([67.8, 9.1], (9, 1)),
        num_parameters=np.full(9, 12345),
        seconds=np.full(9, 67.8),
        num_images=np.array([30, 20]),
        num_classes=30,
        num_epochs=1,
    )
    lines = table(rows_of(shown)).splitlines()
    assert len(lines) == 11
    assert len({len(line) for line in lines}) == 1  # columns stand below one another
    cells = [re.split(r"\s{2,}", line) for line in lines]
    run_errors = ["12,345", "68", "12.3 / 67.8 / 9.1"]
    assert cells[2] == ["none", *run_errors, "35.1 / 40.5 / 18.1", "33.1 / 38.4 / 16.5"]
    assert cells[4] == ["without layer 7", *run_errors, "27.4 / 40.0 / 18.4", "- / - / -"]
    assert cells[10] == ["both of the last two", *run_errors, "- / - / -", "10.0 / 38.3 / 16.9"]
    assert "(" not in "".join(lines)
    assert set(PAPER_ERRORS) == {"replica", "Figure 3 net"}


def test_the_nets_that_are_trained():
    recipe = Recipe.for_small_images(64)
    convnet = SmallConvnetOptions(width=0.125, dense_units=16, net="alexnet")
    build = builder_of(convnet.suited_to("small"), recipe, 7)
    variants = variants_of((), convnet.dense_units)
    assert list(variants) == list(paper_variants())
    model = build(**variants["both of the last two"])
    layers = {layer.name: layer for layer in model.layers}
    assert [layers[f"conv{n}"].filters for n in range(1, 6)] == [12, 32, 64, 128, 64]
    assert (layers["fc6"].units, model.input.shape[1:], model.output.shape[1]) == (
        *(32, (64, 64, 3)),
        7,
    )
    assert layers["conv1"].strides == (2, 2)
    assert layers["conv3"].kernel_initializer.__class__.__name__ == "HeNormal"
    assert "norm5" in layers


def test_mistakes(mistake, tmp_path):
    sentence = mistake("--variants", "without layer 8")
    assert "choose from 'none', 'without layers 3, 4'" in sentence
    assert sentence.endswith("Received: --variants=without layer 8")
    assert mistake(data=tmp_path / "none.npz").startswith("There is no")
    (tmp_path / "file").touch()
    assert mistake(out=tmp_path / "file").startswith("The output folder")
    assert mistake("--width", 0).endswith("above 0 up to 16. Received: --width=0")
    assert mistake("--epochs", 0).endswith("from 1 to 1,000,000. Received: --epochs=0")
    assert mistake("--net", "vgg") == "--net takes one of zfnet, alexnet. Received: --net=vgg"
