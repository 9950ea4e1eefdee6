"""What a type checker and a reader see of every public name: its types and its docstring."""

import importlib
import inspect
import pkgutil

import pytest

import kerasvis

PACKAGES = [kerasvis] + [
    importlib.import_module(f"kerasvis.{found.name}")
    for found in pkgutil.iter_modules(kerasvis.__path__)
    if found.ispkg
]


def public_things():
    """Every class and function that `kerasvis` or one of its packages names in `__all__`, once."""
    things = {}
    for package in PACKAGES:
        for name in getattr(package, "__all__", ()):
            thing = getattr(package, name)
            if inspect.isclass(thing) or inspect.isroutine(thing):
                things[f"{thing.__module__}.{thing.__qualname__}"] = thing
    return things


def own_members(thing):
    """`(name, function)` of what a public class of ours defines itself, in public."""
    for name, member in vars(thing).items():
        member = inspect.unwrap(getattr(member, "__func__", member))
        member = getattr(member, "fget", None) or getattr(member, "func", member)
        is_ours = getattr(member, "__module__", None) == thing.__module__
        is_public = not name.startswith("_") or name in ("__init__", "__call__")
        if inspect.isfunction(member) and is_ours and is_public:
            yield name, member


def public_functions():
    """All functions, and the methods and constructors of all classes."""
    for name, thing in PUBLIC.items():
        if not inspect.isclass(thing):
            yield name, inspect.unwrap(thing)
            continue
        for inner, member in own_members(thing):
            yield f"{name}.{inner}", member


PUBLIC = public_things()
FUNCTIONS = dict(public_functions())


def test_there_are_some():
    assert "kerasvis.deconvnet.deconv_model.DeconvModel" in PUBLIC
    assert "kerasvis.deconvnet.deconv_model.DeconvModel.project" in FUNCTIONS
    assert len(FUNCTIONS) > 200


@pytest.mark.parametrize("name", FUNCTIONS)
def test_signature_is_typed(name):
    signature = inspect.signature(FUNCTIONS[name])
    parameters = list(signature.parameters.values())
    bound = [parameter.name for parameter in parameters[:1] if parameter.name in ("self", "cls")]
    untyped = [
        parameter.name
        for parameter in parameters
        if parameter.annotation is parameter.empty and parameter.name not in bound
    ]
    assert untyped == []
    assert signature.return_annotation is not signature.empty or name.endswith("__init__")


@pytest.mark.parametrize("name", PUBLIC)
def test_docstring_tells_what_goes_in_and_comes_out(name):
    thing = PUBLIC[name]
    text = inspect.getdoc(thing) or ""
    assert text
    if inspect.isclass(thing):
        own = vars(thing).get("__init__")
        takes = own is not None and len(inspect.signature(own).parameters) > 1
        assert not takes or "Args:" in text or "Attributes:" in text
        return
    signature = inspect.signature(thing)
    assert not signature.parameters or "Args:" in text
    assert signature.return_annotation is None or "Returns:" in text or "Yields:" in text


def test_types_are_told_to_type_checkers():
    """PEP 561: a file `py.typed` in the package."""
    assert (importlib.resources.files("kerasvis") / "py.typed").is_file()


MOST_ARGUMENTS = 7
# What public calls hand on whole: the options of `FeatureEvolution`, and of a registered method.
AS_PUBLIC = ("FeatureSnapshots.__init__", "smoothgrad")


def all_functions():
    """`(name, function)` of everything that the package defines, its commands' parsers excepted."""
    for found in pkgutil.walk_packages(kerasvis.__path__, "kerasvis."):
        if found.name.startswith("kerasvis.commands") or found.name.endswith("__main__"):
            continue
        module = importlib.import_module(found.name)
        for name, thing in vars(module).items():
            if getattr(thing, "__module__", None) != module.__name__:
                continue
            if inspect.isclass(thing):
                for inner, member in own_members(thing):
                    if member.__code__.co_filename == module.__file__:  # not a dataclass's own
                        yield f"{name}.{inner}", member
            elif inspect.isfunction(thing):
                yield name, thing


def test_seven_arguments_at_most():
    """Public calls may have more options, by keyword alone, as `keras.Model.fit` has."""
    public = {function.__qualname__ for function in FUNCTIONS.values()}
    num_functions = 0
    for name, function in all_functions():
        kinds = [p.kind for p in inspect.signature(function).parameters.values()]
        by_keyword = kinds.count(inspect.Parameter.KEYWORD_ONLY)
        is_method = "." in name
        assert len(kinds) - by_keyword - is_method <= MOST_ARGUMENTS, name
        if name not in public and name not in AS_PUBLIC:
            assert len(kinds) - is_method <= MOST_ARGUMENTS, name
        num_functions += 1
    assert num_functions > 500
