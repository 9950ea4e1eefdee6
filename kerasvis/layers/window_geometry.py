"""The geometry of the windows of convolutions and pooling, along one axis.

Layers, receptive fields, the deconvnet and occlusion share it. It is in this package since layers
import no other. Lengths are integers or integer tensors; `padding` is `"valid"` or `"same"`, as in
TensorFlow: an odd element is added at the end.
"""

from typing import Any

from keras import ops


def kernel_extent(kernel_size: int, dilation_rate: int) -> int:
    """Number of elements from the first to the last one that a dilated kernel reads."""
    return (kernel_size - 1) * dilation_rate + 1


def num_windows(length: Any, extent: int, stride: int, padding: str) -> Any:
    """Number of windows of `extent` elements along an axis of `length` elements."""
    if padding == "same":
        return -(-length // stride)
    return at_least_zero((length - extent) // stride + 1)


def padding_before(length: Any, extent: int, stride: int, padding: str) -> Any:
    """Number of elements of padding before the first one."""
    if padding == "valid":
        return 0
    spanned = (num_windows(length, extent, stride, padding) - 1) * stride + extent
    return at_least_zero(spanned - length) // 2


def at_least_zero(number: Any) -> Any:
    """The number, or 0 if it is negative."""
    return max(number, 0) if isinstance(number, int) else ops.maximum(number, 0)
