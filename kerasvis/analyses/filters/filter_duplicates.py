"""Near-duplicate filters: how similar each filter is to those before it."""

import numpy as np


def earlier_twins(kernels, is_dead):
    """Finds the most similar earlier filter of each filter.

    The similarity is the normalised correlation of weights: their inner product divided by the
    product of their lengths. It is 1 for filters that differ by a positive factor. For images with
    uncorrelated pixels it is the correlation of the two feature maps before their biases. Filters
    of opposite sign are not similar: rectification keeps different halves of their outputs.

    Each filter is compared with earlier ones only, so of k copies k - 1 have a twin.

    Args:
        kernels: array `(height, width, channels, filters)` of finite weights.
        is_dead: bool `(filters,)`: filters that are left out.

    Returns:
        `(twins, correlations)`: int64 `(filters,)`, -1 where there is no earlier filter, and
        float32 `(filters,)` in [-1, 1], -1 there.

    Example:
        >>> import numpy as np
        >>> from kerasvis.analyses.filters.filter_duplicates import earlier_twins
        >>> earlier_twins(np.array([[[[1.0, -1.0, 2.0]]]]), np.zeros(3, bool))
        (array([-1,  0,  0]), array([-1., -1.,  1.], dtype=float32))
    """
    weights = np.asarray(kernels, "float64").reshape(-1, kernels.shape[-1])
    is_dead = np.asarray(is_dead) | ~weights.any(axis=0)
    lengths = np.where(is_dead, 1, np.linalg.norm(weights, axis=0))
    directions = np.where(is_dead, 0, weights / lengths)
    correlations = directions.T @ directions
    is_pair = np.tri(len(is_dead), k=-1, dtype=bool) & ~is_dead & ~is_dead[:, None]
    correlations = np.where(is_pair, correlations, -np.inf)
    twins = np.where(is_pair.any(axis=1), correlations.argmax(axis=1), -1)
    return twins, correlations.max(axis=1).clip(-1, 1).astype("float32")
