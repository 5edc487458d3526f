"""The newest feature vectors and forecasts as they came: whole curves and features that no factor counts.

Nothing is computed when a record comes; who asks for one figure of one entity finds it.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from services.placement.core.signals import LONGEST_VALIDITY_SECONDS

_LOOK_MICROS = 30_000_000


class Curve(NamedTuple):
    """A forecast of one figure of one entity.

    Attributes:
        seconds, values: (H,) how far ahead of `event_time`, and what is expected there; finite.
        confidence: 0..1, the forecaster's own.
        about: who spoke and the version of its artifact.
        event_time: when it was made, microseconds UTC.
        until: until when it may be used, by Kafka's time, microseconds UTC.
    """

    seconds: tuple[float, ...]
    values: tuple[float, ...]
    confidence: float
    about: str
    event_time: int
    until: int


class _Vector(NamedTuple):
    names: Sequence[str]
    values: Sequence[float]
    event_time: int
    until: int


class FigureBook:
    """The newest vector of every (entity, feature set) and forecast of every (entity, target).

    Args:
        features_valid_seconds: how long a feature may be used after Kafka got it.
    """

    def __init__(self, features_valid_seconds: float) -> None:
        self._valid_micros = int(features_valid_seconds * 1e6)
        self._vectors: dict[str, dict[str, _Vector]] = {}
        self._curves: dict[tuple[str, str], Curve] = {}
        self._names: dict[str, list[str]] = {}
        self._look_again_at = 0

    def put_features(self, fields: Mapping[str, Any], heard_at: int) -> None:
        """Takes a record of features.v1; an older one than what is held changes nothing."""
        names, which = fields["names"], fields["feature_set"]
        held_names = self._names.setdefault(which, names)
        if held_names == names:
            names = held_names  # one list for all entities
        held = self._vectors.setdefault(fields["entity_id"], {})
        event_time = int(fields["event_time"])
        if which not in held or held[which].event_time <= event_time:
            held[which] = _Vector(names, fields["values"], event_time, heard_at + self._valid_micros)

    def put_prediction(self, fields: Mapping[str, Any], heard_at: int) -> None:
        """Takes a record of predictions.v1. It may be used as long after Kafka got it as its maker said."""
        ahead = [
            (float(seconds), float(value))
            for seconds, value in zip(fields["horizons_seconds"], fields["values"], strict=False)
            if math.isfinite(value)
        ]
        key, event_time = (fields["entity_id"], fields["target"]), int(fields["event_time"])
        held = self._curves.get(key)
        if not ahead or (held is not None and held.event_time > event_time):
            return
        lasts = min(int(fields["valid_until"]) - event_time, int(LONGEST_VALIDITY_SECONDS * 1e6))
        confidence = float(fields["confidence"])
        self._curves[key] = Curve(
            tuple(seconds for seconds, _ in ahead),
            tuple(value for _, value in ahead),
            min(max(confidence, 0.0), 1.0) if math.isfinite(confidence) else 0.0,
            f"{fields['spoken_by']} {fields['model_version']}".strip(),
            event_time,
            heard_at + lasts,
        )

    def newest(self, entity_id: str, name: str, now: int) -> float | None:
        """A feature's newest finite value that may still be used; None when there is none."""
        found: tuple[int, float] | None = None
        for vector in self._vectors.get(entity_id, {}).values():
            if now > vector.until or name not in vector.names:
                continue
            place = vector.names.index(name)
            value = vector.values[place] if place < len(vector.values) else math.nan
            if math.isfinite(value) and (found is None or vector.event_time > found[0]):
                found = vector.event_time, float(value)
        return None if found is None else found[1]

    def curve(self, entity_id: str, target: str, now: int) -> Curve | None:
        """A forecast that may still be used."""
        curve = self._curves.get((entity_id, target))
        return curve if curve is not None and now <= curve.until else None

    def forget_old(self, now: int) -> None:
        """Drops what may not be used any more; looks now and then, since nobody gets it anyway."""
        if now < self._look_again_at:
            return
        self._look_again_at = now + _LOOK_MICROS
        for key in [key for key, curve in self._curves.items() if curve.until < now]:
            del self._curves[key]
        for entity_id, held in list(self._vectors.items()):
            for which in [which for which, vector in held.items() if vector.until < now]:
                del held[which]
            if not held:
                del self._vectors[entity_id]
