"""Each analysis that takes an engine, on one without a cluster: the same bytes as without any."""

import functools

import numpy as np
import pytest
from PIL import Image

import kerasvis as kv
from kerasvis.activations import map_statistics
from kerasvis.analyses.feature_relevance import find_top_relevances
from kerasvis.data import LabelledData, LabelledImages, load_labelled
from kerasvis.data.labelled import labelled_data
from tests.analyses.fidelity.fidelity_reports import small_convnet, small_images
from tests.engines.in_process import InProcess
from tests.engines.light_work import files
from tests.engines.nested_convnet import SIZE, brightness, nested_convnet
from tests.marks import slow

NUM_IMAGES, BATCH_SIZE = 17, 4
LAYERS = ["conv", "inner/linear"]
METHODS = ["deconvnet", "gradient_times_input", brightness]
PIXELS = np.random.default_rng(0).integers(0, 256, (NUM_IMAGES, *SIZE, 3)).astype("uint8")


@pytest.fixture(scope="module")
def model():
    return nested_convnet()


def array(folder):
    return PIXELS.astype("float32")


def batches(folder):
    return [array(folder)[begin : begin + BATCH_SIZE] for begin in range(0, NUM_IMAGES, BATCH_SIZE)]


def photographs(folder):
    for number, pixels in enumerate(PIXELS):
        place = folder / "photographs" / str(number % 2)
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(place / f"{number:02}.png")
    return kv.data.ImageFolder(folder / "photographs", SIZE, "raw")


def labelled(folder):
    """Images of a labelled set that are decoded when they are needed."""
    photographs(folder)
    return load_labelled(folder / "photographs", SIZE).train


KINDS = [labelled, slow(array), slow(batches), slow(photographs)]


@pytest.fixture(autouse=True)
def _nothing_fits_in_memory(monkeypatch):
    monkeypatch.setattr(labelled_data, "MAX_BYTES_IN_MEMORY", 0)


def bytes_of(result):
    """`{field: bytes}` of a result, or of each in a mapping, list or tuple of results."""
    if isinstance(result, dict):
        return {name: bytes_of(each) for name, each in result.items()}
    if isinstance(result, list | tuple):
        return [bytes_of(each) for each in result]
    return {name: np.asarray(values).tobytes() for name, values in result.to_arrays().items()}


def assert_the_same(analyse, *, least_parts=2):
    """Without an engine and with one."""
    engine = InProcess()
    here, there = bytes_of(analyse(None)), bytes_of(analyse(engine))
    assert there == here
    assert len(engine.parts) >= least_parts


@pytest.mark.parametrize("kind", KINDS)
def test_scan(model, tmp_path, kind):
    images, options = kind(tmp_path), {"k": 3, "batch_size": BATCH_SIZE, "verbose": 0}
    assert_the_same(
        lambda engine: kv.find_top_activations(model, LAYERS, images, engine=engine, **options)
    )


def test_statistics_and_relevances(model):
    images, options = array(None), {"batch_size": BATCH_SIZE, "verbose": 0}
    scan = functools.partial(map_statistics, model, LAYERS, images, **options)
    assert_the_same(lambda engine: scan(engine=engine))
    relevances = functools.partial(find_top_relevances, model, LAYERS, images, **options)
    assert_the_same(lambda engine: relevances(engine=engine))


def test_diagnosis(model):
    images = np.concatenate([array(None), array(None) + 1, array(None) + 2])  # 50 at least
    options = {"batch_size": BATCH_SIZE, "verbose": 0}
    diagnose = functools.partial(kv.analyses.diagnose_filters, model, images, **options)
    assert_the_same(lambda engine: diagnose(engine=engine))


@pytest.mark.parametrize("kind", KINDS)
def test_features(model, tmp_path, kind):
    images, options = kind(tmp_path), {"methods": METHODS, "num_features": 2, "k": 3, "verbose": 0}
    assert_the_same(
        lambda engine: kv.visualize_features(model, LAYERS, images, engine=engine, **options)
    )


@pytest.mark.parametrize("kind", KINDS)
def test_gallery(model, tmp_path, kind):
    images, options = kind(tmp_path), {"methods": METHODS, "relevance": True, "k": 2, "verbose": 0}
    engine = InProcess()
    for folder, where in (("here", None), ("there", engine)):
        kv.write_gallery(model, LAYERS, images, tmp_path / folder, engine=where, **options)
    assert files(tmp_path / "there") == files(tmp_path / "here")
    assert len(engine.parts) > len(LAYERS)


def test_an_interrupted_gallery_resumes(model, tmp_path):
    options = {"methods": METHODS, "k": 2, "batch_size": BATCH_SIZE, "verbose": 0}
    write = functools.partial(kv.write_gallery, model, LAYERS, array(None), **options)
    whole, resumed = InProcess(), InProcess()
    write(tmp_path / "whole", engine=whole)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "stopped", engine=InProcess(len(whole.parts) - 1))
    write(tmp_path / "stopped", engine=resumed)
    assert len(resumed.parts) == 1
    assert files(tmp_path / "stopped") == files(tmp_path / "whole")


def test_fidelity(tmp_path):
    methods = {"zf": "deconvnet", "pixels": brightness}
    options = {"checks": ("selectivity", "patch_sufficiency"), "num_draws": 2, "verbose": 0}
    report = functools.partial(
        kv.fidelity_report, small_convnet(), "conv2", small_images(), methods, **options
    )
    assert_the_same(lambda engine: report(engine=engine, directory=tmp_path / str(bool(engine))))
    again = InProcess()
    next((tmp_path / "True").glob("selectivity-zf-*")).unlink()
    report(engine=again, directory=tmp_path / "True")
    assert [(part.check, part.method) for part in again.parts] == [("selectivity", "zf")]


def test_occlusion(model):
    options = {"patch_size": 5, "strides": 5, "baseline": "blur", "verbose": 0}
    cover = functools.partial(kv.occlusion_sensitivity, model, array(None)[:3], 1, **options)
    assert_the_same(lambda engine: cover(engine=engine))


def test_explanation(model, tmp_path):
    analysis = kv.analyses.ExplanationAnalysis(
        model, SIZE, layers=LAYERS, num_features=2, patch_size=5, strides=5, verbose=0
    )
    names = [f"{number}.npz" for number in range(3)]

    def explain(engine):
        folder = tmp_path / str(bool(engine))
        images = array(None)[:3]
        return list(kv.analyses.stream_explanations(analysis, images, folder, names, engine=engine))

    assert_the_same(explain)


def test_transfer(model):
    pixels, labels = PIXELS[:16], np.arange(16) % 2
    images = LabelledImages(pixels, labels)
    data = LabelledData(images, LabelledImages(pixels[::-1], labels[::-1]), ("even", "odd"), SIZE)
    options = {"per_class": 3, "folds": 2, "heads": "svm", "verbose": 0}
    transfer = functools.partial(kv.analyses.transfer_features, model, LAYERS, data, **options)
    assert_the_same(lambda engine: transfer(engine=engine), least_parts=1)
