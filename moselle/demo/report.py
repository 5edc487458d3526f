"""demo-report.html: one page without a network, everything that came from a log escaped."""

from collections.abc import Iterable
from html import escape
from pathlib import Path
from statistics import median
from string import Template

from moselle.demo import charts
from moselle.demo.story import FaultStory, Json, PlacementStory, Story
from moselle.demo.watch import clock_text

_PAGE = Path(__file__).with_name("page.html")
_RULE = (
    "Detectors learn during the first part of the ordinary operation; its last part and the gaps between faults count"
    " as a test of false alarms. A fault is found when an alert starts between its start and 30 seconds after its end,"
    " and named when one of these names the service where it was caused (or the host, for a fault of the host). By"
    " chance is what alerts at the ordinary operation's rate would find, since the periods cover much of the time."
    " Every figure is counted from the topics."
)


def page(story: Story) -> str:
    """The whole page."""
    return Template(_PAGE.read_text(encoding="utf-8")).substitute(
        headline=escape(headline(story.report)),
        lead=escape(lead(story)),
        figures="".join(_figure(*figure) for figure in headline_figures(story)),
        overview=charts.overview(story),
        delays=charts.delays(story),
        faults="".join(_fault(fault) for fault in story.faults) or "<p>No fault was injected.</p>",
        detectors=_detectors(story.report["by_detector"]),
        forecast_note=escape(forecast_note(story.report["forecasts"])),
        forecasts=charts.forecasts(story.results.forecast_stories, story),
        placement_note=escape(placement_note(story.report["placement"])),
        placements=charts.placements(story),
        placement_reasons="".join(_why_not(one) for one in story.results.placement_stories if one.why_not),
        unmatched=_unmatched(story.unmatched),
        rule=escape(_RULE),
        setup="".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in story.setup.items()),
    )


def headline(report: Json) -> str:
    """What it comes to, in a sentence."""
    return f"{report['found']} of {report['injected']} injected faults found, {report['named']} of them named rightly"


def lead(story: Story) -> str:
    """What was done, for somebody who sees the page first."""
    report = story.report
    return (
        f"{report['lines_published']:,} log lines and the metrics of a real OpenStack went through Kafka and were"
        " watched by detectors that had learnt its ordinary operation; features went to the database, forecasts were"
        f" made from them, and workloads were placed. {report['injected']} faults had been injected while it was"
        f" recorded; {report['injected_visible_in_logs']} of them show in the logs at all,"
        f" and {report['found_visible_in_logs']} of these were found."
    )


def headline_figures(story: Story) -> list[tuple[str, str, str]]:
    """(name, value, what it is set against) of the figures at the top."""
    report = story.report
    delays = [fault.seconds_to_detect for fault in story.faults if fault.seconds_to_detect is not None]
    first = report["seconds_to_first_alert"]
    return [
        ("faults found", f"{report['found']} / {report['injected']}", f"{report['found_by_chance']:.1f} by chance"),
        ("named rightly", f"{report['named']} / {report['injected']}", "the service, or the host"),
        ("median time to detect", f"{median(delays):.1f} s" if delays else "none", "event time"),
        ("alerts a found fault", alerts_per_fault(report), "each entity alerts for itself"),
        ("alerts without a fault", str(report["alerts_unmatched"]), f"of {report['alerts']} alerts"),
        (
            "false alarms",
            str(report["false_alarms_normal"] + report["false_alarms_benign"]),
            f"{report['false_alarms_normal']} outside every period, {report['false_alarms_benign']} in the load surge",
        ),
        (
            "lines in, lines counted",
            f"{report['lines_parsed']:,}",
            f"of {report['lines_published']:,}; dead letters: {report['dead_letters']}",
        ),
        ("first alert", "none" if first is None else f"{first:.0f} s", "after the command"),
        ("feature rows", f"{report['features']['rows']:,}", _parity_text(report["features"])),
        _forecast_figure(report["forecasts"]),
        _placement_figure(report["placement"]),
        ("memory of everything", f"{report['peak_memory_mb'] / 1024:.2f} GiB", "at its peak"),
    ]


def alerts_per_fault(report: Json) -> str:
    """How many alerts a found fault raised, on average."""
    return f"{(report['alerts'] - report['alerts_unmatched']) / report['found']:.1f}" if report["found"] else "none"


def _parity_text(features: Json) -> str:
    return f"{features['per_second']:.0f} a second; {features['parity_mismatches']} differ from the batch"


def _forecast_figure(forecasts: Json) -> tuple[str, str, str]:
    error, persistence = forecasts["mean_absolute_error"], forecasts["mean_absolute_error_persistence"]
    if error is None:
        return "forecast error", "none", "no forecast could be compared"
    return "forecast error", f"{error:.1%}", f"of the series' mean; {persistence:.1%} by doing nothing"


def _placement_figure(placement: Json) -> tuple[str, str, str]:
    asked = placement["asked_during_host_faults"]
    return (
        "placements away from trouble",
        f"{placement['avoided_faulty']} / {asked}",
        f"{placement['avoided_by_chance']:.0f} by chance; {placement['violations']} violations",
    )


