"""The deconvnet of nets trained on ImageNet, on photographs, held against the modified gradient."""

import csv
import functools

import numpy as np
import pytest
from PIL import Image

import kerasvis as kv
from kerasvis.convnets.published_weights import (
    alexnet_trunk_from_published,
    read_arrays,
    squeezenet_from_published,
)
from tests.marks import grid
from tests.oracles import modified_gradient

TOLERANCE = 1e-5
NUM_CHECKED = 50
PHOTOGRAPHS = ("n01855672_goose.jpg", "n02123045_tabby.jpg")  # those whose activations are shown
RECTIFICATIONS = ["deconvnet", "guided", "gradient"]


@functools.cache
def squeezenet(folder):
    return squeezenet_from_published(read_arrays(folder / "squeezenet-v1.1/squeezenet_v1_1.npz"))


@functools.cache
def alexnet_trunk(folder):
    filepath = folder / "alexnet-imagenet-conv/alexnet_torchvision_conv.npz"
    return alexnet_trunk_from_published(read_arrays(filepath))


def photographs(folder, names, size):
    """The middle of each photograph, float32 `(photographs, size, size, 3)`, RGB in [0, 255]."""
    return np.stack([middle(folder / "imagenet-samples/images" / name, size) for name in names])


def middle(filepath, size):
    with Image.open(filepath) as photograph:
        photograph = photograph.convert("RGB")
        width, height = photograph.size
        if min(width, height) < size:
            scale = size / min(width, height)
            width, height = (max(size, round(x * scale)) for x in (width, height))
            photograph = photograph.resize((width, height))
        left, top = (width - size) // 2, (height - size) // 2
        cropped = photograph.crop((left, top, left + size, top + size))
        return np.asarray(cropped, "float32")


def expected_answers(folder):
    """`{photograph: its five most probable classes}`, published with the weights."""
    with open(folder / "squeezenet-v1.1/imagenet_samples_top5.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    return {row["file"]: [int(row[f"top{i}"]) for i in range(1, 6)] for row in rows}


def test_squeezenet_gives_its_published_answers(shared_data):
    """That the net is the trained one. A resized photograph may differ in the fifth class."""
    answers = expected_answers(shared_data)
    names = list(answers)[:: len(answers) // NUM_CHECKED][:NUM_CHECKED]
    scores = squeezenet(shared_data).predict(photographs(shared_data, names, 227), verbose=0)
    found = np.argsort(-scores, axis=1)[:, :5]
    wanted = np.array([answers[name] for name in names])
    assert np.mean(found[:, 0] == wanted[:, 0]) >= 0.96
    num_common = [len({*a} & {*b}) for a, b in zip(found.tolist(), wanted.tolist(), strict=True)]
    assert np.mean(num_common) >= 4.8


def assert_projects_strongest_like_oracle(model, layer, images, rectification):
    """For each photograph the feature which is strongest in it."""
    maps = modified_gradient.activations(model, layer, images)
    features = maps.reshape(len(maps), -1, maps.shape[-1]).max(1).argmax(1).tolist()
    if maps.ndim == 2:
        target = kv.targets.Unit(features)
    else:
        target = kv.targets.Strongest(features)
    deconv = kv.DeconvModel(model, layer, rectification=rectification)
    actual = deconv.project(images, target)
    expected = modified_gradient.project(
        model, layer, images, features, rectification=rectification
    )
    assert (np.abs(expected).max((1, 2, 3)) > 0).all()
    assert modified_gradient.relative_difference(actual, expected) <= TOLERANCE


@pytest.mark.parametrize(
    ("layer", "rectification"),
    grid(
        ["fire3", "fire5_expand3x3", "fire9", "softmax"],
        RECTIFICATIONS,
        quick=[],
    ),
)
def test_squeezenet(shared_data, layer, rectification):
    images = photographs(shared_data, PHOTOGRAPHS, 227)
    model = squeezenet(shared_data)
    assert_projects_strongest_like_oracle(model, layer, images, rectification)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("layer", "rectification"),
    grid(["conv2", "conv5"], RECTIFICATIONS, quick=[("conv2", "guided")]),
)
def test_alexnet_trunk(shared_data, layer, rectification):
    images = photographs(shared_data, PHOTOGRAPHS, 224)
    model = alexnet_trunk(shared_data)
    assert_projects_strongest_like_oracle(model, layer, images, rectification)
