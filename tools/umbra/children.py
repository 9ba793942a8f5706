# SPDX-License-Identifier: MIT
"""Child processes and files that do not outlive us, whatever happens.

A child is the leader of its own session: the terminal's Ctrl-C reaches only
us, and one signal to its group ends it with whatever it has started. Should
we be killed outright, the kernel kills it; the directory that is then left
behind is removed by whoever runs next.
"""

import contextlib
import ctypes
import fcntl
import glob
import os
import shutil
import signal
import subprocess
import tempfile

from .trouble import Trouble, naming

_PREFIX = "umbra-run-"
_NEW_PREFIX = "umbra-new-"
_PR_SET_PDEATHSIG = 1


@contextlib.contextmanager
def work_directory():
    """A fresh directory, locked as long as we live, gone afterwards. It gets
    the name that others sweep only once it is locked."""
    _sweep()
    path = tempfile.mkdtemp(prefix=_NEW_PREFIX)
    try:
        with _lock(path):
            path = _rename(path)
            with naming(path):
                yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _rename(path):
    folder, name = os.path.split(path)
    final = os.path.join(folder, _PREFIX + name.removeprefix(_NEW_PREFIX))
    os.rename(path, final)
    return final


@contextlib.contextmanager
def _lock(directory):
    fd = os.open(os.path.join(directory, "lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(fd)


def _sweep():
    """Removes the directories of runs that were killed: ours by owner, with
    a lock that nobody holds."""
    pattern = os.path.join(glob.escape(tempfile.gettempdir()), _PREFIX + "*")
    for path in glob.glob(pattern):
        with contextlib.suppress(OSError):
            if (os.stat(path).st_uid == os.getuid()
                    and os.path.exists(os.path.join(path, "lock"))):
                with _lock(path):
                    shutil.rmtree(path)


class Child:
    """A program that runs beside us; what it prints goes to a file."""

    def __init__(self, argv, directory, output):
        libc = ctypes.CDLL(None, use_errno=True)
        parent = os.getpid()

        def die_with_parent():
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != parent:  # died before the call above
                os._exit(1)

        try:
            with open(output, "wb") as sink:
                self._process = subprocess.Popen(
                    argv, cwd=directory, stdin=subprocess.DEVNULL, stdout=sink,
                    stderr=subprocess.STDOUT, start_new_session=True,
                    preexec_fn=die_with_parent)
        except OSError as error:
            raise Trouble(f"cannot start {argv[0]}: "
                          f"{error.strerror}") from None

    def ended(self):
        """Its exit status, negative for a signal; None while it runs."""
        return self._process.poll()

    def stand_still(self):
        """It takes no more time until go_on(); kill() works all the same."""
        self._signal(signal.SIGSTOP)

    def go_on(self):
        self._signal(signal.SIGCONT)

    def _signal(self, number):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def kill(self):
        self._signal(signal.SIGKILL)
        self._process.wait()
