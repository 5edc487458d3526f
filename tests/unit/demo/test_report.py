"""demo-report.html: complete, self-contained, and safe whatever a log line holds."""

import re

import pytest

from moselle.demo.report import page
from tests.unit.demo.stories import make_alert, make_label, make_seen, make_story

HOSTILE = "<script>alert('x')</script> & \"quoted\" ${headline} $lead"


def test_text_of_the_cloud_is_escaped_everywhere() -> None:
    """A hostile service, rule, summary, reason, note and line stay text, in matched and unmatched alerts."""
    evidence = [{**make_alert(405)["evidence"][0], "raw_line": HOSTILE, "entity_id": HOSTILE}]
    fields = {"summary": HOSTILE, "reason": HOSTILE, "rule": HOSTILE, "service": HOSTILE, "entity_id": HOSTILE}
    alerts = [make_alert(at, name, evidence=evidence, **fields) for at, name in ((405, "a1"), (250, "a2"))]
    label = make_label(400, 440, note=HOSTILE, kind=HOSTILE, service=HOSTILE, visible_in=[HOSTILE])
    html = page(make_story([label], make_seen(*alerts)))
    assert "<script" not in html
    assert html.count("&lt;script&gt;") > 8
    assert "${headline}" in html


def test_the_page_needs_no_network() -> None:
    """Nothing in it is fetched from anywhere."""
    html = page(make_story([make_label(400, 440)], make_seen(make_alert(405))))
    outside = re.findall(r"(?:src|href|url|@import)\s*[=(]\s*[\"']?(?!#)[^\"')\s>]+", html)
    assert outside == []


def test_ids_of_the_pictures_differ() -> None:
    """Three pictures share one page, and a reference must find its own."""
    html = page(make_story([make_label(400, 440)], make_seen(make_alert(405))))
    ids = re.findall(r'\bid="([^"]+)"', html)
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("labels", [[], [make_label(400, 440)]])
def test_a_page_without_alerts_says_so(labels: list[dict[str, object]]) -> None:
    """Nothing found and nothing injected are pages too."""
    html = page(make_story(labels, make_seen()))
    assert "None." in html
    assert f"0 of {len(labels)} injected faults found" in html


def test_a_found_fault_shows_its_evidence() -> None:
    """The line that was counted stands under its fault."""
    html = page(make_story([make_label(400, 440)], make_seen(make_alert(405))))
    assert "405 ERROR nova.compute boom" in html
    assert "7.0 s" in html
