"""Judges a made-up entity once, so that no record waits for code to be compiled or loaded."""

from array import array

from services.anomaly.core.events import Samples
from services.anomaly.model.partition import PartitionModel
from services.anomaly.model.team import Team
from services.anomaly.settings import VOTERS, AnomalySettings
from services.common.state import PartitionState
from services.common.watermarks import Tolerances, Watermarks

MINUTE = 60_000_000
#: Scrapes after which all has been asked once: half-space trees are drawn from the first 24.
SCRAPES = 40
SERIES = (
    'namedprocess_namegroup_num_procs{groupname="rehearsal",host="rehearsal"}',
    'namedprocess_namegroup_cpu_seconds_total{groupname="rehearsal",host="rehearsal",mode="user"}',
    'namedprocess_namegroup_open_filedesc{groupname="rehearsal",host="rehearsal"}',
    'openstack_api_latency_seconds_mean{host="rehearsal",service="rehearsal"}',
)


def rehearse(settings: AnomalySettings) -> None:
    """Some ten seconds of processor time where nothing was compiled before, below one where it was kept.

    Detectors that are an object an entity, and compile nothing, are left out.
    """
    advisers = tuple(name for name in settings.advisers if name == "half_space_trees" or name in VOTERS)
    settings = settings.model_copy(update={"advisers": advisers})
    team, marks = Team(settings), Watermarks(Tolerances(60.0, 30.0, 600.0, 20.0))
    model = PartitionModel(settings, marks, team, PartitionState())
    for number in range(SCRAPES):
        model.process(_scrape(number), number)
        team.rounds.flush()
    model.save()


def _scrape(number: int) -> Samples:
    time, values = number * MINUTE, array("d", [3.0, 6.0 * number, 60.0 + number % 7, 0.1 + number % 5])
    return Samples(
        time, "", "service:rehearsal@rehearsal", (), SERIES, values, "rehearsal", "rehearsal", 0, (number,), 0, time
    )
