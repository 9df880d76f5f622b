"""What the jobs of a command need, before any starts: disk, memory and time."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from builders import loaded

from experiments import durations, resources
from harness.plan import Plan


@pytest.fixture
def plan(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Plan.load(loaded(methods=["itq", "lsh"], bits=[12, 16], seeds=[0], controls=[]))


def published(**files):
    folder = Path("results/published/small")
    folder.mkdir(parents=True)
    experiment = {
        "datasets": {
            "digits": {
                "images": [1000, 8, 8, 3],
                "sizes": {"query": 100, "database": 900, "train": 900},
            }
        },
        "features": {"digits/pixels": {"dimensions": 192}},
    }
    (folder / "experiment.json").write_text(json.dumps(experiment))
    for name, text in files.items():
        (folder / f"{name}.csv").write_text(text)


def test_sizes_are_those_of_published_experiments(plan):
    published()
    found = resources.needs(plan, plan.jobs())
    arrays = 1000 * 8 * 8 * 3 + 1000 * 192 * 4
    codes = 4 * resources.RECORD_BYTES + 2 * 1000 * (2 + 2)
    values = 2 * 100 * (12 + 16) * 4  # of the queries, before the threshold
    histograms = 2 * 100 * (13 + 17) * 8
    assert found.disk == arrays + codes + values + histograms + resources.REPORT_BYTES
    assert found.unsized == ()
    assert found.memory == 900 * 192 * 4  # features of the training images


def test_the_real_values_of_queries_count(plan):
    """Those of IsoH, and of SDC, whose class inherits them."""
    published()
    plan = Plan.load(loaded(methods=["isoh", "sdc"], bits=[12], seeds=[0], controls=[]))
    jobs = [job for job in plan.jobs() if job.rule == "encode"]
    run = 1000 * 2 + 100 * 12 * 4 + resources.RECORD_BYTES
    assert resources.needs(plan, jobs).disk == 2 * run


def test_what_is_not_known_is_stated(plan):
    found = resources.needs(plan, plan.jobs())
    assert found.unsized == ("digits",)
    assert resources.summary(found, 2).startswith("disk: at least 20.0 MB of ")


def test_prepared_arrays_count_and_not_the_published_ones(plan):
    published()
    record = Path("cache/features/digits/pixels/features.json")
    record.parent.mkdir(parents=True)
    record.write_text(json.dumps({"dimensions": 10}))
    jobs = [job for job in plan.jobs() if job.rule == "features"]
    assert resources.needs(plan, jobs).disk == 1000 * 10 * 4


def test_the_memory_is_the_largest_of_earlier_runs_of_a_method(plan):
    published(
        runs="dataset,features,variant,method,peak_memory_mib,fit_seconds,encode_seconds\n"
        "digits,pixels,itq,itq,2000,1,1\ndigits,pixels,lsh,lsh,,1,1\ndigits,other,itq,itq,9000,1,1\n"
    )
    found = resources.needs(plan, plan.jobs())
    assert found.memory == 2000 * 2**20
    assert found.largest.startswith("digits/pixels/itq/")
    assert "memory: up to 2.1 GB a job, 4 at a time" in resources.summary(found, 4)


@pytest.mark.parametrize(
    ("needs", "message"),
    [
        ((10**18, (), 0, ""), "disk: the outputs need 1,000,000.0 TB"),
        ((0, (), 10**15, "digits/pixels/itq/12bit/seed0"), "memory: digits/pixels/itq/12bit"),
    ],
)
def test_what_cannot_suffice_is_refused_with_a_way_out(plan, needs, message):
    problem = resources.shortage(resources.Needs(*needs))
    assert problem.startswith(message)
    assert "nothing was started" in problem
    assert resources.shortage(resources.Needs(1000, (), 1000, "")) == ""


def test_jobs_of_snakemake_are_jobs_of_the_plan(plan):
    names = {"encode": ("dataset", "features", "variant", "bits", "seed"), "dataset": ("dataset",)}
    jobs = [job for job in plan.jobs() if job.rule in names]
    given = [
        SimpleNamespace(
            rule=SimpleNamespace(name=job.rule),
            wildcards=dict(zip(names[job.rule], map(str, job.key), strict=True)),
        )
        for job in jobs
    ]
    assert resources.planned(given) == jobs


def test_the_time_of_a_new_variant_is_that_of_its_method(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(durations, "START_SECONDS", 0.0)
    published(
        runs="dataset,features,variant,method,fit_seconds,encode_seconds\n"
        "digits,pixels,bgan,bgan,9,1\ndigits,pixels,bgan-n,bgan,4,0\n"
    )
    methods = ["bgan-n", {"name": "bgan-tanh", "timed": [12]}, "itq"]
    plan = Plan.load(loaded(methods=methods, bits=[12], seeds=[0], controls=[]))
    estimate = durations.Estimate(plan)
    estimate.expect(plan.runs)
    assert estimate.left(1) == (4 + 7, 1)  # the mean of both variants; ITQ is not known
    estimate.expect(plan.runs, plan.timed_runs)
    assert estimate.left(3) == ((4 + 7) / 3 + 7, 1)  # nothing runs beside a timed job
