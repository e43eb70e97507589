"""A nidus on a pseudo-terminal, for tests: types, and waits with a deadline for what the terminal shows. And TAP."""
import os
import pty
import re
import select
import signal
import time

SECONDS = 20
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]")


class Terminal:
    """A nidus and its terminal."""

    def __init__(self, nidus, state, extra=()):
        self.seen = ""
        self.child, self.file = pty.fork()
        if self.child == 0:
            os.environ.update(XDG_STATE_HOME=state, TERM="xterm", XDG_RUNTIME_DIR=state)
            os.environ.pop("NO_COLOR", None)
            os.execv(nidus, [nidus, *extra])

    def type(self, keys):
        self.seen = ""
        os.write(self.file, keys.encode())

    def read(self, seconds):
        if not select.select([self.file], [], [], seconds)[0]:
            return
        try:
            self.seen += ESCAPES.sub("", os.read(self.file, 65536).decode("utf-8", "replace"))
        except OSError:  # the other side is gone
            time.sleep(0.01)

    def shows(self, pattern):
        """Whether the pattern appears before the deadline."""
        end = time.monotonic() + SECONDS
        while not re.search(pattern, self.seen, re.S):
            if time.monotonic() > end:
                return False
            self.read(0.1)
        return True

    def ended(self):
        """The exit status, None if it does not end."""
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            done, status = os.waitpid(self.child, os.WNOHANG)
            if done:
                os.close(self.file)
                return os.waitstatus_to_exitcode(status)
            self.read(0.05)
        os.kill(self.child, signal.SIGKILL)
        os.waitpid(self.child, 0)
        os.close(self.file)
        return None


class Tap:
    def __init__(self):
        self.count = self.failed = 0

    def check(self, good, name, terminal=None):
        self.count += 1
        self.failed += not good
        print(f"{'ok' if good else 'not ok'} {self.count} - {name}", flush=True)
        if not good and terminal:
            print(f"# shown: {terminal.seen[-400:]!r}", flush=True)
