"""The quick reader for offline evaluation."""

from services.logbert.train.read_oslo import read_lines, template_of

HEAD = "2026-11-21 06:12:00.123 77 ERROR nova.api.openstack.wsgi"
CONTEXT = "[None req-5c70636e-eba7-4386-95f6-499cd236e8d4 u p - - default default]"


def test_a_traceback_is_one_event() -> None:
    """Lines that repeat the header without the request block, and plain ones, join the first."""
    lines = [
        f"{HEAD} {CONTEXT} Unexpected exception: boom",
        f"{HEAD} Traceback (most recent call last):",
        f'{HEAD}   File "/usr/lib/a.py", line 1, in f',
        f"{HEAD} keystoneauth1.exceptions.connection.ConnectFailure: Unable to establish connection",
        "a plain continuation",
        f"{HEAD} {CONTEXT} Another one",
    ]
    first, second = read_lines(lines, "nova-api.log", "c1")
    assert (first["line_count"], first["exception"]["type"]) == (
        5,
        "keystoneauth1.exceptions.connection.ConnectFailure",
    )
    assert (second["source_offsets"], second["entity_id"]) == ([5], "service:nova-api@c1")


def test_access_lines_have_a_status() -> None:
    """Nova's, glance's and uWSGI's."""
    lines = [
        '2026-11-21 05:51:41.185 1 INFO nova.wsgi [-] 1.1.1.1 "GET /v2.1/x HTTP/1.1" status: 404 len: 1 time: 0.5',
        '2026-11-21 05:51:45.164 1 INFO eventlet.wsgi.server [-] 1.1.1.1 - - [x] "GET /v2 HTTP/1.1" 200 1139 0.01',
        "[pid: 1|app: 0|req: 1/2] 127.0.0.1 () {30 vars in 5 bytes} [Sat Nov 21 05:51:43 2026] GET /v3 => "
        "generated 1 bytes in 15 msecs (HTTP/1.1 503) 5 headers in 178 bytes (1 switches on core 1)",
    ]
    assert [event["http"]["status"] for event in read_lines(lines, "x.log", "c1")] == [404, 200, 503]


def test_templates_leave_variables_out() -> None:
    """Two lines that differ in ids and numbers have one template."""
    one = template_of("Image 5119652b-46ac-4f21-a0e6-0cd981f1a101 not found after 3 s")
    assert one == template_of("Image 00000000-46ac-4f21-a0e6-0cd981f1a101 not found after 12 s")
    assert one != template_of("Image found")
