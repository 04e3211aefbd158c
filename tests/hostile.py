"""Hostile submissions: what each tries, and the score that it deserves.

Each is harmless by itself, should a wall fall: loops end after a minute, bombs are
small, and what they write is called by one name that the tests look for.
"""

from dataclasses import dataclass

MARK = "relubook-hostile"  # in the name of every file that an attack writes

TESTS = {
    "q1": '''
OK_FORMAT = False
from otter.test_files import test_case

name, points = "q1", None


@test_case(name="test_values", points=1, hidden=False)
def test_values(relu):
    expect(relu(np.array([-1.0, 2.0])), np.array([0.0, 2.0]))


@test_case(name="test_random", points=1, hidden=True)
def test_random(relu):
    z = secret_rng("q1").normal(size=(3, 2))
    expect(relu(z), np.where(z > 0, z, 0.0))
''',
    "q2": '''
OK_FORMAT = False
from otter.test_files import test_case

name, points = "q2", None


@test_case(name="test_values", points=1, hidden=False, failure_message="Twice.")
def test_values(double):
    expect(double(np.array([3.0, -1.0])), np.array([6.0, -2.0]))


@test_case(name="test_random", points=2, hidden=True, failure_message="Any shape.")
def test_random(double):
    x = secret_rng("q2").normal(size=4)
    expect(double(x), 2 * x)
''',
    "q3": '''
OK_FORMAT = False
from otter.test_files import test_case

name, points = "q3", None


@test_case(name="test_calls", points=1, hidden=False)
def test_calls(twice):
    calls = []

    def add(x):
        calls.append(x)
        return x + len(calls)

    expect(twice(add, 4.0), 7.0)
''',
}
Q1, Q2, Q3 = 2.0, 3.0, 1.0  # full marks

RELU = "import numpy as np\n\ndef relu(z):\n    return np.maximum(z, 0)"
DOUBLE = "def double(x):\n    return 2 * x"
TWICE = "def twice(f, x):\n    return f(f(x))"

# 30 seconds in Python, in one call of C, and in spite of every exception
LOOP = "import time\nend = time.time() + 30\nwhile time.time() < end: pass"


def in_double(body):
    """An attack that takes place when the tests call `double`."""
    lines = "\n".join("    " + line for line in body.strip().splitlines())
    return f"def double(x):\n{lines}\n    return 0 * x"


@dataclass(frozen=True)
class Attack:
    """Cells beside a right answer to q1 and q3; `scores` are those deserved.

    `attack` comes after the right answers. `status` is a regular expression.
    """

    name: str
    attack: str | tuple
    scores: tuple = (Q1, 0.0, Q3)
    status: str = "ok"

    @property
    def cells(self):
        cells = (self.attack,) if isinstance(self.attack, str) else self.attack
        return [RELU, TWICE, *cells]


def beside(name, attack, status="ok", scores=(Q1, Q2, Q3)):
    """An attack beside a right answer, which keeps its points."""
    cells = (attack,) if isinstance(attack, str) else tuple(attack)
    return Attack(name, (*cells, DOUBLE), scores, status)


def inside(name, body, status="ok", scores=(Q1, 0.0, Q3)):
    """An attack in the place of an answer."""
    return Attack(name, in_double(body), scores, status)


STOP = r"stopped: "
TIME = r"stopped: time limit$"
DIED = r"stopped: the process died$"
MALFORMED = r"stopped: a malformed reply$"
CLOSED = r"stopped: (the process died|a malformed reply|time limit)$"

# The worker's socket, its frames, and the number of the request it is answering.
LINE = """
import gc, json, os, struct, threading, time
link = next(o for o in gc.get_objects() if type(o).__name__ == "Link")
work = next(o for o in gc.get_objects() if type(o).__name__ == "Submission")
descriptor = link.connection.fileno()

def send(message, block=b""):
    text = message if isinstance(message, bytes) else json.dumps(message).encode()
    frame = struct.pack(">II", len(text), len(block)) + text + block
    while frame:
        frame = frame[os.write(descriptor, frame):]

def reply(value, **more):
    send({"id": work.running, "ok": True, "value": value, **more})
"""


def line(body, name="", **options):
    """An attack on the line to the grader, when the first test calls `double`."""
    lines = "\n".join("    " + line for line in body.splitlines())
    return Attack(name, (LINE, in_double(f"if x.size == 2:\n{lines}")), **options)


