"""The report's pictures: matplotlib draws them, the page's own style sheet colours them, light or dark."""

import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import matplotlib
from matplotlib.dates import AutoDateLocator, DateFormatter, date2num
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from moselle.demo.story import FaultStory, ForecastStory, Json, Story

#: Stand-ins that the page replaces by the colours of its style sheet: one for each meaning.
INKS = {
    "#010101": "var(--ink)",
    "#020202": "var(--soft)",
    "#030303": "var(--line)",
    "#040404": "var(--card)",
    "#050505": "var(--found)",
    "#060606": "var(--missed)",
    "#070707": "var(--harmless)",
    "#080808": "var(--rate)",
    "#090909": "var(--error)",
    "#0a0a0a": "var(--rule-1)",
    "#0b0b0b": "var(--rule-2)",
    "#0c0c0c": "var(--rule-3)",
    "#0d0d0d": "var(--rule-4)",
    "#0e0e0e": "var(--rule-5)",
}
INK, SOFT, LINE, CARD, FOUND, MISSED, HARMLESS, RATE, ERROR = list(INKS)[:9]
_RULE_INKS = list(INKS)[9:]
_RULE_MARKS = "o^sDvPXh<>"
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'Liberation Sans', sans-serif"
_STYLE = {
    "svg.fonttype": "none",
    # A dollar sign in a name is no formula.
    "text.parse_math": False,
    "font.size": 11,
    "axes.facecolor": "none",
    "axes.edgecolor": LINE,
    "axes.labelcolor": SOFT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "hatch.linewidth": 0.8,
}
WIDTH = 11.6
_NAME_LETTERS = 26


def overview(story: Story) -> str:
    """Faults as bands over alerts and log events, on one time axis.

    A lane for each service, a mark for each rule; hollow marks match no fault. Below, events and ERROR events.
    """
    lanes = lane_names(story)
    heights = (0.3 * max(len(lanes), 3), 1.15, 0.85)
    return draw("overview", 2.5 + sum(heights), lambda figure: _overview(figure, story, lanes, heights))


def delays(story: Story) -> str:
    """Seconds from each fault's start to the decision of its first alert."""
    return draw("delays", 0.9 + 0.3 * max(len(story.faults), 1), lambda figure: _delays(figure, story.faults))


def forecasts(stories: Sequence[ForecastStory], story: Story) -> str:
    """Each series as it went, and what was forecast for each moment some minutes before, with its interval."""
    if not stories:
        return ""
    return draw("forecasts", 0.5 + 1.75 * len(stories), lambda figure: _forecasts(figure, stories, story))


def placements(story: Story) -> str:
    """Where workloads went, while faults were hitting compute hosts and otherwise."""
    nodes = sorted({one.node for one in story.results.placement_stories})
    if not nodes:
        return ""
    return draw("placements", 1.3 + 0.42 * len(nodes), lambda figure: _placements(figure, story, nodes))


def lane_names(story: Story) -> list[str]:
    """The services that raised alerts, busiest first."""
    names = [lane_of(alert) for alert in story.alerts]
    return sorted(set(names), key=lambda name: (-names.count(name), name))


def lane_of(alert: Json) -> str:
    """The service that the alert names, else the entity that it belongs to."""
    return str(alert["service"] or alert["entity_id"])


def short(name: str) -> str:
    """A name in words, fit for a picture."""
    words = name.replace("_", " ")
    return words if len(words) <= _NAME_LETTERS else words[: _NAME_LETTERS - 1] + "…"


def draw(name: str, height: float, fill: Callable[[Any], None]) -> str:
    """A picture as an <svg> element, in the colours of the page that it stands in.

    Args:
        name: tells it from other pictures of the page.
        height: in units of which it is WIDTH wide.
        fill: draws into a figure.
    """
    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        figure.patch.set_alpha(0)
        fill(figure)
        output = io.StringIO()
        figure.savefig(output, format="svg", metadata={"Date": None, "Creator": None})
    return _inline(output.getvalue(), name)


