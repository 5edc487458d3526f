"""Detectors of one entity by the names that settings have for them, with nothing learnt."""

from collections.abc import Callable, Sequence

from services.anomaly.model.abstract import MetricDetector
from services.anomaly.model.bank import Bank
from services.anomaly.model.each import Each
from services.anomaly.model.gaussian import GaussianEach
from services.anomaly.model.gaussian_bank import RiverGaussianBank
from services.anomaly.model.half_space_trees import EntityTrees
from services.anomaly.model.hours import Remembering
from services.anomaly.model.moment_banks import DeviationBank
from services.anomaly.model.range_bank import RangeBank
from services.anomaly.model.river_models import PREFIX, river_detector
from services.anomaly.model.robust_bank import RobustBank
from services.anomaly.model.seasonal_novelty import SeasonalNovelty
from services.anomaly.model.tree_bank import TreeBank
from services.anomaly.model.whole import EntityReconstruction
from services.anomaly.settings import DETECTORS, unknown_detector
from services.common.errors import SettingsInvalid

#: What settings may name, beside River's models.
NAMES = DETECTORS


def make_bank(name: str, min_samples: int = 30, range_margin: float = 0.5, robust_z_line: float = 6.0) -> Bank | None:
    """A detector of single series that judges many in one call; None for one that is no such."""
    makes: dict[str, Callable[[], Bank]] = {
        "range_novelty": lambda: RangeBank(range_margin, min_samples),
        "robust_z": lambda: Remembering(RobustBank(robust_z_line, min_samples)),
        "gaussian": lambda: RiverGaussianBank(min_samples=min_samples),
        "absolute_deviation": lambda: DeviationBank(min_samples=min_samples),
        "seasonal_novelty": lambda: SeasonalNovelty(min_samples=min_samples),
        "half_space_trees_each": TreeBank,
    }
    return makes[name]() if name in makes else None


def make_detector(
    name: str, min_samples: int = 30, range_margin: float = 0.5, robust_z_line: float = 6.0
) -> MetricDetector:
    """One of NAMES, or one of River's models as `river.anomaly.LocalOutlierFactor?n_neighbors=5`.

    Raises:
        SettingsInvalid: there is no such detector, or River cannot make it.
    """
    if name.startswith(PREFIX):
        return river_detector(name)
    if name == "isolation_forest":
        # Importing scikit-learn takes .3 s and 16 MB beside River: only for those who want a forest.
        from services.anomaly.model.forest import EntityForest

        return EntityForest()
    if name == "gaussian":
        return GaussianEach(min_samples=min_samples)
    if name == "half_space_trees":
        return EntityTrees()
    if name == "reconstruction":
        return EntityReconstruction()
    bank = make_bank(name, min_samples, range_margin, robust_z_line)
    if bank is None:
        raise SettingsInvalid(unknown_detector(name))
    return Each(bank)


def check_names(names: Sequence[str]) -> None:
    """Makes each once.

    Raises:
        SettingsInvalid: one cannot be made, or two of them are the same by another name.
    """
    held: dict[str, str] = {}
    for text in dict.fromkeys(names):
        name = make_detector(text).name
        if name in held:
            raise SettingsInvalid(
                f"Detectors {held[name]!r} and {text!r} both keep their state and scores as {name!r}; wanted one of "
                "them: leave the other out of the settings."
            )
        held[name] = text
