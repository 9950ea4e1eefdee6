"""Arguments that several commands take."""

CONVNET_HELP = "a .keras file, or a net of keras.applications, as VGG16"


def add_convnet_arguments(parser):
    """What `trained_convnets.open_convnet` reads."""
    parser.add_argument("--model", required=True, help=CONVNET_HELP)
    add_convnet_options(parser)


def add_convnet_options(parser):
    """How a net is made and fed."""
    parser.add_argument(
        "--weights", help="of keras.applications: imagenet (default), random, or a weights file"
    )
    add_input_options(parser)


def add_input_options(parser):
    """What the images are that a net takes."""
    parser.add_argument(
        "--image-size",
        nargs=2,
        type=positive_integer,
        metavar=("HEIGHT", "WIDTH"),
        help="in pixels, for models that take any size",
    )
    parser.add_argument(
        "--preprocessing",
        choices=["raw", "caffe", "tf", "torch"],
        help="what the model takes: raw pixels by default, its own for keras.applications",
    )


def add_rectification_argument(parser):
    parser.add_argument(
        "--rectification",
        choices=["deconvnet", "guided", "gradient"],
        default="deconvnet",
        help="what a ReLU lets pass on the way down",
    )


def add_fill_argument(parser):
    """What covered pixels become; `as_fill` reads it."""
    parser.add_argument(
        "--fill",
        nargs="+",
        default=["grey"],
        help="grey, mean, blur, noise, a number or a colour in the model's units",
    )


def as_fill(values):
    """A name, a number or a colour."""
    try:
        numbers = [float(value) for value in values]
    except ValueError:
        return " ".join(values)
    return numbers[0] if len(numbers) == 1 else numbers


def as_size(values):
    """One number for both axes, or two."""
    return values[0] if len(values) == 1 else tuple(values[:2])


def positive_integer(text):
    number = int(text)
    if number < 1:
        raise ValueError
    return number


positive_integer.__name__ = "positive integer"  # as argparse calls it
