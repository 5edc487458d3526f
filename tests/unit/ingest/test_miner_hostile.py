"""What hostile lines cost the miner: counted in calls and sizes, not in time."""

import gc
import random
import sys
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import pytest

from services.ingest.model.miner import FULL_LEAF, MAX_TOKENS, Miner

#: Of one line, at the worst: each template of four full leaves compared word by word, and the hashes of the families.
MOST_CALLS = 4 * FULL_LEAF * (MAX_TOKENS + 3) + 60 * MAX_TOKENS


def num_calls(work: Callable[[], Any]) -> int:
    """Calls of functions, in Python and in C, that some work takes; none of those that the garbage collector makes."""
    count = 0

    def counted(_frame: Any, event: str, _arg: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    gc.disable()
    sys.setprofile(counted)
    try:
        work()
    finally:
        sys.setprofile(before)
        gc.enable()
    return count


def word(dice: random.Random) -> str:
    """Eight letters."""
    return "".join(dice.choices("abcdefghijklmnop", k=8))


def unique_words(dice: random.Random) -> Iterator[str]:
    """Lines of twelve words that were never seen."""
    while True:
        yield " ".join(word(dice) for _ in range(12))


def one_leaf(dice: random.Random) -> Iterator[str]:
    """The same first words, everything else new: all in one leaf."""
    while True:
        yield "always the " + " ".join(word(dice) for _ in range(30))


def alternations(dice: random.Random) -> Iterator[str]:
    """Every position one of two words."""
    while True:
        yield " ".join(dice.choice((f"left{'x' * at}", f"right{'x' * at}")) for at in range(40))


def pairs(dice: random.Random) -> Iterator[str]:
    """Ever new values that look like values, so texts are rewritten."""
    while True:
        yield " ".join(f"{name}={word(dice)}" for name in ("user", "host", "path", "zone", "kind")) + f" {word(dice)}"


@pytest.mark.parametrize("lines", [unique_words, one_leaf, alternations, pairs])
def test_the_work_for_a_line_does_not_grow(lines: Callable[[random.Random], Iterator[str]]) -> None:
    """The last hundred of hostile lines costs no more than a bound, nor much more than an earlier hundred."""
    miner, stream = Miner(max_templates=800), lines(random.Random(3))

    def mine(number: int) -> None:
        for line in islice(stream, number):
            miner.mine(line, 0)

    mine(1_500)
    early = num_calls(lambda: mine(100))
    mine(1_500)
    late = num_calls(lambda: mine(100))
    assert late <= 100 * MOST_CALLS
    assert late <= 1.5 * early + 10_000
    assert len(miner) <= 801


@pytest.mark.parametrize("number", [1_000, 100_000])
def test_words_beyond_the_limit_cost_no_calls(number: int) -> None:
    """A line of a hundred thousand unique words is looked at as one of 64."""
    dice = random.Random(1)
    line = " ".join(map(str, (word(dice) + str(n) for n in range(number))))
    assert num_calls(lambda: Miner().mine(line, 0)) < 60 * MAX_TOKENS


def test_a_giant_token_costs_no_more_than_a_long_one() -> None:
    """A megabyte without a blank, of whatever characters."""
    for unit in ("x", "x=", "a.", "[", "'", "/", "1", "a,", "<*>"):
        long, giant = (
            num_calls(lambda text=unit * size: Miner().mine(text, 0)) for size in (1_000, 1_000_000 // len(unit))
        )
        assert giant <= long, unit


def test_memos_are_bounded() -> None:
    """What the miner remembers of lines has a size, whatever comes."""
    miner, dice = Miner(max_templates=100), random.Random(2)
    for _ in range(1_500):
        miner.mine(" ".join(f"{word(dice)}={word(dice) * 8}" for _ in range(40)), 0)
    remembered = sum(sum(map(len, line)) for line in miner._lines)
    assert remembered <= 8_000_000
    assert sum(map(len, miner._lines_of.values())) <= 8_000_000 // 100
