"""Personal data in text: where it stands, and its pseudonym in its place.

What is recognised, and what is not, is told in docs/privacy.md. A line is first searched for a few characters; an
expression runs only when they are there, and is linear on any line: repetitions are bounded or possessive.
"""

import re
from collections.abc import Callable, Collection

from services.common.entities import host_name
from services.ingest.core.pseudonyms import (
    EMAIL,
    HOST,
    IP,
    MAC,
    PROJECT,
    USER,
    Pseudonyms,
    address_of,
    is_pseudonym,
    names_nobody,
)

#: Host names that are remembered to be found in text.
MAX_HOSTS = 10_000
Found = re.Match[str]

#: A value may follow the end of an escape: of JSON, of a URL, of a terminal's colours.
_START = r"(?:(?<![0-9A-Za-z%])(?<!%[0-9A-Fa-f])|(?<=\\[nrtfbv])|(?<=%[0-9A-Fa-f]{2})|(?<=[0-9;\[]m))"
_QUOTE = r"""(?:\\{0,8}["'])"""
_ASSIGNED = rf"{_QUOTE}?\s{{0,2}}(?:=>|[:=])\s{{0,2}}"
#: What follows a name: a quoted text, a flat map or list, or a word.
_NAMED_VALUE = (
    rf"""(?:[ubr]?(?P<open>{_QUOTE})(?P<quoted>[^"'\\\n]{{1,256}})"""
    r"""|(?P<group>[\[({][^\[\](){}]{1,1024})|(?P<bare>[\w.@%+-]{1,128}+))"""
)
_PERSON = re.compile(
    rf"(?P<name>(?P<who>user|login|owner|project|tenant|account)(?:[-_]?(?:ids?|uuid|names?))?{_ASSIGNED}){_NAMED_VALUE}",
    re.IGNORECASE,
)
_HOST_FIELD = re.compile(
    rf"(?P<name>(?P<who>host|node|server|hypervisor|fqdn)(?:[-_]?(?:names?|hostname))?{_ASSIGNED}){_NAMED_VALUE}",
    re.IGNORECASE,
)
_IN_MAP = re.compile(
    rf"""(?P<name>{_QUOTE}(?:id|uuid|name|login|username){_QUOTE}\s{{0,2}}:\s{{0,2}}[ubr]?{_QUOTE})"""
    r"""(?P<value>[^"'\\]{1,256})""",
    re.IGNORECASE,
)
_IN_LIST = re.compile(rf"""(?P<name>[ubr]?{_QUOTE})(?P<value>[^"'\\,]{{1,256}})(?={_QUOTE})""")
#: `/v3/users/ID`, `/home/bob`, `AUTH_ID` of Swift, `/v2.1/ID/servers` and `/quotas/ID` of Nova and Neutron.
_PLACE = re.compile(
    r"(?P<name>/(?:(?P<who>users|home|projects|tenants)/"
    r"|(?:v[0-9.]{1,5}|quotas|os-quota-sets|os-simple-tenant-usage|limits)/(?=[0-9a-f]{32}(?![0-9a-z]))"
    r"|(?:v1/)?AUTH_))(?P<value>[\w.@%+-]{1,128}+)"
)
_URL_USER = re.compile(r"(?P<name>://)(?P<value>[^\s/:@\"'?#*]{1,128})(?=(?::[^\s/@\"']{0,512})?@)")
#: sshd, PAM and sudo.
_LOGIN = re.compile(
    r"(?P<name>(?:Accepted|Failed) [\w/-]{1,32} for (?:invalid user )?|[Ii]nvalid user |authenticating user "
    r"|session (?:opened|closed) for user |Disconnected from user )(?P<value>[\w.@+-]{1,128})"
)
_LOGIN_HINTS = ("Accepted ", "Failed ", "nvalid user ", "ating user ", "for user ", "from user ")
_SUDO = re.compile(r"(?P<name>\A\s{0,8})(?P<value>[\w.@+-]{1,64})(?= : (?:TTY=|user NOT|\d{1,3} incorrect))")
#: The third word of an access line is who asked: `1.2.3.4 - bob [21/Nov/2026:..`.
_ACCESS_USER = re.compile(r"(?P<name> - )(?P<value>[^\s\"-]\S{0,127})(?= \[\d{1,2}/[A-Z][a-z]{2}/\d{4}[: ])")
_EMAIL = re.compile(
    r"(?<![\w.+%-])(?:[\w.+-]|%(?!40))++(?:@|%40)(?:[^\W_][\w-]{0,62}\.){1,8}(?P<top>[^\W\d_][\w-]{1,62})"
)
#: Units of systemd are no addresses: `getty@tty1.service`.
_UNITS = frozenset(("service", "socket", "mount", "timer", "slice", "scope", "target", "device", "path", "swap"))
#: Three of four octets; a fifth number is a port, as tcpdump writes it; six numbers are no address.
_OCTETS = re.compile(r"\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}(?![0-9])(?!\.[0-9]{1,5}\.[0-9])(?!\.[0-9]{6})")
_ESCAPE_BEFORE = re.compile(r"(?:\\[nrtfbv]|%[0-9A-Fa-f]{2}|\\[ux][0-9A-Fa-f]{2,4}|[0-9;\[]m)\Z")
_IPV6 = re.compile(
    rf"{_START}(?=[0-9A-Fa-f]{{0,4}}:)[0-9A-Fa-f:]{{2,45}}+(?:(?:\.[0-9]{{1,3}}){{3}})?(?![0-9A-Za-z])"
    rf"|{_START}(?:[0-9A-Fa-f]{{0,4}}%3[Aa]){{2,8}}+[0-9A-Fa-f]{{0,4}}(?![0-9A-Za-z])"
)
_REVERSED_IPV6 = re.compile(r"(?<![0-9A-Za-z.])(?:[0-9A-Fa-f]\.){32}(?=ip6\.arpa)", re.IGNORECASE)
_MAC = re.compile(
    rf"{_START}[0-9A-Fa-f]{{1,2}}(?P<sep>:|-|%3[Aa])[0-9A-Fa-f]{{1,2}}(?:(?P=sep)[0-9A-Fa-f]{{1,2}}){{4,18}}+"
    r"(?![0-9A-Za-z])|(?<![0-9A-Za-z.])[0-9A-Fa-f]{4}(?:\.[0-9A-Fa-f]{4}){2}(?![0-9A-Za-z]|\.[0-9])"
)
#: Cheap to look for, since they begin with a sign: the middle of a MAC address.
_MAC_INSIDE = re.compile(r":[0-9A-Fa-f]{1,2}:[0-9A-Fa-f]{1,2}:[0-9A-Fa-f]{1,2}:[0-9A-Fa-f]{1,2}:")
_DASHED_INSIDE = re.compile(r"-[0-9A-Fa-f]{1,2}-[0-9A-Fa-f]{1,2}-[0-9A-Fa-f]{1,2}-[0-9A-Fa-f]{1,2}-")
_DOTTED_INSIDE = re.compile(r"\.[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}")
_BARE_MAC = re.compile(
    rf"(?P<name>mac(?:[-_ ]?addr(?:ess)?)?{_ASSIGNED}{_QUOTE}?)(?P<value>[0-9a-f]{{12}})(?!\w)", re.I
)
_HOST_WORD = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?")
_ID = re.compile(r"(?<![0-9A-Za-z-])[0-9a-fA-F-]{32,64}+(?![0-9A-Za-z-])")

