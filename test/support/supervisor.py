"""Holds a listening unix socket and keeps one program running on it as fd 3,
as systemd does with socket activation and Restart=always. The kernel queues
clients while the program is away.

supervisor.py SOCKET RESTART_MS PROGRAM ARGS...   SIGTERM ends both.
"""
import json
import os
import signal
import socket
import sys
import time

path, restart_ms, program = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
listener = socket.socket(socket.AF_UNIX)
listener.bind(path)
os.chmod(path, 0o660)
listener.listen(511)
stopping = False
child = 0


def stop(_signal, _frame):
    global stopping
    stopping = True
    if child:
        os.kill(child, signal.SIGTERM)


signal.signal(signal.SIGTERM, stop)


def say(**fields):
    os.write(1, (json.dumps(fields) + "\n").encode())


while not stopping:
    child = os.fork()
    if child == 0:
        os.dup2(listener.fileno(), 3)
        os.set_inheritable(3, True)
        os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES="kms")
        os.execv(program[0], program)
    say(event="supervisor-started", pid=child)
    while True:
        try:
            _, status = os.waitpid(child, 0)
            break
        except InterruptedError:
            continue
    say(event="supervisor-ended", pid=child, status=os.waitstatus_to_exitcode(status))
    if not stopping:
        time.sleep(restart_ms / 1000)
