"""Calls in new processes, so that a crash, a hang or a broken device ends only the call."""

from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

from nefstudy.errors import NefstudyError
from nefstudy.trial.causes import first_line

ENDING_S = 30.0  # for a process whose result has arrived


def isolated(call: Callable[[], Any], *, limit_s: float) -> Any:
    """Return the result of a call in a new process, which is killed after `limit_s` seconds.

    Raises:
        NefstudyError: the call raised an error, its process crashed, or the time was over.
    """
    context = get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send, args=(sender, call))
    process.start()
    sender.close()
    try:
        if not receiver.poll(limit_s):
            raise NefstudyError(f"no result after {limit_s:g} s")
        result, reason = receiver.recv()
        process.join(ENDING_S)
    except EOFError:
        process.join(ENDING_S)
        raise NefstudyError(f"its process ended with exit code {process.exitcode}") from None
    finally:
        process.kill()
        process.join()
        receiver.close()
    if reason is not None:
        raise NefstudyError(reason)
    return result


def _send(sender: Connection, call: Callable[[], Any]) -> None:
    try:
        message: tuple[Any, str | None] = (call(), None)
    except Exception as error:  # the boundary of the process: every error becomes a reason
        message = (None, first_line(error))
    sender.send(message)
    sender.close()
