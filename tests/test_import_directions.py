"""Holds the directions in which the packages of kerasvis may import one another."""

import ast
import collections
import graphlib
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

import kerasvis

ROOT = Path(__file__).resolve().parents[1]

# package → those that it may import. A package comes after all of them, so there are no cycles.
MAY_IMPORT = {
    "storage": set(),
    "engines": set(),  # they run what they are given
    "layers": set(),
    "graph": {"storage", "layers"},
    "data": {"storage", "layers", "graph"},
    "arguments": {"storage", "data", "graph", "engines"},
    "convnets": {"storage", "layers", "graph", "data"},
    "deconvnet": {"storage", "layers", "graph", "data", "arguments", "convnets"},
    "attributions": {"storage", "layers", "graph", "data", "arguments", "deconvnet"},
    "activations": {"storage", "engines", "layers", "graph", "data", "arguments", "convnets"},
    "occlusion": {"storage", "layers", "graph", "data", "arguments"},
    "training": {"storage", "layers", "graph", "data", "convnets"},
    "analyses": {
        *("storage", "engines", "layers", "graph", "data", "arguments", "convnets", "deconvnet"),
        *("attributions", "activations", "occlusion", "training"),
    },
    "figures": {"storage"},
    "reports": {
        *(
            "storage",
            "engines",
            "graph",
            "data",
            "arguments",
            "deconvnet",
            "attributions",
            "activations",
            "analyses",
        ),
        "figures",
    },
    "callbacks": {
        *("storage", "graph", "data", "arguments", "deconvnet", "activations", "analyses"),
        *("figures", "reports"),
    },
}
MAY_IMPORT["commands"] = set(MAY_IMPORT)
MAY_IMPORT_ALL = {"commands"}  # through `kerasvis` itself, as a user does

# Where TensorFlow is the subject; everywhere else the code is written in Keras' terms.
TENSORFLOW_PACKAGES = {"data", "training", "reports"}
TENSORFLOW_FILES = {
    "kerasvis/graph/differentiation.py": "differentiates as the backend does",
    "kerasvis/layers/xla_compilation.py": "compiles a layer's computation",
    "kerasvis/commands/model_card.py": "names the devices",
}
DISTRIBUTION_FILES = {
    "kerasvis/training/strategies.py",
    "kerasvis/training/replicated_model.py",
    "kerasvis/training/workers.py",
}
# What `storage` alone does: replace files, hash, make temporary files, write arrays.
STORAGE_ALONE = {
    "os.replace",
    "os.rename",
    "hashlib",
    "tempfile.NamedTemporaryFile",
    "tempfile.mkstemp",
    "zlib.crc32",
    "numpy.savez",
    "numpy.savez_compressed",
    "filelock",
    "fcntl",
}
# Methods that write a file in place: for the temporary paths that `storage` gives.
WRITES_IN_PLACE = {"write_text", "write_bytes", "rename"}
OUTSIDE_THE_PACKAGE = {"scripts", "tests", "benchmarks"}


class Import(NamedTuple):
    """One imported name: `module` is what runs for sure, `name` what is taken from it, if any."""

    line: int
    module: str
    name: str | None
    alias: str

    @property
    def path(self):
        return f"{self.module}.{self.name}" if self.name else self.module


def imports_of(path, tree):
    """All imports in a file that happen at run time, those inside functions included."""
    package = path.removesuffix(".py").split("/")[:-1]
    found = []
    for node in running_nodes(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                bound = alias.asname or alias.name.partition(".")[0]
                found.append(Import(node.lineno, alias.name, None, bound))
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*above, *filter(None, [node.module])])
            for alias in node.names:
                bound = alias.asname or alias.name
                found.append(Import(node.lineno, module, alias.name, bound))
    return found


