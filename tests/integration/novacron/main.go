// Asks the facade as NovaCron's Go code does, with the same unchecked type assertions: a field that is missing or of
// another type panics. Written from the contract; run by tests/integration/test_novacron.py.
//
// usage: novacron BASE_URL NODE OTHER_NODE
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

type object = map[string]interface{}

var (
	base   string
	client = &http.Client{Timeout: 10 * time.Second}
	calls  int
)

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// ask posts a question and decodes whatever comes back, as long as the status is the expected one.
func ask(path string, question interface{}, status int, answer interface{}) {
	body, err := json.Marshal(question)
	must(err)
	response, err := client.Post(base+path, "application/json", bytes.NewReader(body))
	must(err)
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	must(err)
	if response.StatusCode != status {
		must(fmt.Errorf("%s: status %d, wanted %d: %s", path, response.StatusCode, status, raw))
	}
	if err := json.Unmarshal(raw, answer); err != nil {
		must(fmt.Errorf("%s: %w: %s", path, err, raw))
	}
	calls++
}

func texts(value interface{}) (found []string) {
	for _, one := range value.([]interface{}) {
		found = append(found, one.(string))
	}
	return found
}

// orchestrator reads the answers of one path as migration/orchestrator.go does.
var orchestrator = map[string]func(object){
	"/predict/migration_time": func(a object) {
		_ = time.Duration(a["duration_seconds"].(float64)) * time.Second
		_ = a["confidence"].(float64)
	},
	"/predict/bandwidth":    func(a object) { _ = int64(a["bandwidth"].(float64)) },
	"/predict/optimal_path": func(a object) { _ = texts(a["path"]) },
	"/optimize/migration_strategy": func(a object) {
		_ = a["type"].(string)
		_ = int(a["memory_iterations"].(float64))
		_ = int(a["compression_level"].(float64))
		_ = int64(a["bandwidth_allocation"].(float64))
		_ = a["confidence"].(float64)
	},
	"/optimize/compression": func(a object) {
		_ = a["type"].(string)
		_ = int(a["level"].(float64))
		_ = int(a["chunk_size"].(float64))
		_ = a["confidence"].(float64)
	},
	"/optimize/memory_iterations": func(a object) { _ = int(a["iterations"].(float64)) },
	"/analyze/network_conditions": func(a object) {
		_ = int64(a["bandwidth"].(float64))
		_ = int(a["latency"].(float64))
		_ = a["packet_loss"].(float64)
		_ = int(a["jitter"].(float64))
		_ = a["congestion_level"].(float64)
		_ = a["predicted_stability"].(float64)
	},
	"/analyze/anomalies": func(a object) {
		for _, one := range a["anomalies"].([]interface{}) {
			found := one.(object)
			_ = texts(found["recommendations"])
			_, _ = found["type"].(string), found["severity"].(string)
			_, _ = found["message"].(string), found["confidence"].(float64)
		}
	},
	"/recommend/adjustments": func(a object) {
		for _, one := range a["recommendations"].([]interface{}) {
			found := one.(object)
			_, _ = found["parameter"].(string), found["reason"].(string)
			_, _ = found["impact"].(string), found["confidence"].(float64)
			_ = found["recommended_value"].(float64)
		}
	},
	"/analyze/patterns": func(a object) {
		for _, one := range a["patterns"].([]interface{}) {
			found := one.(object)
			_ = texts(found["recommendations"])
			_, _ = found["pattern"].(string), int(found["frequency"].(float64))
			_, _ = found["success_rate"].(float64), time.Duration(found["avg_duration"].(float64))
		}
	},
	"/predict/failure_risk": func(a object) { _ = a["risk"].(float64) },
}

