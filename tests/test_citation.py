"""How to cite: this software, and the paper whose method it implements."""

from pathlib import Path

import yaml

import kerasvis

CITATION = Path(__file__).resolve().parents[1] / "CITATION.cff"


def test_citation():
    citation = yaml.safe_load(CITATION.read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= set(citation)  # what CFF requires
    assert (citation["title"], citation["version"]) == ("kerasvis", kerasvis.__version__)
    (paper,) = citation["references"]
    assert [author["family-names"] for author in paper["authors"]] == ["Zeiler", "Fergus"]
    assert (paper["year"], paper["url"]) == (2013, "https://arxiv.org/abs/1311.2901")
