"""A weigher that asks placement once for all hosts.

[filter_scheduler]
weight_classes = nova.scheduler.weights.all_weighers,services.placement.nova.weigher.MoselleWeigher
"""

from collections.abc import Sequence
from typing import Any

import nova.conf
from nova.scheduler import utils, weights

from services.placement.nova import options
from services.placement.nova.client import Client, Verdict, shared

CONF = nova.conf.CONF
options.register(CONF)


class MoselleWeigher(weights.BaseHostWeigher):  # type: ignore[misc]
    """Placement's score, 0..1, high is better. 0.0 for all on any failure.

    Hosts that placement does not know weigh as the mean of those that it knows: neither preferred nor shunned. A host
    that fails a constraint weighs 0.0.
    """

    # Scores keep their size: between equal hosts Moselle has little to say, and a stretched weight would shout it.
    minval = 0.0
    maxval = 1.0

    def weight_multiplier(self, host_state: Any) -> float:
        """[moselle] weight_multiplier, or that of the host's aggregates."""
        return float(
            utils.get_weight_multiplier(host_state, "moselle_weight_multiplier", CONF.moselle.weight_multiplier)
        )

    def weigh_objects(self, weighed_obj_list: Sequence[Any], weight_properties: Any) -> list[float]:
        """The weights in the order of the hosts, by one question."""
        client = shared(lambda: Client(CONF.moselle))
        verdicts = client.verdicts([weighed.obj for weighed in weighed_obj_list], weight_properties)
        return weigh(verdicts, len(weighed_obj_list))

    def _weigh_object(self, host_state: Any, weight_properties: Any) -> float:
        """For whoever asks for one host."""
        client = shared(lambda: Client(CONF.moselle))
        return weigh(client.verdicts([host_state], weight_properties), 1)[0]


def weigh(verdicts: dict[int, Verdict], number: int) -> list[float]:
    """Weights of so many hosts, within 0 and 1."""
    known = [verdict.score for verdict in verdicts.values()]
    mean = sum(known) / len(known) if known else 0.0
    found = (verdicts[place].score if place in verdicts else mean for place in range(number))
    return [min(max(weight, 0.0), 1.0) for weight in found]
