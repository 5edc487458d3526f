"""Detectors of one entity by the names that settings have for them, with nothing learnt."""

from collections.abc import Callable

from services.anomaly.model.abstract import MetricDetector
from services.anomaly.model.each import Each
from services.anomaly.model.gaussian import GaussianEach
from services.anomaly.model.half_space_trees import EntityTrees
from services.anomaly.model.hours import Remembering
from services.anomaly.model.moment_banks import DeviationBank
from services.anomaly.model.range_bank import RangeBank
from services.anomaly.model.river_models import PREFIX, river_detector
from services.anomaly.model.robust_bank import RobustBank
from services.anomaly.model.tree_bank import TreeBank
from services.common.errors import SettingsInvalid

NAMES = (
    "range_novelty", "robust_z", "gaussian", "absolute_deviation", "half_space_trees", "half_space_trees_each",
    "isolation_forest",
)  # fmt: skip


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
    makes: dict[str, Callable[[], MetricDetector]] = {
        "range_novelty": lambda: Each(RangeBank(range_margin, min_samples)),
        "robust_z": lambda: Each(Remembering(RobustBank(robust_z_line, min_samples))),
        "gaussian": lambda: GaussianEach(min_samples=min_samples),
        "absolute_deviation": lambda: Each(DeviationBank(min_samples=min_samples)),
        "half_space_trees": EntityTrees,
        "half_space_trees_each": lambda: Each(TreeBank()),
    }
    if name not in makes:
        raise SettingsInvalid(
            f"Detector {name!r} is unknown; wanted one of {', '.join(NAMES)}, or one of River's models as "
            f"{PREFIX}LocalOutlierFactor?n_neighbors=5: correct the name in the settings."
        )
    return makes[name]()
