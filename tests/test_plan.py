"""The plan of an experiment: its runs, paths and jobs, and the errors of a configuration."""

import dataclasses
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from builders import Copy, loaded, rows_of
from hypothesis import given
from hypothesis import strategies as st
from snakemake.exceptions import WorkflowError
from snakemake.utils import validate

from harness import errors, plugins, records, storage
from harness.errors import BenchmarkError
from harness.plan import Job, Plan, Run, encode_job
from harness.plugins import ROOT
from harness.stale import State

names = st.from_regex(r"\A[a-z0-9][a-z0-9_.-]{0,12}\Z")


def entries(config, **stages):
    """The configuration with more variants: {stage: {name: entry}}."""
    variants = {
        stage: config["variants"].get(stage, {}) | stages.get(stage, {})
        for stage in ("datasets", "features", "methods")
    }
    return config | {"variants": variants}


def imported(path, **overrides):
    return {"of": "imported", "set": {"path": path, **overrides}}


class TestRuns:
    @given(
        *[
            st.tuples(names, names, names, st.integers(1, 1024), st.integers(0, 2**32 - 1))
            for _ in range(2)
        ]
    )
    def test_two_runs_share_no_folder(self, one, other):
        assert (Run(*one).folder == Run(*other).folder) == (one == other)

    def test_methods_without_randomness_run_once(self):
        runs = Plan.load(loaded()).runs
        assert sum(run.variant == "itq" for run in runs) == 5 * 3
        assert {run.seed for run in runs if run.variant == "pcah"} == {0}
        assert len(runs) == len(set(runs))

    def test_imported_codes_run_once_for_each_file_that_their_path_names(self):
        mine, once = imported("mine-{bits}-{seed}.npy"), imported("once-{bits}.npy")
        config = entries(
            loaded(methods=["mine", "once"], bits=[12, 24], seeds=[0, 1]),
            methods={"mine": mine, "once": once},
        )
        runs = [(run.variant, run.bits, run.seed) for run in Plan.load(config).runs]
        assert runs == [("mine", bits, seed) for bits in (12, 24) for seed in (0, 1)] + [
            ("once", 12, 0),
            ("once", 24, 0),
        ]

    def test_a_seed_in_either_path_of_imported_codes_counts(self):
        two = imported("q.npy", database_path="d-{seed}.npy")
        one = imported("{bits}.mat:Bq", database_path="{bits}.mat:Bd")
        config = entries(
            loaded(methods=["two", "one"], bits=[12], seeds=[0, 1]),
            methods={"two": two, "one": one},
        )
        assert [(run.variant, run.seed) for run in Plan.load(config).runs] == [
            ("two", 0),
            ("two", 1),
            ("one", 0),
        ]

    def test_the_first_seed_of_each_timed_code_length_is_timed(self):
        plan = Plan.load(loaded(methods=["itq", "pcah"], bits=[12, 24], seeds=[3, 1], timed=[24]))
        assert [(run.variant, run.bits, run.seed) for run in plan.timed_runs] == [
            ("itq", 24, 3),
            ("pcah", 24, 0),
        ]

    def test_a_method_may_have_code_lengths_of_its_own(self):
        some = {"name": "bgan-n", "bits": ["24", 64], "timed": [24, 48]}
        methods = ["itq", some, {"name": "lsh", "bits": [64]}]
        plan = Plan.load(loaded(methods=methods, bits=[12, 24], seeds=[0]))
        assert [(run.variant, run.bits) for run in plan.runs] == [
            ("itq", 12),
            ("itq", 24),
            ("bgan-n", 24),
        ]
        assert [(run.variant, run.bits) for run in plan.timed_runs] == [("bgan-n", 24)]
        assert (plan.timed, plan.omitted) == ((24,), ("lsh",))
        assert "lsh" not in {score.variant for score in plan.scores}

    def test_trials_run_at_the_code_lengths_of_their_method(self):
        trials = {"itq": [{"iterations": 5}, {"iterations": 9}]}
        methods = [{"name": "itq", "bits": [24]}]
        plan = Plan.load(loaded(methods=methods, trials=trials, seeds=[0]))
        assert [(run.variant, run.bits) for run in plan.runs] == [
            ("itq.trial1", 24),
            ("itq.trial2", 24),
        ]

    def test_numbers_given_on_the_command_line_are_numbers(self):
        plan = Plan.load(
            loaded(bits=["16", "32"], seeds=["0"], timed=[32], methods=["itq"], controls=[])
        )
        assert (plan.bits, plan.seeds, plan.timed) == ((16, 32), (0,), (32,))
        assert repr(Plan.load(loaded(bits=[12.0])).bits) == "(12,)", (
            "12.0 would be a folder of its own"
        )

    def test_values_that_are_no_numbers_reach_the_schema(self):
        received = []
        with pytest.raises(BenchmarkError, match="refused"):
            Plan.load(
                loaded(bits=["many", 12.5], seeds=3),
                (),
                lambda config: received.append(config) or refuse(),
            )
        assert (received[0]["bits"], received[0]["seeds"]) == (["many", 12.5], 3)


