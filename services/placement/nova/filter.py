"""A filter that asks placement once for all hosts of a request.

[filter_scheduler]
available_filters = nova.scheduler.filters.all_filters
available_filters = services.placement.nova.filter.MoselleFilter
enabled_filters = ..., MoselleFilter
"""

import logging
from collections.abc import Iterable, Iterator
from typing import Any

import nova.conf
from nova.scheduler import filters, utils

from services.placement.nova import options
from services.placement.nova.client import Client, Verdict, shared

LOG = logging.getLogger(__name__)
CONF = nova.conf.CONF
options.register(CONF)


class MoselleFilter(filters.BaseHostFilter):  # type: ignore[misc]
    """Removes hosts that fail one of [moselle] filter_constraints. On any failure, and unknown ones, all pass.

    Put it last in enabled_filters: fewer hosts are asked about.
    """

    # What it says does not change from one instance of a request to the next.
    run_filter_once_per_request = True
    RUN_ON_REBUILD = False

    def filter_all(self, filter_obj_list: Iterable[Any], spec_obj: Any) -> Iterator[Any]:
        """The hosts that pass, by one question for all of them."""
        hosts = list(filter_obj_list)
        if not hosts or utils.request_is_rebuild(spec_obj):
            yield from hosts
            return
        verdicts = self._client().verdicts(hosts, spec_obj)
        for place, host in enumerate(hosts):
            if self._passes(host, verdicts.get(place)):
                yield host

    def host_passes(self, host_state: Any, spec_obj: Any) -> bool:
        """For whoever asks about one host; the answer of `filter_all` serves it for reuse_seconds."""
        return self._passes(host_state, self._client().verdicts([host_state], spec_obj).get(0))

    def _passes(self, host_state: Any, verdict: Verdict | None) -> bool:
        failed = sorted(set(verdict.failed if verdict else ()) & set(CONF.moselle.filter_constraints))
        if failed:
            LOG.debug("%(host)s fails %(failed)s by Moselle", {"host": host_state, "failed": failed})
        return not failed

    @staticmethod
    def _client() -> Client:
        return shared(lambda: Client(CONF.moselle))