func migrations(node, other string) {
	counters := object{"migration_id": "m", "bytes_transferred": int64(1), "transfer_rate": int64(1000),
		"dirty_pages": int64(90000), "iterations": int32(7), "phase": "memory_copy"}
	questions := map[string]object{
		"/predict/migration_time": {"source_node": node, "dest_node": other, "vm_size": "large"},
		"/predict/bandwidth":      {"vm_size": "4GB", "network_conditions": "congested"},
		"/predict/optimal_path": {"source_node": node, "dest_node": other,
			"network_topology": object{"connections": map[string][]string{node: {other}}}},
		"/optimize/migration_strategy": {
			"vm_data":      object{"vm_id": "vm", "memory_size": "4GB", "cpu_cores": 4, "disk_size": "100GB", "workload_type": "general"},
			"network_data": object{"source_node": node, "destination_node": other, "bandwidth": int64(1 << 30)}},
		"/optimize/compression":       {"data_profile": object{"type": "text", "memory_available": int64(1 << 33)}},
		"/optimize/memory_iterations": {"vm_memory_pattern": object{"memory_size": "4GB"}},
		"/analyze/network_conditions": {"node_id": node},
		"/analyze/anomalies":          {"metrics": counters},
		"/recommend/adjustments":      {"migration_id": "m", "current_metrics": counters},
		"/analyze/patterns": {"historical_data": []object{{"id": "1", "source_node": node, "destination_node": other,
			"vm_size": "large", "success": true, "duration": 60 * time.Second, "downtime": time.Second, "metrics": nil,
			"timestamp": time.Now()}}},
		"/predict/failure_risk": {"migration_params": object{"source_node": node, "destination_node": other}},
	}
	for path, read := range orchestrator {
		for _, question := range []object{questions[path], strangers(questions[path])} {
			var answer object
			ask(path, question, 200, &answer)
			read(answer)
		}
		// What is refused has every field too.
		var refused object
		ask(path, []int{1}, 400, &refused)
		_ = refused["error"].(string)
		read(refused)
	}
}

// strangers is the same question about nodes and things that nobody knows, with Go's nil for maps and lists.
func strangers(question object) object {
	found := object{}
	for name, value := range question {
		if _, is := value.(string); is {
			found[name] = "stranger"
		} else {
			found[name] = nil
		}
	}
	return found
}

// scheduler asks and reads as scheduler.go does: into typed structs, free maps, a number or a list of numbers.
func scheduler(node, other string) {
	for _, name := range []string{node, "stranger"} {
		for _, resource := range []string{"cpu", "memory", "disk", "network"} {
			var demand struct {
				Prediction interface{} `json:"prediction"`
				Confidence float64     `json:"confidence"`
			}
			ask("/predict/resources", object{"resource_id": name, "metrics": map[string]float64{resource + "_usage": 0.5},
				"prediction_horizon": 60}, 200, &demand)
			for _, value := range demand.Prediction.([]interface{}) {
				_ = value.(float64)
			}
		}
	}
	for _, metrics := range []map[string]float64{{"cpu_usage": 0.97, "anomaly_score": 0.1}, nil} {
		var anomaly struct {
			IsAnomaly       bool     `json:"is_anomaly"`
			AnomalyScore    float64  `json:"anomaly_score"`
			Recommendations []string `json:"recommendations"`
		}
		ask("/detect/anomaly", object{"resource_id": "node_metrics", "metrics": metrics}, 200, &anomaly)
	}
	var scaling struct {
		Decisions []object `json:"decisions"`
	}
	ask("/optimize/scaling", object{"vm_id": "vm", "current_resources": map[string]float64{"cpu_usage": 0.95},
		"historical_data": []object(nil)}, 200, &scaling)
	for path, question := range map[string]object{
		"/predict/migration": {"vm_id": "vm", "source_host": node, "target_hosts": []string{other}, "vm_metrics": map[string]float64(nil)},
		"/analyze/workload":  {"vm_id": "vm", "workload_data": []object{{"cpu_usage": 0.5}}},
		"/optimize/performance": {"cluster_id": "default", "performance_data": []object{{"cpu_usage": 0.5}},
			"optimization_goals": []string(nil)},
		"/optimize/bandwidth": {"network_id": "net", "traffic_data": []object(nil), "qos_requirements": map[string]float64(nil)},
	} {
		var free object
		ask(path, question, 200, &free)
	}
}

type modelInfo struct {
	Name, Version string
	Accuracy      float64
	LastTrained   time.Time `json:"last_trained"`
}

