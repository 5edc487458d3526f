"""Metrics as lines of text: influx line protocol and Graphite, told apart line by line."""

import re

from line_protocol_parser import LineFormatError, parse_line

from services.ingest.core.metric_json import add_fields, number_of, time_of
from services.ingest.core.metric_names import plain_name
from services.ingest.core.payload import check_num_lines
from services.ingest.core.samples import MAX_LABELS, Samples

LINE_SHAPES = ("influx", "graphite")
_KEY = re.compile(r"\s*+(?:[^ ]++|(?<=\\) )*+")
#: Graphite's word for now.
_NOW = ("-1", "N")


def read_lines(text: str, samples: Samples, shape: str = "") -> str:
    """The samples of lines; blank ones are none. Returns the shape of the last line that has one.

    Args:
        shape: `influx` or `graphite` when all lines shall be read so; else each is looked at.

    Raises:
        InvalidMessage: `too_many_lines`, `too_many_samples`.
    """
    check_num_lines(text.count("\n"))
    found, open_lines = "", list[str]()
    for line in text.split("\n"):
        line = line.removesuffix("\r")
        if open_lines:
            open_lines.append(line)
            if _has_open_quote(line):
                line, open_lines = "\n".join(open_lines), []
                found = _influx(line, samples) or _refuse(samples)
        elif shape != "influx" and (shape or _is_graphite(line)):
            found = _graphite(line, samples) or found
        elif line.strip():
            done = _influx(line, samples)
            if not done and _has_open_quote(line):
                open_lines = [line]  # a quoted text may hold newlines
            else:
                found = done or _refuse(samples) or found
    samples.leave_out("not_a_metric", len(open_lines))
    return found


def _has_open_quote(line: str) -> bool:
    return line.replace('\\"', "").count('"') % 2 == 1


def _refuse(samples: Samples) -> str:
    samples.leave_out("not_a_metric")
    return ""


def _is_graphite(line: str) -> bool:
    """`path value time`, while influx has `=` in its second part, or in its third when a tag holds a blank."""
    parts = line.split()
    return len(parts) == 3 and "=" not in parts[1] and "=" not in parts[2]


def _graphite(line: str, samples: Samples) -> str:
    """`host.plugin.type value epoch`: the first node is the host. With tags (`name;host=h`) the path is the name.

    A prefix that the settings name stands before the host.
    """
    parts = line.split()
    number = number_of(parts[1]) if len(parts) == 3 else None
    when = number_of(parts[2]) if len(parts) == 3 else None
    if number is None or (when is None and parts[2] not in _NOW):
        if parts:
            samples.leave_out("not_a_metric")
        return ""
    path, *tags = parts[0].split(";")
    labels = dict(tag.partition("=")[::2] for tag in tags)
    path = path.removeprefix(samples.graphite_prefix)
    if not tags and "." in path:
        labels["host"], _, path = path.partition(".")
    samples.add(plain_name(path), tuple(labels.items()), time_of(when), number)
    return "graphite"


def _key_of(line: str) -> str:
    """Name and tags: what stands before the first blank that no backslash escapes."""
    found = _KEY.match(line)
    return found[0] if found else ""


def _influx(line: str, samples: Samples) -> str:
    """One point; the time in nanoseconds, or another unit that its size tells. A comment is nothing."""
    if line.count(",") > MAX_LABELS and _key_of(line).count(",") > MAX_LABELS:
        return ""  # the parser compares each tag with each other
    try:
        point = parse_line(line)
    except (LineFormatError, ValueError, OverflowError):
        return ""
    if point is not None:
        add_fields(point["measurement"], tuple(point["tags"].items()), time_of(point["time"]), point["fields"], samples)
    return "influx"
