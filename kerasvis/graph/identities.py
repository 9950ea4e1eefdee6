"""Layers that do nothing at inference: dropout, noise and augmentation."""

from keras import layers

# Named one by one, since not every random layer is an identity (RandomCrop crops its inputs at
# inference, too); which augmentation layers exist depends on the version of Keras.
IDENTITIES = tuple(
    getattr(layers, name)
    for name in """
    ActivityRegularization AlphaDropout AugMix CutMix Dropout GaussianDropout GaussianNoise Identity
    MixUp RandAugment RandomBrightness RandomColorDegeneration RandomColorJitter RandomContrast
    RandomElasticTransform RandomErasing RandomFlip RandomGaussianBlur RandomGrayscale RandomHue
    RandomInvert RandomPerspective RandomPosterization RandomRotation RandomSaturation
    RandomSharpness RandomShear RandomTranslation RandomZoom SpatialDropout2D
    """.split()
    if hasattr(layers, name)
)
