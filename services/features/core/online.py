"""The newest feature vectors, in memory.

Of each entity, feature set and version one vector is held: the one with the newest step. Records that come twice or out
of order change nothing. A step further ahead of our clock than clocks go wrong by a little gives way to any other, so
that an entity whose clock was ahead for a while is not frozen until that time comes.
"""

import math
import threading
from array import array
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from services.common.errors import InvalidMessage

SECOND = 1_000_000
MAX_ENTITIES = 1000
MAX_NAMES = 1000
#: How far ahead of our clock a step may end and still be believed.
SKEW = 600 * SECOND
#: A version without news for so long, while another one of its set has some, is no longer the newest that is served.
RETIRED_AFTER = 900 * SECOND

Applied = Literal["newest", "older"]


class NotServed(LookupError):
    """A feature set or version of which no vector is here."""


class Vector(NamedTuple):
    """One entity's newest step; times in microseconds since 1970 UTC."""

    event_time: int
    step_seconds: int
    names: tuple[str, ...]
    values: "array[float]"

    @property
    def end(self) -> int:
        """When its step was over."""
        return self.event_time + self.step_seconds * SECOND


class Question(NamedTuple):
    """What is asked, as in the contract: version 0 for the newest, no names for all, staleness 0 for any age."""

    entity_ids: Sequence[str]
    feature_set: str
    version: int = 0
    names: Sequence[str] = ()
    max_staleness_seconds: float = 0.0


class Found(NamedTuple):
    """One entity's vector; none of `values` when it is missing."""

    entity_id: str
    status: Literal["fresh", "stale", "missing"]
    values: Sequence[float] = ()
    event_time: int = 0
    staleness_seconds: float = 0.0


class Answer(NamedTuple):
    """One `Found` an entity, in the order of the question."""

    version: int
    names: Sequence[str]
    step_seconds: int
    vectors: Sequence[Found]


class OnlineStore:
    """Applied to by one thread, asked by many.

    Args:
        max_vectors: of more, those longest without news are forgotten.
    """

    def __init__(self, max_vectors: int) -> None:
        self._max_vectors = max_vectors
        self._lock = threading.Lock()
        #: By (feature set, version, entity_id), longest without news first.
        self._vectors: OrderedDict[tuple[str, int, str], Vector] = OrderedDict()
        #: By feature set and version: the layout of the newest record, and how new it was.
        self._newest: dict[str, dict[int, Vector]] = {}
        self._layouts: dict[tuple[str, ...], tuple[str, ...]] = {}

    def __len__(self) -> int:
        return len(self._vectors)

    def apply(self, record: Mapping[str, Any], now: int) -> Applied:
        """Takes a record of features.v1 in.

        Raises:
            InvalidMessage: names and values differ in number, or a step lasts no time.
        """
        if len(record["names"]) != len(record["values"]) or record["step_seconds"] <= 0:
            raise InvalidMessage(
                "wrong_vector",
                f"{len(record['values'])} values of {len(record['names'])} names, steps of {record['step_seconds']} s",
            )
        feature_set, version = record["feature_set"], record["feature_set_version"]
        key = (feature_set, version, record["entity_id"])
        names = tuple(record["names"])
        with self._lock:
            # One tuple of names for all vectors that have them.
            names = self._layouts.setdefault(names, names)
            vector = Vector(record["event_time"], record["step_seconds"], names, array("d", record["values"]))
            if not _is_newer(vector, self._vectors.get(key), now):
                return "older"
            self._vectors[key] = vector
            self._vectors.move_to_end(key)
            versions = self._newest.setdefault(feature_set, {})
            if _is_newer(vector, versions.get(version), now):
                versions[version] = vector
            while len(self._vectors) > self._max_vectors:
                self._vectors.popitem(last=False)
        return "newest"

    def forget(self, entity_id: str) -> None:
        """The entity's vectors are deleted from the topic."""
        with self._lock:
            for feature_set, versions in self._newest.items():
                for version in versions:
                    self._vectors.pop((feature_set, version, entity_id), None)

    def get(self, question: Question, now: int) -> Answer:
        """The newest vectors of the asked entities.

        Raises:
            ValueError: the question breaks the contract.
            NotServed: no vector of that feature set, or version, has come.
        """
        check_question(question)
        with self._lock:
            version, layout = self._choose(question)
            names = tuple(question.names) or layout.names
            keys = [(question.feature_set, version, entity_id) for entity_id in question.entity_ids]
            vectors = [self._vectors.get(key) for key in keys]
        check_names(names, layout.names, question.feature_set)
        limit = question.max_staleness_seconds or math.inf
        found = [_find(e, v, names, now, limit) for e, v in zip(question.entity_ids, vectors, strict=True)]
        return Answer(version, names, layout.step_seconds, found)

    def _choose(self, question: Question) -> tuple[int, Vector]:
        """The version that is meant, and its newest vector."""
        versions = self._newest.get(question.feature_set)
        if not versions:
            known = ", ".join(sorted(self._newest)) or "none yet"
            raise NotServed(f"no feature set {question.feature_set!r} is served here; there are: {known}")
        version = question.version or newest_version(versions)
        if version not in versions:
            known = ", ".join(map(str, sorted(versions)))
            raise NotServed(f"{question.feature_set} has no version {version} here; there are: {known}")
        return version, versions[version]


