"""The miner and logs.templates.v1: its records are all it knows, and ids outlive restarts and better miners."""

import random
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.ingest.model.former import FORMER_VERSION
from services.ingest.model.miner import MINER_VERSION, Miner

OPENINGS = ("failed for", "session of user", "copied", "took 5 s for", "BLOCK* ask", "Moved")
VALUES = (
    "web1",
    "root",
    "eve",
    "mallory",
    "user=root",
    "user=eve",
    "user=",
    "h.a.org",
    "h.b.org",
    "[]",
    "['1a', '2b']",
    "7 8",
    "x/y/z",
)
ENDINGS = ("", "from 10.0.0.1", "at Fri Jun 17 07:07:00 2005", "[preauth]", "is done", "is lost")


def messages(seed: int, number: int) -> list[str]:
    """Messages whose values look in many ways, some with two of them."""
    dice = random.Random(seed)
    return [
        " ".join(filter(None, (dice.choice(OPENINGS), dice.choice(VALUES), *dice.sample(VALUES, dice.randint(0, 1)),
                               dice.choice(ENDINGS))))
        for _ in range(number)
    ]  # fmt: skip


MESSAGES = st.builds(messages, st.integers(0, 2**32), st.integers(0, 120))


def mined(miner: Miner, lines: list[str]) -> list[dict[str, Any]]:
    """Mines all; what was published on the way."""
    log = []
    for line in lines:
        miner.mine(line, 7)
        log += miner.take_changes()
    return log


def restarted(log: list[dict[str, Any]], shuffle: random.Random | None = None, times: int = 1) -> Miner:
    """A miner that reads the topic after compaction."""
    latest = list({record["template_id"]: record for record in log}.values()) * times
    if shuffle is not None:
        shuffle.shuffle(latest)
    miner = Miner()
    for record in latest:
        miner.load(record)
    return miner


@settings(max_examples=40, deadline=None)
@given(MESSAGES, MESSAGES, st.randoms(use_true_random=False))
def test_a_restart_is_not_to_be_seen(first: list[str], then: list[str], shuffle: random.Random) -> None:
    """Records in any order, and twice, give the same ids, texts and aliases, and the same answers from then on."""
    one = Miner()
    other = restarted(mined(one, first), shuffle, times=2)
    assert other.take_changes() == []
    assert other.records() == one.records()
    assert [one.mine(line, 8) for line in then] == [other.mine(line, 8) for line in then]
    assert other.records() == one.records()


@settings(max_examples=25, deadline=None)
@given(MESSAGES, MESSAGES, st.randoms(use_true_random=False))
def test_replicas_end_with_the_same(left: list[str], right: list[str], shuffle: random.Random) -> None:
    """Whoever mined what and in whatever order they read it, ids, aliases and the texts of what is in use are equal."""
    miners = [Miner(), Miner()]
    for miner, lines in zip(miners, (left, right), strict=True):
        mined(miner, lines)
    for _ in range(4):
        records = [record for miner in miners for record in miner.records()]
        for miner in miners:
            shuffle.shuffle(records)
            for record in records:
                miner.load(record)
    known = [
        {
            record["template_id"]: (record["alias_of"], record["alias_of"] or record["text"])
            for record in miner.records()
        }
        for miner in miners
    ]
    assert known[0] == known[1]


@settings(max_examples=40, deadline=None)
@given(MESSAGES)
def test_every_id_ever_given_leads_to_a_template_of_its_line(lines: list[str]) -> None:
    """What a reader kept is found through aliases, in the records alone, and its text says the line."""
    miner = Miner()
    given_ids = [miner.mine(line, 0)[0] for line in lines]
    records = {record["template_id"]: record for record in miner.take_changes()}
    for line, kept in zip(lines, given_ids, strict=True):
        while (other := records[kept]["alias_of"]) is not None:
            kept = other
        pattern = ".*".join(map(re.escape, records[kept]["text"].split("<*>")))
        assert re.fullmatch(pattern, line)


def test_the_text_keeps_a_word_until_another_is_seen() -> None:
    """One id all the while; its hash is of the form with the value left out."""
    miner = Miner()
    first = miner.mine("session of user=root is open", 0)
    assert miner.record(first[0])["text"] == "session of user=root is open"
    assert miner.record(first[0])["first_form"] == "session of user=<*> is open"
    second = miner.mine("session of user=eve is open", 0)
    assert second == (first[0], ["eve"])
    assert miner.mine("session of user=root is open", 0) == (first[0], ["root"])


