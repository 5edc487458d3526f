"""A secret's name where another secret is expected: `password 'auth_token': '..'`, `AUTH X-Auth-Token: ..`.

Masking what stands behind the first name would take the second one away and leave its secret behind, so the secret of
the second is masked before anything else. From the right to the left, each value up to what is masked already: the time
is linear, however many names follow each other.
"""

import re

from services.ingest.core import secret_forms as forms

#: How far before a name the other one is looked for.
_MAX_LEAD_CHARS = 160
_NAME = re.compile(forms.NAMES, re.I | re.X)
_INNER = re.compile(
    rf"(?P<name>{forms.NAMES}[a-z0-9_-]{{0,32}}{forms.ASSIGNED}){forms.NOT_AN_ERROR}{forms.VALUE}", re.I | re.X | re.S
)
#: What takes the word behind it for a secret; it ends where the inner name, or what belongs to it, begins.
_OUTER = re.compile(
    rf"""(?:
        {forms.NAMES}[a-z0-9_-]{{0,32}}(?:{forms.ASSIGNED}|\s{{0,4}}\(\s{{0,4}}
          |\s{{1,4}}(?:(?:is|was|to|with|value)\s{{1,4}})?)
      | (?:auth|requirepass|masterauth|bearer|basic|by|password)["']?\s{{1,4}} | --[a-z0-9-]{{1,64}}\s{{1,4}}
    ){forms.QUOTE}?[a-z0-9_.-]{{0,32}}\Z""",
    re.I | re.X | re.S,
)


def mask_chained(text: str, masked: str) -> tuple[str, int]:
    """The text with such values replaced, and how many they were.

    Args:
        masked: what takes a value's place.
    """
    places = forms.name_places(text)
    if places is None:
        places = [found.start() for found in _NAME.finditer(text)]
    parts: list[str] = []
    end = len(text)
    for place in reversed(places):
        found = _INNER.match(text, place, end)
        if found is None or found.end("name") == found.end():
            continue
        if _OUTER.search(text, max(0, place - _MAX_LEAD_CHARS), place) is not None:
            parts += (text[found.end() : end], masked)
            end = found.end("name")
    return "".join((text[:end], *reversed(parts))), len(parts) // 2