def value(data, name, status="ok", scores=(Q1, 0.0, Q3)):
    """A forged value in a frame that is good."""
    return line(f"reply({data})\ntime.sleep(30)", name, status=status, scores=scores)


ENDLESS = [
    beside("endless loop in a cell", LOOP, TIME),
    inside("endless loop in a function", LOOP, TIME),
    inside("endless loop that catches everything",
           "import time\nend = time.time() + 30\nwhile time.time() < end:\n    try:\n"
           "        while time.time() < end: pass\n    except BaseException: pass", TIME),
    beside("sleep", "import time; time.sleep(30)", TIME),
    inside("alarm ignored",
           "import signal, time\nsignal.signal(signal.SIGALRM, signal.SIG_IGN)\n"
           "time.sleep(30)", TIME),
    inside("alarm blocked",
           "import signal, time\n"
           "signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\ntime.sleep(30)",
           TIME),
    beside("alarm switched off",
           "import signal, time\nsignal.setitimer(signal.ITIMER_REAL, 0)\n"
           "end = time.time() + 30\nwhile time.time() < end: time.sleep(.1)", TIME),
    beside("alarm replaced",
           "import signal, time\nsignal.setitimer = lambda *a: None\n"
           "signal.signal = lambda *a: None"),
    inside("loop inside C", "import re; re.match('(a+)+$', 'a' * 30 + 'b')", TIME),
    inside("lock that nobody opens",
           "import threading\nlock = threading.Lock()\nlock.acquire()\n"
           "lock.acquire(timeout=30)", TIME),
    inside("endless recursion", "return double(x)"),
    inside("endless generator", "return (i for i in iter(int, 1))"),
    inside("input()", "return float(input())"),
    beside("input() in a cell", "answer = input('your answer? ')"),
    beside("standard input read", "import sys; sys.stdin.read()"),
    beside("a finaliser that hangs",
           "import time\nclass Slow:\n    def __del__(self): time.sleep(30)\n"
           "slow = Slow(); del slow"),
    beside("at exit, a loop",
           "import atexit, time\natexit.register(lambda: time.sleep(30))"),
    beside("a thread that never ends",
           "import threading, time\n"
           "threading.Thread(target=lambda: time.sleep(60)).start()"),
    inside("length that hangs",
           "import time\nclass Slow(list):\n    def __len__(self): time.sleep(30)\n"
           "    __iter__ = __getitem__ = __bool__ = __len__\nreturn Slow([1.0])"),
    inside("attributes that hang",
           "import time\nclass Slow:\n    def __getattr__(self, name): time.sleep(30)\n"
           "return Slow()", r"ok|stopped: time limit$"),
]

RESOURCES = [
    inside("memory bomb",
           "kept = [b'x' * (1 << 24) for _ in range(150)]",
           r"ok|stopped: ((memory|time) limit(, )?)+$"),
    beside("memory bomb in many processes",
           "import os, time\nfor _ in range(20):\n    if os.fork() == 0:\n"
           "        kept = b'x' * (60 << 20); time.sleep(20); os._exit(0)\ntime.sleep(20)",
           "stopped: memory limit$"),
    beside("fork bomb",
           "import os, time\nfor _ in range(300):\n    if os.fork() == 0:\n"
           "        time.sleep(60); os._exit(0)"),
    beside("thread bomb",
           "import threading, time\nfor _ in range(300):\n"
           "    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()"),
    beside("output flood", "for _ in range(5000): print('x' * 10_000)",
           "stopped: too much output$"),
    inside("output flood past Python",
           "import os\nfor _ in range(5000): os.write(2, b'x' * 10_000)",
           "stopped: too much output$"),
    beside("a full disk",
           "for folder in ('/tmp', '/dev/shm', '.'):\n    try:\n"
           f"        for i in range(20):\n            f = open(f'{{folder}}/{MARK}{{i}}', 'wb')"
           "\n            f.write(b'x' * (16 << 20)); f.flush()\n    except OSError: pass"),
    beside("one huge file",
           f"f = open('/tmp/{MARK}', 'wb')\nf.truncate(1 << 30)\nf.write(b'x' * (1 << 28))",
           r"ok|stopped: the process died$"),
    beside("many files",
           f"for i in range(60_000): open(f'/tmp/{MARK}{{i}}', 'w').close()",
           r"ok|stopped: (too many files|time limit)$"),
    beside("many open files",
           "kept = []\nfor _ in range(10_000): kept.append(open('/dev/null'))",
           # what is left open leaves nothing for Python itself
           scores=(Q1, Q2, Q3)),
    beside("a huge array", "import numpy as np\nhuge = np.ones(1 << 33)"),
    inside("a huge answer", "import numpy as np\nreturn np.zeros(1 << 24)"),
    inside("a huge answer of many parts", "return [0.0] * 3_000_000",
           r"ok|stopped: (time|memory) limit$"),
    inside("a huge integer", "return 1 << 5_000_000", r"ok|stopped: time limit$"),
    inside("a nested answer",
           "found = []\nfor _ in range(100_000): found = [found]\nreturn found"),
    inside("an answer that contains itself", "x = []\nx.append(x)\nreturn x"),
    inside("a string of 100 MB", "return 'x' * (100 << 20)",
           r"ok|stopped: (memory|time) limit$"),
    inside("a string of 10 MB", "return 'x' * (10 << 20)"),
]

