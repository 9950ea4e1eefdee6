"""Models whose preprocessing is known by what they are."""

from kerasvis.data.preprocessing import Preprocessing


def preprocessing_of_model(model):
    """The `Preprocessing` of a model of `keras.applications` or KerasHub; None for any other."""
    try:
        return Preprocessing.of_application(model.name)
    except ValueError:
        return None
