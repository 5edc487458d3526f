"""Sentences for people."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from services.anomaly.core.semantics import ADVICE, Meaning, shown
from services.common.entities import split_service


class Said(NamedTuple):
    """A signal's value against what is known of it.

    Attributes:
        usual, edge: the median, and where news begins.
        seen: the least and the most that was normal, over `minutes`; None when nobody remembers.
    """

    meaning: Meaning
    key: str
    value: float
    usual: float
    edge: float
    seen: tuple[float, float] | None
    minutes: float


def place(entity_id: str, member: str = "") -> str:
    """Where it is: `nova-compute-3 on controller-1`, `host controller-1`, or the entity's name."""
    service = split_service(entity_id)
    if service is not None:
        return f"{member or service[0]} on {service[1]}"
    kind, _, name = entity_id.partition(":")
    return f"{kind} {name}" if kind and name else entity_id


def summary(said: Said, entity_id: str, member: str) -> str:
    """One sentence for a pager."""
    where = place(entity_id, member)
    meaning = said.meaning
    value = shown(said.value, meaning.unit)
    if meaning.vanishing_is_zero and said.value <= 0:
        return f"{where} is gone: 0 {meaning.words}{_never(said)}"
    verb = "rose" if said.value > said.usual else "fell"
    part = said.key.partition("|")[2]
    of = f" ({part})" if part and part != member and "{" not in part else ""
    return f"{meaning.words}{of} on {where} {verb} to {value}{_never(said)}"


def _never(said: Said) -> str:
    if said.seen is None:
        return f", usually {shown(said.usual, said.meaning.unit)}"
    is_high = said.value > said.usual
    bound = shown(said.seen[1] if is_high else said.seen[0], said.meaning.unit)
    return f", never {'above' if is_high else 'below'} {bound} while things were normal ({_time(said.minutes)} watched)"


def _time(minutes: float) -> str:
    if minutes >= 2 * 24 * 60:
        return f"{minutes / 1440:.0f} days"
    return f"{minutes / 60:.0f} hours" if minutes >= 120 else f"{minutes:.0f} minutes"


def reason(said: Said, voters: Sequence[str], hits: int, others: Mapping[str, float]) -> str:
    """What was seen against what, by whom, and what to do."""
    meaning = said.meaning
    side = "above" if said.value > said.usual else "below"
    text = (
        f"{said.key} was {shown(said.value, meaning.unit)}, {side} {shown(said.edge, meaning.unit)}, in {hits} of the "
        f"last {meaning.of} scrapes; usual is {shown(said.usual, meaning.unit)}. Agreed by {', '.join(voters)}."
    )
    if others:
        text += f" Also outside: {', '.join(list(others)[:5])}."
    return f"{text} {ADVICE.get(meaning.rule, '')}".strip()


class Usual(NamedTuple):
    """A signal's value and what is usual of it, NaN where nobody knows; its share of the trouble."""

    key: str
    unit: str
    value: float
    low: float
    high: float
    share: float


def summary_together(parts: Sequence[Usual], entity_id: str) -> str:
    """One sentence for a pager."""
    named = ", ".join(f"{part.key} ({part.share:.0%})" for part in parts[:3])
    return f"signals of {place(entity_id)} are unusual together: {named}"


def reason_together(parts: Sequence[Usual], hits: int, of: int) -> str:
    """The values against what is usual, and what to do."""
    seen = "; ".join(f"{part.key} {shown(part.value, part.unit)}{_usually(part)}" for part in parts[:5])
    return (
        f"Above its line in {hits} of the last {of} scrapes. {seen}. Each may be usual by itself: what counts is "
        "how far all lie from their means, from what the others say and from the scrape before. "
        f"{ADVICE['unusual_together']}"
    )


def _usually(part: Usual) -> str:
    if part.low != part.low or part.high != part.high:
        return ""
    return f" (usually {shown(part.low, part.unit)} to {shown(part.high, part.unit)})"
