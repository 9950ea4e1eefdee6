"""Files made to do harm: refused in a sentence, soon and in bounded memory."""

import csv
import io
import os
import resource
import subprocess
import sys
import time
import zipfile

import pytest
import tensorflow as tf
from PIL import Image
from tensorflow.core.util.event_pb2 import Event

from kerasvis.analyses.filters.filter_counts import FilterCounts
from kerasvis.callbacks.filter_diagnosis import scalars
from kerasvis.commands.output import write_csv
from kerasvis.reports.tensorboard import write_feature_grids, write_scalars
from tests.attack.attacked import ROOT, arguments_of, outcome
from tests.marks import slow

MEMORY = 4 * 2**30  # of address space: what a process may have that starts no Keras


def bomb(path):
    """A gibibyte and a half of JSON, in a file of 1.5 MB."""
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("config.json", "w", force_zip64=True) as member,
    ):
        for _ in range(96):
            member.write(b" " * 2**24)


def deep(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", '{"a":' * 100_000 + "1" + "}" * 100_000)


def empty(path):
    with zipfile.ZipFile(path, "w"):
        pass


@pytest.mark.parametrize("make", [slow(bomb), deep, slow(empty)])
def test_a_hostile_model(tmp_path, inputs, make):
    make(tmp_path / "model.keras")
    arguments = arguments_of("features", inputs, tmp_path / "out")
    arguments[arguments.index("--model") + 1] = str(tmp_path / "model.keras")

    def bounded():
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))

    begin = time.monotonic()
    ended = subprocess.run(
        [sys.executable, "-m", "kerasvis", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        preexec_fn=bounded,
    )
    seconds = time.monotonic() - begin
    assert ended.returncode == 2, ended.stderr
    assert "Received: --model=" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    assert seconds < 20, "without starting Keras it takes one"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        *((name, f"'{name}") for name in ("=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(1)")),
        ("\t=1", "\\t=1"),
        ("a\r\n=1", "a\\r\\n=1"),
    ],
)
def test_a_formula_in_a_table(tmp_path, name, shown):
    write_csv(["photograph", "probability"], [[name, -0.5], ["-0.25", "cat"]], tmp_path / "a.csv")
    with open(tmp_path / "a.csv", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[1:] == [[shown, "-0.5"], ["-0.25", "cat"]]


def test_escape_sequences_in_names_do_not_reach_the_terminal(tmp_path, inputs):
    hostile = tmp_path / "photographs" / "\x1b]0;owned\x07\x1b[31mred\n.bmp"
    hostile.parent.mkdir()
    hostile.write_bytes((inputs / "few" / "00.bmp").read_bytes())
    (hostile.parent / "\x1b[2Jbroken.bmp").write_bytes(b"nothing")
    arguments = arguments_of("occlusion", inputs, tmp_path / "out")
    arguments[arguments.index("--images") + 1] = str(hostile.parent)
    ended = outcome(arguments)
    assert ended.code == 0, ended.errors
    assert "broken" in ended.printed + ended.errors
    assert "\x1b" not in ended.printed + ended.errors.replace("\x1b[A", "")


TAGS = {  # TensorBoard shows tags as text: markup in them is harmless as it is
    "<script>alert(1)</script>": "<script>alert(1)</script>",
    "../../outside": "../../outside",
    "a\r\nb": "a\\r\\nb",
    "\x1b[31m\0": "\\x1b[31m\\x00",
    "\ud800\udcff": "\\ud800\\xff",
    "x" * 300: "x" * 300,
}


@pytest.mark.parametrize("folder", ["events", "\udcff\x1b"])
def test_names_in_tensorboard(tmp_path, folder):
    file = io.BytesIO()
    Image.new("RGB", (3, 2)).save(file, "PNG")
    write_feature_grids(tmp_path / folder, dict.fromkeys(TAGS, file.getvalue()), 1)
    known = dict.fromkeys(FilterCounts._fields) | {"dead_filters": 2, "num_filters": 3}
    counts = [FilterCounts(**known | {"layer": name}) for name in TAGS]
    write_scalars(tmp_path / folder, scalars(counts), 1)
    assert os.listdir(tmp_path) == [folder]
    written = sorted((tmp_path / folder).iterdir())
    assert all(path.name.startswith("events.out.tfevents.") for path in written)
    found = {value.tag: value for path in written for value in values_in(path)}
    assert set(found) == {
        *(f"features/{tag}" for tag in TAGS.values()),
        *(f"filters/{tag}/dead_filters" for tag in TAGS.values()),
    }
    for value in found.values():
        assert not value.metadata.summary_description
        assert not value.metadata.display_name


def values_in(path):
    """What an event file holds."""
    records = tf.data.TFRecordDataset(os.fsencode(path)).as_numpy_iterator()
    return [value for record in records for value in Event.FromString(record).summary.value]
