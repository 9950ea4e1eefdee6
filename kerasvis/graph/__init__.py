"""The graph of a Keras model: its calls in order, shapes, receptive fields and crops."""

from kerasvis.graph.built_model import OneNodeModel as OneNodeModel
from kerasvis.graph.built_model import one_node_model as one_node_model
from kerasvis.graph.crops import CropGrid as CropGrid
from kerasvis.graph.crops import crop_grid as crop_grid
from kerasvis.graph.crops import pixelwise_nodes as pixelwise_nodes
from kerasvis.graph.feature_extractor import FeatureExtractor as FeatureExtractor
from kerasvis.graph.feature_extractor import feature_extractor as feature_extractor
from kerasvis.graph.image_model import image_model as image_model
from kerasvis.graph.nodes import Graph as Graph
from kerasvis.graph.nodes import Node as Node
from kerasvis.graph.reading import read_graph as read_graph
from kerasvis.graph.receptive_fields import ReceptiveField as ReceptiveField
from kerasvis.graph.receptive_fields import receptive_field as receptive_field
from kerasvis.graph.replaying import replay as replay
from kerasvis.graph.scores import Scores as Scores
from kerasvis.graph.shapes import image_shape as image_shape
from kerasvis.graph.two_classes import two_class_model as two_class_model

__all__ = [
    "CropGrid",
    "FeatureExtractor",
    "Graph",
    "Node",
    "OneNodeModel",
    "ReceptiveField",
    "Scores",
    "crop_grid",
    "feature_extractor",
    "image_model",
    "image_shape",
    "one_node_model",
    "pixelwise_nodes",
    "read_graph",
    "receptive_field",
    "replay",
    "two_class_model",
]
