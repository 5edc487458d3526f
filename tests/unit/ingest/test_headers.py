"""Headers of oslo.log and syslog."""

import pytest

from services.ingest.core.headers import Context, parse_context, parse_oslo, parse_syslog

STAMP = "2026-11-21 06:12:12.862 24053 ERROR nova.compute.manager"
UUID = "4b44f4fe-3397-40b2-b85f-979d5b49e250"


@pytest.mark.parametrize(
    ("block", "context"),
    [
        ("-", Context()),
        ("req-a user1 proj1 - - -", Context("req-a", "", "user1", "proj1")),
        ("req-a user1 proj1 - default default", Context("req-a", "", "user1", "proj1")),
        ("None req-a user1 proj1 - - default default", Context("req-a", "", "user1", "proj1")),
        ("req-g req-a user1 proj1 - - default default", Context("req-a", "req-g", "user1", "proj1")),
        ("None req-a - - - - - -", Context("req-a")),
    ],
)
def test_request_blocks_of_all_releases(block: str, context: Context) -> None:
    """One or two request ids, three to six identity fields, or a dash."""
    assert parse_context(block) == context
    header = parse_oslo(f"{STAMP} [{block}] it failed")
    assert header is not None
    assert (header.context, header.body) == (block, "it failed")


def test_an_instance_follows_the_block() -> None:
    """The instance is taken out of the message."""
    header = parse_oslo(f"{STAMP} [None req-a u p - - d d] [instance: {UUID}] Terminating instance")
    assert header is not None
    assert (header.instance_id, header.body) == (UUID, "Terminating instance")


def test_a_traceback_line_has_no_block_and_keeps_its_indentation() -> None:
    """One blank separates the header from the text; the rest is the text's."""
    header = parse_oslo(f'{STAMP} [instance: {UUID}]   File "a.py", line 1, in f')
    assert header is not None
    assert header.context is None
    assert header.body == '  File "a.py", line 1, in f'


def test_an_empty_traceback_line_may_have_lost_its_last_blank() -> None:
    """Shippers strip trailing blanks."""
    assert [h.body for line in (STAMP, STAMP + " ") if (h := parse_oslo(line))] == ["", ""]


def test_a_message_in_brackets_is_not_a_block() -> None:
    """Only `-`, `None` and `req-` begin a request block."""
    header = parse_oslo(f"{STAMP} [SQL: SELECT 1]")
    assert header is not None
    assert (header.context, header.body) == (None, "[SQL: SELECT 1]")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("2026-11-21T06:12:12+00:00 host1 sshd[42]: hi", ("host1", "sshd", 42, None, "hi")),
        ("<13>Nov 21 06:12:12 host1 cron: hi", ("host1", "cron", None, 13, "hi")),
        ("Nov  1 06:12:12 host1 cron[1]: a: b", ("host1", "cron", 1, None, "a: b")),
        ('<34>1 2026-11-21T06:12:12.003Z host1 su 77 ID47 [a@1 x="y\\"]"] hi', ("host1", "su", 77, 34, "hi")),
        ("<34>1 - host1 su - - - hi", ("host1", "su", None, 34, "hi")),
    ],
)
def test_syslog_headers(line: str, expected: tuple[object, ...]) -> None:
    """rsyslog's file format, RFC 3164 and RFC 5424."""
    header = parse_syslog(line)
    assert header is not None
    assert (header.host, header.program, header.process_id, header.priority, header.body) == expected
