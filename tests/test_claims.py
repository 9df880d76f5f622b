"""Verdicts on the paper's claims, and the summary, for experiments whose outcome is known."""

import csv
import json

import pytest
import yaml
from builders import DIGITS, SEEDS, Page, built, describe, described, tuned, write_results

from experiments import collect
from harness import plugins, records, schemas, storage
from harness.errors import BenchmarkError
from harness.plugins import ROOT
from harness.variants import Catalogue
from report import __main__ as command
from report import results, summary
from report.tables import claims, table_specs

BGAN = {"bgan": 0.5, "bgan-nc": 0.4, "bgan-n": 0.3, "bgan-ca": 0.2}
NAMES = {
    "bgan": "BGAN",
    "bgan-nc": "N + C",
    "bgan-n": "N",
    "bgan-ca": "C + A",
    "itq": "ITQ",
    "lsh": "LSH",
}
RELATIONS = {
    **{f"{name}.tuned-digits": tuned(name) for name in (*BGAN, "itq")},
    **{f"{name}.as-bgan-digits": tuned(name, whose="bgan") for name in BGAN},
    **{f"{name}.vgg19": {"base": name, "keywords": {"encoder": "vgg19"}} for name in BGAN},
}  # of rows by their names here; the report reads the relations alone
MISSING = [
    f"bgan-{part} or bgan-features-{part}-unit" for part in ("nc", "n", "ca")
]  # where no row of RQ1 was run
ALL_LOWER = {("bgan", name): "yes" for name in BGAN if name != "bgan"}


def experiment(folder, levels=BGAN, significant=ALL_LOWER, **options):
    methods = [
        (name, NAMES.get(name.partition(".")[0], name) + name.partition(".")[2], level, True)
        for name, level in levels.items()
    ]
    means = options.pop("map_of", lambda name, bits, seed: levels[name])
    rows = RELATIONS | options.pop("rows", {})
    return results.read(
        write_results(
            folder, methods=methods, map_of=means, significant=significant, rows=rows, **options
        )
    )


def verdict(collected, name="rq1"):
    index = [claim.name for claim in table_specs.read_claims()].index(name)
    ((_, verdicts),) = claims.verdicts(collected)
    return verdicts[index]


@pytest.mark.parametrize(
    ("levels", "significant", "words", "kind"),
    [
        (BGAN, ALL_LOWER, "holds", "holds"),
        (
            BGAN,
            ALL_LOWER | {("bgan", "bgan-nc"): "no"},
            "holds in part (4 of 6 comparisons in favour, 0 against)",
            "partly",
        ),
        (BGAN, {}, "finds no support (0 of 6 comparisons in favour, 0 against)", "fails"),
        (
            BGAN | {"bgan-nc": 0.6},
            ALL_LOWER | {("bgan-nc", "bgan"): "yes"},
            "holds in some comparisons only (4 of 6 comparisons in favour, 2 against)",
            "partly",
        ),
        (
            dict.fromkeys(BGAN, 0.6) | {"bgan": 0.1},
            {(name, "bgan"): "yes" for name in BGAN},
            "does not hold (0 of 6 comparisons in favour, 6 against)",
            "fails",
        ),
        (BGAN, dict.fromkeys(ALL_LOWER, "too few seeds"), "undecided", "open"),
        (
            BGAN,
            {("bgan", "bgan-nc"): "too few seeds"},
            "undecided",
            "open",
        ),  # and four not distinguishable
    ],
)
def test_a_verdict_counts_what_is_significant_either_way(
    tmp_path, levels, significant, words, kind
):
    shown = verdict(experiment(tmp_path, levels, significant))
    assert (shown.words, shown.kind) == (words, kind)
    assert shown.decided_on == "BGAN"


