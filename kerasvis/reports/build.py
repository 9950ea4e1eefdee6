"""The computation of a gallery: scan, project, diagnose. Completed parts are stored in files."""

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kerasvis.activations import LayerActivations
from kerasvis.activations.scan import progress_bar
from kerasvis.analyses import (
    FilterDiagnosis,
    LayerFidelity,
    diagnose_filters,
    filter_findings,
    layer_fidelity,
)
from kerasvis.analyses.feature_relevance import RelevanceScan
from kerasvis.analyses.filters.dead_filters import NUM_IMAGES_NEEDED
from kerasvis.analyses.filters.filter_diagnosis import DiagnosedModel
from kerasvis.arguments import standardize_verbose
from kerasvis.attributions.methods import METHODS
from kerasvis.attributions.unit_projections import UnitProjections
from kerasvis.data.images import Images
from kerasvis.deconvnet.rectification import RECTIFICATIONS
from kerasvis.deconvnet.rule_table import rule_names
from kerasvis.engines import Ray
from kerasvis.figures.channels import num_pictures
from kerasvis.graph import read_graph
from kerasvis.graph.convolution_nodes import convolution_nodes
from kerasvis.graph.model_fingerprint import model_fingerprint
from kerasvis.reports import addresses
from kerasvis.reports.layer_pictures import (
    image_filters,
    write_evolution,
    write_filters,
    write_sprites,
)
from kerasvis.reports.layer_report import LayerReport
from kerasvis.reports.layer_scan import (
    discard_scans,
    has_relevance,
    is_known,
    is_scanned,
    load_layer,
    load_relevance,
    reducers_of_layer,
    run_scan,
    save_layer,
    save_relevance,
)
from kerasvis.reports.recorded_evolution import recorded_evolutions
from kerasvis.reports.sprites import SpriteLayout
from kerasvis.reports.sprites_on_engine import SpriteWorker, missing_sprites, write_sprites_on
from kerasvis.storage.counted import counted
from kerasvis.storage.parts import Parts

DIAGNOSIS = "arrays/filter_diagnosis.npz"


