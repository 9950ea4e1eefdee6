"""What is held against plain re-implementations on every model of the zoo."""

import contextlib

import keras
import numpy as np
import tensorflow as tf

import kerasvis as kv
from kerasvis.graph import Scores, feature_extractor, read_graph
from kerasvis.graph.dependence import tensors_that_depend_on
from kerasvis.graph.shapes import infer_shapes
from kerasvis.occlusion import Occluders, OcclusionSweep
from tests.oracles import modified_gradient, relaxed_gradient
from tests.oracles.occluded_images import looked_at, occluded_images
from tests.oracles.random_targets import draw_target

TOLERANCE = 1e-5
PLACES = {"early": 0.1, "middle": 0.5, "late": 0.95}  # of all feature maps, by depth


def layers_of(model, size):
    """`{place: name of a layer}`: an early, a middle and a late one with feature maps; the score.

    Of a transformer, whose layers return tokens, the score alone.

    Args:
        model: a functional model.
        size: `(height, width)` of its images.
    """
    graph = read_graph(model)
    shapes = infer_shapes(graph, graph.nodes, model, size)
    dependent = tensors_that_depend_on(graph.inputs[0], graph.nodes)
    nodes = [node for node in graph.nodes if node.outputs[0] in dependent]
    maps = [
        node.name
        for node in nodes
        for shape in [shapes[node.outputs[0]]]
        if len(node.outputs) == 1 and len(shape) == 4 and shape[1] * shape[2] > 1  # no gate
    ]
    places = {place: maps[int(depth * len(maps))] for place, depth in PLACES.items() if maps}
    tops = [node for node in nodes if node.outputs[0] == graph.outputs[0]]
    if tops and len(shapes[tops[0].outputs[0]]) == 2:
        places["score"] = tops[0].name
    return places


def rules_for(model, layer):
    """`()` where the paper's rules cover all that lies below a layer, else `"relaxed"`."""
    try:
        kv.DeconvModel(model, layer)
    except ValueError:
        kv.DeconvModel(model, layer, rules="relaxed")
        return "relaxed"
    return ()


@contextlib.contextmanager
def op_by_op(model):
    """Runs functions of TensorFlow without compiling them, which would take longer than they run.

    Not those of a model with grouped convolutions: TensorFlow has their gradient only compiled.
    """
    convolutions = [x for x in model._flatten_layers() if isinstance(x, keras.layers.Conv2D)]
    tf.config.run_functions_eagerly(all(x.groups == 1 for x in convolutions))
    yield
    tf.config.run_functions_eagerly(False)


def difference_of_projection(model, layer, images, rules=(), rectification="deconvnet"):
    """Largest difference from the oracle, relative to the largest value, of a random target.

    Args:
        model: the model, whose activations are of one scale.
        layer: name of the layer.
        images: float32 `(images, rows, columns, channels)`.
        rules: `()` or `"relaxed"`.
        rectification: of the paper or another one.
    """
    rng = np.random.default_rng(0)
    maps = modified_gradient.activations(model, layer, images)
    assert np.isfinite(maps).all(), f"{layer} is not finite"
    assert np.mean(maps != 0) > 0.05, f"{layer} is not active"
    target, position = draw_target(maps, rng)
    exchange = relaxed_gradient.exchange if rules == "relaxed" else None
    expected = modified_gradient.project(
        model, layer, images, **position, rectification=rectification, exchange=exchange
    )
    assert (np.abs(expected).max((1, 2, 3)) > 0).all(), f"{layer} has a projection of nothing"
    deconv = kv.DeconvModel(model, layer, rectification, rules)
    actual = deconv.project(images, target)
    return modified_gradient.relative_difference(actual, expected)


def assert_scans_like_predict(model, layers, images, k=2):
    """The strongest activations are those that `predict` of a submodel holds."""
    layers = list(dict.fromkeys(layers))
    top = kv.find_top_activations(model, layers, images, k, batch_size=2, verbose=0)
    found = feature_extractor(model, layers)
    for layer, maps in zip(layers, found.predict(images, batch_size=2, verbose=0), strict=True):
        maps = maps if maps.ndim == 4 else maps[:, None, None, :]
        strongest = maps.max((1, 2)).T
        order = np.argsort(-strongest, axis=1, kind="stable")[:, :k]
        expected = np.take_along_axis(strongest, order, axis=1)
        scale = np.abs(strongest).max()
        values, image_indices, positions = top[layer]
        np.testing.assert_allclose(values, expected, rtol=0, atol=TOLERANCE * scale)
        rows, columns = positions[..., 0], positions[..., 1]
        features = np.arange(len(values))[:, None]
        there = maps[image_indices, rows, columns, features]
        np.testing.assert_allclose(there, values, rtol=0, atol=TOLERANCE * scale)


def assert_occludes_like_the_whole_model(
    model, layer, image, patch_size, strides, *, seed=0, method="incremental"
):
    """Incremental inference is what the model makes of images that are occluded.

    Probabilities, labels and the activity of a feature map, by the definition.

    Args:
        model: a classifier.
        layer: name of the layer whose feature map is watched, or None.
        image: `(rows, columns, channels)`.
        patch_size, strides: of the occluder.
        seed: of the baseline and the feature map.
        method: of the `kerasvis.occlusion.OcclusionSweep`.

    Returns:
        The `kerasvis.occlusion.InferencePlan`.
    """
    rng = np.random.default_rng(seed)
    fill = rng.normal(size=image.shape).astype("float32") * image.std()
    occluders = Occluders(image.shape[:2], patch_size, strides)
    scores = Scores(model, activation="linear", image_size=image.shape[:2])
    sweep = OcclusionSweep(model, occluders, layer, scores, method=method)
    base, activities, _ = sweep.base(image)
    feature = -1 if layer is None else int(rng.integers(len(activities)))
    probabilities, label, activity = sweep.run(
        image, fill, feature, np.arange(len(base)), verbose=0
    )

    images = occluded_images(image, fill, occluders.patch_size, occluders.strides)
    expected, sums = looked_at(model, layer, images)
    assert probabilities.shape == expected.shape
    scale = max(1.0, np.abs(expected).max())
    assert np.abs(probabilities - expected).max() <= TOLERANCE * scale
    tops = np.sort(expected, axis=-1)
    is_clear = tops[..., -1] - tops[..., -2] > 2 * TOLERANCE * scale
    np.testing.assert_array_equal(label[is_clear], expected.argmax(axis=-1)[is_clear])
    if layer is not None:
        error = np.abs(activity - sums[..., feature]).max()
        assert error <= TOLERANCE * magnitude(model, layer, image)
    return sweep.plan


def magnitude(model, layer, image):
    """What errors of a sum over a map are measured by: the sum of magnitudes, of any map."""
    (maps,) = feature_extractor(model, [layer])(image[None])
    return max(1.0, float(np.abs(keras.ops.convert_to_numpy(maps)).sum(axis=(1, 2)).max()))
