"""What a trained convnet responds to, as pages for a browser."""

from kerasvis.reports.gallery import write_gallery as write_gallery
from kerasvis.reports.image_labels import class_labels as class_labels
from kerasvis.reports.image_labels import image_names as image_names
from kerasvis.reports.statistics import MapStatistics as MapStatistics
from kerasvis.reports.statistics import map_statistics as map_statistics

__all__ = [
    "MapStatistics",
    "class_labels",
    "image_names",
    "map_statistics",
    "write_gallery",
]
