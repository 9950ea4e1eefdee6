"""A fidelity report whose checks run on two machines, against this process."""

import pytest

import kerasvis as kv
from tests.analyses.fidelity.fidelity_reports import small_convnet, small_images
from tests.engines.light_work import files


def pixels(model, layer, images, target):
    """A method of the user's own."""
    return images


METHODS = {"zf": "deconvnet", "gradient": "gradient", "pixels": pixels}


def reported(directory, engine=None):
    model, images = small_convnet(), small_images()
    options = {"num_draws": 2, "num_steps": 3, "directory": directory, "verbose": 0}
    report = kv.fidelity_report(model, "conv2", images, METHODS, engine=engine, **options)
    return {name: values.tobytes() for name, values in report.to_arrays().items()}


@pytest.mark.slow
def test_the_report_is_the_same(machines, engine, tmp_path):
    here = reported(tmp_path / "here")
    assert reported(tmp_path / "there", engine) == here
    assert files(tmp_path / "there") == files(tmp_path / "here")
    assert len(files(tmp_path / "here")) > 10
    assert reported(None, engine) == here