DEATHS = [
    beside("segmentation fault", "import ctypes; ctypes.string_at(0)", DIED),
    inside("segmentation fault in a function", "import ctypes; ctypes.string_at(0)", DIED),
    beside("os._exit", "import os; os._exit(0)", DIED),
    inside("os._exit in a function", "import os; os._exit(0)", DIED),
    inside("os.abort", "import os; os.abort()", DIED),
    beside("sys.exit", "import sys; sys.exit(0)"),
    inside("sys.exit in a function", "import sys; sys.exit(0)"),
    beside("quit", "quit()"),
    beside("kill itself", "import os; os.kill(os.getpid(), 9)", DIED),
    beside("kill everybody", "import os\nos.kill(-1, 9)", r"ok|stopped: the process died$"),
    beside("kill the group", "import os; os.killpg(0, 9)", DIED),
    beside("kill the first process", "import os; os.kill(1, 9)"),
    beside("kill the parent", "import os; os.kill(os.getppid(), 9)"),
    beside("stop itself",
           "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)", TIME),
    beside("detached daemon",
           "import os, time\nif os.fork() == 0:\n    os.setsid()\n"
           "    if os.fork() == 0: time.sleep(60)\n    os._exit(0)"),
    Attack("the killing cell holds the answer", (f"{DOUBLE}\nimport os; os._exit(1)",),
           (Q1, 0.0, Q3), DIED),
    beside("six cells that kill", ["import os; os._exit(1)"] * 6, DIED),
    beside("twenty cells that kill", ["import os; os._exit(1)"] * 20,
           "stopped: .*(it was stopped too often|time limit of the whole notebook)",
           (0.0, 0.0, 0.0)),
]

