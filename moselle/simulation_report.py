"""The page of a simulation: who finished sooner, and how far that is from the oracle."""

from collections.abc import Mapping
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from moselle.demo.charts import FOUND, HARMLESS, INK, LINE, RATE, draw
from moselle.simulating_placement import COLUMNS, conditions, shown

_PAGE = Path(__file__).with_name("simulation_page.html")
#: Bars that are so many times random's are cut off.
MOST_TIMES = 2.0
LEAST_WAY = -100.0


def page(figures: Mapping[str, Any]) -> str:
    """The whole page."""
    policies = figures["policies"]
    names = [name for name in COLUMNS if any(name in row for row in policies.values())]
    order = sorted(policies, key=lambda name: -policies[name]["mean_completion"])
    return Template(_PAGE.read_text(encoding="utf-8")).substitute(
        headline=escape(headline(figures)),
        conditions=escape(conditions(figures)),
        cut=escape(_cut(policies)),
        completion=draw("completion", 1.0 + 0.36 * len(order), lambda figure: _completion(figure, figures, order)),
        way=draw("way", 1.0 + 0.36 * len(order), lambda figure: _way(figure, policies, order)),
        columns="".join(f"<th>{escape(text)}</th>" for text in ("policy", *(COLUMNS[name] for name in names))),
        rows="".join(_row(policy, policies[policy], names) for policy in order),
    )


def headline(figures: Mapping[str, Any]) -> str:
    """What it comes to, in a sentence."""
    scenario, row = figures["scenario"], figures["policies"].get("moselle")
    if row is None:
        return f"Scenario {scenario}, simulated"
    way = row["share_of_way"]
    told = f", {100 * way:.0f} % of the way to the oracle" if way is not None else ""
    return f"Scenario {scenario}: with moselle pods end {row['times_faster']:.3f} times as fast as at random{told}"


def _row(policy: str, row: Mapping[str, Any], names: list[str]) -> str:
    cells = "".join(f"<td>{escape(shown(row, name))}</td>" for name in names)
    return f'<tr class="{"ours" if policy == "moselle" else ""}"><td>{escape(policy)}</td>{cells}</tr>'


def _limit(policies: Mapping[str, Any]) -> float:
    return float(MOST_TIMES * policies["random"]["mean_completion"])


def _cut(policies: Mapping[str, Any]) -> str:
    cut = [name for name, row in policies.items() if row["mean_completion"] > _limit(policies)]
    return f"Cut off at twice random's: {', '.join(cut)}." if cut else ""


def _ink(policy: str) -> str:
    return FOUND if policy == "oracle" else RATE if policy.startswith("moselle") else HARMLESS


def _completion(figure: Any, figures: Mapping[str, Any], order: list[str]) -> None:
    axes = figure.subplots()
    policies, limit = figures["policies"], _limit(figures["policies"])
    for place, policy in enumerate(order):
        mean = policies[policy]["mean_completion"]
        axes.barh(place, min(mean, limit), color=_ink(policy), height=0.62, alpha=0.8)
        if mean <= limit:
            axes.scatter(figures["worlds"][policy], [place] * figures["seeds"], s=9, color=INK, alpha=0.6, zorder=3)
        axes.text(0, place, f"  {mean:,.0f} s", va="center", ha="left", fontsize=9.5, color=INK)
    axes.set_xlim(0, limit if any(policies[one]["mean_completion"] > limit for one in order) else None)
    _named(axes, order, "seconds")


def _way(figure: Any, policies: Mapping[str, Any], order: list[str]) -> None:
    axes = figure.subplots()
    for place, policy in enumerate(order):
        share, width = policies[policy].get("share_of_way"), policies[policy].get("share_of_way_interval")
        if share is None:
            continue
        axes.barh(place, max(100 * share, LEAST_WAY), color=_ink(policy), height=0.62, alpha=0.8)
        if 100 * share > LEAST_WAY:
            axes.errorbar(100 * share, place, xerr=100 * (width or 0.0), color=INK, linewidth=1.2, capsize=3)
    axes.axvline(100, color=LINE, linewidth=1.2)
    axes.set_xlim(LEAST_WAY, 130)
    _named(axes, order, "% of the way")


def _named(axes: Any, order: list[str], unit: str) -> None:
    axes.set_yticks(range(len(order)), order)
    axes.set_xlabel(unit)
    axes.grid(axis="x", color=LINE, linewidth=0.6)
    axes.set_axisbelow(True)
