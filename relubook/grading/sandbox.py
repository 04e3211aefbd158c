"""Where a submission's code runs: a process under bubblewrap that can do no harm.

It has no network and sees a read-only system, the Python environment without `relubook`,
the assignment's data files and nothing else; `/tmp` and the working folder are small and
vanish with it. Time, memory, processes, output and file sizes are limited. Started by an
ordinary user it runs in a user namespace; started by root, under a user id of its own.
"""

import functools
import importlib.util
import json
import os
import re
import secrets
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, fields, replace
from pathlib import Path

import psutil

from relubook.grading import wire

HERE = Path(__file__).resolve().parent
WORKER = ("worker.py", "wire.py", "expressions.py")
SYSTEM = ("/usr", "/bin", "/lib", "/lib32", "/lib64", "/etc/ld.so.cache", "/etc/fonts")
SYSTEM += ("/etc/alternatives", "/etc/localtime")
WRITABLE = ("/tmp", "/submission", "/dev/shm")

MOST_FILES = 10_000  # each takes memory of the kernel's, however small it is
GRACE = 1.0  # seconds that a worker has to answer after its own alarm
WATCH = 0.1  # seconds between two looks at the memory
START = 60.0  # seconds for Python, IPython and what is imported to start


class GraderError(Exception):
    """The sandbox itself does not work: there is no score, and nobody is to blame."""


class Stopped(Exception):
    """The sandbox was stopped; the text says why."""


@dataclass(frozen=True)
class Limits:
    """What a submission may use.

    Seconds for a `cell`, a `call` and the whole submission (`total`); MiB of `memory`
    (all its processes), of address space (`addresses`, each process), of its `files`
    altogether and of its `output`; the number of its `processes` and threads.
    """

    cell: float = 10.0
    call: float = 5.0
    total: float = 120.0
    memory: int = 2048
    addresses: int = 4096
    files: int = 128
    output: int = 8
    processes: int = 32

    @classmethod
    def of(cls, assignment):
        """The limits of an assignment: the defaults, and what its master changes."""
        known = [field.name for field in fields(cls)]
        if unknown := set(assignment.limits) - set(known):
            raise ValueError(
                f"limits of {assignment.name} has {', '.join(sorted(unknown))}; "
                f"expected some of {', '.join(known)}"
            )
        limits = replace(cls(), **assignment.limits)
        if "torch" in assignment.requires and "addresses" not in assignment.limits:
            # Builds of torch for a GPU reserve far more addresses than they use.
            limits = replace(limits, addresses=max(limits.addresses, 32768))
        return limits


