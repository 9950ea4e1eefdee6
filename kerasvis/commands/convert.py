"""`kerasvis convert`: published weights as a saved model."""

from typing import Literal

from kerasvis.commands.argument_types import FilePath
from kerasvis.commands.output import check_output_file
from kerasvis.commands.quiet_start import start_keras


def convert(*, net: Literal["squeezenet", "alexnet"], weights: FilePath, out: FilePath) -> None:
    """Convert published weights into a saved model that takes raw RGB pixels.

    Args:
        net: the convnet.
        weights: .npz archive of `<layer>/kernel` (HWIO) and `<layer>/bias`.
        out: new .keras file.
    """
    output = check_output_file(out, ".keras")
    if not weights.is_file():
        raise ValueError(
            f"There is no such archive: give an .npz file. Received: --weights={weights}"
        )
    start_keras()
    from kerasvis.convnets.published_weights import FROM_PUBLISHED, read_arrays
    from kerasvis.storage.files import atomic

    model = FROM_PUBLISHED[net](read_arrays(weights))
    with output.made(), atomic(out) as temporary:
        model.save(temporary)
    rows, columns, _ = model.input_shape[1:]
    print(
        f"Saved {out}: {model.name}, {model.count_params():,} parameters, takes RGB pixels in "
        f"[0, 255] of {rows}×{columns}."
    )
