"""Settings chosen on validation labels: which trials there are, and which of them is taken."""

import csv
import json
import shutil

import pytest
import yaml

from experiments import collect
from experiments.choose import choose, choose_finalists
from harness import plugins, records, storage
from harness.errors import BenchmarkError
from harness.plan import Plan
from harness.plugins import ROOT
from harness.variants import Catalogue
from report.tables.table_specs import read_claims

TRIALS = {"bgan": [{}, {"learning_rate": 0.01}, {"weight_pixel": 5.0}]}


def loaded(**changes):
    config = yaml.safe_load((ROOT / "config/config.yaml").read_text()) | yaml.safe_load(
        (ROOT / "config/variants.yaml").read_text()
    )
    return config | {"methods": ["lsh", "bgan", "bgan-n"], "trials": TRIALS} | changes


def test_a_method_with_trials_becomes_one_variant_a_trial_and_the_others_stay():
    plan = Plan.load(loaded())
    trials = [f"{name}.trial{number}" for name in ("bgan", "bgan-n") for number in (1, 2, 3)]
    assert list(plan.methods) == ["lsh", *trials]
    second = plan.methods["bgan.trial2"]
    assert second.params["learning_rate"] == 0.01
    assert (second.base, second.trial, second.label) == ("bgan", 2, "BGAN, trial 2")
    assert (plan.methods["lsh"].base, plan.methods["lsh"].trial) == ("lsh", None)
    assert {run.variant for run in plan.runs} == {"lsh", *trials}


def test_what_a_row_departs_in_goes_before_a_trial():
    third = Plan.load(loaded()).methods["bgan-n.trial3"]
    assert third.params["weight_pixel"] == 0.0
    assert third.base == "bgan-n"


def test_without_trials_nothing_changes():
    plan = Plan.load(loaded(trials={}))
    assert list(plan.methods) == ["lsh", "bgan", "bgan-n"]
    assert [method.trial for method in plan.methods.values()] == [None] * 3


def test_a_trial_of_an_unknown_parameter_is_an_error():
    with pytest.raises(BenchmarkError, match=r"methods/bgan\.py has no parameter 'rate'"):
        Plan.load(loaded(trials={"bgan": [{}, {"rate": 1}]}))


@pytest.mark.parametrize("name", ["bgam", "bgan-c"])
def test_trials_of_an_unknown_method_are_an_error(name):
    with pytest.raises(
        BenchmarkError,
        match=f"trials: '{name}' is unknown: expected one of .*, or a new file",
    ):
        Plan.load(loaded(trials=TRIALS | {name: [{}, {}]}))


def test_every_row_of_the_shipped_tuning_has_the_same_number_of_trials():
    shipped = yaml.safe_load((ROOT / "config/tuning-search.yaml").read_text())
    assert set(shipped["trials"].values()) == {16}
    tunable = {
        name
        for name in plugins.names("methods")
        if plugins.read_plugin("methods", name).member("search_space")
    }
    tunable.remove("deepbit_rotation")  # it trains VGG-16 further, for hours
    assert set(shipped["trials"]) == tunable
    variants = yaml.safe_load((ROOT / "config/variants.yaml").read_text())["variants"]
    rows = [Catalogue(variants).resolve("methods", name) for name in shipped["methods"]]
    assert {row.plugin.name for row in rows} == tunable
    # The ablations that decide RQ1 and RQ2: of the network from scratch, and of the head.
    deciding = [names for claim in read_claims()[:2] for names in (claim.row, *claim.against)]
    assert {network for network, _ in deciding} <= set(shipped["methods"])
    on_cifar10 = yaml.safe_load((ROOT / "config/tuning-search-cifar10.yaml").read_text())
    assert {head for _, head in deciding} <= set(on_cifar10["methods"])
    assert all(name.endswith("-validation") for name in shipped["datasets"])