def refuse():
    raise BenchmarkError("refused")


class TestJobs:
    def test_collect_reads_every_kind_of_result(self):
        plan = Plan.load(loaded(methods=["itq"]))
        paths = [file.path.as_posix() for file in plan.inputs(Job("collect"))]
        assert len(paths) == len(set(paths))
        cached = [
            "cache/datasets/digits/dataset.json",
            "cache/features/digits/pixels/features.json",
        ]
        assert [path for path in paths if path.startswith("cache/")] == cached
        paths = [
            file.path.as_posix()
            for file in Plan.load(loaded(methods=["bgan"])).inputs(Job("collect"))
        ]
        assert "cache/features/digits/pixels/neighbours.json" in paths

    @pytest.mark.parametrize("timed", [[], [12]])
    def test_every_job_comes_after_those_whose_outputs_it_reads(self, timed):
        plan = Plan.load(loaded(timed=timed, features=["pixels", "pixels-l2"]))
        done, written = set(), set()
        for job in plan.jobs():
            for file in plan.inputs(job):
                assert file.producer in done, job
                assert file.path in plan.outputs(file.producer), job
            assert not written & set(plan.outputs(job)), job
            assert plan.record(job).suffix == ".json"
            done.add(job)
            written.update(plan.outputs(job))

    def test_a_run_reads_what_the_arguments_of_its_method_name(self):
        plan = Plan.load(loaded())
        read = {
            run.variant: [file.path.name for file in plan.inputs(encode_job(run))]
            for run in plan.runs
        }
        assert read["itq"] == ["split.npz", "dataset.json", "features.npy", "features.json"]
        neighbours = ["neighbours.npy", "neighbours.json"]
        assert read["bgan"] == [
            "split.npz",
            "dataset.json",
            "images.npy",
            "features.npy",
            "features.json",
            *neighbours,
        ]

    def test_labels_are_read_by_scores_only(self):
        plan = Plan.load(loaded(timed=[12]))
        readers = {
            job.rule
            for job in plan.jobs()
            for file in plan.inputs(job)
            if file.path.name == "labels.npy"
        }
        assert readers == {"score"}


