"""States of the stream as tables keep them."""

import math

import pytest

from moselle.parity import different_values
from services.common.errors import ArtifactMismatch
from services.features.__main__ import main
from services.features.core.catalogue import FEATURE_SETS, FeatureSet
from services.features.core.incoming import read
from services.features.core.marks import StepRules
from services.features.core.steps import EntityState, decode_state, encode_state, metric_machine
from tests.unit.features.samples import make_samples


def grown_state(num_steps: int, num_series: int) -> EntityState:
    """An entity after so many steps with so many series of a counter."""
    machine, state = metric_machine(StepRules()), EntityState()
    for step in range(num_steps):
        values = {f'node_network_receive_bytes_total{{device="eth{n}"}}': float(step) for n in range(num_series)}
        incoming = read("metrics.samples.v1", make_samples(10 * step, values), None)
        assert incoming is not None
        machine.offer(state, incoming)
    return state


def test_a_state_survives_being_written_down() -> None:
    """Bytes, state and bytes again: the same, NaN included."""
    data = encode_state(grown_state(40, 3))
    assert encode_state(decode_state(data)) == data


def test_a_state_does_not_grow_with_time() -> None:
    """After five minutes it is as large as it gets."""
    assert len(encode_state(grown_state(200, 3))) <= len(encode_state(grown_state(50, 3))) + 16


def test_a_state_of_very_many_series_stays_below_a_record_of_kafka() -> None:
    """Series beyond the first 2,000 of a step are ignored."""
    assert len(encode_state(grown_state(3, 5000))) < 1_000_000


@pytest.mark.parametrize("data", [b"", b"\x02abc", b"\x01abc"])
def test_a_state_of_another_encoding_is_refused(data: bytes) -> None:
    """With a sentence that says what to do."""
    with pytest.raises(ArtifactMismatch, match="changelog"):
        decode_state(data)


@pytest.mark.parametrize("feature_set", FEATURE_SETS, ids=lambda feature_set: feature_set.name)
def test_names_are_there_once(feature_set: FeatureSet) -> None:
    """A vector is read by name."""
    assert len(feature_set.names) == len(set(feature_set.names))


def test_parity_sees_one_bit() -> None:
    """The next number differs, 0.0 and -0.0 too; NaN is NaN."""
    near = math.nextafter(1.0, 2.0)
    assert different_values(["a", "b", "c", "d"], [1.0, 0.0, math.nan, 2.0], [near, -0.0, math.nan, 2.0]) == [
        f"a 1.0 {near!r}", "b 0.0 -0.0",
    ]  # fmt: skip


def test_a_role_that_is_not_there_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, and the roles there are."""
    assert main(["writer"]) == 2
    assert "stream, history, online" in capsys.readouterr().err
