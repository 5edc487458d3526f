"""Bytes as they came to text: unpacked within bounds, and decoded.

The rule for what is not UTF-8: a text of which at most one character in ten has to be replaced is read with U+FFFD in
their place (a latin-1 name in a line shall not cost the line); anything else is binary and a dead letter.
"""

from collections.abc import Callable

import cramjam

from services.common.errors import InvalidMessage

GZIP_MAGIC = b"\x1f\x8b\x08"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
SNAPPY_MAGIC = b"\xff\x06\x00\x00sNaPpY"
MAX_REPLACED_SHARE = 0.1
#: Lines of one value: 10 MB of ordinary ones; a megabyte of newlines must not become a million events.
MAX_LINES = 100_000
#: Logs shrink to about a tenth; the first buffer is made for that.
_USUAL_RATIO = 16
#: What cramjam says when the buffer is too small.
_BUFFER_FULL = "failed to write whole buffer"


def read_text(value: bytes | None, max_expanded_bytes: int) -> str:
    """The text of a record's value.

    Raises:
        InvalidMessage: `no_value`, `too_large`, `bad_gzip`, `bad_zstd` or `not_utf8`.
    """
    return decode(unpack(value, max_expanded_bytes))


def unpack(value: bytes | None, max_expanded_bytes: int) -> bytes:
    """The bytes of a record's value, expanded when it begins as gzip, zstd or framed snappy does.

    Raises:
        InvalidMessage: `no_value`, `too_large`, `bad_gzip`, `bad_zstd` or `bad_snappy`.
    """
    if value is None:
        raise InvalidMessage("no_value", "the record has no value")
    if value.startswith(GZIP_MAGIC):
        return _expand(value, "gzip", cramjam.gzip.decompress_into, max_expanded_bytes)
    if value.startswith(ZSTD_MAGIC):
        return _expand(value, "zstd", cramjam.zstd.decompress_into, max_expanded_bytes)
    if value.startswith(SNAPPY_MAGIC):
        return _expand(value, "snappy", cramjam.snappy.decompress_into, max_expanded_bytes)
    if len(value) > max_expanded_bytes:  # its shipper's client packed it, so that it passed the topic's limit
        raise InvalidMessage("too_large", f"{len(value)} bytes, wanted up to {max_expanded_bytes}")
    return value


def unpack_snappy_block(value: bytes, max_expanded_bytes: int) -> bytes:
    """A bare snappy block, as remote_write sends it: it has no magic number, so the caller must know.

    Raises:
        InvalidMessage: `too_large` or `bad_snappy`.
    """
    try:
        size = cramjam.snappy.decompress_raw_len(value)
        if size > max_expanded_bytes:
            raise InvalidMessage("too_large", f"snappy expands to {size} bytes, wanted up to {max_expanded_bytes}")
        return bytes(cramjam.snappy.decompress_raw(value))
    except cramjam.DecompressionError as error:
        raise InvalidMessage("bad_snappy", str(error)) from error


def decode(value: bytes) -> str:
    """UTF-8, by the rule above. Raises InvalidMessage `not_utf8`."""
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        text = value.decode(errors="replace")
        replaced = text.count("�")
        if replaced > MAX_REPLACED_SHARE * len(text) or "\0" in text:
            raise InvalidMessage("not_utf8", f"{replaced} of {len(text)} characters, the first {error}") from error
        return text


def split_lines(text: str) -> list[str]:
    """The lines of a text: one newline at its end ends the last line, every other one begins a line.

    An empty text is one blank line. `\\r\\n` ends a line too.

    Raises:
        InvalidMessage: `too_many_lines`.
    """
    if "\n" not in text:
        return [text]
    check_num_lines(text.count("\n"))
    lines = text.removesuffix("\n").split("\n")
    return [line.removesuffix("\r") for line in lines] if "\r" in text else lines


def shown(value: object) -> str:
    """A value out of JSON as text; `[..]` for one that is nested too deep for that."""
    try:
        return str(value)
    except RecursionError:
        return "[..]"


def check_num_lines(number: int) -> None:
    """Raises InvalidMessage `too_many_lines` beyond MAX_LINES."""
    if number > MAX_LINES:
        raise InvalidMessage("too_many_lines", f"{number} in one value, wanted up to {MAX_LINES}: send smaller ones")


def _expand(value: bytes, name: str, decompress_into: Callable[[bytes, bytearray], int], limit: int) -> bytes:
    """Unpacks into a buffer of bounded size, so that a small bomb costs no more than `limit` bytes."""
    for size in (min(limit, len(value) * _USUAL_RATIO + 65_536), limit):
        buffer = bytearray(size)
        try:
            return bytes(memoryview(buffer)[: decompress_into(value, buffer)])
        except Exception as error:  # cramjam has one error for everything
            if _BUFFER_FULL not in str(error):
                raise InvalidMessage(f"bad_{name}", str(error)) from error
    raise InvalidMessage("too_large", f"{name} expands beyond {limit} bytes (setting max_expanded_bytes)")
