"""Writes kerasvis/data/application_stems.json: by what the models of keras.applications are known.

    python -m benchmarks.application_stems

To be run again when Keras adds a family. It builds every model, with random weights.
"""

import json
from pathlib import Path

import keras

import kerasvis.data
from kerasvis.data.known_models import stem

# What a family's first convolution was trained on; None: the model sees to it in every case.
AT_CONVOLUTION = {
    "ConvNeXt": "torch",
    "DenseNet": "torch",
    "EfficientNetB": None,
    "EfficientNetV2": "tf",
    "EfficientNetV2B": "torch",
    "InceptionResNetV2": "tf",
    "InceptionV3": "tf",
    "MobileNet": "tf",
    "NASNet": "tf",
    "ResNet": "caffe",
    "ResNet50V2": "tf",
    "ResNet101V2": "tf",
    "ResNet152V2": "tf",
    "VGG": "caffe",
    "Xception": "tf",
}
# The widths, and kinds, for which there are published weights.
VARIANTS = {
    "MobileNet": [{"alpha": alpha} for alpha in (0.25, 0.5, 0.75, 1.0)],
    "MobileNetV2": [{"alpha": alpha} for alpha in (0.35, 0.5, 0.75, 1.0, 1.3, 1.4)],
    "MobileNetV3Small": [{}, {"alpha": 0.75}, {"minimalistic": True}],
    "MobileNetV3Large": [{}, {"alpha": 0.75}, {"minimalistic": True}],
}


def names():
    """Names of the models of `keras.applications`."""
    return [name for name in dir(keras.applications) if name[0].isupper()]


def entries(name):
    """The entries of one model: `{"models", "at_convolution", "stem"}`, one for each variant."""
    family = max((f for f in AT_CONVOLUTION if name.startswith(f)), key=len)
    for arguments in VARIANTS.get(name, [{}]):
        keras.backend.clear_session()  # or layers that Keras names itself would be counted on
        model = getattr(keras.applications, name)(weights=None, include_top=False, **arguments)
        lines = [line.removeprefix(model.name) for line in stem(model)]
        yield {"models": [name], "at_convolution": AT_CONVOLUTION[family], "stem": lines}


def main():
    found = {}
    for name in names():
        for entry in entries(name):
            same = found.setdefault(tuple(entry["stem"]), entry)
            same["models"] = sorted({*same["models"], name})
            if same["at_convolution"] != entry["at_convolution"]:
                raise ValueError(f"{same['models']} begin alike, but are preprocessed differently.")
    file = Path(kerasvis.data.__file__).with_name("application_stems.json")
    text = json.dumps(list(found.values()), indent=1, ensure_ascii=False)
    file.write_text(text + "\n", "utf-8")
    print(f"{len(found)} stems of {len(names())} models: {file}")


if __name__ == "__main__":
    main()