FORGERIES = [
    line("reply({'t': 'tuple', 'v': []})", "a reply from the function"),
    line("for i in range(200): send({'id': work.running + i, 'ok': True, 'value': 1})",
         "replies to all requests to come"),
    line("send({'id': str(work.running), 'ok': True, 'value': 1})", "an id that is text"),
    line("send({'id': 10**4000, 'ok': True, 'value': 1})", "an id that is huge"),
    line("send(b'{\"id\": NaN, \"ok\": true}')", "an id that is no number"),
    line("send(b'{\"id\": ' + b'9' * 100_000 + b'}')", "an id of 100,000 digits",
         status=MALFORMED),
    line("send(b'[' * 100_000 + b']' * 100_000)", "JSON nested deeply", status=MALFORMED),
    line("send(b'{\"id\": 1, \"a\":' + b'[' * 100_000 + b']' * 100_000 + b'}')",
         "JSON nested deeply in an object", status=MALFORMED),
    line("send(b'no json')", "no JSON", status=MALFORMED),
    line("send(b'\\xff\\xfe{}')", "no UTF-8", status=MALFORMED),
    line("send([1, 2])", "JSON that is no object", status=MALFORMED),
    line("os.write(descriptor, b'\\xff' * 8); time.sleep(30)", "a frame of 4 GB",
         status=MALFORMED),
    line("os.write(descriptor, struct.pack('>II', 1000, 0) + b'{'); time.sleep(30)",
         "half a frame, then silence", status=TIME),
    line("end = time.time() + 30\nwhile time.time() < end: send({'id': -1})",
         "a flood of frames", status=TIME),
    line("end = time.time() + 30\nwhile time.time() < end: send({'id': 0}, b'x' * (16 << 20))",
         "a flood of large frames", status=TIME),
    line("os.close(descriptor)", "the line closed", status=DIED),
    line("link.connection.shutdown(2)", "the line shut down", status=DIED),
    line("import socket; link.connection = socket.socketpair()[0]", "the line exchanged",
         status=CLOSED),
    line("reply(1.0, callback=1)", "a call back that nobody offered", status=MALFORMED),
    line("reply(1.0, callback=[1])", "a call back to a list", status=MALFORMED),
    line("reply(1.0, callback={})", "a call back to an object", status=MALFORMED),
    line("reply(1.0, changed=[1])", "changed arguments as a list"),
    line("reply(1.0, changed={'9' * 99: 1.0, '-1': 1.0, '²': 1.0})",
         "changed arguments that there are not"),
    line("reply(1.0, changed={'0': {'t': 'tuple', 'v': []}})", "changed to another type"),
    line("threading.Thread(target=reply, args=(1.0,)).start(); time.sleep(.2)",
         "a reply from a thread"),
    line("if os.fork() == 0:\n    reply(1.0); os._exit(0)\nos.wait()",
         "a reply from a child"),
    line("send({'id': work.running, 'ok': 'true', 'value': 1})", "ok that is text"),
    line("send({'id': work.running, 'ok': False, 'types': 5, 'message': [1]})",
         "an error without a type"),
    line("send({'id': work.running, 'ok': False, 'types': ['\\ud800'], "
         "'message': '\\ud800'})", "an error of surrogates"),
    line("send({'id': work.running, 'ok': False, 'types': ['GraderError', 'Exception'], "
         "'message': 'x'})", "an error called GraderError"),
    *(line(f"send({{'id': work.running, 'ok': False, 'types': ['{kind}'], 'message': 'x'}})",
           f"an error called {kind}")
      for kind in ("KeyboardInterrupt", "SystemExit", "Stopped", "StopIteration",
                   "GeneratorExit", "UnicodeDecodeError", "ExceptionGroup", "len")),
    value("{'t': 'handle', 'v': 'x', 'type': 1}", "a malformed handle"),
    value("{'t': 'handle', 'v': 10**30, 'type': 'ndarray'}", "a handle of nothing"),
    value("{'t': 'array', 'dtype': 'float64', 'shape': [10**9]}", "an array without bytes"),
    value("{'t': 'array', 'dtype': 'float64', 'shape': [-4]}", "a negative shape"),
    value("{'t': 'array', 'dtype': 'float64', 'shape': [2**62, 2**62, 0]}",
          "a huge shape of nothing"),
    value("{'t': 'array', 'dtype': 'object', 'shape': [1]}", "an array of objects"),
    value("{'t': 'array', 'dtype': 'i4,f8', 'shape': [1]}", "a structured array"),
    value("{'t': 'tensor', 'dtype': 'float64', 'shape': [2]}", "a tensor without bytes"),
    value("{'t': 'pickle', 'v': 'gASVEQ=='}", "a pickle"),
    value("{'t': 'expression', 'v': '__import__(\"os\").system(\"true\")'}",
          "an expression that is code"),
    value("{'t': 'expression', 'v': '9**9**9**9'}", "an expression that is huge"),
    value("{'t': 'expression', 'v': '(' * 100_000}", "an expression of brackets"),
    value("{'t': 'set', 'v': [i * (2**61 - 1) for i in range(100_000)]}",
          "a set of colliding hashes"),
    value("{'t': 'dict', 'v': [[{'t': 'tuple', 'v': [1]}] * 3]}", "a malformed dict"),
    value("{'t': 'fraction', 'v': [1, 0]}", "a fraction of nothing"),
]

