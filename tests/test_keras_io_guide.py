"""The guide in the form of keras.io: its header, its blocks, and that it runs."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

GUIDE = Path(__file__).parents[1] / "examples" / "keras_io" / "what_has_my_convnet_learned.py"
HEADER = ("Title", "Author", "Date created", "Last modified", "Description", "Accelerator")


def test_header_and_sections():
    blocks = [
        node.value.value
        for node in ast.parse(GUIDE.read_text()).body
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    ]
    lines = blocks[0].strip().splitlines()
    assert tuple(line.split(": ")[0] for line in lines) == HEADER
    assert all(re.match("## .", block.strip()) for block in blocks[1:])


@pytest.mark.slow
def test_it_runs(tmp_path):
    environment = os.environ | {"MPLBACKEND": "agg", "PYTHONPATH": str(GUIDE.parents[2])}
    command = [sys.executable, str(GUIDE)]
    ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert "conv5" in ended.stdout
    assert {path.name for path in tmp_path.iterdir()} == {
        "features.png",
        "fidelity.png",
        "occlusion.png",
    }
