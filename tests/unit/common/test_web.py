"""The frame around HTTP interfaces: who says nothing is let go, who says too little is told so."""

import socket
from collections.abc import Iterator

import pytest
from aiohttp import web

from services.common.web import Access, BodyRefused, WebServer, has_token, read_body
from tests.polling import TIMEOUT_SECONDS


@pytest.fixture
def server() -> Iterator[WebServer]:
    """Answers with the length of a body of up to ten bytes that comes within a tenth of a second."""

    async def answer(request: web.Request) -> web.Response:
        try:
            return web.Response(text=str(len(await read_body(request, 10, 0.1, "this test"))))
        except BodyRefused as error:
            return web.Response(status=error.status, text=error.sentence)

    app = web.Application(client_max_size=10)
    app.router.add_post("/", answer)
    made = WebServer(Access("MOSELLE_X", "the test", "ask", "127.0.0.1", 0), app, 1.0, silence_seconds=0.2)
    yield made
    made.close()


def say(server: WebServer, words: bytes, enough: bytes = b"nothing is") -> bytes:
    """All that comes back until the server hangs up, or enough has come."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT_SECONDS) as connection:
        connection.sendall(words)
        found = b""
        try:
            while enough not in found and (part := connection.recv(4096)):
                found += part
        except ConnectionResetError:
            pass
        return found


@pytest.mark.parametrize("words", [b"", b"POST / HT", b"POST / HTTP/1.1\r\nHost: x\r\n"])
def test_a_connection_without_a_whole_head_is_let_go(words: bytes, server: WebServer) -> None:
    """Whether it said nothing or half of it; nothing is answered."""
    assert say(server, words) == b""


def test_a_connection_that_spoke_is_kept(server: WebServer) -> None:
    """It may ask again, until it asks to be closed."""
    request = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n%s\r\nab"
    found = say(server, request % b"" + request % b"Connection: close\r\n")
    assert found.count(b"200 OK") == 2


@pytest.mark.parametrize(
    ("head", "body", "status"),
    [(b"Content-Length: 9\r\n", b"abc", b"408"), (b"Content-Length: 11\r\n", b"", b"413"),
     (b"Transfer-Encoding: chunked\r\n", b"20\r\n" + b"x" * 32 + b"\r\n0\r\n\r\n", b"413")],
)  # fmt: skip
def test_a_body_that_is_late_or_large_is_refused(head: bytes, body: bytes, status: bytes, server: WebServer) -> None:
    """By its announced length, or by what has come."""
    words = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + head + b"\r\n" + body
    assert status in say(server, words, enough=b"\r\n\r\n")


def test_a_token_is_told_by_its_whole_text() -> None:
    """With the scheme in any case; nothing else is one."""
    tokens = [b"0123456789abcdef"]
    assert has_token("bearer 0123456789abcdef", tokens)
    for given in ("", "Bearer", "Bearer 0123456789abcde", "Basic 0123456789abcdef", "Bearer \udcff"):
        assert not has_token(given, tokens)
