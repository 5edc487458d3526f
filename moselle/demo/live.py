"""The terminal: a live view where there is one, plain lines elsewhere."""

from collections.abc import Iterable
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from moselle.demo.figures import table_rows
from moselle.demo.report import alerts_per_fault, headline
from moselle.demo.scene import AlertLine, FaultRow, Scene, ServiceRow
from moselle.demo.story import Json, Story

_PLAIN_SECONDS = 10.0
_SEVERITY_STYLES = {"critical": "bold red", "warning": "yellow", "info": "cyan"}
_STATE_STYLES = {"ahead": "dim", "now": "bold yellow", "found": "green", "missed": "red"}
_STATE_MARKS = {"ahead": "·", "now": "▶", "found": "✔", "missed": "✘"}


class View(Protocol):
    """Shows scenes as they change."""

    def show(self, scene: Scene) -> None:
        """The newest scene; may be called many times a second."""
        ...

    def close(self) -> None:
        """Leaves the terminal as it was."""
        ...


def open_view(console: Console, plain: bool) -> View:
    """The live view on a terminal, unless `plain`."""
    return PlainView(console) if plain or not console.is_terminal else LiveView(console)


class LiveView:
    """One screen that changes in place."""

    def __init__(self, console: Console) -> None:
        self._scene = Scene()
        self._console = console
        self._live = Live(console=console, refresh_per_second=5, get_renderable=self._render, transient=True)
        self._live.start()

    def show(self, scene: Scene) -> None:
        self._scene = scene

    def close(self) -> None:
        self._live.stop()

    def _render(self) -> RenderableType:
        return render(self._scene, self._console.size.height)


