"""Variants: names, parameters and their types, and relations between variants as fields."""

import json
from dataclasses import FrozenInstanceError

import pytest
from builders import loaded

from harness.errors import BenchmarkError
from harness.variants import STAGES, Catalogue, variant_of_text


def resolved(stage, name, entry):
    return Catalogue({stage: {name: entry}}).resolve(stage, name)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            {"of": "itq", "set": {"iteration": 3}},
            "methods/itq.py has no parameter 'iteration' [(]did you mean 'iterations'[?][)]: "
            "expected one of iterations",
        ),
        (
            {"of": "itq", "set": {"iterations": "3"}},
            "found '3', expected a value like the default 50",
        ),
        (
            {"of": "itq", "set": {"iterations": 3.5}},
            "found 3.5, expected a value like the default 50",
        ),
        (
            {"of": "itq", "set": {"iterations": True}},
            "found True, expected a value like the default 50",
        ),
        ({"of": "itq", "set": {"seed": 3}}, "seeds are set by the key 'seeds'"),
        (
            {"of": "itq", "set": {"iterations": None}},
            "found None, expected a value like the default 50",
        ),
        ({"of": "itk"}, "variants: methods: mine: 'itk' is unknown"),
        ({"of": "mine"}, "variants: methods: mine: 'mine' is unknown: expected one of agh"),
        (
            {"of": "bgan-k10-k15"},
            r"'bgan-k10-k15' is a variant itself: "
            r"start from \{of: bgan, set: \{k1: 10, k2: 15\}\} and add your own",
        ),
        (
            {"of": "itq", "neighbours": "l2"},
            "variants: methods: mine: neighbours is a key of features only: remove it",
        ),
        (
            {"of": "bgan", "set": {"learning_rate": "1e-4"}},
            "found '1e-4', .*; YAML reads this as a text: write 1.0e-4",
        ),
        ({"of": "bgan", "set": {"betas": 1.0}}, "found 1.0, expected a value like the default"),
    ],
)
def test_error_for_an_invalid_variant_names_the_key(entry, message):
    config = loaded()
    catalogue = Catalogue(
        config["variants"] | {"methods": config["variants"]["methods"] | {"mine": entry}}
    )
    with pytest.raises(BenchmarkError, match=message):
        catalogue.resolve("methods", "mine")


@pytest.mark.parametrize(
    ("stage", "key"),
    [
        ("features", "base"),
        ("datasets", "tuned"),
        ("features", "tuned_on"),
        ("datasets", "datasets"),
        ("datasets", "neighbours"),
    ],
)
def test_error_for_a_key_of_another_stage(stage, key):
    of = {"features": "pixels", "datasets": "digits"}[stage]
    with pytest.raises(
        BenchmarkError, match=rf"variants: {stage}: mine: {key} is a key of .* only: remove it"
    ):
        resolved(stage, "mine", {"of": of, key: "l2"})


@pytest.mark.parametrize(
    ("stage", "of", "param", "value"),
    [
        ("methods", "imported", "path", 2024),
        ("methods", "imported", "path", None),
        ("methods", "imported", "database_path", ["a.npy"]),
        ("features", "file", "names", True),
        ("features", "vgg16_fc7", "sha256", 12),
        ("datasets", "image_list", "images", False),
    ],
)
def test_a_parameter_that_names_a_file_is_a_text(stage, of, param, value):
    overrides = {} if of == "vgg16_fc7" else {"path": "a"}
    assert resolved(stage, "mine", {"of": of, "set": overrides})
    with pytest.raises(
        BenchmarkError,
        match=rf"variants: {stage}: mine: set: {param}: found .*, "
        r"expected a text; put a number in quotes",
    ):
        resolved(stage, "mine", {"of": of, "set": overrides | {param: value}})


@pytest.mark.parametrize(
    ("stage", "name", "meant"),
    [
        ("methods", "itk", "itq"),
        ("datasets", "digit", "digits"),
        ("features", "pixel", "pixels"),
        ("methods", "bgan-ncc", "bgan-nc"),
    ],
)
def test_an_unknown_name_is_answered_with_the_most_similar_one(stage, name, meant):
    with pytest.raises(
        BenchmarkError,
        match=f"^{stage}: '{name}' is unknown [(]did you mean '{meant}'[?][)]: expected one of ",
    ):
        Catalogue(loaded()["variants"]).resolve(stage, name)


def test_nothing_is_suggested_for_a_name_like_no_other():
    with pytest.raises(
        BenchmarkError,
        match=r"^methods: 'xxxxxx' is unknown: expected one of .*, "
        r"or a new file methods/xxxxxx.py$",
    ):
        Catalogue().resolve("methods", "xxxxxx")


def test_params_are_the_defaults_and_the_overrides():
    found = resolved(
        "methods", "mine", {"of": "itq", "set": {"iterations": 3}, "label": "ITQ, 3 rounds"}
    )
    assert (found.label, found.params, found.overrides) == (
        "ITQ, 3 rounds",
        {"iterations": 3},
        {"iterations": 3},
    )
    assert (found.seeded, found.stochastic) == (True, True)
    assert not Catalogue().resolve("methods", "pcah").stochastic


def test_a_variant_is_immutable():
    with pytest.raises(FrozenInstanceError):
        Catalogue().resolve("methods", "itq").label = "Mine"


