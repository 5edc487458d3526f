"""A scrape that stops, a host that stops, a stream that ends."""

from tests.unit.anomaly.streams import Reader, make_record, normal, scrapes, slow, story


def test_a_scrape_that_stops_alerts_while_its_host_goes_on() -> None:
    """After twice its longest pause, thirty seconds at least."""
    reader = Reader().read(normal()).read(story(200, 260, api=None))
    assert reader.life == [("service:nova-api@c1", "scrape_stopped", "firing")]
    assert reader.alerts[0]["kind"] == "silence"


def test_a_scrape_that_comes_back_ends_its_alert() -> None:
    """Once it has been there for the quiet time."""
    reader = Reader().read(normal()).read(story(200, 260, api=None)).read(normal(260, 320))
    assert [status for _, _, status in reader.life] == ["firing", "resolved"]


def test_a_stream_that_ends_alerts_nothing() -> None:
    """Nothing comes of anybody: that is no news about one of them."""
    reader = Reader().read(normal())
    assert reader.tick(1).tick(1000).alerts == []


def test_a_pause_of_everything_alerts_nothing() -> None:
    """The collector was away for ten minutes; whoever is first to come back is not the only one alive."""
    assert Reader().read(normal()).read(normal(800, 900)).alerts == []


def test_a_single_missing_scrape_alerts_nothing() -> None:
    """Under load a scrape may fail."""
    records = [*normal(200, 230), *normal(235, 300)]
    assert Reader().read(normal()).read(records).alerts == []


def test_an_open_alert_of_a_stream_that_ends_is_resolved_as_silent() -> None:
    """By wall time, since no event time comes."""
    reader = Reader().read(normal()).read(story(200, 220, api=slow(5.0)))
    reader.tick(301)
    assert reader.alerts[-1]["status"] == "resolved"
    assert reader.alerts[-1]["reason"].startswith("source_silent")


def test_a_pod_that_ends_is_no_news() -> None:
    """Pods and instances come and go; their hosts' and services' scrapes are missed."""
    pod = [make_record(s, "pod:ns/web-1", {"some_gauge": 1.0}) for s in scrapes(0, 200)]
    records = sorted([*normal(0, 300), *pod], key=lambda record: record["event_time"])
    assert Reader().read(records).alerts == []
