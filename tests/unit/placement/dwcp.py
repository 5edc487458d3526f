"""What NovaCron's Go code reads of each answer, asserted or into typed structs, and questions as it asks them.

Taken from backend/core/scheduler/scheduler.go, backend/core/migration/orchestrator.go, backend/core/ai/
integration_layer.go and backend/core/compute/distributed_ai_service.go.
"""

from typing import Any

from tests.unit.placement.worlds import GIB, Cloud, make_alert, make_features, make_node, make_prediction

NUMBER, TEXT, FLAG, OBJECT = "number", "text", "flag", "object"
TEXTS, NUMBERS = [TEXT], [NUMBER]

#: Path to the fields that must be there and of that kind; a list holds things of one kind.
READS: dict[str, dict[str, Any]] = {
    "/predict/resources": {"prediction": NUMBERS, "confidence": NUMBER},
    "/detect/anomaly": {"is_anomaly": FLAG, "anomaly_score": NUMBER, "recommendations": TEXTS},
    "/predict/migration": {"recommended_host": TEXT, "confidence": NUMBER, "reasons": TEXTS, "migration_score": NUMBER},
    "/analyze/workload": {"workload_type": TEXT, "pattern_type": TEXT, "confidence": NUMBER, "recommendations": TEXTS},
    "/optimize/scaling": {"decisions": [OBJECT]},
    "/optimize/performance": {"optimizations": [OBJECT], "confidence": NUMBER},
    "/optimize/bandwidth": {"bandwidth_allocation": OBJECT, "estimated_savings": NUMBER},
    "/predict/migration_time": {"duration_seconds": NUMBER, "confidence": NUMBER},
    "/predict/bandwidth": {"bandwidth": NUMBER},
    "/predict/optimal_path": {"path": TEXTS},
    "/optimize/migration_strategy": {
        "type": TEXT, "memory_iterations": NUMBER, "compression_level": NUMBER, "bandwidth_allocation": NUMBER,
        "confidence": NUMBER,
    },
    "/optimize/compression": {"type": TEXT, "level": NUMBER, "chunk_size": NUMBER, "confidence": NUMBER},
    "/optimize/memory_iterations": {"iterations": NUMBER},
    "/analyze/network_conditions": {
        "bandwidth": NUMBER, "latency": NUMBER, "packet_loss": NUMBER, "jitter": NUMBER, "congestion_level": NUMBER,
        "predicted_stability": NUMBER,
    },
    "/analyze/anomalies": {
        "anomalies": [{"type": TEXT, "severity": TEXT, "message": TEXT, "confidence": NUMBER, "recommendations": TEXTS}]
    },
    "/recommend/adjustments": {
        "recommendations": [
            {"parameter": TEXT, "recommended_value": NUMBER, "reason": TEXT, "confidence": NUMBER, "impact": TEXT}
        ]
    },
    "/analyze/patterns": {
        "patterns": [
            {"pattern": TEXT, "frequency": NUMBER, "success_rate": NUMBER, "avg_duration": NUMBER,
             "recommendations": TEXTS}
        ]
    },
    "/predict/failure_risk": {"risk": NUMBER},
}  # fmt: skip
_INFO = {"name": TEXT, "version": TEXT, "training_data": TEXT, "accuracy": NUMBER, "last_trained": TEXT}
#: Service and method to the fields of `data`.
PROCESS_READS: dict[tuple[str, str], dict[str, Any]] = {
    ("resource_prediction", "predict_demand"): {"predictions": NUMBERS, "confidence": NUMBER, "model_info": _INFO},
    ("performance_optimization", "optimize_cluster"): {
        "recommendations": [{"type": TEXT, "target": TEXT, "action": TEXT, "priority": NUMBER, "confidence": NUMBER}],
        "expected_gains": OBJECT,
        "risk_assessment": {"overall_risk": NUMBER, "risk_factors": TEXTS, "mitigations": TEXTS},
        "confidence": NUMBER,
    },
    ("anomaly_detection", "detect"): {
        "anomalies": [{"timestamp": TEXT, "severity": TEXT, "score": NUMBER, "description": TEXT}],
        "overall_score": NUMBER, "baseline": OBJECT, "model_info": _INFO,
    },
    ("workload_pattern_recognition", "analyze_patterns"): {
        "patterns": [{"type": TEXT, "start_time": TEXT, "end_time": TEXT, "intensity": NUMBER, "confidence": NUMBER}],
        "classification": TEXT, "seasonality": {"has_seasonality": FLAG, "period": NUMBER, "strength": NUMBER},
        "recommendations": TEXTS, "confidence": NUMBER,
    },
    ("predictive_scaling", "predict_scaling"): {
        "scaling_actions": [{"action": TEXT, "resource": TEXT, "target_capacity": NUMBER}]
    },
    ("model_training", "train"): {},
    ("model_management", "get_info"): _INFO,
    ("health", "check"): {"status": TEXT},
}  # fmt: skip
ENVELOPE = {"id": TEXT, "success": FLAG, "data": OBJECT, "error": TEXT, "confidence": NUMBER, "process_time": NUMBER,
            "model_version": TEXT}  # fmt: skip