def test_rq3_is_against_every_method_that_sees_the_same_images():
    """Controls are no methods, and methods of two views see augmented images too."""
    (claim,) = [claim for claim in table_specs.read_claims() if claim.name == "rq3"]
    others = {"bgan", "chance", "kmeans_cells", "imported", "cibhash", "crovca", "sdc_contrastive"}
    files = {path.stem for path in (ROOT / "methods").glob("*.py")}
    methods = {name for name in files if not name.startswith("_")}
    assert others < methods
    assert methods - others <= {name for names in claim.against for name in names}


def test_a_claim_states_which_of_its_rows_were_not_run(tmp_path):
    collected = experiment(
        tmp_path,
        {"bgan": 0.5, "itq": 0.4, "lsh": 0.3},
        {("bgan", "itq"): "yes", ("bgan", "lsh"): "yes"},
    )
    assert verdict(collected).words == "undecided"
    assert verdict(collected).missing == MISSING
    compared = verdict(collected, "rq3")
    assert (compared.words, compared.kind) == ("holds (for the rows that were compared)", "holds")
    (claim,) = [claim for claim in table_specs.read_claims() if claim.name == "rq3"]
    listed = [name for names in claim.against for name in names]
    assert compared.missing == [name for name in listed if name not in ("itq", "lsh")]
    assert compared.sentences == [
        "BGAN against LSH and ITQ, default settings: at 16 and 32 bits better."
    ]


def test_rows_are_compared_at_the_code_lengths_of_both(tmp_path):
    at_16_only = {("bgan-nc", 32, seed): "unplanned" for seed in range(3)}
    shown = verdict(experiment(tmp_path / "one", broken=at_16_only))
    assert shown.words == "holds"
    assert {len(comparison.outcomes["better"]) for comparison in shown.comparisons} == {1, 2}

    apart = at_16_only | {("bgan", 16, seed): "unplanned" for seed in range(3)}
    shown = verdict(experiment(tmp_path / "apart", broken=apart))
    assert shown.missing == ["bgan-nc with the same kind of settings and code length"]


def test_an_incomplete_or_failed_cell_keeps_a_claim_from_holding(tmp_path):
    collected = experiment(tmp_path, broken={("bgan-nc", 32, 1): "failed"})
    shown = verdict(collected)
    assert shown.words == "holds in part (5 of 6 comparisons in favour, 0 against)"
    assert (
        "BGAN against N + C, default settings: at 16 bits better; at 32 bits not complete."
        in shown.sentences
    )


def test_tuned_rows_are_preferred_and_never_mixed_with_default_ones(tmp_path):
    """Tuned rows are compared first, then rows tuned for the first method, then default rows.

    A row that only one side has is not compared.
    """
    levels = BGAN | {
        "bgan.tuned-digits": 0.7,
        "bgan-nc.tuned-digits": 0.8,
        "bgan-n.as-bgan-digits": 0.1,
    }
    significant = ALL_LOWER | {
        ("bgan-nc.tuned-digits", "bgan.tuned-digits"): "yes",
        ("bgan.tuned-digits", "bgan-n.as-bgan-digits"): "yes",
    }
    shown = verdict(experiment(tmp_path, levels, significant))
    assert [
        (comparison.row, comparison.other, comparison.tuning) for comparison in shown.comparisons
    ] == [
        ("BGANtuned-digits", "N + Ctuned-digits", "tuned"),
        ("BGANtuned-digits", "Nas-bgan-digits", "with the settings tuned for the first"),
        ("BGAN", "C + A", "default settings"),
    ]
    assert [list(comparison.outcomes) for comparison in shown.comparisons] == [
        ["worse"],
        ["better"],
        ["better"],
    ]
    assert (
        shown.sentences[0] == "BGANtuned-digits against N + Ctuned-digits: at 16 and 32 bits worse."
    )  # "(tuned)" is in real labels
    assert shown.sentences[1].startswith(
        "BGANtuned-digits against Nas-bgan-digits, with the settings tuned for the first: at 16"
    )
    on_vgg = {"bgan": 0.5, "bgan-nc": 0.4, "bgan.vgg19": 0.3, "bgan-nc.vgg19": 0.6}
    (compared,) = verdict(
        experiment(tmp_path, on_vgg, {("bgan-nc.vgg19", "bgan.vgg19"): "yes"})
    ).comparisons
    assert (compared.row, compared.other, list(compared.outcomes)) == (
        "BGANvgg19",
        "N + Cvgg19",
        ["worse"],
    )
    alone = verdict(experiment(tmp_path, {"bgan.tuned-digits": 0.7, "bgan-nc": 0.1}, {}))
    assert alone.words == "undecided"
    assert alone.missing == [
        "bgan-n or bgan-features-n-unit",
        "bgan-ca or bgan-features-ca-unit",
        "bgan-nc with the same kind of settings and code length",
    ]
    neither = verdict(experiment(tmp_path, {"bgan-features": 0.5, "lsh": 0.4}, {})).missing
    assert neither == ["bgan or bgan-features-unit"]


