"""The tables of built-in rules: which mirror each layer of Keras gets."""

import keras
from keras import activations, layers

from kerasvis.deconvnet import affine, filtering, merging, rearranging, unpooling
from kerasvis.deconvnet.derivative import AttentionAsGate, Derivative, Selection
from kerasvis.deconvnet.merging import GateAsConstant
from kerasvis.deconvnet.mirror import NormalizationUnchanged, PassUnchanged
from kerasvis.deconvnet.rectification import Rectification
from kerasvis.graph.identities import IDENTITIES
from kerasvis.layers import MaxPooling2DWithSwitches, PixelMean

LAYER_RULES = {
    layers.Conv2D: filtering.TransposedConvolution,
    layers.Conv2DTranspose: filtering.Convolution,
    layers.DepthwiseConv2D: filtering.TransposedDepthwiseConvolution,
    layers.SeparableConv2D: filtering.TransposedSeparableConvolution,
    layers.Dense: filtering.TransposedDense,
    layers.MaxPooling2D: unpooling.Unpooling,
    MaxPooling2DWithSwitches: unpooling.Unpooling,
    layers.AveragePooling2D: unpooling.AverageUnpooling,
    layers.GlobalAveragePooling2D: unpooling.GlobalAverageUnpooling,
    layers.GlobalMaxPooling2D: unpooling.GlobalUnpooling,
    layers.BatchNormalization: affine.BatchNormalizationScale,
    layers.Rescaling: affine.RescalingScale,
    layers.Normalization: affine.NormalizationScale,
    layers.Add: merging.Sum,
    layers.Subtract: merging.Difference,
    layers.Average: merging.Mean,
    layers.Multiply: merging.Product,
    layers.Maximum: merging.Switched,
    layers.Minimum: merging.Switched,
    layers.Concatenate: merging.Pieces,
    layers.ZeroPadding2D: rearranging.Unpadded,
    layers.Cropping2D: rearranging.Uncropped,
    layers.UpSampling2D: rearranging.Downsampled,
    layers.Flatten: rearranging.Reshaped,
    layers.Reshape: rearranging.Reshaped,
    layers.Permute: rearranging.Permuted,
    **dict.fromkeys((PixelMean, *IDENTITIES), PassUnchanged),
}

# The operations behind `x + y` and the like, which have no public types.
OPERATION_RULES = {
    "Add": merging.Sum,
    "Clip": Selection,
    "Maximum": merging.Switched,
    "Minimum": merging.Switched,
    "Multiply": merging.Product,
}

ACTIVATION_LAYERS = (
    layers.Activation,
    layers.ELU,
    layers.LeakyReLU,
    layers.PReLU,
    layers.ReLU,
    layers.Softmax,
)

SMOOTH_AND_LEAKY = (
    activations.silu,
    activations.gelu,
    activations.hard_silu,
    activations.mish,
    activations.elu,
    activations.celu,
    activations.selu,
    activations.softplus,
    activations.squareplus,
    activations.leaky_relu,
    "quick_gelu",
    layers.PReLU,
)

NORMALIZATIONS = (
    layers.LayerNormalization,
    layers.GroupNormalization,
    layers.UnitNormalization,
    layers.RMSNormalization,
)

# What `rules="relaxed"` means.
RELAXED_RULES = (
    *((activation, Rectification) for activation in SMOOTH_AND_LEAKY),
    ("Multiply", GateAsConstant),
    *((normalization, NormalizationUnchanged) for normalization in NORMALIZATIONS),
    ((layers.MultiHeadAttention, layers.GroupQueryAttention), AttentionAsGate),
    (keras.Operation, Derivative),
)
RULE_SETS = {"relaxed": RELAXED_RULES}
