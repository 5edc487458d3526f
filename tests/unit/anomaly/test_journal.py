"""Of most records only they are saved: a restart at any of them changes neither what is said nor what is known."""

import math
import random
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.anomaly.model.journal import EVERY, HEAD, Block, Saved
from services.anomaly.pipeline import AnomalyStage
from services.anomaly.settings import AnomalySettings
from services.common.errors import ArtifactMismatch
from services.common.state import PartitionState
from tests.unit.anomaly.streams import PARTITION, Reader, make_api, make_compute, make_host, make_record, scrapes
from tests.unit.anomaly.streams import _decode as decode
from tests.unit.anomaly.test_heeding import Words

SMALL = AnomalySettings(
    warmup_seconds=60, min_samples=10, relearn_seconds=300, source_silent_seconds=60, unknown_metrics="alert",
    max_signals=6, max_entities=6, whole="alert",
)  # fmt: skip
Step = Callable[[Reader, Words], object]
encode = msgspec.msgpack.encode


class Listening(Reader):
    """One that hears what people say, also after a restart."""

    def __init__(self, settings: AnomalySettings) -> None:
        self.words = Words()
        super().__init__(settings)

    def restart(self) -> None:
        """A new process with the state that was committed."""
        self.state = PartitionState(dict(self.state.items()))
        self.stage = AnomalyStage(self._settings, decode, self.clock, open_words=self.words.open)
        self.stage.assign(PARTITION, self.state)


def scrape(second: float, draw: random.Random) -> list[dict[str, Any]]:
    """Mostly as it should be; now and then a fault, a gap, nothing finite, a new series, an entity that comes and goes.

    Two scrapes of the host, one of which sends its series in another order each time.
    """
    groups = {f"nova-compute-{n}": 1.0 for n in range(1, 4) if draw.random() < 0.98}
    odd = {f"odd_{draw.randrange(3)}": draw.choice([1.0, 1.0, math.nan]) for _ in range(draw.randrange(3))}
    if draw.random() < 0.01:
        odd |= {f"more_{n}": 1.0 for n in range(draw.randrange(9))}
    free, busy, latency = (draw.random() < 0.02 for _ in range(3))
    found = [
        make_host(second, 0.3 if free else 0.8, 3.0 if busy else 0.5),
        make_api(second, 5.0 if latency else 0.1 + 0.01 * draw.random()),
        make_compute(second, groups),
        make_record(second, "host:c1", odd, job="other", parent_entity_ids=[]),
        make_record(second, f"pod:{draw.randrange(9)}", {"strange": draw.gauss(0, 1)}),
    ]
    draw.shuffle(found)
    return [record for record in found if draw.random() < 0.95]


def steps(seed: int, num: int) -> list[Step]:
    """Batches of any size, repeats, clocks that jump and are set back, silence, people who speak."""
    draw = random.Random(seed)
    found: list[Step] = []
    second, waiting = 0.0, []  # type: ignore[var-annotated]
    for _ in range(num):
        second += draw.choice([5.0] * 60 + [11.0, 40.0, 400.0, -700.0 * (draw.random() < 0.2)])
        waiting += scrape(second, draw)
        if waiting and draw.random() < 0.05:
            waiting.append(draw.choice(waiting))
        while len(waiting) > draw.randrange(20):
            size = draw.choice([1, 1, 2, 5, 40])
            batch, waiting = waiting[:size], waiting[size:]
            found.append(lambda reader, _, batch=batch: reader.read(batch))  # type: ignore[misc]
        if draw.random() < 0.1:
            after = draw.choice([0.1, 2.0, 70.0])
            found.append(lambda reader, _, after=after: reader.tick(after))  # type: ignore[misc]
        if draw.random() < 0.03:
            verdict = draw.choice(["not_anomaly", "was_anomaly"])
            found.append(lambda reader, words, verdict=verdict: words.say(reader, verdict))  # type: ignore[misc]
    return found


def run(found: list[Step], is_restarted: bool, settings: AnomalySettings = SMALL) -> Listening:
    """A stage after all of these, restarted after each or never."""
    reader = Listening(settings)
    for step in found:
        step(reader, reader.words)
        if is_restarted:
            reader.restart()
    return reader


