"""Independent runs: in order, here or on a cluster, and one clear sentence where there is none."""

import socket
import sys

import numpy as np
import pytest
from distributed import LocalCluster

from utils.config import load_settings
from utils.errors import ConfigError, DataUnavailable
from utils.shell import machines


def total(numbers, scale):
    return float(np.sum(numbers)) * scale


def test_answers_stand_in_the_order_of_the_jobs():
    numbers = np.arange(10.0)
    assert [45.0 * k for k in range(50)] == machines.run_all(total, [(numbers, k) for k in range(50)])
    assert [] == machines.run_all(total, [])


def test_without_the_packages_of_a_cluster_the_message_says_how_to_get_them(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)  # Python's own way to say: not installed
    with pytest.raises(ConfigError, match=r"saw none \(distributed\); run pip install -r requirements-cluster.txt"):
        machines.run_all(total, [(np.ones(2), 1)], "tcp://127.0.0.1:9")


def test_a_cluster_that_does_not_answer_is_named(monkeypatch):
    monkeypatch.setattr(machines, "PATIENCE_S", 0.5)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # bound, and nobody listens
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(DataUnavailable, match=f"expected a Dask scheduler at {address}, nothing answered in 0.5 s"):
            machines.run_all(total, [(np.ones(2), 1)], address)


@pytest.mark.parametrize("address", ["http://x", "nonsense", 5])
def test_what_is_no_address_is_refused_before_anybody_is_asked(address):
    with pytest.raises(ConfigError, match=r"compute.cluster: expected tcp://host:port or tls://.*, saw"):
        machines.run_all(total, [(np.ones(2), 1)], address)


def test_a_cluster_without_workers_is_said(monkeypatch):
    monkeypatch.setattr(machines, "PATIENCE_S", 0.5)
    with (
        LocalCluster(n_workers=0, processes=True, dashboard_address=None, host="127.0.0.1") as empty,
        pytest.raises(DataUnavailable, match=r"expected workers at tcp://.*, saw none in 0.5 s"),
    ):
        machines.run_all(total, [(np.ones(2), 1)], empty.scheduler_address)


@pytest.mark.parametrize("address", ["tcp://10.0.0.5:8786", "tls://head.example:8786", ""])
def test_the_one_setting_takes_an_address_or_nothing(address, tmp_path):
    nothing = tmp_path / ".env"
    nothing.touch()
    loaded = load_settings(env={"SCALPER__COMPUTE__CLUSTER": address}, dotenv=nothing)
    assert address == loaded.settings.compute.cluster


@pytest.mark.parametrize("address", ["10.0.0.5", "http://10.0.0.5:8786", "tcp://10.0.0.5", "tcp://a b:1"])
def test_another_address_is_refused(address, tmp_path):
    nothing = tmp_path / ".env"
    nothing.touch()
    with pytest.raises(ConfigError, match=r"compute.cluster: expected tcp://host:port or tls://host:port, or empty"):
        load_settings(env={"SCALPER__COMPUTE__CLUSTER": address}, dotenv=nothing)
