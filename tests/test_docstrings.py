"""Every example in a docstring runs as it is written, and prints what it says."""

import ast
import doctest
from pathlib import Path

import keras
import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef)


def examples():
    """One case for each docstring that holds an example: its place and its text."""
    found = []
    for path in sorted((ROOT / "kerasvis").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            text = (ast.get_docstring(node) or "") if isinstance(node, DOCUMENTED) else ""
            if ">>> " in text or "Example:" in text.splitlines():
                name = f"{path.relative_to(ROOT)}:{getattr(node, 'name', '')}"
                found.append(pytest.param(name, text, id=name))
    return found


@pytest.mark.parametrize(("name", "text"), examples())
def test_example_runs(name, text, tmp_path, monkeypatch):
    """By itself, with nothing but what it imports, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    keras.backend.clear_session()
    example = doctest.DocTestParser().get_doctest(text, {"__name__": "example"}, name, None, None)
    assert example.examples, "Write the example with >>> prompts, so that it runs."
    failures = []
    doctest.DocTestRunner(verbose=False).run(example, out=failures.append)
    assert not failures, "".join(failures)


def test_examples_are_found():
    assert len(examples()) > 60