def former(template_id: str, first_form: str, text: str, alias_of: str | None = None) -> dict[str, Any]:
    """A record as drain-1 wrote it."""
    return {
        "template_id": template_id, "text": text, "first_form": first_form, "first_seen": 3,
        "miner_version": FORMER_VERSION, "alias_of": alias_of, "aliases": [], "cluster": "default",
    }  # fmt: skip


def test_an_id_of_the_former_miner_becomes_an_alias() -> None:
    """Its record names the new template; the rest of it stays."""
    miner = Miner()
    old = former("00000000000000aa", "session closed for user=root at <*>", "session closed for user=root at <*>")
    miner.load(old)
    assert miner.take_changes() == []
    new = miner.mine("session closed for user=root at 12", 0)[0]
    records = {record["template_id"]: record for record in miner.take_changes()}
    assert records["00000000000000aa"] == {**old, "miner_version": f"{FORMER_VERSION}>{MINER_VERSION}", "alias_of": new}
    assert records[new]["aliases"] == []


def test_an_id_that_stays_the_same_is_no_alias() -> None:
    """Most templates have the first form that they had."""
    miner = Miner()
    template_id = Miner().mine("Took 5 seconds", 0)[0]
    miner.load(former(template_id, "Took <*> seconds", "Took <*> seconds"))
    assert miner.mine("Took 7 seconds", 0)[0] == template_id
    (record,) = miner.take_changes()
    assert (record["miner_version"], record["alias_of"]) == (MINER_VERSION, None)


def test_a_generalised_template_of_the_former_miner_is_found() -> None:
    """By its text, for lines of which it had no first form."""
    miner = Miner()
    miner.load(former("00000000000000aa", "plugged eth into the br", "plugged <*> into the br"))
    new = miner.mine("plugged veth into the br", 0)[0]
    assert {r["template_id"]: r["alias_of"] for r in miner.take_changes()} == {new: None, "00000000000000aa": new}


@pytest.mark.parametrize("swap", [False, True])
def test_a_template_that_is_two_now_has_one_successor(swap: bool) -> None:
    """The smaller id, whichever replica met which first; the two stay two."""
    old = former("ffffffffffffffff", "generating <*>", "generating <*>")
    lines = ["generating core.12", "generating 12"]
    replicas = [Miner(), Miner()]
    records = []
    for miner, line in zip(replicas, reversed(lines) if swap else lines, strict=True):
        miner.load(old)
        miner.mine(line, 0)
        records += [*miner.records(), miner.record(old["template_id"])]
    for miner in replicas:
        for record in records:
            miner.load(record)
    successors = {miner.record(old["template_id"])["alias_of"] for miner in replicas}
    assert successors == {min(Miner().mine(line, 0)[0] for line in lines)}


def test_what_the_former_miner_kept_writing_is_answered() -> None:
    """While replicas of both versions run, its record of an id that has an alias is written over again."""
    miner = Miner()
    old = former("ffffffffffffffff", "session of user=root", "session of user=root")
    miner.load(old)
    miner.mine("session of user=root", 0)
    (succeeded,) = (r for r in miner.take_changes() if r["template_id"] == old["template_id"])
    miner.load(succeeded)
    assert miner.take_changes() == []
    miner.load(old)
    assert miner.take_changes() == [succeeded]


def test_records_of_a_later_miner_are_left_alone() -> None:
    """After a rollback the topic may hold them."""
    miner = Miner()
    miner.load({**former("ffffffffffffffff", "a b", "a b"), "miner_version": "drain-99"})
    miner.mine("a b", 0)
    assert [record["alias_of"] for record in miner.take_changes()] == [None]


def test_an_alias_may_be_read_before_its_template() -> None:
    """Records come in any order while lines go on; afterwards all is as if they had come first."""
    one = Miner()
    words = ["".join(random.Random(i).choices("abcdefgh", k=8)) for i in range(14)]
    lines = [f"service {word} was stopped from the console" for word in words]
    records = {record["template_id"]: record for record in mined(one, lines)}
    aliases = [record for record in records.values() if record["alias_of"]]
    other = Miner()
    for record in aliases:
        other.load(record)
    for line in lines:
        other.mine(line, 9)
        assert other.given(line, 9)
    for record in records.values():
        other.load(record)
    assert [other.mine(line, 9)[0] for line in lines] == [one.mine(line, 9)[0] for line in lines]