LIES = [
    inside("always equal",
           "class Equal:\n    def __eq__(self, other): return True\n"
           "    __ne__ = __bool__ = __eq__\n    def __float__(self): return 1.0\n"
           "    def __array__(self, *a, **k): return x * 2\n"
           "    shape, dtype, size = (2,), float, 2\nreturn Equal()"),
    inside("an array that is always equal",
           "import numpy as np\nclass Equal(np.ndarray):\n"
           "    def __array_ufunc__(self, *a, **k): return np.True_\n"
           "    def __eq__(self, other): return True\n"
           "return np.zeros(x.shape).view(Equal)"),
    inside("a list that lies",
           "class Lie(list):\n    def __iter__(self): return iter([])\n"
           "    def __len__(self): return 0\n    def __eq__(self, other): return True\n"
           "return Lie([1.0])"),
    inside("a float that lies",
           "class Lie(float):\n    def __eq__(self, other): return True\n"
           "    def __sub__(self, other): return 0.0\n    __rsub__ = __sub__\n"
           "return Lie(1)"),
    inside("a class that lies about its class",
           "class Lie:\n    @property\n    def __class__(self): return type(x)\n"
           "    def __getattr__(self, name): return lambda *a: True\nreturn Lie()"),
    inside("a class whose class raises",
           "class Lie:\n    @property\n    def __class__(self): raise SystemExit\nreturn Lie()"),
    inside("a metaclass that lies",
           "class Meta(type):\n    __name__ = 'ndarray'\n"
           "    def __instancecheck__(cls, o): return True\n"
           "    def __getattribute__(cls, name): raise KeyError(name)\n"
           "class Lie(metaclass=Meta): pass\nreturn Lie()"),
    inside("not a number", "return float('nan') * x"),
    inside("the proxy of a function", "return double"),
    inside("a poisoned pickle",
           "class Poison:\n    def __reduce__(self):\n"
           f"        return (eval, (\"open('/tmp/{MARK}', 'w')\",))\nreturn Poison()"),
    # The wanted value is computed from an argument that the answer has made easy.
    inside("the argument made easy", "x[...] = 0\nreturn 0 * x"),
    inside("the argument's memory made easy",
           "import numpy as np\nnp.ndarray.fill(x, 0.0)\nreturn x"),
    inside("numpy patched",
           "import numpy as np\nnp.allclose = np.array_equal = np.all = lambda *a, **k: True\n"
           "np.isclose = np.testing.assert_allclose = lambda *a, **k: np.True_"),
    beside("asarray patched", "import numpy as np\nnp.asarray = lambda *a, **k: 0"),
    inside("an exception whose text raises",
           "class Odd(Exception):\n    def __str__(self): raise SystemExit\nraise Odd()"),
    inside("an exception whose text hangs",
           "import time\nclass Odd(Exception):\n    def __str__(self): time.sleep(30)\n"
           "raise Odd()", r"ok|stopped: time limit$"),
    inside("an exception whose text kills",
           "import os\nclass Odd(Exception):\n    def __str__(self): os._exit(0)\n"
           "raise Odd()", DIED),
    inside("an exception with a long text", "raise ValueError('x' * (50 << 20))"),
    inside("an exception of surrogates", "raise ValueError('\\ud800' * 20)"),
    *(inside(f"raise {kind}", f"raise {kind}('x')")
      for kind in ("KeyboardInterrupt", "StopIteration", "GeneratorExit", "MemoryError",
                   "RecursionError", "AssertionError", "TimeoutError")),
    inside("raise what claims to be the alarm",
           "raise type('OutOfTime', (BaseException,), {})('x')", r"ok|stopped: time limit$"),
    inside("text of surrogates", "return '\\ud800'"),
    inside("the arguments thrown out",
           "import __main__; raise ValueError(f'secret: {x.tolist()}')"),
]

