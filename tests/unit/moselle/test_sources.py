"""`moselle sources`: the tables of all replicas of ingest as one."""

import pytest

from moselle.sources import as_lines, read_table
from services.common.clock import FakeClock
from services.common.errors import Retryable
from services.common.http import Health, HealthServer
from services.ingest.adapters.sources import source_pages
from services.ingest.core.completeness import Completeness
from services.ingest.core.source_report import judged
from tests.unit.ingest.test_completeness import seen


@pytest.fixture
def completeness() -> Completeness:
    """Two lines of one source."""
    completeness = Completeness()
    completeness.take(seen(2, "h1|/var/log/a.log"), 10**15)
    completeness.settle(False)
    return completeness


def test_reads_what_a_replica_serves(completeness: Completeness, monkeypatch: pytest.MonkeyPatch) -> None:
    """Past any proxy. Other services have no such page, and a receiver of ingest has none either."""
    monkeypatch.delenv("no_proxy")
    monkeypatch.delenv("NO_PROXY")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    server = HealthServer("127.0.0.1", 0, Health(FakeClock()), source_pages(completeness, 0))
    receiver = HealthServer("127.0.0.1", 0, Health(FakeClock()))
    table = read_table({"name": "ingest", "http": f"127.0.0.1:{server.port}"})
    assert table is not None
    assert [(row["source_id"], row["lines"]) for row in table["sources"]] == [("h1|/var/log/a.log", 2)]
    assert read_table({"name": "ingest-receiver", "http": f"127.0.0.1:{receiver.port}"}) is None
    assert read_table({"name": "features", "http": "127.0.0.1:1"}) is None
    server.close(), receiver.close()


def test_a_replica_that_does_not_answer_is_named() -> None:
    """Half a table would look like a whole one."""
    with pytest.raises(Retryable, match=r"ingest-1 at 127\.0\.0\.1:1 does not answer"):
        read_table({"name": "ingest-1", "http": "127.0.0.1:1"})


def test_the_table_has_a_line_for_each_source(completeness: Completeness) -> None:
    """Figures below their titles; what is worth a look at the end."""
    title, line = as_lines(judged([{**completeness.rows()[0], "gaps": 2, "longest_gap_seconds": 600.0}]))
    assert line[title.index("gaps") + 3] == "2"
    assert line.startswith("h1|/var/log/a.log ")
    assert line.endswith("2 gaps, the longest 10 min")
