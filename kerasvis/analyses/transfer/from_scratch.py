"""The reference for a transfer: the same architecture, trained on the new images alone."""

import keras

from kerasvis.storage.fingerprints import digest
from kerasvis.training import fit


def fresh_convnet(model, layer, num_classes, seed=0):
    """A model like `model` up to `layer`, with new weights and a softmax on top.

    Args:
        model: a functional or Sequential `keras.Model`; it is not changed.
        layer: name of one of its layers, not inside a nested model.
        num_classes: number of classes of the softmax.
        seed: seed of the weights.

    Returns:
        A functional `keras.Model`.

    Raises:
        ValueError: if there is no such layer.
    """
    if layer not in {each.name for each in model.layers}:
        raise ValueError(
            f"To train from scratch, the last of the layers must be one of {model.name!r} itself, "
            f"not inside a nested model: name another one last. Received: layer={layer!r}"
        )
    keras.utils.set_random_seed(seed)
    trunk = keras.models.clone_model(keras.Model(model.inputs, model.get_layer(layer).output))
    for each in trunk.layers:
        each.trainable = True  # even if frozen in the model
    x = keras.layers.Flatten(name="flat_features")(trunk.output)
    x = keras.layers.Dense(num_classes, activation="softmax", name="new_softmax")(x)
    return keras.Model(trunk.inputs, x, name=f"{model.name}_from_scratch")


def predict_from_scratch(fresh, train, test, recipe, directory, verbose=0):
    """Trains a fresh convnet and returns its predicted labels of the test images.

    Args:
        fresh: a `keras.Model` from `fresh_convnet`, with the recipe's seed; it is trained.
        train: `LabelledImages` of the image size of recipe and model.
        test: `LabelledImages`, evaluated after every epoch, but not used to select anything.
        recipe: a `kerasvis.training.Recipe`.
        directory: folder for the checkpoint of the run, from which an interrupted run resumes.
        verbose: as in `keras.Model.fit`.

    Returns:
        int64 `(test images,)`.

    Raises:
        ValueError: if images and recipe do not fit together.
    """
    run = digest([recipe, fresh.to_json(), train.digest, test.digest])
    fit(fresh, train, test, recipe, directory=directory / f"from_scratch-{run}", verbose=verbose)
    return fresh.predict(test.pixels, verbose=0).argmax(axis=1)