def misses(answer: Any, wanted: Any, where: str = "$") -> list[str]:
    """Where an answer is not what Go reads; empty when it is."""
    if isinstance(wanted, dict):
        if not isinstance(answer, dict):
            return [where]
        return [miss for name, kind in wanted.items() for miss in misses(answer.get(name), kind, f"{where}.{name}")]
    if isinstance(wanted, list):
        if not isinstance(answer, list):
            return [where]
        return [miss for one in answer for miss in misses(one, wanted[0], f"{where}[]")]
    is_right = {
        NUMBER: isinstance(answer, (int, float)) and not isinstance(answer, bool),
        TEXT: isinstance(answer, str), FLAG: isinstance(answer, bool), OBJECT: isinstance(answer, dict),
    }[wanted]  # fmt: skip
    return [] if is_right else [where]


#: A good question for each path.
QUESTIONS: dict[str, dict[str, Any]] = {
    "/predict/resources": {"resource_id": "n1", "metrics": {"cpu_usage": 0.5}, "prediction_horizon": 15},
    "/detect/anomaly": {"resource_id": "node_metrics", "metrics": {"cpu_usage": 0.97, "prev_cpu_usage": 0.2}},
    "/predict/migration": {
        "vm_id": "vm-1", "source_host": "n1", "target_hosts": ["n2", "n3"], "vm_metrics": {"memory_mb": 2048}
    },
    "/analyze/workload": {"vm_id": "vm-1", "workload_data": [{"cpu_usage": 0.1 * (n % 10)} for n in range(60)]},
    "/optimize/scaling": {"vm_id": "vm-1", "current_resources": {"cpu_usage": 0.95}, "historical_data": None},
    "/optimize/performance": {
        "cluster_id": "default", "performance_data": [{"cpu_usage": 0.5}], "optimization_goals": ["reduce_energy"]
    },
    "/optimize/bandwidth": {
        "network_id": "net", "traffic_data": [{"source": "n1", "destination": "n2", "bandwidth_usage": 400.0}],
        "qos_requirements": {"total_bandwidth": 600.0},
    },
    "/predict/migration_time": {"source_node": "n1", "dest_node": "n2", "vm_size": "4GB"},
    "/predict/bandwidth": {"vm_size": "large", "network_conditions": "congested"},
    "/predict/optimal_path": {
        "source_node": "n1", "dest_node": "n3", "network_topology": {"connections": {"n1": ["n2"], "n2": ["n3"]}}
    },
    "/optimize/migration_strategy": {
        "vm_data": {"vm_id": "vm-1", "memory_size": "4GB", "cpu_cores": 4, "disk_size": "100GB",
                    "workload_type": "general"},
        "network_data": {"source_node": "n1", "destination_node": "n2", "bandwidth": 50_000_000},
    },
    "/optimize/compression": {"data_profile": {"type": "text", "bandwidth": 30_000_000, "memory_available": 2**33}},
    "/optimize/memory_iterations": {
        "vm_memory_pattern": {"memory_size": "4GB", "dirty_page_rate": 1000, "bandwidth": 100_000_000}
    },
    "/analyze/network_conditions": {"node_id": "n1"},
    "/analyze/anomalies": {
        "metrics": {"migration_id": "m", "bytes_transferred": 1, "transfer_rate": 1000, "dirty_pages": 90_000,
                    "iterations": 7, "phase": "memory_copy"}
    },
    "/recommend/adjustments": {"migration_id": "m", "current_metrics": {"transfer_rate": 1000, "dirty_pages": 90_000}},
    "/analyze/patterns": {
        "historical_data": [
            {"id": "1", "source_node": "n1", "destination_node": "n2", "vm_size": "large", "success": True,
             "duration": 60_000_000_000, "downtime": 1, "metrics": None, "timestamp": "2026-01-01T00:00:00Z"}
        ]
    },
    "/predict/failure_risk": {"migration_params": {"source_node": "n1", "destination_node": "n2"}},
}  # fmt: skip


def make_cloud() -> Cloud:
    """Three nodes: n1 forecast and measured, n2 sick, n3 known by its inventory only."""
    facts = {"bandwidth_mbps": 1000.0, "latency_ms": 2.0, "cost_per_hour": 1.0, "idle_watts": 100.0}
    cloud = Cloud(*(make_node(f"n{number}", capacity=facts) for number in (1, 2, 3)))
    cloud.say(
        make_prediction(),
        make_features(cpu_used_ratio=0.2, memory_used_ratio=0.4, network_io_bytes_per_second=25e6),
        make_alert("host:n2"),
    )
    return cloud


__all__ = ["ENVELOPE", "GIB", "PROCESS_READS", "QUESTIONS", "READS", "make_cloud", "misses"]
