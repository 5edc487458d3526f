"""The stream's flows, fed like Kafka feeds them, against the batch: the same rows to the bit."""

import random
from collections.abc import Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from moselle.parity import Parity, compare
from services.common.broker.abstract import Record
from services.common.codec import Codec
from services.features.core.batch import Arrival
from services.features.core.flows import Effects, HostFlow, LogFlow, SourceFlow, host_flow, log_flow, metric_flow
from services.features.core.marks import SECOND, StepRules
from tests.unit.features.samples import SCRAPED_BYTES, START, make_rates, make_samples

CODEC = Codec()
RULES = StepRules()
PARTITIONS = 2
METRICS, LOGS = "metrics.samples.v1", "logs.rates.v1"
#: Kafka's time when the first record comes, milliseconds.
NOW_MS = START // 1000


class System:
    """The three flows without Kafka: what they write comes back to them, states survive in `tables`."""

    def __init__(self) -> None:
        self.tables: dict[str, dict[str, bytes]] = {"metrics": {}, "logs": {}, "hosts": {}}
        self.rollup: list[tuple[bytes, bytes, int]] = []
        self.vectors: list[dict[str, Any]] = []
        self.arrivals: list[Arrival] = []
        self.restart()

    def restart(self) -> None:
        """As after kill -9: memory is gone, what was written is there, reports are read again from the beginning."""
        self.metrics: SourceFlow = metric_flow(RULES, CODEC.decode, CODEC.encode)
        self.logs: LogFlow = log_flow(RULES, CODEC.decode, CODEC.encode)
        self.hosts: HostFlow = host_flow(RULES, CODEC.decode, CODEC.encode, PARTITIONS)
        for name in self.tables:
            getattr(self, name).restore(self.tables[name].items())
        self.next_rollup = 0

    def send(self, topic: str, records: Sequence[tuple[int, int, int, dict[str, Any]]]) -> None:
        """(partition, offset, Kafka's time in ms, record) of one batch."""
        name = "metrics" if topic == METRICS else "logs"
        wire = [Record(topic, p, offset, at, b"", CODEC.encode(topic, fields)) for p, offset, at, fields in records]
        self.write(name, getattr(self, name).apply(wire))

    def write(self, name: str, effects: Effects) -> None:
        for output in effects.outputs:
            if output.topic == "features.v1":
                self.vectors.append(CODEC.decode(output.value))
            elif output.topic == "features.rollup.v1" and output.partition in (None, 0):
                self.rollup.append((output.key or b"", output.value or b"", len(self.rollup)))
        self.tables[name] |= {key: getattr(self, name).saved(key) for key in effects.changed}

    def pass_time(self, now_ms: int) -> None:
        """Everything up to `now_ms` was taken in."""
        reached = {partition: now_ms * 1000 for partition in range(PARTITIONS)}
        self.write("metrics", self.metrics.advance(reached))
        self.write("logs", self.logs.advance(reached))
        for output in self.logs.marks(reached, 1):
            self.rollup.append((output.key or b"", output.value or b"", len(self.rollup)))
        self.read_reports()

    def read_reports(self) -> None:
        ready, self.next_rollup = self.rollup[self.next_rollup :], len(self.rollup)
        wire = [Record("features.rollup.v1", 0, offset, 0, key, value) for key, value, offset in ready]
        self.write("hosts", self.hosts.apply(wire))


def run(arrivals: Sequence[Arrival], cuts: Sequence[int] = ()) -> Parity:
    """Streams `arrivals`, killed before those numbered in `cuts` and read again from a few records earlier."""
    system, number = System(), 0
    while number < len(arrivals):
        arrival = arrivals[number]
        if number in cuts:
            cuts = [cut for cut in cuts if cut != number]
            system.restart()
            number = max(0, number - 5)
            continue
        at = (arrival.appended or 0) // 1000
        system.send(arrival.topic, [(arrival.partition, arrival.offset, at, dict(arrival.record))])
        system.pass_time(at - 1)
        number += 1
    system.pass_time(NOW_MS + 10**9)
    return compare(arrivals, system.vectors, RULES)


def arrival(topic: str, record: dict[str, Any], offset: int, at_seconds: float, partition: int = 0) -> Arrival:
    return Arrival(topic, record, partition, offset, START + int(at_seconds * SECOND))


samples = st.tuples(
    st.floats(-60, 400), st.sampled_from(["host:a", "host:b"]),
    st.one_of(st.integers(0, 10**6).map(float), st.sampled_from([float("nan"), float("inf"), -1.0])),
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.lists(samples, max_size=40), st.integers(0, 40), st.floats(0, 3))
def test_metrics_of_the_stream_equal_the_batch(records: list[tuple[float, str, float]], cut: int, pace: float) -> None:
    """Late, repeated, reset, not finite, out of order, killed in between: every bit the same, and nothing missing."""
    arrivals = [
        arrival(METRICS, make_samples(max(0.0, seconds), {SCRAPED_BYTES: value}, entity), number, number * pace)
        for number, (seconds, entity, value) in enumerate(records)
    ]
    found = run(arrivals, [cut])
    assert found.mismatches == found.unfinished == 0, found.first


