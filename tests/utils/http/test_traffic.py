"""Figures in the format of Prometheus, as its own parser reads them."""

from prometheus_client.parser import text_string_to_metric_families

from utils.http.traffic import MEDIA_TYPE, Figure, Traffic


def read(traffic, *figures):
    """Every sample by name and labels."""
    families = text_string_to_metric_families(traffic.page(figures).decode())
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value for family in families for sample in family.samples
    }


def test_requests_are_counted_by_route_and_status_and_timed_by_route():
    traffic = Traffic()
    for status, seconds in ((200, 0.002), (200, 0.2), (503, 11.0)):
        traffic.observe("/signal/{symbol}", status, seconds)
    found, route = read(traffic), ("route", "/signal/{symbol}")
    assert 2.0 == found["scalper_http_requests_total", route, ("status", "200")]
    assert 1.0 == found["scalper_http_requests_total", route, ("status", "503")]
    assert 1.0 == found["scalper_http_request_seconds_bucket", ("le", "0.0025"), route]
    assert 3.0 == found["scalper_http_request_seconds_bucket", ("le", "+Inf"), route]
    assert abs(found["scalper_http_request_seconds_sum", route] - 11.202) < 1e-9


def test_figures_are_those_of_the_moment_and_what_is_not_known_has_no_row():
    rows = [(("BTCUSDT",), 1.5), (("ETHUSDT",), None)]
    traffic, age = Traffic(), Figure("scalper_age_seconds", "Age, s.", ("symbol",), rows)
    assert 1.5 == read(traffic, age)["scalper_age_seconds", ("symbol", "BTCUSDT")]
    rows[:] = [(("ETHUSDT",), 2.5)]
    ages = {key: value for key, value in read(traffic, age).items() if key[0] == "scalper_age_seconds"}
    assert {("scalper_age_seconds", ("symbol", "ETHUSDT")): 2.5} == ages


def test_a_figure_that_only_grows_is_a_counter():
    lost = Figure("scalper_lost", "Times.", (), [((), 3)], counts=True)
    assert 3.0 == read(Traffic(), lost)[("scalper_lost_total",)]


def test_the_memory_of_the_process_is_told():
    assert read(Traffic())[("process_resident_memory_bytes",)] > 1e6


def test_two_services_in_one_process_count_apart():
    one, other = Traffic(), Traffic()
    one.observe("/", 200, 0.1)
    assert 1 == sum(key[0] == "scalper_http_requests_total" for key in read(one))
    assert 0 == sum(key[0] == "scalper_http_requests_total" for key in read(other))


def test_the_media_type_is_the_text_format():
    assert MEDIA_TYPE.startswith("text/plain; version=0.0.4")
