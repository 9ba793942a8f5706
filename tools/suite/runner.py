# SPDX-License-Identifier: MIT
"""Runs tasks, a few at a time, each with a time limit and nothing left behind.

Every program gets a session of its own and a token in its environment. When it
has ended, every process that still carries the token is killed and counts as
the test's failure: an emulator that outlives its run is a fault of ours. So is
a file that stays behind in its temporary folder.
"""

import concurrent.futures
import os
import pathlib
import shutil
import signal
import subprocess
import time
import uuid

from suite import task as suite_task

#: Marks all processes of this suite, and those of one task.
SUITE_TOKEN = "UMBRA_TEST_SUITE"
TASK_TOKEN = "UMBRA_TEST_TASK"

#: From a polite SIGTERM to SIGKILL.
GRACE_SECONDS = 5


def run_all(tasks, workers, folder):
    """Yields (task, Finished, cases) as the tasks finish, longest first."""
    mark = uuid.uuid4().hex
    os.environ[SUITE_TOKEN] = mark
    order = sorted(tasks, key=lambda task: -task.seconds)
    pool = concurrent.futures.ThreadPoolExecutor(workers)
    running = {pool.submit(run_one, task, folder): task for task in order}
    try:
        for done in concurrent.futures.as_completed(running):
            task, finished = running[done], result_of(done)
            yield task, finished, suite_task.cases_of(task, finished)
    finally:
        # After Ctrl-C: nothing new is started, what runs is ended.
        for waiting in running:
            waiting.cancel()
        kill_marked(SUITE_TOKEN, mark)
        pool.shutdown()


def result_of(done):
    """A task that could not even be started has failed like any other."""
    try:
        return done.result()
    except OSError as error:
        return suite_task.Finished(-1, "", 0, f"cannot be run: {error}")


def run_one(task, folder):
    """Runs one task; its output stays in folder/NAME.txt."""
    log = folder / (task.name + ".txt")
    scratch = folder / (task.name + ".tmp")
    log.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()

    mark = uuid.uuid4().hex
    environment = dict(os.environ, **task.environment)
    environment.update({"TMPDIR": str(scratch), TASK_TOKEN: mark})
    start = time.monotonic()
    with open(log, "wb") as output:
        child = subprocess.Popen(task.command, env=environment, stdout=output,
                                 stdin=subprocess.DEVNULL,
                                 stderr=subprocess.STDOUT,
                                 start_new_session=True)
        in_time = wait(child, task.limit)
    seconds = time.monotonic() - start

    survivors = kill_marked(TASK_TOKEN, mark, patience=1)
    trouble = []
    if not in_time:
        trouble.append(f"still ran after {task.limit:.0f} s")
    elif survivors:
        trouble.append("left processes behind: " + ", ".join(survivors))
    trouble += leftover_files(scratch)
    return suite_task.Finished(child.returncode,
                               log.read_text(encoding="utf-8",
                                             errors="replace"),
                               seconds, "; ".join(trouble))


def wait(child, limit):
    """False if the time was up: the program was told, then made, to end."""
    try:
        child.wait(limit)
        return True
    except subprocess.TimeoutExpired:
        pass
    for number, patience in ((signal.SIGTERM, GRACE_SECONDS),
                             (signal.SIGKILL, None)):
        try:
            os.killpg(child.pid, number)
        except ProcessLookupError:
            pass
        try:
            child.wait(patience)
            break
        except subprocess.TimeoutExpired:
            continue
    return False


def marked_processes(name, value):
    """Ids of the processes whose environment holds name=value."""
    wanted = f"{name}={value}".encode()
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            if wanted in (entry / "environ").read_bytes().split(b"\0"):
                yield int(entry.name)
        except OSError:
            continue


def kill_marked(name, value, patience=0):
    """Kills those that are still there after `patience` seconds; returns the
    names of their programs."""
    deadline = time.monotonic() + patience
    left = list(marked_processes(name, value))
    if not left:
        # A process that is just starting another program has no environment
        # for a moment: look twice.
        time.sleep(0.02)
        left = list(marked_processes(name, value))
    while left and time.monotonic() < deadline:
        time.sleep(0.05)
        left = list(marked_processes(name, value))
    killed = []
    for process in left:
        try:
            program = pathlib.Path(f"/proc/{process}/comm").read_text().strip()
            os.kill(process, signal.SIGKILL)
            killed.append(program)
        except OSError:
            continue
    return killed


def leftover_files(scratch):
    names = sorted(path.name for path in scratch.iterdir())
    shutil.rmtree(scratch)
    return [f"left files behind: {', '.join(names[:5])}"] if names else []
