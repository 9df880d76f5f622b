"""Damaged files of collected results: one line that names the file."""

import json

import pytest
from builders import write_results

from harness.errors import BenchmarkError
from report import results

DAMAGES = {
    "empty": (lambda content: b"", "lacks|is no table"),
    "not UTF-8": (lambda content: content.replace(b"itq", b"\xe9tq"), "UTF-8|utf-8"),
    "cut in a row": (lambda content: content[: content.rindex(b",")], "is cut|has the value"),
    "a quote too many": (lambda content: content + b'"', "CSV|is no table"),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["metrics.csv", "runs.csv", "statistics.csv", "comparisons.csv"])
def test_a_damaged_table_is_one_line(tmp_path, name, damage):
    path = write_results(tmp_path) / name
    change, message = DAMAGES[damage]
    path.write_bytes(change(path.read_bytes()))
    experiment = json.loads((tmp_path / "experiment.json").read_text())
    (tmp_path / "experiment.json").write_text(json.dumps(experiment | {"sha256": {}}))
    with pytest.raises(BenchmarkError, match=message) as failure:
        results.read(tmp_path)
    assert name in str(failure.value)
    assert "\n" not in str(failure.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"format": 2}', b"\xff\xfe"])
def test_a_damaged_record_is_one_line(tmp_path, content):
    (write_results(tmp_path) / "experiment.json").write_bytes(content)
    with pytest.raises(BenchmarkError, match=r"experiment\.json") as failure:
        results.read(tmp_path)
    assert "\n" not in str(failure.value)
