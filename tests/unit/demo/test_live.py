"""What the terminal shows, drawn into a string."""

import io

from rich.console import Console

from moselle.demo.lag import Progress
from moselle.demo.live import PlainView, render, show_results
from moselle.demo.scene import Scene, alert_lines, fault_rows, one_line, service_rows
from services.common.matching import Fault
from tests.unit.demo.stories import make_alert, make_label, make_seen, make_story

SERVICES = [{"name": "ingest", "ready": True}, {"name": "logbert", "ready": False}]


def make_console() -> Console:
    return Console(file=io.StringIO(), width=100, height=30)


def text_of(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def make_scene() -> Scene:
    seen = make_seen(make_alert(405))
    progress = [Progress("moselle-ingest", 500, 20)]
    return Scene(
        phase="replaying",
        parsed=90,
        services=service_rows(SERVICES, progress, {"moselle-ingest": 300}, 2.0),
        alerts=alert_lines(seen),
        faults=fault_rows([Fault.from_label(make_label(400, 440)), Fault.from_label(make_label(2000, 2040))], seen),
    )


def test_rates_are_differences_and_unknown_lag_is_not_zero() -> None:
    """A service whose group is not there yet shows nothing rather than zero."""
    ingest, logbert = make_scene().services
    assert (ingest.per_second, ingest.lag) == (100.0, 20)
    assert (logbert.per_second, logbert.lag) == (None, None)


def test_faults_pass_from_ahead_to_found_or_missed() -> None:
    """By the stream's own time."""
    labels = [make_label(400, 440), make_label(500, 540), make_label(990, 1010), make_label(2000, 2040)]
    rows = fault_rows([Fault.from_label(label) for label in labels], make_seen(make_alert(405)))
    assert [row.state for row in rows] == ["found", "missed", "now", "ahead"]


def test_the_live_screen_shows_the_line_behind_an_alert() -> None:
    """Services, faults, and the alert with its evidence fit one screen."""
    console = make_console()
    console.print(render(make_scene(), 30))
    shown = text_of(console)
    assert "405 ERROR nova.compute boom" in shown
    assert "✔ spawn failure 7.0 s" in shown
    assert len(shown.splitlines()) <= 30


def test_plain_lines_say_each_thing_once() -> None:
    """Two scenes with the same alert make one line of it."""
    console = make_console()
    view = PlainView(console)
    view.show(make_scene())
    view.show(make_scene())
    assert text_of(console).count("405 ERROR nova.compute boom") == 1
    assert text_of(console).count("found after 7.0 s") == 1


def test_a_log_line_cannot_steer_the_terminal() -> None:
    """Escape sequences lose their escape; rich's markup stays text."""
    assert one_line("a\x1b[2Jb\nc") == "a [2Jb c"
    console = make_console()
    PlainView(console).show(Scene(phase="[bold]x[/nonsense]"))
    assert "[bold]x[/nonsense]" in text_of(console)


def test_the_closing_table_tells_every_figure() -> None:
    """Faults by row, and what was counted below."""
    console = make_console()
    show_results(console, make_story([make_label(400, 440)], make_seen(make_alert(405))))
    shown = text_of(console)
    for words in ("spawn failure", "lines published 100, parsed 90", "dead letters 10", "first alert 60 s"):
        assert words in shown


def test_the_screen_counts_lines_features_forecasts_and_placements() -> None:
    """Both lines of counts stand below the bar, and neither is cut off."""
    console = make_console()
    console.print(render(Scene(phase="replaying", parsed=90, features=1234, forecasts=56, placed=7), 30))
    text = text_of(console)
    assert "parsed 90" in text
    assert "features 1,234 (0/s)   forecasts 56   workloads placed 7" in text
