"""`moselle anonymize` as a person runs it."""

import gzip
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from moselle.anonymizing import command
from moselle.packed import MAX_LINE_BYTES
from services.common.errors import SettingsInvalid
from services.ingest.core.pseudonyms import Pseudonyms

KEY = "k" * 32
USER_ID = "64152ad4d385428aa8351edfea9480a2"
HEAD = f"2026-11-21 06:12:12.862 24053 INFO nova.api [None req-a {USER_ID} cc23bb66f3264d4c8c07647572cec49e - - d d] "
FERNET = "gAAAAABlXk3Jd_9-Qzk3Jd_9-Qzk3Jd_9-Qz"


def of(kind: str, value: str) -> str:
    return Pseudonyms(KEY.encode()).of(kind, value)


def run(*arguments: object, key: str = KEY) -> Result:
    """With the key in the environment; what went wrong is raised."""
    return CliRunner(env={"IT_KEY": key}).invoke(command, [*map(str, arguments)], catch_exceptions=False)


def masked(folder: Path, text: str, *arguments: str) -> str:
    """What becomes of a file with this text."""
    source, out = folder / "in.log", folder / "out"
    source.write_bytes(text.encode())
    assert run(source, "--out", out, "--key-env", "IT_KEY", *arguments).exit_code == 0
    return (out / "in.log").read_bytes().decode()


def test_text_lines_keep_their_form(tmp_path: Path) -> None:
    """Ends of lines too; secrets are stars, personal data the pseudonyms that ingest writes."""
    text = f"{HEAD}from 10.0.0.7 token {FERNET}\r\n\nbob@x.org of {USER_ID}"
    user, project = of("user_id", USER_ID), of("project_id", "cc23bb66f3264d4c8c07647572cec49e")
    assert masked(tmp_path, text) == (
        f"2026-11-21 06:12:12.862 24053 INFO nova.api [None req-a {user} {project} - - d d] "
        f"from {of('ip', '10.0.0.7')} token ***\r\n\n{of('email', 'bob@x.org')} of {user}"
    )


def test_json_lines_stay_json(tmp_path: Path) -> None:
    """Masked by the names of their fields; a line without anything to mask stays as it is, blanks and all."""
    record = {"log": f"{HEAD}of {USER_ID}", "host": "h1", "context": {"auth_token": "x", "user": USER_ID}, "n": 1.5}
    lines = [json.dumps(record), '{ "a" :  1 }', '{"broken', json.dumps({"msg": "\u00e9 10.0.0.7"})]
    shown = masked(tmp_path, "\n".join(lines)).split("\n")
    assert json.loads(shown[0])["context"] == {"auth_token": "***", "user": of("user_id", USER_ID)}
    assert json.loads(shown[0])["log"].endswith(f"of {of('user_id', USER_ID)}")
    assert shown[1:3] == lines[1:3]
    assert json.loads(shown[3]) == {"msg": f"\u00e9 {of('ip', '10.0.0.7')}"}


def test_hosts_only_when_told(tmp_path: Path) -> None:
    """Those that lines are from, those that are named, and those of fields."""
    text = "2026-11-21T06:12:12+00:00 web1 app[4]: web1 asks db-7 of host=c3\n"
    assert masked(tmp_path, text) == text
    (tmp_path / "out" / "in.log").unlink()
    web, db, other = (of("host_name", name) for name in ("web1", "db-7", "c3"))
    assert masked(tmp_path, text, "--hosts", "--host", "db-7") == (
        f"2026-11-21T06:12:12+00:00 {web} app[4]: {web} asks {db} of host={other}\n"
    )


def test_a_private_key_goes_line_by_line(tmp_path: Path) -> None:
    """To its last line; what comes after it stays."""
    text = "a\n-----BEGIN PRIVATE KEY-----\nMIIEow\nabc=\n-----END PRIVATE KEY-----\nend of it\n"
    shown = masked(tmp_path, text)
    assert "MIIEow" not in shown
    assert "abc=" not in shown
    assert shown.endswith("end of it\n")
    assert shown.count("\n") == text.count("\n")


def test_bytes_that_are_no_utf8_stay(tmp_path: Path) -> None:
    """A latin-1 name costs no line."""
    source = tmp_path / "in.log"
    source.write_bytes(b"Gr\xfc\xdfe von 10.0.0.7\n")
    run(source, "--out", tmp_path / "out", "--key-env", "IT_KEY")
    assert (tmp_path / "out" / "in.log").read_bytes() == f"Gr\xfc\xdfe von {of('ip', '10.0.0.7')}\n".encode("latin-1")


