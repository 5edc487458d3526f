"""Private keys that come line by line."""

from collections.abc import Callable

import pytest

from tests.unit.ingest.conftest import Harness, fluent_bit

HEAD = "2026-11-21 06:12:12.862 24053 INFO nova.compute.manager [None req-a u p - - d d] "
REPEATED = "2026-11-21 06:12:12.862 24053 INFO nova.compute.manager "
KEY = [
    "-----BEGIN RSA PRIVATE KEY-----",
    "MIIEowIBAAKCAQEA7Zq9kXyT1uVw2aB3cD4eF5gH6iJ7kL8mN9oP0qR1sT2uV3wX",
    "4yZ5aB6cD7eF8gH9iJ0kL1mN2oP3qR4sT5uV6wX7yZ8aB9cD0eF1gH2iJ3kL4mN5",
    "Zq9kkLast1=",
    "-----END RSA PRIVATE KEY-----",
]
PARTS = ("MIIEow", "4yZ5aB6", "Zq9kkLast1")
Wrap = Callable[[int, str], str]


@pytest.mark.parametrize(
    "wrap",
    [
        lambda number, line: line,
        lambda number, line: fluent_bit(line),
        lambda number, line: (HEAD if number == 0 else REPEATED) + line,
        lambda number, line: (HEAD if number == 0 else "") + line,
        lambda number, line: f"2026-11-21 06:12:1{number}.862 24053 INFO a.b [None req-a u p - - d d] {line}",
        lambda number, line: f"2026-11-21T06:12:12+00:00 h1 app: {line}",
    ],
    ids=["plain", "fluent_bit", "repeated header", "folded", "own header", "syslog"],
)
@pytest.mark.parametrize("is_one_batch", [True, False])
def test_no_line_of_a_key_is_written(wrap: Wrap, is_one_batch: bool, ingest: Harness) -> None:
    """However its lines are wrapped, and over batches and restarts; its last, short line too."""
    lines = [wrap(number, line) for number, line in enumerate(["before", *KEY, "after it all"])]
    batches = [lines] if is_one_batch else [[line] for line in lines]
    saved = ""
    for batch in batches:
        ingest.send(*batch)
        saved += repr([dict(state.items()) for state in ingest.states.values()])
        ingest.restart()
    ingest.wait(60)
    shown = repr(ingest.written) + saved
    assert [part for part in PARTS if part in shown] == []
    assert "after it all" in shown
    assert ingest.num_lines == len(lines)