// process asks through the envelope and decodes the data into the struct that integration_layer.go has for it.
func process(service, method string, data interface{}, into interface{}, wanted bool) {
	var response struct {
		ID           string
		Success      bool
		Data         object
		Error        string
		Confidence   float64
		ProcessTime  float64 `json:"process_time"`
		ModelVersion string  `json:"model_version"`
	}
	ask("/api/v1/process", object{"id": "7", "service": service, "method": method, "data": data}, 200, &response)
	if response.Success != wanted || response.ID != "7" {
		must(fmt.Errorf("%s/%s: success %v, error %q", service, method, response.Success, response.Error))
	}
	raw, err := json.Marshal(response.Data)
	must(err)
	must(json.Unmarshal(raw, into))
}

func integration(node string) {
	points := []object{{"timestamp": time.Now(), "value": 1.5, "metadata": object{"a": 1}}, {"timestamp": time.Now(), "value": 2}}
	for _, name := range []string{node, "distributed_cluster", "stranger"} {
		var demand struct {
			Predictions []float64
			Confidence  float64
			ModelInfo   modelInfo `json:"model_info"`
		}
		process("resource_prediction", "predict_demand", object{"node_id": name, "resource_type": "cpu",
			"horizon_minutes": 120, "historical_data": points}, &demand, true)
		var anomalies struct {
			Anomalies []struct {
				Timestamp       time.Time
				Severity        string
				Score           float64
				AffectedMetrics []string `json:"affected_metrics"`
			}
			OverallScore float64 `json:"overall_score"`
			Baseline     map[string]float64
			ModelInfo    modelInfo `json:"model_info"`
		}
		process("anomaly_detection", "detect", object{"resource_id": name, "metric_type": "system_performance",
			"data_points": points, "sensitivity": 0.1, "context": object{}}, &anomalies, true)
	}
	var performance struct {
		Recommendations []struct {
			Type, Target, Action, Impact string
			Parameters                   object
			Priority                     int
			Confidence                   float64
		}
		ExpectedGains  map[string]float64 `json:"expected_gains"`
		RiskAssessment struct {
			OverallRisk   float64            `json:"overall_risk"`
			RiskFactors   []string           `json:"risk_factors"`
			RiskBreakdown map[string]float64 `json:"risk_breakdown"`
		} `json:"risk_assessment"`
		Confidence float64
	}
	process("performance_optimization", "optimize_cluster", object{"cluster_id": "c", "cluster_data": object{},
		"goals": []string{"reduce_energy_consumption"}, "constraints": object{"max_cpu_threshold": 0.85}}, &performance, true)
	var workload struct {
		Patterns []struct {
			Type      string
			StartTime time.Time `json:"start_time"`
			EndTime   time.Time `json:"end_time"`
			Frequency string
		}
		Classification string
		Seasonality    struct {
			HasSeasonality bool `json:"has_seasonality"`
			Period         time.Duration
			PeakTimes      []time.Time `json:"peak_times"`
		}
		Recommendations []string
		Confidence      float64
	}
	process("workload_pattern_recognition", "analyze_patterns", object{"workload_id": "w", "time_range": object{},
		"metric_types": []string{"cpu"}, "data_points": points}, &workload, true)
	var scaling object
	process("predictive_scaling", "predict_scaling", object{"current_capacity": map[string]float64{"cpu_capacity": 1000},
		"job_queue_length": 3, "historical_usage": object{"peak_hours": []int{9}}}, &scaling, true)
	for _, one := range scaling["scaling_actions"].([]interface{}) {
		action := one.(object)
		_, _, _ = action["action"].(string), action["resource"].(string), action["target_capacity"].(float64)
	}
	process("model_management", "get_info", object{"model_type": "x"}, &modelInfo{}, true)
	process("model_training", "train", object{"model_type": "x", "training_data": nil}, &object{}, false)
	process("health", "check", object{}, &object{}, true)
}

func main() {
	base = os.Args[1]
	migrations(os.Args[2], os.Args[3])
	scheduler(os.Args[2], os.Args[3])
	integration(os.Args[2])
	response, err := client.Get(base + "/health")
	must(err)
	response.Body.Close()
	if response.StatusCode != 200 {
		must(fmt.Errorf("health: %s", response.Status))
	}
	fmt.Println(calls, "answers read")
}