def test_every_data_set_has_a_validation_part():
    found = Catalogue().resolve("datasets", "cifar10-bgan-validation")
    assert (found.plugin.name, found.overrides, found.validation) == (
        "cifar10",
        {"protocol": "bgan"},
        True,
    )
    assert (found.base, found.protocol) == ("cifar10-bgan", "bgan")
    entry = json.loads(Catalogue().resolve("datasets", "digits-validation").entry_text)
    assert entry == {"of": "digits", "set": {"training_images": None}, "validation": True}


def test_a_protocol_is_part_of_the_label():
    found = Catalogue().resolve("datasets", "cifar10-54k")
    assert (found.label, found.base, found.protocol) == ("CIFAR-10 (54k)", "cifar10", "54k")
    assert (
        Catalogue().resolve("datasets", "cifar10-54k-validation").label
        == "CIFAR-10 (54k), validation"
    )


def test_relations_are_fields_and_not_parts_of_names():
    """Of shipped variants and of those that `choose` writes."""
    entry = {
        "of": "itq",
        "set": {"iterations": 200},
        "base": "itq",
        "tuned": "own",
        "tuned_on": "digits",
        "datasets": ["digits"],
    }
    found = resolved("methods", "any.name", entry)
    assert (found.base, found.tuned, found.tuned_on, found.datasets) == (
        "itq",
        "own",
        "digits",
        ("digits",),
    )
    plain = resolved("methods", "itq.trial9", {"of": "itq"})
    assert (plain.base, plain.trial, plain.tuned, plain.tuned_on) == ("itq.trial9", None, "", "")


def test_a_variant_fits_data_sets_by_their_name_and_features_by_their_plugin_too():
    catalogue = Catalogue()
    whole, protocol = (catalogue.resolve("datasets", name) for name in ("cifar10", "cifar10-bgan"))
    features = resolved(
        "features", "given", {"of": "file", "set": {"path": "a.npy"}, "datasets": ["cifar10"]}
    )
    method = resolved("methods", "tuned", {"of": "itq", "datasets": ["cifar10"]})
    assert (features.fits(whole), features.fits(protocol)) == (True, True)
    assert (method.fits(whole), method.fits(protocol)) == (True, False)


def test_the_entry_of_a_variant_reaches_a_job_unchanged():
    config = loaded()
    catalogue = Catalogue(config["variants"])
    for stage in STAGES:
        listed = [entry["name"] if isinstance(entry, dict) else entry for entry in config[stage]]
        for name in [*config["variants"][stage], *listed]:
            variant = catalogue.resolve(stage, name)
            received = variant_of_text(stage, name, variant.entry_text)
            assert (received.plugin, received.validation) == (variant.plugin, variant.validation), (
                name
            )
            assert received.params == json.loads(json.dumps(variant.params)), name
    assert variant_of_text("methods", "itq", None).params == {"iterations": 50}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "--entry is not valid JSON: Expecting property name"),
        ("[" * 100_000, "--entry is not valid JSON: "),
        ("[]", r'--entry: found \[\], expected {"of": "PLUGIN"'),
        ('{"set": {}}', "expected {"),
        ('{"of": "itq", "set": []}', "expected {"),
        ('{"of": "itk"}', "mine: 'itk' is unknown"),
        (
            '{"of": "itq", "set": {"iteration": 3}}',
            r"methods/itq.py has no parameter 'iteration' \(did you mean 'iterations'",
        ),
        (
            '{"of": "itq", "set": {"iterations": "3"}}',
            "found '3', expected a value like the default 50",
        ),
    ],
)
def test_error_for_an_invalid_option_entry(text, message):
    with pytest.raises(BenchmarkError, match=message):
        variant_of_text("methods", "mine", text)


@pytest.mark.parametrize(
    ("entry", "tier"),
    [
        ({"of": "itq"}, "features"),
        ({"of": "itq", "fitted_on": "views"}, "views"),
        ({"of": "crovca"}, "views"),
        ({"of": "bgan"}, "images"),  # an encoder trained from scratch
        ({"of": "bgan", "set": {"encoder": "features"}}, "images"),  # a head
        ({"of": "bgan", "set": {"encoder": "vgg19"}}, "encoder"),
        ({"of": "deepbit_rotation"}, "images"),
        ({"of": "imported", "set": {"path": "codes.npy"}}, "unknown"),
    ],
)
def test_the_tier_of_a_row_depends_on_its_encoder(entry, tier):
    variant = Catalogue({"methods": {"mine": entry}}).resolve("methods", "mine")
    assert variant.tier == variant.uses["tier"] == tier


def test_a_job_gets_what_its_row_uses():
    chosen = {"of": "itq", "tuned": "own", "trials": 16, "labels_used": 1497}
    variant = Catalogue({"methods": {"itq.tuned-digits": chosen}}).resolve(
        "methods", "itq.tuned-digits"
    )
    of_job = variant_of_text("methods", variant.name, variant.entry_text)
    assert of_job.uses == variant.uses
    assert (variant.uses["settings"], variant.uses["trials"]) == ("tuned", 16)
    assert Catalogue().resolve("methods", "itq").uses["settings"] == "default"


def test_a_row_that_is_called_released_has_released_settings():
    entries = loaded()["variants"]["methods"]
    named = {name for name, entry in entries.items() if "(released" in entry.get("label", "")}
    declared = {name for name, entry in entries.items() if entry.get("settings") == "released"}
    assert named == declared != set()
