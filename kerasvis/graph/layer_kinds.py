"""Which layer of Keras a subclass computes like: its parent, unless it overrides something."""

from typing import Any

# What a subclass may define and still compute the same as its parent.
_CHANGES_NOTHING = frozenset(
    """
    __annotations__ __dict__ __doc__ __firstlineno__ __init__ __module__ __qualname__
    __static_attributes__ __weakref__ build build_from_config compute_output_shape from_config
    get_build_config get_config
    """.split()
)


def kind_of(layer: Any) -> type:
    """The type that determines what a layer computes.

    For a subclass of a Keras layer that overrides nothing that the layer computes with, such as
    `call` or the kernel, this is the Keras layer; otherwise it is the type of the layer.

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
    """Whether the layer computes with a quantized kernel, of integers or of 8-bit floats."""
    return getattr(layer, "quantization_mode", None) is not None
