"""The watch on an API server, through the official client, against a small server on this machine."""

import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.common.clock import FakeClock, SystemClock
from services.common.errors import SettingsInvalid
from services.placement.adapters.kubernetes import NODES, PODS, ApiServer, Watcher
from services.placement.core.kube.follow import Freshness
from services.placement.errors import NotReady
from tests.apiserver import FakeApiServer
from tests.polling import poll_until
from tests.unit.placement.kube import Scheduler, bound, make_node_object, make_pod
from tests.unit.placement.worlds import Cloud


@pytest.fixture
def api() -> Iterator[FakeApiServer]:
    """With five nodes and a pod on the first."""
    server = FakeApiServer()
    for number in range(5):
        server.put("nodes", make_node_object(f"n{number}"))
    server.put("pods", bound(make_pod("p1", cpu="2"), "n0"))
    yield server
    server.close()


class Followed:
    """A replica that follows both kinds."""

    def __init__(self, api: FakeApiServer, folder: Path) -> None:
        self.side = Scheduler(Cloud())
        self.freshness = Freshness("nodes", SystemClock(), 30.0)
        server = ApiServer(api.kubeconfig(folder))
        self.watchers = [
            Watcher(server, NODES, self.side.nodes, self.freshness),
            Watcher(server, PODS, self.side.pods, Freshness("pods", SystemClock(), 30.0)),
        ]
        for watcher in self.watchers:
            watcher.start()
            watcher.start()

    def nodes(self) -> set[str]:
        return set(self.side.reading.world.matrix.row_of)

    def held(self, name: str) -> float:
        return self.side.held(name) if f"node:{name}" in self.nodes() else -1.0


@pytest.fixture
def followed(api: FakeApiServer, tmp_path: Path) -> Iterator[Followed]:
    found = Followed(api, tmp_path)
    poll_until(lambda: len(found.nodes()) == 5 and found.held("n0") == 2.0, "both lists are read")
    yield found
    for watcher in found.watchers:
        watcher.close()


def test_what_is_there_and_what_changes_is_followed(api: FakeApiServer, followed: Followed) -> None:
    """Lists in pages, then one watch each: nodes and pods come, change and go."""
    api.put("nodes", make_node_object("n9"))
    api.delete("nodes", "n1")
    api.put("pods", bound(make_pod("p2", cpu="3"), "n9"))
    api.put("pods", bound(make_pod("p1", cpu="2"), "n0", "Succeeded"))
    poll_until(lambda: followed.held("n9") == 3.0 and followed.held("n0") == 0.0, "the changes are read")
    poll_until(lambda: "node:n1" not in followed.nodes(), "the node is gone")
    assert (api.lists("nodes"), api.lists("pods")) == (1, 1)
    assert any("fieldSelector=spec.nodeName" in path for path in api.requests if "/pods" in path)


def test_a_watch_that_is_too_old_reads_everything_anew(api: FakeApiServer, followed: Followed) -> None:
    """410 Gone: what was deleted meanwhile, and what no watch tells any more, is noticed."""
    api.refuse(True)
    poll_until(lambda: followed.freshness._silent_since is not None, "the watch is broken")
    api.delete("nodes", "n1")
    api.forget()
    api.refuse(False)
    poll_until(lambda: api.lists("nodes") == 2 and api.lists("pods") == 2, "both are listed again")
    api.put("nodes", make_node_object("n7"))
    poll_until(lambda: "node:n7" in followed.nodes(), "the new watch is followed")
    assert "node:n1" not in followed.nodes()


def test_a_server_that_was_away_is_gone_on_with(api: FakeApiServer, followed: Followed) -> None:
    """From the version reached, without a list; meanwhile it is known to be broken."""
    api.refuse(True)
    poll_until(lambda: followed.freshness._silent_since is not None, "the watch is broken")
    api.put("nodes", make_node_object("n8"))
    api.refuse(False)
    poll_until(lambda: "node:n8" in followed.nodes(), "the watch goes on")
    assert api.lists("nodes") == 1
    assert followed.freshness._silent_since is None


def test_a_binding_is_posted_or_complained_about(api: FakeApiServer, tmp_path: Path) -> None:
    """The server's words come back."""
    server = ApiServer(api.kubeconfig(tmp_path))
    assert server.bind("default", "p1", "uid-p1", "n3") == ""
    assert api.bindings[0]["target"]["name"] == "n3"
    assert "404" in server.bind("default", "nobody", "", "n3")
    api.close()
    assert "does not answer" in ApiServer(api.kubeconfig(tmp_path)).bind("default", "p1", "", "n3")


def test_a_place_without_an_api_server_stops_the_service(tmp_path: Path) -> None:
    """Neither a file that is none, nor `in-cluster` outside of one."""
    with warnings.catch_warnings():
        for where in (str(tmp_path / "missing"), "in-cluster"):
            with pytest.raises(SettingsInvalid, match="leads to no API server"):
                ApiServer(where)


def test_silence_is_forgiven_for_a_while() -> None:
    """Before the first list, and after too long without a watch, nothing is answered."""
    clock = FakeClock()
    freshness = Freshness("nodes", clock, 30.0)
    with pytest.raises(NotReady, match="not read yet"):
        freshness.check()
    freshness.listed()
    freshness.broken()
    clock.advance(29)
    freshness.check()
    clock.advance(2)
    with pytest.raises(NotReady, match="could not be read for 31 s"):
        freshness.check()
    freshness.heard()
    freshness.check()
