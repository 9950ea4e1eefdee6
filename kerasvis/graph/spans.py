"""The receptive fields of a tensor's units along one axis.

The receptive field of a unit at position `p` is `size` pixels long and begins at
`offset + p * stride`. Through a layer with windows of `kernel` elements, the size grows by
`(kernel - 1) * stride`, the offset decreases by `pad_before * stride`, and the stride is multiplied
by the layer's. Above an upsampling by a factor f, neighbouring units are `stride / f` pixels apart,
so these numbers are fractions, and the receptive field consists of the whole pixels between its two
ends. Where branches merge, it is the union.
"""

from fractions import Fraction
from typing import NamedTuple


class Span(NamedTuple):
    """The receptive fields of a tensor's units along one axis, in pixels.

    Attributes:
        size: length of the receptive field; None if it is the whole axis.
        stride: pixels between neighbouring units.
        offset: first pixel of the unit at position 0; negative inside the padding.
    """

    size: Fraction | None
    stride: Fraction
    offset: Fraction

    def through(self, kernel, stride, pad_before):
        """The span above a layer with windows of `kernel` elements."""
        if self.size is None:
            return self
        return Span(
            self.size + (kernel - 1) * self.stride,
            self.stride * stride,
            self.offset - pad_before * self.stride,
        )

    def through_upsampling(self, factor, reach_before, reach_after):
        """The span above a layer with several units for each unit of its input.

        Unit `p` of its output depends on units of its input around `p / factor`.

        Args:
            factor: number of output units for each input unit.
            reach_before: the largest distance, in input units, from `p / factor` back to the first
                unit that it depends on.
            reach_after: the largest distance from `p / factor` to the last such unit.
        """
        if self.size is None:
            return self
        return Span(
            self.size + (reach_before + reach_after) * self.stride,
            self.stride / factor,
            self.offset - reach_before * self.stride,
        )


WHOLE = Span(None, Fraction(1), Fraction(0))
PIXEL = Span(Fraction(1), Fraction(1), Fraction(0))


def union(spans):
    """The smallest span that contains all of these spans."""
    if len(spans) == 1:
        return spans[0]
    if any(s.size is None for s in spans) or len({s.stride for s in spans}) > 1:
        return WHOLE
    offset = min(s.offset for s in spans)
    return Span(max(s.offset + s.size for s in spans) - offset, spans[0].stride, offset)
