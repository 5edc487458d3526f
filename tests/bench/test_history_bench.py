"""Rows a second into the history, with repetition beside it; and the newest features through gRPC."""

import time
from contextlib import closing
from statistics import median, quantiles

import grpc
import psycopg
import pytest

from services.common.clock import FakeClock, from_micros
from services.common.codec import Codec
from services.common.gen.moselle.features.v1 import features_pb2, features_pb2_grpc
from services.common.grpc import GrpcServer
from services.features.adapters.history_database import DatabaseHistory
from services.features.adapters.online import NAME, OnlineFeatures
from services.features.core.history import to_row
from services.features.core.online import OnlineStore
from tests.conformance.history_cases import FOREVER, NOON, make_scrape

pytestmark = pytest.mark.bench

NUM_SCRAPES = 20_000
NUM_SERIES = 72
BATCH = 2_000
NUM_ENTITIES = 1_000
NUM_FEATURES = 60
NUM_REQUESTS = 2_000


def make_values() -> list[bytes]:
    """Scrapes as they lie on Kafka: 100 entities, a time each."""
    codec, extra = Codec(), {"source_topic": "", "source_partition": 0, "source_offsets": []}
    pairs = {f'node_metric_{i}{{host="controller-1",cpu="{i}"}}': i / 7 for i in range(NUM_SERIES)}
    rows = (make_scrape(n // 100, pairs, entity_id=f"host:{n % 100}")[1] for n in range(NUM_SCRAPES))
    return [codec.encode("metrics.samples.v1", extra | row) for row in rows]


def write_all(store: DatabaseHistory, values: list[bytes]) -> tuple[float, float]:
    """Decoded, checked and written in batches: seconds of wall, and of this process."""
    codec, wall, cpu = Codec(), time.perf_counter(), time.process_time()
    for start in range(0, len(values), BATCH):
        rows = [to_row("metrics.samples.v1", codec.decode(v), FOREVER)[1] for v in values[start : start + BATCH]]
        store.upsert({"scrapes": rows})
    return time.perf_counter() - wall, time.process_time() - cpu


def test_scrapes_per_second(database_dsn: str) -> None:
    """Prints rows of 72 samples a second, new ones and repeated ones."""
    values = make_values()
    with closing(DatabaseHistory(database_dsn)) as store:
        store.maintain(NOON)
        for what in ("new", "repeated"):
            wall, cpu = write_all(store, values)
            print(f"\nhistory, {what} scrapes of {NUM_SERIES} series: {len(values) / wall:,.0f} rows/s wall, "
                  f"{len(values) / cpu:,.0f} rows per second of the writer's CPU")  # fmt: skip
        with psycopg.connect(database_dsn) as connection:
            assert connection.execute("SELECT count(*) FROM scrapes").fetchone() == (len(values),)


def test_online_features_latency() -> None:
    """Prints the median and the 99th percentile of one client that asks for 100 entities, through gRPC."""
    store = OnlineStore(NUM_ENTITIES)
    names = [f"feature_{i}_ratio" for i in range(NUM_FEATURES)]
    for number in range(NUM_ENTITIES):
        record = {"event_time": NOON, "step_seconds": 10, "entity_id": f"host:{number}", "feature_set": "host",
                  "feature_set_version": 1, "names": names, "values": [number / 7] * NUM_FEATURES}  # fmt: skip
        store.apply(record, NOON)
    servicer = OnlineFeatures(store, FakeClock(from_micros(NOON)))
    servicer.is_loaded = True
    server = GrpcServer("127.0.0.1", 0, [(features_pb2_grpc.add_OnlineFeaturesServicer_to_server, servicer, NAME)])
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        times = [ask(features_pb2_grpc.OnlineFeaturesStub(channel), number) for number in range(NUM_REQUESTS)]
    server.close(0)
    print(f"\nonline features, 100 entities of {NUM_FEATURES}: p50 {median(times) * 1e3:.2f} ms, "
          f"p99 {quantiles(times, n=100)[98] * 1e3:.2f} ms")  # fmt: skip


def ask(stub: features_pb2_grpc.OnlineFeaturesStub, number: int) -> float:
    entity_ids = [f"host:{(number * 7 + i) % NUM_ENTITIES}" for i in range(100)]
    request = features_pb2.GetFeaturesRequest(entity_ids=entity_ids, feature_set="host")
    began = time.perf_counter()
    assert len(stub.GetFeatures(request, timeout=10).vectors) == 100
    return time.perf_counter() - began
