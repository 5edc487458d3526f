"""Headers of oslo.log and syslog."""

import pytest

from services.ingest.core.headers import Context, parse_context, parse_klog, parse_oslo, parse_syslog, parse_timed

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


def test_a_klog_header_names_level_time_place_and_pod() -> None:
    """The thread stands where others have the process."""
    header = parse_klog('E0115 10:11:12.123456    4242 kubelet.go:2347] "Sync failed" pod="kube-system/dns-6f" err="x"')
    assert header is not None
    assert (header.month, header.day, header.clock, header.micros) == (1, 15, "10:11:12", 123456)
    assert (header.thread, header.file, header.line, header.pod) == (4242, "kubelet.go", "2347", "kube-system/dns-6f")


@pytest.mark.parametrize(
    "line", ["E0115 is a part number", "I am not a header", "E", "F1231 23:59:59.000001 7 x] no line"]
)
def test_what_only_begins_like_klog_is_text(line: str) -> None:
    """All of the header must be there."""
    assert parse_klog(line) is None


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("2026-11-21 05:44:02.45+00:00 [notice] <0.2> up", ("2026-11-21 05:44:02.45+00:00", "notice")),
        ("2026-11-21  5:43:58 0 [Note] InnoDB", ("2026-11-21 05:43:58", "Note")),
        ("2026/11/21 05:43:58 [error] 31#31: open() failed", ("2026-11-21 05:43:58", "error")),
        ("2026-11-21T05:43:58.789Z|00001|vconn|WARN|drop", ("2026-11-21 05:43:58.789Z", "WARN")),
        ("2026-11-21 05:43:58.789+0000: 12: error : EOF", ("2026-11-21 05:43:58.789+0000", "error")),
        ("2026-11-21 05:43:58 UTC [1] LOG:  no error here", ("2026-11-21 05:43:58Z", "")),
        ("[2026-11-21 05:43:58,862] WARN x", ("2026-11-21 05:43:58,862", "WARN")),
    ],
)
def test_lines_that_begin_with_their_time(line: str, expected: tuple[str, str]) -> None:
    """The level is a word in capitals, or stands in brackets, bars or colons; a word of the text is none."""
    header = parse_timed(line)
    assert header is not None
    assert (header.stamp, header.level) == expected


@pytest.mark.parametrize("line", ["2026-11-21", "2026-11-21 05:44:02x", "20261121 05:44:02 x", "192.0.2.1 - - [x]"])
def test_what_only_begins_like_a_time_is_text(line: str) -> None:
    """A date alone is none."""
    assert parse_timed(line) is None
