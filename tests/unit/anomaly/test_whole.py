"""One entity's features as the columns of one row."""

import msgspec
import numpy as np
import pytest

from services.anomaly.model.parts import encode_part
from services.anomaly.model.whole import SMALLEST_WIDTH, EntityReconstruction
from services.common.errors import ArtifactMismatch


def taught(num_features: int, steps: int = 200, most: int = 512) -> EntityReconstruction:
    """So many features, each some noise."""
    detector = EntityReconstruction(most=most)
    for row in np.random.default_rng(1).normal(size=(steps, num_features)):
        detector.learn_one({f"metric_{place}": float(value) for place, value in enumerate(row)})
    return detector


def test_what_was_learnt_survives_more_features() -> None:
    """When more come than the row had columns, the first ones are known as before."""
    x = {f"metric_{place}": 9.0 for place in range(SMALLEST_WIDTH)}
    detector = taught(SMALLEST_WIDTH)
    before = detector.score_one(x), detector.score_each(x)
    detector.learn_one({"one more": 1.0})
    # The step was one of a single, unknown feature: it taught nothing of the others but that time passed.
    assert detector.score_one(x) == pytest.approx(before[0], rel=0.02)
    assert detector.score_each(x) == pytest.approx(before[1], rel=0.02)


def test_features_beyond_the_limit_are_not_learnt() -> None:
    """They neither score nor displace others."""
    detector = taught(6, most=4)
    each = detector.score_each({"metric_3": 50.0, "metric_5": 50.0})
    assert each.keys() == {"metric_3"}
    assert each["metric_3"] > 0.5


def test_a_forgotten_column_is_used_again() -> None:
    """By whichever feature comes next, of which nothing is known."""
    detector = taught(SMALLEST_WIDTH)
    detector.forget(["metric_2"])
    detector.learn_one({"new": 1e6})
    assert detector.score_each({"new": 5.0}) == {"new": 0.0}


@pytest.mark.parametrize("saved", [(7, {}), (1 << 40, {}), (8, {"a": 8}), (8, {"a": 1, "b": 1}), (8, {"a": -1})])
def test_columns_that_cannot_be_are_refused(saved: tuple[int, dict[str, int]]) -> None:
    """Before any room is made for them."""
    parts = taught(2).save()
    with pytest.raises(ArtifactMismatch, match="columns"):
        EntityReconstruction().load({**parts, "columns": encode_part(saved)})


def test_a_row_of_another_width_is_refused() -> None:
    """The row's own description says how wide it is."""
    parts = taught(2).save()
    with pytest.raises(ArtifactMismatch):
        EntityReconstruction().load({**parts, "columns": encode_part((16, {}))})


def test_state_is_bytes_of_declared_fields() -> None:
    """A reader without this program can tell the row's fields by name."""
    held = msgspec.msgpack.decode(taught(2).save()["row"])
    assert "center:<f8*8" in held[3]
