"""Settings that are wrong stop a service with one sentence, which tells no secret."""

import pytest
from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.common.errors import SettingsInvalid
from services.common.settings import read_settings


class Example(BaseSettings):
    """One number, one list of secrets."""

    model_config = SettingsConfigDict(env_prefix="MOSELLE_IT_", frozen=True)

    number: int = Field(1, ge=1)
    tokens: tuple[SecretStr, ...] = ()


@pytest.mark.parametrize("value", ["not json", "[12345]", '["abcde"', '{"a":"bcdef"}'])
def test_wrong_secrets_are_refused_without_being_shown(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether they are no JSON or of the wrong kind."""
    monkeypatch.setenv("MOSELLE_IT_TOKENS", value)
    with pytest.raises(SettingsInvalid, match=r"(?i)MOSELLE_IT_") as caught:
        read_settings(Example)
    assert "tokens" in str(caught.value).lower()
    assert not any(part in str(caught.value) for part in ("not json", "12345", "abcde", "bcdef"))


def test_a_wrong_value_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """With its variable and what was wanted."""
    monkeypatch.setenv("MOSELLE_IT_NUMBER", "0")
    with pytest.raises(SettingsInvalid, match=r"MOSELLE_IT_NUMBER='0': .*greater"):
        read_settings(Example)
