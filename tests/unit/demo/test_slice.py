"""Cutting a capture: what is inside a span, and what a shipped label keeps."""

import json
import lzma
from pathlib import Path

import pytest

from moselle.demo.slice import HERE, SliceError, Span, captured_files, cut, line_time, lines_within, slim_label

HEADED = "2026-11-21 06:09:42.377 24154 ERROR nova.compute [-] boom\n"


def test_line_time_reads_both_headers() -> None:
    """An oslo line and a uWSGI access line of one second state the same second."""
    oslo = line_time("2026-11-21 06:09:42.000 1 INFO x [-] y")
    uwsgi = line_time("[pid: 1|app: 0|req: 1/1] 127.0.0.1 () {1 vars} [Sat Nov 21 06:09:42 2026] GET / => ...")
    assert oslo == uwsgi == 1795241382.0


def test_lines_without_a_time_follow_the_line_before() -> None:
    """A traceback's plain lines stay with the line that they belong to."""
    lines = ["orphan\n", HEADED, "  File x\n", "2026-11-21 06:10:00.000 1 INFO x [-] y\n", "tail\n"]
    span = Span(1795241380.0, 1795241400.0)
    assert list(lines_within(lines, span)) == [HEADED, "  File x\n"]


def test_a_label_keeps_only_what_is_read() -> None:
    """Long lists of ids stay behind."""
    label = {"kind": "x", "start": "s", "request_ids_failed_at_client": ["req-1"]}
    assert slim_label(label) == {"kind": "x", "start": "s"}


def test_a_slice_reads_back_as_a_capture(tmp_path: Path) -> None:
    """What was cut has the layout of a capture, packed, with the odd bytes as they were."""
    label = {"kind": "x", "start_epoch": 1795241382.0}
    (tmp_path / "labels.jsonl").write_text(json.dumps(label))
    for part in ("normal", "faults"):
        (tmp_path / part).mkdir()
        (tmp_path / part / "nova-api.log").write_bytes(HEADED.encode() + b"\xff\xfe\n")
        (tmp_path / part / "metrics.jsonl").write_text('{"ts": 5.0}\n')
    cut(tmp_path, tmp_path / "out", Span(1795241380.0, 1795241400.0))
    files = captured_files(tmp_path / "out" / "faults")
    assert [path.name for path in files] == ["metrics.jsonl.xz", "nova-api.log.xz"]
    assert lzma.decompress(files[1].read_bytes()) == HEADED.encode() + b"\xff\xfe\n"
    assert lzma.decompress(files[0].read_bytes()) == b""


def test_a_folder_of_another_shape_is_refused_by_name(tmp_path: Path) -> None:
    """The refusal says what was wanted."""
    with pytest.raises(SliceError, match=r"wanted a capture with normal/, faults/ and labels\.jsonl"):
        cut(tmp_path, tmp_path / "out", Span())


def test_what_ships_is_small_and_labelled() -> None:
    """The shipped slice stays below three megabytes and names its faults."""
    assert sum(path.stat().st_size for path in HERE.rglob("*") if path.is_file()) < 3_000_000
    kinds = [json.loads(line)["kind"] for line in (HERE / "labels.jsonl").read_text().splitlines()]
    assert len(kinds) == len(set(kinds)) == 15
