"""Small worlds for tests of the simulator, and a policy that chooses at random."""

from pathlib import Path

import numpy as np

from services.placement.train.physics import (
    SCENARIOS,
    Alert,
    Ask,
    Detector,
    Floats,
    Lists,
    Outcome,
    Seen,
    Size,
    Truth,
    World,
    draw,
)

SMALL = Size(num_nodes=6, warm_seconds=600.0, window_seconds=1800.0, cool_seconds=600.0)
NODES = "sn,cpu_milli,memory_mib,gpu,model\nn1,16000,65536,0,\nn2,16000,65536,0,\nn3,64000,262144,0,\n"
PODS = (
    "name,cpu_milli,memory_mib,num_gpu,creation_time,deletion_time,scheduled_time\n"
    "p1,2000,4096,0,100,500,110\np2,4000,8192,0,100,1000,100\np3,1000,2048,1,50,150,\n"
)


def make_lists() -> Lists:
    """Nodes of 16 cores, three kinds of pods, two traces, two classes of noise."""
    shapes = np.array([[0.5, 1.5] * 144, [1.0, 0.2, 1.8, 1.0] * 72])
    return Lists(
        16_000.0, 65_536.0, np.array([2000.0, 4000.0, 1000.0]), np.array([4096.0, 8192.0, 2048.0]),
        np.array([390.0, 900.0, 100.0]), shapes, np.array([0.02, 0.1]),
    )  # fmt: skip


def make_world(scenario: str = "E", seed: int = 1, size: Size = SMALL, detector: Detector | None = None) -> World:
    """A world of six nodes and forty minutes."""
    return draw(SCENARIOS[scenario], make_lists(), detector or Detector(), size, seed)


def lone_pod(work: float, cpu: float = 2000.0, scenario: str = "B") -> World:
    """A node without noise and one pod on it that arrives after a minute."""
    world = make_world(scenario, size=Size(1, 0.0, 120.0, 0.0))
    zero, one = np.zeros(1, dtype=np.int64), np.ones(1)
    return world._replace(
        noise=np.ones((1, 2)), healths=[], alerts=[], arrival=60.0 * one, cpu=cpu * one, memory=1024.0 * one,
        work=work * one, class_of=zero, ratio=one, shape_of=zero, shift=zero,
    )  # fmt: skip


def lay_out(folder: Path, nodes: str = NODES, pods: str = PODS) -> Path:
    """A folder with a node and a pod list."""
    (folder / "some_node_list_all_node.csv").write_text(nodes)
    (folder / "some_pod_list_default.csv").write_text(pods)
    return folder


class AtRandom:
    """Any node with room, and a record of all that it was told."""

    def __init__(self) -> None:
        self.ages: list[float] = []
        self.alerts: list[Alert] = []
        self.is_overfull = False

    def begin(self, seen: Seen, truth: Truth) -> None:
        self.seen, self.truth = seen, truth
        self._rng = np.random.default_rng(0)
        self._taken_at: float | None = None

    def place(self, ask: Ask) -> int:
        seen = self.seen
        self.is_overfull |= bool((seen.held_cpu > seen.cpu_capacity).any() or (self.truth.demanded < 0).any())
        if self._taken_at is not None:
            self.ages.append(seen.now - self._taken_at)
        return int(self._rng.choice(np.flatnonzero(seen.fits(ask))))

    def ended(self, ask: Ask, node: int) -> None:
        assert self.seen.num_pods[node] >= 0

    def metrics(self, taken_at: float, used: Floats) -> None:
        assert 0 <= used.min() <= used.max() <= 1
        self._taken_at = taken_at

    def alert(self, alert: Alert) -> None:
        self.alerts.append(alert)


def advanced(world: World, outcome: Outcome, pod: int) -> float:
    """Work that a pod did between its start and its end, summed up stretch by stretch over its whole node.

    Knows nothing of the simulation's own clocks: only who was where when.
    """
    node, begin, end = int(outcome.node[pod]), outcome.start[pod], outcome.end[pod]
    mine = np.flatnonzero(outcome.node == node)
    changes = [time for time, where, _ in world.healths if where == node]
    steps = np.arange(0.0, end + 300.0, 300.0)
    times = np.unique(np.concatenate([outcome.start[mine], outcome.end[mine], changes, steps]))
    times = times[(times > begin) & (times < end)]
    done = 0.0
    for low, high in zip([begin, *times], [*times, end], strict=True):
        middle = (low + high) / 2
        there = mine[(outcome.start[mine] <= middle) & ~(outcome.end[mine] <= middle)]
        demanded = float(world.demand(there, middle).sum())
        health = next((h for time, where, h in reversed(world.healths) if where == node and time <= middle), 1.0)
        factor = world.speed[node] * health * min(1.0, world.cpu_capacity / max(demanded, 1e-9))
        done += factor * world.noise[node, world.class_of[pod]] * (high - low)
    return done
