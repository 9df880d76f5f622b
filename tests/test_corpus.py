"""Hostile and odd inputs through the public commands: `corpus/cases.py` has the table."""

import json
import os
import re
import shlex
import sys

import numpy as np
import pytest
from corpus.build import ITEMS, LABELS, build
from corpus.cases import CASES

import datasets.__main__
import evaluation.__main__
import features.__main__
from harness import storage

OBJECT = re.compile(r"object at 0x|Traceback|\braised\b")


@pytest.fixture(scope="session")
def corpus(build_once):
    return build_once("corpus", build)


@pytest.fixture
def command(corpus, tmp_path, monkeypatch, capsys):
    """Return a function that runs a command of the corpus: (exit message or '', output)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "environ", os.environ | {"CORPUS": str(corpus)})
    prepare_toy(tmp_path / "cache/datasets/toy")

    def run(name, given):
        path, *params = shlex.split(given.replace('"', '\\"'))
        main, arguments = COMMANDS[name](corpus, path, dict(map(parsed, params)))
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        try:
            main()
        except SystemExit as ended:
            return ended.code or "", capsys.readouterr().out
        return "", capsys.readouterr().out

    return run


def parsed(text):
    key, _, value = text.partition("=")
    return key, json.loads(value)


def prepare_toy(folder):
    """Write a prepared data set of `ITEMS` images in 3 classes; the first 20 are queries."""
    folder.mkdir(parents=True)
    rows = np.arange(ITEMS)
    np.save(folder / "labels.npy", LABELS)
    np.savez(folder / "split.npz", query=rows[:20], database=rows[20:], train=rows[20:])
    digests = {name: storage.digest(folder / name) for name in ("labels.npy", "split.npz")}
    storage.write_json(folder / "dataset.json", {"sha256": digests})


def codes(corpus, path, params):
    options = [f"--{key}={value}" for key, value in params.items()]
    arguments = ["codes", "toy", corpus / "codes" / path, "--metrics", "map", *options]
    return evaluation.__main__.main, arguments


def image_folder(corpus, path, params):
    params = {"path": f"images/{path}", "queries_per_class": 2, "size": 8} | params
    return dataset(corpus, "image_folder", params | ({"path": path} if "$" in path else {}))


def image_list(corpus, path, params):
    images = {} if path == "absolute" and "strip" not in params else {"images": "lists"}
    params = {"path": f"lists/{path}", "size": 8} | images | params
    return dataset(corpus, "image_list", params)


def dataset(corpus, plugin, params):
    entry = json.dumps({"of": plugin, "set": params})
    return datasets.__main__.main, ["mine", "--entry", entry, "--data", corpus]


def feature_file(corpus, path, params):
    entry = json.dumps({"of": "file", "set": {"path": f"features/{path}"} | params})
    arguments = ["check", "mine", "--entry", entry, "--data", corpus, "--images", ITEMS]
    return features.__main__.main, arguments


COMMANDS = {
    "codes": codes,
    "image_folder": image_folder,
    "image_list": image_list,
    "features": feature_file,
}


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.command}-{case.input}")
def test_every_input_is_accepted_or_refused_as_the_table_states(case, command, corpus):
    before = sorted(corpus.rglob("*"))
    message, output = command(case.command, case.input)
    assert sorted(corpus.rglob("*")) == before, "the user's folder is only read"
    if case.accepted:
        assert not message
        assert case.fragment in output
    else:
        assert re.search("|".join(map(re.escape, case.fragment.split("|"))), message)
        assert "\n" not in message
        assert not OBJECT.search(message)


def test_all_unreadable_images_are_listed_on_disk(command, tmp_path):
    command("image_folder", "damaged")
    listed = (tmp_path / "logs/datasets/mine.unreadable.txt").read_text().splitlines()
    assert len(listed) == 6
    assert all(re.search(r"/(cat|dog)/bad\d\.png is damaged", line) for line in listed)
    assert not (tmp_path / "cache/datasets/mine").exists()


def test_unreadable_images_leave_no_trace_in_the_arrays(command, tmp_path):
    for given in ("plain", "damaged leave_out_unreadable=true"):
        command("image_folder", given)
        folder = tmp_path / "cache/datasets/mine"
        names = json.loads((folder / "names.json").read_text())["names"]
        arrays = [np.load(folder / name) for name in ("images.npy", "labels.npy")]
        assert len(names) == 12
        assert [len(array) for array in arrays] == [12, 12]
        if given == "plain":
            images = dict(zip(names, arrays[0], strict=True))
            labels = dict(zip(names, arrays[1], strict=True))
        else:
            assert all(
                (images[name] == image).all() for name, image in zip(names, arrays[0], strict=True)
            )
            assert [labels[name] for name in names] == arrays[1].tolist()


def test_sixteen_bits_become_the_high_byte(command, tmp_path):
    command("image_folder", "sixteen-bits")
    folder = tmp_path / "cache/datasets/mine"
    row = json.loads((folder / "names.json").read_text())["names"].index("cat/0.png")
    assert (np.load(folder / "images.npy")[row] == 0x12).all()
