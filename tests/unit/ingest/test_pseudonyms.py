"""One value, one word; another key, another word."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.errors import SettingsInvalid
from services.ingest.core.pseudonyms import (
    EMAIL,
    HOST,
    IP,
    KINDS,
    MAC,
    PROJECT,
    USER,
    Pseudonyms,
    address_of,
    is_pseudonym,
    names_nobody,
)  # fmt: skip

KEY = b"k" * 32

SAME = [
    (IP, ["2001:db8::1", "2001:DB8:0:0::1", "2001:0db8:0000:0000:0000:0000:0000:0001", "2001%3Adb8%3A%3A1"]),
    (IP, ["10.0.0.1", "010.000.000.001", "::ffff:10.0.0.1", "::FFFF:a00:1"]),
    (MAC, ["fa:16:3e:0a:bb:cc", "FA-16-3E-0A-BB-CC", "fa16.3e0a.bbcc", "fa163e0abbcc", "fa:16:3e:a:bb:cc"]),
    (EMAIL, ["Bob+tag@Example.org", "bob+tag@example.org", "bob%2Btag%40example.org"]),
    (EMAIL, ["j@müller.de", "j@xn--mller-kva.de", "J@MÜLLER.de"]),
    (USER, ["64152ad4d385428aa8351edfea9480a2", "64152ad4-d385-428a-a835-1edfea9480a2"]),
    (HOST, ["compute-1", "Compute-1", "compute-1:9100", "compute-1."]),
]


@pytest.mark.parametrize(("kind", "spellings"), SAME)
def test_spellings_of_a_value_share_a_pseudonym(kind: str, spellings: list[str]) -> None:
    """So that a join over sources that write it differently survives."""
    assert len({Pseudonyms(KEY).of(kind, spelling) for spelling in spellings}) == 1


def test_key_kind_and_value_make_the_difference() -> None:
    """Any of them, and the key's id is to be read in it."""
    one = Pseudonyms(KEY).of(USER, "x1")
    assert one.startswith("user-k1-")
    others = [
        Pseudonyms(b"j" * 32).of(USER, "x1"), Pseudonyms(KEY).of(PROJECT, "x1"), Pseudonyms(KEY).of(USER, "x2"),
        Pseudonyms(KEY, "k2").of(USER, "x1"),
    ]  # fmt: skip
    assert one not in others
    assert others[-1].startswith("user-k2-")
    assert others[-1][-12:] == one[-12:]


def test_a_known_pseudonym_stays_the_same() -> None:
    """What is written today must match what is written in a year: HMAC-SHA256 over kind, NUL and value."""
    assert Pseudonyms(KEY).of(IP, "10.0.0.1") == "ip-k1-iw2fx5khnuts"


@given(st.sampled_from(KINDS), st.text(max_size=80))
def test_a_pseudonym_of_anything_is_one_and_stays(kind: str, value: str) -> None:
    """Whatever the value holds; a second pass with another key changes nothing."""
    made = Pseudonyms(KEY).of(kind, value)
    assert is_pseudonym(made)
    assert Pseudonyms(b"j" * 32, "k2").of(kind, made) == made


@given(st.ip_addresses())
def test_every_address_is_known_however_it_is_written(address: object) -> None:
    """Python's own spelling, compressed and exploded."""
    assert address_of(str(address)) == address_of(address.exploded)  # type: ignore[attr-defined]
    assert address_of(str(address)) is not None


@pytest.mark.parametrize(
    "text", ["", "1.2.3", "1.2.3.256", "1.2.3.4.5", "1.2.3.٤", "::g", "1::2::3", "12:30:00", "a.b.c.d"]
)
def test_what_is_no_address(text: str) -> None:
    """It is not read as one."""
    assert address_of(text) is None


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "127.1.2.3", "0.0.0.0", "255.255.255.255", "255.255.0.0", "::1", "::"]
)
def test_addresses_that_name_nobody(address: str) -> None:
    """Loopback, unspecified, broadcast, netmasks."""
    assert names_nobody(address)


@pytest.mark.parametrize(
    ("key", "key_id"), [(b"short", "k1"), (KEY, "key"), (KEY, "K1"), (KEY, ""), (KEY, "toolong12")]
)
def test_a_key_that_is_none_is_refused(key: bytes, key_id: str) -> None:
    """Too short, or an id without a digit; the key itself is not shown."""
    with pytest.raises(SettingsInvalid) as caught:
        Pseudonyms(key, key_id)
    assert "short" not in str(caught.value) or "bytes" in str(caught.value)


def test_what_is_replaced_is_counted() -> None:
    """By kind; what was a pseudonym already is not."""
    pseudonyms = Pseudonyms(KEY)
    pseudonyms.of(IP, pseudonyms.of(IP, "10.0.0.1"))
    assert pseudonyms.counts == {IP: 1}