class PlainView:
    """A line for each thing that happens, and one with the figures every ten seconds."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._told: set[str] = set()
        self._next_figures = 0.0

    def show(self, scene: Scene) -> None:
        self._once(f"phase {scene.phase}", f"[{scene.elapsed_seconds:5.0f} s] {scene.phase}")
        for fault in scene.faults:
            if fault.state in ("now", "found", "missed"):
                key = f"fault {fault.kind} {fault.service} {fault.state}"
                self._once(key, f"[{scene.elapsed_seconds:5.0f} s] fault {_state_text(fault)}")
        for alert in scene.alerts:
            self._once(
                alert.alert_id, f"[{scene.elapsed_seconds:5.0f} s] alert {alert.text}\n           {alert.raw_line}"
            )
        if scene.parsed and scene.elapsed_seconds >= self._next_figures:
            self._next_figures = scene.elapsed_seconds + _PLAIN_SECONDS
            self._say(f"[{scene.elapsed_seconds:5.0f} s] {_figures_text(scene)}")

    def close(self) -> None:
        pass

    def _once(self, key: str, text: str) -> None:
        if key not in self._told:
            self._told.add(key)
            self._say(text)

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


def render(scene: Scene, height: int) -> RenderableType:
    """The live screen, at most `height` lines of it."""
    columns = Table.grid(expand=True, padding=(0, 1))
    columns.add_column(ratio=4)
    columns.add_column(ratio=5)
    columns.add_row(_services(scene.services), _faults(scene.faults))
    upper = 7 + max(len(scene.services), (len(scene.faults) + 1) // 2) + 3
    return Group(_header(scene), columns, _alerts(scene.alerts, max(1, (height - upper - 4) // 2)))


def _header(scene: Scene) -> RenderableType:
    line = Table.grid(expand=True)
    line.add_column(ratio=1)
    line.add_column(justify="right")
    line.add_row(Text(scene.phase, style="bold"), Text(f"{scene.elapsed_seconds:.0f} s", style="bold"))
    # In a table of its own: a bare bar ends no line, and what follows it would be cut off.
    bar = Table.grid(expand=True)
    bar.add_row(ProgressBar(total=1.0, completed=scene.share))
    counts = (Text(text, style="dim", no_wrap=True, overflow="ellipsis") for text in counts_texts(scene))
    return Panel(Group(line, bar, *counts), title="Moselle", border_style="blue")


def _services(services: Iterable[ServiceRow]) -> RenderableType:
    table = Table(expand=True, box=None, header_style="dim")
    table.add_column("service")
    table.add_column("records/s", justify="right")
    table.add_column("behind", justify="right")
    for service in services:
        mark = Text("● ", style="green" if service.is_ready else "red") + Text(service.name)
        table.add_row(mark, _number(service.per_second), _number(service.lag))
    return table


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def _faults(faults: Iterable[FaultRow]) -> RenderableType:
    cells = [_fault_text(fault) for fault in faults]
    half = (len(cells) + 1) // 2
    table = Table(expand=True, box=None, header_style="dim")
    table.add_column("injected faults", ratio=1, no_wrap=True)
    table.add_column("", ratio=1, no_wrap=True)
    for row in range(half):
        table.add_row(cells[row], cells[row + half] if row + half < len(cells) else Text(""))
    return table


def _fault_text(fault: FaultRow) -> Text:
    delay = "" if fault.seconds_to_detect is None else f" {fault.seconds_to_detect:.1f} s"
    return Text(f"{_STATE_MARKS[fault.state]} {_words(fault.kind)}{delay}", style=_STATE_STYLES[fault.state])


def _alerts(alerts: Iterable[AlertLine], num_shown: int) -> RenderableType:
    shown = list(alerts)[-num_shown:]
    lines = [line for alert in reversed(shown) for line in _alert_texts(alert)]
    return Panel(Group(*lines or [Text("none yet", style="dim")]), title="alerts, newest first", border_style="blue")


def _alert_texts(alert: AlertLine) -> tuple[Text, Text]:
    head = Text(f"{alert.starts_at} ", style="dim", no_wrap=True, overflow="ellipsis")
    head.append(f"{alert.service} ", style=_SEVERITY_STYLES.get(alert.severity, "bold"))
    head.append(alert.summary)
    return head, Text(f"         {alert.raw_line}", style="dim", no_wrap=True, overflow="ellipsis")


def show_results(console: Console, story: Story) -> None:
    """The closing table and what stands below it."""
    table = Table(title=headline(story.report), title_style="bold", header_style="dim", row_styles=["", ""])
    for name, justify in zip(
        ("fault", "service", "visible in", "found", "named", "seconds", "alerts"),
        ("left", "left", "left", "left", "left", "right", "right"),
        strict=True,
    ):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]  # rich wants its own literal type
    for row in table_rows(story):
        table.add_row(*(Text(cell, style=_verdict_style(cell)) for cell in row))
    console.print(table)
    console.print(_closing(story), markup=False, highlight=False)


def _verdict_style(cell: str) -> str:
    return {"yes": "green", "no": "red"}.get(cell, "")


def _closing(story: Story) -> str:
    report = story.report
    first = report["seconds_to_first_alert"]
    return "\n".join(
        (
            f"alerts: {report['alerts']}; that match no fault: {report['alerts_unmatched']}"
            f" (outside every period {report['false_alarms_normal']}, load surge {report['false_alarms_benign']});"
            f" alerts a found fault: {alerts_per_fault(report)}",
            f"found by chance, at the ordinary operation's rate of alerts: {report['found_by_chance']:.1f}",
            *(
                f"{name}: {row['found']} found, {row['named']} named, {row['unmatched']} alerts that match no fault"
                for name, row in report["by_detector"].items()
            ),
            features_line(report["features"]),
            forecast_line(report["forecasts"]),
            placement_line(report["placement"]),
            f"lines published {report['lines_published']:,}, parsed {report['lines_parsed']:,},"
            f" dead letters {report['dead_letters']}",
            f"first alert {'never' if first is None else f'{first:.0f} s'} after the command;"
            f" memory of everything at its peak {report['peak_memory_mb']:,.0f} MiB",
        )
    )


def features_line(features: Json) -> str:
    """The features in a line."""
    return (
        f"feature rows {features['rows']:,}, {features['per_second']:.0f} a second,"
        f" {features['parity_mismatches']} of them differ from the batch"
    )


def forecast_line(forecasts: Json) -> str:
    """The forecasts in a line."""
    error = forecasts["mean_absolute_error"]
    if error is None:
        return f"forecasts made {forecasts['made']:,}; none could be compared with what came"
    return (
        f"forecasts made {forecasts['made']:,}; mean absolute error {error:.1%} of a series' mean, by repeating the"
        f" last value {forecasts['mean_absolute_error_persistence']:.1%};"
        f" {forecasts['interval_coverage']:.1%} came within the interval"
    )


def placement_line(placement: Json) -> str:
    """The placements in a line."""
    return (
        f"workloads placed {placement['decisions']:,}, violations {placement['violations']}; while a compute host was"
        f" in trouble {placement['avoided_faulty']} of {placement['asked_during_host_faults']} went elsewhere"
        f" ({placement['avoided_by_chance']:.1f} by chance); p99 {placement['p99_ms'] or 0:.1f} ms"
    )


def counts_texts(scene: Scene) -> tuple[str, str]:
    """What has been counted so far, in two lines."""
    clock = f"recorded time {scene.event_clock}   " if scene.event_clock else ""
    return (
        f"{clock}lines published {scene.published:,}   parsed {scene.parsed:,}   dead letters {scene.dead_letters}"
        f"   alerts {len(scene.alerts)}   memory {scene.memory_mb:,.0f} MiB",
        f"features {scene.features:,} ({scene.features_per_second:,.0f}/s)   forecasts {scene.forecasts:,}"
        f"   workloads placed {scene.placed:,}",
    )


def _figures_text(scene: Scene) -> str:
    services = "; ".join(
        f"{row.name} {_number(row.per_second)} records/s, {_number(row.lag)} behind" for row in scene.services
    )
    return f"{'   '.join(counts_texts(scene))} | {services}"


def _state_text(fault: FaultRow) -> str:
    name = f"{_words(fault.kind)} ({fault.service})"
    if fault.state == "found":
        return f"{name}: found after {fault.seconds_to_detect or 0:.1f} s"
    return f"{name}: begins" if fault.state == "now" else f"{name}: not found"


def _words(kind: str) -> str:
    return kind.replace("_", " ")
