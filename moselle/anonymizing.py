"""`moselle anonymize`: files of logs without secrets and personal data, by the engine that ingest uses."""

import json
import os
import secrets as randomness
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import click

from moselle.mask_keys import Decorator, key_options
from moselle.packed import MAX_LINE_BYTES, LineReader, line_writer
from moselle.progress import progress_bar
from services.common.errors import SettingsInvalid
from services.ingest.core.documents import Documents
from services.ingest.core.privacy import Privacy
from services.ingest.core.pseudonyms import HOST, KINDS, PERSONAL
from services.ingest.core.secrets import MASK, closes_key, is_key_rest, opens_key

WITHHELD = b"[a line of more than %d bytes was withheld]" % MAX_LINE_BYTES
#: Text in UTF-16 would pass unread, character by character.
NOT_READ = b"[a line with zero bytes was withheld: binary, or text in UTF-16]"
#: Of compressed files; what a folder of logs may grow to is the disk's matter.
DEFAULT_MAX_BYTES = 64 * 2**30
#: How a key that nobody keeps is called: another one in each run.
_RANDOM_ID = "r{:05d}"


@dataclass(slots=True)
class Report:
    """What was masked, in numbers; no value is in it."""

    files: int = 0
    lines: int = 0
    bytes: int = 0
    withheld_lines: int = 0
    changed_lines: int = 0
    pseudonyms: Counter[str] = field(default_factory=Counter)
    secrets: Counter[str] = field(default_factory=Counter)
    key: str = "given"
    key_id: str = ""
    #: Standard output ends in a line without its newline.
    has_open_line: bool = False

    def as_json(self) -> dict[str, object]:
        return {
            "files": self.files, "lines": self.lines, "bytes": self.bytes, "changed_lines": self.changed_lines,
            "withheld_lines": self.withheld_lines, "pseudonyms": dict(sorted(self.pseudonyms.items())),
            "secrets": dict(sorted(self.secrets.items())), "key": self.key, "key_id": self.key_id,
        }  # fmt: skip


#: With which key, and what is replaced.
anonymizing_options: Decorator = key_options(
    "The file that holds the key, at least 32 bytes. The key of ingest (MOSELLE_INGEST_MASK_KEY) gives the same "
    "pseudonyms. Without a key a random one is used: pseudonyms then join within this run only.",
    click.option(
        "--kinds", metavar="KINDS", default="all", show_default=True,
        help=f"What is replaced by pseudonyms: all, none, or some of {','.join(PERSONAL)}. Secrets always go.",
    ),
    click.option("--hosts", is_flag=True, help="Host names and entity ids too: the result names no machine."),
)  # fmt: skip


def make_engine(
    key_env: str | None, key_file: Path | None, key_id: str, kinds: str, hosts: bool, report: Report
) -> Documents:
    """The engine for these options.

    Raises:
        UsageError: the options contradict each other.
        SettingsInvalid: there is no such key, or it is too short.
    """
    if key_env and key_file:
        raise click.UsageError("give --key-env or --key-file, not both")
    chosen = [*_chosen(kinds), *([HOST] if hosts else [])]
    key = read_key(key_env, key_file)
    if key is None:
        key, key_id, report.key = randomness.token_bytes(32), _RANDOM_ID.format(randomness.randbelow(100_000)), "random"
    report.key_id = key_id
    return Documents(Privacy(chosen, key, key_id))


def _chosen(kinds: str) -> Sequence[str]:
    if kinds in ("all", "none"):
        return PERSONAL if kinds == "all" else ()
    chosen = [kind.strip() for kind in kinds.split(",")]
    for kind in chosen:
        if kind not in PERSONAL:
            raise click.UsageError(f"--kinds: {kind!r} is none of all, none, {', '.join(PERSONAL)}")
    return chosen


def read_key(key_env: str | None, key_file: Path | None) -> bytes | None:
    """The key, without a newline at its end; None when none is named. Raises SettingsInvalid when it is not there."""
    if key_file is not None:
        return key_file.read_bytes().rstrip(b"\r\n")
    if key_env is None:
        return None
    if key_env not in os.environ:
        raise SettingsInvalid(f"there is no environment variable {key_env}: export the key, or give --key-file")
    return os.environ[key_env].encode()


@click.command()
@click.argument("files", nargs=-1, type=click.Path(path_type=Path, allow_dash=True), metavar="FILE...")
@click.option(
    "--out", "-o", default="-", show_default=True, metavar="FOLDER|-",
    help="A folder that gets a file of the same name and packing for each; - writes all of it to standard output.",
)  # fmt: skip
@anonymizing_options
@click.option(
    "--host", "host_names", multiple=True, metavar="NAME",
    help="With --hosts: a host that no line says it is from, so that its name in texts is found. May be repeated.",
)  # fmt: skip
@click.option(
    "--value", "values", multiple=True, metavar="KIND=VALUE",
    help=f"Show the pseudonym of one value, for a join; needs the key. Kinds: {', '.join(KINDS)}. May be repeated.",
)  # fmt: skip
@click.option(
    "--max-expanded-bytes", type=click.IntRange(min=1), default=DEFAULT_MAX_BYTES, show_default=True,
    help="A file that unpacks to more is refused: it may be a bomb.",
)  # fmt: skip
@click.option("--json", "is_json", is_flag=True, help="The report as the last line of standard output, for scripts.")
def command(
    files: tuple[Path, ...], out: str, key_env: str | None, key_file: Path | None, key_id: str, kinds: str, hosts: bool,
    host_names: tuple[str, ...], values: tuple[str, ...], max_expanded_bytes: int, is_json: bool,
) -> None:  # fmt: skip
    """Replace secrets and personal data in log files: text and JSON lines, .gz, .xz and .zst too.

    Secrets become ***, personal data pseudonyms that are the same for the same value. Lines stay lines. What is
    recognised, and what is not, is told in docs/privacy.md: read the result before you hand it on.
    """
    report = Report()
    documents = make_engine(key_env, key_file, key_id, kinds, hosts, report)
    if bool(files) == bool(values):
        raise click.UsageError("name files to anonymize, or values with --value, and not both")
    if values:
        show_values(values, documents.privacy, report)
        return
    for name in host_names:
        documents.privacy.personal.learn_host(name)
    folder = None if out == "-" else Path(out)
    anonymize(files, targets(files, folder), documents, report, max_expanded_bytes)
    tell(report, is_json)


