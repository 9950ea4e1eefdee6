"""Small convnets at random: strides, paddings, overlaps, branches, sides that differ."""

import keras
from hypothesis import note
from hypothesis import strategies as st
from keras import layers

from kerasvis.layers import LocalResponseNormalization, PixelMean

WINDOWS = ["conv", "depthwise", "separable", "pool", "pool", "pad", "crop"]
POINTWISE = ["activation", "batch", "contrast"]
UPSAMPLING = ["upsampling", "transposed"]
BRANCHES = ["residual", "inception", "strided_residual"]
ALL_KINDS = [*WINDOWS, *POINTWISE, *UPSAMPLING, *BRANCHES]


class Drawing:
    """Draws layers on top of a tensor.

    Args:
        draw: of a hypothesis composite.
        options: of all layers with kernels.
        pooling: type of the pooling layers.
    """

    def __init__(self, draw, options, pooling):
        self.draw = draw
        self.options = options
        self.pooling = pooling

    def number(self, low, high):
        return self.draw(st.integers(low, high))

    def pair(self, low, high):
        return self.number(low, high), self.number(low, high)

    def padding(self):
        return self.draw(st.sampled_from(["valid", "same"]))

    def add(self, kind, x):
        """The layer `kind` on top of x; x itself where it has too few cells for it."""
        return getattr(self, kind)(x) if min(x.shape[1:3]) >= 6 else x

    def conv(self, x, strides=None, padding=None, kernel=None):
        kernel = kernel or self.pair(1, 3)
        strides = strides or self.pair(1, 2)
        dilation = self.pair(1, 2) if strides == (1, 1) else (1, 1)
        options = {"dilation_rate": dilation, "activation": "relu", **self.options}
        return layers.Conv2D(2, kernel, strides, padding or self.padding(), **options)(x)

    def depthwise(self, x):
        strides = (self.number(1, 2),) * 2  # TensorFlow has no others
        options = {"depthwise_initializer": self.options["kernel_initializer"]}
        return layers.DepthwiseConv2D(self.pair(1, 3), strides, self.padding(), **options)(x)

    def separable(self, x):
        initializer = self.options["kernel_initializer"]
        options = {"depthwise_initializer": initializer, "pointwise_initializer": initializer}
        return layers.SeparableConv2D(2, self.pair(1, 3), 1, self.padding(), **options)(x)

    def pool(self, x):
        return self.pooling(self.pair(1, 3), self.pair(1, 3), self.padding())(x)

    def pad(self, x):
        return layers.ZeroPadding2D((self.pair(0, 2), self.pair(0, 2)))(x)

    def crop(self, x):
        return layers.Cropping2D((self.pair(0, 2), self.pair(0, 2)))(x)

    def activation(self, x):
        return layers.Activation("relu")(x)

    def batch(self, x):
        return layers.BatchNormalization()(x)

    def contrast(self, x):
        return LocalResponseNormalization()(x)

    def upsampling(self, x):
        interpolation = self.draw(st.sampled_from(["nearest", "bilinear"]))
        return layers.UpSampling2D(self.pair(1, 3), interpolation=interpolation)(x)

    def transposed(self, x):
        strides = self.pair(1, 2)
        return layers.Conv2DTranspose(2, self.pair(1, 4), strides, self.padding(), **self.options)(
            x
        )

    def residual(self, x):
        return layers.Add()(
            [layers.Conv2D(2, 1, **self.options)(x), self.conv(x, (1, 1), "same", (3, 2))]
        )

    def inception(self, x):
        strides = self.pair(1, 2)
        pooled = self.pooling(self.pair(1, 3), strides, "same")(x)
        return layers.Concatenate()([self.conv(x, strides, "same"), pooled])

    def strided_residual(self, x):
        """Branches with different strides on the way, that meet again at one."""
        factor = self.number(2, 3)
        coarse = self.pooling(2, factor, "same")(x)
        fine = layers.UpSampling2D(factor)(coarse)
        extra = [n - m for n, m in zip(fine.shape[1:3], x.shape[1:3], strict=True)]
        return layers.Add()([x, layers.Cropping2D([(n // 2, n - n // 2) for n in extra])(fine)])


def random_convnet(
    draw,
    sizes=(12, 30),
    kinds=ALL_KINDS,
    pooling=layers.MaxPooling2D,
    has_mean=True,
    kernel_initializer="random_normal",
):
    """A convnet of 2 to 6 layers or branches that takes `(rows, columns, 3)`.

    Not one channel: TensorFlow 2.21 on a CPU (oneDNN) convolves several images of one channel
    wrongly where only the columns have a stride and one column of units comes out.

    It is built in the test (`data.draw`), not in a strategy, since Keras uses `random` itself.
    """
    drawing = Drawing(draw, {"kernel_initializer": kernel_initializer}, pooling)
    inputs = keras.Input((*drawing.pair(*sizes), 3))
    x = PixelMean()(inputs) if has_mean else inputs
    for kind in draw(st.lists(st.sampled_from(kinds), min_size=2, max_size=6)):
        x = drawing.add(kind, x)
    model = keras.Model(inputs, layers.Activation("linear", name="top")(x))
    note("\n".join(map(described, model.layers)))
    return model


def described(layer):
    """A layer's type, output shape and arguments, to read in a failure."""
    names = "kernel_size pool_size strides padding dilation_rate cropping size interpolation"
    arguments = [f"{name}={getattr(layer, name)}" for name in names.split() if hasattr(layer, name)]
    return f"{type(layer).__name__} {layer.output.shape[1:]} {' '.join(arguments)}"
