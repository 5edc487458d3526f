"""Random and mutated messages as hostile or broken shippers might send them, the same ones for the same seed."""

import gzip
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import cramjam
import orjson

from services.common.broker.abstract import Headers
from tests.golden.test_shapes import record_of

SHAPES = Path(__file__).parent / "golden" / "data" / "shapes"
KIB = 1024
#: A repeated or spliced message is cut here; one in two thousand may have a mebibyte.
USUAL_BYTES, LARGE_BYTES = 48 * KIB, KIB * KIB

OSLO = "2026-11-21 06:12:12.862 24053 INFO nova.compute.manager [None req-0f u p - - d d] [instance: 1-2] Took 3.2 s."
#: Besides the golden shapes: what no shipper should send, and beginnings of what it does.
SEEDS = (
    b"", b"\n", b" ", b"\0", b"{}", b"[]", b"[[]]", b"null", b'""', b"0", b"{", b"[", b"<", b"<13>", b"# EOF", b"%",
    OSLO.encode(), OSLO.replace("INFO", "ERROR").replace(" [None req-0f u p - - d d] [instance: 1-2]", "").encode(),
    b'{"log":"x"}', b'{"log":null}', b'{"message":"m","levelname":"INFO"}', b'{"metrics":[]}', b'{"name":"a"}',
    b'{"name":"cpu","tags":{"host":"h"},"fields":{"usage":1.5},"timestamp":1795241380}',
    b"cpu,host=h usage=1.5 1795241380000000000", b"h.cpu.load 1.5 1795241380", b"I0115 10:00:00.000001 1 a.go:1] x",
    b"2026-11-21T06:12:12.862Z stdout P part of", b"Nov 21 06:12:12 host1 cron[12]: hi", b"password='a\\'b' token: c",
    b'1.1.1.1 - - [21/Nov/2026:06:13:21 +0000] "GET / HTTP/1.1" 200 5 0.1', b"Traceback (most recent call last):",
    b'  File "a.py", line 1, in f', b"-----BEGIN RSA PRIVATE KEY-----", b"\x0a\x05\x0a\x03\x0a\x01\x0a",
    bytes(range(256)),
)  # fmt: skip
#: Whatever a parser of numbers, times, JSON, quotes, escapes or protobuf may stumble over.
TOKENS = (
    b"\0", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf0\x9f\x98\x80", "١٢".encode(), "²".encode(), "İ".encode(),
    "\u2028".encode(),
    "\u202e".encode(), b"\\ud800", b"\\u0000", b"NaN", b"Infinity", b"-1e308", b"1e400", b"9" * 30, b"9" * 5000, b"-0",
    b"0x1", b"1_0", b"{", b"}", b"[", b"]", b'"', b"'", b"\\", b"\\\\", b"\\\"", b",", b":", b"=", b" ", b"\t", b"\r",
    b"\n", b"\r\n", b"\n\n", b"|", b"/", b"%s", b"%(a)s", b"%*d", b"<*>", b"***",
    b"-----BEGIN PRIVATE KEY-----", b"://",
    b"a:b@", b"@", b"token=", b"password: ", b"Authorization: ", b"bearer ", b"--os-password ", b"identified by ",
    b"eyJ", b"gAAAA", b"AKIA", b"req-", b"[instance: ", b"[None req-", b"null", b"true", b'{"log":', b'"log":"',
    b"0000-00-00 00:00:00", b"9999-12-31T23:59:59.999999999+99:99", b"31/Feb/2026:25:61:61 +9999",
    b"<999>1 - - - - - -",
    b"\xff\xff\xff\xff\x0f", b"\x80" * 12, b"\x08\x96\x01", b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b"Z", b"T", b"+00:00",
)  # fmt: skip
#: Of two, three and four bytes, too: a text of a few of them takes four for each letter.
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ\u00e4\u4e2d\U0001d4d0"
WILD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1.5, 1e308, -1e308, 2**53, 2**63, -(2**63), 10**18, "", " ", "x" * 300, "\0",
    "\ud7ff", "9" * 40, "NaN",
    "-", "/", "a|b", "2026-02-31T25:00:00Z", [], {}, [[]], [None], {"": ""}, {"a": {"b": {"c": []}}},
    ["a"] * 50, {"value": []},
)  # fmt: skip


class Message(NamedTuple):
    """What a record holds."""

    kind: str
    key: bytes | None
    value: bytes
    headers: Headers | None = None


