"""The section [moselle] of nova.conf."""

from typing import Any

from oslo_config import cfg

from services.placement.nova.request import PROFILES, VETOES

GROUP = cfg.OptGroup("moselle", title="Moselle", help="Scores and constraints of hosts by Moselle's placement.")
OPTIONS = [
    cfg.StrOpt(
        "address", default="127.0.0.1:50051", help="Host and port of placement's gRPC; of several replicas, of the"
        " Service or balancer before them.",
    ),
    cfg.FloatOpt(
        "timeout_seconds", default=0.1, min=0.001, max=10.0, help="How long one question may take. Under eventlet"
        " nova-scheduler does nothing else meanwhile. A question that takes longer counts as a failure.",
    ),
    cfg.IntOpt(
        "max_failures", default=3, min=1, help="After so many failures in a row nobody is asked for"
        " retry_after_seconds, so that a Moselle that is gone costs this many time-outs and no more.",
    ),
    cfg.FloatOpt(
        "retry_after_seconds", default=10.0, min=0.1, help="How long nobody is asked then; one question is tried"
        " afterwards.",
    ),
    cfg.FloatOpt(
        "reuse_seconds", default=1.0, min=0.0, help="How long an answer serves the same question: the weigher takes"
        " the filter's, and each instance of a request the first one's. 0 asks each time.",
    ),
    cfg.FloatOpt(
        "weight_multiplier", default=10.0, help="What the weigher counts beside Nova's own, whose multipliers are 1.0"
        " and whose weights are stretched from 0 to 1. Moselle's scores are not stretched: a sick host lies some 0.3"
        " below a healthy one. Aggregates may override it with moselle_weight_multiplier in their metadata.",
    ),
    cfg.StrOpt(
        "profile", default="balanced", choices=PROFILES, help="What the score favours; a flavor's extra spec"
        " moselle:profile overrides it.",
    ),
    cfg.StrOpt(
        "node_kind", default="host", help="Kind in the entity_id of a host: host:compute-1. The name is the node's"
        " (hypervisor_hostname), else the host's.",
    ),
    cfg.ListOpt(
        "filter_constraints", default=list(VETOES), help="Constraints of placement by whose word MoselleFilter removes"
        " a host; empty removes none.",
    ),
    cfg.StrOpt("ca_file", default="", help="PEM file of the CA of placement's certificate; empty for no TLS."),
    cfg.StrOpt("cert_file", default="", help="PEM file of a client certificate, where placement wants one."),
    cfg.StrOpt("key_file", default="", help="PEM file of its key."),
]  # fmt: skip


def register(conf: Any) -> Any:
    """Adds the section to a configuration, once or again; returns it."""
    conf.register_group(GROUP)
    conf.register_opts(OPTIONS, group=GROUP)
    return conf.moselle


def list_opts() -> list[tuple[Any, list[Any]]]:
    """For oslo-config-generator."""
    return [(GROUP, OPTIONS)]
