"""The newest vectors in memory: what is newest, what is answered, what is refused."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.errors import InvalidMessage
from services.features.core.online import SKEW, Answer, NotServed, OnlineStore, Question

SECOND = 1_000_000
NOW = 1_795_240_800 * SECOND


def make_record(seconds: int = -10, **fields: Any) -> dict[str, Any]:
    """A vector whose step began so many seconds after now."""
    record = {
        "event_time": NOW + seconds * SECOND, "step_seconds": 10, "entity_id": "host:a", "feature_set": "host",
        "feature_set_version": 1, "names": ["cpu_ratio", "memory_ratio"], "values": [0.5, 0.25],
    }  # fmt: skip
    return record | fields


def make_store(*records: dict[str, Any], max_vectors: int = 100) -> OnlineStore:
    store = OnlineStore(max_vectors)
    for record in records:
        store.apply(record, NOW)
    return store


def ask(store: OnlineStore, *entity_ids: str, **fields: Any) -> Answer:
    return store.get(Question(entity_ids or ("host:a",), "host", **fields), NOW)


def statuses(answer: Answer) -> list[str]:
    return [found.status for found in answer.vectors]


def test_an_answer_has_one_vector_an_entity_in_the_asked_order() -> None:
    """Entities without a vector are missing, asked twice is answered twice."""
    store = make_store(make_record(), make_record(entity_id="host:b", values=[1.0, 2.0]))
    answer = ask(store, "host:b", "host:none", "host:a", "host:b")
    assert statuses(answer) == ["fresh", "missing", "fresh", "fresh"]
    assert [list(found.values) for found in answer.vectors] == [[1.0, 2.0], [], [0.5, 0.25], [1.0, 2.0]]
    assert (answer.version, answer.step_seconds, answer.names) == (1, 10, ("cpu_ratio", "memory_ratio"))


def test_names_are_given_in_the_asked_order() -> None:
    """A subset, turned round; one that the set lacks is refused by name."""
    store = make_store(make_record())
    answer = ask(store, names=("memory_ratio",))
    assert (answer.names, list(answer.vectors[0].values)) == (("memory_ratio",), [0.25])
    assert list(ask(store, names=("memory_ratio", "cpu_ratio")).vectors[0].values) == [0.25, 0.5]
    with pytest.raises(ValueError, match="host has no feature 'nope'"):
        ask(store, names=("cpu_ratio", "nope"))


def test_staleness_runs_from_the_end_of_the_step() -> None:
    """Exactly as old as allowed is fresh, older is stale with its values; 0 allows any age."""
    store = make_store(make_record(seconds=-40))
    (found,) = ask(store, max_staleness_seconds=30.0).vectors
    assert (found.status, found.staleness_seconds) == ("fresh", 30.0)
    (found,) = ask(store, max_staleness_seconds=29.9).vectors
    assert (found.status, list(found.values)) == ("stale", [0.5, 0.25])
    assert statuses(ask(store)) == ["fresh"]


@given(st.permutations([-50, -40, -30, -20, -10, -30]))
def test_the_newest_step_stays_whatever_the_order(seconds: list[int]) -> None:
    """Repeated and late records never turn time back."""
    store = make_store(*(make_record(s, values=[float(s), 0.0]) for s in seconds))
    assert list(ask(store).vectors[0].values) == [-10.0, 0.0]


def test_a_repeated_step_keeps_the_first_values() -> None:
    """Its writer is at least once: the first record of a step is the one that everybody has seen."""
    store = make_store(make_record())
    assert store.apply(make_record(values=[9.0, 9.0]), NOW) == "older"
    assert list(ask(store).vectors[0].values) == [0.5, 0.25]


def test_a_step_of_a_clock_far_ahead_gives_way() -> None:
    """An entity whose clock was an hour ahead is not frozen for that hour; nor does such a step replace a true one."""
    ahead = make_record(seconds=3600 + SKEW // SECOND, values=[9.0, 9.0])
    assert list(ask(make_store(ahead, make_record())).vectors[0].values) == [0.5, 0.25]
    assert list(ask(make_store(make_record(), ahead)).vectors[0].values) == [0.5, 0.25]


def test_versions_are_kept_apart() -> None:
    """A model gets the version it was trained with; 0 gets the highest that still has news."""
    old, new = make_record(), make_record(feature_set_version=2, names=["x"], values=[7.0])
    store = make_store(old, new)
    assert [ask(store, version=v).version for v in (0, 1, 2)] == [2, 1, 2]
    assert list(ask(store, version=1).vectors[0].values) == [0.5, 0.25]
    rolled_back = make_store({**new, "event_time": NOW - 7200 * SECOND}, old)
    assert ask(rolled_back).version == 1


def test_what_is_not_served_is_named() -> None:
    """Another set or version: the sentence says which there are."""
    store = make_store(make_record())
    with pytest.raises(NotServed, match="no feature set 'pod' is served here; there are: host"):
        store.get(Question(["host:a"], "pod"), NOW)
    with pytest.raises(NotServed, match="host has no version 7 here; there are: 1"):
        ask(store, version=7)
    with pytest.raises(NotServed, match="none yet"):
        ask(OnlineStore(1))


@pytest.mark.parametrize(
    ("question", "words"),
    [
        (Question([], "host"), "0 entity_ids: wanted 1 to 1000"),
        (Question(["e"] * 1001, "host"), "1001 entity_ids"),
        (Question(["e"], ""), "feature_set is empty"),
        (Question(["e"], "host", -1), "feature_set_version is -1"),
        (Question(["e"], "host", 0, ["n"] * 1001), "1001 names"),
        (Question(["e"], "host", 0, (), -1.0), "max_staleness_seconds is -1"),
        (Question(["e"], "host", 0, (), math.nan), "max_staleness_seconds is nan"),
    ],
)
def test_a_question_against_the_contract_is_refused(question: Question, words: str) -> None:
    """Each with a sentence for the caller."""
    with pytest.raises(ValueError, match=words):
        make_store(make_record()).get(question, NOW)


def test_the_longest_without_news_is_forgotten_first() -> None:
    """Of more vectors than allowed the quiet ones go, and are missing then."""
    store = make_store(*(make_record(entity_id=e) for e in ("host:a", "host:b")), max_vectors=2)
    store.apply(make_record(0, entity_id="host:a"), NOW)
    store.apply(make_record(entity_id="host:c"), NOW)
    assert statuses(ask(store, "host:a", "host:b", "host:c")) == ["fresh", "missing", "fresh"]


def test_a_deleted_entity_is_missing() -> None:
    """The topic's word that an entity is gone."""
    store = make_store(make_record(), make_record(entity_id="host:b"))
    store.forget("host:a")
    assert statuses(ask(store, "host:a", "host:b")) == ["missing", "fresh"]


def test_values_that_could_not_be_computed_are_answered() -> None:
    """NaN stays NaN; so does a name that another record of the same version lacks."""
    store = make_store(make_record(names=["cpu_ratio"], values=[math.nan]), make_record(entity_id="host:b"))
    answer = ask(store, "host:a", names=("cpu_ratio",))
    assert math.isnan(answer.vectors[0].values[0])


@pytest.mark.parametrize("fields", [{"values": [1.0]}, {"names": []}, {"step_seconds": 0}])
def test_a_vector_that_contradicts_itself_is_refused(fields: dict[str, Any]) -> None:
    """It is counted as unreadable and changes nothing."""
    with pytest.raises(InvalidMessage, match="wrong_vector"):
        make_store(make_record(**fields))
