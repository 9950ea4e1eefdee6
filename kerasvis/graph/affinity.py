"""Whether a function of tensors is affine, or two functions are the same, judged by their values.

A layer that is affine in its inputs at inference can be projected through exactly by its adjoint,
whoever wrote it and however it stores its kernel.
"""

from collections.abc import Callable, Sequence

import numpy as np
from keras import ops

SCALES = (0.01, 1.0, 3000.0)  # saturation or rounding shows at one of them
TOLERANCE = 1e-3  # for the remainder of a sum, as a share of its largest term


def is_affine(function: Callable, shapes: Sequence[tuple], dtype: str = "float32") -> bool:
    """Whether a function is affine in all of its inputs together.

    Args:
        function: function from tensors to one tensor.
        shapes: shapes of the tensors, the batch axis None.
        dtype: dtype of the tensors.

    Returns:
        Whether `f(x + y) = f(x) + f(y) - f(0)` for random tensors of several scales. Also False if
        the function cannot be called on such tensors.
    """
    rng = np.random.default_rng(0)
    try:
        return all(_is_affine_at(function, shapes, dtype, scale, rng) for scale in SCALES)
    except Exception:  # a user's layer may raise anything on numbers that are not images
        return False


def are_same(
    function: Callable, other: Callable, shapes: Sequence[tuple], dtype: str = "float32"
) -> bool:
    """Whether two functions of tensors return the same for random tensors: see `is_affine`."""
    rng = np.random.default_rng(1)
    x = [rng.normal(size=(2, *shape[1:])) for shape in shapes]
    try:
        return np.allclose(
            _values(function, x, dtype), _values(other, x, dtype), rtol=TOLERANCE, atol=1e-6
        )
    except Exception:  # as above
        return False


def _is_affine_at(function, shapes, dtype, scale, rng):
    x, y = (
        [scale * rng.normal(size=(2, *shape[1:])).astype("float32") for shape in shapes]
        for _ in range(2)
    )
    sums = [a + b for a, b in zip(x, y, strict=True)]
    zeros = [np.zeros_like(a) for a in x]
    values = [_values(function, inputs, dtype) for inputs in (sums, x, y, zeros)]
    if any(value.shape != values[0].shape for value in values):
        return False
    of_sum, of_x, of_y, of_zero = values
    rest = np.abs(of_sum - of_x - of_y + of_zero).max(initial=0)
    largest = max(np.abs(value - of_zero).max(initial=0) for value in (of_x, of_y))
    rounding = 1e-6 * np.abs(of_zero).max(initial=0)
    return bool(rest <= TOLERANCE * largest + rounding)


def _values(function, inputs, dtype):
    outputs = function(*(ops.convert_to_tensor(x, dtype) for x in inputs))
    return np.asarray(ops.convert_to_numpy(ops.cast(outputs, "float32")), "float64")
