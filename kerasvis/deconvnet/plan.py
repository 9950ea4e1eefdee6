"""The plan of the backward projection: which mirrors the signal passes, in order."""

import dataclasses

import keras

from kerasvis.deconvnet.mirror import Mirror
from kerasvis.graph.nodes import Node, Tensor
from kerasvis.storage.html_table import html_text


@dataclasses.dataclass(frozen=True)
class Step:
    """The part of the projection that goes back through one call of the convnet.

    Attributes:
        node: the call.
        mirrors: its mirrors, in the order in which the signal passes them.
        operands: the operands of the call, constants included, in order.
        is_signal: for each operand, whether it depends on the image.
    """

    node: Node
    mirrors: tuple[Mirror, ...]
    operands: tuple
    is_signal: tuple[bool, ...]

    def receivers(self, shapes):
        """For each operand, the number of the tensor if it receives a signal, otherwise None.

        Args:
            shapes: `{tensor number: shape}`.
        """
        operand_shapes = [
            shapes[x.number] if isinstance(x, Tensor) else x.shape for x in self.operands
        ]
        reached = self.mirrors[-1].receives(operand_shapes)
        return tuple(
            x.number if to_signal and is_reached else None
            for x, to_signal, is_reached in zip(self.operands, self.is_signal, reached, strict=True)
        )


@dataclasses.dataclass(frozen=True)
class Plan:
    """What the deconvnet does; `print` it to read it.

    Attributes:
        layer: name of the target layer.
        rectification: name of the rule for rectification.
        nodes: the calls of the forward pass, in order.
        steps: the steps of the backward projection, in order.
        image: number of the image tensor.
        target: number of the tensor where the projection starts.
        scored: the node whose softmax or sigmoid is left out, so that `target` is its score; None
            where the target's own activation stays.
        shapes: `{tensor number: shape}`, the batch axis None.
        image_dtype: dtype of the images that the model takes.
        starts_at: `"activation"` or `"one"`: the signal at the chosen units.
    """

    layer: str
    rectification: str
    nodes: tuple[Node, ...]
    steps: tuple[Step, ...]
    image: int
    target: int
    scored: Node | None
    shapes: dict
    image_dtype: str
    starts_at: str = "activation"

    @property
    def layers(self) -> tuple[keras.layers.Layer, ...]:
        """The layers of the forward pass, whose weights the backward projection also uses.

        A Keras model that runs the plan must have them as an attribute. On JAX, weights that Keras
        does not know of are compiled as constants, which later changes would not reach.
        """
        return tuple(n.layer for n in self.nodes if isinstance(n.layer, keras.layers.Layer))

    def __str__(self):
        start = " before its activation" if self.scored else ""
        lines = [
            f"deconvnet of layer {self.layer!r}{start} ({self._shape(self.target)}), "
            f"rectification {self.rectification!r}{self._described_signal}"
        ]
        for step in self.steps:
            verbs = " · ".join(mirror.describe() for mirror in step.mirrors)
            receivers = [n for n in step.receivers(self.shapes) if n is not None]
            below = ", ".join(self._shape(number) for number in receivers)
            lines.append(f"  {step.node.name} ({step.node.type_name}): {verbs} → {below}")
        if departures := self.departures:
            lines.append("departures from the paper:")
            lines += [f"  {what}: {first_names(names)}" for what, names in departures.items()]
        return "\n".join(lines)

    @property
    def departures(self) -> dict[str, list[str]]:
        """`{departure from the paper: names of the calls that it concerns}`.

        Empty if the rectification is not the paper's.
        """
        found: dict[str, list[str]] = {}
        for step in self.steps if self.rectification == "deconvnet" else ():
            for mirror in step.mirrors:
                if mirror.departure is not None:
                    found.setdefault(mirror.departure, []).append(step.node.name)
        return found

    @property
    def _described_signal(self):
        return ", starts at 1" if self.starts_at == "one" else ""

    def _repr_html_(self):
        return html_text(self)

    def _shape(self, number):
        return "×".join("?" if n is None else str(n) for n in self.shapes[number][1:])


def first_names(names, number=3):
    """The first few names, and how many more there are."""
    rest = len(names) - number
    shown = ", ".join(names[:number])
    return f"{shown} and {rest} more" if rest > 0 else shown
