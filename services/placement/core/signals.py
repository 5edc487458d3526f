"""What features and forecasts say of nodes: the newest of each entity, brought to the nodes that it stands for.

A node's own entity (entity_id, name or alias) speaks before the host that it belongs to.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from services.placement.core.inventory import NodeInfo, own_names

#: Feature, or forecast target, to the matrix's signal that it feeds.
FEATURE_SIGNALS = {
    "cpu_used_ratio": "cpu_load",
    "memory_used_ratio": "memory_load",
    "disk_busy_ratio": "disk_load",
}
FORECAST_SIGNALS = {"cpu_used_ratio": "cpu_forecast", "memory_used_ratio": "memory_forecast"}
#: Longest time that a forecast may call itself valid, seconds: a writer's mistake does not rule for a month.
LONGEST_VALIDITY_SECONDS = 7200.0


class Word(NamedTuple):
    """One value of one entity.

    Attributes:
        event_time: when it was so, or from when it looks ahead, microseconds UTC.
        until: Kafka's time until which it may be used, microseconds UTC.
        about: in words, for reasons.
    """

    value: float
    event_time: int
    until: int
    about: str = ""


class SignalBook:
    """The newest word of every (entity, signal).

    Args:
        features_valid_seconds: how long a feature may be used after Kafka got it.
    """

    def __init__(self, features_valid_seconds: float) -> None:
        self._valid_micros = int(features_valid_seconds * 1e6)
        self._words: dict[tuple[str, str], Word] = {}

    def put_features(self, fields: Mapping[str, Any], heard_at: int) -> list[str]:
        """Takes a record of features.v1; returns the signals that changed. NaN says nothing and changes nothing."""
        changed = []
        for name, value in zip(fields["names"], fields["values"], strict=False):
            signal = FEATURE_SIGNALS.get(name)
            if signal is not None and math.isfinite(value):
                word = Word(_ratio(value), int(fields["event_time"]), heard_at + self._valid_micros)
                changed += self._put(fields["entity_id"], signal, word)
        return changed

    def put_prediction(self, fields: Mapping[str, Any], heard_at: int) -> list[str]:
        """Takes a record of predictions.v1. What counts is the highest of its horizons.

        It may be used for as long after Kafka got it as its maker said: from event_time to valid_until.
        """
        signal = FORECAST_SIGNALS.get(fields["target"])
        ahead = [
            (value, seconds)
            for value, seconds in zip(fields["values"], fields["horizons_seconds"], strict=False)
            if math.isfinite(value)
        ]
        if signal is None or not ahead:
            return []
        peak, seconds = max(ahead)
        event_time = int(fields["event_time"])
        lasts = min(int(fields["valid_until"]) - event_time, int(LONGEST_VALIDITY_SECONDS * 1e6))
        about = f"in {seconds / 60:.3g} min ({fields['spoken_by']}, confidence {fields['confidence']:.2f})"
        return self._put(fields["entity_id"], signal, Word(_ratio(peak), event_time, heard_at + lasts, about))

    def _put(self, entity_id: str, signal: str, word: Word) -> list[str]:
        held = self._words.get((entity_id, signal))
        if held is not None and held.event_time > word.event_time and held.until >= word.until:
            return []
        self._words[entity_id, signal] = word
        return [signal]

    def of(self, info: NodeInfo, signal: str, now: int) -> tuple[str, Word] | None:
        """Who speaks for a node, and what; None when nobody does, or only words that are too old."""
        for entity_id in speakers(info):
            word = self._words.get((entity_id, signal))
            if word is not None and now <= word.until:
                return entity_id, word
        return None

    def forget_old(self, now: int) -> None:
        """Drops what may not be used any more."""
        for key in [key for key, word in self._words.items() if word.until < now]:
            del self._words[key]


def speakers(info: NodeInfo, with_parents: bool = True) -> Iterator[str]:
    """The entities that speak for a node: itself under all its names, then those that it belongs to.

    Exporters know a Kubernetes node as a host.
    """
    yield info.node_id
    kinds = dict.fromkeys((info.node_id.partition(":")[0], "host"))
    for name in sorted(own_names(info)):
        yield from [name] if ":" in name else [f"{kind}:{name}" for kind in kinds]
    if with_parents:
        yield from info.parents


def _ratio(value: float) -> float:
    return min(max(float(value), 0.0), 1.0)
