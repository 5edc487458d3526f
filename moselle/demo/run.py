"""`moselle demo`: a recorded OpenStack through the whole system, watched live, with a report at the end."""

import json
import os
import platform
import secrets
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from types import FrameType

import psutil
from rich.console import Console

from moselle.demo import figures, report
from moselle.demo.capture import Capture, read_capture
from moselle.demo.follow import Follower
from moselle.demo.live import View, open_view, show_results
from moselle.demo.placing import Asker, has_compute_hosts
from moselle.demo.processes import DemoFailed, MemoryWatch, Moselle
from moselle.demo.results import collect
from moselle.demo.scene import Scene, one_line
from moselle.demo.slice import HERE
from moselle.demo.story import Json, Story
from services.common.broker.kafka import KafkaBroker
from services.common.errors import MoselleError

STARTED_VARIABLE = "MOSELLE_DEMO_STARTED_AT"
#: Without --speed, the stream takes about so long.
STREAM_SECONDS = 72.0
#: As placement has it by default, in the recording's time.
HALF_LIFE_SECONDS = 300.0
INTERRUPTED = 130
#: Where the system's logs go when the demonstration fails.
LOGS = "demo-logs"
_PLAIN_COLUMNS = 120
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main(
    keep: bool = False,
    speed: float | None = None,
    data: Path | None = None,
    output_dir: Path = Path(),
    plain: bool = False,
) -> int:
    """Runs the demonstration; returns the exit code.

    Args:
        keep: leave the system running at the end.
        speed: how many times as fast as it was recorded; None for about a minute.
        data: a capture of another day; None for the one that ships.
        output_dir: where demo-report.html and demo-report.json go.
        plain: plain lines also on a terminal.
    """
    with _signals_interrupt():
        try:
            _run(keep, speed, data or HERE, output_dir, _console(), plain)
        except KeyboardInterrupt:
            sys.stderr.write("stopped; nothing is left running\n")
            return INTERRUPTED
        except (MoselleError, OSError) as error:
            sys.stderr.write(f"{one_line(str(error))}\n")
            return 1
    return 0


def _run(keep: bool, speed: float | None, data: Path, output_dir: Path, console: Console, plain: bool) -> None:
    started_epoch = command_epoch(os.environ, time.time())
    capture = read_capture(data)
    pace = speed or max(1.0, (capture.end - capture.start) / STREAM_SECONDS)
    _check_output(output_dir)
    learn = str(capture.fit_seconds)
    settings = {
        "MOSELLE_LOGBERT_WARMUP_SECONDS": learn,
        "MOSELLE_ANOMALY_WARMUP_SECONDS": learn,
        # Placement forgets alerts by the wall clock, and here that goes slower than the recording's.
        "MOSELLE_PLACEMENT_ALERT_HALF_LIFE_SECONDS": f"{HALF_LIFE_SECONDS / pace:.1f}",
    }
    with _temporary_system(settings, keep) as system, _logs_saved(system.state, output_dir):
        view = open_view(console, plain)
        try:
            story = _play(system, capture, pace, view, started_epoch)
        finally:
            view.close()
        written = write_report(story, output_dir)
        show_results(console, story)
        for path in written:
            console.print(f"written: {path}", markup=False, highlight=False)
        if keep:
            _tell_addresses(console, system)


def _console() -> Console:
    console = Console()
    # Into a file or a pipe rich would fold the closing table at 80 columns.
    return console if console.is_terminal else Console(width=_PLAIN_COLUMNS)


def _play(system: Moselle, capture: Capture, pace: float, view: View, started_epoch: float) -> Story:
    def elapsed() -> float:
        return time.time() - started_epoch

    def tell(text: str) -> None:
        view.show(Scene(phase=f"starting the system: {one_line(text)}", elapsed_seconds=elapsed()))

    with MemoryWatch(system.state) as memory:
        tell("Kafka, PostgreSQL and the services")
        system.up(tell)
        status = system.status()
        if has_compute_hosts(capture.folder):
            system.publish_inventory(capture.folder)
        broker = KafkaBroker(status["kafka"]["bootstrap"])
        follower = Follower(broker, capture, status["services"], view, memory, elapsed)
        placement = next(service["grpc"] for service in status["services"] if service["name"] == "placement")
        replay = system.replay(capture.parts, pace)
        # Nothing is asked after the recording's end: decisions are records too, and the end is when none come.
        asker = Asker(placement, capture.labels, lambda: 0.0 if replay.is_over() else follower.watch.seen.event_epoch)
        try:
            follower.follow(replay)
            asker.close()
            results = collect(broker, status["postgres"]["dsn"], follower.watch.seen, asker.asks)
            measured = figures.Measured(follower.watch.lines_published(), started_epoch, memory.peak_mb)
            times = figures.Times(capture.start, capture.start + capture.fit_seconds, capture.normal_end, capture.end)
            setup = _setup(capture, pace, status)
            return figures.tell(capture.labels, follower.watch.seen, times, measured, results, setup)
        finally:
            asker.close()
            follower.close()
            broker.close()


