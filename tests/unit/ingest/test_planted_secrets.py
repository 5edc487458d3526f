"""A secret planted anywhere is in nothing that ingest writes: no topic, no template, no state."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from services.ingest.core.secrets import MASK, is_secret_name, mask, mask_field, mask_json
from tests.unit.ingest.conftest import Harness
from tests.unit.ingest.planted import LOOKS, SECRET, carriers
from tests.unit.ingest.wrappings import LINES, LOGS

PLANTED = [*((text, SECRET) for text in carriers(SECRET)), *LOOKS]


class Watched(Harness):
    """Keeps the bytes of all that was written, and of each state that was saved."""

    def __init__(self, **settings: Any) -> None:
        self.bytes: list[bytes] = []
        super().__init__(**settings)

    def encode(self, name: str, record: Mapping[str, Any]) -> bytes:
        data = super().encode(name, record)
        self.bytes.append(data)
        return data

    def send(self, *values: bytes | str | None, topic: str = "logs.raw", key: bytes | None = b"k") -> None:
        super().send(*values, topic=topic, key=key)
        for state in self.states.values():
            self.bytes += [key.encode() + saved.payload for key, saved in state.items()]

    def shows(self, text: str) -> bool:
        """Whether the text is anywhere in it."""
        return any(text.encode() in data for data in self.bytes)


@pytest.mark.parametrize("shape", LOGS)
def test_a_planted_secret_is_nowhere(shape: str) -> None:
    """Every form in every shape; what YAML has on other lines than its name only where a text stays whole."""
    leaks = []
    for text, secret in PLANTED:
        if shape in LINES and "\n" in text and "PRIVATE KEY" not in text:
            continue
        ingest = Watched(sequences=True)
        ingest.send(LOGS[shape](text))
        ingest.wait(60)
        if ingest.shows(secret):
            leaks.append(text)
    assert leaks == []


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(sorted(LOGS)),
    st.sampled_from(carriers("{secret}")),
    st.text("abcXYZ0189_", min_size=12, max_size=24).filter(
        lambda text: any(map(str.isdigit, text)) and not text.isdigit()
    ),
    st.text(" abc.:[]()-", max_size=12),
)
def test_a_secret_is_nowhere_whatever_it_is(shape: str, carrier: str, secret: str, before: str) -> None:
    """Its characters and what stands before it do not matter."""
    assume("\n" not in carrier)
    ingest = Watched()
    ingest.send(LOGS[shape](f"{before} {carrier.replace('{secret}', 'Q7' + secret)}"))
    ingest.wait(60)
    assert not ingest.shows("Q7" + secret)


def test_masking_again_changes_nothing() -> None:
    """What is masked in ingest and once more by a tool stays as it is."""
    assert [text for text, _ in PLANTED if mask(mask(text)) != mask(text)] == []


@pytest.mark.parametrize("name", ["db_password", "X-Auth-Token", "client_secret", "http.cookie", "session_id"])
def test_a_field_is_a_secret_by_its_name(name: str) -> None:
    """Whatever is in it."""
    assert is_secret_name(name)
    assert mask_field(name, "x") == MASK
    assert mask_json({"a": {name: ["x"]}}) == {"a": {name: MASK}}


@pytest.mark.parametrize("name", ["secret_name", "token_count", "password_policy", "token_url", "keyspace"])
def test_a_name_may_say_that_a_field_is_none(name: str) -> None:
    """What only speaks of secrets stays."""
    assert mask_field(name, "x") == "x"
    assert mask_json({name: 7}) == {name: 7}


def test_json_deeper_than_any_is_masked() -> None:
    """As text, beyond a depth; the walk itself is bounded."""
    value: Any = {"password": "Zq9kkkkkW"}
    for _ in range(200):
        value = [value]
    assert "Zq9kkkkkW" not in repr(mask_json(value))


def test_the_samples_hide_secrets_too(ingest: Harness) -> None:
    """A label that is a secret by its name or looks."""
    labels = "host=h1,password=Zq9kkkkkW,x=AKIAIOSFODNN7EXAMPLE"
    ingest.send(f"cpu,{labels} value=1 1795241380000000000", topic="metrics.raw")
    (sample,) = ingest.of("metrics.samples.v1")
    assert "Zq9" not in repr(sample)
    assert "IOSF" not in repr(sample)
