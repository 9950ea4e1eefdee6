"""A scan over a data set that several workers share: each scans a shard, the results are merged.

```python
part = find_top_activations(model, Shard(images, 0, 2), layers, filepath="top-0.npz")  # worker 0
part = find_top_activations(model, Shard(images, 1, 2), layers, filepath="top-1.npz")  # worker 1
parts = [TopActivations.load(f"top-{worker}.npz") for worker in (0, 1)]
merge_top_activations(parts).save("top.npz")  # the bytes of a scan by one worker
```
"""

import functools
from collections.abc import Iterable

from kerasvis.activations.strongest_activations import StrongestActivations
from kerasvis.activations.top_activations import LayerActivations, TopActivations
from kerasvis.data.image_sources import Shard

__all__ = ["Shard", "merge_top_activations"]


def merge_top_activations(parts: Iterable[TopActivations]) -> TopActivations:
    """The strongest activations over all images, from those over the shards.

    Args:
        parts: `TopActivations` of scans of the same model, layers and k over different images.

    Returns:
        A `TopActivations`. Of equal activations the image with the lowest index counts.

    Raises:
        ValueError: if there is no part, the parts differ in layers, feature maps or k, or an image
            was scanned twice.
    """
    parts = list(parts)
    if not parts:
        raise ValueError("There are no top activations to merge: give those of each shard.")
    for part in parts[1:]:
        if repr(part) != repr(parts[0]):
            raise ValueError(
                f"The top activations to merge differ, {parts[0]} and {part}: scan the same layers "
                "of the same model with the same k."
            )
    merge = StrongestActivations().merge
    return TopActivations(
        {
            name: LayerActivations(
                **functools.reduce(merge, [part[name]._asdict() for part in parts])
            )
            for name in parts[0]
        }
    )
