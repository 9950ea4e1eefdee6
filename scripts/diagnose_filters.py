"""Tells what is wrong with the first layers of convnets (Figure 5 of the paper).

    python scripts/diagnose_filters.py --model alexnet.keras zfnet.keras --images photographs

Prints for every net what was looked for, whether it is found, the numbers, and the paper's remedy.
Writes filter_diagnosis.png, all nets side by side; and for each net <name>.npz, the arrays of a
`FilterDiagnosis`; <name>.json, its findings and numbers; <name>.csv, a line for each filter of the
first layer. Without --images only weights are looked at. A run that was stopped goes on when it is
started again, and nets that are done are not looked at again.
"""

import itertools
import json
from pathlib import Path

from command import Parser, as_user_errors, new_folder, run, save_figure, write_csv
from photographs import open_images, report_skipped
from shared_arguments import add_convnet_options, positive_integer
from trained_convnets import image_size_of, load_convnet
from visualize_features import file_name


def main(arguments):
    import kerasvis as kv

    convnets = [
        load_convnet(name, arguments.weights, arguments.image_size) for name in arguments.model
    ]
    with as_user_errors(ValueError):
        images = [open_for(convnet, arguments) for convnet in convnets]
    names = different_names([file_name(convnet.model.name) for convnet in convnets])
    folder = new_folder(arguments.out, inputs=filter(None, [arguments.images]))
    diagnoses = []
    with as_user_errors(ValueError, OSError):
        for name, convnet, photographs in zip(names, convnets, images, strict=True):
            preprocessing = arguments.preprocessing or convnet.preprocessing
            run = fingerprint_of(convnet.model, photographs, preprocessing, arguments)
            diagnosis = finished(folder, name, run)
            if diagnosis is None:
                diagnosis = kv.analyses.diagnose_filters(
                    convnet.model,
                    photographs,
                    first_layer=arguments.first_layer,
                    second_layer=arguments.second_layer,
                    preprocessing=preprocessing,
                    batch_size=arguments.batch_size,
                    filepath=folder / f"{name}_top_activations.npz",
                )
                report_skipped(photographs)
            write(diagnosis, folder, name, run)
            diagnoses.append(diagnosis)
        save_figure(kv.figures.filter_diagnosis_grid(diagnoses), folder / "filter_diagnosis.png")
    print(f"\nFigure: {folder / 'filter_diagnosis.png'}")


def open_for(convnet, arguments):
    """The images for a net, or None if none were given."""
    if arguments.images is None:
        return None
    size = image_size_of(convnet.model, arguments.image_size)
    preprocessing = arguments.preprocessing or convnet.preprocessing
    return open_images(arguments.images, size, preprocessing, strict=False)


def different_names(names):
    """The names; those that came before get a number."""
    different = []
    for name in names:
        numbered = (f"{name}_{number}" for number in itertools.count(2))
        free = (each for each in (name, *itertools.islice(numbered, len(names))))
        different.append(next(each for each in free if each not in different))
    return different


def fingerprint_of(model, photographs, preprocessing, arguments):
    """Hexadecimal digits that change with all that a diagnosis depends on."""
    from kerasvis.activations.partial_scan import model_fingerprint
    from kerasvis.data.image_sources import image_source
    from kerasvis.graph import read_graph
    from kerasvis.storage.fingerprints import digest

    images = photographs and image_source(photographs, arguments.batch_size).fingerprint()
    layers = [arguments.first_layer, arguments.second_layer]
    return digest([model_fingerprint(read_graph(model).nodes), images, preprocessing, *layers])


def finished(folder, name, run):
    """The diagnosis of an earlier run with the same fingerprint, or None."""
    from kerasvis.analyses import FilterDiagnosis

    try:
        numbers = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        return FilterDiagnosis.load(folder / f"{name}.npz") if numbers["run"] == run else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write(diagnosis, folder, name, run):
    """Prints the findings of one net, and writes its arrays and numbers."""
    import kerasvis as kv
    from kerasvis.storage.files import write_text

    findings = kv.analyses.filter_findings(diagnosis)
    print(f"\n{diagnosis.model}", *map(str, findings), sep="\n", flush=True)
    diagnosis.save(folder / f"{name}.npz")
    write_csv(*table_of(diagnosis), folder / f"{name}.csv")
    numbers = numbers_of(diagnosis, findings) | {"run": run}  # last: it says that all is there
    numbers = json.dumps(numbers, indent=2, ensure_ascii=False)
    write_text(folder / f"{name}.json", f"{numbers}\n")


def numbers_of(diagnosis, findings):
    """What the JSON file holds; null where there is nothing to measure."""
    return {
        "model": diagnosis.model,
        "first_layer": diagnosis.first_layer,
        "second_layer": diagnosis.second_layer or None,
        "num_images": diagnosis.num_images,
        "strides": diagnosis.strides.tolist(),
        "dominance": number_or_none(diagnosis.dominance),
        "median_aliasing": number_or_none(diagnosis.median_aliasing),
        "dead": {layer.layer: layer.is_dead.nonzero()[0].tolist() for layer in diagnosis.layers},
        "findings": [finding._asdict() for finding in findings],
    }


def number_or_none(number):
    """JSON knows no NaN."""
    return None if number != number else float(number)


def table_of(diagnosis):
    """`(header, rows)` of the first layer, a row for each filter."""
    header = "filter rms low middle high is_dead earlier_twin correlation".split()
    columns = zip(
        diagnosis.rms,
        *diagnosis.band_shares.T,
        diagnosis.first.is_dead,
        diagnosis.twins,
        diagnosis.correlations,
        strict=True,
    )
    return header, [[number, *row] for number, row in enumerate(columns)]


def make_parser():
    parser = Parser(description=__doc__.split("\n\n")[0])
    add = parser.add_argument
    add(
        "--model",
        required=True,
        nargs="+",
        help=".keras files, or nets of keras.applications, as VGG16",
    )
    add("--images", help="folder of photographs, or demo for some that come along; 50 or more")
    add("--first-layer", metavar="LAYER", help="that looks at the image; the first convolution")
    add("--second-layer", metavar="LAYER", help="whose features are projected; the next one")
    add("--out", type=Path, default=Path("filter_diagnosis"), help="folder to write into")
    add_convnet_options(parser)
    add("--batch-size", type=positive_integer, default=16, help="images in a step of the scan")
    return parser


if __name__ == "__main__":
    run(main, make_parser())
