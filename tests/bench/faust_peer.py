"""Faust doing what the feature worker does to Kafka, with no features: run as `python -m tests.bench.faust_peer`.

For each record one table write of a typical state, for every second one a record out. Prints the seconds from the first
record to the last when it has seen as many as it was told.
"""

import os
import sys
import time
from typing import Any

import faust

from services.common.settings import CommonSettings
from services.features.adapters.faust_driver import CommittedTransport

STATE, VECTOR = os.urandom(2500), os.urandom(600)


def main(num_records: int) -> None:
    bootstrap = CommonSettings().kafka_bootstrap
    app = faust.App(
        "it-peer", broker=f"kafka://{bootstrap}", store="memory://", web_enabled=False, topic_disable_leader=True,
        autodiscover=False, producer_compression_type="lz4", stream_wait_empty=False, table_standby_replicas=0,
    )  # fmt: skip
    app.transport = CommittedTransport(app.conf.broker_consumer, app)
    source = app.topic("it-peer-in", key_type=bytes, value_type=bytes)
    out = app.topic("it-peer-out", key_type=bytes, value_type=bytes)
    table: Any = app.Table("peer", key_type=bytes, value_type=bytes, partitions=1)

    @app.agent(source)
    async def copy(stream: Any) -> None:
        number, began = 0, 0.0
        async for key, _ in stream.items():
            began = began or time.monotonic()
            table[key] = STATE
            number += 1
            if number % 2 == 0:
                await out.send(key=key, value=VECTOR)
            if number == num_records:
                sys.stdout.write(f"{time.monotonic() - began}\n")
                sys.stdout.flush()
                os._exit(0)

    faust.Worker(app, loglevel="ERROR", quiet=True).execute_from_commandline()


if __name__ == "__main__":
    main(int(sys.argv[1]))
