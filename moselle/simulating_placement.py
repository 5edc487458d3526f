"""`moselle simulate placement`: where pods would run by which policy, and how long they would take."""

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from moselle.progress import progress_bar
from services.common.errors import MoselleError, SettingsInvalid
from services.placement.train.lists import Sources, read_lists
from services.placement.train.physics import MOST_SEEDS, SCENARIOS, Detector, Size
from services.placement.train.simulate import POLICIES, Plan, makers, simulate, summary

HOURS = 3600.0
#: How often a line is written where no bar can be shown, seconds.
LINE_SECONDS = 30.0
COLUMNS = {
    "mean_completion": "mean completion s", "times_faster": "times random's speed",
    "share_of_way": "way to the oracle %", "p95_slowdown": "p95 slowdown", "utilisation": "utilisation",
    "violations": "violations", "placed_share": "placed",
}  # fmt: skip


@click.command(help="Run placement policies in a simulated cluster: who finishes sooner, and how far the oracle is.")
@click.option("--data", "folder", type=click.Path(path_type=Path), required=True,
              help="A folder with *node_list*.csv and *pod_list*.csv laid out like openb.")  # fmt: skip
@click.option("--scenario", "letter", required=True, help="A, B, E, F or I; docs/benchmarks/placement-simulator.md.")
@click.option("--seeds", "num_seeds", type=click.IntRange(1, MOST_SEEDS), default=5, show_default=True,
              help="How many worlds.")  # fmt: skip
@click.option("--only", multiple=True, help="Only this policy, beside random and oracle; may be given again.")
@click.option("--nodes", "num_nodes", type=click.IntRange(1, 20_000),
              help="How many nodes. [default: as many as the list has, at most 50]")  # fmt: skip
@click.option("--hours", type=click.FloatRange(0.1, 100), default=3.0, show_default=True,
              help="How long pods arrive that are judged; 1.5 hours before and 1 after are not.")  # fmt: skip
@click.option("--pods", "pod_list", help="The pod list's file name. [default: the one with default in its name]")
@click.option("--miss-share", type=click.FloatRange(0, 1), default=Detector().miss_share, show_default="3/14",
              help="Share of faults that no alert tells.")  # fmt: skip
@click.option("--tuning", is_flag=True, help="The seeds and trace days that are for tuning, never for reporting.")
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path),
              help="The page. [default: placement-simulation-SCENARIO.html here; none with --json]")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Only the last line, one JSON object.")
