# Every target makes the environment it needs and runs from a fresh clone.

PYTHON ?= python3.11
PYTEST_ARGUMENTS ?=
PYTEST = .venv/bin/python -m pytest --numprocesses 2 $(PYTEST_ARGUMENTS)
PHOTOS ?=
DEMO_ARGUMENTS ?= $(if $(PHOTOS),--photographs '$(PHOTOS)')
BENCH_ARGUMENTS ?=
OLDEST_TESTS ?= tests/layers tests/deconvnet/test_deconv_model.py tests/graph/test_nodes.py \
	tests/figures tests/commands/test_command_line.py tests/commands/test_features.py

export TF_CPP_MIN_LOG_LEVEL ?= 3

.DELETE_ON_ERROR:
.PHONY: demo test test-all coverage test-backends test-oldest bench docs lint release-check

# PHOTOS=folder shows photographs of your own.
demo: .venv/.installed
	.venv/bin/kerasvis demo $(DEMO_ARGUMENTS)

test: lint .venv/.browser
	$(PYTEST) --dist loadfile -m "not slow"

# TensorFlow keeps what it has compiled until a process ends: the long tests run in several. Files
# are divided among the workers, since one file can take as long as all others.
test-all: test .venv-jax/.installed .venv-torch/.installed docs test-oldest
	failed=0; \
	for part in 'tests/[ab]*/' 'tests/c*/' 'tests/[de]*/' 'tests/[f-s]*/' 'tests/[t-z]*/ tests/test_*.py'; do \
		$(PYTEST) --dist worksteal -m slow $$part || failed=1; \
	done; \
	exit $$failed

# The share of lines that `make test` runs, and those that it does not.
coverage: .venv/.browser
	$(PYTEST) --dist loadfile -m "not slow" --cov --cov-report=term-missing:skip-covered

# Every function that needs no TensorFlow, where there is none.
test-backends: .venv/.installed .venv-jax/.installed .venv-torch/.installed
	$(PYTEST) --dist loadfile tests/backends

# The lowest versions that pyproject.toml allows, on what depends most on them.
test-oldest: .venv-oldest/.installed
	.venv-oldest/bin/python -m pytest -q --override-ini=filterwarnings= -m "not slow" \
		$(OLDEST_TESTS)

# Warnings are errors, and every example runs.
docs: .venv-docs/.installed
	.venv-docs/bin/python -m sphinx -W --keep-going --builder html docs docs/_build/html
	@echo "Open $(CURDIR)/docs/_build/html/index.html"

# What is uploaded is what was checked here: see CONTRIBUTING.md.
release-check: .venv-release/.installed
	git diff --quiet HEAD
	rm -rf dist
	.venv-release/bin/python -m build
	.venv-release/bin/python -m twine check --strict dist/*
	version=$$(sed -n 's/^__version__ = "\(.*\)"/\1/p' kerasvis/__init__.py); \
		grep -q "^## \[$$version\]" CHANGELOG.md \
		|| { echo "CHANGELOG.md has no section [$$version]: add one."; exit 1; }
	rm -rf dist/check
	$(PYTHON) -m venv dist/check
	dist/check/bin/python -m pip install --quiet --constraint constraints.txt dist/*.whl
	cd dist/check && bin/kerasvis demo

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

.venv-docs/.installed: pyproject.toml constraints.txt
	test -x .venv-docs/bin/python || $(PYTHON) -m venv .venv-docs
	.venv-docs/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[docs]'
	touch $@

.venv-oldest/.installed: pyproject.toml
	test -x .venv-oldest/bin/python || $(PYTHON) -m venv .venv-oldest
	.venv-oldest/bin/python -m pip install --quiet uv
	.venv-oldest/bin/uv pip install --quiet --python .venv-oldest/bin/python \
		--resolution lowest-direct --editable '.[tests]'
	touch $@

.venv-release/.installed: pyproject.toml
	test -x .venv-release/bin/python || $(PYTHON) -m venv .venv-release
	.venv-release/bin/python -m pip install --quiet 'build>=1.2' 'twine>=6.1'
	touch $@

# Pages are tested in Chromium. Where it is missing root gets Debian's, as in CI; without it these
# tests are skipped.
.venv/.browser: .venv/.installed
	command -v chromium > /dev/null || test "$$(id -u)" != 0 || timeout 600 sh -c \
		'apt-get -qq update && apt-get -qq install --yes --no-install-recommends chromium' \
		> /dev/null || echo "Chromium cannot be installed: tests of pages are skipped."
	touch $@
