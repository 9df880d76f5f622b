"""CSV files of the experiments: text that a spreadsheet would evaluate, and numbers."""

import csv

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments import tables
from harness.plain_text import spreadsheet_text


@pytest.mark.parametrize(
    "text", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", " =1", "\ufeff=1"]
)
def test_a_text_that_a_spreadsheet_would_evaluate_is_protected(text):
    assert spreadsheet_text(text).startswith("'")


@pytest.mark.parametrize("text", ["-0.5", "+3", "-1e-05", "itq", "a=b", "", "-inf"])
def test_numbers_and_other_texts_stay(text):
    assert spreadsheet_text(text) == text


def test_control_characters_are_removed():
    assert spreadsheet_text("a\x1b[31mb\x00c\u202ed\ne\u2028f") == "a [31mb c d e f"
    assert spreadsheet_text("Größe, 数据, نص") == "Größe, 数据, نص"


def test_negative_numbers_in_a_file_stay_numbers(tmp_path):
    path = tmp_path / "table.csv"
    tables.write(path, ("name", "value", "count"), [("=1", -0.1, -3), ("b", float("-1e-9"), None)])
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows == [["name", "value", "count"], ["'=1", "-0.1", "-3"], ["b", "-1e-09", ""]]


@given(st.text())
def test_a_protected_text_needs_no_more_protection(text):
    safe = spreadsheet_text(text)
    assert spreadsheet_text(safe) == safe
