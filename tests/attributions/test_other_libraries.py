"""Numbers that other libraries publish, with which ours are to agree."""

import keras
import numpy as np
import pytest
from keras import layers

import kerasvis as kv
from tests.marks import few

# Of iNNvestigate: one-layer models over images of 10×10×3, each followed by Flatten. Dense layers
# work on the channels of each pixel.
ONE_LAYER = {
    "Dense": lambda: layers.Dense(5),
    "Dense_relu": lambda: layers.Dense(5, activation="relu"),
    "Conv2D": lambda: layers.Conv2D(5, 3),
    "Conv2D_relu": lambda: layers.Conv2D(5, 3, activation="relu"),
    "AveragePooling2D": lambda: layers.AveragePooling2D(2),
    "MaxPooling2D": lambda: layers.MaxPooling2D(2),
}
FILES = {
    "deconvnet": "Deconvnet",
    "guided": "GuidedBackprop",
    "gradient": "Gradient",
    "gradient_times_input": "InputTimesGradient",
    "smoothgrad": "SmoothGrad",
}
# Noise changes no derivative of these.
LINEAR = ("Dense", "Conv2D", "AveragePooling2D")
CASES = [
    (method, name)
    for method in FILES
    for name in ONE_LAYER
    if method != "smoothgrad" or name in LINEAR
]


@pytest.mark.parametrize(("method", "name"), few(CASES, 8, unpack=True))
def test_innvestigate(shared_data, method, name):
    h5py = pytest.importorskip("h5py")
    folder = shared_data / "innvestigate-references"
    if not folder.is_dir():
        pytest.skip(f"No folder {folder}.")
    with h5py.File(folder / f"{FILES[method]}.hdf5") as file:
        images, group = file["input"][()], file[name]
        weights = [group["weights"][key][()] for key in sorted(group["weights"])]
        outputs, expected = group["output"][()], group["attribution"][()]
    model = keras.Sequential(
        [keras.Input((10, 10, 3)), ONE_LAYER[name](), layers.Flatten(name="flat")]
    )
    model.set_weights(weights)
    np.testing.assert_allclose(model.predict(images, verbose=0), outputs, rtol=1e-5, atol=1e-6)
    unit = kv.targets.Unit(outputs.argmax(axis=1).tolist())
    found = kv.attribute(model, "flat", images, unit, method)
    if method == "guided":  # it starts at the activation there, at 1 here
        found = found * outputs.max(axis=1)[:, None, None, None]
    assert np.abs(expected).max() > 0
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def captums_convnet():
    """`BasicModel_ConvNet_One_Conv` of Captum's tests, whose channels come first."""
    kernel = np.concatenate([np.ones((5, 4)), -np.ones((3, 4))])  # of 2 channels × 2 rows × 2
    kernel = kernel.reshape(2, 2, 2, 4).transpose(1, 2, 0, 3).reshape(8, 4)
    model = keras.Sequential(
        [
            keras.Input((4, 4, 1)),
            layers.Conv2D(2, 3, activation="relu", name="conv"),
            layers.Flatten(),
            layers.Dense(4, activation="relu", name="fc"),
        ]
    )
    model.get_layer("conv").set_weights([np.ones((3, 3, 1, 2)), np.array([-50.0, -75.0])])
    model.get_layer("fc").set_weights([kernel, np.zeros(4)])
    return model


CAPTUM = {
    "deconvnet": [[2, 3, 3, 1], [3, 5, 5, 2], [3, 5, 5, 2], [1, 2, 2, 1]],
    "guided": [[0, 1, 1, 1], [1, 3, 3, 2], [1, 3, 3, 2], [1, 2, 2, 1]],
}


@pytest.mark.parametrize("method", CAPTUM)
@pytest.mark.parametrize("unit", [0, 3])  # all four are alike
def test_captums_numbers_on_paper(method, unit):
    """Captum's `tests/attr/test_deconvolution.py`; both start at 1 there."""
    model = captums_convnet()
    image = np.arange(16, dtype="float32").reshape(1, 4, 4, 1)
    assert model.predict(image, verbose=0).tolist() == [[54.0] * 4]
    (found,) = kv.attribute(model, "fc", image, kv.targets.Unit(unit), method)[..., 0]
    start = 54 if method == "deconvnet" else 1
    np.testing.assert_allclose(found, start * np.array(CAPTUM[method]), rtol=1e-6)
