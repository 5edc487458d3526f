"""Levels as lines say them, to OpenTelemetry's SeverityNumber.

Source: OpenTelemetry logs data model, TRACE 1-4, DEBUG 5-8, INFO 9-12, WARN 13-16, ERROR 17-20, FATAL 21-24. The
level is the line's; what syslog says of its transport is kept as an attribute and never taken for it.
"""

import re

UNKNOWN = 0

NUMBERS = {
    "TRACE": 1, "DEBUG": 5, "INFO": 9, "INFORMATION": 9, "AUDIT": 10, "NOTICE": 10, "WARN": 13, "WARNING": 13,
    "ERROR": 17, "ERR": 17, "CRITICAL": 21, "CRIT": 21, "FATAL": 21, "ALERT": 21, "EMERG": 21, "PANIC": 21,
    "VERBOSE": 5, "FINEST": 1, "FINER": 3, "FINE": 5, "CONFIG": 7, "NORMAL": 9, "NOTE": 9, "SEVERE": 17, "DPANIC": 21,
    "EMERGENCY": 21,
}  # fmt: skip
RANGES = ("UNKNOWN", "TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")
#: The letter with which klog's lines begin.
KLOG_LEVELS = {"I": "INFO", "W": "WARNING", "E": "ERROR", "F": "FATAL"}
#: severity_number (0..24) to the name of its range.
RANGE_NAMES = tuple(RANGES[(number + 3) // 4] for number in range(25))

_LEADING = re.compile(
    r"[\[(<]?(TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|SEVERE|CRITICAL|FATAL)[\])>]?[: ]", re.IGNORECASE
)


def severity_number(text: str) -> int:
    """The number of a level's name in any case, Apache's trace1 to trace8 too; 0 when unknown."""
    return NUMBERS.get(text) or NUMBERS.get(text.upper().rstrip("12345678"), UNKNOWN)


def leading_level(text: str) -> str:
    """The level with which plain text begins (`ERROR: no space left`, `[error] ..`), as written; empty for none."""
    found = _LEADING.match(text)
    return found.group(1) if found and (found.group(1).isupper() or text[0] in "[<(") else ""
