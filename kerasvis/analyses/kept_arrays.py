"""What a long analysis has measured, kept in a folder, so that one that was stopped goes on.

Each part has a file of its own, written atomically, whose name follows from all that the
part depends on; what was measured otherwise is left alone.
"""

from pathlib import Path

from kerasvis.storage.files import read_npz, write_npz
from kerasvis.storage.fingerprints import digest


class KeptArrays:
    """A folder of measured arrays.

    Args:
        directory: the folder, made if need be; None to keep nothing.
        depends_on: function of no arguments that returns arrays, and whatever has a telling `str`,
            on which every part depends; it is not called if nothing is kept.

    Raises:
        OSError: if the folder cannot be made.

    Example:
        >>> import numpy as np
        >>> from kerasvis.analyses.kept_arrays import KeptArrays
        >>> kept = KeptArrays("parts", lambda: ["relu5"])
        >>> image = np.arange(3)
        >>> kept.once("image", [image], ["doubled"], lambda: [image * 2])
        [array([0, 2, 4])]
        >>> kept.once("image", [image], ["doubled"], lambda: 1 / 0)  # read, not measured again
        (array([0, 2, 4]),)
    """

    def __init__(self, directory, depends_on):
        self.directory = directory
        if directory is None:
            return
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self._key = digest(depends_on())

    def once(self, part, depends_on, names, measure):
        """The arrays of a part: read where they are there, else measured and written.

        Args:
            part: what it is, the beginning of its file's name.
            depends_on: what this part depends on besides.
            names: of the arrays.
            measure: function of no arguments that returns them, one for each name.

        Returns:
            Tuple of arrays.

        Raises:
            OSError: if the part cannot be written.
        """
        if self.directory is None:
            return measure()
        filepath = self.directory / f"{part}-{digest([self._key, *depends_on])}.npz"
        if filepath.exists():
            try:
                arrays = read_npz(filepath, part, names)
                return tuple(arrays[name] for name in names)
            except ValueError:
                pass  # something else is in its place: measured again
        arrays = measure()
        write_npz(filepath, dict(zip(names, arrays, strict=True)))
        return arrays
