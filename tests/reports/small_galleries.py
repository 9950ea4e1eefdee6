"""A small convnet, its images with names not to be trusted, and a reader for gallery pages."""

import html.parser
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

import keras
import numpy as np

from kerasvis.analyses.evolution.evolution_result import evolution_of_models

SIZE = (14, 18)
NUM_IMAGES = 13
EVIL = "<script>alert(1)</script>"
# TensorFlow runs no layer with other signs in its name; test_pages.py has worse names.
FIRST, SECOND, NESTED = "Conv.1", "squeeze", "../.."
LABELS = tuple(["a cat", None, EVIL, "zebra"][index % 4] for index in range(NUM_IMAGES))


def small_convnet(name="<img src=x onerror=alert()>"):
    """conv (ReLU, 5 maps) → pooling → two branches, one of them nested → sum → dense."""
    layers = keras.layers
    keras.utils.set_random_seed(0)
    inner_inputs = keras.Input((None, None, 5))
    inner_outputs = layers.Conv2D(4, (1, 3), padding="same", activation="relu", name="..")(
        inner_inputs
    )
    inner = keras.Model(inner_inputs, inner_outputs, name="..")
    inputs = keras.Input((*SIZE, 3))
    x = layers.Conv2D(5, 3, strides=2, activation="relu", name=FIRST)(inputs)
    x = layers.MaxPooling2D(2, name="pool")(x)
    both = [inner(x), layers.Conv2D(4, 1, activation="relu", name=SECOND)(x)]
    x = layers.GlobalAveragePooling2D(name="means")(layers.Add(name="sum")(both))
    outputs = layers.Dense(3, activation="softmax", name="dense")(x)
    return keras.Model(inputs, outputs, name=name)


# Between the first two, all activations are multiplied alike, so that no image is overtaken.
EPOCHS = (1, 4, 20)
WATCHED = {FIRST: [3, 0], NESTED: [1]}


def convnets_of_epochs():
    """`{epoch: convnet}`; that of the last is the trained one."""
    models = {epoch: small_convnet("small") for epoch in EPOCHS}
    generator = np.random.default_rng(1)
    weights = [
        generator.normal(size=w.shape) / 9 if w.ndim > 1 else np.zeros(w.shape)
        for w in models[1].get_weights()
    ]
    models[1].set_weights(weights)
    models[4].set_weights([2 * w for w in weights])
    return models


def small_evolution():
    """What the maps of `WATCHED` responded to, found by the models of all epochs."""
    models = convnets_of_epochs()
    return evolution_of_models(models.values(), [*WATCHED], random_images(), EPOCHS, WATCHED)


def random_images(number=NUM_IMAGES, seed=0):
    generator = np.random.default_rng(seed)
    return generator.integers(0, 256, (number, *SIZE, 3)).astype("float32")


class Element(NamedTuple):
    """A start tag: its name, its attributes, and the text in it up to the next tag."""

    tag: str
    attributes: dict
    text: list


class Page(html.parser.HTMLParser):
    """The elements of a page, in order."""

    def __init__(self, text):
        super().__init__()
        self.elements = []
        self.feed(text)

    @classmethod
    def read(cls, filepath):
        return cls(Path(filepath).read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        self.elements.append(Element(tag, dict(attrs), []))

    def handle_data(self, data):
        if self.elements:
            self.elements[-1].text.append(data)

    def all(self, tag):
        return [element for element in self.elements if element.tag == tag]

    @property
    def text(self):
        return " ".join(" ".join(element.text) for element in self.elements)

    @property
    def values(self):
        """The exact numbers on the page, in order."""
        return [float(element.attributes["value"]) for element in self.all("data")]

    @property
    def references(self):
        """Addresses of all that the page leads to or loads, other than `data:`."""
        found = [e.attributes.get(name) for e in self.elements for name in ("href", "src")]
        return [unquote(address) for address in found if address and address[:5] != "data:"]


def pages_of(directory):
    return sorted(Path(directory).rglob("*.html"))


def files_of(directory):
    """`{path in the folder: (bytes, time of writing)}`."""
    directory = Path(directory)
    return {
        path.relative_to(directory).as_posix(): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in directory.rglob("*")
        if path.is_file()
    }