class TestErrors:
    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            (
                {"methods": ["itk"]},
                r"methods: 'itk' is unknown \(did you mean 'itq'\?\): expected one of .*, "
                r"or a new file methods/itk.py",
            ),
            (
                {"datasets": ["digit"]},
                r"datasets: 'digit' is unknown \(did you mean 'digits'\?\): "
                r"expected one of cifar10, digits",
            ),
            (
                {"datasets": ["cifar10-deepbits"]},
                "protocol 'deepbits' is unknown: expected one of bgan",
            ),
            (
                {"features": ["file"]},
                r"features: file: path must be set, as in \{of: file, set: \{path: ...\}\}",
            ),
            (
                {"features": ["googlenet-pca256"]},
                "none of googlenet-pca256 may be used on data set digits: add features that may",
            ),
            (
                {"controls": ["exact"]},
                "controls: 'exact' is unknown.*: expected one of exact-cosine, exact-l2",
            ),
            (
                {"controls": ["exact-12"]},
                r"controls: 'exact-12' is unknown \(did you mean 'exact-l2'",
            ),
            ({"methods": ["exact-l2"]}, "'exact-l2' is a control: list it under controls"),
            ({"methods": ["itq", {"name": "itq"}]}, "methods: found 'itq' more than once"),
            (
                {"bits": [16, 32], "timed": [64]},
                r"^timed: 64 is not among bits: 16, 32\. Add it to bits, or remove it from timed$",
            ),
        ],
    )
    def test_unknown_names_and_values(self, changes, message):
        with pytest.raises(BenchmarkError, match=message):
            Plan.load(loaded(**changes))

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            (
                {"metods": ["itq"]},
                "unknown key 'metods' (did you mean 'methods'?): "
                "expected one of bits, controls, data",
            ),
            ({"methods": "itq"}, "methods: found 'itq', expected a list"),
            (
                {"methods": ["ITQ"]},
                "methods: item 1: found 'ITQ', expected a name of lower-case letters and digits, "
                "joined by single - _ or .",
            ),
            ({"methods": ["itq", "lsh", "itq"]}, "methods: found 'itq' more than once"),
            ({"methods": [{"bits": [12]}]}, "methods: item 1: 'name' is a required property"),
            ({"methods": [{"name": "itq", "bits": 12}]}, "methods: item 1: bits: found 12"),
            ({"methods": [{"name": "itq", "bit": [12]}]}, "methods: item 1: unknown key 'bit'"),
            ({"methods": ["a" * 101]}, "methods: item 1: found 'a"),
            ({"bits": []}, "bits: found [], expected at least 1 item"),
            ({"bits": [12, 2000]}, "bits: item 2: found 2000, expected 1024 or less"),
            ({"bits": [0]}, "bits: item 1: found 0, expected 1 or more"),
            ({"bits": [12.5]}, "bits: item 1: found 12.5, expected a whole number"),
            ({"data": ""}, "data: found '', expected a text that is not empty"),
            ({"trials": {"itq": [{}]}}, "trials: itq: found [{}], expected at least 2 items"),
            (
                {"variants": {"itq": {}}},
                "variants: unknown key 'itq': expected one of datasets, features, methods",
            ),
            (
                {"variants": {"methods": {"x": {"set": {}}}}},
                "variants: methods: x: 'of' is a required property",
            ),
            (
                {"variants": {"methods": {"x": {"of": "itq", "set": [3]}}}},
                "variants: methods: x: set: found [3], expected keys with values",
            ),
            (
                {"variants": {"methods": {"x": {"of": "itq", "tuned": True}}}},
                "variants: methods: x: tuned: found True, expected a text",
            ),
            (
                {"name": "a b"},
                "name: found 'a b', expected a name of letters, digits and _ . + -, "
                "the first one a letter or a digit",
            ),
        ],
    )
    def test_what_the_schema_refuses_is_explained(self, changes, message):
        with pytest.raises(WorkflowError) as refused:
            Plan.load(
                loaded() | changes,
                (),
                lambda config: validate(config, str(ROOT / "config/schema.yaml")),
            )
        assert errors.explain(refused.value).startswith(message)

    def test_labels_without_images_run_on_feature_files_only(self):
        features = {"given": {"of": "file", "set": {"path": "x.npy"}}}
        config = loaded(datasets=["labels"], features=["given"], methods=["itq"])
        config |= {
            "variants": {
                "datasets": {"labels": {"of": "nuswide", "set": {"images": False}}},
                "features": features,
            }
        }
        assert Plan.load(config).runs
        for change in ({"methods": ["bgan"]}, {"features": ["pixels"]}):
            with pytest.raises(
                BenchmarkError,
                match=r"reads images, and data set labels has none \(`images: false`\)",
            ):
                Plan.load(config | change)

    def test_a_method_restricted_to_other_data_sets(self):
        config = entries(
            loaded(methods=["mine"]), methods={"mine": {"of": "itq", "datasets": ["cifar10"]}}
        )
        with pytest.raises(
            BenchmarkError, match=r"^methods: mine may be used on cifar10 only, not on digits"
        ):
            Plan.load(config)

    @pytest.fixture
    def project(self, tmp_path, monkeypatch):
        """A copy of the plugins, whose files a test may change."""
        for stage in plugins.WORK:
            shutil.copytree(ROOT / stage, tmp_path / stage)
        monkeypatch.setattr(plugins, "ROOT", tmp_path)
        monkeypatch.chdir(tmp_path)  # away from results of the checkout
        records.source_digests.cache_clear()
        return tmp_path

    def test_a_sample_of_the_training_images_has_no_neighbour_lists(self, project):
        path = project / "methods/itq.py"
        path.write_text(
            path.read_text().replace("def fit(self, features", "def fit(self, features, neighbours")
        )
        with pytest.raises(
            BenchmarkError, match=r"methods/itq.py declares `sample` and consumes neighbours"
        ):
            Plan.load(loaded(methods=["itq"]))

    def test_an_argument_that_nothing_provides(self, project):
        path = project / "methods/itq.py"
        path.write_text(path.read_text().replace("def fit(self, features", "def fit(self, labels"))
        with pytest.raises(
            BenchmarkError,
            match=r"methods/itq.py asks for 'labels': a method may consume images, features",
        ):
            Plan.load(loaded(methods=["itq"]))

    def test_a_shared_module_that_cannot_be_read_is_named_before_any_work(self, project):
        """Snakemake would report an input function that raises as a missing rule."""
        (project / "methods/_pca.py").write_text("def\n")
        State(Plan.load(loaded(methods=["lsh"]))).check()
        with pytest.raises(BenchmarkError, match=r"^methods/_pca.py, line 1: "):
            State(Plan.load(loaded(methods=["itq"]))).check()


