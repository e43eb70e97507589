"""A VM with Debian on its disk, as tools/debian-disk makes it, and what is typed on its serial console. And TAP."""
import os
import re
import selectors
import signal
import subprocess
import time

BOOT_SECONDS, COMMAND_SECONDS = 300, 60
APPEND = "console=ttyS0 root=/dev/vda ro"
ESCAPE = re.compile(r"\x1b\[[?0-9;]*[a-zA-Z]")


class Machine:
    """A running VM and what its console has said."""

    def __init__(self, nidus, directory, disk, *options):
        self.text = ""
        self.start = time.monotonic()
        self.process = subprocess.Popen(
            [nidus, "run", "--cpus", "2", "--memory", "512M", "--net", "none", "--no-reboot", "--console", "stdio",
             "--disk", disk, "--kernel", os.path.join(directory, "vmlinuz"),
             "--initrd", os.path.join(directory, "initrd.img"), "--append", APPEND, *options],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.process.stdout, selectors.EVENT_READ)

    def wait(self, pattern, seconds):
        """Reads on until the pattern is there; None if it does not come in time. What was read up to it is consumed."""
        end = time.monotonic() + seconds
        while not (match := re.search(pattern, self.text)):
            left = end - time.monotonic()
            if left <= 0 or not self.selector.select(left):
                return None
            data = os.read(self.process.stdout.fileno(), 65536)
            if not data:
                return None
            self.text = ESCAPE.sub("", self.text + data.decode("utf-8", "replace").replace("\r", ""))
        self.text = self.text[match.end():]
        return match

    def say(self, line):
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def login(self):
        """Seconds from power-on to the login prompt; None if there is no shell."""
        if not self.wait(r"nidus login: $", BOOT_SECONDS):
            return None
        seconds = time.monotonic() - self.start
        self.say("root")
        return seconds if self.wait(r"root@nidus:~# ", COMMAND_SECONDS) else None

    def command(self, line):
        """Output of a shell command that succeeds; None if it does not. The console repeats what is typed, so the mark
        that ends the output is typed in another form than it is printed in."""
        self.say(f"{line} && echo 'do''ne' || echo 'fai''led'")
        match = self.wait(r"(?s)\n(.*?)(done|failed)\n", COMMAND_SECONDS)
        return match[1] if match and match[2] == "done" else None

    def power_cut(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def end(self, seconds):
        """Exit status; None if the machine had to be ended."""
        limit = time.monotonic() + seconds
        while self.wait(r"\n", max(0.0, limit - time.monotonic())):
            pass
        try:
            return self.process.wait(max(1.0, limit - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.power_cut()
            return None


class Tap:
    def __init__(self, names):
        self.names, self.next, self.good = names, 0, True
        print(f"1..{len(names)}", flush=True)

    def result(self, good, detail=""):
        name = self.names[self.next]
        self.next += 1
        self.good = self.good and bool(good)
        print(f"{'ok' if good else 'not ok'} {self.next} - {name}", flush=True)
        for line in detail.splitlines()[-20:]:
            print(f"# {line}", flush=True)
        return good
