"""The messages of shippers: Fluent Bit's for a line, Telegraf's for a scrape."""

import re
from functools import lru_cache
from typing import Any

import orjson

_SERIES = re.compile(r"(?P<name>[^{]+)(?:\{(?P<labels>.*)\})?\s*", re.DOTALL)
_LABEL = re.compile(r'([A-Za-z_][\w.]*)="((?:[^"\\]|\\.)*)"')
_ESCAPE = re.compile(r"\\(.)")


def fluent_bit(epoch: float, host: str, path: str, line: str) -> bytes:
    """A text line as Fluent Bit's Kafka output sends it."""
    return orjson.dumps({"date": float(epoch), "host": host, "path": path, "log": line})


def telegraf(scrape: dict[str, Any], host: str, shift_seconds: int = 0) -> bytes:
    """A scrape `{"ts", "metrics": {"name{labels}": value}}` as one batch of Telegraf's JSON.

    Values that are no numbers are left out: Telegraf would not have them.
    """
    timestamp = scrape["ts"] + shift_seconds
    metrics = []
    for series, value in scrape.get("metrics", {}).items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            name, labels = parse_series(series)
            tags = {"host": host, **dict(labels)}
            metrics.append({"name": name, "tags": tags, "fields": {"value": value}, "timestamp": timestamp})
    return orjson.dumps({"metrics": metrics})


@lru_cache(maxsize=100_000)
def parse_series(series: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    r"""`name{k="v",..}` as name and labels, `\"`, `\\` and `\n` undone; a text of another form is a name."""
    match = _SERIES.fullmatch(series)
    if match is None:
        return series, ()
    labels = _LABEL.findall(match["labels"] or "")
    return match["name"], tuple((key, unescape(value)) for key, value in labels)


def unescape(value: str) -> str:
    return _ESCAPE.sub(lambda found: "\n" if found[1] == "n" else found[1], value) if "\\" in value else value
