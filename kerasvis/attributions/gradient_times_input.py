"""Gradient × input: each value's contribution to the activation, to first order."""

import numpy as np

from kerasvis.attributions.projections import gradient


def gradient_times_input(model, layer, images, target, *, batch_size=None, verbose=0):
    """The elementwise product of the activation's derivative and the image.

    The image is in the units that the model takes. The implicit baseline is therefore 0 in these
    units: black for raw pixels, the mean colour for images whose mean was subtracted. For a model
    of ReLUs and max pooling without biases, the values sum to the activation.

    See `attribute` for the arguments.

    Reference:
        Shrikumar et al. 2016, "Not Just a Black Box", Section 3.
    """
    derivatives = gradient(model, layer, images, target, batch_size=batch_size, verbose=verbose)
    return derivatives * np.asarray(images, derivatives.dtype)
