"""Detectors by the names of the settings."""

import pytest

from services.anomaly.model.making import NAMES, make_detector
from services.common.errors import SettingsInvalid


@pytest.mark.parametrize("name", NAMES)
def test_a_detector_has_the_name_it_was_asked_for_by(name: str) -> None:
    """Its state and its scores are found under it."""
    assert make_detector(name).name == name


def test_a_model_of_rivers_is_made_by_its_own_name() -> None:
    """With its parameters."""
    assert make_detector("river.anomaly.OneClassSVM?nu=0.2").name == "river_one_class_svm"


@pytest.mark.parametrize("name", ["half_space_tree", "river.anomaly.Nothing", ""])
def test_an_unknown_detector_is_refused(name: str) -> None:
    """Saying which ones there are."""
    with pytest.raises(SettingsInvalid, match=r"wanted .* in the settings"):
        make_detector(name)
