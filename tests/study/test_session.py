"""Laws of a run's end: who asks it to end gets the exit code that says so."""

import os
import signal

import pytest

from nefstudy.study.session import TERMINATED, _stop_on_signal


@pytest.mark.parametrize("code", [0, 1, TERMINATED])
def test_a_terminated_driver_exits_143_whatever_ray_makes_of_the_signal(code):
    """Ray answers the handler's exit with one of its own, of code 0 or 1; the driver's is 143 all the same."""

    def wait_as_ray_does() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except SystemExit:
            raise SystemExit(code) from None

    with pytest.raises(SystemExit) as ended, _stop_on_signal():
        wait_as_ray_does()
    assert ended.value.code == 143


def test_an_exit_without_a_signal_keeps_its_code():
    """Only SIGTERM makes it 143."""
    with pytest.raises(SystemExit) as ended, _stop_on_signal():
        raise SystemExit(5)
    assert ended.value.code == 5


def test_a_first_interrupt_asks_and_a_second_ends():
    """Ctrl-C once: the event is set and the run goes on; twice: KeyboardInterrupt."""
    with _stop_on_signal() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.is_set()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
