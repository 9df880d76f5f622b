# make: set up and run the default experiment; make test: set up and test. Both need Python 3.11 or newer and nothing else.
PYTHON ?= python3
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: run setup test test-faults fuzz gpu lint clean
run: .venv/run.stamp
	snakemake --cores all
	@echo "The report is in results/report/index.html, its LaTeX tables in results/report/tables/"

setup: .venv/test.stamp

# Two processes share the tests; one that has none left takes some of the other's.
test: .venv/test.stamp lint
	python -m pytest -n 2 --dist worksteal

# 200 kills at random moments, their seeds printed: half an hour and more.
test-faults: .venv/test.stamp
	python -m pytest -m faults -s tests/test_faults.py

# What needs a GPU, in pieces that resume: benchmarks/gpu.json. TINY=1 runs small sizes on the CPU.
gpu: .venv/test.stamp
	python -m benchmarks.gpu

# Damaged files for every reader of user files, about ten seconds for each: 6 minutes.
fuzz: .venv/test.stamp
	BGAN_BENCH_FUZZ=10 BGAN_BENCH_FUZZ_SEED=$$(date +%s)000 python -m pytest -s tests/test_fuzz.py

lint: .venv/test.stamp
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

.venv/test.stamp: .venv/run.stamp requirements-test.txt
	$(BIN)/python -m pip install --quiet -c constraints.txt -r requirements-test.txt
	touch $@

clean:
	rm -rf results/runs results/scores results/report results/partial results/experiments results/*.csv results/*.json cache logs