#: Of the core metrics, of a machine, of what runs on it; some look back over five minutes.
SIGNAL_SERIES = (
    'node_cpu_seconds_total{cpu="0",mode="idle"}', 'node_cpu_seconds_total{cpu="0",mode="user"}', "node_load1",
    "node_vmstat_oom_kill", 'node_disk_read_time_seconds_total{device="a"}', "kubelet_pleg_relist_duration_seconds_sum",
    'node_disk_reads_completed_total{device="a"}', "kubelet_pleg_relist_duration_seconds_count",
    'kube_pod_container_status_restarts_total{pod="p"}', 'container_cpu_cfs_periods_total{pod="p"}',
)  # fmt: skip
scraped = st.dictionaries(st.sampled_from(SIGNAL_SERIES), st.floats(allow_nan=True, allow_infinity=True), max_size=8)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 400), scraped), max_size=30), st.integers(0, 30), st.floats(0, 3))
def test_signals_of_the_stream_equal_the_batch(
    records: list[tuple[float, dict[str, float]]], cut: int, pace: float
) -> None:
    """Any number that a float can be, whichever series a step has: every bit the same, nothing missing, no error."""
    arrivals = [
        arrival(METRICS, make_samples(seconds, values), number, number * pace)
        for number, (seconds, values) in enumerate(records)
    ]
    found = run(arrivals, [cut])
    assert found.mismatches == found.unfinished == 0, found.first


rates = st.tuples(st.integers(0, 30), st.integers(0, 50), st.sampled_from(["a@h", "b@h", "c@other", "d"]))


@settings(max_examples=60, deadline=None)
@given(st.lists(rates, max_size=40), st.integers(0, 40), st.floats(0, 3))
def test_logs_of_the_stream_equal_the_batch(records: list[tuple[int, int, str]], cut: int, pace: float) -> None:
    """Services over two partitions, hosts of several, killed in between: increments are added once."""
    arrivals = [
        arrival(LOGS, make_rates(window * 10, events, f"service:{name}"), number, number * pace, ord(name[0]) % 2)
        for number, (window, events, name) in enumerate(records)
    ]
    found = run(arrivals, [cut])
    assert found.mismatches == found.unfinished == 0, found.first


def test_a_partition_that_lags_costs_its_host_nothing() -> None:
    """One partition is read a minute of events ahead; the other's earlier reports still join their steps."""
    fast = [arrival(LOGS, make_rates(10 * n, 1, "service:a@h"), n, n * 0.1, 0) for n in range(7)]
    slow = [arrival(LOGS, make_rates(10 * n, 1, "service:b@h"), n, n * 0.1, 1) for n in range(7)]
    system = System()
    for partition, records in enumerate((fast, slow)):
        system.send(LOGS, [(a.partition, a.offset, (a.appended or 0) // 1000, dict(a.record)) for a in records])
        system.write("hosts", Effects())
        for output in system.logs.marks({partition: START + SECOND}, 1):
            system.rollup.append((b"", output.value or b"", len(system.rollup)))
        system.read_reports()
    system.pass_time(NOW_MS + 10**9)
    hosts = [vector for vector in system.vectors if vector["feature_set"] == "logs.host"]
    assert len(hosts) == 7
    assert all(vector["values"][1] == 2.0 for vector in hosts)
    assert compare([*fast, *slow], system.vectors, RULES).mismatches == 0


def test_the_same_capture_twice_changes_no_row() -> None:
    """What comes again after its steps were closed is late."""
    records = [make_samples(5 * n, {SCRAPED_BYTES: 100.0 * n}) for n in range(20)]
    once = [arrival(METRICS, record, n, n * 0.01) for n, record in enumerate(records)]
    again = [arrival(METRICS, record, 20 + n, 30 + n * 0.01) for n, record in enumerate(records)]
    assert run(once).rows == run([*once, *again]).rows == 10


def test_a_wrong_clock_closes_nobody_elses_steps() -> None:
    """A host a day ahead, and one on time: both get all their rows."""
    order = random.Random(3)
    arrivals = []
    for n in range(40):
        ahead = order.random() < 0.5
        record = make_samples(2 * n + 86_400 * ahead, {SCRAPED_BYTES: n}, "host:ahead" if ahead else "host:right")
        arrivals.append(arrival(METRICS, record, n, 2 * n))
    found = run(arrivals)
    assert found.mismatches == 0
    assert found.rows >= 14


def test_unreadable_records_become_dead_letters() -> None:
    """Bytes of nobody, and a time before 1970: the flow goes on."""
    flow = metric_flow(RULES, CODEC.decode, CODEC.encode)
    early = CODEC.encode(METRICS, make_samples(0, {SCRAPED_BYTES: 1.0}) | {"event_time": -5})
    effects = flow.apply([Record(METRICS, 0, n, 0, b"", value) for n, value in enumerate((b"junk", None, early))])
    assert [output.topic for output in effects.outputs] == [f"{METRICS}.dlq"] * 3
    assert effects.dead_letters == {"not_avro_single_object": 2, "time_out_of_range": 1}
