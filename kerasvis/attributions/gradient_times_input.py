"""Gradient × input: what every value of the image adds to the activation, to first order."""

import numpy as np

from kerasvis.attributions.projections import gradient


def gradient_times_input(model, layer, images, target, *, batch_size=None, verbose=0):
    """The derivative of the activation times the image, value by value.

    The image counts in the units that the model takes, so the baseline is where they are 0: black
    for raw pixels, the mean colour for images whose mean was subtracted. For a net of ReLUs, max
    pooling and no biases, the values sum to the activation.

    See `attribute` for the arguments.

    Reference:
        Shrikumar et al. 2016, "Not Just a Black Box", Section 3.
    """
    derivatives = gradient(model, layer, images, target, batch_size=batch_size, verbose=verbose)
    return derivatives * np.asarray(images, derivatives.dtype)
