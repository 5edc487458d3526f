"""Files of lines, packed or not, read and written in bounded memory: the ending of a name says how it is packed."""

import gzip
import io
import lzma
import sys
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, BinaryIO, cast

from services.common.errors import SettingsInvalid

ENDINGS = (".gz", ".xz", ".zst")
#: A longer line is not read as one: it would have to be in memory.
MAX_LINE_BYTES = 4 * 2**20
_DAMAGED = (EOFError, OSError, lzma.LZMAError, zlib.error)


class LineReader:
    """The lines of a file with their ends.

    Args:
        path: a file; `-` is standard input, unpacked.
        max_bytes: how much it may unpack to.

    Attributes:
        num_bytes: how many were read, unpacked.
    """

    def __init__(self, path: Path, max_bytes: int) -> None:
        self.path = path
        self.num_bytes = 0
        self._max_bytes = max_bytes
        try:
            self._raw: BinaryIO = sys.stdin.buffer if str(path) == "-" else path.open("rb")
        except OSError as error:
            raise SettingsInvalid(f"{path} cannot be read ({error.strerror}): name a file that is there") from None

    @property
    def position(self) -> int:
        """How many bytes of the file as it lies there were read; 0 where that is not known."""
        return self._raw.tell() if self._raw.seekable() and not self._raw.closed else 0

    def __iter__(self) -> Iterator[bytes]:
        """Each line. One of more than MAX_LINE_BYTES comes in pieces, of which only the last has an end.

        Raises:
            SettingsInvalid: the file is damaged, or unpacks to more than it may.
        """
        try:
            with self._closing(), _unpacked(self._raw, self.path.suffix) as file:
                while line := file.readline(MAX_LINE_BYTES):
                    self.num_bytes += len(line)
                    if self.num_bytes > self._max_bytes:
                        raise SettingsInvalid(
                            f"{self.path} unpacks to more than {self._max_bytes} bytes: if it is what you think it is, "
                            "give --max-expanded-bytes"
                        )
                    yield line
        except _DAMAGED as error:
            raise SettingsInvalid(
                f"{self.path} cannot be read to its end ({error}): is it complete, and packed as its name says?"
            ) from None

    def _closing(self) -> AbstractContextManager[Any]:
        return nullcontext() if self._raw is sys.stdin.buffer else self._raw


@contextmanager
def line_writer(path: Path | None) -> Iterator[BinaryIO]:
    """A file to write, packed as its ending says; None is standard output.

    It is there under its name only when all was written; what is left of a failure is removed.

    Raises:
        SettingsInvalid: it is there already, or cannot be made.
    """
    if path is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    if path.exists():
        raise SettingsInvalid(f"{path} is there already: name another, or remove it first")
    part = path.with_name(f".{path.name}.part")
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as raw, _packing(raw, path.suffix) as file:
            yield file
        part.rename(path)
    except OSError as error:
        raise SettingsInvalid(f"{path} cannot be written ({error.strerror or error})") from None
    finally:
        with suppress(NotADirectoryError):
            part.unlink(missing_ok=True)


def _unpacked(raw: BinaryIO, ending: str) -> Any:
    if ending == ".gz":
        return gzip.GzipFile(fileobj=raw)
    if ending == ".xz":
        return io.BufferedReader(cast(Any, lzma.LZMAFile(raw)))
    if ending == ".zst":
        return io.BufferedReader(_arrow().CompressedInputStream(raw, "zstd"), 1 << 16)
    return raw


def _packing(raw: BinaryIO, ending: str) -> Any:
    if ending == ".gz":
        return gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=6, mtime=0)
    if ending == ".xz":
        return lzma.LZMAFile(raw, "wb")
    if ending == ".zst":
        return io.BufferedWriter(_arrow().CompressedOutputStream(raw, "zstd"), 1 << 16)
    return io.BufferedWriter(cast(Any, raw))


def _arrow() -> Any:
    try:
        import pyarrow
    except ImportError:
        raise SettingsInvalid("zstd and parquet need pyarrow: pip install 'moselle[tools]'") from None
    return pyarrow
