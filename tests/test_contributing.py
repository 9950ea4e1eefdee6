"""The recipes in CONTRIBUTING.md, run as they are written."""

import re
from pathlib import Path

from kerasvis.commands import command_line

ROOT = Path(__file__).resolve().parents[1]


def test_recipes_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    recipes = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(recipes) == 6
    try:
        exec(compile("\n".join(recipes), "CONTRIBUTING.md", "exec"), {"__name__": "recipes"})
    finally:
        if "sparsity" in command_line.application:
            del command_line.application["sparsity"]


def test_files_that_it_names_exist():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for name in re.findall(r"`((?:kerasvis|tests|scripts)/[\w/.]*)`", text):
        assert (ROOT / name).exists(), name
