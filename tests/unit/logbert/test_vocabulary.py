"""Templates of the stream to words of an artifact."""

import pytest

from services.common.errors import ArtifactMismatch
from services.logbert.model.vocabulary import Entry, Vocabulary, Wording
from tests.unit.logbert.berts import make_vocabulary
from tests.unit.logbert.streams import make_event

VOCABULARY = make_vocabulary("all is well", "Port <*> updated", "GET <*> => 2xx")


def test_templates_are_known_by_text_whatever_their_id() -> None:
    """Another day's miner gives other ids; a wording with more or fewer wildcards is the same word."""
    forms = {"a": ["all is well"], "b": ["Port <*> updated"], "c": ["Port eth0 updated"]}
    wording = Wording(VOCABULARY, lambda template_id: forms.get(template_id, []))
    assert [wording.word(make_event(template_id=name)) for name in "abc"] == [0, 1, 1]


def test_an_unknown_template_stays_its_text() -> None:
    """It is noticed wherever it stands, and read by what it says."""
    wording = Wording(VOCABULARY, lambda _: ["disk <*> is full"])
    assert wording.word(make_event()) == "disk <*> is full"


def test_a_text_that_comes_later_is_used_from_then_on() -> None:
    """Without one, the body stands in."""
    forms: list[str] = []
    wording = Wording(VOCABULARY, lambda _: forms)
    event = make_event(body="eth0 of all is well")
    assert wording.word(event) == "<*> of all is well"
    forms.append("all is well")
    assert wording.word(event) == 0


def test_the_status_belongs_to_the_word() -> None:
    """GET answered 2xx is known, answered 5xx is not."""
    wording = Wording(VOCABULARY, lambda _: ["GET <*>"])
    http = {"method": "GET", "target": "/", "duration_seconds": 0.1}
    words = [wording.word(make_event(http={**http, "status": status})) for status in (204, 500)]
    assert words == [2, "GET <*> => 5xx"]


def test_what_is_written_is_read_back() -> None:
    """Entries, other wordings, counts, fingerprint."""
    one = Vocabulary([Entry("a <*>", ["a b"], 3), Entry("c", [], 1)])
    two = Vocabulary.parse(one.dump())
    assert (two.entries, two.fingerprint, two.lookup(["a b"])) == (one.entries, one.fingerprint, 0)


@pytest.mark.parametrize("payload", [b"", b"[]", b'{"words": []}', b'{"words": [{"no": 1}]}', b'{"words": 3}', b"\xff"])
def test_no_words_are_refused(payload: bytes) -> None:
    """With a sentence that says what to do."""
    with pytest.raises(ArtifactMismatch, match="moselle train logbert"):
        Vocabulary.parse(payload)