class Sandbox:
    """One run of the worker. `ask` sends a request and returns its reply.

    The files `data` lie in its working folder; with `unsafe` there is no sandbox, and
    `folder` is the working folder. After a reply that does not come, or a limit passed,
    the sandbox is closed and `ask` raises `Stopped`. The functions that a request hands
    over are called back while it is being answered.
    """

    def __init__(self, limits, data=(), requires=(), unsafe=False, folder=None):
        self.limits, self.requests = limits, 0
        self.output, self._printed, self.closed = bytearray(), 0, False
        self._arriving, self._last_look = bytearray(), time.monotonic()
        self.socket, theirs = socket.socketpair()
        files = []
        try:
            command, environment, files = (
                plain_command(theirs.fileno(), limits, requires)
                if unsafe
                else bubblewrap_command(theirs.fileno(), limits, data, requires)
            )
            self.process = subprocess.Popen(
                command,
                env=environment,
                cwd=(folder or ".") if unsafe else "/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=[theirs.fileno(), *(file.fileno() for file in files)],
                start_new_session=True,
            )
        except (OSError, GraderError) as error:
            self.socket.close()
            raise GraderError(f"the sandbox cannot be started: {error}") from error
        finally:
            for file in (theirs, *files):
                file.close()
        self.socket.setblocking(False)
        os.set_blocking(self.process.stdout.fileno(), False)
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.socket, selectors.EVENT_READ)
        self.selector.register(self.process.stdout, selectors.EVENT_READ)
        try:
            self._reply(0, time.monotonic() + START, {})
        except Stopped as stop:
            said = self.output[-500:].decode("utf-8", "replace").strip()
            raise GraderError(f"the sandbox did not start ({stop}): {said}") from None

    def ask(self, op, seconds, functions=None, block=b"", **message):
        """The worker's reply (message, block) to operation `op`, within `seconds`.

        `functions` maps the numbers of callable arguments to what answers them: called
        with the callback's message and block, it returns the reply's.
        """
        self.requests += 1
        number = secrets.randbits(52) + 1  # replies cannot be sent before their request
        request = {"id": number, "op": op, "limit": seconds, **message}
        end = time.monotonic() + seconds + GRACE
        try:
            self._send(wire.pack(request, block), end)
        except wire.Refused as error:
            raise ValueError(f"the test's arguments cannot cross: {error}") from None
        return self._reply(number, end, functions or {})

    def close(self):
        """Kill everything in the sandbox."""
        if self.closed:
            return
        self.closed = True
        if self.process.poll() is None:
            # With bubblewrap dies its namespace of processes, daemons included.
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait()
        self.selector.close()
        self.socket.close()
        self.process.stdout.close()

    def _reply(self, number, end, functions):
        while True:
            message, block = self._frame(end)
            if time.monotonic() > end:  # however many frames may come
                self._stop("time limit")
            # Not ours: late, early or forged. It counts for nothing.
            if message.get("id") != number:
                continue
            function = message.get("callback")
            if function is None:
                self._read_output()
                return message, block
            if type(function) is not int or function not in functions:
                self._stop("a malformed reply")
            try:
                answer = wire.pack(*functions[function](message, block))
            except wire.Refused:
                self._stop("a malformed reply")
            self._send(answer, end)

    def _frame(self, end):
        while True:
            try:
                frame = wire.unpack(self._arriving)
            except wire.Refused:
                self._stop("a malformed reply")
            if frame is not None:
                return frame
            self._wait(selectors.EVENT_READ, end)
            try:
                data = self.socket.recv(1 << 20)
            except BlockingIOError:
                continue
            except OSError:
                data = b""
            if not data:
                self._read_output()
                self._stop("the process died")
            self._arriving += data

    def _send(self, data, end):
        view = memoryview(data)
        while view:
            try:
                view = view[self.socket.send(view) :]
            except BlockingIOError:
                self._wait(selectors.EVENT_WRITE, end)
            except OSError:
                self._stop("the process died")

    def _wait(self, event, end):
        """Return when the socket is ready for `event`; meanwhile watch the rest."""
        self.selector.modify(self.socket, event)
        while True:
            now = time.monotonic()
            if now > end:
                self._stop("time limit")
            if now - self._last_look > WATCH:
                self._look()
            ready = self.selector.select(min(WATCH, max(end - now, 0)))
            if any(key.fileobj is self.process.stdout for key, _ in ready):
                self._read_output()
            if any(key.fileobj is self.socket for key, _ in ready):
                return

    def _read_output(self):
        """Take what was printed; keep its beginning."""
        for _ in range(64):
            try:
                data = os.read(self.process.stdout.fileno(), 1 << 16)
            except BlockingIOError:
                return
            if not data:
                if self.process.stdout in self.selector.get_map():
                    self.selector.unregister(self.process.stdout)
                return
            self._printed += len(data)
            if self._printed > self.limits.output << 20:
                self._stop("too much output")
            if len(self.output) < 100_000:
                self.output += data

    def _look(self):
        """Stop the sandbox if all its processes together use too much memory."""
        try:
            processes = psutil.Process(self.process.pid).children(recursive=True)
        except psutil.Error:
            processes = []
        most = self.limits.memory << 20
        # The second way counts shared pages once, and takes longer.
        if memory(processes) > most and memory(processes, shared_once=True) > most:
            self._stop("memory limit")
        # Before the first answer, a process may still see the folders of the system.
        if self.requests and processes and files_in(processes[0].pid) > MOST_FILES:
            self._stop("too many files")
        self._last_look = time.monotonic()

    def _stop(self, why):
        self.close()
        raise Stopped(why)


def memory(processes, shared_once=False):
    """Bytes of memory that the processes use together."""
    used = 0
    for process in processes:
        try:
            if shared_once:
                used += process.memory_full_info().pss
            else:
                used += process.memory_info().rss
        except psutil.Error:
            pass  # it has ended
    return used


def files_in(process):
    """How many files there are in the folders a sandbox can write to."""
    count = 0
    for folder in WRITABLE:
        try:
            state = os.statvfs(f"/proc/{process}/root{folder}")
            count += state.f_files - state.f_ffree
        except OSError:
            pass  # it has ended
    return count


