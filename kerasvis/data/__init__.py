"""Images: sources, preprocessing and its inverse, labelled data sets, bundled images."""

from kerasvis.data.image_folder import ImageFolder as ImageFolder
from kerasvis.data.labelled.augmentation import random_scale_crops as random_scale_crops
from kerasvis.data.labelled.augmentation import random_sub_crops as random_sub_crops
from kerasvis.data.labelled.jpeg_archive import JpegArchive as JpegArchive
from kerasvis.data.labelled.jpeg_archive import load_jpeg_archive as load_jpeg_archive
from kerasvis.data.labelled.labelled_data import LabelledData as LabelledData
from kerasvis.data.labelled.labelled_data import load_labelled as load_labelled
from kerasvis.data.labelled.labelled_images import LabelledImages as LabelledImages
from kerasvis.data.planted_objects import PlantedObjects as PlantedObjects
from kerasvis.data.preprocessing import Preprocessing as Preprocessing

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