def running_nodes(tree):
    """Every node but those under `if TYPE_CHECKING:`, which only type checkers read."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            waiting.extend(node.orelse)
        else:
            waiting.extend(ast.iter_child_nodes(node))


def violations(path, source):
    """Sentences on what a file imports against the design.

    Args:
        path: Path of the file from the project's root, as "kerasvis/package/file.py".
        source: The file's text.
    """
    tree = ast.parse(source)
    imports = imports_of(path, tree)
    package = path.split("/")[1] if path.count("/") > 1 else None
    found = [*tensorflow_violations(path, package, imports), *distribution_violations(path, tree)]
    if package is not None:
        found += package_violations(path, package, imports)
    if package not in (None, "storage"):
        found += storage_violations(path, tree, imports)
    return sorted(found)


def package_violations(path, package, imports):
    if package not in MAY_IMPORT:
        return [f"{path}: package {package!r} has no place in MAY_IMPORT yet"]
    found = []
    for imported in imports:
        top, *inner = imported.path.split(".")
        where = f"{path}:{imported.line}"
        if package == "figures" and top == "keras":
            found.append(f"{where}: figures take arrays and do not import {imported.path}")
        if top in OUTSIDE_THE_PACKAGE:
            found.append(f"{where}: the package does not import {top}")
        is_inside = inner[:1] == [package] or (not inner and package in MAY_IMPORT_ALL)
        if top != "kerasvis" or is_inside:
            continue
        if not inner or inner[0] not in MAY_IMPORT:
            found.append(f"{where}: {imported.path} is to be imported from its package")
        elif inner[0] not in MAY_IMPORT[package]:
            found.append(f"{where}: {package} does not import {inner[0]}")
    return found


def tensorflow_violations(path, package, imports):
    name = path.rpartition("/")[2]
    if package in TENSORFLOW_PACKAGES or path in TENSORFLOW_FILES or "export" in name:
        return []
    if path.startswith("scripts/"):
        return []
    return [
        f"{path}:{imported.line}: TensorFlow is imported only where it is the subject"
        for imported in imports
        if is_tensorflow(imported)
    ]


def is_tensorflow(imported):
    is_deferred = imported.module == "kerasvis.data.tensorflow_only"
    return is_deferred or imported.module.partition(".")[0] in {"tensorflow", "tensorflow_datasets"}


def distribution_violations(path, tree):
    if path in DISTRIBUTION_FILES:
        return []
    tensorflow = [imported for imported in imports_of(path, tree) if is_tensorflow(imported)]
    lines = [imported.line for imported in tensorflow if "distribute" in imported.path.split(".")]
    aliases = {imported.alias for imported in tensorflow}
    lines += [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and node.attr == "distribute"
        and ast.unparse(node.value).partition(".")[0] in aliases
    ]
    return [
        f"{path}:{line}: only strategies and their workers are where code uses tf.distribute"
        for line in set(lines)
    ]


def storage_violations(path, tree, imports):
    """What replaces files, hashes or resumes by itself, in place of `kerasvis.storage`."""
    aliases = {imported.alias: imported.path for imported in imports}
    used = {(imported.line, imported.path) for imported in imports}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            module, _, rest = ast.unparse(node).partition(".")
            used.add((node.lineno, f"{aliases.get(module, module)}.{rest}"))
    found = [
        f"{path}:{line}: {name} is for storage alone"
        for line, name in sorted(used)
        if name in STORAGE_ALONE
    ]
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            receiver, method = ast.unparse(node.func.value), node.func.attr
            if method in WRITES_IN_PLACE and receiver not in {"temporary", "parts"}:
                found.append(f"{path}:{node.lineno}: {receiver} is written past storage")
    return found


def source_files():
    files = [*(ROOT / "kerasvis").rglob("*.py"), *(ROOT / "scripts").rglob("*.py")]
    return sorted(file.relative_to(ROOT).as_posix() for file in files)


@pytest.mark.parametrize("path", source_files())
def test_imports_run_one_way(path):
    assert violations(path, (ROOT / path).read_text(encoding="utf-8")) == []


def test_one_name_for_each_thing():
    """No two files share a name, nor two classes; a command's file is called like its command."""
    files, classes = collections.Counter(), collections.Counter()
    for path in source_files():
        if path.startswith("kerasvis/") and not path.endswith("/__init__.py"):
            files.update([Path(path).name] if "/commands/" not in path else [])
            tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
            classes.update(node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef))
    # The callback and its result are public names of two packages, like Keras' losses and metrics.
    assert [name for name, number in files.items() if number > 1] == ["filter_diagnosis.py"]
    assert [name for name, number in classes.items() if number > 1] == ["FilterDiagnosis"]


