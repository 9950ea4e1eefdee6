import keras
import numpy as np
import pytest

from kerasvis.analyses.transfer.from_scratch import fresh_convnet, predict_from_scratch
from kerasvis.training import Recipe
from tests.analyses.transfer.transfers import convnet, labelled_data

SIZE = (12, 12)


def test_the_same_net_with_new_weights():
    model = convnet(SIZE)
    before = model.get_weights()
    fresh = fresh_convnet(model, "conv2", 3, seed=1)
    assert [layer.name for layer in fresh.layers[1:]] == [
        *["scale", "conv1", "pool1", "conv2", "flat_features", "new_softmax"]
    ]
    assert fresh.output_shape == (None, 3)
    for name in ("conv1", "conv2"):
        new, old = (keras.ops.convert_to_numpy(m.get_layer(name).kernel) for m in (fresh, model))
        assert new.shape == old.shape
        assert not np.isclose(new, old).any()
    fresh.set_weights([weight + 1 for weight in fresh.get_weights()])  # they share none
    for weight, kept in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, kept)


def test_what_was_frozen_is_trained():
    model = convnet(SIZE)
    model.get_layer("conv1").trainable = False
    fresh = fresh_convnet(model, "conv2", 3)
    assert len(fresh.trainable_weights) == 6
    assert not model.get_layer("conv1").trainable


def test_weights_follow_from_the_seed():
    first, again, other = (
        fresh_convnet(convnet(SIZE), "conv2", 3, seed).get_weights() for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first[0], again[0])
    assert not np.array_equal(first[0], other[0])


@pytest.mark.slow
def test_classes_of_their_own_colour_are_learnt(tmp_path):
    data = labelled_data(60, 30, SIZE)
    recipe = Recipe.for_small_images(12, epochs=15, batch_size=10)
    model = convnet(SIZE)

    def predicted_labels():
        fresh = fresh_convnet(model, "conv2", 3, recipe.seed)
        return predict_from_scratch(fresh, data.train, data.validation, recipe, tmp_path)

    predicted = predicted_labels()
    assert (predicted == data.validation.labels).mean() > 0.7
    folders = list(tmp_path.iterdir())
    np.testing.assert_array_equal(predicted_labels(), predicted)
    assert list(tmp_path.iterdir()) == folders  # the run that was finished is found again


def test_a_layer_that_is_not_there():
    with pytest.raises(
        ValueError, match=r"the last of the layers must be one of .* Received: layer='fc6'"
    ):
        fresh_convnet(convnet(SIZE), "fc6", 3)
