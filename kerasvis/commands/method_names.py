"""Methods by name, or functions of a user's own as `module:NAME`."""

from collections.abc import Callable, Sequence
from typing import Annotated

from cyclopts import Parameter

from kerasvis.commands.named_objects import convert_choice, load_object

# The keys of kerasvis.attributions.METHODS, whose import starts Keras.
METHODS = (
    *("deconvnet", "guided", "gradient", "gradient_times_input", "smoothgrad", "grad_cam"),
    "edges",
)
MethodName = Annotated[str, Parameter(converter=convert_choice(METHODS))]


def load_methods(names: Sequence[str]) -> dict[str, str | Callable]:
    """`{name: method}`, as `kerasvis.compare_methods` takes them.

    Raises:
        ValueError: if a module has no such function.
    """
    functions = {name for name in names if name not in METHODS}
    return {
        name.rpartition(":")[2]: load_object(name, "--methods") if name in functions else name
        for name in names
    }
