"""All that judges, put together from the settings; one for all partitions of a process."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from services.anomaly.core.signals import Unknown
from services.anomaly.model.assembly import Assembly
from services.anomaly.model.bank import Bank, Bools, Ints
from services.anomaly.model.entity import Entity, Registry
from services.anomaly.model.half_space_forest import HalfSpaceForest
from services.anomaly.model.individuals import Individuals
from services.anomaly.model.making import check_names, make_bank
from services.anomaly.model.panel import Panel
from services.anomaly.model.rounds import Rounds, Rules
from services.anomaly.model.slots import Slots
from services.anomaly.model.speech import Speaker
from services.anomaly.model.store import Store
from services.anomaly.model.together import Together
from services.anomaly.model.watch import Watch
from services.anomaly.settings import AnomalySettings

SECOND = 1_000_000
DAY = 86_400
#: Bytes of a row that are remembered to see whether it has changed; longer ones are compared when they are saved.
MAX_REMEMBERED = 128


class Memory:
    """What rows looked like when they were looked at last. Not that of whoever had a slot before: those are new."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, str], npt.NDArray[np.uint8]] = {}

    def changed(self, name: str, part: str, table: Slots, slots: Ints, fields: Sequence[str] | None) -> Bools:
        """(n,): which of these rows have changed. For long rows it says yes of all."""
        rows = table.pack(slots, fields)
        width = rows.dtype.itemsize
        if width > MAX_REMEMBERED:
            return np.ones(len(slots), bool)
        held = self._held.get((name, part))
        if held is None or (len(slots) and int(slots.max()) >= len(held)):
            held = np.zeros((2 * (int(slots.max(initial=0)) + 1), width), np.uint8)
            held[: len(self._held.get((name, part), ()))] = self._held.get((name, part), held[:0])
            self._held[name, part] = held
        now = rows.view(np.uint8).reshape(len(slots), width)
        is_changed = (now != held[slots]).any(axis=1)
        held[slots[is_changed]] = now[is_changed]
        return np.asarray(is_changed)


class Team:
    """The store of all rows, the detectors, and the rounds in which they judge.

    Args:
        make_rounds: the rounds, or ones that also note what they see.

    Raises:
        SettingsInvalid: a detector cannot be made.
    """

    def __init__(self, settings: AnomalySettings, make_rounds: type[Rounds] = Rounds) -> None:
        advisers = [name for name in settings.advisers if name not in settings.voters]
        check_names([*settings.voters, *advisers])
        made = {name: _made(name, settings) for name in (*settings.voters, *advisers)}
        banks = [bank for bank in made.values() if bank is not None]
        alone = [name for name, bank in made.items() if bank is None and name != HalfSpaceForest.name]
        self.panel = Panel(banks, len(settings.voters), advisers, Individuals(alone))
        self.store = Store(self.panel.columns, Watch(settings.drift_signals) if settings.drift else None)
        self.memory = Memory()
        # What nobody described is judged together with the entity's other signals where that is heard: it ranks better.
        is_heard = settings.whole == "alert"
        unknown: Unknown = "lead" if is_heard and settings.unknown_metrics == "alert" else settings.unknown_metrics
        self.registry = Registry(self.store, unknown, settings.max_signals)
        rules = Rules(
            _micros(settings.warmup_seconds), _micros(settings.refractory_seconds), _micros(settings.relearn_seconds)
        )
        self.together = None
        if settings.whole != "off":
            quiet, gap = _micros(settings.whole_quiet_days * DAY), _micros(settings.gap_seconds)
            self.together = Together(self.store, gap, rules.warmup, rules.relearn, quiet, is_heard)
        speaker = Speaker(self.store, self.panel, settings.runbook_url)
        assembly = Assembly(self.store, settings.gap_seconds)
        self.rounds = make_rounds(self.store, self.registry, assembly, self.panel, speaker, rules, self.together)

    def free(self, entity: Entity) -> None:
        """The entity is gone."""
        entity.free(self.store)
        if self.together is not None:
            self.together.free(entity)
        if self.panel.forest is not None and entity.trees is not None:
            self.panel.forest.free(entity.trees)


def _made(name: str, settings: AnomalySettings) -> Bank | None:
    return make_bank(name, settings.min_samples, settings.range_margin, settings.robust_z_line)


def _micros(seconds: float) -> int:
    return int(seconds * SECOND)
