"""`kerasvis compare`: what several methods say about the same activation."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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

TOGETHER = ("methods.png", "methods.npz")


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class TargetOptions:
    """The feature map that is traced back, instead of the score of a class.

    Attributes:
        layer: of the feature map.
        feature: its number; its strongest unit is traced back.
    """

    layer: str | None = None
    feature: Index | None = None


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class MethodOptions:
    """The methods.

    Attributes:
        methods: names, or module:NAME, a function of your own; by default all but edges, a
            control that looks at the image alone.
        maps_layer: of Grad-CAM; by default the last feature maps below the target.
        num_samples: of SmoothGrad.
        noise_level: of SmoothGrad, a share of the range.
        maximize: add images that the units prefer.
        num_steps: of the search for such images.
        seed: of SmoothGrad's noise and of the search.
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
    """Show what the deconvnet and other methods say about the same activation, side by side.

    Writes `methods.png`, a row for each photograph and a column for each method, and `methods.npz`,
    the arrays of a `MethodComparison`. Without --class and --feature, the score of the class that
    the model gives each photograph is traced back. Scores are those before a softmax or sigmoid.

    Args:
        images: photographs, or folders of them.
        out: folder to write into.
    """
    output = OutputFolder(out, inputs=images, files=TOGETHER)
    check_images(images)
    check_target(target, scores)
    names = scores.names(model)
    model.check(target.layer, methods.maps_layer)
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
    """Refuses two targets, and half of one."""
    if target.feature is not None and scores.class_name is not None:
        raise ValueError(
            "A feature map and a class are two targets: give one of them. Received: "
            f"--feature={target.feature} --class={scores.class_name}"
        )
    if (target.feature is None) != (target.layer is None):
        raise ValueError("--layer and --feature belong together: give both, or --class.")


def as_fed(photographs: list[Photograph], opened: OpenModel):
    """The photographs as the model takes them, in one array."""
    import numpy as np

    return opened.preprocessing.images(np.stack([each.pixels for each in photographs]))


def with_scores_of_classes(opened: OpenModel) -> OpenModel:
    """The model with a score for each class; of a single unit, for both of its classes.

    Raises:
        ValueError: if it does not return scores of classes.
    """
    model = opened.model
    if len(model.outputs) != 1 or len(model.output_shape) != 2:
        raise ValueError(
            f"The model {model.name!r} does not return scores of classes: give --layer and "
            "--feature; or --output where one of several is that of scores."
        )
    if model.output_shape[-1] > 1:
        return opened
    return opened._replace(model=kv.two_class_model(model))


def what_is_traced(
    target: TargetOptions, scores: ClassOptions, opened: OpenModel, images, names: dict[int, str]
) -> tuple[str, Any]:
    """`(layer, target)`: a feature map's strongest unit, or the score of a class."""
    from kerasvis.graph import read_graph

    model = opened.model
    if target.feature is not None:
        return target.layer, kv.targets.Strongest(target.feature)
    graph = read_graph(model)
    layer = next(node.name for node in graph.nodes if graph.outputs[0] in node.outputs)
    if scores.class_name is not None:
        return layer, kv.targets.Unit(scores.class_index(names, model.output_shape[-1]))
    return layer, kv.targets.Unit(model.predict(images, verbose=0).argmax(axis=1).tolist())


def options_of(methods: MethodOptions, opened: OpenModel, layer: str) -> dict[str, dict]:
    """The options of those methods that were chosen and have some."""
    options = {}
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
    """The layer of Grad-CAM's feature maps; one that cannot be used is refused here."""
    from kerasvis.attributions.activation_gradient import ActivationGradient
    from kerasvis.attributions.grad_cam import last_feature_maps

    maps_layer = methods.maps_layer or last_feature_maps(opened.model, layer, opened.image_size)
    ActivationGradient(opened.model, layer, maps_layer)
    print(f"Grad-CAM of the feature maps of {maps_layer}", flush=True)
    return maps_layer


def with_preferred_images(comparison, methods: MethodOptions, opened: OpenModel):
    """The comparison with the images that the same units prefer, as one more column."""
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
    comparison, photographs: list[Photograph], class_names: dict[int, str], is_feature: bool
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
