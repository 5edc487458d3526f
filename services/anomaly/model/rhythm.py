"""Scrapes come in a rhythm; one that stays away for much longer than it ever did has stopped."""

import msgspec

#: "More than twice its longest normal pause": what one longer pause than ever may come to by chance.
FACTOR = 2.0
#: A scrape seen less often has no rhythm to be judged by.
MIN_SCRAPES = 12


class Rhythm(msgspec.Struct, array_like=True):
    """One scrape of one entity: how many pauses were learnt, and the longest of them, seconds on its host's clock."""

    num: int = 0
    longest: float = 0.0

    def learn(self, seconds: float) -> None:
        """Takes in a pause that has ended."""
        self.num += 1
        self.longest = max(self.longest, seconds)

    def limit(self, floor_seconds: float) -> float | None:
        """The longest pause that is still normal; None without a rhythm."""
        return max(FACTOR * self.longest, floor_seconds) if self.num >= MIN_SCRAPES else None
