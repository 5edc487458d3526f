"""Access lines."""

import pytest

from services.ingest.core.access import HttpAccess, parse_access, parse_uwsgi


@pytest.mark.parametrize(
    ("body", "http"),
    [
        ('10.0.0.1 "GET /v2/a HTTP/1.1" status: 200 len: 1893 time: 0.2477', HttpAccess("GET", "/v2/a", 200, 0.2477)),
        ('10.0.0.1,10.0.0.2 "POST /x HTTP/1.1" status: 500 len: 1 time: 1.5', HttpAccess("POST", "/x", 500, 1.5)),
        ('::1 "GET /t" status: 404 len: 363 microversion: 1.36', HttpAccess("GET", "/t", 404, None)),
        ('1.1.1.1 - - [21/Nov/2026 06:13:21] "GET /v2 HTTP/1.1" 200 3087 0.01', HttpAccess("GET", "/v2", 200, 0.01)),
        ('1.1.1.1 - b [21/Nov/2026:06:13:21 +0000] "PUT / HTTP/2" 201 - "-" "curl"', HttpAccess("PUT", "/", 201, None)),
    ],
)  # fmt: skip
def test_access_forms(body: str, http: HttpAccess) -> None:
    """eventlet in nova and glance, placement, Apache and nginx."""
    found = parse_access(body)
    assert found is not None
    assert found[0] == http


def test_uwsgi_line() -> None:
    """The process id, the local time, and milliseconds as seconds."""
    line = (
        "[pid: 24006|app: 0|req: 736/1471] 127.0.0.1 () {32 vars in 398 bytes} [Sat Nov 21 06:09:40 2026] POST /v3/auth"
        " => generated 3338 bytes in 322 msecs (HTTP/1.1 201) 6 headers in 385 bytes (2 switches on core 0)"
    )
    found = parse_uwsgi(line)
    assert found is not None
    assert (found.process_id, found.http) == (24006, HttpAccess("POST", "/v3/auth", 201, 0.322))
    assert found.body.startswith("POST /v3/auth => generated")


def test_other_text_is_no_access_line() -> None:
    """A quoted word does not make a request."""
    assert parse_access('instance "a" is gone') is None
    assert parse_uwsgi("[pid: 1] hello") is None
