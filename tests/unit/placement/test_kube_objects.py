"""Quantities, pods and nodes of Kubernetes as values of ours."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.placement.core.inventory import TAINT_PREFIX, merged
from services.placement.core.kube.advice import read_asked
from services.placement.core.kube.nodes import has_changed
from services.placement.core.kube.objects import read_pod
from services.placement.core.kube.pods import asked_by, constraints_of, owner_of, requests_of
from services.placement.core.kube.quantity import quantity
from services.placement.core.workload import LabelDemand, Taint, Toleration, TopologySpread
from services.placement.errors import InvalidRequest
from tests.unit.placement.kube import make_entity, make_node_object, make_pod, read, recorded
from tests.unit.placement.worlds import GIB, START


@pytest.mark.parametrize(
    ("text", "amount"),
    [("100m", 0.1), ("1.5", 1.5), ("128Mi", 128 * 2**20), ("1k", 1000), ("1e3", 1000), ("1E", 1e18), ("2E2", 200),
     ("0", 0), (3, 3), (".5", 0.5), ("500n", 5e-7), ("1Ei", 2.0**60), ("+5", 5)],
)  # fmt: skip
def test_quantities_mean_what_kubernetes_means(text: str | int, amount: float) -> None:
    """Every suffix, and exponents."""
    assert quantity(text) == pytest.approx(amount, rel=1e-12)


@pytest.mark.parametrize("text", ["", "m", "1 Gi", "0x10", "1Kb", "nan", "inf", "1e9999", "9" * 100, "١"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    """Neither words, nor look-alike digits, nor what is not finite."""
    with pytest.raises(ValueError, match="quantity"):
        quantity(text)


@given(st.text(max_size=80))
def test_any_text_is_a_quantity_or_refused(text: str) -> None:
    """Nothing else is raised."""
    try:
        assert abs(quantity(text)) < float("inf")
    except ValueError:
        pass


def container(cpu: str = "", memory: str = "", **more: Any) -> dict[str, Any]:
    requests = {name: text for name, text in (("cpu", cpu), ("memory", memory)) if text}
    return {"resources": {"requests": requests}, **more}


def test_a_recorded_pod_is_read() -> None:
    """The pod that a real scheduler sent: its name, its requests, its tolerations."""
    asked = asked_by(read_pod(json.dumps(json.loads(recorded("names", "filter"))["Pod"]).encode()))
    assert asked.workload.workload_id == "pod:default/pod-6b01682a-00000"
    assert asked.workload.requests == {"cpu_cores": 0.1, "memory_bytes": 128 * 2**20}
    assert asked.workload.constraints.tolerations[0] == Toleration("node.kubernetes.io/not-ready", "", "NoExecute")


def test_the_largest_moment_of_the_start_counts() -> None:
    """An init container that needs more than all that run later; a sidecar runs beside both; overhead comes on top."""
    spec = {
        "containers": [container("1", "1Gi"), container("500m")],
        "initContainers": [container("250m", restartPolicy="Always"), container("3")],
        "overhead": {"cpu": "10m"},
    }
    assert requests_of(read(make_pod(spec=spec))) == {"cpu_cores": pytest.approx(3.26), "memory_bytes": GIB}


def test_what_runs_counts_when_it_is_more_than_the_start() -> None:
    """Containers and sidecars together."""
    spec = {
        "containers": [container("2")],
        "initContainers": [container("500m", restartPolicy="Always"), container("1")],
    }
    assert requests_of(read(make_pod(spec=spec))) == {"cpu_cores": 2.5}


def test_requests_of_the_whole_pod_replace_those_of_its_containers() -> None:
    """`spec.resources` counts for cores and memory."""
    spec = {"containers": [container("2", "1Gi")], "resources": {"requests": {"cpu": "3"}}}
    assert requests_of(read(make_pod(spec=spec))) == {"cpu_cores": 3, "memory_bytes": GIB}


def test_a_limit_without_a_request_is_one() -> None:
    """As the API server would fill in."""
    spec = {"containers": [{"resources": {"limits": {"nvidia.com/gpu": "2", "cpu": "1"}}}]}
    assert requests_of(read(make_pod(spec=spec))) == {"cpu_cores": 1, "num_gpus": 2}


def test_other_resources_keep_their_names() -> None:
    """Huge pages and devices are the node's own names too."""
    spec = {"containers": [{"resources": {"requests": {"hugepages-2Mi": "4Mi", "ephemeral-storage": "1Gi"}}}]}
    assert requests_of(read(make_pod(spec=spec))) == {"hugepages-2Mi": 4 * 2**20, "disk_bytes": GIB}


def owned(kind: str, name: str, **labels: str) -> dict[str, Any]:
    owner = {"kind": kind, "name": name, "controller": True}
    return {"ownerReferences": [{"kind": "X", "name": "x"}, owner], "labels": labels}


@pytest.mark.parametrize(
    ("metadata", "owner"),
    [
        (owned("ReplicaSet", "web-5d9f", **{"pod-template-hash": "5d9f"}), "default/Deployment/web"),
        (owned("StatefulSet", "db"), "default/StatefulSet/db"),
        ({}, ""),
    ],
)
def test_replicas_have_one_owner(metadata: dict[str, Any], owner: str) -> None:
    """A ReplicaSet stands for the Deployment that made it."""
    assert owner_of(read(make_pod(metadata=metadata))) == owner


