"""A service of its own, in a folder of its own, with real workers: for tests that type commands."""
import json
import os
import shutil
import subprocess
import tempfile
import time

PATIENCE = 60


class Host:
    def __init__(self, build, *options, environment=None):
        self.nidus = os.path.join(build, "nidus")
        self.guest = os.path.join(build, "guest")
        self.folder = tempfile.mkdtemp(prefix="nidus-host-")
        self.state, self.runtime = f"{self.folder}/state", f"{self.folder}/run"
        self.environment = dict(os.environ, NIDUS_RUNTIME_DIRECTORY=self.runtime, NIDUS_STATE_DIRECTORY=self.state,
                                **(environment or {}))
        self.options, self.daemon = options, None

    def start(self, **more):
        with open(f"{self.folder}/log", "ab") as log:
            ups = self.log().count("event=up ")
            self.daemon = subprocess.Popen([self.nidus, "daemon", *self.options], env=self.environment,
                                           stdin=subprocess.DEVNULL, stderr=log, **more)
        self.wait("the service is up", lambda: self.log().count("event=up ") > ups)
        return self

    def wait(self, what, condition, patience=PATIENCE):
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            if result := condition():
                return result
            time.sleep(0.02)
        raise AssertionError(f"waited {patience} s for: {what}")

    def log(self):
        with open(f"{self.folder}/log", encoding="utf-8", errors="replace") as file:
            return file.read()

    def run(self, text, **more):
        """(status, output, errors) of a script."""
        done = subprocess.run([self.nidus, "-Command", text], env=self.environment, stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=PATIENCE * 2, check=False, **more)
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    def good(self, text):
        status, out, errors = self.run(text)
        assert status == 0 and not errors, (text, status, out, errors)
        return out

    def bad(self, text, says):
        status, out, errors = self.run(text)
        assert status == 1 and says in " ".join(errors.split()), (text, says, status, out, errors)

    def objects(self, text):
        done = subprocess.run([self.nidus, "--json", "-Command", text], env=self.environment, stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=PATIENCE * 2, check=False)
        assert done.returncode == 0, (text, done.stderr.decode())
        found = json.loads(done.stdout)
        return found if isinstance(found, list) else [found]

    def value(self, text):
        return self.objects(text)[0]

    def make(self, name, settings="", kernel=None):
        kernel = kernel or (f"-KernelPath {self.guest}/vmlinuz -InitrdPath {self.guest}/initramfs.small "
                            "-KernelCommandLine 'console=ttyS0 quiet'")
        self.good(f"New-VM {name} -MemoryStartupBytes 128MB {settings} | Out-Null; Set-VMFirmware {name} {kernel}")

    def close(self):
        if self.daemon and self.daemon.poll() is None:
            self.run("Get-VM | Stop-VM -TurnOff")
            self.daemon.terminate()
            self.daemon.wait(PATIENCE)
        shutil.rmtree(self.folder)


def main(tests, build, host=Host):
    """Runs each function with a service of its own. TAP on the standard output; the exit status."""
    failed = 0
    for number, test in enumerate(tests, 1):
        one = host(build, *getattr(test, "options", ()))
        name = test.__name__.replace("test_", "").replace("_", " ")
        try:
            test(one.start())
            print(f"ok {number} - {name}", flush=True)
        except (AssertionError, OSError, ValueError, subprocess.SubprocessError) as failure:
            failed += 1
            print(f"not ok {number} - {name}", flush=True)
            for line in (repr(failure) + "\n" + one.log()[-1500:]).splitlines():
                print(f"# {line}")
        finally:
            one.close()
    print(f"1..{len(tests)}")
    return 1 if failed else 0
