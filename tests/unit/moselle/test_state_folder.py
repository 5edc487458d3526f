"""The state folder: versions, the lock, what is remembered."""

import stat
from pathlib import Path

import pytest

from moselle.stack.control import public
from moselle.stack.folder import StackRuns, StateFolder
from moselle.stack.process import free_port, last_words
from moselle.stack.settings import StackRequest, StackSettings, choose_settings, load_settings, save_settings
from services.common.errors import SettingsInvalid


def test_only_its_owner_may_enter(tmp_path: Path) -> None:
    """A new folder is 0700, and what is written into it 0600."""
    folder = StateFolder(tmp_path / "state")
    folder.write("status.json", {"a": 1})
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder.path / "status.json").stat().st_mode) == 0o600


def test_a_folder_of_another_version_is_refused(tmp_path: Path) -> None:
    """The versions seen and wanted, and what to do, are in the sentence."""
    StateFolder(tmp_path / "state")
    (tmp_path / "state" / "VERSION").write_text("99\n")
    with pytest.raises(SettingsInvalid, match=r"has version '99', this program reads '1': .*--state"):
        StateFolder(tmp_path / "state")


def test_a_folder_with_other_things_is_refused(tmp_path: Path) -> None:
    """Somebody's folder is not filled with ours."""
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(SettingsInvalid, match="holds other things"):
        StateFolder(tmp_path)


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path: Path) -> None:
    """A path that cannot be a folder is one sentence."""
    (tmp_path / "file").touch()
    with pytest.raises(SettingsInvalid, match="cannot be used"):
        StateFolder(tmp_path / "file")


def test_one_supervisor_holds_the_lock(tmp_path: Path) -> None:
    """While it is held the folder counts as running, and nobody else gets it; afterwards it is free."""
    folder = StateFolder(tmp_path)
    with folder.lock():
        assert folder.is_running
        with pytest.raises(StackRuns), folder.lock():
            pass
    assert not folder.is_running


def test_addresses_are_remembered(tmp_path: Path) -> None:
    """A second start has the ports and the password of the first."""
    folder = StateFolder(tmp_path)
    first = choose_settings(load_settings(folder), StackRequest(services=("ingest",)))
    save_settings(folder, first)
    assert choose_settings(load_settings(folder), StackRequest(services=("ingest",))) == first


def test_a_port_that_was_asked_for_wins(tmp_path: Path) -> None:
    """An option is stronger than the memory."""
    port = free_port()
    assert choose_settings(StackSettings(kafka_port=free_port()), StackRequest(kafka_port=port)).kafka_port == port


def test_no_port_is_given_twice() -> None:
    """A server that starts later finds its port as free as it was."""
    assert len({free_port() for _ in range(300)}) == 300


def test_the_status_has_the_form_that_scripts_rely_on() -> None:
    """Only the public fields are shown, all of them even before anything was written."""
    assert public({"kafka": {"bootstrap": "b", "pid": 1}, "children": [], "supervisor": {}}) == {
        "kafka": {"bootstrap": "b", "pid": 1},
        "postgres": {"dsn": "", "pid": None},
        "services": [],
    }


def test_the_last_words_of_a_log_name_the_error(tmp_path: Path) -> None:
    """Of a Java stack trace the line with the exception counts, and only what was said since the last start."""
    log = tmp_path / "kafka.log"
    log.write_text("ERROR of yesterday\n")
    start = log.stat().st_size
    log.write_text("ERROR of yesterday\nINFO fine\njava.net.BindException: taken\n\tat sun.nio.ch.Net.bind0\nbye\n")
    assert last_words(log, start) == "java.net.BindException: taken"
    assert last_words(tmp_path / "none") == "it has no log"
