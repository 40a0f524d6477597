"""The host's end of the test guest's channel: see recorder.c for the protocol."""
import itertools
import os
import socket
import time

BLOCKED_JOBS = ("scan", "commit", "mark", "fill", "run", "shell")


class NoAnswer(Exception):
    """The guest did not answer within the limit."""


class Channel:
    """One connection to a guest. QEMU serves one at a time: others wait until it is closed."""

    _numbers = itertools.count(1)

    def __init__(self, path, limit):
        self._pending = b""
        deadline = time.monotonic() + limit
        while True:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                self._socket.settimeout(max(0.1, deadline - time.monotonic()))
                self._socket.connect(path)
                return
            except OSError as error:
                self._socket.close()
                if time.monotonic() >= deadline:
                    raise NoAnswer("no connection to the guest: %s" % error) from error
                time.sleep(0.05)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._socket.close()

    def ask(self, command, limit):
        """Sends one command and returns its answer. Answers to others (who gave up) are passed over."""
        name = "@%d.%d" % (os.getpid(), next(self._numbers))
        deadline = time.monotonic() + limit
        try:
            self._socket.settimeout(max(0.1, limit))
            self._socket.sendall(("%s %s\n" % (name, command)).encode())
            while True:
                line = self._line(deadline)
                if line.startswith(name + " "):
                    return line[len(name) + 1 :]
        except OSError as error:
            raise NoAnswer("no answer from the guest: %s" % error) from error

    def ask_until_done(self, command, limit):
        """Like ask, and when the job is blocked asks for its answer until it is there or the limit has passed."""
        deadline = time.monotonic() + limit
        words = command.split(" ")
        where = "shell" if words[0] == "shell" else words[1] if len(words) > 1 else ""
        answer = self.ask(command, limit)
        # A `wait` takes about 2 s in the guest, so that an answer is due that long after the last one.
        while self.is_blocked(answer) and time.monotonic() < deadline:
            answer = self.ask("wait " + where, 5)
        return answer

    @staticmethod
    def is_blocked(answer):
        """Is it the answer of a job that is not done?"""
        words = answer.split(" ")
        return words[0] == "blocked" and len(words) == 2 and words[1] in BLOCKED_JOBS

    def _line(self, deadline):
        while b"\n" not in self._pending:
            self._socket.settimeout(max(0.01, deadline - time.monotonic()))
            data = self._socket.recv(4096)
            if not data:
                raise OSError("the connection was closed")
            self._pending += data
            if time.monotonic() >= deadline and b"\n" not in self._pending:
                raise OSError("timed out")
        line, self._pending = self._pending.split(b"\n", 1)
        return line.decode(errors="replace")
