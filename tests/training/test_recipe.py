import dataclasses
import json
import re

import pytest

from kerasvis.training import Recipe


def test_defaults_are_the_papers():
    recipe = Recipe()
    assert (recipe.image_size, recipe.crop_size, recipe.crops) == (256, 224, "ten")
    assert (recipe.batch_size, recipe.learning_rate, recipe.momentum) == (128, 1e-2, 0.9)
    assert (recipe.nesterov, recipe.weight_decay, recipe.annealing) == (False, 0, "plateau")
    assert (recipe.dropout, recipe.initial_deviation, recipe.filter_rms_limit) == (0.5, 1e-2, 0.1)
    assert recipe.epochs == 70


@pytest.mark.parametrize(("crop_size", "image_size"), [(224, 256), (64, 73), (56, 64), (28, 32)])
def test_scaled_keeps_eight_sevenths(crop_size, image_size):
    recipe = Recipe.scaled(crop_size)
    assert recipe.image_size == image_size
    unscaled = {"image_size": 256, "crop_size": 224}
    assert dataclasses.replace(recipe, **unscaled) == Recipe()


def test_variant_for_small_images():
    """The numbers of the net that the project ships."""
    expected = {
        "image_size": 64,
        "crop_size": 64,
        "crops": "random_scale",
        "smallest_crop": 0.6,
        "batch_size": 128,
        "learning_rate": 0.05,
        "annealing": "cosine",
        "annealing_factor": 0.1,
        "annealing_patience": 5,
        "momentum": 0.9,
        "nesterov": True,
        "weight_decay": 0.005,
        "dropout": 0.5,
        "initial_deviation": None,
        "filter_rms_limit": None,
        "epochs": 45,
        "seed": 0,
    }
    assert Recipe.for_small_images().to_dict() == expected


def test_changes_win():
    assert Recipe.scaled(64, image_size=70, epochs=2).to_dict().items() >= {
        ("image_size", 70),
        ("epochs", 2),
    }
    assert Recipe.for_small_images(32, epochs=2).epochs == 2


@pytest.mark.parametrize("recipe", [Recipe(), Recipe.for_small_images(32, seed=7)])
def test_json_round_trip(tmp_path, recipe):
    recipe.save(tmp_path / "recipe.json")
    assert Recipe.load(tmp_path / "recipe.json") == recipe
    assert [path.name for path in tmp_path.iterdir()] == ["recipe.json"]


def test_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Recipe().epochs = 3


def test_initializers():
    assert Recipe.for_small_images().kernel_initializer == "he_normal"
    assert Recipe().kernel_initializer["config"] == {"stddev": 1e-2}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"epochs": 0},
            "Give a number of epochs, 1 to 1000000 for the recipe's epochs. Received: epochs=0",
        ),
        ({"epochs": 1.5}, "Received: epochs=1.5"),
        ({"epochs": True}, "Received: epochs=True"),
        ({"batch_size": "128"}, "Received: batch_size='128'"),
        ({"learning_rate": float("nan")}, "Received: learning_rate=nan"),
        ({"learning_rate": None}, "Received: learning_rate=None"),
        ({"batch_size": 10**30}, "a number of images, 1 to 1000000 for the recipe's batch_size."),
        ({"batch_size": 1e30}, "Received: batch_size=1e+30"),
        ({"crop_size": 10**9, "image_size": 10**9}, "Received: image_size=1000000000"),
        ({"epochs": 10**30}, "Received: epochs=1000000000000000000000000000000"),
        ({"learning_rate": float("inf")}, "Received: learning_rate=inf"),
        (
            {"weight_decay": float("inf")},
            "0 to 1000000 for the recipe's weight_decay. Received: weight_decay=inf",
        ),
        ({"initial_deviation": 10**400}, "Give a positive standard deviation, "),
        (
            {"momentum": 1},
            "a number from 0 to below 1 for the recipe's momentum. Received: momentum=1",
        ),
        (
            {"crops": "five"},
            "Give 'ten' or 'random_scale' for the recipe's crops. Received: crops='five'",
        ),
        ({"annealing": "step"}, "Received: annealing='step'"),
        ({"nesterov": 1}, "Give true or false for the recipe's nesterov. Received: nesterov=1"),
        ({"seed": -1}, "Received: seed=-1"),
        ({"dropout": 1.0}, "Received: dropout=1.0"),
        ({"filter_rms_limit": 0}, "Received: filter_rms_limit=0"),
        ({"crop_size": 300}, "Received: crop_size=300, image_size=256"),
        ({"crops": "random_scale"}, "Crops of random scale are resized to the size of the image"),
    ],
)
def test_refused_numbers(changes, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        Recipe(**changes)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            lambda fields: fields | {"epoch": 3},
            "has an unknown field 'epoch': did you mean epochs?",
        ),
        (
            lambda fields: {name: fields[name] for name in fields if name not in ("seed", "crops")},
            "has no crops, seed: give every field",
        ),
        (lambda fields: [fields], "is not a JSON object: give one with image_size, crop_size, "),
        (lambda fields: fields | {"seed": "a"}, "Received: seed='a'"),
    ],
)
def test_refused_files(tmp_path, change, sentence):
    filepath = tmp_path / "recipe.json"
    filepath.write_text(json.dumps(change(Recipe().to_dict())))
    with pytest.raises(ValueError, match=re.escape(sentence)):
        Recipe.load(filepath)


def test_files_that_are_no_recipe(tmp_path):
    (tmp_path / "cut.json").write_text("{")
    with pytest.raises(
        ValueError, match=r"not a recipe in JSON: .* Received: filepath='.*cut\.json'"
    ):
        Recipe.load(tmp_path / "cut.json")
    with pytest.raises(
        ValueError, match=r"no such recipe: give a JSON file\. Received: filepath='.*gone\.json'"
    ):
        Recipe.load(tmp_path / "gone.json")
