"""What BERT reads: a template's text as a word, and that text as numbers.

A word is a template with the class of its HTTP status, if it has one: an access line answered 200 says something else
than the same one answered 503. Everything here is a pure function of text, so that training and serving read alike.
"""

import hashlib
import math
import re
from functools import lru_cache

import numpy as np
import numpy.typing as npt

#: Length of a text's vector. 256 buckets hold the hundred-odd word parts of a template with few collisions.
NUM_FEATURES = 256
WILDCARD = "<*>"
#: A template longer than this is read up to here; what makes it itself comes first.
MAX_CHARS = 1000
#: A generalised template must keep at least this share of the constants, or it could be anything's.
MIN_SHARED = 0.5

#: How much a piece of a word counts beside whole words: enough to bring plugged near unplugged.
PIECE_WEIGHT = 0.3

#: A known word by its number in the vocabulary, an unknown one by its text.
Word = int | str

_PARTS = re.compile(r"[A-Za-z]{2,}|<\*>|[^\sA-Za-z]")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_VARIABLE = re.compile(r"\S*\d\S*")


def word_text(text: str, status: int) -> str:
    """The text of a word: the template, and the class of the status where there is one."""
    short = text[:MAX_CHARS]
    return f"{short} => {status // 100}xx" if 100 <= status <= 599 else short


def stand_in(body: str) -> str:
    """A template for an event whose own was never published: its body, every token with a digit masked."""
    return _VARIABLE.sub(WILDCARD, body[:MAX_CHARS])


@lru_cache(maxsize=20_000)
def text_vector(text: str) -> npt.NDArray[np.float32]:
    """A text as a signed hashed bag of words and of their three-letter pieces, of length one. Read-only.

    Returns:
        (F,) float32. Texts that share words lie near each other; an empty text is all zeros.

    Source:
        Weinberger et al. Feature Hashing for Large Scale Multitask Learning. ICML 2009.
    """
    counts: dict[str, int] = {}
    for part in _PARTS.findall(_CAMEL.sub(" ", text[: MAX_CHARS + 10])):
        for piece in _pieces(part.lower()):
            counts[piece] = counts.get(piece, 0) + 1
    vector = np.zeros(NUM_FEATURES, dtype=np.float32)
    for piece, count in counts.items():
        number = int.from_bytes(hashlib.blake2b(piece.encode(), digest_size=8).digest(), "big")
        weight = (PIECE_WEIGHT if piece.startswith("#") and len(piece) == 4 else 1.0) * math.sqrt(count)
        vector[number % NUM_FEATURES] += weight if number >> 63 else -weight
    length = float(np.linalg.norm(vector))
    vector = vector / length if length else vector
    vector.setflags(write=False)
    return vector


def _pieces(part: str) -> list[str]:
    """A word whole, and its three-letter pieces, marked so that they weigh less than words do."""
    return [part, *(f"#{part[n : n + 3]}" for n in range(len(part) - 2) if len(part) > 3)]


def is_reworded(one: str, other: str) -> bool:
    """Whether two texts can be one template at different stages of a miner's generalising.

    They have as many tokens, differ only where one has a wildcard, and share at least half of the constants.
    """
    left, right = one.split(), other.split()
    if len(left) != len(right):
        return False
    pairs = list(zip(left, right, strict=True))
    if any(a != b and WILDCARD not in a and WILDCARD not in b for a, b in pairs):
        return False
    constants = sum(a != WILDCARD or b != WILDCARD for a, b in pairs)
    same = sum(a == b != WILDCARD for a, b in pairs)
    return same >= max(1.0, MIN_SHARED * constants)
