"""Runs inside the sandbox: a submission's cells, then calls of its functions.

Started by `relubook.grading.sandbox` as `python -I worker.py SOCKET LIMITS`, the second a
JSON list of the kernel's limits and of modules to import. It knows no test and no score,
and nothing here is trusted: the code it runs may take it over. What it can do then is to
give other answers.
"""

import difflib
import importlib
import importlib.machinery
import importlib.util
import json
import os
import resource
import signal
import socket
import sys
import threading
import types

FOLDER = os.path.dirname(os.path.abspath(__file__))


class OutOfTime(BaseException):
    """The cell or call has used up its time."""


def main(descriptor, limits, modules):
    limit_resources(limits)
    for name in modules:  # before any clock runs: importing some takes seconds
        importlib.import_module(name)
    wire = load("wire")
    link = Link(wire, socket.socket(fileno=descriptor))
    sys.modules["otter"] = otter_stub()
    submission = Submission(wire, link)
    link.send({"id": 0, "ok": True})
    while True:
        request, block = link.receive()
        if "op" not in request:
            continue  # the answer to a callback whose caller ran out of time
        try:
            link.send(*submission.answer(request, block))
        except (wire.Refused, MemoryError) as error:
            link.send({"id": request["id"], "ok": False, **described(error)})


def limit_resources(limits):
    """Set what the kernel enforces; None leaves a limit as it is."""
    for name, value in limits.items():
        if value is not None:
            resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (value, value))


