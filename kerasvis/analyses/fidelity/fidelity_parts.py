"""What a fidelity report writes down on its way, so that one that was stopped goes on.

Each check of each method is a part, and has a file of its own, written atomically. Its
name ends in a key that follows from all that the part depends on: what was measured otherwise is
left alone, and a further method, or a further check, is measured alone.
"""

import re
from pathlib import Path

import numpy as np

from kerasvis.analyses.fidelity.fidelity_result import CHECKS
from kerasvis.analyses.fidelity.unit_maps import RectifiedProjection
from kerasvis.deconvnet.rules import rule_names
from kerasvis.graph.model_fingerprint import model_fingerprint
from kerasvis.graph.nodes import nodes_up_to
from kerasvis.storage.fingerprints import digest


class FidelityParts:
    """A folder of parts.

    Keys follow from the layers up to the units, their names and weights, from the images, the units
    and the method. A function of the user's, or a rule, is known by its name alone.

    Args:
        directory: the folder, made if need be; None to keep nothing.
        model: a functional or Sequential `keras.Model`.
        images: float32 `(images, rows, columns, channels)`.
        units: the `ChosenUnits`.
        rules: the user's rules for layers that the deconvnet does not know.

    Raises:
        OSError: if the folder cannot be made.
    """

    def __init__(self, directory, model, images, units, rules=()):
        self.directory = directory
        if directory is None:
            return
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        nodes = nodes_up_to(model, [units.layer])
        names = [node.name for node in nodes]  # by which random weights are drawn
        asked = [images, units.layer, units.features, units.positions]
        self._asked = digest([model_fingerprint(nodes), *names, *rule_names(rules), *asked])

    def once(self, check, name, method, settings, measure):
        """The result of a part: read where it is there, else measured and written.

        Args:
            check: name of the check.
            name: of the method.
            method: the function that makes its maps.
            settings: `{name: value}` of all else that the result depends on.
            measure: function of no arguments that returns the result.

        Raises:
            OSError: if the part cannot be written.
        """
        if self.directory is None:
            return measure()
        of_settings = [*settings, *map(np.asarray, settings.values())]
        key = digest([self._asked, check, name, known_name(method), *of_settings])
        plain_name = re.sub(r"\W+", "_", name)
        filepath = self.directory / f"{check}-{plain_name}-{key}.npz"
        result = _read(filepath, CHECKS[check])
        if result is None:
            result = measure()
            result.save(filepath)
        return result


def known_name(method):
    """By what a method is known again in another process."""
    if isinstance(method, RectifiedProjection):
        return method.rectification
    return getattr(method, "__qualname__", type(method).__qualname__)


def _read(filepath, kind):
    """The result in a file; None where there is none, or something else is in its place."""
    if not filepath.exists():
        return None
    try:
        return kind.load(filepath)
    except ValueError:
        return None
