"""Imported codes: all file forms give the same codes, and invalid files give a clear message."""

import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat
from scipy.sparse import csc_array

import evaluation.__main__
from experiments import imported
from harness import imported_codes, storage
from harness.errors import BenchmarkError

BITS = 12
CODES = np.random.default_rng(0).random((60, BITS)) < 0.4
SIGNS = np.where(CODES, 1.0, -1.0)
FORMS = {
    "booleans": CODES,
    "zeros and ones": CODES.astype(np.uint8),
    "signs": SIGNS,
    "int8 signs": SIGNS.astype(np.int8),
    "packed by NumPy": np.packbits(CODES, axis=1),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("suffix", [".npy", ".mat"])
def test_every_form_is_the_same_codes(tmp_path, form, suffix):
    path = tmp_path / f"codes{suffix}"
    np.save(path, FORMS[form]) if suffix == ".npy" else savemat(path, {"B": FORMS[form]})
    assert (imported_codes.whole(path, 60, BITS) == CODES).all()


def test_packed_codes_of_matlab_have_the_same_distances(tmp_path):
    np.save(tmp_path / "codes.npy", np.packbits(CODES, axis=1, bitorder="little"))
    found = imported_codes.whole(tmp_path / "codes.npy", 60, BITS)
    assert ((found[:, None] != found).sum(axis=2) == (CODES[:, None] != CODES).sum(axis=2)).all()


def test_two_files_of_packed_codes_have_one_order_of_bits(tmp_path):
    """Both orders fit the last byte of the few queries; that of the database decides."""
    queries = np.zeros((2, BITS), bool)
    queries[1, 3] = True
    for name, part in (("queries", queries), ("database", CODES)):
        np.save(tmp_path / f"{name}.npy", np.packbits(part, axis=1, bitorder="little"))
    one, other = imported_codes.apart(
        tmp_path / "queries.npy", tmp_path / "database.npy", (2, 60), BITS
    )
    assert (one == queries).all()
    assert (other == CODES).all()
    np.save(tmp_path / "queries.npy", np.packbits(CODES[:2], axis=1))
    with pytest.raises(
        BenchmarkError,
        match=r"queries.npy and .*database.npy: ones beyond the 12 bits, "
        r"at both ends of the last byte",
    ):
        imported_codes.apart(tmp_path / "queries.npy", tmp_path / "database.npy", (2, 60), BITS)


def test_a_variable_of_a_matlab_file_is_named(tmp_path):
    savemat(tmp_path / "both.mat", {"Bq": SIGNS[:20], "Bd": SIGNS[20:]})
    queries, database = imported_codes.apart(
        tmp_path / "both.mat:Bq", tmp_path / "both.mat:Bd", (20, 40)
    )
    assert (np.concatenate([queries, database]) == CODES).all()
    with pytest.raises(
        BenchmarkError, match=r"has the variables Bq, Bd: name one, as .*both.mat:Bq"
    ):
        imported_codes.whole(tmp_path / "both.mat", 60)
    with pytest.raises(BenchmarkError, match="has no variable 'B': expected one of Bq, Bd"):
        imported_codes.whole(tmp_path / "both.mat:B", 60)


def test_codes_in_a_sparse_matrix_are_read(tmp_path):
    savemat(tmp_path / "codes.mat", {"B": csc_array(CODES, dtype=float)}, do_compression=True)
    assert (imported_codes.whole(tmp_path / "codes.mat", 60, BITS) == CODES).all()


def test_one_query_has_one_code(tmp_path):
    np.save(tmp_path / "queries.npy", CODES[:1])
    np.save(tmp_path / "database.npy", CODES[1:])
    queries, _ = imported_codes.apart(tmp_path / "queries.npy", tmp_path / "database.npy", (1, 59))
    assert (queries == CODES[:1]).all()


def zeroed():
    signs = SIGNS.copy()
    signs[3, 5] = 0
    return signs


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (
            zeroed(),
            r"has 1 zeros among -1 and \+1, the first in row 3, column 5: the sign of 0 is no bit",
        ),
        (
            SIGNS * 0.7,
            r"row 0, column 0 is .*0.7, expected 0 and 1, or -1 and \+1; threshold real values",
        ),
        (np.where(CODES, np.nan, 1.0), "is nan, expected 0 and 1"),
        (CODES[:59], "has 59 rows, expected 60, one for each image of the data set in its order$"),
        (CODES.T, "has 12 rows, expected 60, .*; it looks transposed"),
        (CODES[:, :8], "has codes of 8 bits, expected 12"),
        (np.full((60, 2), 255, np.uint8), ": ones beyond the 12 bits"),
        (
            np.zeros((60, 5), np.uint8),
            "has 5 columns of uint8; 12 bits are 12 columns, or 2 packed bytes",
        ),
        (CODES[:, 0], r"holds bool of shape \(60,\), expected one row an item"),
        (CODES[:, :0], r"holds bool of shape \(60, 0\), expected one row an item"),
        (CODES[:0], "has 0 rows, expected 60"),
        (np.ones((60, 12)), "all 60 codes are the same"),
        (np.array([["a"]]), "holds <U1"),
        (np.array([[{}]], dtype=object), "not a .npy array of numbers"),
    ],
)
def test_an_invalid_file_is_an_error(tmp_path, array, message):
    np.save(tmp_path / "codes.npy", array)
    with pytest.raises(BenchmarkError, match=f"codes.npy.*{message}"):
        imported_codes.whole(tmp_path / "codes.npy", 60, BITS)


