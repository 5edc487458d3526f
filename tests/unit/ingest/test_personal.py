"""What in a text is personal, and what only looks so."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.core.personal import PersonalData
from services.ingest.core.pseudonyms import EMAIL, HOST, IP, KINDS, MAC, PERSONAL, PROJECT, USER, Pseudonyms

PSEUDONYM = re.compile(r"(?:ip|mac|email|user|project|host)-k1-[a-z2-7]{12}")


def masked(text: str, *kinds: str) -> str:
    """The text with the kind of each pseudonym in its place."""
    personal = PersonalData(kinds or KINDS, Pseudonyms(b"k" * 32))
    personal.learn_host("compute-1")
    shown = PSEUDONYM.sub(lambda found: f"<{found[0].partition('-')[0]}>", personal.text(text))
    assert personal.text(personal.text(text)) == personal.text(text)
    return shown


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("from 10.0.0.1 to 10.0.0.2:80, [10.0.0.3]", "from <ip> to <ip>:80, [<ip>]"),
        ("net 10.0.0.0/24 10.0.0.1-10.0.0.9 src=010.000.000.001;", "net <ip>/24 <ip>-<ip> src=<ip>;"),
        ("IP 10.0.0.1.443 > 10.0.0.2.5555: Flags", "IP <ip>.443 > <ip>.5555: Flags"),
        (r"a\n10.0.0.1 %2F10.0.0.2%20x", r"a\n<ip> %2F<ip>%20x"),
        ("\x1b[31m10.0.0.1\x1b[0m", "\x1b[31m<ip>\x1b[0m"),
        ("2001:db8::1 [2001:DB8:0::1]:443 2001:db8::/32 fe80::1%eth0.", "<ip> [<ip>]:443 <ip>/32 <ip>%eth0."),
        ("::ffff:10.0.0.1 src:2001:db8::1: %3D2001%3Adb8%3A%3A1&", "<ip> src:<ip>: %3D<ip>&"),
        ("1:2:3:4:5:6:7:8xyz 1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8xyz <ip>"),
        ("1.0.0.10.in-addr.arpa", "<ip>.in-addr.arpa"),
        ("fa:16:3e:aa:bb:cc, FA-16-3E-AA-BB-CC fa16.3eaa.bbcc", "<mac>, <mac> <mac>"),
        ("mac=fa163eaabbcc 'mac_address': 'fa163eaabbcc' fa%3A16%3A3e%3Aaa%3Abb%3Acc",
         "mac=<mac> 'mac_address': '<mac>' <mac>"),
        ("To: <bob@x.org>, 'a.b+c@d-e.co.uk' jürgen@müller.de bob%40x.org.",
         "To: <<email>>, '<email>' <email> <email>."),
        ("user=bob user_id: 'x y' {'user': {'id': 'abc', 'name': 'bob'}}",
         "user=<user> user_id: '<user>' {'user': {'id': '<user>', 'name': '<user>'}}"),
        ("tenant_id=abc projectId=\"d e\" project_ids=['a', 'b']",
         "tenant_id=<project> projectId=\"<project>\" project_ids=['<project>', '<project>']"),
        ("X-User-Id: abc, os_username=bob", "X-User-Id: <user>, os_username=<user>"),
        ("Failed password for invalid user bob from 10.0.0.1 port 22",
         "Failed password for invalid user <user> from <ip> port 22"),
        ("  bob : TTY=pts/0 ; PWD=/home/bob ; USER=root", "  <user> : TTY=pts/0 ; PWD=/home/<user> ; USER=<user>"),
        ('10.0.0.1 - bob [21/Nov/2026:06:13:21 +0000] "GET /', '<ip> - <user> [21/Nov/2026:06:13:21 +0000] "GET /'),
        ("/v3/users/abc/projects /v2.1/64152ad4d385428aa8351edfea9480a2/servers /v1/AUTH_abc/c",
         "/v3/users/<user>/projects /v2.1/<project>/servers /v1/AUTH_<project>/c"),
        ("amqp://nova:***@10.0.0.1:5672 ssh://git@h.example.org/x", "amqp://<user>:***@<ip>:5672 ssh://<user>@h.example.org/x"),
        ("host=c2 on compute-1.example.org, compute-1: node: 3", "host=<host> on <host>, <host>: node: 3"),
        ("neutron@compute-1 COMPUTE-1 compute-11 'hypervisor_hostname': 'c3'",
         "neutron@<host> <host> compute-11 'hypervisor_hostname': '<host>'"),
    ],
)  # fmt: skip
def test_what_is_found(text: str, wanted: str) -> None:
    """Each kind in the notations that logs have, whatever stands around it."""
    assert masked(text) == wanted


@pytest.mark.parametrize(
    "text",
    [
        "127.0.0.1 0.0.0.0 ::1 255.255.255.0 ff:ff:ff:ff:ff:ff 00:00:00:00:00:00",
        "v1.2.3.4 1.2.3 1.2.3.4.5.6 1.2.3.400 libvirt 9.0.0 2026.11.21",
        "05:51:40 2026-11-21 05:51:40.389 Foo::Bar std::vector nova::compute",
        "4b44f4fe-3397-40b2-b85f-979d5b49e250 req-4b44f4fe-3397-40b2-b85f-979d5b49e250",
        "getty@tty1.service lodash@4.17.21 a @ b x@localhost",
        "user=%s project=%(project)s tenant: None user: '' users are many",
        "GET /v2.1/servers HTTP/1.1 the user of a project",
    ],
)
def test_what_stays(text: str) -> None:
    """Addresses that name nobody, versions, times, ids of requests and instances, placeholders, words."""
    assert masked(text, *PERSONAL) == text


def test_only_the_kinds_that_are_asked_for() -> None:
    """The others stay."""
    text = "user=bob from 10.0.0.1 fa:16:3e:aa:bb:cc bob@x.org project=p1 host=compute-1"
    assert masked(text, IP) == text.replace("10.0.0.1", "<ip>")
    assert masked(text, MAC) == text.replace("fa:16:3e:aa:bb:cc", "<mac>")
    assert masked(text, EMAIL) == text.replace("bob@x.org", "<email>")
    assert masked(text, USER) == text.replace("user=bob", "user=<user>")
    assert masked(text, PROJECT) == text.replace("p1", "<project>")
    assert masked(text, HOST) == text.replace("compute-1", "<host>")


@given(
    st.sampled_from(["10.1.2.3", "2001:db8::7:1", "fa:16:3e:aa:bb:cc", "bob.x+y@example.org"]),
    st.sampled_from(["", " ", "=", "'", '"', "(", "[", "<", ",", ";", "/", "://", "\\n", "%20", "\t"]),
    st.sampled_from(["", " ", ".", ",", "'", '"', ")", "]", ">", ";", "/24", "\\n", "&x", "\t", ": up"]),
    st.text("ab 1.=", max_size=8),
)
def test_a_value_is_found_between_anything(value: str, before: str, after: str, around: str) -> None:
    """What may stand right before and after it in a log does not hide it."""
    if around[-1:].isalnum() or around[-1:] == ".":
        around += " "
    assert value not in masked(f"{around}{before}{value}{after} {around}")


@given(st.text("0123456789abcdef:.@%-=/ 'user\n", max_size=200))
def test_any_text_is_masked_without_an_error(text: str) -> None:
    """And once is enough."""
    masked(text)


@pytest.mark.timeout(120)  # against hanging
@pytest.mark.parametrize(
    "unit",
    ["1.", "1.1.1.1.", "a:", "::", "ab:", "a-", "user=", "a@", "a.", "%40", "/home/", "user={", " - [", "http://a:",
     "mac=", "compute-1.", "0123456789abcdef", "[0;", "'"],
)  # fmt: skip
def test_hostile_texts_take_linear_time(unit: str) -> None:
    """They end at all, where quadratic would be hours, and hide nothing that stands amid them."""
    noise = unit * (40_000 // len(unit))
    found = masked(f"{noise} and then 203.0.113.77 and someone@example.org and {noise}")
    assert "203.0.113.77" not in found
    assert "someone" not in found
    assert "<ip> and <email> and " in found
