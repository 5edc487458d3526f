"""How many labelled faults the metrics alone find and name, beside trivial rivals on the same samples."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from services.anomaly.settings import AnomalySettings
from services.anomaly.train.labelled import DataUnreadable
from services.anomaly.train.replay import Replay
from services.anomaly.train.rivals import RIVALS, Rival
from services.anomaly.train.streams import half_of, rotated
from services.common.matching import Fault, match_alerts

SECOND = 1_000_000
DAY = 86_400 * SECOND
PARTITIONS = 4
#: Records in one transaction: about one scrape of the recording's entities, as it comes at its own speed.
BATCH = 14
#: Where the normal part begins in turn, seconds: with twelve minutes to learn each rest is judged.
ROTATIONS = (0, 180, 360, 540, 720, 900)

Record = Mapping[str, Any]
Figures = dict[str, Any]


def read_faults(folder: Path) -> list[Fault]:
    """The labelled periods of a folder like openstack_live. Raises DataUnreadable."""
    path = folder / "labels.jsonl"
    faults = []
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            if line.strip():
                faults.append(Fault.from_label(json.loads(line)))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataUnreadable(
                f"{path} line {number} is no labelled fault ({error!r}); wanted JSON with kind, service, start and end."
            ) from None
    return faults


def evaluate(records: Sequence[Record], faults: Sequence[Fault], settings: AnomalySettings) -> Figures:
    """All figures: of the service as set, of each voter alone in its place, of the rivals, and how stable they are.

    Raises:
        DataUnreadable: there are no records.
    """
    if not records:
        raise DataUnreadable("The recording holds no samples; wanted normal/ and faults/metrics.jsonl.gz with some.")
    replay = Replay(settings, PARTITIONS).read(records, BATCH)
    seconds, samples = replay.seconds, replay.num_samples
    replay.finish()
    moselle = _matched(replay.records, records, faults, settings)
    scrapes = len({record["event_time"] for record in records})
    return {
        "detectors": {"moselle": _short(moselle), **dict(others(records, faults, settings))},
        "faults": moselle["faults"],
        "stability": dict(_variants(records, faults, settings)),
        "clean": clean_alarms(records, faults, settings),
        "samples": samples,
        "samples_per_cpu_second": round(samples / seconds) if seconds else None,
        "state_bytes_per_scrape": round(replay.state_bytes / scrapes),
        "state_bytes": sum(len(saved.payload) for state in replay.states for _, saved in state.items()),
        "series": len({(record["entity_id"], name) for record in records for name in record["series"]}),
        "thresholds": {"rule": "learnt in the warm-up, settings as given; no label seen", **settings.model_dump()},
    }


def _matched(
    alerts: Sequence[Record], records: Sequence[Record], faults: Sequence[Fault], settings: AnomalySettings
) -> Figures:
    fit_end = records[0]["event_time"] + int(settings.warmup_seconds * SECOND)
    end = max(record["event_time"] for record in records)
    entities = len({record["entity_id"] for record in records})
    stream_days = entities * max(0, end - fit_end) / DAY
    return {**match_alerts(alerts, faults, fit_end, end), "stream_days": stream_days}


def _short(figures: Figures) -> Figures:
    """The counts, and what the table of other data sets has: precision of alerts, false ones a day and entity."""
    words = ("injected", "found", "named", "alerts", "alerts_unmatched", "false_alarms_normal", "false_alarms_benign",
             "found_by_chance")  # fmt: skip
    return {
        **{word: figures[word] for word in words},
        "alerts_per_fault_found": _ratio(figures["alerts"], figures["found"]),
        "event_precision": _ratio(figures["alerts"] - figures["alerts_unmatched"], figures["alerts"]),
        "event_recall": _ratio(figures["found"], figures["injected"]),
        "false_alarms_per_day": _ratio(figures["alerts_unmatched"], figures["stream_days"]),
    }


def _ratio(part: float, whole: float) -> float | None:
    return round(part / whole, 3) if whole else None


def others(
    records: Sequence[Record], faults: Sequence[Fault], settings: AnomalySettings
) -> Iterator[tuple[str, Figures]]:
    """Each voter alone behind our alert layer, then each rival behind none."""
    for name in ("range_novelty", "robust_z", "gaussian"):
        yield f"moselle_with_{name}_only", attempt(records, faults, settings.model_copy(update={"voters": (name,)}))
    for name, make in RIVALS.items():
        alerts = Rival(make, settings).read(records).records
        yield name, _short(_matched(alerts, records, faults, settings))


def attempt(records: Sequence[Record], faults: Sequence[Fault], settings: AnomalySettings) -> Figures:
    """The service with these settings; without advisers, which decide nothing."""
    alerts = Replay(settings.model_copy(update={"advisers": ()}), PARTITIONS).read(records, 500).finish().records
    return _short(_matched(alerts, records, faults, settings))


def _variants(
    records: Sequence[Record], faults: Sequence[Fault], settings: AnomalySettings
) -> Iterator[tuple[str, Figures]]:
    """The same figures with other warm-ups, half of the series, and settings moved by about half and double."""
    changes: dict[str, dict[str, Any]] = {
        "warmup 360 s": {"warmup_seconds": 360.0}, "warmup 540 s": {"warmup_seconds": 540.0},
        "range_margin 0.25": {"range_margin": 0.25}, "range_margin 1": {"range_margin": 1.0},
        "robust_z_line 3": {"robust_z_line": 3.0}, "robust_z_line 12": {"robust_z_line": 12.0},
        "refractory 0 s": {"refractory_seconds": 0.0}, "refractory 300 s": {"refractory_seconds": 300.0},
        "quiet 10 s": {"resolve_quiet_seconds": 10.0}, "quiet 60 s": {"resolve_quiet_seconds": 60.0},
        "unknown metrics may alert": {"unknown_metrics": "alert"},
    }  # fmt: skip
    for name, change in changes.items():
        yield name, attempt(records, faults, settings.model_copy(update=change))
    for which, name in enumerate(("even", "odd")):
        yield f"half of the series ({name})", attempt(list(half_of(records, which)), faults, settings)


def clean_alarms(records: Sequence[Record], faults: Sequence[Fault], settings: AnomalySettings) -> Figures:
    """False alarms where nothing is wrong: the part before the first fault, begun at several places in turn."""
    first = min((fault.start for fault in faults), default=2**62)
    normal = [record for record in records if record["event_time"] < first]
    alarms, judged = [], 0.0
    for seconds in ROTATIONS:
        stream = list(rotated(normal, seconds * SECOND))
        replay = Replay(settings.model_copy(update={"advisers": ()}), PARTITIONS).read(stream, 500).finish()
        alarms += [(seconds, record["summary"]) for record in replay.records if record["status"] == "firing"]
        judged += (stream[-1]["event_time"] - stream[0]["event_time"]) / SECOND - settings.warmup_seconds
    return {"streams": len(ROTATIONS), "judged_seconds": round(judged), "alarms": len(alarms), "which": alarms[:20]}