def test_a_line_that_is_too_long_is_withheld(tmp_path: Path) -> None:
    """A secret could lie where it would be cut."""
    shown = masked(tmp_path, "x" * (MAX_LINE_BYTES * 2 + 7) + "\nshort\n")
    assert shown == f"[a line of more than {MAX_LINE_BYTES} bytes was withheld]\nshort\n"


@pytest.mark.parametrize(("encoding", "num_lines"), [("utf-16-le", 3), ("utf-16-be", 2)])
def test_text_that_cannot_be_read_is_withheld(encoding: str, num_lines: int, tmp_path: Path) -> None:
    """UTF-16 hides everything from whoever looks for it in UTF-8."""
    (tmp_path / "in.log").write_bytes("password=hunter2\n10.0.0.7\n".encode(encoding))
    result = run(tmp_path / "in.log", "--json")
    assert f'"withheld_lines": {num_lines}' in result.stdout
    assert "\0" not in result.stdout
    assert result.stdout.count("zero bytes was withheld") == num_lines


@pytest.mark.parametrize("end", ["", "\n"])
def test_the_report_is_a_line_of_its_own(end: str, tmp_path: Path) -> None:
    """Whatever the last file ends with."""
    (tmp_path / "in.log").write_text(f"one\ntwo{end}")
    lines = run(tmp_path / "in.log", "--json").stdout.splitlines()
    assert lines[:2] == ["one", "two"]
    assert json.loads(lines[2])["lines"] == 2


def test_the_report_has_numbers_and_no_values(tmp_path: Path) -> None:
    """The last line is JSON: kinds, forms of secrets, whose key."""
    packed = tmp_path / "in.log.gz"
    packed.write_bytes(gzip.compress(f"10.0.0.7 10.0.0.7 password=x\n{FERNET}\nplain\n".encode()))
    result = run(packed, "--out", tmp_path / "out", "--json")
    report = json.loads(result.stdout.splitlines()[-1])
    assert (report["files"], report["lines"], report["changed_lines"]) == (1, 3, 2)
    assert (report["pseudonyms"], report["secrets"]) == ({"ip": 2}, {"field": 1, "look": 1})
    assert report["key"] == "random"
    assert "10.0.0.7" not in result.stdout
    assert b"password=***\n" in gzip.decompress((tmp_path / "out" / "in.log.gz").read_bytes())


def test_a_random_key_is_another_one_each_time(tmp_path: Path) -> None:
    """And the report says that nothing joins."""
    (tmp_path / "in.log").write_text("10.0.0.7\n")
    first, second = run(tmp_path / "in.log"), run(tmp_path / "in.log")
    assert first.stdout != second.stdout
    assert "the key was random" in first.stderr


def test_a_value_can_be_looked_up(tmp_path: Path) -> None:
    """For a join with data outside, by whoever has the key."""
    key = tmp_path / "key"
    key.write_text(KEY + "\n")
    assert run("--value", "ip=10.0.0.7", "--key-file", key).stdout == f"ip=10.0.0.7 {of('ip', '10.0.0.7')}\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "name files"),
        (("x", "--kinds", "ips"), "--kinds"),
        (("x", "--key-env", "A", "--key-file", __file__), "not both"),
        (("--value", "ip=1.2.3.4"), "needs the key"),
        (("--value", "x", "--key-env", "IT_KEY"), "KIND=VALUE"),
    ],
)
def test_wrong_usage_ends_with_two(arguments: tuple[str, ...], words: str) -> None:
    """And says what is wrong."""
    result = run(*arguments)
    assert result.exit_code == 2
    assert words in result.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nothing.log",), "cannot be read"), ((".",), "is a folder"),
        (("a/x.log", "b/x.log", "--out", "o"), "are called"),
        (("x", "--key-env", "NO_SUCH_KEY"), "NO_SUCH_KEY"), (("x", "--key-env", "IT_KEY", "--key-id", "key"), "key id"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_one_sentence(arguments: tuple[str, ...], words: str) -> None:
    """Which `moselle` prints before it ends with 1."""
    with pytest.raises(SettingsInvalid, match=words):
        run(*arguments)


def test_a_short_key_is_not_shown() -> None:
    """Only how long it is."""
    with pytest.raises(SettingsInvalid, match="7 bytes") as caught:
        run("x", "--key-env", "IT_KEY", key="hunter2")
    assert "hunter2" not in str(caught.value)