_PROJECTS = frozenset(("project", "tenant", "account", "projects", "tenants"))
_NOBODY = frozenset(("", "-", "none", "null", "nil", "true", "false", "unknown", "undefined", "default", "n/a", "***"))
_NO_HOST = frozenset(("", "-", "unknown", "localhost", "none", "null", "nil", "***"))
_NUMBERS = "0123456789"


class PersonalData:
    """Finds and replaces the personal data of these kinds.

    Args:
        kinds: of KINDS; with `host_name` also the hosts that were learnt.
    """

    def __init__(self, kinds: Collection[str], pseudonyms: Pseudonyms) -> None:
        self.kinds = frozenset(kinds)
        self.pseudonyms = pseudonyms
        self._hosts: dict[str, None] = {}
        self._persons = bool(self.kinds & {USER, PROJECT})

    def learn_host(self, name: str) -> None:
        """From now on this name is found wherever it stands as a word."""
        lowered = host_name(name).lower().rstrip(".")
        if lowered not in self._hosts and lowered not in _NO_HOST and not is_pseudonym(lowered):
            if len(self._hosts) >= MAX_HOSTS:
                del self._hosts[next(iter(self._hosts))]
            self._hosts[lowered] = None

    def field(self, kind: str, value: str) -> str:
        """The pseudonym of a whole value, by its looks when it is an address; the value when its kind stays."""
        if value.lower() in _NOBODY or is_pseudonym(value):
            return value
        if value[0] == "%" and not _ESCAPE_BEFORE.match(value[:3]):
            return value  # a placeholder: `user=%s`
        if IP in self.kinds and (address := address_of(value)) is not None:
            return value if names_nobody(address) else self.pseudonyms.of(IP, value)
        if EMAIL in self.kinds and _EMAIL.fullmatch(value):
            return self.pseudonyms.of(EMAIL, value)
        if MAC in self.kinds and _MAC.fullmatch(value):
            return self.pseudonyms.of(MAC, value)
        return self.pseudonyms.of(kind, value) if kind in self.kinds else value

    def host(self, name: str) -> str:
        """The pseudonym of a host; that of its address when an address is its name. A port stays."""
        bare = host_name(name)
        if HOST not in self.kinds or bare.lower() in _NO_HOST or is_pseudonym(bare):
            return name
        address = address_of(bare)
        if address is not None and names_nobody(address):
            return name
        port = name.rpartition(":")[2] if bare != name and not name.endswith("]") else ""
        word = self.pseudonyms.of(HOST if address is None else IP, bare)
        return f"{word}:{port}" if port else word

    def text(self, text: str) -> str:
        """The text with pseudonyms in it."""
        kinds = self.kinds
        if "@" in text or "%40" in text:
            text = self._accounts(text)
        if self._persons:
            text = self._people(text, text.lower())
        if IP in kinds:
            if "::" in text or text.count(":") >= 7 or "%3A" in text or "%3a" in text:
                text = _IPV6.sub(self._ipv6, text)
            if "." in text:
                text = self._dotted(text)
        if MAC in kinds:
            text = self._macs(text)
        if HOST in kinds:
            text = self._host_names(text)
        return text

    def same_ids(self, text: str, pseudonyms: Collection[str]) -> str:
        """The ids in a text whose pseudonyms are known to belong to its event, replaced: a traceback's lines do not
        say whose request they are about. Ids of 32 to 64 hexadecimal digits, with dashes or without."""

        def replaced(found: Found) -> str:
            for kind in self.kinds & {USER, PROJECT}:
                made = self.pseudonyms.of(kind, found[0])
                if made in pseudonyms:
                    return made
            return found[0]

        return _ID.sub(replaced, text)

    def _accounts(self, text: str) -> str:
        if USER in self.kinds and "://" in text:
            text = _URL_USER.sub(self._as(USER), text)
        return _EMAIL.sub(self._email, text) if EMAIL in self.kinds else text

    def _email(self, found: Found) -> str:
        local = found[0].replace("%40", "@").partition("@")[0]
        is_other = found["top"] in _UNITS or is_pseudonym(local)  # `ssh://user-k1-..@host.example.org`
        return found[0] if is_other else self.pseudonyms.of(EMAIL, found[0])

    def _people(self, text: str, lowered: str) -> str:
        if (
            "user" in lowered
            or "project" in lowered
            or "tenant" in lowered
            or "owner" in lowered
            or "account" in lowered
        ):
            text = _PERSON.sub(self._person, text)
        if "login" in lowered:
            text = _PERSON.sub(self._person, text)
        if "/" in text:
            text = _PLACE.sub(self._person, text)
        if USER in self.kinds:
            if any(hint in text for hint in _LOGIN_HINTS):
                text = _LOGIN.sub(self._as(USER), text)
            if " : " in text:
                text = _SUDO.sub(self._as(USER), text)
            if " - " in text and " [" in text:
                text = _ACCESS_USER.sub(self._as(USER), text)
        return text

    def _person(self, found: Found) -> str:
        who = (found["who"] or "projects").lower()
        kind = PROJECT if who in _PROJECTS else USER
        return self._named(found, self._as(kind)) if kind in self.kinds else found[0]

    def _named(self, found: Found, replace: Callable[[Found], str]) -> str:
        """A name with its value: a word, a quoted text, or what is quoted in a map or list."""
        parts = found.groupdict()
        if parts.get("group"):
            inner = _IN_MAP if parts["group"][0] == "{" else _IN_LIST
            return str(found["name"]) + inner.sub(replace, parts["group"])
        return replace(found)

    def _as(self, kind: str) -> Callable[[Found], str]:
        def replaced(found: Found) -> str:
            parts = found.groupdict()
            value = parts.get("value") or parts.get("quoted") or parts.get("bare") or ""
            bare = value.rstrip(".") if not parts.get("open") else value
            return found[0].removesuffix(value) + self.field(kind, bare) + value[len(bare) :]

        return replaced

    def _ipv6(self, found: Found) -> str:
        text = found[0]
        core = text.rstrip(":.") if not text.endswith("::") else text
        for _ in range(4):
            colons = core.count(":") + core.lower().count("%3a")
            if colons < 2 or (colons < 7 and "::" not in core and "%3a%3a" not in core.lower() and "." not in core):
                return found[0]
            address = address_of(core)
            if address is not None:
                break
            core = core.partition(":")[2]  # `add:2001:db8:..`: a word before it
        else:
            return found[0]
        if names_nobody(address) or _is_mac(core):
            return found[0]
        at = text.index(core)
        return text[:at] + self.pseudonyms.of(IP, core) + text[at + len(core) :]

    def _dotted(self, text: str) -> str:
        """IPv4 addresses, found by their last three octets: most lines have few dots between digits."""
        pieces: list[str] = []
        at = 0
        for found in _OCTETS.finditer(text):
            start = _first_octet(text, found.start(), at)
            address = address_of(text[start : found.end()]) if start >= 0 else None
            if address is None or names_nobody(address):
                continue
            pieces += (text[at:start], self.pseudonyms.of(IP, address))
            at = found.end()
        if pieces:
            text = "".join((*pieces, text[at:]))
        return _REVERSED_IPV6.sub(self._reversed_ipv6, text) if ".arpa" in text else text

    def _reversed_ipv6(self, found: Found) -> str:
        digits = found[0].replace(".", "")[::-1]
        return self.pseudonyms.of(IP, ":".join(digits[at : at + 4] for at in range(0, 32, 4))) + "."

    def _macs(self, text: str) -> str:
        if _MAC_INSIDE.search(text) or ("-" in text and _DASHED_INSIDE.search(text)) or _DOTTED_INSIDE.search(text):
            text = _MAC.sub(self._mac, text)
        elif "%3" in text:
            text = _MAC.sub(self._mac, text)
        return _BARE_MAC.sub(self._as(MAC), text) if "mac" in text or "MAC" in text or "Mac" in text else text

    def _mac(self, found: Found) -> str:
        digits = set(found[0].lower()) - set(":-.%")
        is_nobody = digits <= {"f"} or digits <= {"0"}
        return found[0] if is_nobody else self.pseudonyms.of(MAC, found[0])

    def _host_names(self, text: str) -> str:
        lowered = text.lower()
        if "host" in lowered or "node" in lowered or "server" in lowered or "hyperv" in lowered or "fqdn" in lowered:
            text = _HOST_FIELD.sub(self._host_field, text)
        return _HOST_WORD.sub(self._host_word, text) if self._hosts else text

    def _host_field(self, found: Found) -> str:
        return self._named(found, self._host_value)

    def _host_value(self, found: Found) -> str:
        parts = found.groupdict()
        value = parts.get("value") or parts.get("quoted") or parts.get("bare") or ""
        is_name = not value.isdigit() and value[0] != "%" and _HOST_WORD.fullmatch(value.rstrip(".").split(":")[0])
        return found[0].removesuffix(value) + self.host(value) if is_name else found[0]

    def _host_word(self, found: Found) -> str:
        word = found[0].lower()
        if word in self._hosts:
            return self.host(found[0])
        label, dot, _ = word.partition(".")
        return self.host(found[0]) if dot and label in self._hosts and not _NO_DIGIT.fullmatch(label) else found[0]


_NO_DIGIT = re.compile(r"[^0-9]*")


def _is_mac(text: str) -> bool:
    """Eight groups of two digits: a long link-layer address rather than IPv6."""
    return all(len(group) == 2 for group in text.split(":"))


def _first_octet(text: str, end: int, least: int) -> int:
    """Where the number that ends at `end` begins, if an address may begin there; else -1."""
    for start in range(end - 1, max(least, end - 3) - 1, -1):
        if text[start] not in _NUMBERS:
            break
        if _may_begin(text, start):
            return start
    return -1


def _may_begin(text: str, start: int) -> bool:
    """Not within a longer number or dotted number, and not right behind a letter (`v1.2.3.4`), unless what stands
    there is the end of an escape."""
    before = text[start - 1 : start]
    if before == ".":
        return start < 2 or text[start - 2] not in _NUMBERS
    return not before.isalnum() or _ESCAPE_BEFORE.search(text, max(0, start - 8), start) is not None