def results(folder, maps, dataset="digits-validation", failed=(), tried=None):
    """Write what `collect` writes of an experiment with trials.

    maps: {variant: [mAP of 12 bits, of 24 bits]}.
    """
    plan = Plan.load(loaded(methods=["bgan", "bgan-n"], datasets=[dataset]))
    facts = {"format": records.FORMAT, "commit": "ab" * 20, "date": "2026-01-02T03:04:05+00:00"}
    facts |= {"bits": [12, 24], "seeds": [100], "trials": TRIALS, "tried": tried or {}}
    facts["methods"] = [collect._method(method) for method in plan.methods.values()]
    sizes = {"query": 299, "database": 1198}
    facts["datasets"] = {
        name: collect._dataset(variant) | {"sizes": sizes}
        for name, variant in plan.datasets.items()
    }
    folder.mkdir()
    (folder / "experiment.json").write_text(json.dumps(facts | {"grid": [[dataset, "pixels"]]}))
    key = ("dataset", "features", "variant", "bits", "seed")
    runs = [(dataset, "pixels", name, bits, 100) for name in maps for bits in (12, 24)]
    with open(folder / "runs.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*key, "status", "folder", "fit_seconds", "encode_seconds"])
        writer.writerows(
            [*run, "failed", f"runs/{run[2]}", "", ""]
            if run[2] in failed
            else [*run, "done", f"runs/{run[2]}", "2.0", "0.5"]
            for run in runs
        )
    with open(folder / "metrics.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*key, "metric", "k", "value"])
        writer.writerows(
            [*run, metric, cut, value]
            for run in runs
            if run[2] not in failed
            for value in [maps[run[2]][run[3] // 12 - 1]]
            for metric, cut, value in (
                ("map", "", value),
                ("neighbour_recall@k", "100", 1 - value),
                ("neighbour_recall@k", "1000", 0.5),
            )
        )
    describe(folder)
    return folder


def describe(folder):
    """Write the digests of the tables into experiment.json."""
    path = folder / "experiment.json"
    digests = {name: storage.digest(folder / name) for name in ("runs.csv", "metrics.csv")}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"sha256": digests}))


MAPS = {
    "bgan.trial1": (0.5, 0.7), "bgan.trial2": (0.4, 0.9), "bgan.trial3": (0.6, 0.6),
    "bgan-n.trial1": (0.3, 0.3), "bgan-n.trial2": (0.2, 0.2), "bgan-n.trial3": (0.3, 0.3),
}  # fmt: skip


def chosen(tmp_path, maps=MAPS, **params):
    choose(results(tmp_path / "results", maps, **params), tmp_path / "tuned")
    return json.loads((tmp_path / "tuned/digits.json").read_text())


def test_the_highest_mean_over_code_lengths_is_chosen_and_the_first_of_equals(tmp_path):
    found = chosen(tmp_path)["tried"]["digits"]["methods"]
    assert [found[name]["chosen"] for name in ("bgan", "bgan-n")] == [1, 0]
    assert [trial["value"] for trial in found["bgan"]["trials"]] == pytest.approx([0.6, 0.65, 0.6])


def test_the_choices_are_variants_of_that_data_set_alone(tmp_path):
    entries = chosen(tmp_path)["variants"]["methods"]
    assert set(entries) == {"bgan.tuned-digits", "bgan-n.tuned-digits", "bgan-n.as-bgan-digits"}
    config = loaded(trials={}, methods=list(entries))
    config["variants"]["methods"] |= entries
    methods = Plan.load(config).methods
    with_bgans = methods["bgan-n.as-bgan-digits"]
    assert (with_bgans.params["learning_rate"], with_bgans.params["weight_pixel"]) == (0.01, 0.0)
    assert [(method.base, method.tuned, method.tuned_on) for method in methods.values()] == [
        ("bgan", "own", "digits"), ("bgan-n", "own", "digits"), ("bgan-n", "bgan", "digits"),
    ]  # fmt: skip
    with pytest.raises(
        BenchmarkError,
        match=r"bgan\.tuned-digits may be used on digits only, not on digits-validation",
    ):
        Plan.load(config | {"datasets": ["digits-validation"]})


def test_a_row_that_chose_as_bgan_did_is_not_trained_twice(tmp_path):
    maps = MAPS | {"bgan-n.trial2": (0.9, 0.9)}
    assert set(chosen(tmp_path, maps)["variants"]["methods"]) == {
        "bgan.tuned-digits",
        "bgan-n.tuned-digits",
    }


def test_a_failed_trial_is_never_chosen(tmp_path):
    found = chosen(tmp_path, failed={"bgan.trial2"})["tried"]["digits"]["methods"]["bgan"]
    assert (found["chosen"], found["trials"][1]["value"]) == (0, None)


def before(tmp_path, content, dataset="digits"):
    """Write what was chosen before."""
    (tmp_path / "tuned").mkdir(exist_ok=True)
    path = tmp_path / f"tuned/{dataset}.json"
    path.write_text(json.dumps(content))
    return path


def test_choosing_again_replaces_this_data_set_only(tmp_path):
    other = before(
        tmp_path, {"tried": {"cifar10": {"methods": {}}}, "variants": {"methods": {}}}, "cifar10"
    )
    content = other.read_bytes()
    first = chosen(tmp_path)
    shutil.rmtree(tmp_path / "results")
    again = chosen(tmp_path, MAPS | {"bgan.trial1": (0.9, 0.9)})
    assert set(again["tried"]) == {"digits"}
    assert [found["tried"]["digits"]["methods"]["bgan"]["chosen"] for found in (first, again)] == [
        1,
        0,
    ]
    assert other.read_bytes() == content


OF_ITQ = {
    "of": "itq",
    "label": "ITQ",
    "commit": "cd" * 20,
    "trials": [{"set": {"iterations": 9}, "value": 0.4}],
    "settings_tried": 1,
    "chosen": 0,
}


def test_methods_that_were_not_tried_now_keep_what_was_chosen_before_on_the_same_terms(tmp_path):
    tried = {
        "features": "pixels",
        "bits": [12, 24],
        "seeds": [100],
        "metric": "map",
        "methods": {"itq": OF_ITQ, "bgan": OF_ITQ | {"of": "bgan"}},
    }
    entries = {
        name: {"datasets": ["digits"]}
        for name in ("itq.tuned-digits", "bgan.tuned-digits", "bgan-n.as-bgan-digits")
    }
    before(tmp_path, {"tried": {"digits": tried}, "variants": {"methods": entries}})
    found = chosen(tmp_path)
    assert found["tried"]["digits"]["methods"]["itq"] == OF_ITQ
    methods = found["tried"]["digits"]["methods"]
    assert {name: method["commit"][:2] for name, method in methods.items()} == {
        "itq": "cd", "bgan": "ab", "bgan-n": "ab",
    }  # fmt: skip
    assert found["variants"]["methods"]["itq.tuned-digits"]["set"] == {"iterations": 9}
    assert set(found["variants"]["methods"]) == {*entries, "bgan-n.tuned-digits"}


def test_parameters_chosen_on_other_terms_are_not_mixed(tmp_path):
    tried = {
        "features": "gist",
        "bits": [12, 24],
        "seeds": [100],
        "metric": "map",
        "methods": {"itq": OF_ITQ},
    }
    path = before(tmp_path, {"tried": {"digits": tried}, "variants": {"methods": {}}})
    content = path.read_text()
    message = (
        r"digits\.json has parameters of itq chosen with features gist, "
        r"found features pixels now: try all"
    )
    with pytest.raises(BenchmarkError, match=message):
        chosen(tmp_path)
    assert path.read_text() == content


def test_test_queries_choose_nothing(tmp_path):
    with pytest.raises(
        BenchmarkError,
        match="digits: parameters are chosen on digits-validation only, never on test queries",
    ):
        chosen(tmp_path, dataset="digits")


def test_an_experiment_of_another_format_chooses_nothing(tmp_path):
    folder = results(tmp_path / "results", MAPS)
    experiment = json.loads((folder / "experiment.json").read_text())
    (folder / "experiment.json").write_text(json.dumps(experiment | {"format": 1}))
    with pytest.raises(BenchmarkError, match=r"experiment\.json has format 1, expected 2"):
        choose(folder, tmp_path / "tuned")
    assert not (tmp_path / "tuned").exists()


def test_two_choices_for_one_data_set_are_refused(tmp_path):
    folder = results(tmp_path / "results", MAPS)
    experiment = json.loads((folder / "experiment.json").read_text())
    grid = [["digits-validation", "pixels"], ["digits-validation", "gist"]]
    (folder / "experiment.json").write_text(json.dumps(experiment | {"grid": grid}))
    with pytest.raises(
        BenchmarkError,
        match="digits-validation has the features pixels, gist: expected one, as its",
    ):
        choose(folder, tmp_path / "tuned")
    assert not (tmp_path / "tuned").exists()


def test_an_error_states_that_every_trial_failed(tmp_path):
    with pytest.raises(BenchmarkError, match="bgan: every trial failed"):
        chosen(tmp_path, failed={"bgan.trial1", "bgan.trial2", "bgan.trial3"})


@pytest.mark.parametrize("name", ["runs.csv", "metrics.csv"])
def test_a_table_that_was_changed_is_refused(tmp_path, name):
    folder = results(tmp_path / "results", MAPS)
    with open(folder / name, "a") as file:
        file.write("\n")
    with pytest.raises(BenchmarkError, match=f"{name} is not the table that .*experiment.json"):
        choose(folder, tmp_path / "tuned")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("runs.csv", b"", "has no column 'dataset'"),
        ("runs.csv", b"dataset,features\n", "has no column 'variant'"),
        ("runs.csv", b"caf\xe9\n", "is not a CSV file in UTF-8"),
        ("metrics.csv", b"dataset,features,variant,bits,seed,metric,k,value\na,b,c", "row 2"),
        ("metrics.csv", b"dataset,features,variant,bits,seed,metric,k,value\n", "has no map of"),
        ("experiment.json", b"{}", "has format 1"),
        ("experiment.json", b'{"format": 2}', "has no key 'trials'"),
        ("experiment.json", b"[", "is damaged"),
    ],
)
def test_a_damaged_file_is_one_line(tmp_path, name, content, message):
    folder = results(tmp_path / "results", MAPS)
    (folder / name).write_bytes(content)
    if name.endswith(".csv"):
        describe(folder)
    with pytest.raises(BenchmarkError, match=message) as failure:
        choose(folder, tmp_path / "tuned")
    assert name in str(failure.value)
    assert "\n" not in str(failure.value)


