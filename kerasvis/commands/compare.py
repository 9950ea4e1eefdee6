"""`kerasvis compare`: several attribution methods on the same activation."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cyclopts import Parameter

import kerasvis as kv
from kerasvis.commands.argument_types import Count, FilePath, Index, Name, NumberFrom0, Seed
from kerasvis.commands.image_arguments import (
    OpenModel,
    Photograph,
    check_images,
    read_photographs,
)
from kerasvis.commands.method_names import METHODS, MethodName, load_methods
from kerasvis.commands.options import ClassOptions, ModelOptions
from kerasvis.commands.output import OutputFolder, save_figure

if TYPE_CHECKING:
    import numpy as np

    from kerasvis.analyses import MethodComparison
    from kerasvis.deconvnet.targets import Target

TOGETHER = ("methods.png", "methods.npz")


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class TargetOptions:
    """The feature map that is explained, instead of the score of a class.

    Attributes:
        layer: layer of the feature map.
        feature: number of the feature map; its strongest unit is explained.
    """

    layer: str | None = None
    feature: Index | None = None


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class MethodOptions:
    """The methods.

    Attributes:
        methods: names, or module:NAME, your own function; by default all but edges, a control that
            uses only the image.
        maps_layer: layer whose feature maps Grad-CAM uses; by default the last before the target.
        num_samples: number of SmoothGrad's noisy copies.
        noise_level: SmoothGrad's noise, as a fraction of the image's range.
        maximize: add images that maximize the activations.
        num_steps: steps of gradient ascent for such images.
        seed: seed of SmoothGrad's noise and of gradient ascent.
    """

    methods: tuple[MethodName, ...] = METHODS[:-1]
    maps_layer: str | None = None
    num_samples: Count = 50
    noise_level: NumberFrom0 = 0.15
    maximize: bool = False
    num_steps: Count = 256
    seed: Seed = 0


def compare(
    *,
    model: ModelOptions,
    images: tuple[Name, ...],
    scores: ClassOptions = ClassOptions(),
    target: TargetOptions = TargetOptions(),
    methods: MethodOptions = MethodOptions(),
    out: FilePath = Path("methods"),
) -> None:
    """Show the maps of the deconvnet and other methods for the same activation, side by side.

    Writes `methods.png`, a row for each photograph and a column for each method, and `methods.npz`,
    the arrays of a `MethodComparison`. Without --class and --feature, the score of the most
    probable class of each photograph is explained. Scores are those before a softmax or sigmoid.

    Args:
        images: photographs, or folders of them.
        out: folder to write into.
    """
    output = OutputFolder(out, inputs=images, files=TOGETHER)
    check_images(images)
    check_target(target, scores)
    names = scores.names(model)
    model.check(layer=target.layer, maps_layer=methods.maps_layer)
    opened = model.open()
    if target.feature is None:
        opened = with_scores_of_classes(opened)
    photographs = read_photographs(images, opened.image_size, opened.channels)
    fed = as_fed(photographs, opened)
    layer, unit = what_is_traced(target, scores, opened, fed, names)
    options = options_of(methods, opened, layer)
    with output.made() as folder:
        comparison = kv.compare_methods(
            opened.model,
            layer,
            fed,
            unit,
            load_methods(methods.methods),
            options=options,
            preprocessing=opened.preprocessing,
            rules=opened.rules,
            verbose=1,
        )
        if methods.maximize:
            comparison = with_preferred_images(comparison, methods, opened)
        rows = row_names(comparison, photographs, names, target.feature is not None)
        print(*rows, sep="\n")
        comparison.save(folder / "methods.npz")
        figure = kv.figures.method_comparison_grid(comparison, row_names=rows)
        save_figure(figure, folder / "methods.png")
    print(f"Methods: {folder / 'methods.png'}")


def check_target(target: TargetOptions, scores: ClassOptions) -> None:
    """Raises a ValueError for two targets or an incomplete one."""
    if target.feature is not None and scores.class_name is not None:
        raise ValueError(
            "A feature map and a class are two targets: give one of them. Received: "
            f"--feature={target.feature} --class={scores.class_name}"
        )
    if (target.feature is None) != (target.layer is None):
        raise ValueError("--layer and --feature belong together: give both, or --class.")


def as_fed(photographs: list[Photograph], opened: OpenModel) -> "np.ndarray":
    """The photographs as the model takes them, in one array."""
    import numpy as np

    return opened.preprocessing.images(np.stack([each.pixels for each in photographs]))


def with_scores_of_classes(opened: OpenModel) -> OpenModel:
    """The model with a score for each class; for a single unit, a score for both classes.

    Raises:
        ValueError: if the model does not return class scores.
    """
    model = opened.model
    if len(model.outputs) != 1 or len(model.output_shape) != 2:
        raise ValueError(
            f"The model {model.name!r} does not return class scores: give --layer and --feature; "
            "or --output, if one of several outputs returns scores."
        )
    if model.output_shape[-1] > 1:
        return opened
    return opened._replace(model=kv.two_class_model(model))


def what_is_traced(
    target: TargetOptions,
    scores: ClassOptions,
    opened: OpenModel,
    images: "np.ndarray",
    names: dict[int, str],
) -> tuple[str, "Target"]:
    """`(layer, target)`: a feature map's strongest unit, or the score of a class."""
    from kerasvis.graph import read_graph

    model = opened.model
    if target.layer is not None:
        return target.layer, kv.targets.Strongest(target.feature)
    graph = read_graph(model)
    layer = next(node.name for node in graph.nodes if graph.outputs[0] in node.outputs)
    asked = scores.class_index(names, model.output_shape[-1])
    if asked is not None:
        return layer, kv.targets.Unit(asked)
    return layer, kv.targets.Unit(model.predict(images, verbose=0).argmax(axis=1).tolist())


