"""Training BERT, and that both runtimes give the same scores. Needs torch."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch

from services.common.errors import SettingsInvalid
from services.logbert.core.events import LogEvent
from services.logbert.core.sequences import Shape
from services.logbert.model.bert import SHIPPED, load_bert
from services.logbert.train.dataset import Recording, Templates
from services.logbert.train.make_bert import make_artifact
from services.logbert.train.train_bert import TrainSettings
from tests.unit.logbert.streams import make_event

GOLDEN = Path(__file__).parent.parent.parent / "golden" / "data" / "logbert_loss.json"
TINY = TrainSettings(seed=3, num_steps=60, batch_windows=16, warmup_steps=10, width=16, num_layers=1, num_heads=2)


def make_recording(num_events: int = 600) -> Recording:
    """A program that says three things in turn, and now and then a fourth."""
    chance = random.Random(5)
    says = ("begin work", "do work", "end work")
    bodies = ["have a break" if chance.random() < 0.1 else says[number % 3] for number in range(num_events)]
    events: list[LogEvent] = [make_event(number / 2, body=body) for number, body in enumerate(bodies)]
    return Recording(events, Templates())


def train(output: Path, settings: TrainSettings = TINY) -> str:
    """The version of an artifact made of that recording."""
    return make_artifact(make_recording(), output, settings, "a command", "a test", Shape(8, 30.0, 4)).version


def test_the_loss_of_a_tiny_network_is_as_ever(tmp_path: Path) -> None:
    """Its course, seeded; refactoring leaves it alone. Delete the file and run again to write it anew."""
    train(tmp_path / "one")
    curve = json.loads((tmp_path / "one" / "manifest.json").read_text())["metrics"]["loss_curve"]
    if not GOLDEN.exists():
        GOLDEN.write_text(json.dumps(curve) + "\n", encoding="utf-8")
    assert curve == pytest.approx(json.loads(GOLDEN.read_text()), abs=0.02)
    assert curve[-1] < 0.7 * curve[0]


def test_the_same_seed_gives_the_same_artifact(tmp_path: Path) -> None:
    """File for file on one machine; another seed gives another."""
    versions = [train(tmp_path / name, settings) for name, settings in (("a", TINY), ("b", TINY))]
    assert versions[0] == versions[1]
    assert train(tmp_path / "c", TrainSettings(**{**TINY.__dict__, "seed": 4})) != versions[0]


def test_too_little_data_is_refused(tmp_path: Path) -> None:
    """With the number seen and the number wanted."""
    few = make_recording(30)
    with pytest.raises(SettingsInvalid, match="30 log events are too few"):
        make_artifact(few, tmp_path / "few", TINY, "a command", "a test")
    assert not (tmp_path / "few").exists()


def test_both_runtimes_give_the_same_scores() -> None:
    """ONNX Runtime from model.onnx, torch from model.safetensors: windows of all lengths, known and unknown words."""
    onnx, by_torch = load_bert(SHIPPED), load_bert(SHIPPED, "torch-cpu")
    chance = random.Random(1)
    words = [*range(len(onnx.vocabulary)), "disk <*> is full", "kernel panic"]
    windows = [tuple(chance.choices(words, k=1 + number % onnx.shape.length)) for number in range(100)]
    onnx.scorer.prepare(windows)
    by_torch.scorer.prepare(windows)
    for window in windows:
        one, two = onnx.scorer.score(window), by_torch.scorer.score(window)
        assert one is not None
        assert two is not None
        assert np.allclose(one.surprises, two.surprises, atol=2e-3)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there_is_named() -> None:
    """The sentence names the setting, the value and the remedy."""
    with pytest.raises(SettingsInvalid, match="MOSELLE_LOGBERT_DEVICE='cuda': torch sees no GPU; set it to cpu"):
        load_bert(SHIPPED, "cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
def test_a_gpu_gives_the_same_scores() -> None:
    """As the CPU, within a thousandth."""
    cpu, gpu = load_bert(SHIPPED), load_bert(SHIPPED, "cuda")
    one, two = cpu.scorer.score(tuple(range(20))), gpu.scorer.score(tuple(range(20)))
    assert one is not None
    assert two is not None
    assert np.allclose(one.surprises, two.surprises, atol=2e-3)
