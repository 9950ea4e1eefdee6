"""Every family of models: whether it can be projected, how exactly, and what occlusion gains.

    python -m benchmarks.zoo [--models ResNet50 ...] [--directory zoo_parts] [--image-size 224]

Prints the table of the documentation, in Markdown: for each model of `keras.applications`, and of
KerasHub where it is installed,

- whether the paper's rules cover it as it is, or it takes the relaxed rules, or is refused;
- the largest difference of its projections from a plain re-implementation of these rules, relative
  to the largest value, of an early, a middle and a late layer and of a class score, as in
  `tests/zoo`, in small images;
- how many times faster incremental occlusion is than a forward pass of whole images, losses
  included: occluder 16, stride 32, in images of 224×224, or 64×64 of the small models of KerasHub;
- the share of its planned operations that makes maps whole for global pooling, in gates and heads:
  what it could save at most by updating their sums.

All weights are random. Each model is a part in the folder, from which an interrupted run resumes.
"""

import argparse
import json
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np

from benchmarks.turns import median_times
from kerasvis.graph import Scores
from kerasvis.occlusion import Occluders, OcclusionSweep
from kerasvis.occlusion.inference_plan import OPERATIONS_PER_VALUE, num_values
from kerasvis.storage.parts import Parts
from tests.oracles.lively_models import make_lively
from tests.zoo import applications, checks, hub_models

PATCH_SIZE, STRIDES = 16, 32
HEADER = ("model", "projected", "worst difference", "occlusion", "speed-up", "for pooling")
GLOBAL_POOLING = ("GlobalAveragePooling2D", "Mean")


def main():
    arguments = parse_arguments()
    settings = {"image_size": arguments.image_size, "keras": keras.version()}
    print_row(HEADER)
    print_row(["---"] * len(HEADER))
    with Parts(arguments.directory, lambda: settings) as parts:
        for name in arguments.models:
            print_row(row_of(name, measured(name, arguments.image_size, parts)))


def measured(name, image_size, parts):
    """What `measure` returns, which is computed once."""
    part = f"{name.replace(' ', '_')}.json"
    if not parts.is_complete(part):
        parts.write(part, json.dumps(measure(name, image_size)).encode())
    return json.loads(parts.path(part).read_bytes())


def measure(name, image_size):
    """`{"rules", "difference", "size", "speedup", "for_pooling"}` of one model."""
    keras.utils.set_random_seed(0)
    is_application = name in applications.SIZES
    size = applications.SIZES[name] if is_application else hub_models.SIZE
    model = applications.application(name) if is_application else MODELS[name]()
    images = make_lively(model, np.random.default_rng(0), size=size)
    rules, difference = worst_difference(model, images, checks.layers_of(model, size))
    large = (image_size, image_size) if is_application else size
    speedup = share = None
    if len(model.outputs) == 1 and len(model.output.shape) == 2:
        keras.utils.set_random_seed(0)
        model = applications.application(name, large) if is_application else model
        sweeps = sweeps_of(model, large)
        speedup, share = speedup_of(sweeps, large), share_for_pooling(sweeps["incremental"].plan)
    return {
        "rules": rules,
        "difference": difference,
        "size": large[0],
        "speedup": speedup,
        "for_pooling": share,
    }


def worst_difference(model, images, layers):
    """`(rules that the layers take, largest difference of any of them)`; None where refused."""
    rules, differences = [], []
    for layer in dict.fromkeys(layers.values()):
        try:
            rules.append(checks.rules_for(model, layer) or "as it is")
        except ValueError as error:
            print(f"{model.name}, {layer}: {error}", file=sys.stderr)
            return "refused", None
        given = () if rules[-1] == "as it is" else rules[-1]
        with checks.op_by_op(model):
            found = checks.difference_of_projection(model, layer, images, given)
        differences.append(float(found))
    if not rules:
        return "refused", None
    return ("relaxed" if "relaxed" in rules else "as it is"), max(differences)


def sweeps_of(model, size):
    """`{method: OcclusionSweep}`."""
    occluders = Occluders(size, PATCH_SIZE, STRIDES if min(size) > 100 else PATCH_SIZE // 2)
    scores = Scores(model, activation="linear", image_size=size)
    return {
        method: OcclusionSweep(model, occluders, None, scores, method=method)
        for method in ("incremental", "full")
    }


def share_for_pooling(plan):
    """The share of a plan's operations that makes maps whole which are pooled globally."""
    pooled = {
        number
        for node in plan.whole_nodes
        if node.type_name in GLOBAL_POOLING
        for number in node.inputs
        if number in plan.windows()
    }
    operations = OPERATIONS_PER_VALUE * sum(num_values(plan.shapes[number]) for number in pooled)
    return operations / plan.operations


def speedup_of(sweeps, size):
    """How many times faster the incremental method is, of one image after the first."""
    image = (50 * np.random.default_rng(0).normal(size=(*size, 3))).astype("float32")

    def run(sweep):
        sweep.base(image)
        return sweep.run(image, np.zeros_like(image), -1, [0], verbose=0)

    times = median_times({name: lambda s=s: run(s) for name, s in sweeps.items()}, 1)
    return times["full"] / times["incremental"]


def row_of(name, found):
    """The cells of one model's row."""
    difference, speedup = found["difference"], found["speedup"]
    return (
        name,
        found["rules"],
        "" if difference is None else f"{difference:.0e}",
        f"{found['size']}×{found['size']}",
        "" if speedup is None else f"{speedup:.1f}",
        "" if speedup is None else f"{found['for_pooling']:.1%}",
    )


def print_row(cells):
    print(f"| {' | '.join(cells)} |", flush=True)


def all_models():
    """Names of the models that can be built here."""
    try:
        import keras_hub  # noqa: F401
    except ImportError:
        print("KerasHub is not installed: its models are left out.", file=sys.stderr)
        return [*applications.SIZES]
    return [*applications.SIZES, *MODELS]


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--models", nargs="+", help="names of the table; all by default")
    parser.add_argument(
        "--directory", default="zoo_parts", help="folder of parts, from which a run resumes"
    )
    parser.add_argument("--image-size", type=int, default=224, help="for occlusion")
    arguments = parser.parse_args()
    known = [*applications.SIZES, *MODELS]
    arguments.models = arguments.models or all_models()
    if unknown := [name for name in arguments.models if name not in known]:
        parser.error(f"there is no model {unknown[0]!r}: give some of {', '.join(known)}")
    return arguments


MODELS = {
    f"KerasHub {name}": build
    for name, build in (hub_models.CLASSIFIERS | hub_models.BACKBONES).items()
}


if __name__ == "__main__":
    main()
