"""Whom a log line accuses, by general knowledge only."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.entities import canonical_program
from services.logbert.core.knowledge import mentions, suspect
from tests.unit.logbert.streams import make_event


@pytest.mark.parametrize(
    ("body", "service"),
    [
        ("Unable to establish connection to http://10.1.2.3:9696/v2.0/ports", "neutron-server"),
        ("Unable to establish connection to http://[fd00::1]:8778/allocations", "placement-api"),
        ("AMQP server on mq-2:5672 is unreachable: timed out. Trying again in 1 seconds.", "rabbitmq"),
        ("(pymysql.err.OperationalError) (2003, \"Can't connect to MySQL server on 'db'\")", "mariadb"),
        (
            "No valid host was found. : nova.exception_Remote.NoValidHost_Remote: No valid host was found.",
            "nova-scheduler",
        ),
        ("oslo_messaging.exceptions.MessagingTimeout: Timed out waiting for a reply", "rabbitmq"),
        ("nova.exception.ImageNotFound: Image 1234 could not be found.", "glance-api"),
        ("dial tcp 10.0.0.1:2379: connect: connection refused", "etcd"),
        ("listening on http://0.0.0.0:9696", ""),
        ("an ordinary sentence", ""),
    ],
)
def test_the_accused(body: str, service: str) -> None:
    """A refused port, an exception class or a library names the culprit; a port that is merely mentioned does not."""
    assert suspect(make_event(body=body)) == service


def test_the_exception_counts_as_text() -> None:
    """A folded traceback's class accuses, whatever the line says."""
    exception = {
        "type": "oslo_db.exception.DBConnectionError",
        "message": "gone",
        "innermost_frame": "",
        "traceback": "",
    }
    assert suspect(make_event(body="Unexpected error", exception=exception)) == "mariadb"


def test_the_logger_counts_last() -> None:
    """A library's logger accuses what the library speaks to, below its packages too."""
    assert suspect(make_event(logger="oslo.messaging._drivers.impl_rabbit.pool")) == "rabbitmq"


def test_not_authenticated_accuses_keystone() -> None:
    """401 in an access line."""
    http = {"method": "GET", "target": "/", "status": 401, "duration_seconds": None}
    assert suspect(make_event(http=http)) == "keystone"


def test_mentions_name_dependencies_once() -> None:
    """Host and port, protocols and service names; no times of day, no source lines."""
    body = "12:30:45 api.py:1234 cannot reach db-1:3306 (MySQL), asked nova-conductor twice, nova-conductor, via AMQP"
    assert mentions(make_event(body=body)) == ("db-1:3306", "amqp", "mysql", "nova-conductor")


def test_programs_by_several_names_are_one() -> None:
    """An access log's program is the service's."""
    assert canonical_program("placement-uwsgi.log") == "placement-api"
    assert canonical_program("nova-compute-3") == "nova-compute"


@given(st.text(max_size=300))
def test_any_text_is_read(body: str) -> None:
    """Nothing raises; each dependency is named once."""
    event = make_event(body=body)
    named = mentions(event)
    assert isinstance(suspect(event), str)
    assert len(set(named)) == len(named)
