"""`moselle extract` from recorded files, and what its files hold."""

import gzip
import json
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from click.testing import CliRunner, Result

from moselle.extracting import command
from moselle.tables import ROWS, open_sink, schema_of
from services.common.errors import SettingsInvalid
from services.ingest.core.pseudonyms import is_pseudonym
from tests.conformance.history_cases import make_alert, make_features, make_placement

LINE = "2026-11-21 06:00:{second:02d}.500 24 {level} nova.api [None req-a {user} p - - d d] {second} s from 10.0.0.7"
USER_ID = "64152ad4d385428aa8351edfea9480a2"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A recorded folder: twenty lines of one service, an error every five seconds, and a scrape."""
    lines = [LINE.format(second=s, level="INFO" if s % 5 else "ERROR", user=USER_ID) for s in range(20)]
    (tmp_path / "nova-api.log").write_text("\n".join(lines) + "\n")
    scrape = {"ts": 1795240800.0, "job": "node", "instance": "controller-1", "metrics": {"up": 1, "load1": 0.5}}
    (tmp_path / "metrics.jsonl").write_text(json.dumps(scrape) + "\n")
    return tmp_path


def run(folder: Path, out: object, *options: str) -> Result:
    """What went wrong is raised."""
    arguments = ["--from", "files", str(folder), "--out", str(out), *options]
    return CliRunner().invoke(command, arguments, catch_exceptions=False)


def test_parquet_has_the_types_of_the_contract(folder: Path) -> None:
    """Times are times; what was selected is there, and nothing else."""
    out = folder / "new" / "errors.parquet"
    result = run(folder, out, "--severity", "ERROR", "--since", "2026-11-21T06:00:05Z", "--json")
    assert json.loads(result.stdout) == {"kind": "logs", "rows": 3, "read": 20, "unreadable": 0, "files": [str(out)]}
    table = pyarrow.parquet.read_table(out)
    assert table["event_time"].to_pylist() == [
        datetime(2026, 11, 21, 6, 0, second, 500_000, tzinfo=UTC) for second in (5, 10, 15)
    ]
    assert str(table.schema.field("source_offsets").type) == "list<element: int64>"
    assert table["parameters"].to_pylist()[0][0] == "5"


def test_json_lines_are_those_of_tail(folder: Path) -> None:
    """Packed by the name; times as RFC 3339; every field of the contract."""
    out = folder / "all.jsonl.gz"
    assert run(folder, out, "--limit", "7").exit_code == 0
    rows = [json.loads(line) for line in gzip.decompress(out.read_bytes()).splitlines()]
    assert len(rows) == 7
    assert rows[0]["event_time"] == "2026-11-21T06:00:00.500000Z"
    assert list(rows[0]) == [field["name"] for field in json.loads(schema_of("logs.parsed.v1"))["fields"]]


def test_standard_output_takes_json_lines_and_the_summary_last(folder: Path) -> None:
    """So that a script reads both."""
    lines = run(folder, "-", "--kind", "samples", "--json").stdout.splitlines()
    (row,) = map(json.loads, lines[:-1])
    assert sorted(row["values"]) == [0.5, 1.0]
    assert json.loads(lines[-1]) == {"kind": "samples", "rows": 1, "read": 1, "unreadable": 0, "files": []}


def test_nan_is_null_in_json_and_nan_in_parquet(tmp_path: Path) -> None:
    """JSON has none."""
    row = make_features(values=[math.nan, 1.0])[1]
    for name in ("x.jsonl", "x.parquet"):
        with open_sink(tmp_path / name, schema_of("features.v1")) as sink:
            sink.write(row)
    assert json.loads((tmp_path / "x.jsonl").read_text())["values"] == [None, 1.0]
    assert math.isnan(pyarrow.parquet.read_table(tmp_path / "x.parquet")["values"].to_pylist()[0][0])


def test_features_are_made_of_files_too(folder: Path) -> None:
    """As the stream would make them."""
    result = run(folder, folder / "f.parquet", "--kind", "features", "--json")
    table = pyarrow.parquet.read_table(folder / "f.parquet")
    assert json.loads(result.stdout)["rows"] == table.num_rows > 0
    assert set(table["entity_id"].to_pylist()) >= {"service:nova-api@controller-1"}


def test_anonymized_rows_name_nobody(folder: Path) -> None:
    """The ids of an event in all of its fields; hosts when told."""
    out = folder / "a.parquet"
    result = run(folder, out, "--anonymize", "--hosts", "--json")
    (row, *_) = pyarrow.parquet.read_table(out).to_pylist()
    assert is_pseudonym(row["user_id"])
    assert row["user_id"] in row["raw_line"]
    assert row["entity_id"].startswith("service:nova-api@host-r")
    assert not any(secret in repr(row) for secret in (USER_ID, "10.0.0.7", "controller-1"))
    assert json.loads(result.stdout)["pseudonyms"]["user_id"] > 0


@pytest.mark.parametrize(
    ("make", "topic", "field", "wanted"),
    [
        (make_alert, "alerts.v1", "labels", [("rules", "error_burst")]),
        (make_placement, "placements.v1", "alternatives", [{"node": "node:n2", "score": 0.5}]),
    ],
)
def test_nested_fields_are_columns(make: Any, topic: str, field: str, wanted: object, tmp_path: Path) -> None:
    """Maps, and lists of records; what a row lacks is null."""
    with open_sink(tmp_path / "x.parquet", schema_of(topic)) as sink:
        for _ in range(ROWS + 1):
            sink.write(make()[1])
    parquet = pyarrow.parquet.ParquetFile(tmp_path / "x.parquet")
    assert (parquet.metadata.num_rows, parquet.num_row_groups) == (ROWS + 1, 2)
    assert parquet.read_row_group(1).to_pylist()[0][field] == wanted


@pytest.mark.parametrize(
    ("out", "words"),
    [("x.csv", "wanted a name"), ("x.parquet.gz", "compressed inside"), ("nova-api.log", "wanted a name")],
)
def test_a_name_says_the_form(out: str, words: str, folder: Path) -> None:
    """Others are refused before anything is read."""
    with pytest.raises(SettingsInvalid, match=words):
        run(folder, folder / out)


def test_what_files_do_not_hold_is_told(folder: Path) -> None:
    """And nothing is left of the file; one that is there stays."""
    with pytest.raises(SettingsInvalid, match="take them from kafka"):
        run(folder, folder / "x.parquet", "--kind", "alerts")
    assert not [path for path in folder.iterdir() if "parquet" in path.name]
    (folder / "mine.jsonl").write_text("mine")
    with pytest.raises(SettingsInvalid, match="is there already"):
        run(folder, folder / "mine.jsonl")


@pytest.mark.parametrize("arguments", [("--from", "kafka", "x"), ("--from", "files"), ("--from", "nowhere")])
def test_wrong_usage_ends_with_two(arguments: tuple[str, ...]) -> None:
    """PATHs belong to files."""
    assert CliRunner().invoke(command, [*arguments, "--out", "-"]).exit_code == 2


@pytest.mark.parametrize(("place", "option"), [("kafka", "--bootstrap"), ("database", "--dsn")])
def test_without_a_stack_it_says_what_to_give(place: str, option: str, tmp_path: Path) -> None:
    """One sentence with the option that stands for it."""
    arguments = [
        "--from",
        place,
        "--kind",
        "alerts",
        "--out",
        str(tmp_path / "x.jsonl"),
        "--state",
        str(tmp_path / "no"),
    ]
    with pytest.raises(SettingsInvalid, match=option):
        CliRunner(env={"MOSELLE_DATABASE_DSN": ""}).invoke(command, arguments, catch_exceptions=False)