def load(name):
    """A module from the file beside this one, without putting its folder on the path."""
    path = os.path.join(FOLDER, f"{name}.py")
    spec = importlib.util.spec_from_file_location(f"_{name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def otter_stub():
    """A module `otter` whose checks do nothing: nothing is decided in here."""

    class Notebook:
        def __init__(self, *args, **kwargs):
            pass

        def __getattr__(self, name):
            return lambda *args, **kwargs: None

    stub = types.ModuleType("otter")
    stub.__spec__ = importlib.machinery.ModuleSpec("otter", None)
    stub.Notebook = Notebook
    return stub


class Link:
    """Frames over a socket."""

    def __init__(self, wire, connection):
        self.wire, self.connection, self.buffer = wire, connection, bytearray()

    def send(self, message, block=b""):
        self.connection.sendall(self.wire.pack(message, block))

    def receive(self):
        while True:
            frame = self.wire.unpack(self.buffer)
            if frame is not None:
                return frame
            data = self.connection.recv(1 << 20)
            if not data:
                os._exit(0)
            self.buffer += data


class Submission:
    """The notebook's namespace, and the objects of it that the tests hold."""

    def __init__(self, wire, link):
        self.wire, self.link = wire, link
        self.shell = make_shell()
        self.namespace = self.shell.user_ns
        self.given = set(self.namespace)
        self.objects = {}
        self.running = None  # the id of the request that is being answered
        self.lock = threading.Lock()

    def answer(self, request, block):
        """The reply to a request: (message, block)."""
        self.running = request["id"]
        signal.signal(signal.SIGALRM, self._out_of_time)
        # Again and again, for code that catches everything.
        signal.setitimer(signal.ITIMER_REAL, request["limit"], 0.1)
        try:
            try:
                operation = getattr(self, "do_" + request["op"])
                reply, block = operation(request, block)
                return {"id": request["id"], "ok": True, **reply}, block
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
                self.running = None
                flush()
                # A thread may be calling back: what it reads must not be a request.
                if self.lock.acquire(timeout=1):
                    self.lock.release()
        except BaseException as error:
            return {"id": request["id"], "ok": False, **described(error)}, b""

    def do_cell(self, request, block):
        """Run a cell; an error in it is told, and the next cells run all the same."""
        result = self.shell.run_cell(request["source"], store_history=False)
        error = result.error_before_exec or result.error_in_exec
        if isinstance(error, OutOfTime):
            raise error
        return {"error": None if error is None else described(error)}, b""

    def do_get(self, request, block):
        name = request["name"]
        if name not in self.namespace or name in self.given:
            own = [key for key in self.namespace if isinstance(key, str)]
            own = [key for key in own if key not in self.given and key[:1] != "_"]
            close = difflib.get_close_matches(name, own, 1, 0.7)
            close = close or [key for key in own if key.lower() == name.lower()]
            hint = f"; it defines {close[0]!r}" if close else ""
            raise NameError(f"the notebook does not define {name!r}{hint}")
        return self.encoded(self.namespace[name])

    def do_call(self, request, block):
        arguments = [self.decoded(part, block) for part in request["args"]]
        keywords = {
            name: self.decoded(part, block) for name, part in request["kwargs"].items()
        }
        before = [snapshot(part) for part in arguments]
        value = self.objects[request["handle"]](*arguments, **keywords)
        reply, block = self.encoded(value)
        # The caller's arrays change as they would have without a sandbox.
        reply["changed"] = {
            str(place): self.wire.encode(part, block)
            for place, part in enumerate(arguments)
            if before[place] is not None and snapshot(part) != before[place]
        }
        return reply, block

    def do_attribute(self, request, block):
        return self.encoded(getattr(self.objects[request["handle"]], request["name"]))

    def do_item(self, request, block):
        item = self.decoded(request["item"], block)
        return self.encoded(self.objects[request["handle"]][item])

    def do_length(self, request, block):
        return self.encoded(len(self.objects[request["handle"]]))

    def encoded(self, value):
        block = bytearray()
        return {"value": self.wire.encode(value, block, self._handle)}, block

    def decoded(self, data, block):
        return self.wire.decode(data, block, self._object, self._parse)

    def _handle(self, value):
        self.objects[id(value)] = value
        return {
            "t": "handle",
            "v": id(value),
            "callable": callable(value),
            "type": type(value).__name__[:60],
        }

    def _object(self, data):
        """What the tests mean by a handle: an object of ours, or a function of theirs."""
        if not data.get("theirs"):
            return self.objects[data["v"]]

        request = self.running

        def function(*args, **kwargs):
            with self.lock:
                return self._call_back(request, data["v"], args, kwargs)

        return function

    def _call_back(self, request, function, args, kwargs):
        if self.running != request:
            raise RuntimeError("the test that gave this function has ended")
        block = bytearray()
        message = {
            "id": request,
            "callback": function,
            "args": [self.wire.encode(part, block) for part in args],
            "kwargs": {n: self.wire.encode(part, block) for n, part in kwargs.items()},
        }
        self.link.send(message, block)
        reply, block = self.link.receive()
        if not reply["ok"]:
            raise RuntimeError(reply["message"])
        return self.decoded(reply["value"], block)

    def _parse(self, text):
        """An expression that a test sends; its symbols are real, as a test's are."""
        return self.wire.expressions().parse(text)

    def _out_of_time(self, *_):
        if self.running is not None:
            raise OutOfTime("time limit")


def make_shell():
    """IPython as a kernel would have it, without files, history and installations."""
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "nocolor"
    shell = InteractiveShell.instance(config=config)
    for magic in ("pip", "conda", "uv", "mamba", "matplotlib"):
        shell.register_magic_function(skip, "line", magic)
    sys.path.insert(0, "")  # as in Jupyter, files beside the notebook can be imported
    return shell


def skip(line):
    """A magic that has nothing to do here: nothing is installed, no window opened."""


def snapshot(value):
    """The bytes of an array, to see whether a call changed it; None for anything else."""
    numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
    if numpy is not None and isinstance(value, numpy.ndarray):
        return value.tobytes()
    if torch is not None and isinstance(value, torch.Tensor):
        return value.detach().clone().view(-1).view(torch.uint8).numpy().tobytes()
    return None


def described(error):
    """An exception as data: the names of its classes, and its message."""
    try:
        message = str(error)[:500]
    except BaseException:
        message = ""
    names = [cls.__name__[:60] for cls in type(error).__mro__[:20]]
    return {"types": names, "message": message}


def flush():
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BaseException:
            pass


if __name__ == "__main__":
    main(int(sys.argv[1]), *json.loads(sys.argv[2]))
