"""A submission that answers tests: its notebook has been run, its functions can be called.

The tests get the notebook's values as data and its functions as `Remote` objects. A
sandbox that dies is started again, without the cell that killed it.
"""

import builtins
import time

from relubook.grading import wire
from relubook.grading.sandbox import Sandbox, Stopped

MOST_STARTS = 12  # of the sandbox, for one submission
WHOLE = "time limit of the whole notebook"


class StudentError(Exception):
    """An exception in a submission that is not one of Python's own."""


class Session:
    """The notebook with these `cells`, running in sandboxes one after the other.

    After `run`, `notes` says which cells failed and `output` what was printed. `stops`
    lists why sandboxes were stopped and code was cut short.
    """

    def __init__(self, cells, limits, **options):
        self.cells, self.limits, self.options = cells, limits, options
        self.sandbox, self.starts = None, 0
        self.killers = {}  # number of a cell: why the sandbox was stopped in it
        self.notes, self.stops, self.output = [], [], ""
        self.altered = False  # a call returned a value and changed its arguments, too
        self.keeping = False  # such arguments stay as they were, for the test
        self.end = time.monotonic() + limits.total

    def run(self):
        """Run the notebook; without the cells that kill the sandbox, where there are any."""
        while self.sandbox is None:
            notes = []
            try:
                self._start(notes)
            except Stopped:
                if self.spent:
                    self.notes.append(f"the notebook was not run to its end: {self.spent}")
                    break
            else:
                self.output = self.sandbox.output.decode("utf-8", "replace")
                self.notes = notes
        for number, why in sorted(self.killers.items()):
            self.notes.append(f"cell {number} was stopped: {why}")

    @property
    def spent(self):
        """Why the sandbox is not started again, or "" if it may be."""
        if time.monotonic() > self.end:
            return WHOLE
        return "it was stopped too often" if self.starts >= MOST_STARTS else ""

    def get(self, name):
        """The value of the notebook's variable `name`."""
        return self.value("get", name=name)[0]

    def value(self, op, **message):
        """What an operation gives, or its exception raised: (value, changed arguments)."""
        if self.sandbox is None:
            if self.spent:
                self.stops.append(self.spent)
                raise Stopped(self.spent)
            self._start([])
        reply, block = self._ask(op, self.limits.call, **message)
        if reply.get("ok") is not True:
            if is_out_of_time(reply):
                self.stops.append("time limit")
                raise Stopped("time limit")
            raise exception(reply)
        value, changed = reply.get("value"), reply.get("changed")
        changed = changed if type(changed) is dict else {}
        return self.decode(value, block), {
            place: self.decode(part, block) for place, part in changed.items()
        }

    def decode(self, data, block):
        """A value from the sandbox; its objects as `Remote`."""
        return wire.decode(data, block, self._remote, parse)

    def close(self):
        """Stop what is running."""
        if self.sandbox is not None:
            self.sandbox.close()
            self.sandbox = None

    def _start(self, notes):
        """A sandbox in which the cells have been run; their errors are added to `notes`."""
        self.close()
        self.starts += 1
        self.sandbox = Sandbox(self.limits, **self.options)
        for number, source in enumerate(self.cells, start=1):
            if number in self.killers:
                continue
            try:
                reply, _ = self._ask("cell", self.limits.cell, source=source)
            except Stopped as stop:
                self.killers[number] = str(stop)
                raise
            error = reply.get("error") if reply.get("ok") is True else reply
            if type(error) is dict and is_out_of_time(error):
                self.stops.append("time limit")
                notes.append(f"cell {number} was stopped: time limit")
            elif type(error) is dict:
                notes.append(f"cell {number}: {as_text(error)}")

    def _ask(self, op, seconds, **message):
        left = self.end - time.monotonic()
        try:
            if left <= 0:
                raise Stopped(WHOLE)
            return self.sandbox.ask(op, min(seconds, left), **message)
        except Stopped as stop:
            self.close()
            why = WHOLE if time.monotonic() > self.end else str(stop)
            self.stops.append(why)
            raise Stopped(why) from None

    def _remote(self, data):
        number, name = data.get("v"), data.get("type")
        if type(number) is not int or type(name) is not str:
            raise wire.Refused("a malformed handle")
        return Remote(self, number, name[:60])