def forecast_note(forecasts: Json) -> str:
    """What the forecasts come to, in words."""
    if forecasts["mean_absolute_error"] is None:
        return f"{forecasts['made']:,} forecasts were made; none of the times they speak of has come."
    speakers = ", ".join(f"{name} {count:,}" for name, count in forecasts["spoken_by"].items())
    level = f" (meant to be {forecasts['interval_level']:.0%})" if forecasts["interval_level"] else ""
    return (
        f"{forecasts['made']:,} forecasts of 1 to 15 minutes; {forecasts['compared']:,} values could be compared with"
        f" what came. Mean absolute error {forecasts['mean_absolute_error']:.1%} of each series' mean,"
        f" {forecasts['mean_absolute_error_persistence']:.1%} by repeating the last value. What came lay within the"
        f" interval in {forecasts['interval_coverage']:.1%}{level}. Spoken by: {speakers}. Injected faults are no"
        " forecast's to foresee; they are in the figures all the same."
    )


def placement_note(placement: Json) -> str:
    """What the placements come to, in words."""
    p99 = "none" if placement["p99_ms"] is None else f"{placement['p99_ms']:.1f} ms"
    return (
        f"{placement['decisions']:,} workloads were placed through gRPC (p99 {p99} at the client, on the busy machine),"
        f" {placement['violations']} against a constraint. While a fault was hitting compute hosts,"
        f" {placement['avoided_faulty']} of {placement['asked_during_host_faults']} went elsewhere"
        f" ({placement['avoided_by_chance']:.1f} by chance); it takes some seconds until a fault is known."
    )


def _detectors(by_detector: Json) -> str:
    rows = "".join(
        f'<tr><td>{escape(name)}</td><td class="number">{row["found"]}</td><td class="number">{row["named"]}</td>'
        f'<td class="number">{row["unmatched"]}</td></tr>'
        for name, row in by_detector.items()
    )
    head = (
        '<tr><th>detector</th><th class="number">faults found</th><th class="number">named</th>'
        '<th class="number">alerts without a fault</th></tr>'
    )
    return f'<div class="scroll"><table>{head}{rows}</table></div>'


def _why_not(one: PlacementStory) -> str:
    moment = clock_text(round(one.epoch * 1e6))
    return f'<p class="why"><span class="time">{moment}</span> {escape(one.why_not)}</p>'


def _figure(name: str, value: str, beside: str) -> str:
    return f"<div><dt>{escape(name)}</dt><dd>{escape(value)}<small>{escape(beside)}</small></dd></div>"


def _fault(fault: FaultStory) -> str:
    verdict = "found" if fault.found else "missed"
    delay = "" if fault.seconds_to_detect is None else f"{fault.seconds_to_detect:.1f} s"
    alerts = "".join(_alert(alert) for alert in fault.alerts) or "<p>No alert started in its time.</p>"
    return (
        f'<details class="fault {verdict}"><summary>'
        f"<b>{escape(fault.kind.replace('_', ' '))}</b>"
        f"<span>{escape(fault.service)}</span>"
        f'<span class="time">{_span(fault)}</span>'
        f"{_claim(fault.found, 'found', 'not found')}{_claim(fault.named, 'named', 'not named')}"
        f'<span class="number">{delay}</span>'
        f'<span class="number">{_plural(len(fault.alerts), "alert")}</span></summary>'
        f'<div class="inside"><p class="why">{escape(fault.note)} {_chips(fault.visible_in)}</p>'
        f"{alerts}</div></details>"
    )


def _alert(alert: Json) -> str:
    return (
        f"<h3>{escape(alert['summary'])}</h3>"
        f'<p class="why">{escape(alert["reason"])}</p>'
        f"<p>{_chips((alert['rule'], alert['severity'], alert['entity_id'], 'score ' + format(alert['score'], '.2f')))}"
        f'<span class="time">decided {clock_text(alert["detected_at"])}</span></p>'
        f"{_evidence(alert['evidence'])}"
    )


def _evidence(evidence: Iterable[Json]) -> str:
    lines = [str(item["raw_line"]) + _value(item["value"]) for item in evidence if item["raw_line"]]
    return f"<pre>{escape(chr(10).join(lines))}</pre>" if lines else ""


def _value(value: float | None) -> str:
    return "" if value is None else f" = {value:g}"


def _unmatched(alerts: Iterable[Json]) -> str:
    rows = "".join(_unmatched_row(alert) for alert in alerts)
    if not rows:
        return '<p class="yes">None.</p>'
    head = "<tr><th>started</th><th>service</th><th>rule</th><th>what it says</th></tr>"
    return f'<div class="scroll"><table>{head}{rows}</table></div>'


def _unmatched_row(alert: Json) -> str:
    return (
        f'<tr><td class="time">{clock_text(alert["starts_at"])}</td><td>{escape(charts.lane_of(alert))}</td>'
        f"<td>{escape(alert['rule'].replace('_', ' '))}</td>"
        f"<td>{escape(alert['summary'])}{_evidence(alert['evidence'])}</td></tr>"
    )


def _claim(is_so: bool, yes: str, no: str) -> str:
    return f'<span class="yes">{yes}</span>' if is_so else f'<span class="no">{no}</span>'


def _chips(words: Iterable[str]) -> str:
    return "".join(f'<span class="chip">{escape(word)}</span>' for word in words)


def _span(fault: FaultStory) -> str:
    return f"{clock_text(int(fault.start * 1e6))}–{clock_text(int(fault.end * 1e6))}"


def _plural(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
