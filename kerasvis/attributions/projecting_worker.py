"""A worker on another machine that projects units, layer by layer."""

from collections.abc import Sequence
from typing import Any

import keras

from kerasvis.attributions.unit_projections import UnitProjections
from kerasvis.graph.portable_model import PortableModel


class ProjectingWorker:
    """Holds a model that was sent, and the projections of the layer it was asked for last.

    Subclasses say in `__call__` what they make of a part.

    Args:
        model: a functional or Sequential `keras.Model`.
        layers: names of the layers.
        methods: as of `UnitProjections`.
        rules: of the `DeconvModel`s.
    """

    def __init__(self, model: keras.Model, layers: Sequence[str], methods: Any, rules: Any):
        self._portable = PortableModel(model, layers)
        self._methods, self._rules = methods, rules
        self._model: Any = None
        self._projections: UnitProjections | None = None

    def open(self) -> None:
        """Loads the model, on the machine that it was sent to."""
        self._model = self._portable.load()
        del self._portable

    def projections_of(self, layer: str) -> UnitProjections:
        """The `UnitProjections` of a layer."""
        if self._projections is None or self._projections.layer != layer:
            self._projections = UnitProjections.of(self._model, layer, self._methods, self._rules)
        return self._projections
