"""The words an artifact knows: template texts, to which the stream's templates are mapped wherever it is loaded."""

import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from services.common.errors import ArtifactMismatch
from services.logbert.core.events import LogEvent
from services.logbert.core.words import Word, is_reworded, stand_in, text_vector, word_text

#: Looked-up words that are remembered; a cloud has hundreds.
MAX_REMEMBERED = 20_000

#: All texts a template id has had, the newest first; empty when it was never published.
Forms = Callable[[str], Sequence[str]]


class Entry(msgspec.Struct, frozen=True):
    """One word: its text, and other texts that the same template went by while training saw it."""

    text: str
    forms: list[str] = []
    count: int = 0


class Vocabulary:
    """Words by number. A text that training never saw, in no wording, stays itself: an unknown word."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.entries = tuple(entries)
        self._numbers: dict[str, int] = {}
        for number, entry in enumerate(entries):
            for text in (entry.text, *entry.forms):
                self._numbers.setdefault(text, number)
        self._by_length: dict[int, list[tuple[str, int]]] = {}
        for text, number in self._numbers.items():
            self._by_length.setdefault(len(text.split()), []).append((text, number))

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits; the weights carry the same, so that another vocabulary's are refused."""
        return hashlib.sha256("\0".join(entry.text for entry in self.entries).encode()).hexdigest()[:16]

    def lookup(self, texts: Sequence[str]) -> Word:
        """The number of the first text that is known, else of a word that is one of them reworded, else the text."""
        for text in texts:
            if text in self._numbers:
                return self._numbers[text]
        for text in texts:
            for known, number in self._by_length.get(len(text.split()), ()):
                if is_reworded(text, known):
                    return number
        return texts[0]

    def text(self, word: Word) -> str:
        """A word's text, for people and for its vector."""
        return word if isinstance(word, str) else self.entries[word].text

    def vector(self, word: Word) -> npt.NDArray[np.float32]:
        """(F,) float32."""
        return text_vector(self.text(word))

    def dump(self) -> bytes:
        """templates.json."""
        return json.dumps({"words": [msgspec.to_builtins(entry) for entry in self.entries]}, indent=1).encode() + b"\n"

    @classmethod
    def parse(cls, payload: bytes) -> "Vocabulary":
        """What `dump` gave.

        Raises:
            ArtifactMismatch: it is no list of words, or empty.
        """
        try:
            found: dict[str, Any] = msgspec.json.decode(payload)
            entries = msgspec.convert(found["words"], list[Entry])
        except (msgspec.MsgspecError, KeyError, TypeError, ValueError) as error:
            raise ArtifactMismatch(
                f"templates.json holds no words ({error}): train it again with `moselle train logbert`"
            ) from None
        if not entries:
            raise ArtifactMismatch("templates.json is empty: train it again with `moselle train logbert`")
        return cls(entries)


class Wording:
    """The word of an event. Remembers what it looked up; texts that come later are looked up anew.

    Args:
        forms: what is known of a template id by now.
    """

    def __init__(self, vocabulary: Vocabulary, forms: Forms) -> None:
        self._vocabulary = vocabulary
        self._forms = forms
        self._remembered: OrderedDict[tuple[tuple[str, ...], int], Word] = OrderedDict()

    def word(self, event: LogEvent) -> Word:
        """Known by its template's text, reworded or not, and its status; else its text."""
        forms = tuple(self._forms(event.template_id)) if event.template_id else ()
        key = (forms or (stand_in(event.body),), event.status // 100)
        found = self._remembered.get(key)
        if found is None:
            found = self._vocabulary.lookup([word_text(text, event.status) for text in key[0]])
            self._remembered[key] = found
            if len(self._remembered) > MAX_REMEMBERED:
                self._remembered.popitem(last=False)
        return found
