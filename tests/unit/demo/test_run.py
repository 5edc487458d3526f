"""What surrounds a demonstration: its capture, its clock, its leftovers."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from moselle.demo.capture import read_capture
from moselle.demo.processes import MARK, DemoFailed, processes_of, sweep
from moselle.demo.run import STARTED_VARIABLE, command_epoch, main
from moselle.demo.slice import HERE


def test_the_shipped_capture_is_learnt_from_for_twelve_minutes() -> None:
    """Two thirds of its 18 minutes of ordinary operation."""
    capture = read_capture(HERE)
    assert capture.fit_seconds == 720
    assert capture.end - capture.normal_end > 1000


def test_a_wrong_data_folder_fails_in_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is started; the sentence says what was wanted."""
    assert main(data=tmp_path, output_dir=tmp_path) == 1
    (sentence,) = capsys.readouterr().err.splitlines()
    assert "wanted a capture with normal/, faults/ and labels.jsonl" in sentence


@pytest.mark.parametrize("text", ["", "{}\n", "not json\n", '{"kind":"x","service":"y","start_epoch":"?"}\n'])
def test_labels_that_cannot_be_read_are_refused(text: str, tmp_path: Path) -> None:
    """Each with the file's name, or for want of logs."""
    (tmp_path / "labels.jsonl").write_text(text)
    with pytest.raises(DemoFailed, match=str(tmp_path)):
        read_capture(tmp_path)


def test_the_command_began_when_make_says_so() -> None:
    """Installation counts; a time in the future or no time at all does not."""
    assert command_epoch({STARTED_VARIABLE: "1000.5"}, 2000.0) == 1000.5
    assert command_epoch({STARTED_VARIABLE: "3000"}, 2000.0) == 2000.0
    assert command_epoch({STARTED_VARIABLE: "soon"}, 2000.0) == 2000.0


def test_a_sweep_ends_even_what_does_not_listen(tmp_path: Path) -> None:
    """A process that ignores SIGTERM is found by its mark and killed; ours and others' live on."""
    code = "import signal,sys; signal.signal(15, signal.SIG_IGN); print('up', flush=True); signal.pause()"
    with subprocess.Popen(
        [sys.executable, "-c", code], env={**os.environ, MARK: str(tmp_path)}, stdout=subprocess.PIPE
    ) as stubborn:
        assert stubborn.stdout is not None
        stubborn.stdout.readline()
        assert [process.pid for process in processes_of(tmp_path)] == [stubborn.pid]
        sweep(tmp_path)
        assert not psutil.pid_exists(stubborn.pid)
    assert processes_of(tmp_path) == []
