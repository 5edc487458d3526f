"""What nova-scheduler does with our weigher and filter, by Nova's own handlers, in a Python that has Nova.

usage: asks.py JSON, with
    address: of placement; options: of [moselle]; hosts: names; extra_specs; times: how often; eventlet: true patches.
Prints {"passed": [...], "weights": {host: weight}, "order": [...], "errors": [...]} of the last time.
"""

import json
import sys


def main() -> None:
    asked = json.loads(sys.argv[1])
    if asked.get("eventlet"):
        import eventlet

        eventlet.monkey_patch()
    found = {}
    spec, hosts = make_spec(asked), make_hosts(asked)
    filters, weighers = load(asked)
    for _ in range(asked.get("times", 1)):
        found = schedule(filters, weighers, hosts, spec)
    sys.stdout.write(json.dumps(found) + "\n")


def load(asked: dict) -> tuple:
    """Our classes as Nova's host manager loads them from nova.conf."""
    import nova.conf
    from nova.scheduler.filters import HostFilterHandler
    from nova.scheduler.weights import HostWeightHandler

    from services.placement.nova import options

    conf = options.register(nova.conf.CONF)
    nova.conf.CONF([], default_config_files=[])
    for name, value in {"address": asked["address"], **asked.get("options", {})}.items():
        nova.conf.CONF.set_override(name, value, group="moselle")
    assert conf is not None
    filters = HostFilterHandler().get_matching_classes(["services.placement.nova.filter.MoselleFilter"])
    weighers = HostWeightHandler().get_matching_classes(["services.placement.nova.weigher.MoselleWeigher"])
    return [one() for one in filters], [one() for one in weighers]


def make_hosts(asked: dict) -> list:
    from nova.scheduler.host_manager import HostState

    hosts = [HostState(name, f"{name}.example.org", "00000000-0000-0000-0000-000000000000") for name in asked["hosts"]]
    for host in hosts:
        host.aggregates = []
    return hosts


def make_spec(asked: dict) -> object:
    from nova import objects
    from nova.objects.flavor import Flavor
    from nova.objects.request_spec import RequestSpec

    objects.register_all()
    flavor = Flavor(
        name="m1", vcpus=2, memory_mb=2048, root_gb=10, ephemeral_gb=0, swap=0, extra_specs=asked.get("extra_specs", {})
    )
    return RequestSpec(flavor=flavor, num_instances=1, project_id="p", is_bfv=False, scheduler_hints={})


def schedule(filters: list, weighers: list, hosts: list, spec: object) -> dict:
    """One request through Nova's own loops."""
    from nova.scheduler.filters import HostFilterHandler
    from nova.scheduler.weights import HostWeightHandler

    passed = list(HostFilterHandler().get_filtered_objects(filters, hosts, spec, 0) or [])
    weighed = HostWeightHandler().get_weighed_objects(weighers, passed, spec)
    return {
        "passed": [host.host for host in passed],
        "order": [one.obj.host for one in weighed],
        "weights": {one.obj.host: one.weight for one in weighed},
    }


if __name__ == "__main__":
    main()