def bubblewrap_command(descriptor, limits, data=(), requires=()):
    """How to start the worker in a sandbox: (arguments, environment, open files).

    The files `data` lie in its working folder.
    """
    bubblewrap = shutil.which("bwrap")
    if bubblewrap is None:
        raise GraderError(
            "bubblewrap is not installed: without it a submission could do to this "
            "machine what you can. `relubook grade --doctor` says what to do"
        )
    root = os.geteuid() == 0
    if root:
        # Its own user id: limits on processes are counted by user. No user namespace,
        # whose id 0 would be ours.
        user = str(200_000 + os.getpid() % 100_000)
        options = ["--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts"]
        options += ["--unshare-cgroup-try", "--cap-drop", "ALL"]
        for capability in ("SETUID", "SETGID", "SETPCAP"):
            options += ["--cap-add", f"CAP_{capability}"]
        inner = ["/usr/bin/setpriv", "--reuid", user, "--regid", user, "--clear-groups"]
        inner += ["--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"]
    else:
        options = ["--unshare-all", "--unshare-user", "--uid", "1000", "--gid", "1000"]
        options += ["--cap-drop", "ALL"]
        if version(bubblewrap) >= (0, 8):
            options += ["--disable-userns"]
        inner = []
    options += ["--hostname", "sandbox", "--die-with-parent", "--new-session"]
    options += ["--proc", "/proc", "--dev", "/dev"]
    # Before what is bound: Python's environment may lie below one of these.
    for path in WRITABLE:
        size = str((limits.files << 20) // len(WRITABLE))
        options += ["--perms", "1777", "--size", size, "--tmpfs", path]
    visible = [path for path in SYSTEM if os.path.exists(path)]
    visible += [sys.base_prefix, sys.prefix]
    for path in dict.fromkeys(visible):
        options += [*mounts_below(path), "--ro-bind", path, path]
    for path in answers_below(visible):
        options += ["--tmpfs", path]
    options += ["--perms", "0755", "--dir", "/grader"]
    for name in WORKER:
        options += ["--ro-bind", str(HERE / name), f"/grader/{name}"]
    if "matplotlib" in requires:
        options += ["--perms", "1777", "--dir", "/tmp/matplotlib"]
        for file in font_lists():
            options += ["--ro-bind", str(file), f"/tmp/matplotlib/{file.name}"]
    for file in data:
        options += ["--ro-bind", str(file), f"/submission/{file.name}"]
    options += ["--remount-ro", "/", "--remount-ro", "/dev", "--chdir", "/submission"]
    files = []
    if (program := forbidden_calls()) is not None:
        files.append(temporary(program))
        options += ["--seccomp", str(files[-1].fileno())]
    for name, value in environment("/tmp").items():
        options += ["--setenv", name, value]
    # Not on the command line, which the sandbox can read.
    files.append(temporary("\0".join(options).encode()))
    resources = kernel_limits(limits)
    if not root:
        resources["NPROC"] += processes_counted()
    worker = worker_command("/grader/worker.py", descriptor, resources, requires)
    command = [bubblewrap, "--args", str(files[-1].fileno()), "--", *inner, *worker]
    return command, {"PATH": "/usr/bin:/bin"}, files


def plain_command(descriptor, limits, requires=()):
    """The same without a sandbox: for one's own code, or at one's own risk."""
    resources = {**kernel_limits(limits), "NPROC": None}
    if sys.platform != "linux":
        resources["AS"] = None
    worker = worker_command(str(HERE / "worker.py"), descriptor, resources, requires)
    return worker, {**os.environ, "MPLBACKEND": "agg", "PIP_NO_INDEX": "1"}, []


def worker_command(path, descriptor, resources, requires):
    """Python, isolated from the user's settings, running the worker."""
    modules = [name for name in requires if importlib.util.find_spec(name)]
    settings = json.dumps([resources, modules])
    return [sys.executable, "-I", path, str(descriptor), settings]


def kernel_limits(limits):
    """What the worker asks the kernel to enforce, in its units."""
    return {
        "AS": limits.addresses << 20,
        "NPROC": limits.processes,
        "FSIZE": limits.files << 20,
        "CPU": int(limits.total) + 1,
        "NOFILE": 128,
        "CORE": 0,
    }


def environment(home):
    """The worker's environment: one thread, no screen, no installation, no bytecode."""
    return {
        "PATH": f"{sys.prefix}/bin:/usr/bin:/bin",
        "HOME": home,
        "TMPDIR": home,
        "USER": "student",
        "LANG": "C.UTF-8",
        "IPYTHONDIR": f"{home}/.ipython",
        "MPLCONFIGDIR": f"{home}/matplotlib",
        "MPLBACKEND": "agg",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "PIP_NO_INDEX": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def mounts_below(path):
    """Options that make the folders above `path`, passable for everybody."""
    options = []
    for parent in reversed(Path(path).parents):
        if str(parent) not in ("/", "/usr", "/etc", "/tmp"):
            options += ["--perms", "0755", "--dir", str(parent)]
    return options


def answers_below(visible):
    """Folders inside the `visible` ones that hold the answers: `relubook`, wherever."""
    found = {*importlib.util.find_spec("relubook").submodule_search_locations}
    found |= {os.path.join(path, "relubook") for path in sys.path}
    found = {os.path.realpath(path) for path in found if os.path.isdir(path)}
    tops = [os.path.realpath(path) for path in visible]
    return [p for p in sorted(found) if any(Path(p).is_relative_to(top) for top in tops)]


@functools.cache
def font_lists():
    """Matplotlib's lists of fonts, which take it long to make."""
    import matplotlib

    return sorted(Path(matplotlib.get_cachedir()).glob("fontlist-*.json"))


@functools.cache
def version(bubblewrap):
    """The version of bubblewrap as a tuple of integers."""
    said = subprocess.run([bubblewrap, "--version"], capture_output=True, text=True)
    return tuple(int(part) for part in re.findall(r"\d+", said.stdout)[:2])


def processes_counted():
    """Threads of this user that the kernel counts against a sandbox's limit."""
    release = tuple(int(part) for part in re.findall(r"\d+", os.uname().release)[:2])
    if release >= (5, 14):
        return 0  # each user namespace counts its own
    mine = [process for process in psutil.process_iter(["uids", "num_threads"])]
    uid = os.getuid()
    return sum(p.info["num_threads"] or 0 for p in mine if p.info["uids"].real == uid)


@functools.cache
def forbidden_calls():
    """A seccomp program against system calls that no assignment needs, or None.

    They are ways around the limits (memory that is no process's, namespaces, the
    kernel's debugging and tracing) and to other networks. None where libseccomp is
    missing; the other walls stand without it.
    """
    try:
        import pyseccomp
    except (ImportError, RuntimeError):
        return None
    denied = (
        "memfd_create memfd_secret shmget msgget semget mq_open userfaultfd "
        "unshare setns mount umount2 pivot_root chroot fsopen fsmount fspick move_mount "
        "open_tree mount_setattr ptrace process_vm_readv process_vm_writev pidfd_getfd "
        "kcmp io_uring_setup io_uring_enter io_uring_register bpf perf_event_open "
        "keyctl add_key request_key fanotify_init name_to_handle_at open_by_handle_at "
        "init_module finit_module delete_module kexec_load kexec_file_load reboot "
        "swapon swapoff acct quotactl syslog ioperm iopl settimeofday clock_settime "
        "adjtimex personality vhangup"
    ).split()
    EPERM, ENOSYS, AF_UNIX, CLONE_NEWUSER = 1, 38, 1, 0x10000000
    program = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
    known = 0
    for name in denied:
        try:
            program.add_rule(pyseccomp.ERRNO(EPERM), name)
            known += 1
        except (ValueError, RuntimeError, OSError):
            pass  # unknown to this libseccomp
    if not known:
        return None
    # glibc then uses clone, whose flags can be looked at.
    program.add_rule(pyseccomp.ERRNO(ENOSYS), "clone3")
    flagged = pyseccomp.Arg(0, pyseccomp.MASKED_EQ, CLONE_NEWUSER, CLONE_NEWUSER)
    program.add_rule(pyseccomp.ERRNO(EPERM), "clone", flagged)
    other = pyseccomp.Arg(0, pyseccomp.NE, AF_UNIX)
    program.add_rule(pyseccomp.ERRNO(EPERM), "socket", other)
    with tempfile.TemporaryFile() as file:
        program.export_bpf(file)
        file.seek(0)
        return file.read()


def temporary(data):
    """An open, unnamed file that holds `data`, to be inherited."""
    file = tempfile.TemporaryFile()
    file.write(data)
    file.seek(0)
    return file
