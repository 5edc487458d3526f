"""Advisers that judge one entity at a time, each with an object of its own: a forest, River's models."""

from collections.abc import Mapping, Sequence

from services.anomaly.model.abstract import MetricDetector
from services.anomaly.model.entity import Entity
from services.anomaly.model.making import make_detector
from services.common.errors import ArtifactMismatch


class Individuals:
    """Makes, asks and teaches them; what they learnt is with the entity.

    Each costs Python for every scrape of every entity, some microseconds to some hundred.

    Args:
        texts: their names in the settings.

    Attributes:
        names: what their scores and their state are called.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = {make_detector(text).name: text for text in texts}
        self.names = list(self._texts)

    def of(self, entity: Entity) -> Mapping[str, MetricDetector]:
        """The entity's, with nothing learnt where there were none."""
        for name, text in self._texts.items():
            if name not in entity.individuals:
                entity.individuals[name] = make_detector(text)
        return entity.individuals

    def scores(self, entity: Entity, x: Mapping[str, float]) -> dict[str, float]:
        """What each says of the entity's signals, by name."""
        return {name: each.score_one(x) for name, each in self.of(entity).items()}

    def learn(self, entity: Entity, x: Mapping[str, float]) -> None:
        """Takes the entity's signals in as normal."""
        for each in self.of(entity).values():
            each.learn_one(x)

    def save(self, entity: Entity) -> dict[str, bytes]:
        """What they learnt, as `name.part`; nothing of those that restart cold."""
        return {
            f"{name}.{part}": payload
            for name, each in entity.individuals.items()
            for part, payload in each.save().items()
        }

    def load(self, entity: Entity, parts: Mapping[str, bytes]) -> None:
        """Takes back what `save` gave; one that cannot be read begins anew, as it only advises."""
        for name, each in self.of(entity).items():
            own = {part.partition(".")[2]: held for part, held in parts.items() if self.owner(part) == name}
            try:
                if own:
                    each.load(own)
            except ArtifactMismatch:
                entity.individuals[name] = make_detector(self._texts[name])

    def owner(self, part: str) -> str:
        """Whose a part of the saved state is; empty for none of theirs."""
        name = part.partition(".")[0]
        return name if name in self._texts else ""
