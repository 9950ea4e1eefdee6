"""Which layer of Keras a layer computes like: a subclass need not be its parent."""

from typing import Any

# What a subclass may say for itself and still compute as its parent does.
_CHANGES_NOTHING = frozenset(
    """
    __annotations__ __dict__ __doc__ __firstlineno__ __init__ __module__ __qualname__
    __static_attributes__ __weakref__ build build_from_config compute_output_shape from_config
    get_build_config get_config
    """.split()
)


def kind_of(layer: Any) -> type:
    """The type that tells what a layer computes.

    Its own type; but of a subclass that leaves alone whatever a layer of Keras computes with, be it
    `call` or the kernel, the type of that layer.

    Args:
        layer: a layer or an operation.
    """
    own_classes: list[type] = []
    for base in type(layer).__mro__:
        if base.__module__.startswith(("keras.", "kerasvis.")):
            changed = {name for cls in own_classes for name in vars(cls)} - _CHANGES_NOTHING
            return type(layer) if changed.intersection({*dir(base), *vars(layer)}) else base
        own_classes.append(base)
    return type(layer)


def is_quantized(layer: Any) -> bool:
    """Whether the layer computes with a quantized kernel, of whole numbers or of 8 bits."""
    return getattr(layer, "quantization_mode", None) is not None
