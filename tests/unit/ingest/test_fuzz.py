"""A small, seeded slice of the fuzz run of tests/bench/test_fuzz_bench.py."""

import pytest

from tests.fuzzing import Fuzzer
from tests.mutations import Mutator

NUM_MESSAGES = 1_500


@pytest.mark.parametrize("seed", [1, 2])
def test_mutated_messages_become_events_or_dead_letters(seed: int) -> None:
    """Nothing is raised, nothing meets a defect, nothing vanishes."""
    mutator, fuzzer = Mutator(seed), Fuzzer()
    for number in range(1, NUM_MESSAGES + 1):
        fuzzer.send(mutator.message())
        if number % 500 == 0:
            fuzzer.flush()
    assert fuzzer.findings.missing == []
    assert fuzzer.findings.defects == []


def test_the_same_seed_gives_the_same_messages() -> None:
    """A finding can be sent again."""
    one, other = Mutator(7), Mutator(7)
    assert [one.message() for _ in range(200)] == [other.message() for _ in range(200)]
