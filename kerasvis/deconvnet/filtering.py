"""Filtering: the transposed filters of the trained layer, without a bias.

The output size of a transposed convolution with stride > 1 is ambiguous; the record determines it.
Every signal is first spread over all locations that any window reads, and then cropped to the
locations of the layer's input.

Reference:
    Zeiler & Fergus 2013, Section 2.1, "Filtering".
"""

from keras import ops

from kerasvis.deconvnet.mirror import Mirror
from kerasvis.layers import window_geometry
from kerasvis.layers.window_geometry import at_least_zero, padding_before


class TransposedConvolution(Mirror):
    """Conv2D, mirrored: strides, dilation, groups, both paddings."""

    verb = "filter"

    def project(self, signal, record):
        layer = self.mirrored
        return transposed_convolution(
            signal, self.weight(layer.kernel), size_of(record.inputs[0]), layer, layer.groups
        )

    def describe(self):
        return f"{self.verb} {'×'.join(map(str, self.mirrored.kernel_size))}"


class TransposedDepthwiseConvolution(TransposedConvolution):
    """DepthwiseConv2D, mirrored."""

    def project(self, signal, record):
        layer = self.mirrored
        return transposed_depthwise(
            signal, self.weight(layer.kernel), size_of(record.inputs[0]), layer
        )


class TransposedSeparableConvolution(TransposedConvolution):
    """SeparableConv2D, mirrored: the pointwise filters, then the depthwise ones."""

    def project(self, signal, record):
        layer = self.mirrored
        pointwise = self.weight(layer.pointwise_kernel)[0, 0]
        signal = ops.matmul(signal, ops.transpose(pointwise))
        depthwise = self.weight(layer.depthwise_kernel)
        return transposed_depthwise(signal, depthwise, size_of(record.inputs[0]), layer)


class Convolution(TransposedConvolution):
    """Conv2DTranspose, mirrored: a convolution."""

    def project(self, signal, record):
        layer = self.mirrored
        return ops.conv(
            signal,
            self.weight(layer.kernel),
            strides=layer.strides,
            padding=layer.padding,
            dilation_rate=layer.dilation_rate,
        )


class TransposedDense(Mirror):
    """Dense, mirrored."""

    verb = "filter"

    def project(self, signal, record):
        return ops.matmul(signal, ops.transpose(self.weight(self.mirrored.kernel)))


def size_of(tensor):
    """`(height, width)` of a tensor: integers where they are known, otherwise tensors."""
    return ops.shape(tensor)[1:3]


def transposed_convolution(signal, kernel, size, layer, groups=1):
    """The adjoint of `ops.conv`: `(batch, *size, input channels)`."""
    if groups > 1:
        signals, kernels = ops.split(signal, groups, -1), ops.split(kernel, groups, -1)
        pairs = zip(signals, kernels, strict=True)
        return ops.concatenate(
            [transposed_convolution(s, k, size, layer) for s, k in pairs], axis=-1
        )
    if tuple(layer.strides) == (1, 1):
        # The same result as below; on a CPU, a convolution is faster than its transpose.
        flipped = ops.transpose(ops.flip(ops.flip(kernel, 0), 1), (0, 1, 3, 2))
        options = {"dilation_rate": layer.dilation_rate}
        if layer.padding == "same" and all(extent % 2 for extent in kernel_extent(layer)):
            return ops.conv(signal, flipped, padding="same", **options)
        reach = [(extent - 1, extent - 1) for extent in kernel_extent(layer)]
        padded = ops.pad(signal, [(0, 0), *reach, (0, 0)])
        spread = ops.conv(padded, flipped, padding="valid", **options)
    else:
        spread = ops.conv_transpose(signal, kernel, strides=layer.strides, padding="valid")
    return crop_to_input(spread, size, layer)


def transposed_depthwise(signal, kernel, size, layer):
    """The adjoint of `ops.depthwise_conv`: `(batch, *size, channels)`."""
    rows, columns, channels, multiplier = kernel.shape
    flipped = ops.reshape(
        ops.flip(ops.flip(kernel, 0), 1), (rows, columns, channels * multiplier, 1)
    )
    spread = ops.depthwise_conv(
        spaced_out(signal, layer.strides, kernel_extent(layer)),
        flipped,
        padding="valid",
        dilation_rate=layer.dilation_rate,
    )
    batch, height, width, _ = ops.shape(spread)
    spread = ops.sum(ops.reshape(spread, (batch, height, width, channels, multiplier)), axis=-1)
    return crop_to_input(spread, size, layer)


def kernel_extent(layer):
    """Elements from the first to the last tap of the kernel, `(rows, columns)`."""
    pairs = zip(layer.kernel_size, layer.dilation_rate, strict=True)
    return tuple(window_geometry.kernel_extent(*pair) for pair in pairs)


def spaced_out(signal, strides, extent):
    """The signal with `stride - 1` zeros after every value, and `extent - 1` around it."""
    batch, height, width, channels = ops.shape(signal)
    if tuple(strides) != (1, 1):
        gaps = [(0, 0), (0, 0), (0, strides[0] - 1), (0, 0), (0, strides[1] - 1), (0, 0)]
        spaced = ops.pad(ops.reshape(signal, (batch, height, 1, width, 1, channels)), gaps)
        size = (height * strides[0], width * strides[1])
        signal = ops.reshape(spaced, (batch, *size, channels))
    reach = [(length - 1, length - 1) for length in extent]
    return ops.pad(signal, [(0, 0), *reach, (0, 0)])


def crop_to_input(spread, size, layer, extent=None):
    """Crops a spread signal to the locations of the layer's input; zero where no window reads.

    Args:
        spread: tensor `(batch, rows, columns, channels)`, all locations that windows read, padding
            included.
        size: `(height, width)` of the layer's input.
        layer: the layer, for its strides and padding.
        extent: `(rows, columns)` of its windows; by default those of its kernel.
    """
    axes = zip(extent or kernel_extent(layer), layer.strides, size, strict=True)
    top, left = (
        padding_before(length, window, stride, layer.padding) for window, stride, length in axes
    )
    bottom, right = top + size[0], left + size[1]
    spread_height, spread_width = ops.shape(spread)[1:3]
    missing = [at_least_zero(bottom - spread_height), at_least_zero(right - spread_width)]
    if any(not isinstance(number, int) or number > 0 for number in missing):
        spread = ops.pad(spread, [(0, 0), (0, missing[0]), (0, missing[1]), (0, 0)])
    return spread[:, top:bottom, left:right]
