import numpy as np
import pytest

from kerasvis.analyses.fidelity.fidelity_table import fidelity_rows
from tests.analyses.fidelity.fidelity_reports import small_convnet, small_images, small_report


@pytest.fixture(scope="module")
def report():
    return small_report(small_convnet(), small_images())


def test_rows_are_means_over_images(report):
    rows = {(row.check, row.measure): row for row in fidelity_rows(report)}
    weights = report.weight_randomization
    row = rows["weights", "random at conv2: rank, signed"]
    for number, method in enumerate(report.methods):
        assert row.values[method] == pytest.approx(weights.cascading[number, 0, :, 1].mean())
    row = rows["weights", "random down to conv1: SSIM"]
    assert row.values["zf"] == pytest.approx(weights.cascading[0, 1, :, 2].mean())
    assert row.reference is None
    row = rows["selectivity", "between images: HOG"]
    values = report.selectivity.between_images[1, :, 3]
    assert row.values["gradient"] == pytest.approx(np.nanmean(values))
    row = rows["cosine", "of random signals, at the image"]
    assert list(row.values) == ["zf", "gradient"]
    cosines = report.cosine_convergence.cosines[1, -1]
    assert row.values["gradient"] == pytest.approx(cosines.mean())
    row = rows["patch", "activation, 2×2 occluded"]
    assert row.values["pixels"] == pytest.approx(report.patch_sufficiency.occluded[2].mean())
    random = report.patch_sufficiency.random_occluded
    assert row.reference == ("random", pytest.approx(np.nanmean(random)))
    row = rows["patch", "images where it keeps 50% alone"]
    shown = report.patch_sufficiency.shown[0]
    assert row.values["zf"] == pytest.approx(np.mean([x >= 0.5 for x in shown]))
    row = rows["pixels", "insertion, area"]
    areas = report.insertion_deletion.insertion_area.mean(axis=1)
    assert list(row.values.values()) == pytest.approx(areas[:3])
    assert row.reference == ("random", pytest.approx(areas[3]))
    assert len(rows) == 8 + 8 + 1 + 4 + 2