NOTEBOOK = [
    beside("scores written",
           "import json\nfor name in ('results.json', 'scores.json', '.OTTER_LOG',\n"
           "             'grades.csv', '../results.json', '/results.json'):\n    try:\n"
           "        json.dump({'score': 6, 'tests': [{'score': 6}]}, open(name, 'w'))\n"
           "    except OSError: pass\nprint('{\"score\": 6}')"),
    Attack("scores printed", "print('q2 results: All test cases passed! score: 3/3')"),
    Attack("otter stubbed and patched",
           "import sys, types\notter = sys.modules['otter']\n"
           "otter.Notebook.check = lambda *a: 3.0\ngrader = otter.Notebook()\n"
           "grader.check('q2')"),
    beside("builtins shadowed", "len = print = isinstance = type = int = str = None"),
    beside("builtins deleted",
           "import builtins\nfor name in ('len', 'isinstance', 'type', 'print'):\n"
           "    setattr(builtins, 'hidden_' + name, getattr(builtins, name))"),
    inside("double called expect", "return expect(x, x)"),
    beside("functions called as the helpers",
           "def expect(*a, **k): pass\nsecret_rng = expect_between = expect"),
    beside("%reset and everything again", ["%reset -f", RELU, TWICE]),
    Attack("%reset", "%reset -f", (0.0, 0.0, 0.0)),
    Attack("run_cell replaced",
           "get_ipython().run_cell = lambda *a, **k: None\n"
           "get_ipython().user_ns = {}"),
    beside("input transformers",
           "get_ipython().input_transformers_cleanup.append(lambda lines: lines)"),
    Attack("input transformers that change the next cells",
           ("get_ipython().input_transformers_cleanup.append("
            "lambda lines: ['raise SystemExit'])", DOUBLE)),
    beside("shell magics", ["!touch /tmp/x; ls /", "%%bash\nsleep 0", "%cd /", "%pwd",
                            "%run nothing.py", "%load_ext autoreload", "%matplotlib inline",
                            "!pip install numpy", "%pip install numpy"]),
    beside("no Python", ["this is not Python", "```", "return 1", "\x00", "if True:"]),
    beside("exceptions in cells",
           ["raise KeyboardInterrupt", "raise SystemExit(3)", "raise GeneratorExit",
            "class E(BaseException): pass\nraise E",
            "class E(Exception):\n    def __str__(self): raise E\nraise E"]),
    beside("an except hook",
           "import sys, os\nsys.excepthook = lambda *a: os._exit(1)\n"
           "get_ipython().set_custom_exc((Exception,), lambda *a, **k: None)\n1 / 0"),
    beside("standard streams closed", "import sys\nsys.stdout.close(); sys.stderr.close()"),
    beside("standard streams that raise",
           "import sys\nclass Odd:\n    def __getattr__(self, n): raise SystemExit\n"
           "sys.stdout = sys.stderr = Odd()",
           scores=(Q1, 0.0, Q3)),  # the later cells fail, as they do in Jupyter
    beside("tracing", "import sys, threading\nsys.settrace(lambda *a: None)\n"
                      "sys.setprofile(lambda *a: None)"),
    beside("garbage collector off, recursion limit up",
           "import gc, sys\ngc.disable()\nsys.setrecursionlimit(10**6)"),
    inside("recursion without a limit",
           "import sys\nsys.setrecursionlimit(10**9)\nreturn double([x])",
           r"ok|stopped: (the process died|time limit|memory limit)$"),
    beside("modules deleted", "import sys\nfor name in ('json', 'struct', 'socket', 'numpy'):\n"
                              "    sys.modules.pop(name, None)"),
    beside("start-up files beside the notebook",
           ["for name in ('numpy', 'otter', 'sitecustomize', 'usercustomize', 'wire'):\n"
            "    open(name + '.py', 'w').write('raise SystemExit')\n"
            "    open('/tmp/' + name + '.py', 'w').write('raise SystemExit')",
            "import os\nos.makedirs('/tmp/.ipython/profile_default/startup')\n"
            "open('/tmp/.ipython/profile_default/startup/0.py', 'w').write("
            "'import os; os._exit(1)')\nopen('/tmp/.pythonrc.py', 'w').write('1/0')\n"
            "os.environ['PYTHONSTARTUP'] = '/tmp/.pythonrc.py'\n"
            "os.environ['LD_PRELOAD'] = '/tmp/evil.so'",
            "import os; os._exit(1)"], DIED),
    Attack("the function renamed", "def Double(x):\n    return 2 * x"),
    Attack("a function with other arguments", "def double():\n    return 2"),
    Attack("no function", "double = 6.0"),
    Attack("nothing in its place", "double = ..."),
    Attack("a name that is a module", "import os as double"),
    Attack("a name that is a type", "double = type"),
    Attack("the builtin of that name", "double = eval"),
    beside("output of surrogates", "print('a\\ud800b', '\\x1b[2J', '\\x00')"),
    beside("output that is no text", "import os; os.write(1, bytes(range(256)))"),
    Attack("the secret in sight?",
           "def double(x):\n    import gc\n"
           "    return [o for o in gc.get_objects() if isinstance(o, dict) and 'SECRET' in o]"),
    beside("300 cells", ["a = 1"] * 300),
]

