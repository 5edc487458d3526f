"""A request that comes twice is handled once."""

from services.common.broker.abstract import Record
from services.common.state import PartitionState
from services.ingest.core.requests import MAX_AGE_MS, MAX_REQUESTS, REQUEST_HEADER, RecentRequests, digest_of
from tests.unit.ingest.conftest import NOW, Harness

NOW_MS = int(NOW.timestamp() * 1000)
SAMPLE = b'{"name":"a","fields":{"value":1}}'


def request(body: bytes, offset: int, topic: str = "metrics.raw", millis: int = NOW_MS) -> Record:
    """What a receiver writes."""
    digest = digest_of(body)
    return Record(topic, 0, offset, millis, digest, body, [(REQUEST_HEADER, digest)])


def test_a_repeated_request_writes_nothing(ingest: Harness) -> None:
    """In one batch, in a later one, and after a restart."""
    ingest.process([request(SAMPLE, 0), request(SAMPLE, 1)])
    ingest.process([request(SAMPLE, 2)])
    ingest.restart()
    ingest.process([request(SAMPLE, 3), request(b'{"name":"b","fields":{"value":1}}', 4)])
    assert [sample["series"] for sample in ingest.of("metrics.samples.v1")] == [["a"], ["b"]]
    assert ingest.dead == []


def test_log_requests_are_handled_once_too(ingest: Harness) -> None:
    """Each topic's partitions remember their own."""
    ingest.process([request(b"hello", 0, "logs.raw"), request(b"hello", 1, "logs.raw")])
    ingest.wait(60)
    assert ingest.num_lines == 1


def test_records_without_the_header_may_be_equal(ingest: Harness) -> None:
    """Two equal messages of a collector are two messages."""
    ingest.send(SAMPLE, SAMPLE, topic="metrics.raw")
    assert len(ingest.of("metrics.samples.v1")) == 2


def test_a_refused_request_is_refused_again(ingest: Harness) -> None:
    """A dead letter that is replayed after an upgrade is read again."""
    ingest.process([request(b"rubbish", 0), request(b"rubbish", 1)])
    assert ingest.dead == ["not_a_metric", "not_a_metric"]


def test_what_is_remembered_is_bounded() -> None:
    """By number; the state holds small values, and only the newest of them changes."""
    state = PartitionState()
    recent = RecentRequests(state)
    digests = [digest_of(str(i).encode()) for i in range(3 * MAX_REQUESTS)]
    for digest in digests:
        recent.remember(digest, NOW_MS)
        recent.save()
    assert digests[0] not in recent
    assert all(digest in recent for digest in digests[-MAX_REQUESTS + 100 :])
    assert len(state) <= MAX_REQUESTS / 64
    assert max(len(saved.payload) for _, saved in state.items()) < 2000
    restored = RecentRequests(PartitionState(dict(state.items())))
    assert [digest in restored for digest in digests] == [digest in recent for digest in digests]


def test_what_is_remembered_ages() -> None:
    """By Kafka's time: a block of digests goes when all of them are old."""
    recent = RecentRequests(PartitionState())
    digests = [digest_of(str(i).encode()) for i in range(65)]
    for digest in digests[:64]:
        recent.remember(digest, NOW_MS)
    recent.remember(digests[64], NOW_MS + MAX_AGE_MS)
    assert digests[0] in recent
    recent.remember(b"later", NOW_MS + MAX_AGE_MS + 1)
    assert [digest in recent for digest in (digests[0], digests[63], digests[64])] == [False, False, True]


def test_a_request_is_no_source_of_its_own(ingest: Harness) -> None:
    """Its digest, the record's key, tells nothing of who sent it."""
    ingest.process([request(b"hello", 0, "logs.raw"), request(b"again", 1, "logs.raw")])
    ingest.wait(60)
    assert len({event["source_id"] for event in ingest.events}) == 1
