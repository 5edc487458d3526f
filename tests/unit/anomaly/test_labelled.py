"""Folders of labelled metrics: what is read, and what is said of files that are not as they must be."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from moselle.evaluating_anomaly import evaluate_anomaly
from services.anomaly.settings import AnomalySettings
from services.anomaly.train.evaluate import evaluate, read_faults
from services.anomaly.train.labelled import DataUnreadable, read_streams

GOOD = {"train": np.zeros((20, 2)), "test": np.ones((10, 2)), "label": np.zeros(10, dtype="int8")}
LINES = [f"2026-01-01 {n // 60:02}:{n % 60:02}:00,{n % 5}" for n in range(100)]


def write_archive(folder: Path, **changes: Any) -> None:
    np.savez(folder / "one.npz", **{name: array for name, array in {**GOOD, **changes}.items() if array is not None})


def write_nab(folder: Path, lines: list[str], windows: object) -> None:
    (folder / "labels").mkdir()
    (folder / "data" / "kind").mkdir(parents=True)
    (folder / "labels" / "combined_windows.json").write_text(json.dumps(windows))
    (folder / "data" / "kind" / "a.csv").write_text("\n".join(["timestamp,value", *lines]) + "\n")


def test_an_archives_labels_become_windows(tmp_path: Path) -> None:
    """First and last step of each run; the interval is a minute unless said otherwise."""
    write_archive(tmp_path, label=np.array([1, 1, 0, 0, 1, 0, 0, 0, 0, 1]))
    (stream,) = read_streams(tmp_path)
    assert stream.windows == [(0, 1), (4, 4), (9, 9)]
    assert (len(stream.train), len(stream.test), stream.step_seconds) == (20, 10, 60)
    assert next(read_streams(tmp_path, 300)).step_seconds == 300


def test_nab_windows_count_from_the_first_judged_row(tmp_path: Path) -> None:
    """15 of 100 rows are to learn from; one window began there, another is judged as a whole."""
    windows = {
        "kind/a.csv": [["2026-01-01 00:10:00", "2026-01-01 00:20:00"], ["2026-01-01 00:30:00", "2026-01-01 00:39:00"]]
    }
    write_nab(tmp_path, LINES, windows)
    (stream,) = read_streams(tmp_path)
    assert stream.windows == [(-5, 5), (15, 24)]
    assert int(stream.label.sum()) == 6 + 10


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"label": None}, r"one\.npz holds .* lacks \['label'\]"),
        ({"label": np.zeros(9)}, r"label \(9,\); wanted"),
        ({"test": np.zeros((10, 3))}, r"test \(10, 3\)"),
        ({"train": np.zeros((0, 2))}, r"train \(0, 2\)"),
        ({"test": np.full((10, 2), np.nan)}, "20 values that are no finite numbers"),
        ({"label": np.full(10, np.nan)}, "labels such as nan; wanted 0"),
        ({"label": np.arange(10)}, "labels such as 2"),
        ({"label": np.array(["0"] * 10)}, "label of <U1; wanted real numbers"),
        ({"train": np.ones((20, 2), complex)}, "train of complex128"),
    ],
)
def test_an_archive_that_is_not_as_wanted_is_named(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    """What was found and what was wanted, in one sentence."""
    write_archive(tmp_path, **changes)
    with pytest.raises(DataUnreadable, match=words):
        list(read_streams(tmp_path))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 broken", b"no archive"])
def test_a_broken_archive_is_named(tmp_path: Path, content: bytes) -> None:
    """Empty, cut off, or something else."""
    (tmp_path / "one.npz").write_bytes(content)
    with pytest.raises(DataUnreadable, match=r"one\.npz"):
        list(read_streams(tmp_path))


@pytest.mark.parametrize(
    ("lines", "windows", "words"),
    [
        ([], {"kind/a.csv": []}, "holds 0 rows"),
        (["2026-01-01 00:00:00,x"] * 30, {"kind/a.csv": []}, "no table of timestamp and value"),
        (["yesterday,1"] * 30, {"kind/a.csv": []}, "no table of timestamp and value"),
        (LINES, {}, r"does not name kind/a\.csv"),
        (LINES, {"kind/a.csv": [["2026-01-01 00:10:30", "2026-01-01 00:20:00"]]}, "no row at 2026-01-01 00:10:30"),
        (LINES, {"kind/a.csv": [["2026-01-01 00:20:00", "2026-01-01 00:10:00"]]}, "ends before it begins"),
        (LINES, {"kind/a.csv": [[1, 2]]}, "no row at 1"),
        (LINES, [1], "no JSON of files and their windows"),
        (LINES[::-1], {"kind/a.csv": []}, "times go back or stand still"),
        (LINES[:1] * 50, {"kind/a.csv": []}, "times go back or stand still"),
        (["0001-01-01 00:00:00,1"] * 30, {"kind/a.csv": []}, "lies before 1970"),
    ],
)
def test_a_file_of_nab_that_is_not_as_wanted_is_named(
    tmp_path: Path, lines: list[str], windows: object, words: str
) -> None:
    """Empty and broken tables, labels that do not fit."""
    write_nab(tmp_path, lines, windows)
    with pytest.raises(DataUnreadable, match=words):
        list(read_streams(tmp_path))


def test_the_command_ends_with_one_json_object(tmp_path: Path) -> None:
    """The table goes to standard error, and not even that with --json."""
    write_archive(tmp_path, test=np.random.default_rng(1).random((10, 2)), label=np.arange(10) == 5)
    result = CliRunner().invoke(evaluate_anomaly, ["--data", str(tmp_path), "--only", "random"])
    assert result.exit_code == 0
    figures = json.loads(result.stdout.splitlines()[-1])
    assert (list(figures["detectors"]), figures["series"], figures["streams"]) == (["random"], 2, 1)
    assert "AUC-PR" in result.stderr
    quiet = CliRunner().invoke(evaluate_anomaly, ["--data", str(tmp_path), "--only", "random", "--json"])
    assert (len(quiet.stdout.splitlines()), quiet.stderr) == (1, "")


@pytest.mark.parametrize(("arguments", "code", "words"), [([], 1, "labels.jsonl"), (["--only", "magic"], 2, "'magic'")])
def test_what_the_command_cannot_do_it_says(tmp_path: Path, arguments: list[str], code: int, words: str) -> None:
    """An empty folder; a detector that nobody knows."""
    result = CliRunner().invoke(evaluate_anomaly, ["--data", str(tmp_path), *arguments])
    assert result.exit_code == code
    assert words in result.stderr


@pytest.mark.parametrize("line", ["{}", "[]", "no JSON", '{"kind": "a", "service": "b", "start": 1, "end": 2}'])
def test_a_broken_label_of_a_recording_is_named(tmp_path: Path, line: str) -> None:
    """Its line, and what was wanted."""
    (tmp_path / "labels.jsonl").write_text(f"\n{line}\n")
    with pytest.raises(DataUnreadable, match="line 2 is no labelled fault"):
        read_faults(tmp_path)


def test_a_recording_without_samples_is_named() -> None:
    """Nothing can be learnt from nothing."""
    with pytest.raises(DataUnreadable, match="holds no samples"):
        evaluate([], [], AnomalySettings())
