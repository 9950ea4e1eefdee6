import keras
import numpy as np
import pytest
from keras import layers

import kerasvis as kv
from kerasvis.analyses import LayerFidelity
from kerasvis.reports import addresses, write_gallery

SIZE = (21, 18)


@pytest.fixture(scope="module")
def gallery(tmp_path_factory):
    keras.utils.set_random_seed(0)
    folder = tmp_path_factory.mktemp("gallery")
    model = keras.Sequential(
        [
            keras.Input((*SIZE, 3)),
            layers.Conv2D(3, 5, activation="relu", name="a"),
            layers.Conv2D(2, 1, activation="relu", name="b"),
        ]
    )
    images = np.random.default_rng(0).integers(0, 256, (4, *SIZE, 3)).astype("uint8")

    def build(out):
        write_gallery(model, None, images, folder / out, fidelity=True, k=2, verbose=0)
        return folder / out

    return build("first"), build, model, images


def test_each_layer_says_how_far_its_pictures_go(gallery):
    folder, _, model, images = gallery
    for layer in ("a", "b"):
        found = LayerFidelity.load(folder / "arrays" / f"fidelity-{addresses.slug(layer)}.npz")
        page = (folder / addresses.layer_page(layer)).read_text()
        assert found.sentence().split(".")[0].replace("'", "&#39;") in page
        assert found.methods[0] == "deconvnet"
    top = kv.find_top_activations(model, ["a"], images, 2, verbose=0)["a"]
    found = kv.analyses.layer_fidelity(model, "a", images, top)
    assert found == LayerFidelity.load(folder / "arrays" / "fidelity-a.npz")


@pytest.mark.slow
def test_a_damaged_one_is_measured_again(gallery):
    folder, build, *_ = gallery
    file = folder / "arrays" / "fidelity-a.npz"
    page = (folder / addresses.layer_page("a")).read_bytes()
    content = file.read_bytes()
    file.write_bytes(content[:100] + bytes([content[100] ^ 1]) + content[101:])
    build("first")
    assert (folder / addresses.layer_page("a")).read_bytes() == page
    LayerFidelity.load(file)
