# Only Python 3.11 or newer is needed. The documentation shows the comment above each target.
PYTHON ?= python3
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: run help setup test test-faults fuzz gpu docs lint clean
run: .venv/run.stamp  ## set up and run the default experiment (the default target)
	snakemake --cores all
	@echo "The report is in results/report/index.html, its LaTeX tables in results/report/tables/"

help:  ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' Makefile

setup: .venv/test.stamp  ## install the benchmark and its test tools into .venv

# Two processes share the tests; one that has none left takes some of the other's.
test: .venv/test.stamp lint  ## check format, lint and types, and run the tests
	python -m pytest -n 2 --dist worksteal

# 200 kills at random moments, their seeds printed: half an hour and more.
test-faults: .venv/test.stamp  ## kill 200 jobs at random moments: 30 minutes and more
	python -m pytest -m faults -s tests/test_faults.py

# What needs a GPU, in pieces that resume: benchmarks/gpu.json. TINY=1 runs small sizes on the CPU.
gpu: .venv/test.stamp  ## check and measure what needs a GPU
	python -m benchmarks.gpu

# Damaged files for every reader of user files, about ten seconds for each: 6 minutes.
fuzz: .venv/test.stamp  ## read damaged files with every reader: 6 minutes
	BGAN_BENCH_FUZZ=10 BGAN_BENCH_FUZZ_SEED=$$(date +%s)000 python -m pytest -s tests/test_fuzz.py

# Run the tutorials, and build the site in build/site/. Warnings are errors.
docs: .venv/test.stamp  ## build the documentation in build/site/
	python -m pytest -m docs tests/test_docs.py

lint: .venv/test.stamp  ## check format, lint and types only
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile
	snakemake --lint
	mypy
	@echo "ignored: $$(git grep -hE '# type: ignore\[' -- '*.py' | wc -l) types, $$(git grep -hE '# noqa: ' -- '*.py' | wc -l) rules, each with its code"

.venv/run.stamp: requirements.txt constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "bgan-bench needs Python 3.11 or newer, found " + sys.version.split()[0] + ": set PYTHON, as in make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -c constraints.txt -r requirements.txt
	touch $@

.venv/test.stamp: .venv/run.stamp requirements-test.txt requirements-docs.txt
	$(BIN)/python -m pip install --quiet -c constraints.txt -r requirements-test.txt -r requirements-docs.txt
	touch $@

clean:  ## delete all results, prepared data and logs, except results/published
	rm -rf build results/runs results/scores results/report results/partial results/experiments results/*.csv results/*.json cache logs
