"""Pods that run, and what became of those that we had an opinion about.

The API server's word on a bound pod holds over everything else: what a decision reserved gives way to it.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

import msgspec

from services.common.clock import to_micros
from services.placement.core.decision import Fate
from services.placement.core.kube.objects import Pod
from services.placement.core.kube.pods import asked_by, node_id
from services.placement.core.ledger import Entry, Ledger

#: Request ids of pods' decisions: `pod:<uid>:<microseconds>`; what runs is held under `running:<uid>`.
_DECIDED, _RUNNING = "pod:", "running:"
_MOST_DECIDED = 50_000
_OUTCOMES = {"Succeeded": "completed", "Failed": "failed"}


def request_id(uid: str, now: int) -> str:
    """Of one decision about a pod; a pod that comes again gets another one."""
    return f"{_DECIDED}{uid}:{now}"


def uid_of(request_id: str) -> str:
    """The pod that a decision is about; empty for a decision about no pod."""
    return request_id.removeprefix(_DECIDED).rpartition(":")[0] if request_id.startswith(_DECIDED) else ""


class Opinion(msgspec.Struct):
    """The newest decision about a pod.

    Attributes:
        node: what we would take; empty when nothing was feasible.
        is_own: whether this replica decided it and therefore tells its outcome at once.
        told: the outcome that the topic has.
        due: outcomes that another replica should have told, with the time from which this one tells them.
    """

    entry: Entry
    node: str
    mode: str
    is_own: bool
    told: str = ""
    due: list[tuple[int, Fate]] = msgspec.field(default_factory=list)


class PodBook:
    """Follows the API server's pods into the ledger. Not thread-safe; whoever calls holds the world's lock.

    Args:
        is_watching: False where no API server is watched: then only decisions and their outcomes count.
        tell: publishes an outcome, later.
        patience_seconds: how long another replica has to tell an outcome of its own decision.
        agreed: hears of every bound pod with an opinion: (mode, whether it is the node we would have taken).
    """

    def __init__(
        self,
        ledger: Ledger,
        is_watching: bool,
        tell: Callable[[Entry, Fate], None],
        patience_seconds: float,
        agreed: Callable[[str, bool], None],
    ) -> None:
        self._ledger = ledger
        self._is_watching = is_watching
        self._tell = tell
        self._patience_micros = int(patience_seconds * 1e6)
        self._agreed = agreed
        self._running: dict[str, Entry] = {}
        self._opinions: OrderedDict[str, Opinion] = OrderedDict()
        self._waiting: OrderedDict[str, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._running)

    def decided(self, uid: str, opinion: Opinion) -> None:
        """A decision about a pod, the newest."""
        before = self._opinions.get(uid)
        if before is not None and before.entry is not opinion.entry:
            self._ledger.free(before.entry, "none")
        self._opinions[uid] = opinion
        self._opinions.move_to_end(uid)
        if len(self._opinions) > _MOST_DECIDED:
            self._opinions.popitem(last=False)

    def withdraw(self, uid: str) -> None:
        """The pod is asked about again: what it reserved counts no more."""
        opinion = self._opinions.get(uid)
        if opinion is not None:
            self._ledger.free(opinion.entry, "none")

    def settles(self, entry: Entry, node: str, mode: str, fate: Fate | None) -> bool:
        """Hears a record of placements.v1; whether the decision is to hold nothing, since the watch speaks for it."""
        uid = uid_of(entry.request_id)
        if not uid or not self._is_watching:
            return False
        opinion = self._opinions.get(uid)
        if opinion is None or (opinion.entry is not entry and opinion.entry.decided_at < entry.decided_at):
            opinion = Opinion(entry, node, mode, False)
            self.decided(uid, opinion)
        if opinion.entry is entry and fate is not None:
            opinion.told = fate.outcome
        return fate is not None or uid in self._running or opinion.entry is not entry

    def put(self, pod: Pod, now: int) -> None:
        """A pod as it is now.

        Raises:
            ValueError: what it asks for cannot be read.
        """
        uid = pod.metadata.uid
        if pod.is_over:
            self.remove(uid, _OUTCOMES[pod.status.phase], pod.status.reason, now)
        elif pod.spec.node_name and uid:
            self._run(uid, pod, now)

    def _run(self, uid: str, pod: Pod, now: int) -> None:
        node = node_id(pod.spec.node_name)
        held = self._running.get(uid)
        asked = asked_by(pod)
        if held is not None and held.node == node and held.workload.requests == asked.workload.requests:
            return
        if held is not None:
            self._ledger.remove(held)
        entry = Entry(_RUNNING + uid, asked.workload, b"", now, 0)
        self.withdraw(uid)
        self._ledger.add(entry)
        self._ledger.bind(entry, node, _started(pod, now))
        self._running[uid] = entry
        if held is None:
            self._joined(uid, node, now)

    def _joined(self, uid: str, node: str, now: int) -> None:
        """A pod with an opinion was bound."""
        opinion = self._opinions.get(uid)
        if opinion is None or opinion.told:
            return
        if opinion.is_own:
            self._agreed(opinion.mode, opinion.node == node)
        self._say(uid, opinion, Fate("bound", now, node), now)

    def remove(self, uid: str, outcome: str, detail: str, now: int) -> None:
        """A pod ended or is gone; one that never ran here is fine."""
        held = self._running.pop(uid, None)
        bound_node = held.node if held is not None else ""
        if held is not None:
            self._ledger.remove(held)
        opinion = self._opinions.get(uid)
        if opinion is None:
            return
        self._ledger.free(opinion.entry)
        if opinion.told not in ("completed", "failed", "evicted"):
            what = "evicted" if detail == "Evicted" else outcome
            self._say(uid, opinion, Fate(what, now, bound_node, detail), now)

    def _say(self, uid: str, opinion: Opinion, fate: Fate, now: int) -> None:
        if opinion.is_own:
            opinion.told = fate.outcome
            self._tell(opinion.entry, fate)
        else:
            opinion.due.append((now + self._patience_micros, fate))
            self._waiting[uid] = None

    def listed(self, pods: Iterable[Pod], now: int) -> Iterator[tuple[Pod, ValueError]]:
        """All pods that there are: what is not among them is gone. Yields those that cannot be read."""
        found = set()
        for pod in pods:
            found.add(pod.metadata.uid)
            try:
                self.put(pod, now)
            except ValueError as error:
                yield pod, error
        bound = {uid for uid, opinion in self._opinions.items() if opinion.told == "bound"}
        for uid in (set(self._running) | bound) - found:
            self.remove(uid, "completed", "gone when it was looked for", now)

    def tick(self, now: int) -> None:
        """Tells outcomes that others should have told."""
        for uid in list(self._waiting):
            opinion = self._opinions.get(uid)
            if opinion is None:
                del self._waiting[uid]
                continue
            due = [fate for at, fate in opinion.due if at <= now]
            opinion.due = [(at, fate) for at, fate in opinion.due if at > now]
            if due and due[-1].outcome != opinion.told and opinion.told not in ("completed", "failed", "evicted"):
                opinion.told = due[-1].outcome
                self._tell(opinion.entry, due[-1])
            if not opinion.due:
                del self._waiting[uid]


def _started(pod: Pod, now: int) -> int:
    """When it began to run, microseconds UTC; now when it has not said so."""
    try:
        return min(now, to_micros(datetime.fromisoformat(pod.status.start_time or "")))
    except (ValueError, TypeError):
        return now