def test_node_demands_of_one_term_are_ours_too() -> None:
    """Node selector and required affinity together; a field names the node."""
    term = {
        "matchExpressions": [{"key": "disk", "operator": "NotIn", "values": ["hdd"]}, {"key": "n", "operator": "Gt"}],
        "matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}],
    }
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    pod = make_pod(spec={"containers": [], "nodeSelector": {"zone": "a"}, "affinity": {"nodeAffinity": required}})
    found = constraints_of(read(pod))
    assert found.node_labels == (LabelDemand("zone", "in", ("a",)), LabelDemand("disk", "not_in", ("hdd",)))
    assert found.candidates == {"node:n1"}


def test_terms_that_are_alternatives_are_left_to_kubernetes() -> None:
    """We have no word for one or the other."""
    terms = [{"matchExpressions": [{"key": key, "operator": "Exists"}]} for key in "ab"]
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
    assert constraints_of(read(make_pod(spec={"affinity": {"nodeAffinity": required}}))).node_labels == ()


def anti_affinity(**term: Any) -> dict[str, Any]:
    term = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "db"}}, **term}
    return {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}


def test_pods_that_keep_apart_from_their_like_are_a_group() -> None:
    """Two of them have the same group; what speaks of other pods, namespaces or zones has none."""

    def group(affinity: dict[str, Any], app: str = "db") -> str:
        return constraints_of(
            read(make_pod(spec={"affinity": affinity}, metadata={"labels": {"app": app}}))
        ).anti_affinity_group

    assert group(anti_affinity()) == group(anti_affinity()) != ""
    others = [anti_affinity(topologyKey="zone"), anti_affinity(namespaces=["x"]), anti_affinity(namespaceSelector={})]
    assert [group(one) for one in others] == ["", "", ""]
    assert group(anti_affinity(), "web") == ""


def test_a_hard_spread_over_the_pods_own_kind_is_ours_too() -> None:
    """Not a soft one, and not one beside node demands."""
    spreads = [
        {"maxSkew": 2, "topologyKey": "zone", "whenUnsatisfiable": when, "labelSelector": {"matchLabels": {"a": "b"}}}
        for when in ("DoNotSchedule", "ScheduleAnyway")
    ]
    pod = make_pod(metadata=owned("StatefulSet", "db", a="b"), spec={"topologySpreadConstraints": spreads})
    assert constraints_of(read(pod)).topology_spread == (TopologySpread("zone", 2),)
    pod["spec"]["nodeSelector"] = {"x": "y"}
    assert constraints_of(read(pod)).topology_spread == ()


def test_annotations_demand_what_kubernetes_has_no_word_for() -> None:
    """Numbers, regions, a profile; one that is no number is left out."""
    annotations = {
        "moselle.io/max-latency-ms": "5", "moselle.io/min-security-level": "2", "moselle.io/required-regions": "eu, us",
        "moselle.io/max-cost-per-hour": "cheap", "moselle.io/profile": "power",
    }  # fmt: skip
    asked = read_asked(read(make_pod(metadata={"annotations": annotations})))
    found = asked.workload.constraints
    assert (found.max_latency_ms, found.min_security_level, found.max_cost_per_hour) == (5.0, 2, None)
    assert (found.required_regions, asked.profile) == ({"eu", "us"}, "power")


def test_a_node_is_a_record_of_the_inventory() -> None:
    """What may be allocated, labels, other names, facts by annotation."""
    metadata = {"labels": {"zone": "a"}, "annotations": {"moselle.io/cost-per-hour": "0.4"}}
    spec = {"providerID": "openstack:///8f1c"}
    record = make_entity("n1", metadata=metadata, spec=spec)
    assert record["entity_id"] == "node:n1"
    assert record["capacity"] == {
        "cpu_cores": 8, "memory_bytes": 16 * GIB, "max_workloads": 110, "cost_per_hour": 0.4,
    }  # fmt: skip
    assert record["aliases"] == ["10.0.0.1", "instance:8f1c"]
    assert record["labels"] == {"zone": "a"}


def test_taints_of_one_key_stay_apart() -> None:
    """A key with two effects, and the taints that the node controller is about to set."""
    taints = [{"key": "k", "value": "v", "effect": effect} for effect in ("NoSchedule", "NoExecute")]
    status = {"conditions": [{"type": "Ready", "status": "Unknown"}]}
    record = make_entity("n1", spec={"taints": taints, "unschedulable": True}, status=status)
    info = merged("node:n1", [record])
    assert info is not None
    assert set(info.taints) == {
        Taint("k", "v", "NoSchedule"), Taint("k", "v", "NoExecute"),
        Taint("node.kubernetes.io/unschedulable"), Taint("node.kubernetes.io/not-ready"),
    }  # fmt: skip
    assert all(label.startswith(TAINT_PREFIX) for label in record["labels"] if label != "kubernetes.io/hostname")


def test_a_heartbeat_changes_nothing() -> None:
    """The same node at another time says nothing new; another capacity does."""
    old = make_entity("n1")
    assert not has_changed(old, {**make_entity("n1"), "updated_at": START + 1})
    assert has_changed(old, make_entity("n1", cpu="4"))
    assert make_node_object("n1")["metadata"]["name"] == "n1"


Wild = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)
_KEYS = ("metadata", "spec", "status", "containers", "resources", "requests", "affinity", "tolerations", "labels")


@given(st.recursive(Wild, lambda inner: st.dictionaries(st.sampled_from(_KEYS), inner, max_size=4), max_leaves=12))
def test_any_json_is_a_pod_or_refused(value: Any) -> None:
    """Whatever stands in a pod, it is read or refused in one way."""
    amounts: list[float] = []
    try:
        amounts = list(read_asked(read_pod(json.dumps(value).encode())).workload.requests.values())
    except (ValueError, InvalidRequest):
        pass
    assert all(math.isfinite(amount) and amount >= 0 for amount in amounts)
