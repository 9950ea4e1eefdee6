"""The three rules for rectification as methods: deconvnet, gradient saliency, guided backprop."""

from kerasvis.attributions.activation_gradient import ActivationGradient, GuidedGradient
from kerasvis.attributions.made_once import made_once
from kerasvis.deconvnet import DeconvModel


def deconvnet(model, layer, images, target, *, rules=(), batch_size=None, verbose=0):
    """The deconvnet's projections, in units of the activation.

    The signal starts at the activation, as in `DeconvModel.project`. See `attribute` for the
    arguments.

    Reference:
        Zeiler & Fergus 2013, Section 2.1.
    """
    deconv = DeconvModel(model, layer, rules=rules)
    return deconv.project(images, target, batch_size, verbose)


def gradient(model, layer, images, target, *, batch_size=None, verbose=0):
    """Gradient saliency: the derivative of the activation, signed, channel by channel.

    See `attribute` for the arguments.

    Reference:
        Simonyan, Vedaldi & Zisserman 2013, "Deep Inside Convolutional Networks", Section 3.
        Deviation: they show the largest absolute value over the channels.
    """
    derivatives = made_once(ActivationGradient, model, layer)
    return derivatives.derive(images, target, batch_size, verbose)["gradient"]


def guided(model, layer, images, target, *, rules=(), batch_size=None, verbose=0):
    """Guided backpropagation: the gradient, of which only the positive part passes each ReLU.

    See `attribute` for the arguments. The signal starts at 1. `DeconvModel` with rectification
    `"guided"` starts at the activation; for a positive activation its result is this one times the
    activation.

    Reference:
        Springenberg et al. 2014, "Striving for Simplicity", Section 3.4.
    """
    model = GuidedGradient(model, layer, rules)
    return model.derive(images, target, batch_size, verbose)["gradient"]
