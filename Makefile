# make repro    the demo: dvc repro. Makes .venv if it is missing.
# make test     lint and tests
PYTHON ?= python3
export PATH := $(CURDIR)/.venv/bin:$(PATH)

# Of a zip file that was unpacked, DVC wants to be told that it is no git checkout.
tell_dvc_of_git = [ -e .git ] || git rev-parse --git-dir >/dev/null 2>&1 || dvc config --local core.no_scm true

.PHONY: repro test
# What MLflow still lacks is written; then what a newcomer looks for stands last. The page shows this
# machine's seconds, which may be new where its records are not: DVC makes it again, and knows of it.
repro: .venv/base
	@$(tell_dvc_of_git)
	dvc repro
	@python -m mlrepro.tracking.writer --drain || true
	@echo && dvc repro -q -s -f report

test: .venv/dev
	ruff format --check .
	ruff check .
	OMP_NUM_THREADS=1 pytest -n 2 --dist worksteal

# ---- Installation ------------------------------------------------------------------------------
# .venv/base is what the demo needs, .venv/dev what the tests need beside it, .venv/all everything.
# Each of these files is as new as the installation that it stands for, which includes those before.

.venv/base: extras =
.venv/base: contents = what the demo needs: 6.5 GB, 5.3 of them PyTorch with its CUDA libraries
.venv/base: stamps = .venv/base

.venv/dev: extras = [dev]
.venv/dev: contents = what demo and tests need: 6.6 GB, 5.3 of them PyTorch with its CUDA libraries
.venv/dev: stamps = .venv/base .venv/dev

.venv/all: extras = [dev,all]
.venv/all: contents = everything, with exports, captions, Ray and Slurm: about 7.3 GB
.venv/all: stamps = .venv/base .venv/dev .venv/all

# .venv/unfinished is there as long as an installation goes on: what was interrupted is made anew.
.venv/base .venv/dev .venv/all: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.11") if sys.version_info < (3, 11) else 0'
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 to 3.14 is needed: make PYTHON=python3.14") if sys.version_info >= (3, 15) else 0'
	@if [ -e .venv/unfinished ]; then echo "The last installation was interrupted: .venv is made anew."; rm -rf .venv; fi
	@echo "Installs into .venv $(contents)."
	@echo "Two CPU minutes and the download: 2 to 10 minutes, less if pip has the files in its cache."
	@mkdir -p .venv && touch .venv/unfinished
	@[ -x .venv/bin/pip ] || $(PYTHON) -m venv .venv
	.venv/bin/pip install --disable-pip-version-check -c constraints.txt -e '.$(extras)'
	@rm .venv/unfinished && touch $(stamps)
