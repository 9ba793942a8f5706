# SPDX-License-Identifier: MIT
"""How a command ends when it does not end well."""

import contextlib
import signal

# Exit statuses that are not the guest's own. A signal N gives 128 + N.
TIMED_OUT = 124
FAILED = 125  # in Umbra, the engine, or what the user asked for


class Trouble(Exception):
    """Something the user can understand and act on, in one line."""

    status = FAILED


class Stopped(BaseException):
    """A signal asks us to leave. Like KeyboardInterrupt, no `except
    Exception` catches it, and every `finally` on the way out still runs."""

    def __init__(self, signum):
        super().__init__(signal.Signals(signum).name)
        self.status = 128 + signum


class TimedOut(BaseException):
    """The time of within() is used up."""


@contextlib.contextmanager
def naming(path):
    """An OSError out of its body says what it was about."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or path
        raise


@contextlib.contextmanager
def within(seconds):
    """Raises TimedOut out of its body after so many seconds (None: never),
    even out of a write to a reader who has stopped reading."""
    def time_is_up(_signum, _frame):
        raise TimedOut

    if seconds is None:
        yield
        return
    signal.signal(signal.SIGALRM, time_is_up)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def leave_by_exception():
    """Turns the signals that end a program into Stopped, once: the clean-up
    that the first one starts is not disturbed by a second."""
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def stop(signum, _frame):
        for each in signals:
            signal.signal(each, signal.SIG_IGN)
        raise Stopped(signum)

    for each in signals:
        # nohup and shells that start us in the background ignore on purpose.
        if signal.getsignal(each) != signal.SIG_IGN:
            signal.signal(each, stop)
