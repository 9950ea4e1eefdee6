"""`kerasvis demo`: what a small bundled model has learned, shown on bundled images or your own."""

import contextlib
from pathlib import Path

import kerasvis as kv
from kerasvis.commands.argument_types import FilePath, Name
from kerasvis.commands.evolution import MapOptions, SourceOptions, evolution
from kerasvis.commands.explain import EvidenceOptions, explain
from kerasvis.commands.features import features
from kerasvis.commands.gallery import FindingOptions, gallery
from kerasvis.commands.image_arguments import BUNDLED, check_images
from kerasvis.commands.occlusion import occlusion
from kerasvis.commands.options import FolderOptions, ModelOptions, OccluderOptions
from kerasvis.commands.output import OutputFolder

FOLDERS = ("gallery", "explanation", "evolution", "features", "occlusion")
SMALL = (8, 8)  # enough to see that a photograph can be read
LAYERS = ("conv2", "conv5")  # feature maps per layer in the figure; the gallery has all


def demo(photographs: Name | None = None, *, out: FilePath = Path("demo_output")) -> None:
    """Write HTML pages on what the bundled model has learned.

    The model is a small ZFNet for 30 classes of Tiny ImageNet. Writes `index.html`, with links to a
    gallery of its feature maps, an explanation of one decision, the evolution of its features
    during training, and Figures 2 and 6 of the paper.

    Args:
        photographs: folder of your own photographs, instead of the bundled images; the option's
            name may be left out.
        out: folder to write into.
    """
    from kerasvis.data.bundled import BUNDLED_MODEL

    images = photographs or BUNDLED
    output = OutputFolder(out, inputs=[images], files=["index.html", *FOLDERS])
    check_images([images], option="--photographs")
    photograph = f"{BUNDLED}:coffee" if photographs is None else first_photograph(photographs)
    model = ModelOptions(model=str(BUNDLED_MODEL / "model.keras"))
    source, snapshots = FolderOptions(images=images), BUNDLED_MODEL / "evolution"
    with output.made() as folder:
        gallery(
            model=model,
            images=source,
            findings=FindingOptions(evolution=snapshots),
            out=folder / "gallery",
        )
        explain(
            model=model,
            image=(photograph,),
            evidence=EvidenceOptions(strongest_in=images, gallery=folder / "gallery"),
            occluder=OccluderOptions(patch_size=(24,), strides=(4,)),
            out=folder / "explanation",
        )
        evolution(
            source=SourceOptions(snapshots=snapshots),
            maps=MapOptions(num_features=4),
            out=folder / "evolution",
        )
        features(model=model, images=source, layers=LAYERS, out=folder / "features")
        occlusion(
            model=model,
            images=(photograph,),
            occluder=OccluderOptions(patch_size=(24,), strides=(2,)),
            out=folder / "occlusion",
        )
        page = kv.reports.write_demo_page(folder)
    print(f"Open {page.resolve().as_uri()}")


def first_photograph(directory: str) -> str:
    """The first photograph of a folder that can be read; its class is explained.

    Raises:
        ValueError: if there is none.
    """
    from kerasvis.data import ImageFolder
    from kerasvis.data.photographs import read_photograph

    for path in ImageFolder(directory).filepaths:
        with contextlib.suppress(ValueError):
            read_photograph(path, SMALL)
            return str(path)
    raise ValueError(
        "None of the photographs can be read: give a folder of other ones. Received: "
        f"--photographs={directory}"
    )
