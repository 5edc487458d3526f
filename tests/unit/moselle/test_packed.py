"""Files of lines, packed or not."""

import gzip
import lzma
import random
from pathlib import Path

import cramjam
import pytest

from moselle.packed import MAX_LINE_BYTES, LineReader, line_writer
from services.common.errors import SettingsInvalid

LINES = [b"one\n", b"\n", b"two\r\n", b"\xff end"]
PACK = {"": bytes, ".gz": gzip.compress, ".xz": lzma.compress, ".zst": lambda data: bytes(cramjam.zstd.compress(data))}


@pytest.mark.parametrize("ending", PACK)
def test_lines_come_with_their_ends(ending: str, tmp_path: Path) -> None:
    """Whatever packs them; bytes that are no text too."""
    path = tmp_path / f"a.log{ending}"
    path.write_bytes(PACK[ending](b"".join(LINES)))
    reader = LineReader(path, 1000)
    assert list(reader) == LINES
    assert reader.num_bytes == len(b"".join(LINES))


@pytest.mark.parametrize("ending", PACK)
def test_what_is_written_is_read_again(ending: str, tmp_path: Path) -> None:
    """Packed as its name says."""
    path = tmp_path / "new" / f"a.log{ending}"
    with line_writer(path) as file:
        file.writelines(LINES)
    assert list(LineReader(path, 1000)) == LINES
    assert (path.read_bytes() == b"".join(LINES)) == (ending == "")


@pytest.mark.parametrize("ending", [".gz", ".xz", ".zst"])
def test_a_bomb_is_refused(ending: str, tmp_path: Path) -> None:
    """Beyond the limit, whatever it would be in the end."""
    path = tmp_path / f"a.log{ending}"
    path.write_bytes(PACK[ending](b"x" * 3_000_000 + b"\n"))
    with pytest.raises(SettingsInvalid, match="--max-expanded-bytes"):
        list(LineReader(path, 1_000_000))


@pytest.mark.parametrize("ending", [".gz", ".xz", ".zst"])
@pytest.mark.parametrize("content", [b"no such packing", None])
def test_a_damaged_file_is_told(ending: str, content: bytes | None, tmp_path: Path) -> None:
    """Garbage, or half of a file."""
    path = tmp_path / f"a.log{ending}"
    whole = PACK[ending](bytes(range(256)) * 50)
    path.write_bytes(whole[: len(whole) // 2] if content is None else content)
    with pytest.raises(SettingsInvalid, match="is it complete"):
        list(LineReader(path, 10**9))


@pytest.mark.parametrize("ending", [".gz", ".xz"])
def test_a_file_damaged_in_its_middle_is_told(ending: str, tmp_path: Path) -> None:
    """Bits that fell over, as a bad disk has them."""
    path = tmp_path / f"a.log{ending}"
    packed = bytearray(PACK[ending](random.Random(7).randbytes(20_000)))
    packed[200:230] = bytes(30)
    path.write_bytes(packed)
    with pytest.raises(SettingsInvalid, match="is it complete"):
        list(LineReader(path, 10**9))


def test_a_file_in_place_of_a_folder_is_told(tmp_path: Path) -> None:
    """And stays as it is."""
    (tmp_path / "a.log").write_bytes(b"x")
    with pytest.raises(SettingsInvalid, match="cannot be written"), line_writer(tmp_path / "a.log" / "b.log"):
        pass
    assert (tmp_path / "a.log").read_bytes() == b"x"


def test_a_long_line_comes_in_pieces(tmp_path: Path) -> None:
    """So that it is never in memory as one."""
    path = tmp_path / "a.log"
    path.write_bytes(b"x" * (MAX_LINE_BYTES + 5) + b"\nnext\n")
    assert [len(line) for line in LineReader(path, 10**9)] == [MAX_LINE_BYTES, 6, 5]


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    """Neither half a file nor its working copy; and nothing that is there is written over."""
    with pytest.raises(RuntimeError), line_writer(tmp_path / "a.log") as file:  # noqa: PT012 - what a caller does
        file.write(b"half")
        raise RuntimeError("stop")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "a.log").write_bytes(b"mine")
    with pytest.raises(SettingsInvalid, match="is there already"), line_writer(tmp_path / "a.log"):
        pass
    assert (tmp_path / "a.log").read_bytes() == b"mine"


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """One sentence."""
    with pytest.raises(SettingsInvalid, match="cannot be read"):
        LineReader(tmp_path / "nothing", 1)
