"""A decision in one paragraph, against another node."""

import msgspec

from services.placement.core.decision import Candidate, Decision

_NAMED = 3


class Explanation(msgspec.Struct, frozen=True):
    """What Explain answers.

    Attributes:
        compared: the other node with every factor, largest difference to the chosen one first.
        failed_constraints: what excludes it.
    """

    decision: Decision
    compared: Candidate | None
    failed_constraints: tuple[str, ...]
    text: str


def by_difference(candidate: Candidate, chosen: Candidate | None) -> Candidate:
    """Its reasons, those first that differ most from the chosen node's."""
    own = {reason.factor: reason.contribution for reason in chosen.reasons} if chosen else {}
    reasons = sorted(candidate.reasons, key=lambda r: (-abs(own.get(r.factor, 0.0) - r.contribution), r.factor))
    return msgspec.structs.replace(candidate, reasons=tuple(reasons))


def paragraph(decision: Decision, compared: Candidate | None, failed: tuple[str, ...], is_of_now: bool) -> str:
    """The text of an explanation.

    Args:
        is_of_now: the compared node was looked at now, since the decision did not keep it.
    """
    parts = [_chosen(decision)]
    if decision.mode == "fallback":
        parts.append(
            "It rests on plain rules, since no forecast spoke for any feasible node or alerts could not be read."
        )
    if compared is not None and compared.node != decision.node:
        parts.append(_against(decision, compared, failed, is_of_now))
    return " ".join(parts)


def _chosen(decision: Decision) -> str:
    if decision.chosen is None:
        counts = ", ".join(f"{row.constraint} {row.num_nodes} nodes" for row in decision.exclusions[:_NAMED])
        return (
            f"No node can hold {decision.workload_id}"
            + (f": {counts} excluded. " if counts else ". ")
            + decision.remedy
        )
    best = "; ".join(
        _words(reason.factor, reason.contribution, reason.text) for reason in decision.chosen.reasons[:_NAMED]
    )
    return f"{decision.node} was chosen for {decision.workload_id} with {decision.chosen.score:.3f}: {best}."


def _against(decision: Decision, compared: Candidate, failed: tuple[str, ...], is_of_now: bool) -> str:
    when = " as it is now (the decision kept its alternatives only)" if is_of_now else ""
    if failed:
        return f"{compared.node}{when} is excluded by {', '.join(failed)}."
    if decision.chosen is None:
        return f"{compared.node}{when} would score {compared.score:.3f}."
    own = {reason.factor: reason.contribution for reason in decision.chosen.reasons}
    differences = "; ".join(
        f"{reason.factor} {reason.contribution - own.get(reason.factor, 0.0):+.3f} ({reason.text})"
        for reason in compared.reasons[:_NAMED]
        if abs(reason.contribution - own.get(reason.factor, 0.0)) > 1e-9
    )
    score = f"{compared.node}{when} scores {compared.score:.3f}"
    return f"{score}; what differs most: {differences}." if differences else f"{score}, equal in every factor."


def _words(factor: str, contribution: float, text: str) -> str:
    return f"{factor} {contribution:+.3f} ({text})"