def test_partial_tables_are_read_if_trials_failed(tmp_path):
    whole = chosen(tmp_path, failed=("bgan.trial2",))
    (tmp_path / "results").rename(tmp_path / "partial")
    results(tmp_path / "results", dict.fromkeys(MAPS, (0.5, 0.5)))  # of an earlier command
    (tmp_path / "partial").rename(tmp_path / "results/partial")
    choose(tmp_path / "results", tmp_path / "again")
    assert json.loads((tmp_path / "again/digits.json").read_text()) == whole
    assert [trial["value"] for trial in whole["tried"]["digits"]["methods"]["bgan"]["trials"]] == [
        pytest.approx(0.6),
        None,
        pytest.approx(0.6),
    ]


@pytest.mark.parametrize("state", ["missing", "interrupted"])
def test_a_run_that_did_not_end_is_refused(tmp_path, state):
    folder = results(tmp_path / "results", MAPS, failed=("bgan.trial2",))
    text = (folder / "runs.csv").read_text()
    (folder / "runs.csv").write_text(text.replace("failed", state, 1))
    describe(folder)
    with pytest.raises(BenchmarkError, match=f"bgan.trial2 is {state}: rerun the command"):
        choose(folder, tmp_path / "tuned")


# Two stages, and choices without labels


def finalists(tmp_path, maps=MAPS, count=2, **keywords):
    folder = results(tmp_path / "first", maps, **keywords)
    choose_finalists(folder, tmp_path / "tuned", count)
    return json.loads((tmp_path / "tuned/digits-finalists.json").read_text())


