"""What comes every night is no news at night: the whole stage over days."""

from typing import Any

from services.anomaly.settings import AnomalySettings
from tests.unit.anomaly.streams import SECOND, START, Reader, make_host, scrapes

HOUR, DAY = 3600, 86_400
#: 02:00 UTC of the day after START, which is 08:00.
NIGHT = 18 * HOUR
LASTS = 1800.0
SETTINGS = AnomalySettings(warmup_seconds=2 * HOUR, advisers=())


def days(begin: float, end: float, jobs: list[float]) -> list[dict[str, Any]]:
    """A host that is short of memory while any of the jobs runs."""
    return [
        make_host(second, 0.4 if any(job <= second < job + LASTS for job in jobs) else 0.8)
        for second in scrapes(begin, end, 240.0)
    ]


def fired(reader: Reader) -> list[float]:
    """The hours after START at which alerts fired."""
    times = [alert["starts_at"] for alert in reader.alerts if alert["status"] == "firing"]
    return [round((time - START) / SECOND / HOUR, 1) for time in times]


def test_a_nightly_job_is_news_on_two_nights_and_an_odd_hour_always() -> None:
    """What the hour was like widens what is expected in that hour only."""
    nights = [NIGHT + number * DAY + 900 for number in range(4)]
    odd = NIGHT + 3 * DAY + 12 * HOUR
    reader = Reader(SETTINGS).read(days(0, odd + 2 * HOUR, [*nights, odd]))
    assert fired(reader) == [18.3, 42.3, 102.0]


def test_habits_outlive_a_restart() -> None:
    """What each hour was like is state."""
    nights = [NIGHT + number * DAY + 900 for number in range(3)]
    records = days(0, NIGHT + 3 * DAY, nights)
    reader = Reader(SETTINGS)
    for begin in range(0, len(records), 200):
        reader.read(records[begin : begin + 200])
        reader.restart()
    assert fired(reader) == [18.3, 42.3]
