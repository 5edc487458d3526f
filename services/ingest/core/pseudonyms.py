"""Pseudonyms: one word for each value, the same in every field, process and tool that has the same key.

A pseudonym is `<kind>-<key id>-<12 characters>`, such as `ip-k1-4xq7hd2mz3ab`: it says what it stands for and which key
made it, and no value of ours looks like one. The characters are the first 60 bits of HMAC-SHA256 over kind and value:
among a million values of a kind two share a pseudonym with a chance of 4 in ten million. Values are brought into one
form first, so that two spellings of an address are one pseudonym. Without the key nobody leads from a pseudonym to
its value, not even by trying all addresses.
"""

import base64
import hmac
import ipaddress
import re
import unicodedata
from collections import Counter
from functools import lru_cache
from urllib.parse import unquote

from services.common.entities import host_name
from services.common.errors import SettingsInvalid

IP, MAC, EMAIL, USER, PROJECT, HOST = "ip", "mac", "email", "user_id", "project_id", "host_name"
#: What `on` masks. Host names have a setting of their own; request and instance ids name no person.
PERSONAL = (IP, MAC, EMAIL, USER, PROJECT)
KINDS = (*PERSONAL, HOST)
MIN_KEY_BYTES = 32
_LENGTH = 12
_MEMO_SIZE = 100_000
_MEMO_CHARS = 512
#: Eight groups with percent-encoded colons, an IPv4 address in it, and a zone.
_MAX_ADDRESS_CHARS = 96
_PREFIXES = {kind: kind.partition("_")[0] for kind in KINDS}
_KEY_ID = re.compile(r"(?=[a-z0-9]*[0-9])[a-z0-9]{1,8}")
_PSEUDONYM = re.compile(rf"(?:{'|'.join(_PREFIXES.values())})-[a-z0-9]{{1,8}}-[a-z2-7]{{{_LENGTH}}}")
_MAC_SEPARATORS = re.compile(r"%3a|[:.-]", re.IGNORECASE)
_UUID = re.compile(r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}")
#: A second spelling of the same.
_ESCAPED_COLON = re.compile("%3a", re.IGNORECASE)


class Pseudonyms:
    """Makes pseudonyms with one key, and counts them.

    Args:
        key: at least 32 bytes.
        key_id: 1 to 8 of a-z and 0-9, one of them a digit; part of each pseudonym.

    Attributes:
        counts: how often each kind was replaced; whoever reads it may clear it.

    Raises:
        SettingsInvalid: the key is too short, or its id is none.
    """

    def __init__(self, key: bytes, key_id: str = "k1") -> None:
        if len(key) < MIN_KEY_BYTES:
            raise SettingsInvalid(
                f"the key for pseudonyms has {len(key)} bytes, wanted at least {MIN_KEY_BYTES}: make one with "
                "`openssl rand -hex 32` and give it as MOSELLE_INGEST_MASK_KEY (tools: --key-file or --key-env)"
            )
        if not _KEY_ID.fullmatch(key_id):
            raise SettingsInvalid(
                f"the key id {key_id!r} is not 1 to 8 of a-z and 0-9 with a digit among them, such as k2"
            )
        self._key = key
        self._key_id = key_id
        self._memo: dict[tuple[str, str], str] = {}
        self.counts: Counter[str] = Counter()

    def of(self, kind: str, value: str) -> str:
        """The pseudonym of a value; one that is a pseudonym already, with whatever key, stays."""
        found = self._memo.get((kind, value))
        if found is None:
            found = self._make(kind, value)
            if len(value) <= _MEMO_CHARS:
                if len(self._memo) >= _MEMO_SIZE:
                    self._memo.clear()
                self._memo[kind, value] = found
        if found is not value:
            self.counts[kind] += 1
        return found

    def _make(self, kind: str, value: str) -> str:
        if is_pseudonym(value):
            return value
        text = f"{kind}\0{normal_form(kind, value)}".encode(errors="surrogatepass")
        word = base64.b32encode(hmac.digest(self._key, text, "sha256")[:8])[:_LENGTH].decode().lower()
        return f"{_PREFIXES[kind]}-{self._key_id}-{word}"


def is_pseudonym(value: str) -> bool:
    """True for what `Pseudonyms.of` makes, whatever the key."""
    return _PSEUDONYM.fullmatch(value) is not None


def normal_form(kind: str, value: str) -> str:
    """One spelling for all spellings of a value."""
    if kind == IP:
        return address_of(value) or value
    if kind == MAC:
        return _mac_form(value)
    if kind == EMAIL:
        return _email_form(value)
    if kind == HOST:
        return host_name(value).rstrip(".").lower()
    value = unquote(value).strip()
    lowered = value.lower()
    return lowered.replace("-", "") if _UUID.fullmatch(lowered) else unicodedata.normalize("NFKC", value)


def address_of(text: str) -> str | None:
    """The one spelling of an IPv4 or IPv6 address; None for anything else.

    Octets may have leading zeros, IPv6 may be written in any way and with a zone; an IPv4 address inside an IPv6 one
    (`::ffff:10.0.0.1`) is the IPv4 address.
    """
    return _address(text) if len(text) <= _MAX_ADDRESS_CHARS else None


@lru_cache(65_536)
def _address(text: str) -> str | None:
    if ":" not in text and "%" not in text:
        octets = text.split(".")
        if len(octets) != 4 or not all(octet.isascii() and octet.isdigit() and len(octet) <= 3 for octet in octets):
            return None
        numbers = [int(octet) for octet in octets]
        return ".".join(map(str, numbers)) if max(numbers) <= 255 else None
    try:
        address = ipaddress.IPv6Address(_ESCAPED_COLON.sub(":", text).partition("%")[0])
    except ValueError:
        return None
    return str(address.ipv4_mapped or address.compressed)


def names_nobody(address: str) -> bool:
    """Loopback, unspecified and broadcast addresses and netmasks; `address` as `address_of` gives it."""
    return address.startswith(("127.", "0.", "255.")) or address in ("::1", "::")


def _mac_form(value: str) -> str:
    """Twelve hexadecimal digits, or more for longer link-layer addresses; `0:1a:..` is `00:1a:..`."""
    groups = _MAC_SEPARATORS.split(value.lower())
    if len(groups) > 3:
        groups = [group.rjust(2, "0") for group in groups]
    return "".join(groups)


def _email_form(value: str) -> str:
    """Percent signs resolved, one case, the domain as people write it."""
    local, _, domain = unicodedata.normalize("NFKC", unquote(value)).casefold().rpartition("@")
    local = local.split()[-1] if local.split() else local  # `%20bob%40x.org`
    if "xn--" in domain:
        try:
            domain = domain.encode("ascii").decode("idna")
        except UnicodeError:
            return f"{local}@{domain}"
    return f"{local}@{domain}"
