"""Which files a replay reads, and what host they are from."""

import gzip
import io
import json
import lzma
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Literal, TextIO, cast

from services.common.errors import SettingsInvalid

Format = Literal["text", "json"]

COMPRESSED = (".gz", ".xz")
METRICS_NAME = "metrics.jsonl"
#: Of a recorded campaign, in the order of time.
PARTS = ("normal", "faults")


@dataclass(frozen=True, slots=True)
class Source:
    """One file to replay. `host` is what its folder says, None when it says nothing."""

    path: Path
    host: str | None = None

    @property
    def name(self) -> str:
        """Its name as the shipper saw it: without the ending of the compression."""
        return plain_name(self.path)

    @property
    def is_metrics(self) -> bool:
        return self.name == METRICS_NAME


@dataclass(slots=True)
class Found:
    """What is replayed, and what lies in the folders but is not."""

    sources: list[Source] = field(default_factory=list)
    left_out: list[Path] = field(default_factory=list)


def plain_name(path: Path) -> str:
    """`nova-api.log.gz` is `nova-api.log`."""
    return path.stem if path.suffix in COMPRESSED else path.name


def find_sources(paths: Iterable[Path], form: Format) -> Found:
    """Files are taken as they are; of folders, logs and metrics.

    Raises:
        SettingsInvalid: a path is not there, or there is nothing to replay.
    """
    found = Found()
    for path in paths:
        if path.is_dir():
            take_folder(path, form, found)
        elif path.exists():
            found.sources.append(Source(path, folder_host(path.parent)))
        else:
            raise SettingsInvalid(f"{path} is not there: name a log file, or a folder with some")
    if not found.sources:
        raise SettingsInvalid(
            f"nothing to read in {', '.join(map(str, paths))}: wanted *.log (or .log.gz, .log.xz) or {METRICS_NAME}"
        )
    return found


def take_folder(folder: Path, form: Format, found: Found) -> None:
    """Adds a folder's files: those of `normal/` and `faults/` when it has them, else of all its folders."""
    parts = [folder / part for part in PARTS if (folder / part).is_dir()]
    if parts:
        for part in parts:
            take_folder(part, form, found)
        found.left_out += [path for path in sorted(folder.iterdir()) if path not in parts]
        return
    host = folder_host(folder)
    for path in sorted(folder.iterdir()):
        is_json_folder = path.name == "json" and path.is_dir()
        if is_json_folder and form == "json":
            found.sources += [Source(log, host) for log in sorted(path.iterdir()) if is_log(log)]
        elif path.is_dir() and not is_json_folder:
            take_folder(path, form, found)
        elif plain_name(path) == METRICS_NAME or (is_log(path) and not (form == "json" and (folder / "json").is_dir())):
            found.sources.append(Source(path, host))
        else:
            found.left_out.append(path)


def is_log(path: Path) -> bool:
    return path.is_file() and plain_name(path).endswith(".log")


def folder_host(folder: Path) -> str | None:
    """The host that the metrics or the JSON logs of a folder name, None when they do not."""
    metrics = [path for path in sorted(folder.glob(f"{METRICS_NAME}*")) if plain_name(path) == METRICS_NAME]
    for path in (*metrics, *sorted(folder.glob("json/*.log*")), *sorted(folder.glob("*.json.log*"))):
        try:
            first = json.loads(next(read_lines(path), ""))
        except (ValueError, SettingsInvalid):
            continue
        host = (first.get("instance") or first.get("hostname")) if isinstance(first, dict) else None
        if host:
            return str(host)
    return None


class LineFile:
    """A file's lines, and how many of its bytes were read, for a progress bar."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._raw: BinaryIO = path.open("rb")

    @property
    def position(self) -> int:
        """How many bytes of the file were read; all of them when it is over."""
        return self.path.stat().st_size if self._raw.closed else self._raw.tell()

    def __iter__(self) -> Iterator[str]:
        """Each line without its end. Bytes that are no UTF-8 become U+FFFD, because JSON cannot hold them.

        Raises:
            SettingsInvalid: the file is damaged.
        """
        try:
            with self._raw, open_text(self._raw, self.path.suffix) as text:
                for line in text:
                    yield line.rstrip("\r\n")
        except (EOFError, OSError, lzma.LZMAError, zlib.error) as error:
            raise SettingsInvalid(
                f"{self.path} cannot be read to its end ({error}): is it complete, and packed as its name says?"
            ) from None


def read_lines(path: Path) -> Iterator[str]:
    """The lines of a file, packed or not."""
    return iter(LineFile(path))


def open_text(raw: BinaryIO, ending: str) -> TextIO:
    """The text in a file, unpacked by the ending of its name."""
    unpacked: io.BufferedIOBase
    if ending == ".gz":
        unpacked = gzip.GzipFile(fileobj=raw)
    elif ending == ".xz":
        unpacked = lzma.LZMAFile(raw)
    else:
        unpacked = cast(io.BufferedIOBase, raw)
    return io.TextIOWrapper(io.BufferedReader(cast(io.RawIOBase, unpacked), 1 << 16), "utf-8", "replace", newline="\n")
