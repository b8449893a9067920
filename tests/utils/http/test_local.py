"""Who asks from this machine, and by which name."""

import pytest

from utils.http.local import is_local, is_loopback, name_of, proxied, served_at

HERE = {"server": ("127.0.0.1", 8000), "client": ("127.0.0.1", 50_000)}


@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost", "::ffff:127.0.0.1"])
def test_loopback_is_known(address):
    assert is_loopback(address)


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "10.0.0.1", "192.168.1.1", "example.org", "", "127.0.0.1.evil"])  # noqa: S104
def test_nothing_else_is_loopback(address):
    assert not is_loopback(address)


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("localhost:8000", "localhost"),
        ("LocalHost", "localhost"),
        ("127.0.0.1:80", "127.0.0.1"),
        ("[::1]:8000", "::1"),
        ("[::1]", "::1"),
        ("desk.example.", "desk.example"),
        ("localhost.evil.example:8000", "localhost.evil.example"),
        ("", ""),
        ("a:b", "a:b"),
    ],
)
def test_a_host_header_names(host, name):
    assert name == name_of(host)


@pytest.mark.parametrize("host", [b"localhost:8000", b"127.0.0.1:8000", b"[::1]:8000", b"desk.example"])
def test_a_request_from_here_by_a_name_of_ours_is_local(host):
    assert is_local(HERE, {b"host": host}, {"desk.example"})


@pytest.mark.parametrize("headers", [{b"host": b"evil.example"}, {b"host": b""}, {}, {b"host": b"0.0.0.0"}])
def test_a_name_that_somebody_lets_point_here_is_not_local(headers):
    assert not is_local(HERE, headers, {"desk.example"})


@pytest.mark.parametrize(
    "where",
    [
        {"client": ("10.0.0.2", 1)},
        {"server": ("10.0.0.1", 8000)},
        {"client": None},
        {"server": None},
        {"server": None, "client": None},
    ],
)
def test_another_address_is_not_local_whatever_it_asks_for(where):
    assert not is_local(HERE | where, {b"host": b"localhost"}, ())


@pytest.mark.parametrize("header", [b"x-forwarded-for", b"forwarded", b"via", b"x-real-ip", b"x-forwarded-host"])
def test_what_comes_through_a_proxy_is_not_local(header):
    assert not is_local(HERE, {b"host": b"localhost", header: b"127.0.0.1"}, ())


def test_a_socket_of_the_file_system_is_local():
    assert is_local({"server": ("/run/desk.sock", None), "client": None}, {b"host": b"any"}, ())


UVICORN = "/usr/bin/uvicorn"


@pytest.mark.parametrize(
    ("argv", "environment", "told"),
    [
        ([UVICORN, "app:app"], {}, None),
        ([UVICORN, "app:app"], {"UVICORN_HOST": ""}, None),
        ([UVICORN, "app:app", "--host", ""], {}, ""),
        ([UVICORN, "app:app", "--host="], {"UVICORN_HOST": "127.0.0.1"}, ""),
        ([UVICORN, "app:app", "--host", "0.0.0.0"], {}, "0.0.0.0"),  # noqa: S104
        ([UVICORN, "--host=::", "app:app"], {}, "::"),
        (["/lib/uvicorn/__main__.py", "app:app", "--host", "10.0.0.1"], {}, "10.0.0.1"),
        ([UVICORN, "app:app"], {"UVICORN_HOST": "10.0.0.1"}, "10.0.0.1"),
        ([UVICORN, "--host", "127.0.0.1"], {"UVICORN_HOST": "10.0.0.1"}, "127.0.0.1"),
        ([UVICORN, "--uds", "/run/desk.sock"], {"UVICORN_HOST": "10.0.0.1"}, None),
        ([UVICORN, "--host"], {}, ""),
        (["pytest", "--host", "0.0.0.0"], {}, None),  # noqa: S104
        ([], {}, None),
    ],
)
def test_the_address_that_uvicorn_was_told(argv, environment, told):
    assert told == served_at(argv, environment)


@pytest.mark.parametrize(
    ("argv", "environment", "told"),
    [
        ([UVICORN, "app:app"], {}, False),
        ([UVICORN, "app:app", "--forwarded-allow-ips", "127.0.0.1"], {}, True),
        ([UVICORN, "app:app", "--forwarded-allow-ips=*"], {}, True),
        ([UVICORN, "app:app", "--forwarded-allow-ips", ""], {}, False),
        ([UVICORN, "app:app"], {"FORWARDED_ALLOW_IPS": "10.0.0.7"}, True),
        ([UVICORN, "app:app"], {"UVICORN_FORWARDED_ALLOW_IPS": "10.0.0.7"}, True),
        (["pytest", "--forwarded-allow-ips", "*"], {}, False),
    ],
)
def test_a_proxy_that_uvicorn_was_told_of(argv, environment, told):
    assert told == proxied(argv, environment)
