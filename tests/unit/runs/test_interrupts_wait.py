"""Ctrl-C waits for a piece of work to finish, then arrives."""

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from workbench.runs.interrupts import unbroken


@pytest.fixture(autouse=True)
def _listening() -> Iterator[None]:
    """Handle Ctrl-C as Python does, even where a shell started the tests in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_arrives_after_the_block() -> None:
    steps = []

    def work() -> None:
        with unbroken():
            os.kill(os.getpid(), signal.SIGINT)
            steps.extend(range(3))

    with pytest.raises(KeyboardInterrupt):
        work()
    assert steps == [0, 1, 2]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_sigterm_waits_where_it_is_handled() -> None:
    steps = []

    def stop(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    def work() -> None:
        with unbroken():
            os.kill(os.getpid(), signal.SIGTERM)
            steps.append(1)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        with pytest.raises(KeyboardInterrupt):
            work()
        assert signal.getsignal(signal.SIGTERM) is stop
    finally:
        signal.signal(signal.SIGTERM, before)
    assert steps == [1]


def test_without_ctrl_c_nothing_happens() -> None:
    with unbroken():
        value = 1
    assert value == 1


def test_an_error_in_the_block_comes_first() -> None:
    def work() -> float:
        with unbroken():
            os.kill(os.getpid(), signal.SIGINT)
            return 1 / 0

    with pytest.raises(ZeroDivisionError):
        work()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_other_threads_are_left_alone() -> None:
    done = []

    def work() -> None:
        with unbroken():
            done.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [signal.default_int_handler]


def test_a_host_that_ignores_ctrl_c_keeps_ignoring_it() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with unbroken():
            os.kill(os.getpid(), signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