def options_of(methods: MethodOptions, opened: OpenModel, layer: str) -> dict[str, dict[str, Any]]:
    """The options of the chosen methods that have any."""
    options: dict[str, dict[str, Any]] = {}
    if "smoothgrad" in methods.methods:
        options["smoothgrad"] = {
            "num_samples": methods.num_samples,
            "noise_level": methods.noise_level,
            "seed": methods.seed,
        }
    if "grad_cam" in methods.methods:
        options["grad_cam"] = {"maps_layer": maps_layer_of(methods, opened, layer)}
    return options


def maps_layer_of(methods: MethodOptions, opened: OpenModel, layer: str) -> str:
    """The layer of Grad-CAM's feature maps; raises a ValueError if it cannot be used."""
    from kerasvis.attributions.activation_gradient import ActivationGradient
    from kerasvis.attributions.grad_cam import last_feature_maps

    maps_layer = methods.maps_layer or last_feature_maps(opened.model, layer, opened.image_size)
    ActivationGradient(opened.model, layer, maps_layer)
    print(f"Grad-CAM uses the feature maps of {maps_layer}", flush=True)
    return maps_layer


def with_preferred_images(
    comparison: "MethodComparison", methods: MethodOptions, opened: OpenModel
) -> "MethodComparison":
    """The comparison with one more column: images that maximize the same units."""
    preferred = kv.maximize_activation(
        opened.model,
        comparison.layer,
        kv.targets.Unit(comparison.feature_indices, *comparison.positions.T),
        image_size=opened.image_size,
        preprocessing=opened.preprocessing,
        num_steps=methods.num_steps,
        seed=methods.seed,
        verbose=1,
    )
    maps = comparison.maps | {"activation_maximization": preferred.pixels}
    return dataclasses.replace(comparison, maps=maps)


def row_names(
    comparison: "MethodComparison",
    photographs: list[Photograph],
    class_names: dict[int, str],
    is_feature: bool,
) -> list[str]:
    """What each row shows, in one line."""
    names = []
    for photograph, feature, activation in zip(
        photographs, comparison.feature_indices.tolist(), comparison.activations, strict=True
    ):
        if is_feature:
            traced = f"activation of {comparison.layer}, feature {feature}"
        else:
            traced = f"score of {class_names.get(feature, f'class {feature}')}"
        names.append(f"{photograph.name}: {traced}, {activation:.4g}")
    return names
