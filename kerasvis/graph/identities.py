"""Layers that do nothing at inference: dropout, noise and augmentation."""

from keras import layers

# Named one by one, since not every random layer is one (RandomCrop cuts its inputs at inference
# too); the augmentation layers come with Keras from version to version.
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
