"""Wrong settings stop the service with a sentence."""

import pytest

from services.anomaly.settings import AnomalySettings
from services.common.errors import SettingsInvalid
from services.common.settings import read_settings


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("VOTERS", '["oracle"]', "oracle"),
        ("VOTERS", "[]", "at least 1"),
        ("ADVISERS", '["half_space_tree"]', "wanted one of .*half_space_trees.* in the settings"),
        ("VOTERS", '["isolation_forest"]', "unknown; wanted one of range_novelty"),
        ("VOTERS", '["river.anomaly.GaussianScorer"]', "unknown"),
        ("ADVISERS", '["gaussian", "gaussian"]', "twice"),
        ("WHOLE", "shout", "advise"),
        ("LULL_SECONDS", "40", "stopped_floor_seconds"),
        ("UNKNOWN_METRICS", "shout", "join"),
    ],
)
def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str) -> None:
    """With what was seen and what was wanted."""
    monkeypatch.setenv(f"MOSELLE_ANOMALY_{name}", value)
    with pytest.raises(SettingsInvalid, match=said):
        read_settings(AnomalySettings)
