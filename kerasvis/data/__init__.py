"""Photographs in, arrays and batches out."""

import importlib

from kerasvis.data.image_folder import ImageFolder as ImageFolder
from kerasvis.data.labelled.jpeg_archive import JpegArchive as JpegArchive
from kerasvis.data.labelled.jpeg_archive import load_jpeg_archive as load_jpeg_archive
from kerasvis.data.labelled.labelled_images import LabelledImages as LabelledImages
from kerasvis.data.planted_objects import PlantedObjects as PlantedObjects
from kerasvis.data.preprocessing import Preprocessing as Preprocessing

# What needs TensorFlow is imported on demand.
_ON_DEMAND = {
    "LabelledData": "labelled_data",
    "load_labelled": "labelled_data",
    "random_scale_crops": "augmentation",
    "random_sub_crops": "augmentation",
}

__all__ = [
    "ImageFolder",
    "JpegArchive",
    "LabelledData",
    "LabelledImages",
    "PlantedObjects",
    "Preprocessing",
    "load_jpeg_archive",
    "load_labelled",
    "random_scale_crops",
    "random_sub_crops",
]


def __getattr__(name):
    if name in _ON_DEMAND:
        return getattr(importlib.import_module(f"kerasvis.data.labelled.{_ON_DEMAND[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
