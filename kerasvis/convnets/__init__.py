"""The paper's convnets, built in the manner of `keras.applications`, and SqueezeNet."""

from kerasvis.convnets.alexnet import AlexNet as AlexNet
from kerasvis.convnets.squeezenet import SqueezeNet as SqueezeNet
from kerasvis.convnets.zfnet import ZFNet as ZFNet

__all__ = ["AlexNet", "SqueezeNet", "ZFNet"]
