"""Figures for Prometheus: requests as they pass, and whatever else is worth a number when somebody looks.

They are those of this process: of several workers each counts its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, GCCollector, Histogram, ProcessCollector, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

#: Upper ends of the classes of times, s.
CLASSES = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0)
#: What `/metrics` is, as Prometheus reads it.
MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Figure(NamedTuple):
    """One figure by its labels, as it is when somebody looks; one that is not known has no row."""

    name: str
    meaning: str
    labels: Sequence[str]
    rows: Sequence[tuple[Sequence[str], float | None]]  # (values of the labels, the figure)
    counts: bool = False  # it only grows


class Traffic:
    """Requests, this process, and whatever else is told when somebody looks."""

    def __init__(self) -> None:
        self._registry, self._told = CollectorRegistry(), _Told()
        ProcessCollector(registry=self._registry)
        GCCollector(registry=self._registry)
        self._registry.register(self._told)
        requests = Counter(
            "scalper_http_requests", "Requests, by route and status.", ["route", "status"], registry=self._registry
        )
        seconds = Histogram(
            "scalper_http_request_seconds", "Time to answer, s.", ["route"], buckets=CLASSES, registry=self._registry
        )
        # looking a child up by its labels costs more than counting
        self._count = cache(lambda route, status: requests.labels(route, str(status)))
        self._time = cache(seconds.labels)

    def observe(self, route: str, status: int, seconds: float) -> None:
        """A request was answered, or refused."""
        self._count(route, status).inc()
        self._time(route).observe(seconds)

    def page(self, figures: Iterable[Figure] = ()) -> bytes:
        """These figures, those of requests and those of the process, in Prometheus' text format."""
        self._told.figures = list(figures)
        return generate_latest(self._registry)


class _Told(Collector):
    """Figures that are handed over when somebody looks."""

    def __init__(self) -> None:
        self.figures: Sequence[Figure] = ()

    def describe(self) -> Iterable[Metric]:
        """Nothing before there is somebody who looks."""
        return []

    def collect(self) -> Iterable[Metric]:
        """Each figure as it was handed over."""
        for name, meaning, labels, rows, counts in self.figures:
            kind = CounterMetricFamily if counts else GaugeMetricFamily
            family = kind(name, meaning, labels=labels)
            for values, figure in rows:
                if figure is not None:
                    family.add_metric(values, figure)
            yield family
