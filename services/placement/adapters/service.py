"""moselle.placement.v1.Placement: calls to the engine, and its errors to status codes."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn, Protocol, TypeVar

import grpc

from services.common.errors import InvalidMessage, MoselleError, Retryable
from services.common.gen.moselle.placement.v1 import placement_pb2 as pb
from services.common.gen.moselle.placement.v1 import placement_pb2_grpc
from services.common.source import Overloaded
from services.placement.adapters import messages
from services.placement.core.checks import MAX_BATCH, MAX_NODES, check_id, check_labels, check_length, check_number
from services.placement.core.decision import Decision
from services.placement.core.explain import Explanation
from services.placement.core.upsert import Upsert
from services.placement.core.workload import PlaceRequest, Profile, Workload
from services.placement.errors import InvalidRequest, NotKnown, NotReady, TooLate, TooMany
from services.placement.metrics import REFUSED

T = TypeVar("T")
add_to_server = placement_pb2_grpc.add_PlacementServicer_to_server
FULL_NAME = pb.DESCRIPTOR.services_by_name["Placement"].full_name

#: Overloaded is a Retryable too: the order counts.
_CODES: tuple[tuple[type[MoselleError], grpc.StatusCode], ...] = (
    (InvalidRequest, grpc.StatusCode.INVALID_ARGUMENT),
    (NotReady, grpc.StatusCode.FAILED_PRECONDITION),
    (NotKnown, grpc.StatusCode.NOT_FOUND),
    (TooMany, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (TooLate, grpc.StatusCode.DEADLINE_EXCEEDED),
    (InvalidMessage, grpc.StatusCode.INVALID_ARGUMENT),
    (Overloaded, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (Retryable, grpc.StatusCode.UNAVAILABLE),
)


class Engine(Protocol):
    """What answers: services/placement/pipeline.py."""

    @property
    def model_version(self) -> str: ...

    def place(self, request: PlaceRequest, is_wanted: Callable[[], bool]) -> Decision: ...

    def place_batch(
        self, requests: Sequence[PlaceRequest], is_gang: bool, is_wanted: Callable[[], bool]
    ) -> list[Decision]: ...

    def score(
        self, workload: Workload, nodes: Sequence[str], profile: Profile, with_reasons: bool
    ) -> tuple[Sequence[Any], float]: ...

    def explain(self, request_id: str, node_id: str) -> Explanation: ...

    def confirm(self, request_id: str, node_id: str, node_version: int) -> tuple[str, ...]: ...

    def release(self, request_id: str, outcome: str, detail: str, event_time: int) -> bool: ...

    def upsert_inventory(self, upsert: Upsert) -> tuple[int, int]: ...

    def watch(self, from_micros: int) -> Iterator[Decision | None]: ...


class PlacementService(placement_pb2_grpc.PlacementServicer):  # type: ignore[misc, unused-ignore]
    """Answers over gRPC."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def Place(self, request: pb.PlaceRequest, context: grpc.ServicerContext) -> pb.PlaceResponse:
        return _answer(context, lambda: self._place(request, context.is_active))

    def _place(self, request: pb.PlaceRequest, is_wanted: Callable[[], bool]) -> pb.PlaceResponse:
        check_labels(request.workload.labels)
        decision = self._engine.place(messages.place_request(request), is_wanted)
        return pb.PlaceResponse(decision=messages.decision(decision))

    def PlaceBatch(self, request: pb.PlaceBatchRequest, context: grpc.ServicerContext) -> pb.PlaceBatchResponse:
        return _answer(context, lambda: self._place_batch(request, context.is_active))

    def _place_batch(self, request: pb.PlaceBatchRequest, is_wanted: Callable[[], bool]) -> pb.PlaceBatchResponse:
        check_id("request_id", request.request_id)
        check_length("workloads", request.workloads, MAX_BATCH)
        for workload in request.workloads:
            check_labels(workload.labels)
        decisions = self._engine.place_batch(messages.batch_requests(request), request.is_gang, is_wanted)
        return pb.PlaceBatchResponse(decisions=[messages.decision(decision) for decision in decisions])

    def Score(self, request: pb.ScoreRequest, context: grpc.ServicerContext) -> pb.ScoreResponse:
        return _answer(context, lambda: self._score(request))

    def _score(self, request: pb.ScoreRequest) -> pb.ScoreResponse:
        check_length("nodes", request.nodes, MAX_NODES)
        check_labels(request.workload.labels)
        answers, staleness = self._engine.score(
            messages.workload(request.workload), request.nodes, messages.profile(request.profile), request.with_reasons
        )
        return pb.ScoreResponse(
            scores=[_node_score(answer) for answer in answers],
            model_version=self._engine.model_version,
            staleness_seconds=staleness,
        )

    def Explain(self, request: pb.ExplainRequest, context: grpc.ServicerContext) -> pb.ExplainResponse:
        return _answer(context, lambda: self._explain(request))

    def _explain(self, request: pb.ExplainRequest) -> pb.ExplainResponse:
        check_id("request_id", request.request_id)
        found = self._engine.explain(request.request_id, request.node)
        return pb.ExplainResponse(
            decision=messages.decision(found.decision),
            compared=messages.candidate(found.compared) if found.compared else None,
            failed_constraints=found.failed_constraints,
            text=found.text,
        )

    def WatchDecisions(
        self, request: pb.WatchDecisionsRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.WatchDecisionsResponse]:
        try:
            check_length("nodes", request.nodes, MAX_NODES)
            check_number("from_micros", request.from_micros, 0, 2.0**62)
            nodes, modes = frozenset(request.nodes), frozenset(request.modes)
            for plain in self._engine.watch(request.from_micros):
                if not context.is_active():
                    return
                if plain is not None and _is_wanted(plain, nodes, modes):
                    yield pb.WatchDecisionsResponse(decision=messages.decision(plain))
        except MoselleError as error:
            _refuse(context, error)

    def Confirm(self, request: pb.ConfirmRequest, context: grpc.ServicerContext) -> pb.ConfirmResponse:
        return _answer(context, lambda: self._confirm(request))

    def _confirm(self, request: pb.ConfirmRequest) -> pb.ConfirmResponse:
        check_id("request_id", request.request_id)
        failed = self._engine.confirm(request.request_id, request.node, request.node_version)
        return pb.ConfirmResponse(is_still_feasible=not failed, failed_constraints=failed)

    def Release(self, request: pb.ReleaseRequest, context: grpc.ServicerContext) -> pb.ReleaseResponse:
        return _answer(context, lambda: self._release(request))

    def _release(self, request: pb.ReleaseRequest) -> pb.ReleaseResponse:
        check_id("request_id", request.request_id)
        outcome = messages.OUTCOMES.get(request.outcome)
        if outcome is None:
            raise InvalidRequest(f"outcome {request.outcome} is not known: give one of Outcome in placement.proto")
        was_reserved = self._engine.release(request.request_id, outcome, request.detail, request.event_time_micros)
        return pb.ReleaseResponse(was_reserved=was_reserved)

    def UpsertInventory(
        self, request: pb.UpsertInventoryRequest, context: grpc.ServicerContext
    ) -> pb.UpsertInventoryResponse:
        return _answer(context, lambda: self._upsert_inventory(request))

    def _upsert_inventory(self, request: pb.UpsertInventoryRequest) -> pb.UpsertInventoryResponse:
        num_published, num_removed = self._engine.upsert_inventory(messages.upsert(request))
        return pb.UpsertInventoryResponse(num_published=num_published, num_removed=num_removed)


def _node_score(answer: Any) -> pb.NodeScore:
    is_feasible = not answer.failed_constraints
    return pb.NodeScore(
        node=answer.node,
        score=answer.candidate.score if is_feasible else 0.0,
        is_feasible=is_feasible,
        failed_constraints=answer.failed_constraints,
        reasons=messages.reasons(answer.candidate.reasons) if answer.candidate else [],
    )


def _is_wanted(plain: Decision, nodes: frozenset[str], modes: frozenset[int]) -> bool:
    return (not nodes or plain.node in nodes) and (not modes or messages.MODES[plain.mode] in modes)


def _answer(context: grpc.ServicerContext, ask: Callable[[], T]) -> T:
    try:
        return ask()
    except MoselleError as error:
        _refuse(context, error)


def _refuse(context: grpc.ServicerContext, error: MoselleError) -> NoReturn:
    code = next((code for kind, code in _CODES if isinstance(error, kind)), grpc.StatusCode.INTERNAL)
    REFUSED.labels(code.name).inc()
    context.abort(code, str(error))
    raise AssertionError("abort raises")