class TestEncoder:
    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("itq", ("squeezenet1_1_pool", "weights/squeezenet1_1.pth")),
            ("bgan-features", ("squeezenet1_1_pool", "weights/squeezenet1_1.pth")),
            ("bgan-squeezenet1_1", ("squeezenet1_1", "weights/squeezenet1_1.pth")),
            ("bgan.vgg19", ("vgg19", "weights/vgg19-dcbb9e9d.pth")),
            ("official", ("vgg19", "weights/vgg19-dcbb9e9d.pth")),
            ("deepbit_rotation", ("vgg16", "weights/vgg16-397923af.pth")),
            ("bgan", ("conv", "")),
            ("mine", ("", "")),
        ],
    )
    def test_it_is_that_of_the_method_or_of_its_features(self, name, expected):
        more = {
            "mine": imported("codes.npy"),
            "official": {"of": "bgan", "set": {"encoder": "vgg19"}},
        }
        config = entries(loaded(features=["squeezenet1_1-128px"], methods=[name]), methods=more)
        assert Plan.load(config).encoder_and_weights("squeezenet1_1-128px", name) == expected

    def test_it_is_the_file_of_features_from_a_file(self):
        plan = Plan.load(
            loaded(datasets=["cifar10"], features=["googlenet-pca256"], methods=["itq"])
        )
        expected = ("file", "features/cifar10-googlenet-pca256.npy")
        assert plan.encoder_and_weights("googlenet-pca256", "itq") == expected


def own_outputs(plan):
    jobs = [job for job in plan.jobs() if job.rule in ("score", "collect", "report")]
    return {path for job in jobs for path in plan.outputs(job)}


