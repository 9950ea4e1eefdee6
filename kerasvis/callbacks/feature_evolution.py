"""Figure 4 of the paper, recorded during training."""

import importlib
import operator
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras

from kerasvis.activations import NotFiniteError
from kerasvis.analyses.evolution.feature_snapshot import FeatureSnapshots
from kerasvis.analyses.evolution.snapshot_files import Snapshot, SnapshotFiles, changed_settings
from kerasvis.arguments import standardize_layers
from kerasvis.callbacks.new_thread import run_in_thread
from kerasvis.data import Preprocessing
from kerasvis.data.image_source import image_source
from kerasvis.data.stream_images import StreamImages
from kerasvis.deconvnet.rule_table import rule_names, standardize_rules
from kerasvis.graph.model_fingerprint import model_fingerprint
from kerasvis.graph.reading import nodes_up_to

EPOCHS = (1, 2, 5, 10, 20, 30, 40, 64)  # Figure 4


class FeatureEvolution(keras.callbacks.Callback):
    """Records what feature maps respond to at the end of some epochs.

    For each chosen feature map, the callback projects the strongest activation over the images to
    pixel space with the current weights, and stores its value, image and position. Every snapshot
    is one file in `directory`, `epoch_0005.npz` after the fifth epoch, written atomically.
    `kerasvis.analyses.load_evolution(directory)` reads them all as one result.

    The callback does not change the training. The computation of a snapshot is compiled once, for
    all epochs. If the training is interrupted and resumes (`keras.callbacks.BackupAndRestore`, or
    `initial_epoch`), so does the evolution: epochs that have a file are not recorded again, and
    files of another training run, or with other settings, raise an error before training begins.

    The model may be built, and `fit` called, under a `tf.distribute.MirroredStrategy`; snapshots
    are taken on one device. If several processes train together, give the callback to the first
    one only.

    Args:
        layers: names of layers, or one name; `"outer/inner"` inside a nested model.
        images: the images to choose from, the training set or a part of it: an array `(images,
            rows, columns, channels)`, an `ImageFolder`, or batches of images, with or without
            labels, that are the same in the same order whenever they are read, such as a
            `tf.data.Dataset` that does not shuffle.
        features: `{layer: numbers of feature maps}`; a random subset for layers left out.
        epochs: the epochs to record, counted from 1; by default those of Figure 4 and the last one.
        directory: folder for the snapshots; created if necessary.
        num_features: size of the random subset of each layer; all feature maps if there are fewer.
        seed: seed of the random subsets.
        rectification: see `kerasvis.DeconvModel`.
        rules: see `kerasvis.DeconvModel`.
        preprocessing: how `images` were computed from pixels, see `kerasvis.data.Preprocessing.of`;
            by default as `kerasvis.arguments.standardize_images` infers it.
        batch_size: images per step; by default it depends on their size.
        steps: maximum number of batches to read; required for data sets without a known end.
        with_patches: whether snapshots include the image patches. Without them, snapshots can be
            shared where the images cannot.
        tensorboard: folder for TensorBoard event files: for each snapshot, a figure of every
            layer's projections and patches; none by default.

    Raises:
        ValueError: on creation, if epochs or images are wrong; at the start of training, if layers,
            feature maps or images do not fit the model, or the folder contains other snapshots or
            cannot be written to.

    Reference:
        Zeiler & Fergus 2013, Section 4 and Figure 4.

    Example:
        >>> import keras
        >>> from keras import layers
        >>> import kerasvis as kv
        >>> planted = kv.data.PlantedObjects(16, (32, 32))
        >>> model = keras.Sequential(
        ...     [keras.Input((32, 32, 3)), layers.Conv2D(4, 5, 4, activation="relu", name="a")]
        ...     + [layers.Flatten(), layers.Dense(8, activation="softmax")]
        ... )
        >>> model.compile("sgd", "sparse_categorical_crossentropy")
        >>> evolution = kv.callbacks.FeatureEvolution(
        ...     ["a"], planted[:8], epochs=[1, 2], directory="evolution", num_features=2
        ... )
        >>> _ = model.fit(planted[:], planted.labels, epochs=2, callbacks=[evolution], verbose=0)
        >>> kv.analyses.load_evolution("evolution").epochs
        array([1, 2])
    """

    def __init__(
        self,
        layers: str | Sequence[str],
        images: Any,
        features: Mapping[str, Sequence[int]] | None = None,
        epochs: Sequence[int] | None = None,
        *,
        directory: str | os.PathLike,
        num_features: int = 8,
        seed: int = 0,
        rectification: str = "deconvnet",
        rules: str | Sequence[tuple] = (),
        preprocessing: Any = None,
        batch_size: int | None = None,
        steps: int | None = None,
        with_patches: bool = True,
        tensorboard: str | os.PathLike | None = None,
    ):
        super().__init__()
        self.images = images
        self.layers = standardize_layers(layers)
        self.features = features
        self.epochs = _standardized_epochs(EPOCHS if epochs is None else epochs)
        self.with_last = epochs is None
        self.files = SnapshotFiles(directory)
        self.num_features = num_features
        self.seed = seed
        self.rectification = rectification
        self.rules = standardize_rules(rules)
        self.preprocessing = None if preprocessing is None else Preprocessing.of(preprocessing)
        self.batch_size = batch_size
        self.steps = steps
        self.with_patches = with_patches
        self.tensorboard = tensorboard
        _check_can_be_read_again(images, steps)
        self._image_settings: dict[str, Any] = {}  # of the images and their preprocessing
        self._trained_model = None  # the model that `_snapshots` was built for
        self._snapshots: Any = None
        self._run: Any = None
        self._epoch_is_first = True

    def on_train_begin(self, logs: dict | None = None) -> None:
        self.files.make_folder()
        if self.tensorboard is not None:  # TensorBoard may not be installed: fail early
            importlib.import_module("kerasvis.callbacks.tensorboard_export")
        if self._trained_model is not self.model:
            self._snapshots = run_in_thread(self._build, interrupt=lambda: None)
            source = self._snapshots.source(self.images, 1)
            self._image_settings = {
                "preprocessing": getattr(source.preprocessing, "mode", None),
                "images": source.fingerprint(),
            }
            self._trained_model, self._run = self.model, None
        self._epoch_is_first = True

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        if self._epoch_is_first:  # only now is it known at which epoch the training resumes
            self._epoch_is_first = False
            self._run = self._checked_run(epoch)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        epoch += 1
        is_last = self.with_last and epoch == self.params.get("epochs")
        if not (is_last or epoch in self.epochs) or self.files.filepath(epoch).exists():
            return
        try:
            take, interrupt = self._snapshots.take, self._snapshots.interrupt
            features = run_in_thread(take, self.images, interrupt=interrupt)
        except NotFiniteError as error:  # this callback must not end the training
            warnings.warn(f"No snapshot was taken after epoch {epoch}: {error}", stacklevel=2)
            return
        saved = features
        if not self.with_patches:
            saved = {name: layer.without_patches() for name, layer in features.items()}
        self.files.save(Snapshot(epoch, saved, self._settings(), self._run, self._weights()))
        if self.tensorboard is not None:
            from kerasvis.callbacks.tensorboard_export import export_features

            export_features(features, epoch, self.tensorboard)

    def _build(self):
        return FeatureSnapshots(
            self.model,
            self.layers,
            self.features,
            num_features=self.num_features,
            seed=self.seed,
            rectification=self.rectification,
            rules=self.rules,
            preprocessing=self.preprocessing,
            batch_size=self.batch_size,
            steps=self.steps,
            with_patches=self.with_patches or self.tensorboard is not None,
        )

    def _settings(self):
        indices = self._snapshots.feature_indices
        left_out = {} if self.with_patches else {"patches": "left out"}
        rules = {"rules": rule_names(self.rules)} if self.rules else {}
        return {
            "layers": list(self.layers),
            "feature maps": {name: numbers.tolist() for name, numbers in indices.items()},
            "rectification": self.rectification,
            **rules,
            **self._image_settings,
            **left_out,
        }

    def _weights(self):
        return model_fingerprint(nodes_up_to(self.model, self.layers))

    def _checked_run(self, num_done):
        """The digest that identifies this training run; raises if files of another run exist.

        A run is identified by its initial weights. Training from the start must begin with them;
        training that resumes must have the weights of the snapshot at that epoch, if there is one.
        """
        epochs = self.files.epochs()
        if not epochs:
            return self._weights()
        settings = self._settings()
        snapshots = [self.files.load(epoch) for epoch in epochs]
        for snapshot in snapshots:
            if changed := changed_settings(snapshot.settings, settings):
                self._refuse(snapshot.epoch, f"with other {changed}")
            if snapshot.run != (self._run or snapshots[0].run):
                self._refuse(snapshot.epoch, "in another training run")
        run = snapshots[0].run
        if num_done == 0 and run != self._weights():
            self._refuse(epochs[0], "in a training run that began with other weights")
        then = {snapshot.epoch: snapshot.weights for snapshot in snapshots}.get(num_done)
        if self._run is None and then not in (None, self._weights()):
            self._refuse(num_done, "in a training run that had other weights then")
        return run

    def _refuse(self, epoch, how):
        raise ValueError(
            f"{self.files.filepath(epoch)} was made {how}: give another directory, or delete its "
            f"snapshots. Received: directory={str(self.files.directory)!r}"
        )


def _standardized_epochs(epochs):
    try:
        numbers = sorted({operator.index(epoch) for epoch in epochs})
    except TypeError:
        numbers = []
    if not numbers or numbers[0] < 1:
        raise ValueError(f"Give numbers of epochs, from 1. Received: epochs={epochs!r}")
    return tuple(numbers)


def _check_can_be_read_again(images, steps):
    """Raises for a stream that does not return the same images each time it is read."""
    is_source = not isinstance(images, str | Path) and not hasattr(images, "labels")
    source = image_source(images, batch_size=1, steps=steps) if is_source else None
    if isinstance(source, StreamImages):
        source.check_repeats()
