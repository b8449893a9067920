"""Many independent runs, on the cores of this machine or, by one setting, on a Dask cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import joblib

from utils.errors import ConfigError, DataUnavailable

T = TypeVar("T")

#: Longest wait for a cluster's scheduler, s.
PATIENCE_S = 10


def run_all(work: Callable[..., T], jobs: Sequence[tuple[Any, ...]], cluster: str = "") -> list[T]:
    """`work(*job)` for every job; the answers stand in the order of the jobs, whoever found them.

    Args:
        work: a function that a module of this tree names. On this machine it runs in threads (compiled code holds no
            lock), on a cluster in the workers' processes, each of which needs this tree installed.
        jobs: the arguments of each run; large arrays that several share travel once.
        cluster: address of a Dask scheduler, `tcp://host:port`; empty = the cores of this machine.

    Raises:
        ConfigError: a cluster is named by what is no address, or the packages for it are not installed.
        DataUnavailable: the cluster does not answer, or has no worker.
    """
    with machines(cluster):
        return list(joblib.Parallel(n_jobs=-1, prefer="threads")(joblib.delayed(work)(*job) for job in jobs))


@contextmanager
def machines(cluster: str) -> Iterator[None]:
    """Within it, `joblib.Parallel` runs where the setting `compute.cluster` says."""
    if not cluster:
        yield
        return
    try:
        from distributed import Client
    except ImportError as error:
        raise ConfigError(
            f"compute.cluster: expected the packages of a Dask cluster for {cluster}, saw none ({error.name}); "
            "run pip install -r requirements-cluster.txt, or leave the setting empty"
        ) from None
    try:
        client = Client(cluster, timeout=PATIENCE_S, set_as_default=False)
    except (ValueError, TypeError) as error:
        raise ConfigError(
            f"compute.cluster: expected tcp://host:port or tls://host:port, or empty, saw {cluster!r}; correct it"
        ) from error
    except (OSError, TimeoutError) as error:
        raise DataUnavailable(
            f"compute.cluster: expected a Dask scheduler at {cluster}, nothing answered in {PATIENCE_S} s; "
            "start it, correct the address, or leave the setting empty"
        ) from error
    with client:
        try:
            client.wait_for_workers(1, timeout=PATIENCE_S)
        except TimeoutError as error:
            raise DataUnavailable(
                f"compute.cluster: expected workers at {cluster}, saw none in {PATIENCE_S} s; "
                "start some (dask worker ADDRESS), or leave the setting empty"
            ) from error
        with joblib.parallel_config("dask", client=client):
            yield