def test_two_conventions_are_not_mixed(tmp_path):
    np.save(tmp_path / "queries.npy", SIGNS[:20])
    np.save(tmp_path / "database.npy", CODES[20:])
    with pytest.raises(BenchmarkError, match=re.escape("queries.npy holds -1 and +1,")):
        imported_codes.apart(tmp_path / "queries.npy", tmp_path / "database.npy", (20, 40))


def test_codes_of_two_files_are_assigned_to_their_images_only(tmp_path):
    np.save(tmp_path / "queries.npy", CODES[:2])
    np.save(tmp_path / "database.npy", CODES[2:5])
    query, database = np.array([6, 1]), np.array([0, 3, 4])
    found, rows = imported_codes.of_images(
        [tmp_path / "queries.npy", tmp_path / "database.npy"], 8, query, database
    )
    assert sorted(rows.tolist()) == [0, 1, 3, 4, 6]
    assert (found[query] == CODES[:2]).all()
    assert (found[database] == CODES[2:5]).all()
    assert not found[[2, 5, 7]].any()
    with pytest.raises(
        BenchmarkError, match=r"database\.npy has 3 rows, expected 4, one for each database item"
    ):
        imported_codes.of_images(
            [tmp_path / "queries.npy", tmp_path / "database.npy"], 8, query, np.arange(2, 6)
        )


def test_nobody_is_advised_to_unpickle(tmp_path):
    (tmp_path / "codes.npy").write_text("0 1 1 0\n" * 60)
    with pytest.raises(
        BenchmarkError,
        match=r"not a \.npy array of numbers .*NumPy's format.* Save the codes with numpy\.save\.$",
    ):
        imported_codes.whole(tmp_path / "codes.npy", 60)


@pytest.mark.parametrize("name", ["codes.npy", "codes.mat"])
def test_files_that_cannot_be_read(tmp_path, name):
    with pytest.raises(BenchmarkError, match=f"{name} is missing"):
        imported_codes.whole(tmp_path / name, 60)
    (tmp_path / name).write_bytes(b"nothing of the kind")
    with pytest.raises(BenchmarkError, match=rf"{name} is damaged or not a (\.npy|MATLAB)"):
        imported_codes.whole(tmp_path / name, 60)


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """Return the split of a data set of 60 images in 3 classes, and change to its folder.

    One query has a class of its own.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "environ", os.environ.copy())  # the command sets threads there
    data = tmp_path / "cache/datasets/toy"
    data.mkdir(parents=True)
    labels, rows = np.arange(60) % 3, np.random.default_rng(1).permutation(60)
    labels[rows[4]] = 99
    np.save(data / "labels.npy", labels)
    np.savez(data / "split.npz", query=rows[:20], database=rows[20:], train=rows[20:])
    storage.write_json(
        data / "dataset.json",
        {"sha256": {name: storage.digest(data / name) for name in ("labels.npy", "split.npz")}},
    )
    return labels, rows[:20], rows[20:]


def test_the_command_scores_as_the_function_does(toy):
    labels, query, database = toy
    np.save("codes.npy", SIGNS)
    np.save("queries.npy", SIGNS[query])
    np.save("database.npy", SIGNS[database])
    names = ["map", "precision@10", "queries_left_out"]
    expected = evaluation.score(
        CODES[query], CODES[database], labels[query], labels[database], names
    )
    assert expected["queries_left_out"] == 1
    for files in (["codes.npy"], ["queries.npy", "database.npy"]):
        found = imported.score("toy", [Path(name) for name in files])
        assert {name: found[name] for name in names} == expected
        assert "precision@100" not in found  # the database has 40 items
    with pytest.raises(
        BenchmarkError,
        match="cache/datasets/mnist is missing: `python -m datasets mnist` prepares it",
    ):
        imported.score("mnist", [Path("codes.npy")])


@pytest.mark.parametrize(
    ("array", "options", "message"),
    [
        (CODES[:, :0], [], r"codes.npy holds bool of shape \(60, 0\)"),
        (CODES, ["--bits", "16"], "codes.npy has codes of 12 bits, expected 16"),
        (CODES[:0], [], "codes.npy has 0 rows, expected 60"),
        (CODES, ["--metrics", "precision@0"], "k = 0 is impossible: expected 1 to 40"),
        (CODES, ["--metrics", "map@41[found]"], "k = 41 is impossible: expected 1 to 40"),
        (np.where(CODES, np.nan, 1), [], "codes.npy: row 0, column 1 is nan, expected 0 and 1"),
        (SIGNS / 3, [], "codes.npy: row 0, column 0 is -0.33.*, expected 0 and 1, or -1 and"),
    ],
)
def test_an_error_of_the_score_command_is_one_line(toy, array, options, message, monkeypatch):
    np.save("codes.npy", array)
    monkeypatch.setattr(sys, "argv", ["evaluation", "codes", "toy", "codes.npy", *options])
    with pytest.raises(SystemExit, match=f"^evaluation: .*{message}") as failure:
        evaluation.__main__.main()
    assert "\n" not in failure.value.code


def test_the_command_prints_how_many_queries_are_left_out(toy, monkeypatch, capsys):
    np.save("codes.npy", CODES)
    monkeypatch.setattr(
        sys, "argv", ["evaluation", "codes", "toy", "codes.npy", "--metrics", "map"]
    )
    evaluation.__main__.main()
    assert re.fullmatch(r"map +0\.\d{4}\nqueries_left_out 1\n", capsys.readouterr().out)