def test_the_parts_of_bgan_are_compared_on_one_encoder(tmp_path):
    """A head is compared with heads, also where the network from scratch was run beside it."""

    def of_bgan(encoder):
        return {"method": "bgan", "keywords": {"encoder": encoder}}

    heads = ["bgan-features-unit", "bgan-features-n-unit", "bgan-features-nc-unit"]
    rows = dict.fromkeys(heads, of_bgan("features"))
    rows |= dict.fromkeys(["bgan", "bgan-n"], of_bgan("conv"))
    levels = dict.fromkeys(heads, 0.5) | {"bgan-n": 0.4}
    shown = verdict(experiment(tmp_path / "heads", levels, {}, rows=rows))
    compared = [(comparison.row, comparison.other) for comparison in shown.comparisons]
    assert compared == [
        ("bgan-features-unit", "bgan-features-nc-unit"),
        ("bgan-features-unit", "bgan-features-n-unit"),
    ]
    both = verdict(experiment(tmp_path / "both", levels | {"bgan": 0.6}, {}, rows=rows))
    compared = [(comparison.row, comparison.other) for comparison in both.comparisons]
    assert compared == [("bgan-features-unit", "bgan-features-nc-unit"), ("BGAN", "N")]


def test_a_row_that_a_claim_names_is_compared_whatever_its_encoder_is(tmp_path):
    """The paper's grid: BGAN trains VGG-19, and the other methods have no encoder of their own."""
    collected = experiment(
        tmp_path, {"bgan.vgg19": 0.5, "itq": 0.4}, {("bgan.vgg19", "itq"): "yes"}
    )
    (compared,) = verdict(collected, "rq3").comparisons
    assert (compared.row, compared.other, compared.tuning) == (
        "BGANvgg19",
        "ITQ",
        "default settings",
    )
    assert list(compared.outcomes) == ["better"]


def test_relations_are_read_from_fields_and_never_from_names(tmp_path):
    levels = {"bgan": 0.5, "bgan-nc": 0.4, "mine": 0.7, "bgan.other": 0.9, "yours": 0.6}
    rows = {"mine": tuned("bgan"), "yours": tuned("bgan-nc")}
    (compared,) = verdict(
        experiment(tmp_path, levels, {("mine", "yours"): "yes"}, rows=rows)
    ).comparisons
    assert (compared.row, compared.other, compared.tuning) == ("mine", "yours", "tuned")
    elsewhere = {
        "mine": tuned("bgan", "cifar10"),
        "yours": tuned("bgan-nc", "cifar10"),
    }  # chosen on another data set
    (compared,) = verdict(experiment(tmp_path, levels, {}, rows=elsewhere)).comparisons
    assert (compared.row, compared.other, compared.tuning) == (
        "BGAN",
        "N + C",
        "default settings",
    )
    (compared,) = verdict(
        experiment(tmp_path, levels, {}, rows={"mine": {"base": "bgan"}})
    ).comparisons
    assert compared.row == "BGAN", "not a row that only stands in its tables"


