"""Consumer lag from committed offsets and ends."""

from moselle.demo.lag import progress_of
from services.common.broker.abstract import TopicPartition

RAW = TopicPartition("logs.raw", 0)
PARSED = TopicPartition("logs.parsed.v1", 1)


def test_lag_is_what_is_not_committed_yet() -> None:
    """Of a topic without transactions the broker's end counts; deleted records do not."""
    progress = progress_of("g", {RAW: 40}, {RAW: 10}, {RAW: 100}, {}, ())
    assert (progress.consumed, progress.lag) == (30, 60)


def test_a_group_that_committed_nothing_is_behind_by_everything() -> None:
    """Kafka says -1001 then."""
    assert progress_of("g", {RAW: -1001}, {RAW: 10}, {RAW: 100}, {}, ()).lag == 90


def test_a_transaction_marker_is_no_lag() -> None:
    """The last record seen ends the topic; the marker behind it is never committed past."""
    assert progress_of("g", {PARSED: 50}, {PARSED: 0}, {PARSED: 51}, {PARSED: 50}, {PARSED.topic}).lag == 0


def test_a_measured_partition_without_records_is_no_lag() -> None:
    """An aborted transaction leaves offsets, but nothing to read."""
    assert progress_of("g", {PARSED: -1001}, {PARSED: 0}, {PARSED: 7}, {}, {PARSED.topic}).lag == 0
