"""The smallest model of each family of `keras.applications`, with random weights."""

import keras

CLASSES = 5
SIZES = {
    **dict.fromkeys(
        """
        ConvNeXtTiny DenseNet121 EfficientNetB0 EfficientNetV2B0 EfficientNetV2S MobileNet
        MobileNetV2 MobileNetV3Large MobileNetV3Small ResNet50 ResNet50V2 VGG16 VGG19
        """.split(),
        (64, 67),
    ),
    # Not smaller, or else the last feature maps have one position.
    "InceptionResNetV2": (75, 107),
    "InceptionV3": (76, 107),
    "NASNetMobile": (64, 71),
    "Xception": (71, 80),
}
# Those that the paper's rules do not cover.
RELAXED = frozenset(
    """
    ConvNeXtTiny EfficientNetB0 EfficientNetV2B0 EfficientNetV2S MobileNetV3Large MobileNetV3Small
    """.split()
)


def application(name, size=None):
    """A classifier of five classes; of `(height, width)` images, by default of small ones."""
    build = getattr(keras.applications, name)
    return build(weights=None, input_shape=(*(size or SIZES[name]), 3), classes=CLASSES)