class Mutator:
    """An endless source of messages: half of them mutations of what shippers send, the rest of odd seeds.

    Args:
        seed: the same seed gives the same messages.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._samples = [*_golden(), *(Message(kind, b"k", seed) for seed in SEEDS for kind in ("logs", "metrics"))]
        self._changes: tuple[Callable[[bytes], bytes], ...] = (
            self._flip, self._cut, self._double, self._insert, self._insert, self._stammer, self._splice, self._digits,
            self._json, self._json, self._json, self._nest, self._wrap, self._pack, self._lines, self._words,
        )  # fmt: skip

    def message(self) -> Message:
        """The next one."""
        kind, key, value, headers = self._random.choice(self._samples)
        for _ in range(min(12, int(self._random.expovariate(0.5)))):
            value = self._random.choice(self._changes)(value)
        if self._random.random() < 0.02:
            kind = "logs" if kind == "metrics" else "metrics"
        if self._random.random() < 0.1:
            key = self._random.choice((None, b"", b"h|/a.log", self._random.randbytes(20), b"\xff|" * 100, key))
        if self._random.random() < 0.05:
            headers = None
        return Message(kind, key, value[: self._most()], headers)

    def _most(self) -> int:
        return LARGE_BYTES if self._random.random() < 0.0005 else USUAL_BYTES

    def _place(self, value: bytes) -> int:
        return self._random.randrange(len(value) + 1)

    def _span(self, value: bytes, most: int) -> slice:
        start = self._place(value)
        return slice(start, start + self._random.randrange(most))

    def _flip(self, value: bytes) -> bytes:
        changed = bytearray(value)
        for _ in range(self._random.randrange(1, 6) if changed else 0):
            changed[self._random.randrange(len(changed))] ^= 1 << self._random.randrange(8)
        return bytes(changed)

    def _cut(self, value: bytes) -> bytes:
        if self._random.random() < 0.5:
            return value[: self._place(value)]
        span = self._span(value, 40)
        return value[: span.start] + value[span.stop :]

    def _double(self, value: bytes) -> bytes:
        span = self._span(value, 200)
        return value[: span.stop] + value[span] * self._random.choice((1, 1, 2, 50)) + value[span.stop :]

    def _insert(self, value: bytes) -> bytes:
        at = self._place(value)
        return value[:at] + self._random.choice(TOKENS) + value[at:]

    def _stammer(self, value: bytes) -> bytes:
        """A token again and again: what makes careless expressions quadratic."""
        at, token = self._place(value), self._random.choice(TOKENS)
        return value[:at] + token * self._random.choice((3, 30, 300, 3000)) + value[at:]

    def _splice(self, value: bytes) -> bytes:
        other = self._random.choice(self._samples).value
        return value[: self._place(value)] + other[self._place(other) :]

    def _digits(self, value: bytes) -> bytes:
        return bytes(
            48 + self._random.randrange(10) if 48 <= byte < 58 and self._random.random() < 0.3 else byte
            for byte in value
        )

    def _json(self, value: bytes) -> bytes:
        """Puts something wild into a place of a JSON value; other values get a wild JSON value behind them."""
        wild = self._random.choice(WILD)
        try:
            tree = orjson.loads(value)
            return json.dumps(self._changed(tree, wild)).encode()
        except (ValueError, RecursionError):
            return value + json.dumps(wild).encode()

    def _changed(self, tree: Any, wild: Any) -> Any:
        if isinstance(tree, dict) and tree and self._random.random() < 0.9:
            key = self._random.choice(list(tree))
            if self._random.random() < 0.1:
                return {name: item for name, item in tree.items() if name != key}
            return {**tree, key: self._changed(tree[key], wild)}
        if isinstance(tree, list) and tree and self._random.random() < 0.9:
            at = self._random.randrange(len(tree))
            return [*tree[:at], self._changed(tree[at], wild), *tree[at + 1 :]]
        return wild

    def _nest(self, value: bytes) -> bytes:
        before, after = self._random.choice(
            ((b"[", b"]"), (b'{"a":', b"}"), (b'{"log":', b"}"), (b'{"message":', b"}"))
        )
        depth = self._random.choice((1, 3, 30, 1000, 1500))
        return before * depth + value + after * depth

    def _wrap(self, value: bytes) -> bytes:
        text = value.decode(errors="replace")
        return json.dumps(self._random.choice((
            {"date": 1795241380.5, "host": "h", "path": "/a.log", "log": text}, {"message": text, "host": "h",
            "procid": "1"},
            {"message": text, "levelname": "INFO", "name": "n", "msg": text, "args": [text]}, {"log": text,
            "kubernetes": {}},
            {"message": text, "@timestamp": "2026-11-21T06:00:00Z"}, {"metrics": [text]}, [text, text],
            {"oslo.message": text},
        ))).encode()  # fmt: skip

    def _pack(self, value: bytes) -> bytes:
        if self._random.random() < 0.001:
            value *= (24 * KIB * KIB) // (len(value) + 1)  # a bomb
        return (
            gzip.compress(value, 1, mtime=0) if self._random.random() < 0.5 else bytes(cramjam.zstd.compress(value, 1))
        )

    def _lines(self, value: bytes) -> bytes:
        return b"\n".join([value] * self._random.choice((2, 3, 10, 200)))[:LARGE_BYTES]

    def _words(self, value: bytes) -> bytes:
        """Lines of words that nobody has seen: each is a new template, or would be."""
        num_words, length = self._random.choice((3, 12, 12, 64)), self._random.choice((3, 8, 8, 30))
        word = "".join(self._random.choices(LETTERS, k=4 * length))
        places = range(self._random.choice((1,) * 40 + (10, 100)) * num_words)
        at = [self._random.randrange(3 * length) for _ in places]
        words = [word[start : start + self._random.randrange(1, length + 1)] for start in at]
        lines = [" ".join(words[start : start + num_words]) for start in range(0, len(words), num_words)]
        return value + "\n".join(lines).encode()


def _golden() -> list[Message]:
    found = []
    for path in sorted(SHAPES.glob("*.json")):
        golden = json.loads(path.read_text())
        for message in golden["messages"]:
            record = record_of(message, golden["kind"], 0)
            found.append(Message(golden["kind"], record.key, record.value or b"", record.headers))
    return found