def test_no_two_packages_import_each_other():
    above = set()
    for package, below in MAY_IMPORT.items():
        assert below <= above, f"{package} may import a package that comes after it"
        above.add(package)


def test_the_readme_draws_the_packages():
    """Every package once, below all that it imports."""
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    drawing = page.partition("The packages; each")[2].split("```text")[1].split("```")[0]
    rows = [words for line in drawing.splitlines() if (words := re.findall(r"[a-z]+", line))]
    assert sorted(name for row in rows for name in row) == sorted(MAY_IMPORT)
    above = set()
    for row in rows:
        for name in row:
            assert MAY_IMPORT[name] <= above
        above.update(row)


def test_no_two_analyses_import_each_other():
    """Neither by the files that lie in `analyses` itself, nor by its folders."""
    below = {}
    for path in source_files():
        _, package, *inside = path.removesuffix(".py").split("/")
        if package == "analyses" and inside[0] != "__init__":
            imports = imports_of(path, ast.parse((ROOT / path).read_text(encoding="utf-8")))
            names = [imported.path.split(".") for imported in imports]
            found = {name[2] for name in names if name[:2] == ["kerasvis", "analyses"]}
            below.setdefault(inside[0], set()).update(found - {inside[0]})
    assert {"transfer", "filters"} <= set(below)
    graphlib.TopologicalSorter(below).prepare()  # raises CycleError


@pytest.mark.parametrize("path", TENSORFLOW_FILES)
def test_exceptions_are_still_needed(path):
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    assert any(is_tensorflow(imported) for imported in imports_of(path, tree))


PLANTED = [
    ("kerasvis/layers/a.py", "import kerasvis.graph.nodes", "layers does not import graph"),
    ("kerasvis/layers/a.py", "from kerasvis import graph", "layers does not import graph"),
    ("kerasvis/layers/a.py", "from .. import graph", "layers does not import graph"),
    ("kerasvis/layers/__init__.py", "from ..graph import nodes", "layers does not import graph"),
    (
        "kerasvis/graph/a.py",
        "from kerasvis.convnets import ZFNet",
        "graph does not import convnets",
    ),
    ("kerasvis/deconvnet/a.py", "from kerasvis.analyses.b import c", "does not import analyses"),
    ("kerasvis/deconvnet/a.py", "def f():\n    import kerasvis.activations", "not import activat"),
    ("kerasvis/analyses/a.py", "import kerasvis.figures", "analyses does not import figures"),
    ("kerasvis/figures/a.py", "import keras", "figures take arrays"),
    ("kerasvis/figures/a.py", "from keras.src import ops", "figures take arrays"),
    ("kerasvis/figures/a.py", "import tensorflow as tf", "only where it is the subject"),
    ("kerasvis/figures/a.py", "from kerasvis.graph import Node", "figures does not import graph"),
    ("kerasvis/deconvnet/a.py", "import kerasvis", "imported from its package"),
    ("kerasvis/deconvnet/a.py", "from kerasvis import DeconvModel", "imported from its package"),
    ("kerasvis/analyses/a.py", "from scripts import train", "does not import scripts"),
    ("kerasvis/utils/a.py", "", "no place in MAY_IMPORT"),
    ("kerasvis/graph/a.py", "import tensorflow", "only where it is the subject"),
    ("kerasvis/graph/a.py", "def f():\n    from tensorflow import nn", "only where it is the subj"),
    ("kerasvis/__init__.py", "import tensorflow", "only where it is the subject"),
    ("kerasvis/data/a.py", "import tensorflow as tf\ntf.distribute.get_strategy()", "distribute"),
    (
        "kerasvis/occlusion/a.py",
        "from kerasvis.data.tensorflow_only import tf",
        "only where it is the subject",
    ),
    ("kerasvis/data/a.py", "from tensorflow import distribute", "uses tf.distribute"),
    ("kerasvis/data/a.py", "import tensorflow.distribute as d", "uses tf.distribute"),
    ("scripts/a.py", "import tensorflow as tf\ns = tf.distribute.Strategy", "uses tf.distribute"),
    ("kerasvis/data/a.py", "import hashlib", "hashlib is for storage alone"),
    ("kerasvis/data/a.py", "import os\nos.replace('a', 'b')", "os.replace is for storage alone"),
    ("kerasvis/data/a.py", "from os import replace as r", "os.replace is for storage alone"),
    ("kerasvis/reports/a.py", "import numpy as np\nnp.savez('a')", "numpy.savez is for storage"),
    ("kerasvis/reports/a.py", "path.write_text('a')", "path is written past storage"),
]


