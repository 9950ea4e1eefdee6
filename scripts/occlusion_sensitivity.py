"""Covers each part of photographs in turn, and shows what the model makes of it (Figure 6).

    python scripts/occlusion_sensitivity.py --model VGG16 --images dog.jpg cat.jpg --out occlusion

Writes occlusion.png, a row for every photograph as in the paper; for each photograph <name>.png,
the heat maps laid over it, and <name>.npz, the arrays of an `OcclusionSensitivity`; and
occlusion.csv, one line a photograph. A run that was stopped goes on when it is started again.
"""

from pathlib import Path

from class_names import class_index_of, load_class_names
from command import Parser, UserError, as_user_errors, new_folder, run, save_figure, write_csv
from photographs import open_images, read_photographs
from shared_arguments import (
    add_convnet_arguments,
    add_fill_argument,
    as_fill,
    as_size,
    positive_integer,
)
from trained_convnets import open_convnet

NUM_OTHER_PROJECTIONS = 3
MAX_ROWS = 12  # of the figure of all photographs


def main(arguments):
    with strategy_scope(arguments.devices):
        run_analysis(arguments)


def run_analysis(arguments):
    import kerasvis as kv
    from kerasvis.analyses.occlusion.occlusion_of_images import stream_occlusion_sensitivity
    from kerasvis.analyses.occlusion.occlusion_sensitivity import OcclusionAnalysis

    model, size, preprocessing = open_convnet(arguments)
    names = load_class_names(arguments.model, arguments.class_names)
    with as_user_errors(ValueError):
        photographs = read_photographs(arguments.images, size)
        class_index = class_of(arguments.class_name, names, model, size)
        analysis = OcclusionAnalysis(
            model,
            size,
            patch_size=as_size(arguments.patch_size),
            strides=as_size(arguments.strides),
            box=arguments.box,
            baseline=as_fill(arguments.fill),
            preprocessing=preprocessing,
            seed=arguments.seed,
            layer=arguments.layer,
            feature=arguments.feature,
            activation=arguments.activation,
            method=arguments.method,
            batch_size=arguments.batch_size,
        )
        top = load_scan(arguments, analysis.layer)
    folder = new_folder(arguments.out, inputs=arguments.images)

    plan, num_positions = analysis.sweep.plan, analysis.occluders.shape
    print(
        f"{len(photographs)} photographs, {num_positions[0]}×{num_positions[1]} positions, "
        f"{plan.method}: {plan.reason}",
        flush=True,
    )
    rows, lines = [], []
    to_images = kv.data.Preprocessing(preprocessing).images
    stems = unique_stems(photographs)
    with as_user_errors(ValueError, OSError):
        results = stream_occlusion_sensitivity(
            analysis,
            (to_images(pixels) for pixels in photographs.values()),
            [class_index] * len(photographs),
            [folder / f"{stem}.npz" for stem in stems],
        )
        for (path, pixels), stem, result in zip(photographs.items(), stems, results, strict=True):
            others = other_projections(model, result, top, arguments, size, preprocessing)
            row = kv.figures.OcclusionRow(result, pixels, names, path.stem, others)
            overlay = kv.figures.occlusion_overlay(
                result, pixels, class_name=row.name(result.class_index), full_range=False
            )
            save_figure(overlay, folder / f"{stem}.png")
            lines.append(summary(path, result, row))
            print("{image}: {class} {probability}, {lowest} at {box}".format(**lines[-1]))
            if len(rows) < MAX_ROWS:
                rows.append(row)
        save_figure(kv.figures.occlusion_panel(rows), folder / "occlusion.png")
        write_csv(lines[0], [line.values() for line in lines], folder / "occlusion.csv")
    print(f"All photographs: {folder / 'occlusion.png'}")


def strategy_scope(devices):
    """Where the model is made; several devices share the positions of an image."""
    import contextlib

    if devices is None:
        return contextlib.nullcontext()
    from kerasvis.training.distribution import strategy_for

    with as_user_errors(ValueError):
        return strategy_for("mirrored", devices).scope()