class Remote:
    """An object of the submission that stays in the sandbox.

    It can be called and indexed, has a length and public attributes; what comes back is
    data, or again a `Remote`. It equals nothing but itself, whatever it says.
    """

    __slots__ = ("_session", "_sandbox", "_number", "_type")

    def __init__(self, session, number, type):
        self._session, self._sandbox = session, session.sandbox
        self._number, self._type = number, type

    def __call__(self, *args, **kwargs):
        functions, block = {}, bytearray()

        def handle(value):
            if isinstance(value, Remote):
                value._alive()
                return {"t": "handle", "v": value._number}
            if callable(value):
                number = len(functions) + 1
                functions[number] = answering(value, self._session)
                return {"t": "handle", "v": number, "theirs": True}
            raise wire.Refused(f"a value of type {type(value).__name__} cannot cross")

        try:
            given = [wire.encode(part, block, handle) for part in args]
            named = {n: wire.encode(part, block, handle) for n, part in kwargs.items()}
        except wire.Refused as error:
            raise TypeError(f"the test's arguments cannot cross: {error}") from None
        value, changed = self._value(
            "call", functions=functions, block=block, args=given, kwargs=named
        )
        if changed and value is not None:
            self._session.altered = True
            if self._session.keeping:
                return value
        for place, array in changed.items():
            copy_out(args, place, array)
        return value

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        return self._value("attribute", name=name)[0]

    def __getitem__(self, item):
        block = bytearray()
        data = wire.encode(item, block)
        return self._value("item", block=block, item=data)[0]

    def __len__(self):
        length = self._value("length")[0]
        if type(length) is not int or not 0 <= length < 2**31:
            raise TypeError(f"its length is {length!r}")
        return length

    def __eq__(self, other):
        return self is other

    __hash__ = object.__hash__
    # Python would iterate by index, for ever if the object has an answer to each.
    __iter__ = None

    def __bool__(self):
        raise TypeError(f"got an object of type {self._type}, expected a plain value")

    def __repr__(self):
        return f"<an object of type {self._type}>"

    def _alive(self):
        if self._sandbox is not self._session.sandbox:
            raise Stopped("its sandbox was stopped")

    def _value(self, op, **message):
        self._alive()
        return self._session.value(op, handle=self._number, **message)


def answering(function, session):
    """What answers a submission that calls the test's `function`."""

    def answer(message, block):
        args, kwargs = message.get("args"), message.get("kwargs")
        if type(args) is not list or type(kwargs) is not dict:
            raise wire.Refused("a malformed callback")
        args = [session.decode(part, block) for part in args]
        kwargs = {name: session.decode(part, block) for name, part in kwargs.items()}
        reply = bytearray()
        try:
            value = wire.encode(function(*args, **kwargs), reply)
        except Exception as error:
            return {"ok": False, "message": f"{type(error).__name__}: {error}"[:500]}, b""
        return {"ok": True, "value": value}, reply

    return answer


def copy_out(args, place, array):
    """Put what the submission left in its argument into the test's own array."""
    if place.isdecimal() and int(place) < len(args):
        mine = args[int(place)]
        if (
            type(mine) is type(array)
            and getattr(mine, "shape", None) == getattr(array, "shape", ())
            and getattr(mine, "dtype", None) == getattr(array, "dtype", ())
        ):
            mine[...] = array


def exception(reply):
    """The exception that a reply describes: Python's own where there is one."""
    message = str(reply.get("message"))[:500].encode("utf-8", "replace").decode()
    names = reply.get("types")
    names = [str(name)[:60] for name in names[:20]] if type(names) is list else []
    for name in names:
        kind = getattr(builtins, name, None)
        if not (isinstance(kind, type) and issubclass(kind, Exception)):
            continue
        if issubclass(kind, (StopIteration, StopAsyncIteration)):
            continue  # would end a loop of the test without a sound
        try:
            found = kind(message)
        except TypeError:
            continue
        if kind is not Exception or names[0] == "Exception":
            return found
    return StudentError(": ".join([*names[:1], message]))


def is_out_of_time(reply):
    """Whether the worker's own alarm ended the cell or call."""
    return type(reply.get("types")) is list and reply["types"][:1] == ["OutOfTime"]


def as_text(error):
    """`NameError: name 'x' is not defined`."""
    names = error.get("types")
    name = names[0] if type(names) is list and names else "error"
    text = f"{name}: {error.get('message')}"[:300]
    return text.encode("utf-8", "replace").decode()


def parse(text):
    """The SymPy expression for a text from the sandbox."""
    from relubook.grading.expressions import parse

    try:
        return parse(text)
    except ValueError as error:
        raise wire.Refused(f"an expression that is not understood: {error}") from None
