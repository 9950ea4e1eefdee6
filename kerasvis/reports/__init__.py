"""HTML pages on what a trained convnet responds to."""

from kerasvis.reports.demo_page import write_demo_page as write_demo_page
from kerasvis.reports.explanation_index import ExplainedImage as ExplainedImage
from kerasvis.reports.explanation_index import write_explanation_index as write_explanation_index
from kerasvis.reports.explanation_page import write_explanation as write_explanation
from kerasvis.reports.gallery import write_gallery as write_gallery
from kerasvis.reports.image_labels import class_labels as class_labels
from kerasvis.reports.image_labels import image_names as image_names

__all__ = [
    "ExplainedImage",
    "class_labels",
    "image_names",
    "write_demo_page",
    "write_explanation",
    "write_explanation_index",
    "write_gallery",
]
