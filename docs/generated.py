"""The reference, generated: every public name, and every command from its --help."""

import ast
import contextlib
import importlib
import inspect
import io
import os
import pkgutil
import re
from pathlib import Path

import kerasvis
from kerasvis.commands.command_line import application, run

ROOT = Path(__file__).resolve().parents[1]
BENCHMARKS = (
    "``make bench`` prints speed, memory and agreement beside what one would otherwise use, on the "
    "machine at hand and in an environment of its own. Each benchmark runs by itself, too."
)
WIDTH = 92  # letters of a line of --help


def write_reference(folder):
    """Writes a page for each package and one for the commands."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        path.unlink()
    packages = public_packages()
    (folder / "kerasvis.rst").write_text(page_of_kerasvis())
    for name in packages:
        (folder / f"{name}.rst").write_text(page_of_package(name))
    (folder / "python.rst").write_text(list_of_packages(packages))
    (folder / "benchmarks.rst").write_text(page_of_benchmarks())
    (folder / "commands.rst").write_text(page_of_commands())


def list_of_packages(names):
    lines = [*heading("Python"), "Every public name, generated from the code.", ""]
    lines += [".. toctree::", "    :maxdepth: 1", ""]
    return "\n".join(lines + [f"    {name}" for name in ("kerasvis", *names)]) + "\n"


def public_packages():
    """Names of the packages and modules that say in `__all__` what is public in them."""
    found = {module.name for module in pkgutil.iter_modules(kerasvis.__path__)}
    found |= {name for name in kerasvis.__all__ if inspect.ismodule(getattr(kerasvis, name))}
    modules = {name: public_module(name) for name in sorted(found - {"__main__"})}
    return [name for name, module in modules.items() if getattr(module, "__all__", None)]


def public_module(name):
    return getattr(kerasvis, name, None) or importlib.import_module(f"kerasvis.{name}")


def page_of_kerasvis():
    """The names that `kerasvis` itself has, each of them documented in its package."""
    lines = [*heading("kerasvis"), "``import kerasvis as kv`` gives:", ""]
    for name in kerasvis.__all__:
        thing = getattr(kerasvis, name)
        summary = (inspect.getdoc(thing) or "").splitlines()[0]
        target = documented_place(thing, name)
        lines += [f"{target}", f"    {summary}", ""]
    return "\n".join(lines)


def documented_place(thing, name):
    """A reference to where a public thing is documented; its name alone where it is not."""
    if inspect.ismodule(thing):
        has_page = getattr(thing, "__all__", None)
        return f":doc:`kv.{name} <{name}>`" if has_page else f"``kv.{name}``"
    for package in public_packages():
        if getattr(public_module(package), name, None) is thing:
            kind = "class" if inspect.isclass(thing) else "func"
            return f":{kind}:`kv.{name} <{public_module(package).__name__}.{name}>`"
    raise ValueError(f"kerasvis.{name} is public in no package: add it to one's __all__.")


def page_of_package(name):
    """A package's own words, and each of its public names."""
    module = public_module(name)
    lines = [*heading(module.__name__), f".. automodule:: {module.__name__}", ""]
    lines += [f".. currentmodule:: {module.__name__}", ""]
    for public in module.__all__:
        thing = getattr(module, public)
        if inspect.isclass(thing):
            lines += [f".. autoclass:: {public}", "    :members:", *repeated(thing, name), ""]
        elif callable(thing):
            lines += [f".. autofunction:: {public}", *repeated(thing, name), ""]
        elif not inspect.ismodule(thing):
            lines += [f".. py:data:: {public}", f"    :type: {type(thing).__name__}", ""]
    return "\n".join(lines)


def repeated(thing, name):
    """The option for what an earlier package names, too, so that it is indexed once."""
    earlier = (other for other in public_packages() if other < name)
    modules = map(public_module, earlier)
    is_repeated = any(thing is getattr(module, n) for module in modules for n in module.__all__)
    return ["    :no-index:"] if is_repeated else []


def page_of_commands():
    """Every command, as its --help tells it."""
    lines = [*heading("Commands"), "Installed as ``kerasvis <command>``.", ""]
    for command in application:
        if command.startswith("-"):
            continue
        text = help_of(command)
        title = f"kerasvis {command}"
        lines += [title, "-" * len(title), "", ".. code-block:: text", ""]
        lines += [f"    {line}".rstrip() for line in text.splitlines()] + [""]
    return "\n".join(lines)


def page_of_benchmarks():
    """What each benchmark compares with what, as it says itself."""
    lines = [*heading("Side by side with other libraries"), BENCHMARKS, ""]
    for path in sorted((ROOT / "benchmarks").glob("[!_]*.py")):
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
        title = f"benchmarks.{path.stem}"
        text = text.replace("\n\n    python", "\n\n::\n\n    python")
        lines += [title, "-" * len(title), "", as_literals(text), ""]
    return "\n".join(lines)


def as_literals(text):
    """The `code` of Markdown as literals of reStructuredText, each on one line."""
    return re.sub(r"(?<!`)`([^`]+)`(?!`)(?=(\w?))", literal, text)


def literal(match):
    code = re.sub(r"\s*\n\s*", " ", match[1])
    return f"``{code}``" + (r"\ " if match[2] else "")  # as in `Path`s


def help_of(command):
    os.environ["COLUMNS"] = str(WIDTH)
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        run([command, "--help"])
    return text.getvalue()


def heading(title):
    return [title, "=" * len(title), ""]
