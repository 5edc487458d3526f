"""What the demonstration makes of the placement service's answers."""

import pytest

from moselle.demo.placing import Ask, figures, stories, troubled_hosts


def make_ask(number: int, node: str = "host:compute-1", **changed: object) -> Ask:
    """An answer after two milliseconds."""
    return Ask(f"demo-{number}", 0.0, 2.0, node=node, **changed)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("note", "event", "hosts"),
    [
        ("raises on compute-1 and compute-2", "", ("host:compute-1", "host:compute-2")),
        ("operations hang", "SIGKILL nova-compute-3", ("host:compute-3",)),
        ("nothing said", "", ()),
    ],
)
def test_hosts_in_trouble_are_those_a_label_names(note: str, event: str, hosts: tuple[str, ...]) -> None:
    """From its note and its events."""
    assert troubled_hosts({"service": "nova-compute", "note": note, "events": [{"event": event}]}) == hosts


def test_a_fault_elsewhere_troubles_no_compute_host() -> None:
    """compute-1 in the note of another service's fault is not its host."""
    assert troubled_hosts({"service": "mariadb", "note": "seen from compute-1", "events": []}) == ()


def test_avoiding_counts_only_while_a_host_is_in_trouble() -> None:
    """One of two decisions in trouble went elsewhere; a blind choice of two nodes would have avoided one as well."""
    trouble = {"trouble": ("host:compute-3",), "alternatives": ("host:compute-3", "host:compute-1")}
    asks = [make_ask(1), make_ask(2, **trouble), make_ask(3, "host:compute-3", **trouble)]
    found = figures(asks, 0)
    assert (found["decisions"], found["asked_during_host_faults"], found["avoided_faulty"]) == (3, 2, 1)
    assert (found["avoided_by_chance"], found["p99_ms"]) == (1.0, 2.0)
    assert [one.avoided for one in stories(asks)] == [False, True, False]


def test_failures_are_no_decisions() -> None:
    """A request without an answer is counted as such and has no time."""
    found = figures([Ask("demo-1", 0.0, 5000.0, failure="DEADLINE_EXCEEDED")], 0)
    assert (found["decisions"], found["unanswered"], found["p99_ms"]) == (0, 1, None)
