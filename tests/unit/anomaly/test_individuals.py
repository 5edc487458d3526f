"""Every detector that settings can name, at work in the stage."""

import pytest

from services.anomaly.settings import DETECTORS, VOTERS
from services.common.errors import SettingsInvalid
from tests.unit.anomaly.streams import SETTINGS, Reader, normal, slow, story

SVM = "river.anomaly.OneClassSVM?nu=0.2"
LODA = "river.anomaly.LocalOutlierFactor?n_neighbors=5"
ALONE = ("isolation_forest", "reconstruction", SVM, LODA)


def test_each_detector_may_advise() -> None:
    """Its score stands in the alert's labels; the ones of River's by names of their own."""
    advisers = tuple(name for name in (*DETECTORS, SVM, LODA) if name not in SETTINGS.voters)
    reader = Reader(SETTINGS.model_copy(update={"advisers": advisers})).read(normal()).read(loud())
    scores = dict(part.split("=") for part in reader.alerts[0]["labels"]["scores"].split(";"))
    assert set(DETECTORS) | {"river_one_class_svm", "river_local_outlier_factor", "unusual_together"} == set(scores)
    assert all(0.0 <= float(score) <= 1.0 for score in scores.values())


def loud() -> list[dict[str, object]]:
    return list(story(200, 220, api=slow(5.0)))


@pytest.mark.parametrize("name", VOTERS)
def test_each_that_expects_a_band_may_vote(name: str) -> None:
    """Alone it finds what is plain, and stays quiet while all goes on."""
    settings = SETTINGS.model_copy(update={"voters": (name,), "advisers": ()})
    reader = Reader(settings).read(normal()).read(loud())
    assert ("service:nova-api@c1", "latency", "firing") in reader.life


def test_what_they_learnt_outlives_a_restart() -> None:
    """As far as their state has an encoding; a forest goes on from its window."""
    settings = SETTINGS.model_copy(update={"advisers": ("isolation_forest", "reconstruction", SVM)})
    steady, cut = Reader(settings).read(normal()), Reader(settings)
    records = normal()
    for begin in range(0, len(records), 40):
        cut.read(records[begin : begin + 40])
        cut.restart()
    assert cut.saved == steady.saved
    assert any(key.startswith("isolation_forest.block00|") for key in cut.saved)
    assert cut.read(loud()).alerts == steady.read(loud()).alerts


def test_one_that_cannot_be_read_begins_anew() -> None:
    """It only advises."""
    reader = Reader(SETTINGS.model_copy(update={"advisers": ALONE})).read(normal(0, 100))
    key = "river_one_class_svm.plane|host:c1"
    reader.state.put(key, b"\xc1", dict(reader.state.items())[key].version)
    reader.restart()
    assert reader.read(normal(100, 200)).read(loud()).alerts != []


def test_one_that_was_switched_off_leaves_no_state() -> None:
    """From the next start on."""
    reader = Reader(SETTINGS.model_copy(update={"advisers": ALONE})).read(normal(0, 50))
    reader._settings = SETTINGS
    reader.restart()
    assert not any(key.startswith(("isolation_forest.", "reconstruction.", "river_")) for key in reader.saved)


def test_a_detector_that_cannot_be_made_stops_the_service() -> None:
    """With River's own objection."""
    with pytest.raises(SettingsInvalid, match="nonsense"):
        Reader(SETTINGS.model_copy(update={"advisers": ("river.anomaly.OneClassSVM?nonsense=1",)}))
