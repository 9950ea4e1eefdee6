"""Objects from a user's own modules, given as `module:NAME`."""

import importlib
import sys
from collections.abc import Callable, Sequence
from typing import Any

from cyclopts import CoercionError, Token


def convert_choice(known: tuple[str, ...]) -> Callable[[object, Sequence[Token]], str]:
    """A converter for options that accept one of some names, or `module:NAME`."""

    def convert(_: object, tokens: Sequence[Token]) -> str:
        text = tokens[0].value
        module, colon, name = text.partition(":")
        is_named = all(part.isidentifier() for part in (*module.split("."), name))
        if text not in known and not (colon and is_named):
            expected = f"{', '.join(known)}, or module:NAME of an object in a module of your own"
            raise CoercionError(msg=expected, token=tokens[0], target_type=str)
        return text

    return convert


def load_object(text: str, option: str) -> Any:
    """Imports the object that `module:NAME` names; modules in the current folder count.

    Args:
        text: `module:NAME`.
        option: name of the option.

    Raises:
        ValueError: if there is no such module or object, or importing it fails.
    """
    module, _, name = text.partition(":")
    path = list(sys.path)
    sys.path.insert(0, "")
    try:
        return getattr(importlib.import_module(module), name)
    except Exception as error:  # the user's code may raise anything
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(
            f"The object cannot be imported ({reason}): give module:NAME of one that can. "
            f"Received: {option}={text}"
        ) from error
    finally:
        sys.path[:] = path
