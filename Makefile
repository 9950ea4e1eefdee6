# Every target makes the environment it needs and runs from a fresh clone.

PYTHON ?= python3.11
PYTEST_ARGUMENTS ?=
PYTEST = .venv/bin/python -m pytest --numprocesses 2 --dist loadfile $(PYTEST_ARGUMENTS)
DEMO_ARGUMENTS ?= --model saved_models/zfnet-tiny-imagenet-30/model.keras --images demo \
	--layers conv1 conv2 conv3 conv4 conv5 --out demo_output
DEMO_OCCLUSION_ARGUMENTS ?= --model saved_models/zfnet-tiny-imagenet-30/model.keras \
	--images demo:coffee --class espresso --patch-size 24 --strides 2 --out demo_output/occlusion
DEMO_GALLERY_ARGUMENTS ?= --model saved_models/zfnet-evolution-tiny-imagenet-30/model.keras \
	--evolution saved_models/zfnet-evolution-tiny-imagenet-30/evolution --images demo \
	--out demo_output/gallery
BENCH_ARGUMENTS ?=

export TF_CPP_MIN_LOG_LEVEL ?= 3

.DELETE_ON_ERROR:
.PHONY: demo test test-all test-backends bench lint

demo: .venv/.installed
	.venv/bin/kerasvis features $(DEMO_ARGUMENTS)
	.venv/bin/kerasvis occlusion $(DEMO_OCCLUSION_ARGUMENTS)
	.venv/bin/kerasvis gallery $(DEMO_GALLERY_ARGUMENTS)

test: lint .venv/.browser
	$(PYTEST) -m "not slow"

test-all: lint .venv/.browser .venv-jax/.installed .venv-torch/.installed
	$(PYTEST)

# Every function that needs no TensorFlow, where there is none.
test-backends: .venv/.installed .venv-jax/.installed .venv-torch/.installed
	$(PYTEST) tests/backends

bench: .venv-bench/.installed
	.venv-bench/bin/python -m benchmarks $(BENCH_ARGUMENTS)

lint: .venv/.installed
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

# A stamp stands for an environment that holds what pyproject.toml asks for;
# an environment that is already there is kept and brought up to date.
.venv/.installed: pyproject.toml constraints.txt
	test -x .venv/bin/python || $(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[tests]'
	touch $@

# The libraries compared with bring PyTorch along, so they have an environment of their own.
.venv-bench/.installed: pyproject.toml constraints.txt
	test -x .venv-bench/bin/python || $(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip install --quiet --constraint constraints.txt \
		--editable '.[benchmarks]'
	.venv-bench/bin/python -m pip install --quiet --no-deps xplique==2.0.2
	touch $@

# The other backends of Keras, without TensorFlow.
.venv-jax/.installed .venv-torch/.installed: .venv-%/.installed: pyproject.toml constraints.txt
	test -x .venv-$*/bin/python || $(PYTHON) -m venv .venv-$*
	.venv-$*/bin/python -c "import tomllib; \
		project = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
		print(*[d for d in project['dependencies'] if 'tensorflow' not in d], sep='\n')" \
		> .venv-$*/requirements.txt
	.venv-$*/bin/python -m pip install --quiet --constraint constraints.txt \
		--requirement .venv-$*/requirements.txt $*
	.venv-$*/bin/python -m pip install --quiet --no-deps --editable .
	touch $@

# Pages are tested in Chromium. Where it is missing root gets Debian's, as in CI; without it these
# tests are skipped.
.venv/.browser: .venv/.installed
	command -v chromium > /dev/null || test "$$(id -u)" != 0 || timeout 600 sh -c \
		'apt-get -qq update && apt-get -qq install --yes --no-install-recommends chromium' \
		> /dev/null || echo "Chromium cannot be installed: tests of pages are skipped."
	touch $@