def test_finalists_are_the_best_trials_of_each_row_and_load_as_a_configuration(tmp_path):
    found = finalists(tmp_path)
    rate, pixel = {"learning_rate": 0.01}, {"weight_pixel": 5.0}
    assert found["trials"]["bgan"] == [rate, {}]
    assert [len(settings) for settings in found["trials"].values()] == [2, 2]
    config = loaded(seeds=[101, 102], bits=[12, 32]) | found
    methods = Plan.load(config).methods
    assert list(methods) == ["bgan.trial1", "bgan.trial2", "bgan-n.trial1", "bgan-n.trial2"]
    assert methods["bgan.trial1"].params["learning_rate"] == 0.01
    assert methods["bgan-n.trial2"].params["weight_pixel"] == 0.0
    assert pixel not in found["trials"]["bgan"]


def test_trials_of_a_row_go_before_those_of_its_plugin():
    methods = Plan.load(loaded(trials=TRIALS | {"bgan-n": [{"epochs": 5}, {"epochs": 6}]})).methods
    assert methods["bgan-n.trial2"].params["epochs"] == 6
    assert "bgan-n.trial3" not in methods
    assert methods["bgan.trial3"].params["weight_pixel"] == 5.0


def test_the_second_stage_stores_the_first_and_counts_its_settings(tmp_path):
    first = finalists(tmp_path)
    second = chosen(tmp_path, tried=first["tried"])["tried"]["digits"]["methods"]["bgan"]
    assert len(second["first"]["trials"]) == second["settings_tried"] == 3
    assert second["first"]["bits"] == [12, 24]
    # 3 trials at 2 code lengths, 2.5 s each
    assert second["first"]["core_seconds"] == second["core_seconds"] == pytest.approx(15)