class TestExperiments:
    @pytest.mark.parametrize(
        ("configfiles", "keys", "name"),
        [
            ([], {}, ""),
            (["config/config.yaml"], {}, ""),
            (["config/paper.yaml"], {}, "paper"),
            (["config/paper.yaml", "elsewhere/my_own-2.yaml"], {}, "paper+my_own-2"),
            (["config/config.yaml", "config/paper.yaml"], {}, "paper"),
            (["config/a b.yaml"], {"name": "ab"}, "ab"),
            ([], {"name": "mine"}, "mine"),
        ],
    )
    def test_the_name_is_that_of_the_configuration_files(self, configfiles, keys, name):
        plan = Plan.load(loaded() | keys, configfiles)
        assert plan.name == name
        root = Path("results/experiments", name) if name else Path("results")
        assert plan.root == root
        assert plan.partial_root == root / "partial"
        assert plan.collected[0] == root / "metrics.csv"
        assert {score.folder.relative_to(root).parts[0] for score in plan.scores} == {"scores"}
        assert {run.folder.parts[:2] for run in plan.runs} == {("results", "runs")}

    def test_a_name_that_is_too_long_for_a_folder(self):
        with pytest.raises(BenchmarkError, match=r"of 300 characters .* at most 100"):
            Plan.load(loaded(), ["a" * 300 + ".yaml"])
        plan = Plan.load(loaded(), ["a" * 100 + ".yaml"])
        assert plan.name == "a" * 100

    @pytest.mark.parametrize(
        "file", ["a b.yaml", "-a.yaml", "a'b.yaml", "$(a).yaml", "a\n.yaml", "ä.yaml", "..yaml"]
    )
    def test_a_file_name_that_cannot_name_an_experiment(self, file):
        with pytest.raises(
            BenchmarkError,
            match=r"^the experiment would be named .*[.] Rename the file, or set the key `name`$",
        ):
            Plan.load(loaded(), [file])

    @pytest.mark.parametrize(
        ("key", "file"), [("index.html", "mine.yaml"), (None, "index.html.yaml")]
    )
    def test_no_experiment_has_the_name_of_the_list_of_all(self, key, file):
        with pytest.raises(
            BenchmarkError,
            match=r"^the experiment would be named 'index.html', .*: "
            r"set the key `name` to another name$",
        ):
            Plan.load(loaded() | {"name": key}, [file])

    def test_two_experiments_share_runs_and_no_output(self):
        one, other = (
            Plan.load(loaded(bits=bits), [f"{name}.yaml"])
            for name, bits in (("one", [12, 24]), ("other", [12]))
        )
        assert not own_outputs(one) & own_outputs(other)
        assert set(other.runs) < set(one.runs)

    def test_the_digest_is_that_of_what_runs_and_is_shown(self):
        plan = Plan.load(loaded())
        same = Plan.load(loaded(data="elsewhere"))
        assert plan.digest == same.digest
        changes = [
            {"bits": [12]},
            {"seeds": [0]},
            {"controls": []},
            {"timed": [12]},
            {"methods": ["itq"]},
            {"datasets": ["cifar10"]},
        ]
        assert len(
            {plan.digest, *(Plan.load(loaded(**change)).digest for change in changes)}
        ) == 1 + len(changes)
        labelled = entries(loaded(), methods={"itq": {"of": "itq", "label": "Mine"}})
        assert Plan.load(labelled).digest != plan.digest


class TestTuned:
    @pytest.fixture
    def tuned(self, tmp_path, monkeypatch):
        """A function that writes the chosen parameters of a data set to a project of its own."""
        for stage in plugins.WORK:
            (tmp_path / stage).symlink_to(ROOT / stage)
        monkeypatch.setattr(plugins, "ROOT", tmp_path)
        (tmp_path / "config/tuned").mkdir(parents=True)

        def write(dataset, iterations):
            entry = {
                "of": "itq",
                "set": {"iterations": iterations},
                "base": "itq",
                "tuned": "own",
                "tuned_on": dataset,
            }
            chosen = {
                "variants": {"methods": {"itq.tuned": entry | {"label": dataset}}},
                "tried": {dataset: {"metric": "map", "itq": iterations}},
            }
            (tmp_path / f"config/tuned/{dataset}.json").write_text(json.dumps(chosen))

        return write

    def test_files_of_other_data_sets_are_not_read(self, tuned):
        tuned("digits", 3)
        (plugins.ROOT / "config/tuned/cifar10.json").write_text("{")
        plan = Plan.load(loaded(methods=["itq.tuned"]))
        assert plan.methods["itq.tuned"].params == {"iterations": 3}
        assert plan.tried == {"digits": {"metric": "map", "itq": 3}}
        with pytest.raises(BenchmarkError, match=r"cifar10\.json"):
            Plan.load(loaded(datasets=["digits", "cifar10"]))

    def test_a_validation_part_has_the_file_of_its_data_set(self, tuned):
        tuned("digits", 3)
        plan = Plan.load(loaded(datasets=["digits-validation"], methods=["itq.tuned"]))
        assert plan.methods["itq.tuned"].tuned_on == "digits"

    def test_the_configuration_overrides_what_was_chosen(self, tuned):
        tuned("digits", 3)
        mine = {"of": "itq", "set": {"iterations": 4}}
        plan = Plan.load(entries(loaded(methods=["itq.tuned"]), methods={"itq.tuned": mine}))
        assert plan.methods["itq.tuned"].params == {"iterations": 4}

    def test_without_a_file_nothing_is_tuned(self, tuned):
        with pytest.raises(BenchmarkError, match=r"methods: 'itq.tuned' is unknown"):
            Plan.load(loaded(methods=["itq.tuned"]))