def simulate_placement(
    folder: Path, letter: str, num_seeds: int, only: tuple[str, ...], num_nodes: int | None, hours: float,
    pod_list: str | None, miss_share: float, tuning: bool, html: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Settings of placement come from the environment. Exit codes: 0 done, 1 failed, 2 wrong usage."""
    try:
        chosen = _chosen(only)
        if letter not in SCENARIOS:
            raise SettingsInvalid(f"scenario {letter!r} is not known: wanted one of {', '.join(SCENARIOS)}")
        lists, sources = read_lists(folder, "tune" if tuning else "report", pod_list)
        size = Size(num_nodes or min(Size().num_nodes, sources.num_nodes), window_seconds=hours * HOURS)
        detector = Detector(miss_share=miss_share)
        plan = Plan(SCENARIOS[letter], size, detector, "tune" if tuning else "report", num_seeds)
        began = time.process_time()
        rows = _run(plan, lists, chosen, as_json)
        figures = _figures(plan, sources, rows, time.process_time() - began)
        if html is not None or not as_json:
            _write(html or Path(f"placement-simulation-{letter}.html"), figures, as_json)
    except MoselleError as error:
        raise click.ClickException(str(error)) from None
    except OSError as error:
        raise click.ClickException(f"{error.filename} cannot be used: {error.strerror}") from None
    if not as_json:
        click.echo(as_table(figures), err=True)
    click.echo(json.dumps(figures))


def _chosen(only: tuple[str, ...]) -> set[str]:
    for name in only:
        if name not in POLICIES:
            raise SettingsInvalid(f"policy {name!r} is not known: wanted some of {', '.join(POLICIES)}")
    return {*only, "random", "oracle"} if only else set(POLICIES)


def _run(plan: Plan, lists: Any, chosen: set[str], is_quiet: bool) -> Any:
    from moselle.simulated_forecasts import PredictorForecasts

    policies = {name: make for name, make in makers(PredictorForecasts).items() if name in chosen}
    with _telling(len(policies), plan.num_seeds, is_quiet) as told:
        return simulate(plan, lists, policies, told)


@contextmanager
def _telling(num_policies: int, num_seeds: int, is_quiet: bool) -> Iterator[Callable[[str, int, float], None]]:
    """A bar on a terminal; elsewhere a line now and then."""
    num_runs = num_policies * num_seeds
    num_begun = 0
    last = time.monotonic()

    with progress_bar("simulating", float(num_runs)) as update:

        def told(policy: str, world: int, share: float) -> None:
            nonlocal num_begun, last
            num_begun += share == 0.0
            done = max(0, num_begun - 1) + share
            update(lambda: done, f"{policy}, world {world + 1} of {num_seeds}")
            if not is_quiet and not sys.stderr.isatty() and time.monotonic() - last > LINE_SECONDS:
                last = time.monotonic()
                click.echo(f"{num_begun} of {num_runs} runs: {policy}, world {world + 1} of {num_seeds}", err=True)

        yield told


def _figures(plan: Plan, sources: Sources, rows: Any, seconds: float) -> dict[str, Any]:
    return {
        "scenario": plan.scenario.name,
        "policies": summary(rows),
        "seeds": plan.num_seeds,
        "purpose": plan.purpose,
        "settings": {
            "nodes": plan.size.num_nodes, "window_hours": plan.size.window_seconds / HOURS,
            "utilisation": plan.scenario.utilisation, "words": plan.scenario.words, **plan.detector._asdict(),
        },
        "sources": sources._asdict(),
        "worlds": {name: [row["mean_completion"] for row in of] for name, of in rows.items()},
        "cpu_seconds": round(seconds, 1),
    }  # fmt: skip


def _write(path: Path, figures: Mapping[str, Any], is_quiet: bool) -> None:
    from moselle.simulation_report import page

    path.write_text(page(figures), encoding="utf-8")
    if not is_quiet:
        click.echo(f"{path} written", err=True)


def as_table(figures: Mapping[str, Any]) -> str:
    """A line a policy, best last; intervals of 95 % over the worlds."""
    policies = figures["policies"]
    names = [name for name in COLUMNS if any(name in row for row in policies.values())]
    lines = [["policy", *(COLUMNS[name] for name in names)]]
    for policy in sorted(policies, key=lambda name: -policies[name]["mean_completion"]):
        lines.append([policy, *(shown(policies[policy], name) for name in names)])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    told = ["  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]
    return "\n".join([*told, conditions(figures)])


def shown(row: Mapping[str, Any], name: str) -> str:
    """A figure with its interval, where it has one."""
    value, width = row.get(name), row.get(f"{name}_interval")
    if value is None:
        return "-"
    if name == "share_of_way":
        return f"{100 * value:.0f}" + (f" ± {100 * width:.0f}" if width is not None else "")
    if name == "violations":
        return str(value)
    digits = 0 if name == "mean_completion" else 3
    return f"{value:.{digits}f}" + (f" ± {width:.{digits}f}" if width is not None else "")


def conditions(figures: Mapping[str, Any]) -> str:
    """What was simulated, in a sentence or two."""
    settings, sources = figures["settings"], figures["sources"]
    left = ", ".join(f"{number} {why}" for why, number in sources["left_out"].items() if number) or "none"
    pods = figures["policies"]["random"]["pods"]
    return (
        f"Scenario {figures['scenario']}: {settings['words']}; {settings['nodes']} nodes, {figures['seeds']} worlds of"
        f" {pods:.0f} judged pods, those of {figures['purpose']}; usage: {sources['usage']}; noise: {sources['noise']};"
        f" pods left out: {left}."
    )