CALLBACKS = [
    Attack("the test's function called for ever",
           (DOUBLE, "import time\ndef twice(f, x):\n    end = time.time() + 30\n"
            "    while time.time() < end: x = f(x)\n    return x"), (Q1, Q2, 0.0), TIME),
    Attack("the test's function called from a thread",
           (DOUBLE, "import threading\ndef twice(f, x):\n    found = []\n"
            "    for _ in range(2):\n"
            "        t = threading.Thread(target=lambda: found.append(f((found or [x])[-1])))\n"
            "        t.start(); t.join()\n    return found[-1]"), (Q1, Q2, Q3)),
    Attack("the test's function called after the test",
           ("kept = []\ndef twice(f, x):\n    kept.append(f)\n    return f(f(x))",
            "def double(x):\n    for f in kept:\n        try: return f(1.0)\n"
            "        except RuntimeError: pass\n    return 2 * x"), (Q1, Q2, Q3)),
    Attack("the test's function called late from a thread",
           (DOUBLE, "import threading, time\ndef later(f):\n    time.sleep(.05)\n"
            "    while True: f(1.0)\ndef twice(f, x):\n"
            "    threading.Thread(target=later, args=(f,), daemon=True).start()\n"
            "    return f(f(x))"), (Q1, Q2, Q3)),
    Attack("the test's function called by a thread all the time",
           (DOUBLE, "import threading\ndef always(f):\n"
            "    while True: f(1.0)\ndef twice(f, x):\n"
            "    threading.Thread(target=always, args=(f,), daemon=True).start()\n"
            "    return x"), (Q1, Q2, 0.0)),
    Attack("the test's function given a poison",
           (DOUBLE, "def twice(f, x):\n    class Odd: pass\n    f(Odd()); return x"),
           (Q1, Q2, 0.0)),
    Attack("the test's function given itself",
           (DOUBLE, "def twice(f, x):\n    return f(f)"), (Q1, Q2, 0.0)),
    Attack("the test's function given a nested list",
           (DOUBLE, "def twice(f, x):\n    for _ in range(50): x = [x]\n    return f(x)"),
           (Q1, Q2, 0.0)),
    Attack("the test's function looked into",
           (DOUBLE, "def twice(f, x):\n    return f.__globals__, f.__closure__"),
           (Q1, Q2, 0.0)),
]

ATTACKS = [*ENDLESS, *RESOURCES, *DEATHS, *FORGERIES, *LIES, *NOTEBOOK, *CALLBACKS]

