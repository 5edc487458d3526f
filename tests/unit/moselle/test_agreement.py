"""How often a scheduler took the node that placement would have taken."""

from typing import Any

from moselle.agreement import agreement


def record(
    number: int, mode: str = "shadow", node: str = "node:n1", bound_node: str = "", **more: Any
) -> dict[str, Any]:
    """A decision about a pod; its outcome when it is bound."""
    return {
        "request_id": f"pod:u{number}:1", "mode": mode, "node": node, "bound_node": bound_node,
        "alternatives": [{"node": "node:n2", "score": 0.5}], **more,
    }  # fmt: skip


def test_each_mode_has_its_figures() -> None:
    """The newest record of a decision counts; what is not bound, or had no node, is in no ratio."""
    records = [
        record(1), record(1, bound_node="node:n1"), record(2, bound_node="node:n2"), record(3, bound_node="node:n9"),
        record(4), record(5, node="", bound_node="node:n1"), record(6, mode="live", bound_node="node:n1"),
        {"request_id": "a batch of mine", "mode": "live"},
    ]  # fmt: skip
    found = agreement(records)
    assert found["shadow"] == {
        "decided": 5, "bound": 3, "agreed": 1, "agreed_ratio": 1 / 3, "among_best_ratio": 2 / 3,
    }  # fmt: skip
    assert found["live"]["agreed_ratio"] == 1.0


def test_nothing_bound_is_no_ratio() -> None:
    """Rather than a zero."""
    assert agreement([record(1)])["shadow"]["agreed_ratio"] is None
    assert agreement([]) == {}
