"""The world in which placement is judged: nodes, pods, what they take from each other, what a scheduler sees.

Written before any policy, and not changed for one. Discrete events:

* A pod has a request r, a true demand d(t) = r x ratio x shape(t) and work w: its duration in the list, at full speed.
  shape is the usage trace of a virtual machine, mean 1, in steps of 300 s; a demand never exceeds a whole node.
* A node has a capacity, a speed v, a health h(t). A pod there advances at v x h x min(1, capacity / sum of d) x noise;
  noise is lognormal with median 1, drawn once for each (node, class of workload), and nobody sees it.
* Requests are promises: their sum never exceeds a capacity. What fits nowhere waits, oldest first; others may pass.
* A policy sees requests, the nodes' rated speed, metrics 30 to 60 s old, and of health only a detector's alerts.

Processors are in thousandths and memory in MiB, whole numbers, so that sums are exact. Times are seconds from the
start.
"""

import heapq
import math
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Purpose = Literal["report", "tune"]

STEP_SECONDS = 300.0
#: Metrics are taken this often and can be read this much later: 30 to 60 s old when somebody looks.
SCRAPE_SECONDS = 30.0
DEGRADED_HEALTH, DEGRADED_SHARE, DEGRADED_SECONDS = 0.3, 0.1, 3600.0
#: True demand over request, lognormal, where requests are not honest.
RATIO_MEDIAN, RATIO_SIGMA = 0.6, 0.6
#: Seeds of a purpose begin here; so many belong to it. No seed serves both.
FIRST_SEED: dict[Purpose, int] = {"report": 1, "tune": 100_001}
MOST_SEEDS = 1000


class Scenario(NamedTuple):
    """A line of the table.

    Attributes:
        speeds: of the hardware classes, equal shares of the nodes.
        utilisation: mean of what is requested (where nothing is, of what is demanded) over all processors.
    """

    name: str
    words: str
    utilisation: float
    is_honest: bool = False
    gives_requests: bool = True
    has_faults: bool = False
    speeds: tuple[float, ...] = (1.0,)


SCENARIOS = {
    one.name: one
    for one in (
        Scenario("A", "identical nodes, honest requests, no faults", 0.70, is_honest=True),
        Scenario("B", "identical nodes, demand is not what was requested, no faults", 0.70),
        Scenario("E", "as B, a tenth of the nodes at 0.3 of their speed for an hour", 0.70, has_faults=True),
        Scenario("F", "as E, speeds 0.6, 1 and 1.4 by thirds", 0.70, has_faults=True, speeds=(0.6, 1.0, 1.4)),
        Scenario("I", "identical nodes, nothing requested, no faults", 0.73, gives_requests=False),
    )
}


class Detector(NamedTuple):
    """How well alerts tell health: what docs/benchmarks/anomaly.md measured, as a run's parameters.

    Attributes:
        delay_seconds: from fault to alert, even between the two: 7.6 to 13.7 s at scrapes of 5 s, so 6 times that here;
            what docs/benchmarks/alert-latency.md adds (.1 to .4 s) does not show beside it.
        miss_share: faults without an alert: 3 of 14.
        false_alarms_per_node_day: .042 on servers that nobody described (ASD), with the detector that cries most.
        false_alarm_seconds: mean length of these.
        resolve_seconds: from a fault's end to the alert's: 20 s of quiet and up to one scrape.
    """

    delay_seconds: tuple[float, float] = (45.6, 82.2)
    miss_share: float = 3 / 14
    false_alarms_per_node_day: float = 0.042
    false_alarm_seconds: float = 300.0
    resolve_seconds: tuple[float, float] = (20.0, 50.0)


class Size(NamedTuple):
    """How much is simulated. Pods that arrive within the window are judged, all until they end."""

    num_nodes: int = 50
    warm_seconds: float = 5400.0
    window_seconds: float = 10_800.0
    cool_seconds: float = 3600.0

    @property
    def arrivals_end(self) -> float:
        return self.warm_seconds + self.window_seconds + self.cool_seconds