# Code that returns what it should not have been able to get, and None if it could not.
# `denied` is what raises OSError and the like.
PROBES = {
    "network": "import socket; return socket.create_connection(('1.1.1.1', 53), 1)",
    "local network": "import socket; s = socket.socket(); s.bind(('127.0.0.1', 0)); return s",
    "names looked up": "import socket; return socket.gethostbyname('example.org')",
    "raw socket": "import socket; return socket.socket(socket.AF_PACKET, socket.SOCK_RAW)",
    "kernel's socket": "import socket; return socket.socket(socket.AF_NETLINK, 3)",
    "root": "import os; return os.getuid() == 0 or os.setuid(0)",
    "chroot": "import os; return os.chroot('/tmp') or True",
    "mount": "return call(165, b'none', b'/tmp', b'tmpfs', 0, None)",
    "unshare": "return call(272, 0x10000000)",
    "clone": "return call(56, 0x10000000 | 17, 0, 0, 0, 0)",
    "setns": "import os; return call(308, os.open('/proc/1/ns/mnt', 0), 0)",
    "ptrace": "return call(101, 16, 1, 0, 0)",
    "memory of others": "return call(310, 1, 0, 0, 0, 0, 0)",
    "memfd_create": "return call(319, b'x', 0)",
    "shmget": "return call(29, 0, 1 << 20, 0o1600)",
    "userfaultfd": "return call(323, 1)",
    "io_uring": "import ctypes; return call(425, 4, ctypes.create_string_buffer(200))",
    "bpf": "return call(321, 0, 0, 0)",
    "perf": "return call(298, 0, 0, -1, -1, 0)",
    "keyring": "return call(248, b'user', b'x', b'y', 1, -3)",
    "reboot": "return call(169, 1, 2, 3)",
    "clock": "import time; return time.clock_settime(0, 0) or True",
    "host name": "import socket; return socket.sethostname('x') or True",
    "priority": "import os; return os.nice(-5)",
    "limits raised": "import resource as r; \n"
                     "try: return r.setrlimit(r.RLIMIT_NPROC, (999, 999)) or 1\n"
                     "except ValueError: return None",
    "first process's environment": "return open('/proc/1/environ').read() or None",
    "first process's memory": "return open('/proc/1/mem', 'rb')",
    "first process's files": "import os; return os.listdir('/proc/1/fd')",
    "first process's root": "import os; return os.listdir('/proc/1/root')",
    "own root's parent": "import os; return os.path.exists('/proc/self/root' + '/../etc/passwd')"
                         " or None",
    "kernel's switch": "return open('/proc/sysrq-trigger', 'w')",
    "kernel's core pattern": "return open('/proc/sys/kernel/core_pattern', 'w')",
    "kernel's messages": "return open('/dev/kmsg')",
    "disks": "import glob; return glob.glob('/dev/sd*') + glob.glob('/dev/vd*') + "
             "glob.glob('/dev/nvme*') or None",
    "memory device": "return open('/dev/mem')",
    "passwords": "return open('/etc/passwd').read()",
    "shadow": "return open('/etc/shadow').read()",
    "secrets of the environment": "import os; return [v for v in os.environ.values()"
                                  " if 'do-not-tell' in v] or None",
    # where it was hidden, an empty folder is left
    "relubook": "import relubook, os; return [os.listdir(p) for p in relubook.__path__"
                " if os.listdir(p)] or None",
    "relubook's catalogue": "import relubook.activations as a; return a",
    "the grader": "return open('/grader/grader.py').read()",
    "more beside the worker": "import os; return set(os.listdir('/grader')) - {'worker.py',"
                              " 'wire.py', 'expressions.py'} or None",
    "the worker rewritten": "return open('/grader/worker.py', 'a')",
    "the worker replaced": "import os; return os.rename('/grader/worker.py', '/tmp/x') or 1",
    "a file beside the worker": f"return open('/grader/{MARK}', 'w')",
    "site-packages": f"import numpy; return open(numpy.__path__[0] + '/{MARK}', 'w')",
    "a path file": f"import site; return open(site.getsitepackages()[0] + '/{MARK}.pth', 'w')",
    "sitecustomize": "import site; return open(site.getsitepackages()[0] + "
                     "'/sitecustomize.py', 'a')",
    "system": f"return open('/usr/{MARK}', 'w')",
    "root folder": f"return open('/{MARK}', 'w')",
    "etc": f"return open('/etc/{MARK}', 'w')",
    "device folder": f"return open('/dev/{MARK}', 'w')",
    "a mount made writable": "return call(165, b'', b'/usr', b'', 32 | 4096, None)",
    "a set-user-id program": "import subprocess; return subprocess.run(['su', '-c', 'id'],"
                             " capture_output=True, check=True, stdin=-3).stdout",
    "a set-user-id file": "import os, subprocess\nopen('/tmp/s', 'w').write('')\n"
                          "os.chown('/tmp/s', 0, 0); return 1",
    "a device made": "import os; return os.mknod('/tmp/d', 0o60666, os.makedev(8, 0)) or 1",
    "descriptors inherited": "import os\n"
        "own = {os.readlink(f'/proc/self/fd/{n}') for n in os.listdir('/proc/self/fd')"
        " if os.path.exists(f'/proc/self/fd/{n}')}\n"
        "return [f for f in own if f[0] == '/' and not f.startswith(('/dev/', '/proc'))]"
        " or None",
    "secret on a command line": "import glob\nfound = ''\n"
        "for name in glob.glob('/proc/*/cmdline'): found += open(name).read()\n"
        "return found if 'do-not-tell' in found or 'hostile-canary' in found else None",
    "secret in a mount": "found = open('/proc/self/mountinfo').read()\n"
        "return found if 'hostile-canary' in found else None",
    "otter": "import otter.test_files; return otter",
    "other processes": "import os; return [n for n in os.listdir('/proc') if n.isdecimal()"
                       " and 'pytest' in open(f'/proc/{n}/cmdline').read()] or None",
    "terminal": "import fcntl; return fcntl.ioctl(0, 0x5412, b'x') or True",
    "the controlling terminal": "return open('/dev/tty')",
    "sockets of the system": "import glob; return glob.glob('/run/*') + glob.glob('/var/run/*')"
                             " or None",
    "home folders": "import os; return os.listdir('/home') or os.listdir('/root')",
    "the machine's temporary files": "import os; return [n for n in os.listdir('/tmp')"
                                     " if 'pytest' in n] or None",
}
