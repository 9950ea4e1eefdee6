"""The convnets of the paper's ablation: the changes in each, and the errors it reports."""

WIDE_FILTERS = (96, 256, 512, 1024, 512)  # layers 3, 4 and 5 of the paper's larger convnet

# Train top-1, validation top-1, validation top-5, in %, on ImageNet 2012.
PAPER_ERRORS = {
    "replica": {  # of Krizhevsky's convnet, AlexNet
        "none": (35.1, 40.5, 18.1),
        "without layers 3, 4": (41.8, 45.4, 22.1),
        "without layer 7": (27.4, 40.0, 18.4),
        "without layers 6, 7": (27.4, 44.8, 22.4),
        "without layers 3, 4, 6, 7": (71.1, 71.3, 50.1),
        "layers 6, 7 of 2048": (40.3, 41.7, 18.8),
        "layers 6, 7 of 8192": (26.8, 40.0, 18.1),
    },
    "Figure 3 net": {  # ZFNet
        "none": (33.1, 38.4, 16.5),
        "layers 6, 7 of 2048": (38.2, 40.2, 17.6),
        "layers 6, 7 of 8192": (22.0, 38.8, 17.0),
        "layers 3, 4, 5 of 512, 1024, 512": (18.8, 37.5, 16.0),
        "both of the last two": (10.0, 38.3, 16.9),
    },
}


def paper_variants(dense_units: int = 4096) -> dict[str, dict]:
    """The convnets of the paper's table, as options of `ZFNet` or `AlexNet`.

    The names state the paper's sizes. For a smaller convnet, its `dense_units` are halved and
    doubled alike. Its filters scale with its `width`, which these options leave out.

    Args:
        dense_units: units in fc6 and in fc7 of the unchanged convnet.

    Returns:
        `{name: options}`, in the order of the paper; the first is the unchanged convnet.

    Reference:
        Zeiler & Fergus 2013, Section 5.1, Table 3.

    Example:
        >>> import kerasvis as kv
        >>> kv.analyses.paper_variants()["layers 6, 7 of 2048"]
        {'dense_units': 2048}
    """
    narrow, plain, wide = (
        {"dense_units": n} for n in (dense_units // 2, dense_units, dense_units * 2)
    )
    return {
        "none": plain,
        "without layers 3, 4": plain | {"without": (3, 4)},
        "without layer 7": plain | {"without": (7,)},
        "without layers 6, 7": plain | {"without": (6, 7)},
        "without layers 3, 4, 6, 7": plain | {"without": (3, 4, 6, 7)},
        "layers 6, 7 of 2048": narrow,
        "layers 6, 7 of 8192": wide,
        "layers 3, 4, 5 of 512, 1024, 512": plain | {"filters": WIDE_FILTERS},
        "both of the last two": wide | {"filters": WIDE_FILTERS},
    }