def write_report(story: Story, folder: Path) -> list[Path]:
    """Writes demo-report.json and demo-report.html; returns their paths."""
    page, values = folder / "demo-report.html", folder / "demo-report.json"
    values.write_text(json.dumps(story.report, indent=2) + "\n", encoding="utf-8")
    page.write_text(report.page(story), encoding="utf-8")
    return [page, values]


def command_epoch(environment: Mapping[str, str], now: float) -> float:
    """When the command was given: by `make demo`, which installs first, or our own start. Seconds since 1970."""
    try:
        return min(now, float(environment[STARTED_VARIABLE]))
    except (KeyError, ValueError):
        return min(now, psutil.Process().create_time())


def _setup(capture: Capture, pace: float, status: Json) -> dict[str, str]:
    names = ", ".join(str(service["name"]) for service in status["services"])
    recorded = datetime.fromtimestamp(capture.start, UTC)
    minutes = (capture.end - capture.start) / 60
    return {
        "machine": f"{psutil.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB, {_system_name()}",
        "recording": f"{'the one that ships' if capture.folder == HERE else capture.folder.name}, from "
        f"{recorded:%Y-%m-%d %H:%M:%S} UTC, {minutes:.1f} minutes",
        "speed": f"{pace:.0f} times as fast as it was recorded",
        "learning": f"the first {capture.fit_seconds / 60:.1f} minutes of ordinary operation",
        "services": names,
        "versions": f"Moselle {version('moselle')}, Python {platform.python_version()}, confluent-kafka"
        f" {version('confluent-kafka')}, fastavro {version('fastavro')}",
        "run": f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC",
    }


def _system_name() -> str:
    return f"{platform.system()} {platform.machine()}"


def _check_output(folder: Path) -> None:
    if not os.access(folder, os.W_OK):
        raise DemoFailed(f"the report cannot be written to {folder.absolute()}: run it in a folder of your own")


@contextmanager
def _temporary_system(settings: Mapping[str, str], keep: bool) -> Iterator[Moselle]:
    """A system in a folder that only we may enter; both are gone afterwards, unless all went well and `keep`."""
    state = Path(tempfile.gettempdir()) / f"moselle-demo-{secrets.token_hex(4)}"
    system = Moselle(state, settings)
    is_kept = False
    try:
        state.mkdir(mode=0o700)
        yield system
        is_kept = keep
    finally:
        if not is_kept:
            with _signals_wait():
                system.stop()
                shutil.rmtree(state, ignore_errors=True)


@contextmanager
def _logs_saved(state: Path, folder: Path) -> Iterator[None]:
    """When the demonstration fails, the logs of the system outlive its folder, and the error says where they are."""
    try:
        yield
    except MoselleError as error:
        saved = folder / LOGS
        shutil.rmtree(saved, ignore_errors=True)
        if not (state / "logs").is_dir():
            raise
        shutil.copytree(state / "logs", saved)
        raise DemoFailed(f"{error}; the logs are in {saved}") from error


def _tell_addresses(console: Console, system: Moselle) -> None:
    status = system.status()
    services = "\n".join(f"  {service['name']:<16} http://{service['http']}/metrics" for service in status["services"])
    console.print(
        f"\nEverything still runs:\n  Kafka        {status['kafka']['bootstrap']}\n"
        f"  PostgreSQL   {status['postgres']['dsn']}\n{services}\n\nNext:\n"
        f"  moselle tail alerts.v1 --state {system.state} --json --from-beginning --until-idle 2\n"
        f"  moselle status --state {system.state}\n"
        f"  moselle down --state {system.state}",
        markup=False, highlight=False, soft_wrap=True,
    )  # fmt: skip


@contextmanager
def _signals_interrupt() -> Iterator[None]:
    """SIGINT, SIGTERM and SIGHUP all end the demonstration in order, also where a shell started us with SIGINT off."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in _SIGNALS}
    for number in _SIGNALS:
        # nohup means it.
        if number != signal.SIGHUP or before[number] is not signal.SIG_IGN:
            signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _signals_wait() -> Iterator[None]:
    """While cleaning up, another Ctrl-C changes nothing."""

    def ignore(number: int, frame: FrameType | None) -> None:
        """Not SIG_IGN, which the commands started meanwhile would inherit."""

    before = {number: signal.signal(number, ignore) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