def show_values(values: Iterable[str], privacy: Privacy, report: Report) -> None:
    """One line for each: `KIND=VALUE PSEUDONYM`."""
    if report.key == "random":
        raise click.UsageError("--value needs the key that made the other pseudonyms: give --key-env or --key-file")
    for each in values:
        kind, equals, value = each.partition("=")
        if kind not in KINDS or not equals or not value:
            raise click.UsageError(f"--value {each!r}: wanted KIND=VALUE with one of {', '.join(KINDS)}")
        click.echo(f"{each} {privacy.pseudonyms.of(kind, value)}")


def targets(files: Sequence[Path], folder: Path | None) -> list[Path | None]:
    """Where each file goes. Raises SettingsInvalid when two would get one name, or a file is a folder."""
    for file in files:
        if file.is_dir():
            raise SettingsInvalid(f"{file} is a folder: name the files in it, such as {file}/*.log")
    if folder is None:
        return [None] * len(files)
    names = [file.name if str(file) != "-" else "stdin" for file in files]
    for name, number in Counter(names).items():
        if number > 1:
            raise SettingsInvalid(f"{number} files are called {name}: anonymize them into different folders")
    return [folder / name for name in names]


def anonymize(
    files: Sequence[Path], written: Sequence[Path | None], documents: Documents, report: Report, max_bytes: int
) -> None:
    """Reads each file and writes what is left of it."""
    total = sum(file.stat().st_size for file in files if file.is_file())
    done = 0
    with progress_bar("anonymizing", total) as update:
        for file, target in zip(files, written, strict=True):
            reader = LineReader(file, max_bytes)
            with line_writer(target) as output:
                for _ in _copy(reader, output, documents, report):
                    update(lambda reader=reader, done=done: done + reader.position, file.name)  # type: ignore[misc]
            done += file.stat().st_size if file.is_file() else 0
            report.files += 1
            report.bytes += reader.num_bytes
    report.has_open_line &= None in written
    report.pseudonyms = documents.privacy.take_counts()
    report.secrets = documents.secrets


def _copy(reader: LineReader, output: BinaryIO, documents: Documents, report: Report) -> Iterable[None]:
    """Masks line by line. A private key is hidden to its end, however many lines it has."""
    is_in_key = is_in_long_line = False
    documents.begin()
    for raw in reader:
        line = raw.rstrip(b"\r\n")
        if len(raw) == MAX_LINE_BYTES and line == raw:
            report.withheld_lines += not is_in_long_line
            output.write(b"" if is_in_long_line else WITHHELD)
            is_in_long_line = report.has_open_line = True
            continue
        ending = raw[len(line) :]
        if is_in_long_line:
            is_in_long_line = False
            masked = b""
        elif b"\0" in line:
            masked = NOT_READ
            report.withheld_lines += 1
        else:
            text, encoding = _decoded(line)
            shown = documents.line(text)
            if is_in_key and not closes_key(shown):
                is_in_key = is_key_rest(shown)
                shown = MASK if is_in_key else shown
            else:
                is_in_key = opens_key(shown)
            masked = shown.encode(encoding)
            report.changed_lines += masked != line
        output.write(masked + ending)
        report.lines += 1
        report.has_open_line = not ending
        yield


def _decoded(line: bytes) -> tuple[str, str]:
    """A line's text and how to write it back: bytes that are no UTF-8 stay as they are."""
    try:
        return line.decode(), "utf-8"
    except UnicodeDecodeError:
        return line.decode("latin-1"), "latin-1"


def tell(report: Report, is_json: bool) -> None:
    """The report, for people on standard error."""
    if is_json:
        click.echo(("\n" if report.has_open_line else "") + json.dumps(report.as_json()))
        return
    sys.stdout.flush()
    words = [f"{report.lines} lines of {report.files} files, {report.changed_lines} changed"]
    words += [f"{number:>10}  {kind}" for kind, number in sorted(report.pseudonyms.items())]
    words += [f"{number:>10}  secret ({form})" for form, number in sorted(report.secrets.items())]
    if report.withheld_lines:
        words.append(f"{report.withheld_lines:>10}  lines withheld: more than {MAX_LINE_BYTES} bytes, or no text")
    if report.key == "random":
        words.append(f"the key was random ({report.key_id}): these pseudonyms match those of no other run")
    for line in words:
        click.echo(line, err=True)
