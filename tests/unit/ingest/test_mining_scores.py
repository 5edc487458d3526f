"""GA, PA, FGA and FTA by hand-made cases, and the sets that they are measured on."""

import gzip
import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from moselle.evaluating_mining import evaluate_mining
from services.ingest.train.mining_scores import corrected, scores, share_within

LABELS = st.lists(st.sampled_from(["a", "b <*>", "c <*> d", "<*>", "b x"]), min_size=1, max_size=30)


@pytest.mark.parametrize(
    ("true", "mined", "expected"),
    [
        # all right
        (["a", "a", "b <*>"], ["a", "a", "b <*>"], (1.0, 1.0, 1.0, 1.0)),
        # groups right, one text wrong
        (["a", "a", "b <*>"], ["a", "a", "b x"], (1.0, 2 / 3, 1.0, 0.5)),
        # one group split: its lines count in nothing of GA; half of its lines have the right text
        (["b <*>", "b <*>", "a", "a"], ["b <*>", "b x", "a", "a"], (0.5, 0.75, 2 * 1 / (3 + 2), 2 * 2 / (3 + 2))),
        # two groups merged under the text of one: PA gives its lines, FTA nothing
        (["b <*>", "c", "a", "a"], ["b <*>", "b <*>", "a", "a"], (0.5, 0.75, 2 * 1 / (2 + 3), 2 * 1 / (2 + 3))),
        # nothing right
        (["a", "b <*>"], ["x", "x"], (0.0, 0.0, 0.0, 0.0)),
    ],
)
def test_scores_of_small_cases(true: list[str], mined: list[str], expected: tuple[float, ...]) -> None:
    """Counted by hand from the definitions."""
    assert scores(true, mined) == pytest.approx(expected)


def test_finer_groups_lie_within_coarser_ones() -> None:
    """And the other way round only what was not split."""
    mined, true = ["VM Paused", "VM Resumed", "x", "x"], ["VM <*>", "VM <*>", "x", "x"]
    assert (share_within(mined, true), share_within(true, mined)) == (1.0, 0.5)


@given(LABELS)
def test_the_truth_scores_one(true: list[str]) -> None:
    """Whatever it is."""
    assert scores(true, true) == (1.0, 1.0, 1.0, 1.0)


@given(LABELS, st.permutations(["a", "b <*>", "c <*> d", "<*>", "b x"]))
def test_other_names_for_the_same_groups_leave_the_grouping(true: list[str], names: list[str]) -> None:
    """GA and FGA look at groups only."""
    other = dict(zip(["a", "b <*>", "c <*> d", "<*>", "b x"], names, strict=True))
    found = scores(true, [other[label] for label in true])
    assert (found.GA, found.FGA) == (1.0, 1.0)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("a  b ", "a b"), ("blk_<*> of 12", "<*> of <*>"), ("<*>.<*>.<*>", "<*>"), ("<*><*>", "<*>"),
        ("user=<*>, x", "user=<*>, x"), ("<*> <*>", "<*> <*>"), ("a/<*>", "a/<*>"), ("<*>:<*>", "<*>:<*>"),
    ],
)  # fmt: skip
def test_corrections(template: str, expected: str) -> None:
    """As Khan et al. write templates."""
    assert corrected(template) == expected
    assert corrected(expected) == expected


def test_lines_without_templates_are_a_mistake() -> None:
    """Of whoever calls."""
    with pytest.raises(ValueError, match="1 true and 2 mined"):
        scores(["a"], ["a", "b"])


def make_table(folder: Path, name: str, rows: str, header: str = "LineId,Content,EventId,EventTemplate") -> None:
    """A system's table, as loghub names it."""
    (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / name / f"{name}_2k.log_structured_corrected.csv").write_text(f"{header}\n{rows}")


def test_every_set_is_scored_beside_drain3(tmp_path: Path) -> None:
    """The last line is JSON with both, each with its mean."""
    rows = "".join(f"{n},Took {n} seconds,E1,Took <*> seconds\n" for n in range(1, 30))
    make_table(tmp_path, "Alpha", rows)
    make_table(tmp_path, "Beta", rows + "30,VM Paused,E2,VM Paused\n")
    result = CliRunner().invoke(evaluate_mining, ["--data", str(tmp_path), "--json"])
    assert result.exit_code == 0, result.output
    figures = json.loads(result.stdout.splitlines()[-1])
    for miner in (figures, figures["rivals"]["drain3"]):
        assert miner["sets"].keys() == {"Alpha", "Beta"}
        assert miner["sets"]["Alpha"]["GA"] == miner["mean"]["GA"] == 1.0
        assert miner["sets"]["Beta"]["lines_per_second"] > 0
    assert "Beta" in result.stderr


def test_given_templates_are_compared_with_mined_ones(tmp_path: Path) -> None:
    """In a folder with oslo JSON: what has arguments is compared, all else is left out."""
    lines = [json.dumps({"message": f"Took {n} seconds", "msg": "Took %d seconds", "args": [n]}) for n in range(5)]
    lines += [json.dumps({"message": "Rebooting", "msg": "Rebooting", "args": []}), "no JSON", "[1]"]
    (tmp_path / "json").mkdir()
    with gzip.open(tmp_path / "json" / "nova.json.log.gz", "wt") as file:
        file.write("\n".join(lines))
    result = CliRunner().invoke(evaluate_mining, ["--data", str(tmp_path)])
    assert result.exit_code == 0, result.output
    figures = json.loads(result.stdout.splitlines()[-1])
    assert figures["sets"] == {}
    assert figures["given"]["sets"]["json"]["lines"] == 5
    assert figures["given"]["mean"]["GA"] == 1.0


@pytest.mark.parametrize(
    ("rows", "header", "words"),
    [
        ("", "Content,EventTemplate", "lacks lines"),
        ("1,a\n", "LineId,Content", "lacks the columns EventTemplate"),
        ("a,\n", "Content,EventTemplate", "lacks lines"),
    ],
)
def test_a_table_that_lacks_something_is_named(tmp_path: Path, rows: str, header: str, words: str) -> None:
    """One sentence, exit code 1."""
    make_table(tmp_path, "Alpha", rows, header)
    result = CliRunner().invoke(evaluate_mining, ["--data", str(tmp_path)])
    assert (result.exit_code, result.stdout) == (1, "")
    assert words in result.stderr
    assert "Alpha_2k.log_structured_corrected.csv" in result.stderr


def test_folders_without_anything_to_score_are_refused(tmp_path: Path) -> None:
    """Empty, or not there; and no folder named at all is wrong usage."""
    for folder in (tmp_path, tmp_path / "missing"):
        result = CliRunner().invoke(evaluate_mining, ["--data", str(folder)])
        assert result.exit_code == 1
        assert str(folder) in result.stderr
    assert CliRunner().invoke(evaluate_mining, []).exit_code == 2


@pytest.mark.parametrize(
    "content", [b"no gzip", gzip.compress(b'{"msg": "a %s", "args": ["x"]}' * 9)[:-9]], ids=["no_gzip", "cut_short"]
)
def test_a_damaged_log_is_told(content: bytes, tmp_path: Path) -> None:
    """With its name, and what may be wrong with it."""
    (tmp_path / "a.json.log.gz").write_bytes(content)
    result = CliRunner().invoke(evaluate_mining, ["--data", str(tmp_path), "--json"])
    assert result.exit_code == 1
    assert "a.json.log.gz cannot be read to its end" in result.stderr
