"""The demonstration on photographs of one's own: what is written, and where its page leads."""

import re

import numpy as np
import pytest
from PIL import Image

from kerasvis.commands.command_line import run
from kerasvis.commands.demo import first_photograph
from tests.reports.browsers import VIEWPORTS, assert_accessible, pages_opened, started_browser


@pytest.mark.slow
def test_photographs_of_ones_own(tmp_path, capsys):
    folder, out = tmp_path / "photographs", tmp_path / "out"
    folder.mkdir()
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 256, (70, 91, 3), "uint8")
        Image.fromarray(pixels).save(folder / f"{number}.png")
    run(["demo", "--photographs", str(folder), "--out", str(out)])
    page = out / "index.html"
    assert capsys.readouterr().out.splitlines()[-1] == f"Open {page.resolve().as_uri()}"
    targets = re.findall(r'(?:href|src)="([^"#:]+)"', page.read_text(encoding="utf-8"))
    assert {"gallery/index.html", "explanation/index.html"} < set(targets)
    assert [target for target in targets if not (out / target).is_file()] == []
    with started_browser() as browser, pages_opened(browser, out) as open_page:
        for viewport in VIEWPORTS:
            for scheme in ("light", "dark"):
                for address in ("index.html", "explanation/index.html", "gallery/index.html"):
                    page = open_page(address, viewport=viewport, color_scheme=scheme)
                    assert_accessible(page)


def test_the_first_photograph_that_can_be_read(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no photograph")
    with pytest.raises(ValueError, match=f"can be read.* Received: --photographs={tmp_path}"):
        first_photograph(str(tmp_path))
    Image.new("RGB", (9, 7)).save(tmp_path / "b.png")
    assert first_photograph(str(tmp_path)) == str(tmp_path / "b.png")


@pytest.mark.parametrize("option", [["--photographs"], []])
def test_a_folder_that_is_not_there(sentence_of, tmp_path, option):
    sentence = sentence_of(run)(["demo", *option, str(tmp_path / "missing")])
    assert sentence.endswith(f"Received: --photographs={tmp_path / 'missing'}")