def unique_stems(paths):
    """A file name for each photograph, without its ending; numbered where two are alike."""
    stems = [path.stem for path in paths]
    return [
        stem if stems.count(stem) == 1 and stem != "occlusion" else f"{stem}-{number}"
        for number, stem in enumerate(stems)
    ]


def class_of(asked, names, model, image_size):
    from kerasvis.analyses.invariance.feature_comparison import num_classes_of

    return (
        None if asked is None else class_index_of(asked, names, num_classes_of(model, image_size))
    )


def load_scan(arguments, layer):
    """The strongest activations over other images, if they were given."""
    import kerasvis as kv

    if arguments.scan is None:
        return None
    if arguments.scan_images is None:
        raise UserError("--scan names images by number: give --scan-images, what was scanned.")
    top = kv.TopActivations.load(arguments.scan)
    top[layer]  # refuses a scan of other layers
    return top


def other_projections(model, result, top, arguments, size, preprocessing):
    """Projections of the watched map from the images in which it is strongest."""
    import kerasvis as kv

    if top is None:
        return ()
    images = open_images(arguments.scan_images, size, preprocessing, False)
    deconv = kv.DeconvModel(model, result.layer)
    indices = top[result.layer].image_indices[result.feature_index]
    indices = indices[indices >= 0][:NUM_OTHER_PROJECTIONS]
    projections = deconv.project(images[indices], kv.targets.WholeMap(result.feature_index))
    return tuple(kv.data.Preprocessing(preprocessing).rgb(projections))


def summary(path, result, row):
    """What the table says of a photograph."""
    lowest = result.probability.argmin()
    return {
        "image": path.name,
        "class": row.name(result.class_index),
        "probability": f"{result.base_probability:.4f}",
        "label": row.name(result.base_label),
        "lowest": f"{result.probability.min():.4f}",
        "box": " ".join(map(str, result.boxes.reshape(-1, 4)[lowest])),
        "feature_map": f"{result.layer} {result.feature_index}",
        "activity": f"{result.base_activity:.6g}",
        "lowest_activity": f"{result.activity.min():.6g}",
        "labels": len(set(result.label.ravel().tolist())),
        "method": result.method,
    }


def make_parser():
    parser = Parser(description=__doc__.split("\n\n")[0])
    add = parser.add_argument
    add_convnet_arguments(parser)
    add(
        "--images",
        required=True,
        nargs="+",
        metavar="FILE",
        help="files, folders, demo:coffee",
    )
    add(
        "--class",
        dest="class_name",
        metavar="NAME|INDEX",
        help="the correct class; by default what the model says",
    )
    add("--class-names", type=Path, help="JSON; by default classes.json beside the model")
    add("--layer", help="whose feature map is watched; the last convolution by default")
    add("--feature", type=int, metavar="N", help="its map; by default the strongest")
    add("--patch-size", nargs="+", type=int, default=[16], help="occluder in pixels, one or two")
    add("--strides", nargs="+", type=int, default=[8], help="of the occluder in pixels, one or two")
    add("--box", nargs=4, type=int, metavar=("TOP", "LEFT", "BOTTOM", "RIGHT"), help="only there")
    add_fill_argument(parser)
    add("--seed", type=int, default=0, help="of the noise")
    add("--scan", type=Path, help="top_activations.npz: projections from other images beside (c)")
    add("--scan-images", help="the images of the scan, a folder or demo")
    add("--method", choices=["auto", "incremental", "full"], default="auto")
    add("--activation", choices=["auto", "softmax", "sigmoid", "linear"], default="auto")
    add("--devices", help="several share the work: their number, or names as GPU:0,GPU:1")
    add("--batch-size", type=positive_integer, help="positions in a step")
    add("--out", type=Path, default=Path("occlusion"), help="folder to write into")
    return parser


if __name__ == "__main__":
    run(main, make_parser())