def test_claims_of_rows_that_were_not_run_are_one_sentence(tmp_path):
    collected = experiment(tmp_path, {"itq": 0.5, "lsh": 0.4}, {})
    assert claims.verdicts(collected) == []
    assert summary.sentences(collected)[-1] == claims.NONE_RUN
    assert not any("undecided" in sentence for sentence in summary.sentences(collected))


def test_near_collapsed_rows_are_named_in_the_claims_that_rest_on_them(tmp_path):
    collected = experiment(tmp_path, distinct={("bgan-ca", 16, seed): 2 for seed in SEEDS})
    assert verdict(collected).collapsed == ["C + A at 16 bits (near-collapse in 3 of 3 seeds)"]
    assert not verdict(collected, "rq2").collapsed
    assert any(
        "Near-collapsed: C + A at 16 bits" in sentence for sentence in summary.sentences(collected)
    )


def timed(folder, microseconds, extracted="1.5"):
    """timing.csv of made-up times from features to code: {(variant, bits): microseconds}."""
    describe(folder, described(folder) | {"timed": sorted({bits for _, bits in microseconds})})
    with (folder / "timing.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, schemas.TIMING_CSV)
        writer.writeheader()
        for (variant, bits), value in microseconds.items():
            row = dict.fromkeys(schemas.TIMING_CSV, "1") | {
                "dataset": "digits",
                "features": "pixels",
            }
            row |= {"extract_microseconds": extracted, "device": "cpu", "processor": "A processor"}
            writer.writerow(row | {"variant": variant, "bits": bits, "encode_microseconds": value})
    records.write(
        folder / "timing.json", {}, sha256={"timing.csv": storage.digest(folder / "timing.csv")}
    )
    return results.read(folder)


def test_the_question_of_efficiency_has_a_table_and_no_verdict(tmp_path):
    folder = tmp_path / "results"
    shown = verdict(experiment(folder, {"bgan": 0.5, "itq": 0.4}, {}), "rq4")
    assert (shown.words, shown.kind, shown.table) == ("", "open", "efficiency")
    command.write(folder, folder / "report")
    assert "#table-efficiency" not in Page(folder / "report/index.html").links
    assert "Times are not measured" in " ".join(Page(folder / "report/index.html").text)
    timed(folder, {("bgan", 16): 4.5, ("itq", 16): 7.5})
    command.write(folder, folder / "report")
    assert "#table-efficiency" in Page(folder / "report/index.html").links


def test_the_released_code_is_shown_and_decides_nothing(tmp_path):
    """BGAN (tuned) is better than all, and the released code worse than all."""
    levels = {f"{name}.tuned-digits": level for name, level in BGAN.items()}
    levels |= {"bgan-released": 0.1}
    significant = {("bgan.tuned-digits", name): "yes" for name in levels}
    significant |= {(name, "bgan-released"): "yes" for name in levels}
    collected = experiment(tmp_path, levels, significant)
    shown = verdict(collected)
    assert (shown.words, shown.decided_on) == ("holds", "BGANtuned-digits")
    assert [list(compared.outcomes) for compared in shown.released] == [["worse"]] * 3
    text = next(sentence for sentence in summary.sentences(collected) if "RQ1" in sentence)
    assert "For comparison: bgan-released against" in text


def test_a_method_with_nothing_to_tune_is_compared_with_tuned_rows(tmp_path):
    levels = {"bgan.tuned-digits": 0.7, "itq.tuned-digits": 0.6}
    levels |= {"lsh": 0.1, "isoh": 0.3, "pcah": 0.2}
    significant = {("bgan.tuned-digits", name): "yes" for name in levels}
    rows = {"lsh": {"keywords": {}}, "isoh": {"tunable": False}, "pcah": {"tunable": True}}
    shown = verdict(experiment(tmp_path, levels, significant, rows=rows), "rq3")
    assert shown.words == "holds (for the rows that were compared)"
    assert [comparison.other for comparison in shown.comparisons] == [
        "LSH",
        "isoh",
        "ITQtuned-digits",
    ]  # PCAH, here with settings to choose, has none chosen
    assert "pcah with the same kind of settings and code length" in shown.missing


def test_collected_methods_state_whether_they_have_something_to_tune():
    resolved = Catalogue({}).resolve
    facts = {name: collect._method(resolved("methods", name)) for name in ("lsh", "isoh", "itq")}
    assert {name: method["tunable"] for name, method in facts.items()} == {
        "lsh": False,
        "isoh": False,
        "itq": True,
    }


def test_every_row_of_a_rule_is_a_method_or_a_variant():
    variants = yaml.safe_load((ROOT / "config/variants.yaml").read_text(encoding="utf-8"))
    known = {*plugins.names("methods"), *variants["variants"]["methods"]}
    for claim in table_specs.read_claims():
        assert not claim.row or claim.row[0] in known
        assert {name for names in claim.against for name in names} <= known
        assert set(claim.released) <= known


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"table": "efficiency"}, "expected either table, or row and against"),
        ({"row": None}, "expected either table, or row and against"),
        ({"against": []}, "expected either table, or row and against"),
        ({"colour": "red"}, "unknown key 'colour'"),
        ({"question": None}, "question is missing"),
    ],
)
def test_an_invalid_rule_is_one_clear_error(tmp_path, changes, message):
    rule = {"name": "x", "question": "q", "claim": "c", "row": ["bgan"], "against": ["itq"]}
    rule = {key: value for key, value in (rule | changes).items() if value is not None}
    text = json.dumps({"tables": [], "claims": [rule]})
    (tmp_path / "tables.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(BenchmarkError, match=message):
        table_specs.read_claims(tmp_path / "tables.yaml")


# The summary


def test_code_lengths_with_one_winner_share_a_sentence(tmp_path):
    levels = {"bgan": 0.7, "itq": 0.5, "lsh": 0.4}

    def summary_of(name, significant, means=None):
        return summary.winners(
            experiment(
                tmp_path / name,
                levels,
                significant,
                map_of=means or (lambda name, bits, seed: levels[name]),
            )
        )

    both = {("bgan", "itq"): "yes", ("bgan", "lsh"): "yes"}
    first, second = summary_of("clear", both)
    assert (
        first == "Digits, Pixels: BGAN has the highest mAP at 16 and 32 bits (0.700), "
        "significantly higher than every other method at each."
    )
    assert second.startswith(
        "Digits, Pixels: ranking by the features themselves has 0.620 "
        "(Exact cosine; the best method is above it at 2 of 2 code lengths)"
    )
    undecided = summary_of("open", {("bgan", "lsh"): "yes"})[0]
    assert undecided.endswith("; not significantly higher than ITQ.")
    many = {"bgan": 0.7} | {f"m{index}": 0.1 for index in range(5)}
    assert summary.winners(experiment(tmp_path / "many", many, {}))[0].endswith(
        "; not significantly higher than 5 other methods."
    )
    untested = dict.fromkeys(both, "too few seeds")
    assert summary_of("untested", untested)[0].endswith(
        "; the differences from ITQ and LSH are not tested (too few seeds)."
    )
    changing = summary_of(
        "changing",
        both,
        lambda name, bits, seed: 0.9 if (name, bits) == ("lsh", 32) else levels[name],
    )
    assert changing[0].startswith(
        "Digits, Pixels: BGAN has the highest mAP at 16 bits (0.700), significantly higher"
    )
    assert changing[1].startswith("Digits, Pixels: LSH has the highest mAP at 32 bits (0.900)")
    tied = summary_of("tied", {}, lambda name, bits, seed: 0.5)
    assert tied[0].startswith(
        "Digits, Pixels: BGAN, ITQ and LSH have the highest mAP at 16 and 32 bits"
    )


def test_a_winner_is_of_the_complete_methods_and_the_others_are_named(tmp_path):
    levels, broken = (
        {"bgan": 0.7, "itq": 0.5, "lsh": 0.4},
        {("bgan", 16, 0): "failed", ("lsh", 32, 1): "missing"},
    )
    collected = experiment(
        tmp_path, levels, {("itq", "lsh"): "yes", ("bgan", "itq"): "yes"}, broken=broken
    )
    higher = "significantly higher than every other method whose seeds are all done; not complete:"
    assert summary.winners(collected)[:2] == [
        f"Digits, Pixels: ITQ has the highest mAP at 16 bits (0.500), {higher} BGAN.",
        f"Digits, Pixels: BGAN has the highest mAP at 32 bits (0.700), {higher} LSH.",
    ]
    assert (
        "every other method of its column whose seeds are all done, by a t-test on average "
        "precision" in built(tmp_path)["map"].explanation
    )


def test_rankings_by_the_features_are_of_the_data_set_that_is_named(tmp_path):
    collected = results.read(
        write_results(tmp_path, grid=(DIGITS, results.Pair("cifar10", "gist")))
    )
    rankings = [text for text in summary.winners(collected) if "anking by the features" in text]
    assert [text.partition(": ")[0] for text in rankings] == ["Digits, Pixels", "Cifar10, Gist"]


def test_what_went_wrong_is_named(tmp_path):
    levels = {"bgan": 0.5, "itq": 0.4}
    assert summary.problems(experiment(tmp_path / "well", levels, {})) == [
        "No run failed, is missing or nearly collapsed."
    ]
    broken = {("itq", 16, 0): "failed", ("itq", 32, 0): "failed", ("itq", 32, 2): "missing"}
    problems = summary.problems(
        experiment(tmp_path / "badly", levels, {}, broken=broken, distinct={("bgan", 32, 1): 3})
    )
    assert problems == [
        "Failed: ITQ on Digits, Pixels, 16 bits (1 of 3) and 32 bits (1 of 3).",
        "Missing: ITQ on Digits, Pixels, 32 bits (1 of 3).",
        "Near-collapsed: BGAN on Digits, Pixels, 32 bits (1 of 3).",
    ]


def test_a_code_length_that_was_not_timed_has_no_panel_and_times_alone_a_table_of_their_own(
    tmp_path,
):
    folder = tmp_path / "results"
    experiment(folder, {"bgan": 0.5, "itq": 0.4}, {})
    assert "efficiency" not in built(folder)
    collected = timed(folder, {("bgan", 32): 4.5, ("itq", 32): 0.25})
    assert collected.timing
    table = built(folder)["efficiency"]
    (panel,) = table.panels
    assert panel.bits == 32
    shown = {row.name: [cell.text for cell in row.cells] for row in panel.rows}
    assert shown["itq"] == ["1.0", "1.8", "0.25", "1.0", "1"]
    assert table.notes[0] == "Device: A processor."


def test_times_that_were_changed_after_they_were_measured_are_refused(tmp_path):
    folder = tmp_path / "results"
    experiment(folder, {"bgan": 0.5, "itq": 0.4}, {})
    timed(folder, {("bgan", 32): 4.5, ("itq", 32): 7.5})
    table = folder / "timing.csv"
    table.write_text(table.read_text().replace("7.5", "1.5"))
    with pytest.raises(
        BenchmarkError, match=r"timing\.csv was changed after it was written: .* in timing\.json"
    ):
        results.read(folder)
    (folder / "timing.json").unlink()
    with pytest.raises(BenchmarkError, match=r"timing\.json does not exist: run `snakemake`"):
        results.read(folder)