@dataclasses.dataclass(frozen=True, eq=False)
class Build:
    """Builds a gallery.

    The attributes are the arguments of `write_gallery`; `methods` is `{name: function}`.
    """

    model: object
    images: Images
    directory: Path
    k: int
    methods: dict
    rules: str | Sequence[tuple]
    batch_size: int
    verbose: object
    engine: Ray | None
    channels: tuple[int, ...] | None = None

    @functools.cached_property
    def parts(self):
        """The `Parts` of the gallery; enter them before writing anything."""
        return Parts(self.directory, self.built_from)

    def built_from(self):
        """`{name: value}` of everything that the parts are computed from."""
        chosen = {} if self.channels is None else {"channels": self.channels}
        return chosen | {
            "model": model_fingerprint(read_graph(self.model).nodes),
            "images": self.images.fingerprint(),
            "k": self.k,
            "methods": [_full_name(name, each) for name, each in self.methods.items()],
            "preprocessing": self.images.known_preprocessing().mode,
            "rules": rule_names(self.rules),
        }

    @property
    def image_size(self):
        """`(height, width)` of the images in pixels."""
        return self.images.image_size

    @functools.cached_property
    def num_pictures(self):
        """The number of pictures of a projection and of an image patch."""
        num_channels = self.images.image_shape[-1]
        pixels = self.images.known_preprocessing().pixels(np.zeros((1, 1, 1, num_channels)))
        return tuple(num_pictures(n, self.channels) for n in (num_channels, pixels.shape[-1]))

    def layout(self, layer):
        """The `SpriteLayout` of a layer."""
        field = self.deconv(layer).receptive_field(self.image_size)
        window_size = tuple(map(min, field.window_size, self.image_size))
        num_projections, num_patches = self.num_pictures
        num_panels = len(self.methods) * num_projections + num_patches
        return SpriteLayout.of(self.k, window_size, num_panels)

    def check_labels(self, labels):
        """Raises a ValueError if there are known to be more or fewer labels than images."""
        if labels is not None and len(labels) != self.images.count():
            raise ValueError(
                "Give one label for each image, None for an image without a class. Received: "
                f"{counted(len(labels), 'label')} for {counted(self.images.count(), 'image')}"
            )

    def layers(self, asked):
        """Names of the layers to show: those requested and those of an earlier build, in order."""
        graph = read_graph(self.model)
        if asked is None:
            asked = [node.name for node in convolution_nodes(graph)]
        asked = [asked] if isinstance(asked, str) else asked
        names = {graph.node(layer).name for layer in asked}
        if not names:
            raise ValueError(
                f"The model {self.model.name!r} has no convolution layers, and no others were "
                "given: name at least one."
            )
        all_names = [node.name for node in graph.nodes]
        return [name for name in all_names if name in names or is_known(self.directory, name)]

    def projections(self, layer):
        """The `UnitProjections` of a layer."""
        return UnitProjections.of(self.model, layer, self.methods, self.rules)

    def deconv(self, layer):
        """The `DeconvModel` of a layer."""
        return self.projections(layer).deconv

    @functools.cached_property
    def diagnosed(self):
        """The `DiagnosedModel`; None if the model has no convolutions."""
        if not convolution_nodes(read_graph(self.model)):
            return None
        return DiagnosedModel(self.model, rules=self.rules)

    def scan(self, layers):
        """Scans what is still missing for the layers' pages and the findings, in one pass.

        Afterwards the images with the strongest activations are known.
        """
        missing = [layer for layer in layers if not is_scanned(self.parts, layer)]
        diagnosed = self.diagnosed if self._may_be_diagnosed_by_images() else None
        watched = [(layer, each) for layer in missing for each in reducers_of_layer(self.k)]
        watched += diagnosed.watched if diagnosed else []
        found = iter(
            run_scan(self.model, watched, self.images, self.parts, self.verbose, self.engine)
        )
        for layer in missing:
            save_layer(self.parts, layer, next(found), next(found))
        of_diagnosis = list(found)
        self._prefetch(layers, of_diagnosis)
        if diagnosed and self._has_enough_images():
            diagnosis = diagnosed.by_images(self.images, of_diagnosis, self.batch_size)
            self.parts.save(DIAGNOSIS, diagnosis.to_arrays())
        discard_scans(self.parts)

    def scan_relevance(self, layers):
        """Finds the images in which feature maps are most relevant, in one more pass."""
        missing = [layer for layer in layers if not has_relevance(self.parts, layer)]
        if not missing:
            return
        scan = RelevanceScan(self.model, missing, self.k)
        is_shown = standardize_verbose(self.verbose)
        with progress_bar("Relevance", self.images, is_shown) as on_progress:
            found = scan.run(
                self.images,
                self.parts,
                "arrays/scan-relevance.npz",
                engine=self.engine,
                on_progress=on_progress,
            )
        for layer, top in zip(missing, found, strict=True):
            save_relevance(self.parts, layer, top)
        discard_scans(self.parts)

    def _prefetch(self, layers, of_diagnosis):
        """Reads the images whose activations will be projected, all at once if that is faster."""
        tops = [load_layer(self.directory, layer)[0] for layer in layers]
        tops += [each for each in of_diagnosis if isinstance(each, LayerActivations)]
        indices = np.unique(np.concatenate([top.image_indices.ravel() for top in tops]))
        self.images.prefetch(indices[indices >= 0])

    def write_sprites_on_engine(self, layers, with_relevance=False):
        """Makes the missing sprites of all layers on the engine."""
        rankings = [(addresses.sprite, lambda layer: load_layer(self.directory, layer)[0])]
        if with_relevance:
            of_layer = functools.partial(load_relevance, self.directory)
            rankings.append((addresses.relevance_sprite, of_layer))
        missing = (
            part
            for layer in layers
            for address, top_of in rankings
            for part in missing_sprites(
                self.projections(layer),
                self.images,
                top_of(layer),
                self.parts,
                address,
                self.channels,
            )
        )
        worker = SpriteWorker(self.model, layers, self.methods, self.rules)
        write_sprites_on(self.engine, worker, missing, self.parts, self.verbose)

    def evolutions(self, evolution):
        """`{layer: RecordedEvolution}`; raises a ValueError for the evolution of another model."""
        found = recorded_evolutions(
            evolution, self.model, self.deconv, self.image_size, self.channels
        )
        for layer, recorded in found.items():
            recorded.layout.check(layer)
        return found

    def report(self, layer, labels, evolution=None, with_fidelity=False, with_relevance=False):
        """Makes the missing pictures of a layer; returns its `LayerReport`.

        Args:
            layer: its name.
            labels: class names of the images, or None.
            evolution: the layer's `RecordedEvolution`, or None.
            with_fidelity: whether to measure the fidelity of its projections.
            with_relevance: whether to show where feature maps are most relevant.
        """
        projections = self.projections(layer)
        deconv = projections.deconv
        top, statistics = load_layer(self.directory, layer)
        settings = (self.parts, self.verbose, self.channels)
        write_sprites(projections, self.images, top, *settings)
        relevant = load_relevance(self.directory, layer) if with_relevance else None
        if relevant is not None:
            address = addresses.relevance_sprite
            write_sprites(projections, self.images, relevant, *settings, address)
        filters = image_filters(self.model, layer, self.images.known_preprocessing())
        if filters is not None:
            write_filters(layer, filters, self.directory, self.channels)
        if evolution is not None:
            write_evolution(evolution.maps, self.directory, self.channels)
        return LayerReport(
            layer=layer,
            top=top,
            statistics=statistics,
            layout=self.layout(layer),
            receptive_field=deconv.receptive_field(self.image_size),
            methods=projections.names,
            is_dense=len(deconv.target_shape) == 1,
            has_filters=filters is not None,
            class_means=None if labels is None else statistics.class_means(labels),
            evolution=evolution,
            fidelity=self.fidelity(layer, top) if with_fidelity else None,
            num_pictures=self.num_pictures,
            channels=self.channels,
            relevant=relevant,
        )

    def fidelity(self, layer, top):
        """The `LayerFidelity` of the layer for the displayed methods and all rectifications."""
        methods = self.methods | {name: METHODS[name] for name in RECTIFICATIONS}
        name = f"arrays/fidelity-{addresses.slug(layer)}.npz"
        return self.parts.result(
            name,
            LayerFidelity,
            lambda: layer_fidelity(self.model, layer, self.images, top, methods, rules=self.rules),
        )

    def check_relevance(self, layers):
        """Raises a ValueError if no class scores depend on a layer."""
        RelevanceScan(self.model, layers, self.k)

    def check_projections(self, layers):
        """Raises a ValueError if a layer needed for a page or the findings cannot be projected."""
        for layer in layers:
            self.projections(layer).check(self.image_size)
            self.layout(layer).check(layer)
        if self.diagnosed is None:
            return
        try:
            self.diagnosed.check_projection()
        except ValueError:
            if self._has_enough_images():  # only now is a stream read
                raise

    def findings(self):
        """`(findings, reason)`: the `Finding`s about the model's filters, or why there are none."""
        if self.diagnosed is None:
            return (), "The model has no convolution layer whose filters could be diagnosed."
        diagnosis = self.parts.result(
            DIAGNOSIS,
            FilterDiagnosis,
            lambda: diagnose_filters(
                self.model,
                self.images if self._has_enough_images() else None,
                rules=self.rules,
                batch_size=self.batch_size,
                verbose=self.verbose,
            ),
        )
        return filter_findings(diagnosis), ""

    def _may_be_diagnosed_by_images(self):
        """Whether a diagnosis is missing and there may be enough images for it."""
        if self.diagnosed is None or self.parts.is_complete(DIAGNOSIS):
            return False
        return self.images.num_images is None or self._has_enough_images()

    def _has_enough_images(self):
        return self.images.count() - len(self.images.skipped_reasons) >= NUM_IMAGES_NEEDED


def _full_name(name, function):
    """Identifies a method: its name and, for a user's function, its module."""
    if METHODS.get(name) is function:
        return name
    module, own = (getattr(function, key, "") for key in ("__module__", "__qualname__"))
    return f"{name} ({module}.{own})"