REFUSED = (
    "experiments: --plan plan.json is not a plan, or was changed: "
    "use a file of cache/plans, which snakemake writes"
)


class TestSaving:
    def test_a_saved_plan_is_read_as_it_was(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        trials = {"itq": [{}, {"iterations": 3}]}
        plan = Plan.load(loaded(methods=["itq"], trials=trials, timed=[12]), ["config/mine.yaml"])
        path = plan.save()
        assert path.parent == Path("cache/plans")
        assert Plan.read(path) == plan
        assert Plan.read(path).digest == plan.digest
        assert plan.save() == path
        assert Plan.load(loaded()).save() != path

    def test_a_plan_is_immutable(self):
        plan = Plan.load(loaded())
        for name in ("bits", "methods", "name"):
            with pytest.raises(dataclasses.FrozenInstanceError):
                setattr(plan, name, ())
        with pytest.raises(TypeError):
            plan.methods["mine"] = plan.methods["itq"]
        for value in (plan.runs[0], plan.places[0], plan.scores[0], plan.methods["itq"]):
            with pytest.raises(dataclasses.FrozenInstanceError):
                value.dataset = "other"

    def test_a_plan_does_not_follow_its_configuration(self):
        config = loaded()
        plan = Plan.load(config)
        config["bits"].append(64)
        config["variants"]["methods"]["itq"] = {"of": "lsh"}
        assert plan.bits == (12, 16, 24, 32, 48)
        assert plan.config == loaded()

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            (None, r"experiments: .*plan.json is missing"),
            ("", "experiments: .*plan.json"),
            ("{", "experiments: .*plan.json"),
            ("[]", "experiments: .*plan.json"),
            ("{}", REFUSED),
            ('{"config": 3, "configfiles": []}', REFUSED),
            ('{"config": {"datasets": 3}, "configfiles": [3]}', REFUSED),
        ],
    )
    def test_a_wrong_file_is_one_line(self, tmp_path, text, message):
        if text is not None:
            (tmp_path / "plan.json").write_text(text)
        command = [sys.executable, "-m", "experiments", "collect", "--plan", "plan.json"]
        done = subprocess.run(
            command,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            env={"PYTHONPATH": str(ROOT), "PATH": ""},
        )
        assert done.returncode == 1
        assert len(done.stderr.splitlines()) == 1, done.stderr
        assert re.match(message, done.stderr), done.stderr


def test_a_plan_larger_than_one_argument_of_a_command(finished, tmp_path):
    """600 variants with labels and notes, and chosen parameters for seven data sets."""
    copy = Copy(tmp_path / "bgan-bench", finished)
    datasets = ["digits", *(f"digits{number}" for number in range(6))]
    for dataset in datasets:
        tuned = {
            f"itq.tuned-{dataset}": {
                "of": "itq",
                "set": {"iterations": 9},
                "base": "itq",
                "tuned": "own",
                "tuned_on": dataset,
            }
        }
        trials = [{"iterations": number} for number in range(200)]
        chosen = {
            "variants": {"methods": tuned},
            "tried": {dataset: {"metric": "map", "itq": trials}},
        }
        storage.write_json(copy.folder / f"config/tuned/{dataset}.json", chosen)
    variants = {
        f"mine-{number}": {"of": "pcah", "label": f"Mine {number}", "note": "A note. " * 30}
        for number in range(600)
    }
    more = {name: {"of": "digits", "label": name} for name in datasets[1:]}
    config = {"datasets": datasets, "methods": ["pcah"], "controls": [], "bits": [8], "seeds": [0]}
    config |= {"variants": {"methods": variants, "datasets": more}}
    copy.write("many.yaml", yaml.safe_dump(config))
    copy.run("--dry-run", "--quiet", config="many.yaml")
    copy.run("collect", "--config", "datasets=[digits]", config="many.yaml")
    sizes = [
        path.stat().st_size
        for path in copy.folder.glob("cache/plans/*.json")
        if "mine-599" in path.read_text()
    ]
    assert len(sizes) == 2
    assert min(sizes) > 2**17
    assert {
        row["variant"] for row in rows_of(copy.folder / "results/experiments/many/metrics.csv")
    } == {"pcah"}