def newest_version(versions: Mapping[int, Vector]) -> int:
    """The highest version that still gets news.

    >>> at = lambda seconds: Vector(seconds * SECOND, 10, (), array("d"))
    >>> newest_version({1: at(5000), 2: at(4900)}), newest_version({1: at(5000), 2: at(100)})
    (2, 1)
    """
    newest = max(vector.event_time for vector in versions.values())
    return max(v for v, vector in versions.items() if vector.event_time >= newest - RETIRED_AFTER)


def check_question(question: Question) -> None:
    """Raises ValueError, in words for the caller, when it breaks the contract."""
    if not 1 <= len(question.entity_ids) <= MAX_ENTITIES:
        raise ValueError(f"{len(question.entity_ids)} entity_ids: wanted 1 to {MAX_ENTITIES}")
    if not question.feature_set:
        raise ValueError("feature_set is empty: wanted the name of one")
    if len(question.names) > MAX_NAMES:
        raise ValueError(f"{len(question.names)} names: wanted at most {MAX_NAMES}, or none for all")
    if question.version < 0:
        raise ValueError(f"feature_set_version is {question.version}: wanted a version, or 0 for the newest")
    if not 0 <= question.max_staleness_seconds < math.inf:
        raise ValueError(f"max_staleness_seconds is {question.max_staleness_seconds}: wanted seconds, or 0 for any age")


def check_names(asked: Sequence[str], known: Sequence[str], feature_set: str) -> None:
    """Raises ValueError for a name that the set does not have."""
    unknown = sorted(set(asked).difference(known))
    if unknown:
        raise ValueError(f"{feature_set} has no feature {unknown[0]!r}; docs/features.md lists them")


def _is_newer(vector: Vector, present: Vector | None, now: int) -> bool:
    if present is None:
        return True
    if (vector.end > now + SKEW) != (present.end > now + SKEW):
        return present.end > now + SKEW
    return vector.event_time > present.event_time


def _find(entity_id: str, vector: Vector | None, names: tuple[str, ...], now: int, limit: float) -> Found:
    if vector is None:
        return Found(entity_id, "missing")
    staleness = max(0.0, (now - vector.end) / SECOND)
    status: Literal["fresh", "stale"] = "fresh" if staleness <= limit else "stale"
    return Found(entity_id, status, _pick(vector, names), vector.event_time, staleness)


def _pick(vector: Vector, names: tuple[str, ...]) -> Sequence[float]:
    """The values in the asked order; NaN for a name that this vector lacks."""
    if names is vector.names or names == vector.names:
        return vector.values
    places = {name: place for place, name in enumerate(vector.names)}
    return [vector.values[places[name]] if name in places else math.nan for name in names]
