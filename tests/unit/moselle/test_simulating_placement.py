"""`moselle simulate placement`: its last line, its page, and what bad input gets."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from moselle.simulating_placement import simulate_placement
from tests.unit.placement.simulated import lay_out

QUICK = ("--nodes", "4", "--hours", "0.2", "--seeds", "2")


def run(*arguments: str) -> Any:
    return CliRunner().invoke(simulate_placement, arguments)


def test_the_last_line_is_one_object(tmp_path: Path) -> None:
    """Scenario, seeds, and for each policy the five measures; with --json no page is left behind."""
    found = run("--data", str(lay_out(tmp_path)), "--scenario", "E", "--json", *QUICK)
    assert found.exit_code == 0, found.output
    figures = json.loads(found.stdout.splitlines()[-1])
    assert (figures["scenario"], figures["seeds"], figures["purpose"]) == ("E", 2, "report")
    measures = {"mean_completion", "p95_slowdown", "utilisation", "violations", "placed_share"}
    for name in ("random", "kube_default", "moselle", "moselle_no_prediction", "oracle"):
        assert measures <= figures["policies"][name].keys()
        assert figures["policies"][name]["violations"] == 0
    assert not list(tmp_path.glob("*.html"))


def test_a_page_and_a_table_come_without_json(tmp_path: Path) -> None:
    """The page stands alone: two pictures, a row a policy, nothing fetched."""
    page = tmp_path / "page.html"
    found = run(
        "--data", str(lay_out(tmp_path)), "--scenario", "B", "--only", "kube_default", "--html", str(page), *QUICK
    )
    assert found.exit_code == 0, found.output
    text = page.read_text()
    assert text.count("<svg") == 2
    assert "<td>kube_default</td>" in text
    assert "http" not in text.replace("http://www.w3.org", "")
    assert "kube_default" in found.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--scenario", "X"), "scenario 'X' is not known: wanted one of A, B, E, F, I"),
        (("--scenario", "A", "--only", "magic"), "policy 'magic' is not known"),
        (("--scenario", "A", "--pods", "none.csv"), "has no list 'none.csv'"),
    ],
)
def test_what_is_not_known_is_refused(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    """One sentence, exit code 1."""
    found = run("--data", str(lay_out(tmp_path)), *arguments)
    assert found.exit_code == 1
    assert words in found.stderr


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    """It says what a folder must hold."""
    found = run("--data", str(tmp_path / "away"), "--scenario", "A")
    assert found.exit_code == 1
    assert "is no folder" in found.stderr