def test_settings_of_an_earlier_choice_count_and_repeating_a_choice_adds_none(tmp_path):
    chosen(tmp_path)
    path = tmp_path / "tuned/digits.json"
    config = json.loads(path.read_text())
    of_bgan = config["tried"]["digits"]["methods"]["bgan"]
    of_bgan["trials"].append({"set": {"batch": 80}, "value": 0.1})
    path.write_text(json.dumps(config))
    for _ in range(2):
        choose(tmp_path / "results", tmp_path / "tuned")
        found = json.loads(path.read_text())
        assert found["tried"]["digits"]["methods"]["bgan"]["settings_tried"] == 4
        assert found["variants"]["methods"]["bgan.tuned-digits"]["trials"] == 4
    assert found["variants"]["methods"]["bgan-n.as-bgan-digits"]["trials"] == 4


def test_labels_that_choose_are_counted(tmp_path):
    config = loaded(trials={}, methods=["bgan.tuned-digits"])
    entries = chosen(tmp_path)["variants"]["methods"]
    config["variants"]["methods"] |= entries
    uses = Plan.load(config).methods["bgan.tuned-digits"].uses
    assert (uses["settings"], uses["trials"], uses["labels_used"]) == ("tuned", 3, 299 + 1198)


def test_neighbours_choose_another_setting_without_labels(tmp_path):
    folder = results(tmp_path / "results", MAPS)  # where neighbour recall is 1 - mAP
    choose(folder, tmp_path / "tuned", by="neighbours")
    found = json.loads((tmp_path / "tuned/digits.json").read_text())
    tried = found["tried"]["digits"]
    assert (tried["metric"], tried["labels_used"]) == ("neighbour_recall@k", 0)
    values = [trial["value"] for trial in tried["methods"]["bgan"]["trials"]]
    assert values == pytest.approx([0.4, 0.35, 0.4])
    assert tried["methods"]["bgan"]["chosen"] == 0
    entry = found["variants"]["methods"]["bgan.tuned-digits"]
    assert "labels_used" in entry
    assert entry["labels_used"] == 0
    assert "without labels" in entry["note"]


def test_choices_by_two_metrics_are_not_mixed(tmp_path):
    tried = {"features": "pixels", "bits": [12, 24], "seeds": [100], "metric": "map"}
    content = {"tried": {"digits": tried | {"methods": {"itq": OF_ITQ}}}}
    before(tmp_path, content | {"variants": {"methods": {}}})
    folder = results(tmp_path / "results", MAPS)
    with pytest.raises(BenchmarkError, match="chosen with metric map, found metric neighbour_rec"):
        choose(folder, tmp_path / "tuned", by="neighbours")


def test_finalists_by_one_metric_are_not_chosen_by_another(tmp_path):
    folder = results(tmp_path / "results", MAPS, tried=finalists(tmp_path)["tried"])
    with pytest.raises(BenchmarkError, match="the finalists were chosen by map"):
        choose(folder, tmp_path / "tuned", by="neighbours")


@pytest.mark.parametrize(
    ("count", "failed", "message"),
    [
        (1, (), "--finalists: found 1, expected 2 or more"),
        (2, ("bgan.trial1", "bgan.trial2"), "bgan: 1 of 3 trials are done, expected 2 or more"),
    ],
)
def test_one_finalist_is_no_second_stage(tmp_path, count, failed, message):
    with pytest.raises(BenchmarkError, match=message):
        finalists(tmp_path, count=count, failed=failed)
    assert not (tmp_path / "tuned").exists()
