"""Questions in, decisions out: asks the world behind one lock, publishes what it decided, then answers.

What other replicas decided, and what this one decided before it was restarted, comes back through placements.v1.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec

from services.common.broker.abstract import Output, Record, View
from services.common.clock import Clock
from services.common.cloudevents import event_headers
from services.common.errors import Retryable
from services.common.topics import ENTITIES, PLACEMENTS
from services.placement import metrics
from services.placement.core.checks import check_id, check_number, check_place, check_workload
from services.placement.core.constraints import ADMISSION
from services.placement.core.decide import candidates, infeasible
from services.placement.core.decision import (
    MODEL_VERSION,
    Candidate,
    Decision,
    Fate,
    fate_of,
    from_record,
    to_record,
    with_fate,
)
from services.placement.core.dwcp.known import Known
from services.placement.core.explain import Explanation, by_difference, paragraph
from services.placement.core.health import Decay
from services.placement.core.ledger import Entry, new_entry
from services.placement.core.reading import TOPICS, Codec, Reading
from services.placement.core.upsert import Upsert, check_upsert, gone, key_of, records_of
from services.placement.core.watch import Watchers
from services.placement.core.workload import PlaceRequest, Profile, Workload
from services.placement.core.world import Rules, World, content_hash
from services.placement.errors import InvalidRequest, NotKnown, NotReady, TooLate
from services.placement.settings import PlacementSettings

T = TypeVar("T")

#: Share of `max_view_age_seconds` after which alerts are no longer taken as read.
FALLBACK_SHARE = 1 / 3
_REFRESH_SECONDS = 0.25
_WAIT_SECONDS = 30.0
_UNAVAILABLE = "the decision could not be recorded in Kafka"

#: Whether a caller still waits.
IsWanted = Callable[[], bool]

#: A request with what was made of it, before Kafka has it.
Made = tuple[PlaceRequest, Entry, Decision]


def always() -> bool:
    """For callers without a deadline."""
    return True


class NodeAnswer(NamedTuple):
    """What Score says of one node; `candidate` is None for one that is not known."""

    node: str
    candidate: Candidate | None
    failed_constraints: tuple[str, ...]


class Placement:
    """The engine of one replica. Thread-safe: requests come on many threads, records on one.

    Args:
        publish: returns when Kafka has the records; raises Retryable.
        open_view: opens a view of topics.
        read_request: a PlaceRequest of the bytes in a record's `request`.
    """

    def __init__(
        self,
        settings: PlacementSettings,
        cluster: str,
        clock: Clock,
        codec: Codec,
        publish: Callable[[Sequence[Output]], None],
        open_view: Callable[[Sequence[str], Callable[[Record], None]], View],
        read_request: Callable[[bytes], PlaceRequest],
    ) -> None:
        self._settings = settings
        self._cluster = cluster
        self._clock = clock
        self._codec = codec
        self._publish = publish
        self._open_view = open_view
        self._read_request = read_request
        self._world = World(rules_of(settings))
        self._watchers = Watchers(settings.max_watchers)
        self._reading = Reading(self._world, self._watchers, cluster, clock, codec, read_request)
        self._lock = self._reading.lock
        self._in_hand: dict[str, threading.Event] = {}
        self._view: View | None = None
        self._read_at: float | None = None
        self._refreshed_at = 0.0
        self._is_stopping = False

    @property
    def reading(self) -> Reading:
        """What it knows, for others that answer from it; to be looked at under its lock."""
        return self._reading

    # Reading: one thread.

    def open_views(self) -> None:
        """Reads everything anew; what is known stays meanwhile."""
        self.close_views()
        self._view = self._open_view(TOPICS, self._reading.apply)

    def close_views(self) -> None:
        """Reads no more."""
        if self._view is not None:
            self._view.close()
            self._view = None

    def turn(self, timeout_seconds: float) -> None:
        """Applies what has come, and lets time pass.

        Raises:
            Retryable: the broker does not answer.
        """
        assert self._view is not None
        self._view.refresh(timeout_seconds)
        now = self._clock.monotonic()
        if self._read_at is None or now - self._refreshed_at >= _REFRESH_SECONDS:
            self._refreshed_at = now
            with self._lock:
                metrics.EXPIRED.inc(self._world.refresh(self._now()))
                self._show()
        self._read_at = now

    def _show(self) -> None:
        metrics.NODES.set(len(self._world.matrix))
        metrics.TROUBLED.set(len(self._world.alerts.troubled))
        metrics.RESERVATIONS.set(float(self._world.matrix.num_in_flight.sum()))
        metrics.WATCHERS.set(len(self._watchers))

    # Answering: many threads.

    def _now(self) -> int:
        return self._reading.now()

    def view_age(self) -> float | None:
        """Seconds since the topics were last read to the end; None before the first time."""
        return None if self._read_at is None else self._clock.monotonic() - self._read_at

    def check_fresh(self) -> None:
        """Raises NotReady when too little is known to answer, Retryable when the end has begun."""
        if self._is_stopping:
            raise Retryable("this replica stops: ask another one")
        age = self.view_age()
        if age is None:
            raise NotReady("the matrix is not read yet: wait until /readyz says yes, or decide without us")
        if age > self._settings.max_view_age_seconds:
            raise NotReady(
                f"the matrix is stale: Kafka was last read {age:.0f} s ago, at most "
                f"{self._settings.max_view_age_seconds:g} s are allowed; decide without us until /readyz says yes"
            )

    @property
    def are_alerts_fresh(self) -> bool:
        """Whether the topics were read so lately that alerts are taken as read."""
        age = self.view_age()
        return age is not None and age <= FALLBACK_SHARE * self._settings.max_view_age_seconds

    def place(self, request: PlaceRequest, is_wanted: IsWanted = always) -> Decision:
        """The decision for one request, recorded before this returns.

        Args:
            is_wanted: whether anybody still waits for the answer; asked before anything is published.

        Raises:
            InvalidRequest, NotReady, TooLate: see services/placement/errors.py; nothing is reserved.
            Retryable: it could not be recorded; nothing is reserved here.
        """
        check_place(request)
        return self._place_all([request], False, is_wanted)[0]

    def place_batch(
        self, requests: Sequence[PlaceRequest], is_gang: bool, is_wanted: IsWanted = always
    ) -> list[Decision]:
        """Decisions for several requests together, by priority, then in order; raises as `place`."""
        for request in requests:
            check_place(request)
        return self._place_all(requests, is_gang, is_wanted)

    def _place_all(self, requests: Sequence[PlaceRequest], is_gang: bool, is_wanted: IsWanted) -> list[Decision]:
        self.check_fresh()
        made: dict[str, Made] = {}
        known: dict[str, Decision] = {}
        try:
            for request in sorted(requests, key=lambda request: -request.workload.priority):
                held = self._known(request, is_wanted)
                if held is not None:
                    known[request.request_id] = held
                    continue
                made[request.request_id] = self._make(request)
            if is_gang:
                self._bind_gang(made, known)
            check_wanted(is_wanted)
            self._record(made)
            known |= self._as_held(made)
        except BaseException:
            self._undo(made)
            raise
        finally:
            for request_id in made:
                self._end_of(request_id)
        decisions = [known[request.request_id] for request in requests]
        return all_or_none(decisions) if is_gang else decisions

    def _known(self, request: PlaceRequest, is_wanted: IsWanted) -> Decision | None:
        """The decision made before for this request_id; waits for one that is in hand.

        Raises:
            InvalidRequest: the id was used for something else.
            TooLate: nobody waits any more.
        """
        until = time.monotonic() + _WAIT_SECONDS
        while time.monotonic() < until:
            check_wanted(is_wanted)
            with self._lock:
                event = self._in_hand.get(request.request_id)
                entry = self._world.ledger.get(request.request_id)
                if entry is not None and (
                    entry.request_hash != content_hash(request) or entry.batch_size != request.batch_size
                ):
                    raise InvalidRequest(
                        f"request_id {request.request_id!r} was used before for another request: choose a new one, or "
                        "repeat the request as it was"
                    )
                if event is None:
                    if entry is None:
                        self._in_hand[request.request_id] = threading.Event()
                        return None
                    metrics.REPEATED.inc()
                    return from_record(self._codec.decode(entry.record))
            event.wait(1.0)
        raise Retryable(f"{_UNAVAILABLE}: the same request waits for it already")

    def _make(self, request: PlaceRequest) -> Made:
        """Decides and reserves."""
        began = time.perf_counter()
        try:
            with self._lock:
                decision, _ = self._world.decide(request, self._now(), self.are_alerts_fresh)
                entry = new_entry(request, content_hash(request), decision.decided_at)
                self._world.take(entry, decision)
        except BaseException:
            self._end_of(request.request_id)
            raise
        metrics.DECIDE_SECONDS.observe(time.perf_counter() - began)
        metrics.DECISIONS.labels(decision.mode, "placed" if decision.node else "infeasible").inc()
        return request, entry, decision

    def _bind_gang(self, made: dict[str, Made], known: dict[str, Decision]) -> None:
        """All or none: when one fits nowhere, nobody gets anything, those of an earlier, broken-off try included."""
        whole = [decision for _, _, decision in made.values()] + list(known.values())
        without = next((decision for decision in whole if not decision.node), None)
        if without is None or not made:
            return
        why = f"All of the batch or nothing: {without.workload_id} fits nowhere. {without.remedy}"
        with self._lock:
            for request_id, (request, entry, decision) in made.items():
                self._world.ledger.free(entry, "none")
                if decision.node:
                    mask = self._world.mask(request.workload)
                    none = infeasible(request, mask, self._world.matrix, decision.mode, decision.decided_at, why)
                    made[request_id] = (request, entry, none)
        for request_id, decision in known.items():
            if decision.node:
                self.release(request_id, "failed", "the rest of its batch could not be placed", 0)

    def _record(self, made: Mapping[str, Made]) -> None:
        """Publishes decisions. Raises Retryable when Kafka does not take them."""
        outputs = []
        for request, entry, decision in made.values():
            raw = self._codec.encode(PLACEMENTS.name, to_record(decision, request, self._cluster))
            with self._lock:
                if entry.was_read:
                    continue  # another replica was first
                entry.record = raw
                entry.unread.append(raw)
            outputs.append(self._output(entry.request_id, raw, "decided", decision.decided_at))
        try:
            self._send(outputs)
        except Retryable as error:
            raise Retryable(f"{_UNAVAILABLE}: {error}") from error

    def _undo(self, made: Mapping[str, Made]) -> None:
        """What was not recorded was never decided; what was read back meanwhile, was."""
        with self._lock:
            for _, entry, _ in made.values():
                if not entry.was_read:
                    self._world.ledger.remove(entry)

    def _send(self, outputs: Sequence[Output]) -> None:
        if outputs:
            began = time.perf_counter()
            self._publish(outputs)
            metrics.PUBLISH_SECONDS.observe(time.perf_counter() - began)

    def _output(self, request_id: str, raw: bytes, what: str, at: int) -> Output:
        headers = event_headers(
            f"{request_id}:{what}:{at}", f"/moselle/{self._cluster}/placement", f"moselle.placement.{what}.v1", at
        )
        return Output(PLACEMENTS.name, request_id.encode(), raw, headers)

    def _as_held(self, made: Mapping[str, Made]) -> dict[str, Decision]:
        """What was decided, or what another replica had recorded for the same request a moment earlier."""
        with self._lock:
            return {
                request_id: decision
                if not entry.was_read or entry.decided_at == decision.decided_at
                else from_record(self._codec.decode(entry.record))
                for request_id, (_, entry, decision) in made.items()
            }

    def _end_of(self, request_id: str) -> None:
        with self._lock:
            event = self._in_hand.pop(request_id, None)
        if event is not None:
            event.set()

    def score(
        self, workload: Workload, nodes: Sequence[str], profile: Profile, with_reasons: bool
    ) -> tuple[list[NodeAnswer], float]:
        """Scores of nodes, all of them when none are named, and the staleness of what counted; changes nothing."""
        check_workload(workload)
        self.check_fresh()
        with self._lock:
            world = self._world
            now = self._now()
            world.prepare(now)
            mask = world.mask(workload)
            wanted = list(nodes) or sorted(world.matrix.ids)
            known = [node_id for node_id in wanted if node_id in world.matrix.row_of]
            rows = [world.matrix.row_of[node_id] for node_id in known]
            scored = world.scores.ask(workload, profile)
            if with_reasons:
                found = dict(zip(known, candidates(world.matrix, scored, rows, world.tell), strict=True))
            else:
                scores = scored.scores[rows].tolist()
                found = {node_id: Candidate(node_id, one) for node_id, one in zip(known, scores, strict=True)}
            failed = {node_id: mask.failed(row) for node_id, row in zip(known, rows, strict=True)}
            answers = [
                NodeAnswer(node_id, found.get(node_id), failed.get(node_id, ("unknown_node",))) for node_id in wanted
            ]
            return answers, world.staleness(profile, now)

    def ask(self, question: Callable[[Known], T]) -> T:
        """What is known, for questions that decide nothing: answered under the lock, so they must be quick.

        Raises:
            NotReady: the matrix is stale.
        """
        self.check_fresh()
        with self._lock:
            now = self._now()
            self._world.prepare(now)
            return question(Known(self._world, now, self._cluster))

    def explain(self, request_id: str, node_id: str) -> Explanation:
        """Why a decision came out as it did, against a node or the best alternative.

        Raises:
            NotKnown: no such decision is remembered, or no such node.
        """
        with self._lock:
            entry = self._entry(request_id)
            decision = from_record(self._codec.decode(entry.record))
            if not node_id and not decision.alternatives:
                return Explanation(decision, None, (), paragraph(decision, None, (), False))
            kept = {other.node: other for other in (*decision.alternatives, *filter(None, [decision.chosen]))}
            compared = kept.get(node_id) if node_id else decision.alternatives[0]
            failed: tuple[str, ...] = ()
            is_of_now = compared is None
            if compared is None:
                compared, failed = self._look_at(entry, node_id)
            compared = by_difference(compared, decision.chosen)
            return Explanation(decision, compared, failed, paragraph(decision, compared, failed, is_of_now))

    def _look_at(self, entry: Entry, node_id: str) -> tuple[Candidate, tuple[str, ...]]:
        """A node as it is now for the entry's workload."""
        world = self._world
        row = world.matrix.row_of.get(node_id)
        if row is None:
            raise NotKnown(f"node {node_id!r} is not in the inventory: see `moselle inventory show`")
        world.prepare(self._now())
        profile = self._read_request(self._codec.decode(entry.record)["request"]).profile
        with world.without(entry):
            scored = world.scores.ask(entry.workload, profile)
            (found,) = candidates(world.matrix, scored, [row], world.tell)
            return found, world.mask(entry.workload).failed(row)

    def _entry(self, request_id: str) -> Entry:
        entry = self._world.ledger.get(request_id)
        if entry is None or not entry.record:
            raise NotKnown(f"no decision for request_id {request_id!r} is known here: ask Place first")
        return entry

    def confirm(self, request_id: str, node_id: str, node_version: int) -> tuple[str, ...]:
        """The workload runs on a node: its room is held there from now on, whatever was decided.

        Returns:
            The constraints that do not hold there any more; empty when all do.

        Raises:
            NotKnown: no such decision, or no such node.
            Retryable: it could not be recorded; nothing has changed.
        """
        check_id("node", node_id)
        with self._lock:
            entry = self._entry(request_id)
            failed = self._check_again(entry, node_id, node_version)
            metrics.STILL_FEASIBLE.labels(str(not failed).lower()).inc()
            is_known = entry.state == "bound" and entry.node == node_id
        if not is_known:
            self._record_fate(entry, Fate("bound", self._now(), node_id))
        return failed

    def _check_again(self, entry: Entry, node_id: str, node_version: int) -> tuple[str, ...]:
        world = self._world
        row = world.matrix.row_of.get(node_id)
        if row is None:
            raise NotKnown(
                f"node {node_id!r} is not in the inventory: publish it with `moselle inventory publish`, then confirm"
            )
        world.prepare(self._now())
        with world.without(entry, *world.ledger.later(entry, node_id)):
            failed = tuple(name for name in world.mask(entry.workload).failed(row) if name != ADMISSION)
        is_other = node_version not in (0, world.matrix.infos[row].version)
        return (*failed, "node_version") if is_other else failed

    def release(self, request_id: str, outcome: str, detail: str, event_time: int) -> bool:
        """Its room is free again; true when it held any. Raises as `confirm`.

        Args:
            outcome: failed, evicted or completed; empty for completed when it was bound, else failed.
            event_time: when it happened, microseconds UTC; 0 for now.
        """
        check_number("event_time_micros", event_time, 0, 2.0**62)
        if outcome == "bound":
            raise InvalidRequest("Release says that room is free, and outcome BOUND that it is taken: use Confirm")
        with self._lock:
            entry = self._entry(request_id)
            held = bool(entry.node)
            is_known = not held and fate_of(self._codec.decode(entry.record)) is not None
            outcome = outcome or ("completed" if entry.state == "bound" else "failed")
        if not is_known:
            bound_node = entry.node if entry.state == "bound" else ""
            self._record_fate(entry, Fate(outcome, event_time or self._now(), bound_node, detail[:4000]))
        return held

    def _record_fate(self, entry: Entry, fate: Fate) -> None:
        """Makes an outcome hold here, and publishes it; undone when Kafka does not take it."""
        with self._lock:
            before = entry.record
            fields = with_fate(self._codec.decode(before), fate)
            raw = self._codec.encode(PLACEMENTS.name, fields)
            entry.record = raw
            entry.unread.append(raw)
            self._reading.follow(entry, fields, fate)
        try:
            self._send([self._output(entry.request_id, raw, fate.outcome, fate.outcome_time)])
        except Retryable as error:
            with self._lock:
                self._take_back(entry, raw, before)
            raise Retryable(f"the outcome could not be recorded in Kafka: {error}") from error
        metrics.OUTCOMES.labels(fate.outcome).inc()

    def _take_back(self, entry: Entry, raw: bytes, before: bytes) -> None:
        if raw not in entry.unread:
            return  # it was read back meanwhile: Kafka has it
        entry.unread.remove(raw)
        if entry.record == raw:
            entry.record = before
            fields = self._codec.decode(before)
            self._reading.follow(entry, fields, fate_of(fields))

    def upsert_inventory(self, upsert: Upsert) -> tuple[int, int]:
        """Says on what a source says of its nodes; recorded before this returns.

        Returns:
            How many nodes were published, and of how many the source says nothing any more.

        Raises:
            InvalidRequest, NotReady: see services/placement/errors.py; nothing is published.
            Retryable: not all of it could be recorded; saying it again does no harm.
        """
        check_upsert(upsert)
        self.check_fresh()
        with self._lock:
            before = set(self._world.inventory.named_by(upsert.source))
        removed = gone(upsert, before)
        outputs = [
            Output(ENTITIES.name, key_of(row["entity_id"], upsert.source), self._codec.encode(ENTITIES.name, row))
            for row in records_of(upsert, self._cluster, self._now())
        ]
        self._send([*outputs, *(Output(ENTITIES.name, key_of(node_id, upsert.source), None) for node_id in removed)])
        return len(outputs), len(before.intersection(removed))

    def watch(self, from_micros_: int) -> Iterator[Decision | None]:
        """Kept decisions made since then, 0 for none, and every one that follows; None now and then while none comes.

        Raises:
            TooMany: too many watch, or this one reads too slowly.
        """
        watcher = self._watchers.open()
        try:
            with self._lock:
                kept = [e.record for e in self._world.ledger if e.was_read and 0 < from_micros_ <= e.decided_at]
            decisions = sorted((from_record(self._codec.decode(raw)) for raw in kept), key=lambda d: d.decided_at)
            yield from decisions
            yield from watcher.decisions()
        finally:
            self._watchers.close(watcher)

    def stop(self) -> None:
        """Decides nothing more, and ends all streams of decisions; what is being recorded goes on."""
        self._is_stopping = True
        self._watchers.close_all()

    @property
    def model_version(self) -> str:
        """Version of the rules that decide."""
        return MODEL_VERSION


def check_wanted(is_wanted: IsWanted) -> None:
    """Raises TooLate when nobody waits for the answer any more."""
    if not is_wanted():
        raise TooLate("the deadline passed, or the caller went, before it was decided: nothing is reserved")


def all_or_none(decisions: list[Decision]) -> list[Decision]:
    """The answer to a gang: when one has no node, those that had one (in a try that broke off) have none either."""
    without = next((decision for decision in decisions if not decision.node), None)
    if without is None:
        return decisions
    gone: dict[str, Any] = {"chosen": None, "alternatives": (), "reserved_until": 0, "remedy": without.remedy}
    return [msgspec.structs.replace(one, **gone) if one.node else one for one in decisions]


def rules_of(settings: PlacementSettings) -> Rules:
    """The settings as the world takes them."""
    return Rules(
        Decay(settings.alert_half_life_seconds, settings.alert_hold_seconds),
        settings.parent_weight,
        settings.features_valid_seconds,
        settings.reservation_seconds,
        settings.ramp_seconds,
        settings.max_decisions,
        settings.max_utilisation_ratio,
    )
