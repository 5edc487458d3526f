"""What moselle is set against: the simple ones, Kubernetes' default score, and an oracle that sees the truth.

Ties go by lot, as in kube-scheduler; which policy gets which lot is fixed by the world's seed.
"""

from typing import Any

import numpy as np

from services.placement.train.physics import Alert, Ask, Floats, Seen, Truth

#: What a pod without requests counts for: kube-scheduler's DefaultMilliCPURequest and DefaultMemoryRequest (200 MB).
UNASKED_CPU, UNASKED_MEMORY = 100.0, 200e6 / 2**20


class Baseline:
    """Scores nodes; the best one with room gets the pod."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng([seed, 99])

    def begin(self, seen: Seen, truth: Truth) -> None:
        self.seen = seen

    def place(self, ask: Ask) -> int:
        """The best node with room; one of them when several are."""
        scores = np.where(self.seen.fits(ask), self.scores(ask), -np.inf)
        best = np.flatnonzero(scores == scores.max())
        return int(best[0] if len(best) == 1 else self._rng.choice(best))

    def scores(self, ask: Ask) -> Any:
        """(n,) higher is better; all are equal here: chooses at random."""
        return np.zeros(self.seen.num_nodes)

    def ended(self, ask: Ask, node: int) -> None: ...

    def metrics(self, taken_at: float, used: Floats) -> None: ...

    def alert(self, alert: Alert) -> None: ...

    def shares(self, ask: Ask) -> tuple[Floats, Floats]:
        """(n,) of processors and of memory in use with the pod there; pods that ask for nothing count a little."""
        seen = self.seen
        cpu, memory = seen.held_cpu + ask.cpu, seen.held_memory + ask.memory
        if not ask.cpu:
            cpu, memory = cpu + (seen.num_pods + 1) * UNASKED_CPU, memory + (seen.num_pods + 1) * UNASKED_MEMORY
        return np.minimum(cpu / seen.cpu_capacity, 1.0), np.minimum(memory / seen.memory_capacity, 1.0)


class RoundRobin(Baseline):
    """The next node in turn that has room."""

    _last = -1

    def place(self, ask: Ask) -> int:
        n = self.seen.num_nodes
        in_turn = (self._last + 1 + np.arange(n)) % n
        self._last = int(in_turn[self.seen.fits(ask)[in_turn].argmax()])
        return self._last


class FirstFit(Baseline):
    """The first node that has room."""

    def place(self, ask: Ask) -> int:
        return int(self.seen.fits(ask).argmax())


class BestFit(Baseline):
    """The fullest node that has room."""

    def scores(self, ask: Ask) -> Any:
        return sum(self.shares(ask))


class LeastAllocated(Baseline):
    """The emptiest node."""

    def scores(self, ask: Ask) -> Any:
        return -sum(self.shares(ask))


class Balanced(Baseline):
    """The node where the shares of processors and memory differ least afterwards."""

    def scores(self, ask: Ask) -> Any:
        cpu, memory = self.shares(ask)
        return -np.abs(cpu - memory)


class KubeDefault(Baseline):
    """kube-scheduler's default score, for pods without affinities, taints, images or spreads of their own.

    NodeResourcesFit with LeastAllocated, weight 1, and NodeResourcesBalancedAllocation, weight 1, both of 0 to 100 in
    whole numbers; the latter says nothing of pods without requests. The other plugins score all nodes alike here.

    Source: kubernetes pkg/scheduler/apis/config/v1/default_plugins.go and framework/plugins/noderesources
    (least_allocated.go, balanced_allocation.go), 1.35.
    """

    def scores(self, ask: Ask) -> Any:
        cpu, memory = self.shares(ask)
        least = (np.floor((1 - cpu) * 100) + np.floor((1 - memory) * 100)) // 2
        return least + np.floor((1 - np.abs(cpu - memory) / 2) * 100) if ask.cpu else least


class Oracle(Baseline):
    """Greedy, with the truth of the moment: health, speed and demand as they are now, the pod's own demand too.

    Takes the node where all pods together gain most speed: what the new one gets there less what it takes from the
    others; of equal ones the least loaded. It does not see the noise, nor what comes.
    """

    def begin(self, seen: Seen, truth: Truth) -> None:
        super().begin(seen, truth)
        self._truth = truth

    def scores(self, ask: Ask) -> Any:
        seen, truth = self.seen, self._truth
        before = truth.demanded
        after = before + truth.demand(ask)
        shares = [np.minimum(1.0, seen.cpu_capacity / np.maximum(demanded, 1e-9)) for demanded in (before, after)]
        gain = (seen.num_pods + 1) * shares[1] - seen.num_pods * shares[0]
        return np.round(seen.speed * truth.health * gain, 9) - 1e-6 * before / seen.cpu_capacity


BASELINES: dict[str, type[Baseline]] = {
    "random": Baseline,
    "round_robin": RoundRobin,
    "first_fit": FirstFit,
    "best_fit": BestFit,
    "least_allocated": LeastAllocated,
    "balanced": Balanced,
    "kube_default": KubeDefault,
}
