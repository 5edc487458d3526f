"""A small API server of Kubernetes: lists in pages, watches with bookmarks and 410, bindings. Real HTTP, no cluster."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

Json = dict[str, Any]
#: How often a watch looks for what is new.
_LOOK_SECONDS = 0.02


class FakeApiServer:
    """Nodes and pods by name, with the history of their changes.

    Attributes:
        requests: every path asked for, in order.
        bindings: every binding posted.
    """

    def __init__(self, page_size: int = 2) -> None:
        self.requests: list[str] = []
        self.bindings: list[Json] = []
        self.page_size = page_size
        self._objects: dict[str, dict[str, Json]] = {"nodes": {}, "pods": {}}
        self._events: list[tuple[int, str, str, Json]] = []
        self._version = 100
        self._oldest = 0
        self._lock = threading.Lock()
        self._is_refusing = False
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def kubeconfig(self, folder: Path) -> str:
        """The path of a file that leads here."""
        path = folder / "kubeconfig"
        path.write_text(
            json.dumps({
                "apiVersion": "v1", "kind": "Config", "current-context": "c",
                "clusters": [{"name": "c", "cluster": {"server": self.url}}], "users": [{"name": "u", "user": {}}],
                "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            })
        )  # fmt: skip
        return str(path)

    def put(self, kind: str, value: Json) -> None:
        """An object came or changed."""
        self._change(kind, value, "MODIFIED" if value["metadata"]["name"] in self._objects[kind] else "ADDED")

    def delete(self, kind: str, name: str) -> None:
        self._change(kind, self._objects[kind][name], "DELETED")

    def _change(self, kind: str, value: Json, event: str) -> None:
        with self._lock:
            self._version += 1
            value = {**value, "metadata": {**value["metadata"], "resourceVersion": str(self._version)}}
            name = value["metadata"]["name"]
            if event == "DELETED":
                del self._objects[kind][name]
            else:
                self._objects[kind][name] = value
            self._events.append((self._version, kind, event, value))

    def forget(self) -> None:
        """No watch can go on from before: open ones end with 410, and so do those that begin there."""
        with self._lock:
            self._version += 1
            self._oldest = self._version

    def refuse(self, is_refusing: bool) -> None:
        """Lists and watches get 503, and open watches break off."""
        self._is_refusing = is_refusing

    def close(self) -> None:
        self._is_refusing = True
        self._server.shutdown()
        self._server.server_close()

    def lists(self, kind: str) -> int:
        """How often the whole list was begun."""
        return sum(f"/{kind}?" in path and "watch" not in path and "continue" not in path for path in self.requests)

    def page(self, kind: str, after: str) -> Json:
        with self._lock:
            values = [value for _, value in sorted(self._objects[kind].items())]
            begin = int(after or 0)
            end = begin + self.page_size
            more = str(end) if end < len(values) else ""
            return {"metadata": {"resourceVersion": str(self._version), "continue": more}, "items": values[begin:end]}

    def news(self, kind: str, since: int) -> tuple[int, list[Json]]:
        """The version now, and the events after another one."""
        with self._lock:
            if since < self._oldest:
                return self._version, [{"type": "ERROR", "object": {"kind": "Status", "code": 410, "message": "old"}}]
            found = [{"type": event, "object": value} for version, of, event, value in self._events
                     if of == kind and version > since]  # fmt: skip
            return self._version, found


def _handler(server: FakeApiServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            server.requests.append(self.path)
            path, query = urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)
            kind = path.rpartition("/")[2]
            if server._is_refusing:
                self._answer(503, {"code": 503})
            elif "watch" in query:
                self._watch(kind, int(query["resourceVersion"][0]))
            else:
                self._answer(200, server.page(kind, query.get("continue", [""])[0]))

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            server.bindings.append(body)
            known = self.path.split("/")[-2] in server._objects["pods"]
            self._answer(201 if known else 404, {"kind": "Status", "message": "" if known else "no such pod"})

        def _answer(self, status: int, value: Json) -> None:
            body = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _watch(self, kind: str, since: int) -> None:
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            pause = threading.Event()
            self.close_connection = True
            while not server._is_refusing:
                since, events = server.news(kind, since)
                bookmark = {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": str(since)}}}
                lines = b"".join(json.dumps(event).encode() + b"\n" for event in [*events, bookmark] if events)
                try:
                    # In two pieces, as networks do.
                    for piece in filter(None, (lines[: len(lines) // 2], lines[len(lines) // 2 :])):
                        self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                        self.wfile.flush()
                except OSError:
                    return
                if events and events[0]["type"] == "ERROR":
                    break
                pause.wait(_LOOK_SECONDS)
            self.wfile.write(b"0\r\n\r\n")

        def log_message(self, format: str, *args: Any) -> None:
            return

    return Handler
