"""Detectors by the names of the settings."""

import pytest

from services.anomaly.model.making import NAMES, check_names, make_detector
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


@pytest.mark.parametrize(("ours", "rivers"), [
    ("gaussian", "GaussianScorer"), ("half_space_trees", "HalfSpaceTrees"),
    ("absolute_deviation", "StandardAbsoluteDeviation"),
])  # fmt: skip
def test_the_same_detector_by_two_names_is_refused(ours: str, rivers: str) -> None:
    """One's state would be read as the other's."""
    with pytest.raises(SettingsInvalid, match=f"'{ours}'.*wanted one of them"):
        check_names([ours, f"river.anomaly.{rivers}"])
    check_names([ours, "river.anomaly.OneClassSVM?nu=0.2"])
