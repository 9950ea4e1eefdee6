import pytest

from kerasvis.analyses import PAPER_ERRORS, paper_variants
from kerasvis.convnets import AlexNet, ZFNet

NAMES = ["conv3", "conv4", "conv5", "fc6", "fc7"]
SIZES = {  # filters of layers 3, 4 and 5 and units of 6 and 7, at an eighth of the paper's width
    "none": (48, 48, 32, 20, 20),
    "without layers 3, 4": (None, None, 32, 20, 20),
    "without layer 7": (48, 48, 32, 20, None),
    "without layers 6, 7": (48, 48, 32, None, None),
    "without layers 3, 4, 6, 7": (None, None, 32, None, None),
    "layers 6, 7 of 2048": (48, 48, 32, 10, 10),
    "layers 6, 7 of 8192": (48, 48, 32, 40, 40),
    "layers 3, 4, 5 of 512, 1024, 512": (64, 128, 64, 20, 20),
    "both of the last two": (64, 128, 64, 40, 40),
}


@pytest.mark.parametrize(("builder", "strides"), [(ZFNet, (1, 2)), (AlexNet, (2, 1))])
def test_every_variant_as_a_net(builder, strides):
    variants = paper_variants(20)
    assert list(variants) == list(SIZES)
    for name, options in variants.items():
        model = builder((64, 64, 3), 10, width=1 / 8, strides=strides, **options)
        layers = {layer.name: layer for layer in model.layers}
        sizes = tuple(
            getattr(layers[n], "filters" if n.startswith("conv") else "units")
            if n in layers
            else None
            for n in NAMES
        )
        assert sizes == SIZES[name]
        assert layers["conv2"].filters == 32
        assert layers["softmax"].units == 10


def test_sizes_of_the_paper():
    variants = paper_variants()
    assert variants["none"] == {"dense_units": 4096}
    assert variants["layers 6, 7 of 2048"] == {"dense_units": 2048}
    assert variants["layers 6, 7 of 8192"] == {"dense_units": 8192}
    assert variants["both of the last two"]["filters"][2:] == (512, 1024, 512)


def test_every_printed_error_has_its_variant():
    for errors in PAPER_ERRORS.values():
        assert set(errors) <= set(paper_variants())
        assert "none" in errors
        for train_top_1, validation_top_1, validation_top_5 in errors.values():
            assert train_top_1 < validation_top_1
            assert validation_top_5 < validation_top_1
    assert {len(errors) for errors in PAPER_ERRORS.values()} == {7, 5}