class Lists(NamedTuple):
    """What worlds are drawn from: one kind of node, (P,) requests and works, (V, S) shapes of mean 1, (C,) spreads."""

    node_cpu: float
    node_memory: float
    cpu: Floats
    memory: Floats
    work: Floats
    shapes: Floats
    noise_sigmas: Floats


class Alert(NamedTuple):
    """A word about a node's health as it reaches a scheduler."""

    time: float
    node: int
    number: int
    is_firing: bool


class World(NamedTuple):
    """One drawn world, the same for every policy: (n,) nodes, (p,) pods in the order of arrival, what happens when."""

    scenario: Scenario
    size: Size
    seed: int
    cpu_capacity: float
    memory_capacity: float
    speed: Floats
    noise: Floats
    healths: list[tuple[float, int, float]]
    alerts: list[Alert]
    arrival: Floats
    cpu: Floats
    memory: Floats
    work: Floats
    class_of: Ints
    ratio: Floats
    shape_of: Ints
    shift: Ints
    shapes: Floats

    def demand(self, pods: Ints, time: float) -> Floats:
        """(len(pods),) thousandths that pods want to use at a time."""
        if self.scenario.is_honest:
            return self.cpu[pods]
        column = (self.shift[pods] + int(time // STEP_SECONDS)) % self.shapes.shape[1]
        wanted = self.cpu[pods] * self.ratio[pods] * self.shapes[self.shape_of[pods], column]
        bounded: Floats = np.minimum(wanted, self.cpu_capacity)
        return bounded

    @property
    def is_judged(self) -> NDArray[np.bool_]:
        """(p,) pods that arrive within the window."""
        first = self.size.warm_seconds
        within: NDArray[np.bool_] = (self.arrival >= first) & (self.arrival < first + self.size.window_seconds)
        return within


def seed_of(purpose: Purpose, number: int) -> int:
    """The seed of a purpose's `number`-th world. Raises ValueError beyond MOST_SEEDS: seeds stay disjoint."""
    if not 0 <= number < MOST_SEEDS:
        raise ValueError(f"seed number {number}: wanted 0 to {MOST_SEEDS - 1}")
    return FIRST_SEED[purpose] + number


def draw(scenario: Scenario, lists: Lists, detector: Detector, size: Size, seed: int) -> World:
    """A world. Each part has a stream of random numbers of its own: another detector sees the same faults."""
    parts = [np.random.default_rng([seed, part]) for part in range(5)]
    n = size.num_nodes
    speed = np.resize(np.array(scenario.speeds), n)
    noise = np.exp(parts[0].standard_normal((n, len(lists.noise_sigmas))) * lists.noise_sigmas)
    troubles = _troubles(parts[1], n, size) if scenario.has_faults else []
    arrival = _arrivals(parts[2], scenario, lists, size)
    p = len(arrival)
    one = parts[3].integers(0, len(lists.cpu), p)
    rng = parts[3]
    return World(
        scenario, size, seed, lists.node_cpu, lists.node_memory, speed, noise,
        sorted(change for start, end, node in troubles for change in
               ((start, node, DEGRADED_HEALTH), (end, node, 1.0))),
        _alerts(parts[4], troubles, detector, size) if scenario.has_faults else [],
        arrival, lists.cpu[one], lists.memory[one], lists.work[one],
        rng.integers(0, len(lists.noise_sigmas), p),
        np.exp(rng.standard_normal(p) * RATIO_SIGMA) * RATIO_MEDIAN,
        rng.integers(0, len(lists.shapes), p), rng.integers(0, lists.shapes.shape[1], p), lists.shapes,
    )  # fmt: skip


def _arrivals(rng: np.random.Generator, scenario: Scenario, lists: Lists, size: Size) -> Floats:
    """(p,) Poisson arrivals at the scenario's mean utilisation."""
    taken = float((lists.cpu * lists.work).mean())
    if not scenario.gives_requests:
        taken *= RATIO_MEDIAN * math.exp(RATIO_SIGMA**2 / 2)
    rate = scenario.utilisation * size.num_nodes * lists.node_cpu / taken
    number = rng.poisson(rate * size.arrivals_end)
    return np.sort(rng.uniform(0.0, size.arrivals_end, number))


def _troubles(rng: np.random.Generator, num_nodes: int, size: Size) -> list[tuple[float, float, int]]:
    """(start, end, node) of exponential periods, a tenth of the time in the mean, already under way at the start."""
    good_seconds = DEGRADED_SECONDS * (1 - DEGRADED_SHARE) / DEGRADED_SHARE
    found = []
    for node in range(num_nodes):
        time, is_bad = 0.0, bool(rng.random() < DEGRADED_SHARE)
        while time < size.arrivals_end:
            length = float(rng.exponential(DEGRADED_SECONDS if is_bad else good_seconds))
            if is_bad:
                found.append((time, time + length, node))
            time, is_bad = time + length, not is_bad
    return sorted(found)


def _alerts(
    rng: np.random.Generator, troubles: list[tuple[float, float, int]], detector: Detector, size: Size
) -> list[Alert]:
    """What the detector says of them, in time. A fault that is over before the alert is never told."""
    told = []
    for start, end, node in troubles:
        is_missed, delay, quiet = rng.random() < detector.miss_share, rng.random(), rng.random()
        begins = start + detector.delay_seconds[0] + delay * (detector.delay_seconds[1] - detector.delay_seconds[0])
        ends = end + detector.resolve_seconds[0] + quiet * (detector.resolve_seconds[1] - detector.resolve_seconds[0])
        if not is_missed and begins < end:
            told.append((begins, ends, node))
    days = size.num_nodes * size.arrivals_end / 86_400
    for _ in range(rng.poisson(detector.false_alarms_per_node_day * days)):
        begins = float(rng.uniform(0.0, size.arrivals_end))
        length = float(rng.exponential(detector.false_alarm_seconds))
        told.append((begins, begins + length, int(rng.integers(size.num_nodes))))
    return sorted(
        word for number, (begins, ends, node) in enumerate(told)
        for word in (Alert(begins, node, number, True), Alert(ends, node, number, False))
    )  # fmt: skip


class Ask(NamedTuple):
    """A pod as a scheduler sees it; 0 where nothing is requested."""

    number: int
    cpu: float
    memory: float


class Seen:
    """What every scheduler may look at; (n,) arrays, not to be written to.

    Attributes:
        held_cpu, held_memory, num_pods: requests and number of the pods on each node: schedulers count them themselves.
        speed: rated by hardware class, as an inventory tells it.
    """

    def __init__(self, world: World) -> None:
        n = world.size.num_nodes
        self.now = 0.0
        self.num_nodes = n
        self.cpu_capacity, self.memory_capacity = world.cpu_capacity, world.memory_capacity
        self.speed = world.speed
        self.held_cpu, self.held_memory = np.zeros(n), np.zeros(n)
        self.num_pods = np.zeros(n, dtype=np.int64)

    def fits(self, ask: Ask) -> NDArray[np.bool_]:
        """(n,) nodes with room for what is requested."""
        cpu: NDArray[np.bool_] = self.held_cpu + ask.cpu <= self.cpu_capacity
        return cpu & (self.held_memory + ask.memory <= self.memory_capacity)


class Truth:
    """What is so at this moment: (n,) health and sum of demands. Only the oracle looks."""

    def __init__(self, world: World, seen: Seen) -> None:
        self.health = np.ones(seen.num_nodes)
        self.demanded = np.zeros(seen.num_nodes)
        self._world, self._seen = world, seen

    def demand(self, ask: Ask) -> float:
        """What the pod would use now."""
        return float(self._world.demand(np.array([ask.number]), self._seen.now)[0])


#: The answer of a policy that will not place a pod now. It is asked again; the wait counts.
WAIT = -1


class Policy(Protocol):
    """Something that chooses nodes, and hears of everything else as it happens."""

    def begin(self, seen: Seen, truth: Truth) -> None:
        """A new world. Who is no oracle leaves `truth` alone."""

    def place(self, ask: Ask) -> int:
        """A node for a pod that fits somewhere; WAIT to let it wait for the next end of a pod or metrics."""
        ...

    def ended(self, ask: Ask, node: int) -> None:
        """A pod is done."""

    def metrics(self, taken_at: float, used: Floats) -> None:
        """(n,) share of the processors that were busy at a time."""

    def alert(self, alert: Alert) -> None:
        """A word of the detector."""


class Outcome(NamedTuple):
    """(p,) what became of the pods, NaN and -1 where nothing did; share of all processors busy in the window."""

    start: Floats
    end: Floats
    node: Ints
    busy_share: float
    violations: int


_HEALTH, _ALERT, _STEP, _SCRAPE, _ARRIVAL = range(5)


class Simulation:
    """A policy in a world.

    All pods of a node share one factor v x h x min(1, capacity / demand), so a node keeps one clock that runs at that
    factor, and a pod ends when this clock shows its start + w / noise: an event costs no walk over pods.
    """

    def __init__(self, world: World, policy: Policy) -> None:
        n, p = world.size.num_nodes, len(world.arrival)
        self.world, self.policy = world, policy
        self.seen = Seen(world)
        self.truth = Truth(world, self.seen)
        self.start, self.end = np.full(p, np.nan), np.full(p, np.nan)
        self.node = np.full(p, -1, dtype=np.int64)
        self.violations = 0
        self._clock, self._since, self._factor = np.zeros(n), np.zeros(n), world.speed.copy()
        self._next_end = np.full(n, np.inf)
        self._due: list[list[tuple[float, int]]] = [[] for _ in range(n)]
        self._demand = np.zeros(p)
        self._waiting: list[int] = []
        self._used: Floats | None = None
        self._left = int(world.is_judged.sum())
        self._busy_seconds, self._busy_until = 0.0, 0.0

    def run(self, told: Any = None) -> Outcome:
        """Until every judged pod has ended. `told` hears the time now and then."""
        self.policy.begin(self.seen, self.truth)
        for time, kind, thing in self._happenings():
            self._finish_until(time)
            if not self._left:
                break
            self._pass(time)
            self._happen(kind, thing)
            if told is not None and kind == _STEP:
                told(time)
        window = self.world.size.window_seconds * self.seen.num_nodes * self.world.cpu_capacity
        return Outcome(self.start, self.end, self.node, self._busy_seconds / window, self.violations)

    def _finish_until(self, time: float) -> None:
        """Everything that ends before a time, in order."""
        while self._left:
            node = int(self._next_end.argmin())
            if self._next_end[node] > time:
                return
            self._pass(float(self._next_end[node]))
            self._finish(node)

    def _happenings(self) -> Any:
        """(time, kind, what) of all that does not hang on a policy, in order, without an end."""
        world = self.world
        fixed = [
            *((time, _HEALTH, (node, health)) for time, node, health in world.healths),
            *((alert.time, _ALERT, alert) for alert in world.alerts),
            *((float(time), _ARRIVAL, number) for number, time in enumerate(world.arrival)),
        ]
        steps = ((number * STEP_SECONDS, _STEP, None) for number in range(10**9))
        scrapes = ((number * SCRAPE_SECONDS, _SCRAPE, None) for number in range(10**9))
        return heapq.merge(sorted(fixed, key=lambda one: one[:2]), steps, scrapes, key=lambda one: one[:2])

    def _happen(self, kind: int, thing: Any) -> None:
        if kind == _ARRIVAL:
            if not self._try(thing):
                self._waiting.append(thing)
        elif kind == _SCRAPE:
            self._scrape()
        elif kind == _STEP:
            self._step()
        elif kind == _ALERT:
            self.policy.alert(thing)
        else:
            node, self.truth.health[node] = thing
            self._retime(node)

    def _pass(self, time: float) -> None:
        """Time goes by: counts what was busy within the window."""
        first = self.world.size.warm_seconds
        low, high = max(self._busy_until, first), min(time, first + self.world.size.window_seconds)
        if high > low:
            self._busy_seconds += float(np.minimum(self.truth.demanded, self.world.cpu_capacity).sum()) * (high - low)
        self._busy_until = self.seen.now = time

    def _scrape(self) -> None:
        """What was taken one scrape ago can be read now."""
        if self._used is not None and self.seen.now <= self.world.size.arrivals_end:
            self.policy.metrics(self.seen.now - SCRAPE_SECONDS, self._used)
        self._used = np.minimum(self.truth.demanded / self.world.cpu_capacity, 1.0)
        self._try_again()

    def _step(self) -> None:
        """Demands change, all at once."""
        running = np.flatnonzero((self.node >= 0) & np.isnan(self.end))
        self._demand[running] = self.world.demand(running, self.seen.now)
        n = self.seen.num_nodes
        self.truth.demanded[:] = np.bincount(self.node[running], self._demand[running], n)
        for node in range(n):
            self._retime(node)

    def _try(self, pod: int) -> bool:
        """Asks the policy for a node, unless there is none."""
        ask = self._ask(pod)
        fits = self.seen.fits(ask)
        if not fits.any():
            return False
        node = self.policy.place(ask)
        if node == WAIT:
            return False
        if not 0 <= node < len(fits) or not fits[node]:
            self.violations += 1
            return False
        self._begin(pod, ask, node)
        return True

    def _ask(self, pod: int) -> Ask:
        if not self.world.scenario.gives_requests:
            return Ask(pod, 0.0, 0.0)
        return Ask(pod, float(self.world.cpu[pod]), float(self.world.memory[pod]))

    def _begin(self, pod: int, ask: Ask, node: int) -> None:
        self.start[pod], self.node[pod] = self.seen.now, node
        self._hold(ask, node, +1)
        self._demand[pod] = self.truth.demand(ask)
        self._advance(node)
        needed = self.world.work[pod] / self.world.noise[node, self.world.class_of[pod]]
        heapq.heappush(self._due[node], (float(self._clock[node] + needed), pod))
        self.truth.demanded[node] += self._demand[pod]
        self._retime(node)

    def _finish(self, node: int) -> None:
        """The next pod of a node is done; those that wait are tried again."""
        self._advance(node)
        _, pod = heapq.heappop(self._due[node])
        self.end[pod] = self.seen.now
        ask = self._ask(pod)
        self._hold(ask, node, -1)
        # What rounding leaves of a sum is no demand.
        left = self.truth.demanded[node] - self._demand[pod]
        self.truth.demanded[node] = max(0.0, left) if self._due[node] else 0.0
        self._retime(node)
        self._left -= int(self.world.is_judged[pod])
        self.policy.ended(ask, node)
        self._try_again()

    def _try_again(self) -> None:
        self._waiting = [waiting for waiting in self._waiting if not self._try(waiting)]

    def _hold(self, ask: Ask, node: int, sign: int) -> None:
        self.seen.held_cpu[node] += sign * ask.cpu
        self.seen.held_memory[node] += sign * ask.memory
        self.seen.num_pods[node] += sign

    def _advance(self, node: int) -> None:
        """Brings a node's clock to now."""
        self._clock[node] += self._factor[node] * (self.seen.now - self._since[node])
        self._since[node] = self.seen.now

    def _retime(self, node: int) -> None:
        """Its factor is another one from now on: so is when its next pod ends."""
        self._advance(node)
        demanded = self.truth.demanded[node]
        share = 1.0 if demanded <= self.world.cpu_capacity else self.world.cpu_capacity / demanded
        self._factor[node] = self.world.speed[node] * self.truth.health[node] * share
        due = self._due[node]
        self._next_end[node] = (
            max(self.seen.now, self.seen.now + (due[0][0] - self._clock[node]) / self._factor[node]) if due else np.inf
        )
