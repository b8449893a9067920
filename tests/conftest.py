"""What all tests share: the same drawn examples everywhere, the usual signals for children, an end to every hang."""

import faulthandler
import os
import signal

import pytest
from hypothesis import HealthCheck, settings

# a busy machine is no reason to fail
settings.register_profile(
    "house", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("house")

#: Longest time for a slow or long test, s; other tests have that of pyproject.toml.
SLOW_S = 1800.0
#: What no Python code can end, such as a loop in compiled code, is ended after so many times a test's limit.
BEYOND = 1.5
STDERR = pytest.StashKey[int]()

# What is ignored when a process starts (`nohup`, `&` in a script) its children ignore too, and a test that ends one
# by Ctrl-C would wait for ever. A handler is not inherited: the runner goes on ignoring, its children have the default.
for number in (signal.SIGINT, signal.SIGTERM):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, lambda *_: None)


def pytest_configure(config):
    config.stash[STDERR] = os.dup(2)  # before output is captured


def pytest_collection_modifyitems(items):
    for item in items:
        if (item.get_closest_marker("slow") or item.get_closest_marker("long")) and not item.get_closest_marker(
            "timeout"
        ):
            item.add_marker(pytest.mark.timeout(SLOW_S))


@pytest.hookimpl(wrapper=True)
def pytest_timeout_set_timer(item, settings):
    # the plugin's alarm is answered in Python; this watch is a thread of C, prints all stacks and ends the run
    faulthandler.dump_traceback_later(BEYOND * settings.timeout, exit=True, file=item.config.stash[STDERR])
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_timeout_cancel_timer(item):
    faulthandler.cancel_dump_traceback_later()
    return (yield)


def pytest_enter_pdb():
    faulthandler.cancel_dump_traceback_later()


def pytest_unconfigure(config):
    # a thread that a test left behind may not hold up the end
    faulthandler.dump_traceback_later(60.0, exit=True, file=config.stash[STDERR])


def pytest_make_parametrize_id(val, argname):
    """Long bytes are named by their length: a packed file may hold the time at which it was packed."""
    return f"{argname} of {len(val)} bytes" if isinstance(val, bytes) and len(val) > 16 else None
