"""Every kind of hostile message between good ones."""

from collections import Counter
from collections.abc import Callable

from tests.integration.delivery.story import Replica, Story, line, shipped
from tests.mutations import Mutator
from tests.unit.ingest.test_extremes import LOG_VALUES

NUM_MUTATED = 300
#: Those of the list that nobody can take for text or JSON; the rest must be events.
UNREADABLE = {"a gzip bomb": "too_large", "an end of gzip": "bad_gzip", "half a pair in bytes": "not_utf8"}


def hostile() -> list[bytes | None]:
    mutator = Mutator(20)
    mutated = [
        message.value for message in (mutator.message() for _ in range(3 * NUM_MUTATED)) if message.kind == "logs"
    ]
    return [None, *LOG_VALUES.values(), *mutated[:NUM_MUTATED]]


def test_hostile_messages_cost_nobody_a_line(delivery_bootstrap: str, start_replica: Callable[..., Replica]) -> None:
    """Each good line is there once; each bad one left an event or a dead letter with its reason; nothing restarted."""
    story = Story(delivery_bootstrap, "poison")
    replica = start_replica(story)
    bad = hostile()
    for number, value in enumerate(bad):
        story.publish([value], 1, None if number % 3 else b"\xff" * 2000)
        story.publish([shipped(line(number, f"Good line {number}"), "poison-good", "/var/log/good.log")], 1)
    outcome = story.outcome()
    bodies = Counter(event["body"] for event in outcome.events if event["host_name"] == "poison-good")
    assert [bodies[f"Good line {number}"] for number in range(len(bad))] == [1] * len(bad)
    assert outcome.places().keys() == {(1, offset) for offset in range(2 * len(bad))}
    assert outcome.doubled() == []
    assert all(offset % 2 == 0 and reason for (_, offset), reason in outcome.reasons().items())
    assert "unexpected_error" not in outcome.reasons().values()
    names = ["nothing at all", *LOG_VALUES]
    found = {names[offset // 2]: why for (_, offset), why in outcome.reasons().items() if offset // 2 < len(names)}
    assert found.items() >= {"nothing at all": "no_value", **UNREADABLE}.items() - {
        ("half a pair in bytes", "not_utf8")
    }
    assert replica.is_alive
