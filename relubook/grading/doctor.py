"""Prove, before anything is graded, that the sandbox holds what it promises."""

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from relubook.grading.sandbox import GraderError, Limits, Sandbox, Stopped, forbidden_calls

LIMITS = Limits(cell=10, total=60, memory=300, files=24, output=1, processes=32)

INSTALL = """\
Install bubblewrap: `sudo apt install bubblewrap`, `sudo dnf install bubblewrap`,
`sudo pacman -S bubblewrap`. On macOS and Windows grade in a container; the chapter
"Teaching with this book" gives the commands."""

REMEDIES = {
    "uid map": """\
The system forbids user namespaces to bubblewrap. On Ubuntu 24.04 and later, allow them
to it alone: put
    abi <abi/4.0>,
    include <tunables/global>
    profile bwrap /usr/bin/bwrap flags=(unconfined) {
      userns,
    }
into /etc/apparmor.d/bwrap, then `sudo systemctl reload apparmor`. The other way is for
all programs: `sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0`.""",
    "new namespace": """\
The kernel forbids user namespaces: `sudo sysctl kernel.unprivileged_userns_clone=1`
(Debian, Arch) or `sudo sysctl user.max_user_namespaces=15000` (Red Hat). In a container
start it with `--cap-add SYS_ADMIN --security-opt seccomp=unconfined
--security-opt apparmor=unconfined --security-opt systempaths=unconfined`.""",
    "mount proc": """\
The container hides parts of /proc: start it with `--security-opt
systempaths=unconfined`.""",
    "setpriv": "Install util-linux: root needs its `setpriv`. Or grade as another user.",
    "Permission denied": """\
The sandbox's user cannot read the Python environment. Make it readable (`chmod -R a+rX
.venv`), or grade as the user who owns it and not as root.""",
}


@dataclass(frozen=True)
class Finding:
    """What was examined, whether it is as it should be, what was seen, how to mend it."""

    name: str
    good: bool
    seen: str = ""
    remedy: str = ""


def examine():
    """Run the probes; a list of `Finding`. Without a sandbox it ends early."""
    program = shutil.which("bwrap")
    if program is None:
        return [Finding("bubblewrap is installed", False, "no `bwrap`", INSTALL)]
    findings = [Finding("bubblewrap is installed", True, program)]
    try:
        with_probe("1 + 1")
    except GraderError as error:
        remedy = next((r for key, r in REMEDIES.items() if key in str(error)), "")
        return [*findings, Finding("a sandbox starts", False, str(error), remedy)]
    findings.append(Finding("a sandbox starts", True))
    findings += [seen(name, source) for name, source in denied().items()]
    findings += [stopped(name, *probe) for name, probe in STOPPED.items()]
    filtered = forbidden_calls() is not None
    remedy = "" if filtered else "Install libseccomp and `pip install pyseccomp`."
    name = "system calls are filtered (a second wall; grading works without)"
    return [*findings, Finding(name, filtered, remedy=remedy)]


def report(findings):
    """The findings as text."""
    lines = []
    for finding in findings:
        mark = "ok  " if finding.good else "FAIL"
        lines.append(f"{mark} {finding.name}" + (f": {finding.seen}" if finding.seen else ""))
        lines += [f"       {line}" for line in finding.remedy.splitlines()]
    return "\n".join(lines)


def holds(findings):
    """Whether grading is safe: everything but the filter of system calls is good."""
    return all(finding.good for finding in findings[:-1]) and len(findings) > 2


def with_probe(source, seconds=LIMITS.cell):
    """What the name `found` is after a cell has run in a sandbox of its own."""
    sandbox = Sandbox(LIMITS)
    try:
        sandbox.ask("cell", seconds, source=f"found = None\n{source}")
        reply, _ = sandbox.ask("get", LIMITS.call, name="found")
        return reply.get("value")
    finally:
        sandbox.close()


def seen(name, source):
    """A probe that sets `found` to what it should not have been able to get."""
    try:
        found = with_probe(source)
    except Stopped as stop:
        found = f"stopped: {stop}"
    return Finding(name, found is None, "" if found is None else str(found)[:200])


def stopped(name, source, why, seconds):
    """A probe that does too much, and has to be stopped for the reason `why`."""
    try:
        with_probe(source, seconds)
    except Stopped as stop:
        return Finding(name, str(stop) == why, str(stop))
    return Finding(name, False, "it was not stopped")


def private():
    """Files of the user, of this package and of the system that no submission may see."""
    tops = [Path(path).resolve() for path in (sys.prefix, sys.base_prefix, "/usr")]
    paths = [Path(__file__), Path("/etc/passwd"), Path("/etc/shadow"), Path("/var/log")]
    for folder in (Path.home(), Path.cwd()):
        paths += [path for path in sorted(folder.iterdir()) if path.is_file()][:20]
    paths = [path.resolve() for path in paths]
    return [path for path in paths if not any(path.is_relative_to(t) for t in tops)]


def _first(names, expression):
    """A cell in which `found` is the first of `names` for which `expression` succeeds."""
    return f"""
import importlib, os, socket
for name in {names!r}:
    try:
        {expression}
    except (OSError, ImportError):
        continue
    found = name
    break
"""


FILES = """
try:
    for number in range(40):
        open(f"/tmp/{number}", "wb").write(bytes(1 << 20))
    found = "40 MiB were written"
except OSError:
    pass
"""
PROCESSES = """
import os, time
try:
    for number in range(100):
        if os.fork() == 0:
            time.sleep(20)
            os._exit(0)
    found = "100 processes were started"
except OSError:
    pass
"""


def denied():
    """What must not be possible: {name: a cell that sets `found` where it was}."""
    hosts = ["1.1.1.1", "127.0.0.1", "::1"]
    files = [str(path) for path in private()]
    places = ["/x", "/usr/x", "/dev/x", "/grader/x", "/etc/x"]
    return {
        "no network": _first(hosts, "socket.create_connection((name, 53), 1)"),
        "your files are out of sight": _first(files, "os.stat(name)"),
        "the answers are out of sight": _first(
            ["relubook.activations"], "importlib.import_module(name)"
        ),
        "the system is read-only": _first(places, "open(name, 'w')"),
        "an unprivileged user": "import os\nfound = None if os.getuid() else 'root'",
        "small files only": FILES,
        "few processes": PROCESSES,
    }


STOPPED = {
    "endless loops end": (
        "import signal\nsignal.signal(signal.SIGALRM, signal.SIG_IGN)\nwhile True: pass",
        "time limit",
        1,
    ),
    "memory is limited": (
        "import time\nkept = [bytearray(1 << 20) for _ in range(600)]\ntime.sleep(2)",
        "memory limit",
        LIMITS.cell,
    ),
    "output is limited": (
        "while True: print('x' * 10000)",
        "too much output",
        LIMITS.cell,
    ),
}
