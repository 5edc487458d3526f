"""Which past alerts are like the one that fires now."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.anomaly.model.past import MAX_ALERTS, MAX_PROGRAMS, PastAlerts, Signature, alike, label, signature_shares
from services.common.errors import ArtifactMismatch

SHARES = st.dictionaries(st.sampled_from("abcdefghij"), st.floats(0, 1), max_size=10)


def make_signature(alert_id: str, starts_at: int = 0, entity_id: str = "host:c1", **shares: float) -> Signature:
    """An alert of an hour."""
    return Signature(alert_id, entity_id, starts_at, starts_at + 3_600_000_000, shares)


def test_the_most_alike_come_first() -> None:
    """The same signals in like shares before others; another trouble not at all."""
    past = PastAlerts()
    past.remember("nova-api", make_signature("same", latency=0.6, errors=0.4))
    past.remember("nova-api", make_signature("near", latency=1.0))
    past.remember("nova-api", make_signature("other", disk=1.0))
    found = past.similar("nova-api", {"latency": 0.7, "errors": 0.3})
    assert [each.alert_id for each in found] == ["same", "near"]
    assert label(found)["similar"] == "same=0.82@0;near=0.54@0"
    assert past.similar("neutron", {"latency": 1.0}) == []
    assert label([]) == {}


def test_of_equally_alike_ones_the_own_and_the_latest_come_first() -> None:
    """First the entity's own, then those of other hosts."""
    past = PastAlerts()
    for alert_id, starts_at, entity_id in (("a", 1, "host:c1"), ("b", 2, "host:c2"), ("c", 3, "host:c1")):
        past.remember("host", make_signature(alert_id, starts_at, entity_id, latency=1.0))
    assert [each.alert_id for each in past.similar("host", {"latency": 1.0}, "host:c1")] == ["c", "a", "b"]


def test_signals_count_by_kind_and_direction() -> None:
    """Another disk is the same trouble; memory that falls is another than memory that rises."""
    shares = signature_shares(
        {"disk_busy|sda": 0.3, "disk_busy|sdb": 0.3, "memory": 0.4, "gone": 0.0}, {"memory": False}
    )  # fmt: skip
    assert shares == pytest.approx({"disk_busy+": 0.6, "memory-": 0.4})


def test_it_forgets_the_oldest() -> None:
    """Bounded for each program, and in programs."""
    past = PastAlerts()
    for n in range(MAX_ALERTS + 5):
        past.remember("host", make_signature(str(n), n, latency=1.0))
    assert next(iter(past.alert_ids("host"))) == "5"
    for n in range(MAX_PROGRAMS):
        past.remember(f"p{n}", make_signature("x", latency=1.0))
    assert past.alert_ids("host") == []


def test_the_same_alert_is_remembered_once() -> None:
    """A record that is processed again changes nothing."""
    past = PastAlerts()
    for _ in range(2):
        past.remember("host", make_signature("a", latency=1.0))
    assert past.alert_ids("host") == ["a"]


def test_what_was_saved_is_found_again() -> None:
    """By declared fields; something else and another version are refused."""
    one, two = PastAlerts(), PastAlerts()
    one.remember("host", make_signature("a", 7, latency=0.5, errors=0.5))
    two.load("host", one.save("host"))
    assert two.similar("host", {"latency": 1.0}) == one.similar("host", {"latency": 1.0})
    assert two.save("host") == one.save("host")
    for payload, version in ((b"\xc1", 1), (b"\x81\x01\x02", 1), (one.save("host"), 2)):
        with pytest.raises(ArtifactMismatch):
            two.load("host", payload, version)


@given(SHARES, SHARES)
def test_likeness_is_a_share_and_the_same_both_ways(one: dict[str, float], two: dict[str, float]) -> None:
    """1 for the same alert, 0 for nothing in common, never outside."""
    a, b = signature_shares(one, {}), signature_shares(two, {})
    assert 0 <= alike(a, b) <= 1 + 1e-9
    assert alike(a, b) == pytest.approx(alike(b, a))
    assert alike(a, a) == pytest.approx(1.0 if a else 0.0)
