import numpy as np
import pytest
from PIL import Image

from kerasvis.data import ImageFolder
from kerasvis.reports import class_labels, image_names


@pytest.fixture
def folder_of(tmp_path):
    """Makes an `ImageFolder` of files with these paths."""

    def folder_of(*paths):
        for path in paths:
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (4, 4)).save(tmp_path / path)
        return ImageFolder(tmp_path, (4, 4))

    return folder_of


def test_files_are_named_by_their_path_in_the_folder(folder_of):
    assert image_names(folder_of("b.png", "a/x.png")) == ("a/x.png", "b.png")


def test_images_of_an_array_are_numbered():
    assert image_names(np.zeros((2, 4, 4, 3))) == ("image 0", "image 1")


def test_crops_have_names_of_their_own():
    class Crops:
        crops = ("astronaut 0,0-4,4", 5)

    assert image_names(Crops()) == ("astronaut 0,0-4,4", "5")


def test_classes_are_folders(folder_of):
    folder = folder_of("cat/1.png", "cat/deep/2.png", "dog_b/1.png")
    assert class_labels(folder) == ("cat", "cat", "dog_b")


def test_folders_of_sets_are_no_classes(folder_of):
    folder = folder_of("train/cat/1.png", "test/cat/1.png", "val/dog/1.png")
    assert class_labels(folder) == ("cat", "cat", "dog")


def test_a_class_may_be_called_train(folder_of):
    assert class_labels(folder_of("train/1.png", "plane/1.png")) == ("plane", "train")


def test_classes_in_file_names_of_imagenet(folder_of):
    folder = folder_of("n01440764_tench.jpg", "n01484850_great_white_shark.jpg")
    assert class_labels(folder) == ("tench", "great white shark")


def test_one_folder_is_no_class(folder_of):
    assert class_labels(folder_of("images/1.png", "images/2.png")) is None


def test_classes_in_file_names_of_one_folder(folder_of):
    folder = folder_of("photographs/n01440764_tench.png", "photographs/n01484850_great_shark.png")
    assert class_labels(folder) == ("tench", "great shark")


def test_numbers_in_file_names_are_no_names(folder_of):
    folder = folder_of("n01440764_10026.png", "n01440764_7.png", "n01484850_1.png")
    assert class_labels(folder) == ("n01440764", "n01440764", "n01484850")
    names = {"n01440764": "tench"}
    assert class_labels(folder, names) == ("tench", "tench", "n01484850")


def test_names_are_given_for_folders(folder_of):
    folder = folder_of("n01440764/1.png", "cat/1.png")
    assert class_labels(folder, {"n01440764": "tench", "cat": "Cat"}) == ("Cat", "tench")


def test_two_classes_of_one_name_stay_two(folder_of):
    folder = folder_of("n02012849_crane.jpg", "n03126707_crane.jpg", "n01440764_tench.jpg")
    assert class_labels(folder) == ("tench", "crane (n02012849)", "crane (n03126707)")


@pytest.mark.parametrize("paths", [("a.png", "b.png"), ("cat/a.png", "b.png")])
def test_classes_are_not_known(folder_of, paths):
    assert class_labels(folder_of(*paths)) is None


def test_an_array_has_no_classes():
    assert class_labels(np.zeros((2, 4, 4, 3))) is None
