"""The transactional stage keeps its promises on every broker: once, with its state, whatever ends it."""

import pytest

from services.common.broker.abstract import Output
from services.common.clock import SystemClock
from services.common.codec import Codec
from services.common.errors import Retryable
from services.common.http import Health
from services.common.service import StageRunner
from services.common.settings import CommonSettings
from tests.conformance.broker_cases import BrokerCase
from tests.conformance.conftest import OpenCase
from tests.conformance.stages import Numbering
from tests.polling import poll_until


@pytest.fixture
def case(open_case: OpenCase) -> BrokerCase:
    """Two input partitions, their dead letters, one output, and a state topic of another partition count."""
    return open_case({"in": 2, "in.dlq": 1, "out": 1, "state": 1})


def make_runner(case: BrokerCase) -> StageRunner:
    runner = StageRunner(
        case.broker,
        Codec(),
        "it",
        [case.topics["in"]],
        lambda broker, codec: Numbering(case.topics["out"]),
        SystemClock(),
        Health(SystemClock()),
        CommonSettings(batch_records=7),
    )
    runner._group = case.group
    runner._state_topic = case.topics["state"]
    return runner


def send(case: BrokerCase, count: int, value: bytes = b"x") -> None:
    case.broker.publish([Output(case.topics["in"], None, value, None, i % 2) for i in range(count)])


def run_until(case: BrokerCase, wanted: int, stage: Numbering | None = None) -> Numbering:
    """Turns a fresh runner until `wanted` outputs are committed, then abandons it as kill -9 would."""
    runner = make_runner(case)
    stage = stage or Numbering(case.topics["out"])
    session = case.open("0", "in")

    def enough() -> bool:
        runner.turn(session, stage)
        return len(case.read("out")) >= wanted

    poll_until(enough, f"{wanted} outputs")
    return stage


def numbers(case: BrokerCase) -> list[bytes | None]:
    return sorted((r.value for r in case.read("out")), key=lambda v: [int(n) for n in (v or b"").split(b".")])


def test_state_survives_the_end_of_its_process(case: BrokerCase) -> None:
    """A successor goes on counting where the committed state stands."""
    send(case, 20)
    run_until(case, 20)
    send(case, 20)
    run_until(case, 40)
    assert numbers(case) == [b"%d.%d" % (p, n) for p in range(2) for n in range(1, 21)]


def test_a_stage_may_leave_records_for_the_next_transaction(case: BrokerCase) -> None:
    """Each comes once and in order, whoever of the successors does it."""
    send(case, 20)
    run_until(case, 4, Numbering(case.topics["out"], most=2))
    run_until(case, 20, Numbering(case.topics["out"], most=3))
    assert numbers(case) == [b"%d.%d" % (p, n) for p in range(2) for n in range(1, 11)]


def test_an_aborted_transaction_leaves_neither_output_nor_state(case: BrokerCase) -> None:
    """When a commit fails, a fresh stage does the same records again, with the state from before."""
    send(case, 10)
    runner, stage = make_runner(case), Numbering(case.topics["out"])
    session = case.open("0", "in")
    assert poll_until(lambda: runner.turn(session, stage), "a first batch")
    send(case, 10)
    usurper = case.open("0", "in")
    poll_until(lambda: usurper.poll(1, 0.05).assigned, "the usurper's partitions")
    with pytest.raises(Retryable):
        poll_until(lambda: runner.turn(session, stage) < 0, "the abandoned session to fail")
    run_until(case, 20)
    assert numbers(case) == [b"%d.%d" % (p, n) for p in range(2) for n in range(1, 11)]


def test_a_refused_record_becomes_a_dead_letter_with_its_origin(case: BrokerCase) -> None:
    """Original bytes, and headers that say where it stood and why; the others go on."""
    send(case, 2)
    send(case, 1, b"bad")
    send(case, 2)
    run_until(case, 4)
    (letter,) = case.read("in.dlq")
    headers = dict(letter.headers or ())
    assert letter.value == b"bad"
    assert (headers["moselle.error"], headers["moselle.source_topic"]) == (b"refused", case.topics["in"].encode())
    assert headers["moselle.source_offset"] == b"1"


def test_ticks_come_without_records(case: BrokerCase) -> None:
    """Wall time passes for a stage also when nothing comes."""
    runner, stage = make_runner(case), Numbering(case.topics["out"])
    session = case.open("0", "in")

    def ticked() -> bool:
        runner.turn(session, stage)
        return stage.ticks >= 3

    assert poll_until(ticked, "three ticks")
