"""`docs/features.md`, from the catalogue and from the tables of sources."""

from collections.abc import Sequence
from pathlib import Path

from moselle.generators.pages import table
from services.common.node_signals import NODE_SIGNALS
from services.features.core.catalogue import FEATURE_SETS, FeatureSet
from services.features.core.sources import Source, all_groups

_TEXT = """<!-- Made by `make gen` from services/features/core/; change it there. -->
# Features

A feature vector is a record of `features.v1`: one entity, one step, one feature set. Steps are ten seconds of event
time (`MOSELLE_FEATURES_STEP_SECONDS`). A feature that could not be computed is NaN. The same pure functions compute
features in the stream and from files (`moselle features batch`); `moselle features parity` compares both to the bit.

## Rules

| what comes | what becomes of it |
| --- | --- |
| a sample that is NaN or infinite | it is no sample: a counter's rate reaches over it |
| a metric that no feature knows | ignored; an entity with nothing else has no vectors |
| two samples of one series for one time | the first counts |
| a counter that fell | it was reset and began anew at 0 |
| a gap in a counter | its rate reaches back over up to 300 s; after a longer gap it begins anew |
| a step without any record | no vector; rolling log features count it as zero, rolling metric features leave it out |
| a record for a step that is closed | late: counted and dropped |
| a time over ten minutes ahead of Kafka's and of its entity | doubted: dropped, until three in a row bear it out |
| an entity ahead of Kafka whose clock is right again | its steps begin anew |
| the same increments of log counts read twice | told by their offset, taken once |
"""


def features_page(root: Path) -> dict[Path, str]:
    """`docs/features.md`."""
    text = _TEXT + "".join(_set_section(feature_set) for feature_set in FEATURE_SETS)
    rows: list[tuple[str, ...]] = [
        (f"`{name}`", _sources([s for group in groups for s in group.sources])) for name, groups in all_groups().items()
    ]
    text += (
        "\n## Where core metrics come from\n\nOf several exporters that know an entity the first one counts.\n\n"
        + table(("feature", "metrics, first to last"), rows)
    )
    rows = [
        (f"`{one.name}`", one.exporter, ", ".join(f"`{name}`" for name in sorted(one.metrics))) for one in NODE_SIGNALS
    ]
    text += (
        "\n## Where signals of nodes come from\n\nOne line a signal in services/common/node_signals.py. What runs on a"
        " node speaks for itself; placement adds it up.\n\n" + table(("feature", "exporter", "metrics"), rows)
    )
    return {Path("docs/features.md"): text}


def _set_section(feature_set: FeatureSet) -> str:
    rows: list[tuple[str, ...]] = [
        (f"`{feature.name}`", feature.unit, feature.description) for feature in feature_set.features
    ]
    return (
        f"\n## {feature_set.name}, version {feature_set.version}\n\n{feature_set.description}"
        f" Of {feature_set.entities}; from {feature_set.source}.\n\n{table(('feature', 'unit', 'meaning'), rows)}"
    )


def _sources(sources: Sequence[Source]) -> str:
    return ", ".join(dict.fromkeys(f"`{source.metric}`" for source in sources))