@settings(max_examples=3, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_restarted_after_every_batch_the_same_is_said_and_known(seed: int) -> None:
    """Each alert, in order, and each byte of state is as if it had never stopped."""
    found = steps(seed, 30)
    steady, restarted = run(found, False), run(found, True)
    assert restarted.alerts == steady.alerts
    assert restarted.saved == steady.saved


def test_long_streams_survive_restarts_with_room_for_all_that_comes() -> None:
    """Entities live long enough for their rows to be saved many times in turn."""
    found = steps(7, 70)
    roomy = SMALL.model_copy(update={"max_signals": 60, "max_entities": 60, "whole": "advise"})
    steady, restarted = run(found, False, roomy), Listening(roomy)
    for number, step in enumerate(found):
        step(restarted, restarted.words)
        if number % 3 == 0:
            restarted.restart()
    assert restarted.alerts == steady.alerts != []
    assert restarted.saved == steady.saved


def apis(begin: float, end: float) -> list[dict[str, Any]]:
    """Forty services, as they should be."""
    values = {f'openstack_api_latency_seconds_mean{{host="c1",service="{n}"}}': 0.1 for n in range(2)}
    return [make_record(s, f"service:{n}@c1", values) for s in scrapes(begin, end) for n in range(40)]


def keys_put(reader: Reader, records: list[dict[str, Any]]) -> list[str]:
    reader.read(records)
    return [key for key, saved in reader.state.take_changes() if saved is not None]


def test_a_record_of_which_nothing_comes_puts_only_itself() -> None:
    """Beside its host's clock."""
    reader = Reader().read(apis(0, 5))
    reader.state.take_changes()
    keys = [key for second in (5, 10, 15) for key in keys_put(reader, apis(second, second + 5)[:1])]
    assert keys == 3 * ["host|c1", "journal|1"]


def test_entities_take_turns_in_being_saved() -> None:
    """Each once in EVERY scrapes, and never all of them in one transaction."""
    reader = Reader().read(apis(0, 5))
    reader.state.take_changes()
    turns = [keys_put(reader, apis(5 * n, 5 * n + 5)) for n in range(1, EVERY + 1)]
    rows = [key for keys in turns for key in keys if key.startswith("samples.last|")]
    assert len(rows) == len(set(rows)) == 40
    assert max(sum(key.startswith("samples.last|") for key in keys) for keys in turns) < 12


def test_one_that_is_quiet_for_long_does_not_keep_the_records_of_all() -> None:
    """Its rows are saved, and what stood there is deleted: the journal stays as large as it is."""
    reader = Reader().read(apis(0, 10))
    sizes = []
    for begin in range(10, 1200, 10):
        reader.read([record for record in apis(begin, begin + 10) if record["entity_id"] != "service:7@c1"])
        sizes.append(sum(len(saved.payload) for key, saved in reader.state.items() if key.startswith("journal|")))
    assert max(sizes[-20:]) <= max(sizes[:90])
    restarted = Reader()
    restarted.state = PartitionState(dict(reader.state.items()))
    restarted.restart()
    assert restarted.saved == reader.saved


@pytest.mark.parametrize(
    "spoil",
    [
        lambda payload: b"\xc1",
        lambda payload: payload[:-1],
        lambda payload: encode(Saved(0, [Block(b"x", b"", b"")])),
        lambda payload: encode(Saved(0, [_changed(payload, nth=99)])),
        lambda payload: encode(Saved(0, [_changed(payload, source=9)])),
        lambda payload: encode(Saved(0, [_changed(payload, first=9)])),
    ],
)
def test_a_journal_that_cannot_be_read_stops_the_service_with_a_sentence(spoil: Callable[[bytes], bytes]) -> None:
    """It must not go on from rows that are older than what was said."""
    reader = Reader().read(apis(0, 5)).read(apis(5, 10))
    saved = reader.state.get("journal|1")
    assert saved is not None
    reader.state.put("journal|1", spoil(saved.payload), saved.version)
    with pytest.raises(ArtifactMismatch, match=r"'journal\|1' in anomaly.* cannot be read .*delete the topic"):
        reader.restart()


def _changed(payload: bytes, **fields: int) -> Block:
    [block] = msgspec.msgpack.decode(payload, type=Saved).blocks
    heads = np.frombuffer(block.heads, HEAD).copy()
    for name, value in fields.items():
        heads[name] = value
    return Block(heads.tobytes(), block.numbers, block.values)


def test_an_entity_that_was_forgotten_and_comes_back_begins_anew() -> None:
    """What its namesake sent is not taken for its own."""
    reader = Reader(SMALL).read(apis(0, 5)[:6]).read(apis(5, 10)[:6])
    reader.read(apis(10, 15)[6:7])
    gone = (
        {record["entity_id"] for record in apis(0, 5)[:7]} - set(reader.stage._partitions[PARTITION].entities)
    ).pop()
    reader.read([record for record in apis(15, 20) if record["entity_id"] == gone])
    restarted = Reader(SMALL)
    restarted.state = PartitionState(dict(reader.state.items()))
    restarted.restart()
    assert restarted.saved == reader.saved


def test_with_other_settings_nothing_is_said_of_what_was_judged_before() -> None:
    """Records since the rows were saved are learnt by the new settings; an alert would come too late."""
    reader = Reader().read([make_api(s) for s in scrapes(0, 300)])
    reader.read([make_api(s, 0.11) for s in scrapes(300, 320)])
    reader._settings = reader._settings.model_copy(update={"robust_z_line": 1e-9, "range_margin": 0.0})
    reader.restart()
    reader.tick()
    assert reader.alerts == []


def test_words_about_one_entity_move_no_other_to_the_last_bit() -> None:
    """What is known of the others is the same with and without."""
    told, plain = Listening(SMALL), Listening(SMALL)
    told.words.say(told, "not_anomaly", entity_id="host:c1", signals=["memory_available"])
    records = [make(s) for s in scrapes(0, 400) for make in (make_host, make_api)]
    for reader in (told, plain):
        reader.read(records[:100]).tick(5).read(records[100:])
    names = [key for key in plain.saved if key.endswith("|service:nova-api@c1")]
    assert names
    assert [told.saved[name] for name in names] == [plain.saved[name] for name in names]
