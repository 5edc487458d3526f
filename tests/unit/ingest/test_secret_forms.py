"""Expressions that are tried only where a name may begin find what they would find anywhere."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.core import secret_forms as forms
from services.ingest.core.secrets import MASK, mask

NAMES = (
    "password passwort passwd passphrase adminpass admin_pass secret tokens credentials api_key access-key privatekey "
    "encryption_key auth_key account_key hmac_key master_key signing-key storage_key fernet_key shared_key session_id "
    "session-key signature pass pwd psk otp authorization cookie"
).split()
FRAGMENTS = (
    *NAMES, *(name.upper() for name in NAMES), "key", "x", "_", "-", ".", " ", "=", ": ", '"', "'", "', '", "value",
    '"value": ', "[", "{", "}", "s3cr3tValue", "\\", "(", "é", "\u212a", "\n",
)  # fmt: skip


def hide(found: re.Match[str]) -> str:
    """What stands behind the name."""
    return f"{found['name']}{MASK}"


@given(st.lists(st.sampled_from(FRAGMENTS), max_size=24).map("".join), st.sampled_from((forms.KEYED, forms.PAIR)))
def test_named_forms_are_found_as_everywhere(text: str, form: forms.Named) -> None:
    """Trying the places of names is the same as trying all."""
    assert form.sub(hide, text) == form.expression.sub(hide, text)


@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_found_in_the_middle_of_a_text(name: str) -> None:
    """However far before its hint it begins."""
    assert "s3cr3tValue" not in mask(f'a line with {name}="s3cr3tValue" in it')


def test_a_text_full_of_names_is_masked_too() -> None:
    """Where trying each of them would take too long, it is gone through as a whole."""
    assert mask("key " * 1000 + "password=s3cr3tValue") == "key " * 1000 + f"password={MASK}"
