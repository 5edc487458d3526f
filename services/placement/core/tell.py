"""Factors in words: what a share rests on, which alert, which forecast."""

import math
from bisect import bisect_left

from services.common.signal_forms import NodeSignal
from services.placement.core.factors import Factor
from services.placement.core.health import Alert, AlertBook
from services.placement.core.matrix import NodeMatrix
from services.placement.core.signals import SignalBook

#: How many other nodes' troubles a reason names at most.
_NAMED = 2
_SHARES = {
    "cpu_free": "of the cores are free with this workload there",
    "memory_free": "of the memory is free with this workload there",
    "disk_free": "of the local disk is free with this workload there",
    "balance": "apart are the shares of cores and memory in use with this workload there",
    "packing": "of cores and memory are in use with this workload there",
}
_LOADS = {
    "cpu_load": "of the processors busy",
    "memory_load": "of the memory in use",
    "disk_load": "of the time the busiest disk is busy",
    "cpu_forecast": "of the processors busy",
    "memory_forecast": "of the memory in use",
}
#: Loads to which what is on its way was added.
_WITH_IN_FLIGHT = ("cpu_load", "cpu_forecast")


class Teller:
    """Finds the words. `now` is microseconds UTC, set before it is asked."""

    def __init__(self, matrix: NodeMatrix, alerts: AlertBook, signals: SignalBook) -> None:
        self._matrix = matrix
        self._alerts = alerts
        self._signals = signals
        self._words: dict[str, str] = {}
        self._ranking: list[tuple[float, str]] | None = None
        self.now = 0

    def forget_health(self) -> None:
        """Alerts or their weights have changed: what was said of them is said anew."""
        self._words.clear()
        self._ranking = None

    def tell(self, factor: Factor, row: int, value: float, is_chosen: bool) -> str:
        """One clause about a factor of a node."""
        if factor.name == "health":
            return self._health(row, is_chosen)
        if math.isnan(value):
            return f"nothing is known from {factor.source}"
        if factor.name in _LOADS:
            return f"{value:.0%} {_LOADS[factor.name]}{self._speaker(factor.name, row)}{self._coming(factor.name, row)}"
        if factor.name in _SHARES:
            return f"{value:.0%} {_SHARES[factor.name]}"
        if factor.name == "in_flight":
            return f"{value:.0f} workloads were sent there and do not show in its load yet"
        return f"{value:.4g} {factor.unit}"

    def _speaker(self, signal: str, row: int) -> str:
        said = self._signals.of(self._matrix.infos[row], signal, self.now)
        if said is None:
            return ""
        entity_id, word = said
        about = f" {word.about}" if word.about else ""
        return about + ("" if entity_id == self._matrix.ids[row] else f", said of {entity_id}")

    def _coming(self, signal: str, row: int) -> str:
        is_coming = signal in _WITH_IN_FLIGHT and self._matrix.cpu_in_flight[row] > 0
        return ", with what is on its way there" if is_coming else ""

    def _health(self, row: int, is_chosen: bool) -> str:
        words = self._worst(self._matrix.ids[row])
        return words + self._avoided(row) if is_chosen else words

    def _worst(self, node_id: str) -> str:
        words = self._words.get(node_id)
        if words is None:
            words = self._words[node_id] = _worst(self._alerts.on_node(node_id, self.now))
        return words

    def _avoided(self, row: int) -> str:
        """Of the chosen node: whose troubles it does not have."""
        ranking = self._ranked()
        number = bisect_left(ranking, (float(self._matrix.signal("health")[row]), ""))
        if not number:
            return ""
        named = "; ".join(f"{node_id}: {self._worst(node_id)}" for _, node_id in ranking[: min(number, _NAMED)])
        more = f" and {number - _NAMED} more" if number > _NAMED else ""
        return f"; others are worse off: {named}{more}"

    def _ranked(self) -> list[tuple[float, str]]:
        """(health, node) of every node that some alert concerns, worst first."""
        if self._ranking is None:
            health, row_of = self._matrix.signal("health"), self._matrix.row_of
            troubled = [node_id for node_id in self._alerts.troubled if node_id in row_of]
            self._ranking = sorted((float(health[row_of[node_id]]), node_id) for node_id in troubled)
        return self._ranking


def tell_signal(signal: NodeSignal, value: float) -> str:
    """One clause about a signal of a node."""
    if math.isnan(value):
        return f"nothing is known from {signal.exporter}"
    return f"{value:.4g} {signal.unit}: {signal.meaning}"


def _worst(own: list[tuple[float, Alert]]) -> str:
    if not own:
        return "no alert concerns it"
    share, alert = own[0]
    more = f" and {len(own) - 1} more" if len(own) > 1 else ""
    state = "over, fading" if alert.is_over else "firing"
    return f"{alert.words}{more}, {state}, takes {share:.0%} of its health"
