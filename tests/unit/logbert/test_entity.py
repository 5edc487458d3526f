"""What is known of one entity, saved and read back."""

import pytest

from services.common.alerts import Subject
from services.common.errors import ArtifactMismatch
from services.logbert.model.entity import MAX_RECENT, STATE_VERSION, EntityModel, EntityState, decode_state
from services.logbert.model.error_burst import ErrorBurst
from tests.unit.logbert.streams import START, as_event, make_error, make_event

SUBJECT = Subject("cloud", "service:nova-api@c1", ("host:c1",), "nova-api")


def make_entity(**changes: object) -> EntityModel:
    """An entity that is warm at START + 60 s."""
    warm = START + 60_000_000
    state = EntityState(SUBJECT, "nova-api", "c1", warm, warm, is_late=False)
    for name, value in changes.items():
        setattr(state, name, value)
    return EntityModel(state, [ErrorBurst()])


def test_saved_and_read_back() -> None:
    """The detectors' past comes back with it."""
    entity = make_entity()
    entity.for_events[0].learn(as_event(make_error(1)), "warm_up")
    again = EntityModel(decode_state(entity.save(), STATE_VERSION), [ErrorBurst()])
    assert again.save() == entity.save()


@pytest.mark.parametrize(("payload", "version"), [(b"\xc1", STATE_VERSION), (b"\x80", 99)])
def test_foreign_state_is_refused(payload: bytes, version: int) -> None:
    """Another version or other bytes stop the service with a sentence."""
    with pytest.raises(ArtifactMismatch, match=r"logbert\.state\.v1"):
        decode_state(payload, version)


def test_repeated_events_are_known_within_bounds() -> None:
    """The same origin twice is one event; of many, the oldest are forgotten."""
    entity = make_entity()
    first = make_event(source_offsets=[0])
    assert entity.take(first)
    assert not entity.take(first)
    for offset in range(1, MAX_RECENT + 1):
        entity.take(make_event(source_offsets=[offset]))
    assert len(entity.state.recent) == MAX_RECENT
    assert entity.take(first)


def test_how_much_an_event_may_teach() -> None:
    """Everything in the warm-up, slowly after it; of a late entity no error teaches at once."""
    assert make_entity().learning(as_event(make_error(10))) == "warm_up"
    assert make_entity().learning(as_event(make_error(70))) == "slow"
    assert make_entity(is_late=True).learning(as_event(make_error(10))) == "slow"