def _inline(svg: str, name: str) -> str:
    """The bare <svg> element, as wide as its place, in the page's colours and font."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    for stand_in, ink in INKS.items():
        svg = svg.replace(stand_in, ink)
    svg = re.sub(r"(font: [\d.]+px )[^;\"]*", lambda match: match[1] + _FONT, svg)
    # Two pictures on one page must not share ids.
    svg = re.sub(r'(id="|href="#|url\(#)', lambda match: f"{match[1]}{name}-", svg)
    return re.sub(r'width="[\d.]+pt" height="[\d.]+pt"', f'role="img" aria-label="{name}"', svg, count=1)


def _overview(figure: Any, story: Story, lanes: list[str], heights: tuple[float, ...]) -> None:
    alerts, events, errors = figure.subplots(3, 1, sharex=True, height_ratios=heights)
    for axes in (alerts, events, errors):
        _bands(axes, story)
    _lanes(alerts, story, lanes)
    _counts(events, story, story.rates, RATE, "events in ten seconds")
    _counts(errors, story, story.error_rates, ERROR, "ERROR events in ten seconds")
    _time_axis(errors, story)
    if story.alerts:
        columns = len({alert["rule"] for alert in story.alerts})
        figure.legend(loc="outside lower center", ncols=min(columns, 5), handletextpad=0.2)


def _lanes(axes: Any, story: Story, lanes: list[str]) -> None:
    axes.set_ylim(len(lanes) - 0.4, -0.6)
    axes.set_yticks(range(len(lanes)), [short(lane) for lane in lanes], color=INK)
    axes.hlines(range(len(lanes)), 0, 1, transform=axes.get_yaxis_transform(), colors=LINE, linewidth=0.6, zorder=1)
    axes.spines["left"].set_visible(False)
    _name_learning(axes, story)
    unmatched = {alert["alert_id"] for alert in story.unmatched}
    for index, rule in enumerate(sorted({str(alert["rule"]) for alert in story.alerts})):
        chosen = [alert for alert in story.alerts if alert["rule"] == rule]
        _marks(axes, chosen, lanes, index, unmatched)
    for fault in story.faults:
        _name_above(axes, fault)


def _marks(axes: Any, alerts: Sequence[Json], lanes: list[str], index: int, unmatched: set[str]) -> None:
    ink, mark = _RULE_INKS[index % len(_RULE_INKS)], _RULE_MARKS[index % len(_RULE_MARKS)]
    for is_hollow in (False, True):
        chosen = [alert for alert in alerts if (alert["alert_id"] in unmatched) is is_hollow]
        axes.scatter(
            _dates(alert["starts_at"] / 1e6 for alert in chosen),
            [lanes.index(lane_of(alert)) for alert in chosen],
            marker=mark, s=66, zorder=4, linewidths=1.4,
            facecolors=CARD if is_hollow else ink, edgecolors=ink if is_hollow else CARD,
        )  # fmt: skip
    # The legend shows the mark in full, also where all of a rule's alerts are hollow.
    label = short(str(alerts[0]["rule"]))
    axes.scatter([], [], marker=mark, s=66, facecolors=ink, edgecolors=CARD, label=label)


def _name_above(axes: Any, fault: FaultStory) -> None:
    middle = _dates([(fault.start + fault.end) / 2])[0]
    axes.text(
        middle, 1.02, short(fault.kind), transform=axes.get_xaxis_transform(),
        rotation=42, rotation_mode="anchor", ha="left", va="bottom", fontsize=9.5,
        color=INK if fault.found else MISSED,
    )  # fmt: skip


def _bands(axes: Any, story: Story) -> None:
    axes.axvspan(*_dates([story.normal.start, story.fit_until]), facecolor=LINE, alpha=0.35, linewidth=0)
    for fault in story.faults:
        ink = FOUND if fault.found else MISSED
        hatch = None if fault.found else "////"
        span = _dates([fault.start, fault.end])
        axes.axvspan(*span, facecolor=ink, alpha=0.22, linewidth=0)
        if hatch:
            axes.axvspan(*span, facecolor="none", edgecolor=ink, hatch=hatch, linewidth=0, alpha=0.7)
    for period in story.harmless:
        axes.axvspan(*_dates([period.start, period.end]), facecolor=HARMLESS, alpha=0.25, linewidth=0)


def _name_learning(axes: Any, story: Story) -> None:
    axes.annotate(
        "learning", (_dates([story.normal.start])[0], 1), (6, -6), xycoords=axes.get_xaxis_transform(),
        textcoords="offset points", va="top", fontsize=9.5, color=SOFT,
    )  # fmt: skip


def _counts(axes: Any, story: Story, counts: Mapping[int, int], ink: str, title: str) -> None:
    buckets = sorted(story.rates)
    values = [counts.get(bucket, 0) for bucket in buckets]
    axes.fill_between(_dates(buckets), values, step="post", color=ink, alpha=0.3, linewidth=0)
    axes.step(_dates(buckets), values, where="post", color=ink, linewidth=1.2)
    axes.set_title(title, loc="left", fontsize=10.5, color=SOFT)
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.grid(axis="y", color=LINE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines["left"].set_visible(False)


def _delays(figure: Any, faults: Sequence[FaultStory]) -> None:
    axes = figure.subplots()
    longest = max([fault.seconds_to_detect or 0 for fault in faults], default=0) or 1
    for row, fault in enumerate(faults):
        if fault.seconds_to_detect is None:
            axes.text(longest * 0.01, row, "not found", va="center", color=MISSED)
        else:
            axes.barh(row, fault.seconds_to_detect, height=0.42, color=RATE)
            place = max(fault.seconds_to_detect, 0) + longest * 0.01
            axes.text(place, row, f"{fault.seconds_to_detect:.1f} s", va="center", color=INK)
    names = [short(fault.kind) for fault in faults]
    axes.set_yticks(range(len(faults)), names, color=INK)
    axes.set_ylim(len(faults) - 0.4, -0.6)
    axes.set_xlim(0, longest * 1.12)
    axes.set_xlabel("seconds from the fault's start to the decision, event time")
    axes.grid(axis="x", color=LINE, linewidth=0.6)
    axes.set_axisbelow(True)


def _forecasts(figure: Any, stories: Sequence[ForecastStory], story: Story) -> None:
    rows = figure.subplots(len(stories), 1, sharex=True, squeeze=False)[:, 0]
    for axes, one in zip(rows, stories, strict=True):
        _bands(axes, story)
        times, values, lows, highs = zip(*one.points, strict=True)
        axes.fill_between(_dates(times), lows, highs, color=RATE, alpha=0.18, linewidth=0, label="interval")
        axes.plot(_dates(times), values, color=RATE, linewidth=1.4, label="forecast")
        axes.plot(_dates(t for t, _ in one.actual), [v for _, v in one.actual], color=INK, linewidth=1.0, label="came")
        title = f"{short(one.target)} of {one.entity_id}, forecast {one.horizon_seconds // 60} minutes before"
        axes.set_title(title, loc="left", fontsize=10.5, color=SOFT)
        axes.yaxis.set_major_locator(MaxNLocator(4))
        axes.grid(axis="y", color=LINE, linewidth=0.6)
        axes.set_axisbelow(True)
        top = max([v for _, v in one.actual] + list(values), default=1.0)
        axes.set_ylim(min(0.0, *values), top * 1.25 if top > 0 else 1.0)
    _time_axis(rows[-1], story)
    figure.legend(*rows[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)


def _placements(figure: Any, story: Story, nodes: list[str]) -> None:
    axes = figure.subplots()
    _bands(axes, story)
    made = story.results.placement_stories
    groups = (
        ("no host in trouble", SOFT, "o", [one for one in made if not one.trouble]),
        ("in trouble, another host chosen", FOUND, "D", [one for one in made if one.avoided]),
        ("in trouble, and chosen", MISSED, "X", [one for one in made if one.trouble and not one.avoided]),
    )
    for label, ink, mark, chosen in groups:
        rows = [nodes.index(one.node) for one in chosen]
        axes.scatter(_dates(one.epoch for one in chosen), rows, marker=mark, s=34, color=ink, label=label, zorder=4)
    axes.set_yticks(range(len(nodes)), nodes, color=INK)
    axes.set_ylim(len(nodes) - 0.4, -0.6)
    _time_axis(axes, story)
    figure.legend(loc="outside lower center", ncols=3, handletextpad=0.2)


def _time_axis(axes: Any, story: Story) -> None:
    ends = [story.normal.end, *(fault.end for fault in story.faults), *(period.end for period in story.harmless)]
    axes.set_xlim(*_dates([story.normal.start, max(ends) + 30]))
    axes.xaxis.set_major_locator(AutoDateLocator(minticks=6, maxticks=14))
    axes.xaxis.set_major_formatter(DateFormatter("%H:%M"))


def _dates(epochs: Iterable[float]) -> list[float]:
    return [float(date2num(datetime.fromtimestamp(epoch, UTC))) for epoch in epochs]
