"""Runs programs that nobody has read: a line of JSON in, a line of JSON out, each program in a process of its own.

Started by heimdall_nb/domains/sandbox.py. In: {"seconds": 1, "items": [{"source": "…", "calls": ["f(1)", …]}, …]}.
Out: a list with an entry an item: a list with {"value": …} or {"error": "…"} for each call.
"""

import json
import os
import signal
import sys


def run(source, calls):
    found, names = [], {"__name__": "solution"}
    exec(compile(source, "solution.py", "exec"), names)
    for call in calls:
        try:
            found.append({"value": json.loads(json.dumps(eval(call, names)))})
        except Exception as problem:
            found.append({"error": type(problem).__name__})
    return found


def alone(item, seconds):
    """Run one program in a forked process without standard streams; `seconds` of its processor's time end it.

    The processor's time, so that a busy machine changes no result; one that only waits is ended ten times later.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        signal.setitimer(signal.ITIMER_PROF, seconds)
        signal.setitimer(signal.ITIMER_REAL, 10 * seconds)
        sys.stdin = open(os.devnull)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        try:
            found = run(item["source"], item["calls"])
        except BaseException as problem:
            found = [{"error": type(problem).__name__}] * len(item["calls"])
        os.write(writing, json.dumps(found).encode()[:1_000_000])
        os._exit(0)
    os.close(writing)
    with open(reading, "rb") as pipe:
        text = pipe.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGALRM, signal.SIGPROF):
        return [{"error": "timeout"}] * len(item["calls"])
    try:
        return json.loads(text)
    except ValueError:
        return [{"error": "died"}] * len(item["calls"])


for line in sys.stdin:
    request = json.loads(line)
    print(json.dumps([alone(item, request["seconds"]) for item in request["items"]]), flush=True)