@pytest.mark.parametrize(("path", "source", "sentence"), PLANTED)
def test_planted_violation_is_found(path, source, sentence):
    found = violations(path, source)
    assert len(found) == 1
    assert sentence in found[0]


ALLOWED = [
    ("kerasvis/graph/a.py", "import keras\nfrom kerasvis.layers.b import c\nfrom . import nodes"),
    ("kerasvis/analyses/a.py", "from kerasvis.deconvnet import DeconvModel"),
    ("kerasvis/reports/a.py", "import tensorflow\nfrom kerasvis.figures import feature_grid"),
    ("kerasvis/deconvnet/deconvnet_export.py", "import tensorflow as tf\ntf.saved_model.save"),
    (
        "kerasvis/figures/a.py",
        "import numpy\nfrom matplotlib.figure import Figure\nfrom . import b",
    ),
    (
        "kerasvis/figures/a.py",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from kerasvis.analyses import b",
    ),
    ("kerasvis/training/strategies.py", "import tensorflow as tf\ntf.distribute.get_strategy()"),
    ("scripts/a.py", "import kerasvis as kv\nimport tensorflow as tf"),
    ("kerasvis/storage/a.py", "import hashlib, os\nos.replace('a', 'b')"),
    ("kerasvis/reports/a.py", "temporary.write_bytes(b'a')\nwrite_text(path, 'a')"),
]


@pytest.mark.parametrize(("path", "source"), ALLOWED)
def test_what_the_design_allows_passes(path, source):
    assert violations(path, source) == []


def modules_after(statement):
    """Names of the modules that a statement adds to those of a fresh Python."""
    program = (
        "import sys\n"
        "before = set(sys.modules)\n"
        f"{statement}\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    finished = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(finished.stdout.split())


def test_importing_kerasvis_starts_nothing():
    imported = modules_after("import kerasvis; dir(kerasvis); kerasvis.__version__")
    assert "kerasvis" in imported
    assert not imported & {"keras", "matplotlib", "numpy", "tensorflow"}
    assert len(imported) < 20


def test_importing_figures_starts_neither_tensorflow_nor_keras():
    imported = modules_after("from kerasvis import figures; dir(figures)")
    assert "kerasvis.figures" in imported
    assert not imported & {"keras", "tensorflow"}


@pytest.mark.parametrize("name", kerasvis.__all__)
def test_public_name_resolves(name):
    assert getattr(kerasvis, name) is not None
    assert name in dir(kerasvis)


def test_unknown_public_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'kerasvis' has no attribute 'DeconvModle'"):
        kerasvis.DeconvModle  # noqa: B018
