"""What a hostile submission tries: its score is the one deserved, and nothing gets out.

The attacks are in `hostile.py`, with the status and the score of every question. What
must not be possible at all is in its PROBES.
"""

import hashlib
import json
import os
import shutil
import sys
import tempfile
import textwrap
import time
from pathlib import Path

import psutil
import pytest

import hostile
from relubook.grading import assignments, expectations, grader, sandbox
from relubook.grading.assignments import Assignment
from relubook.grading.sandbox import Limits, Sandbox
from relubook.grading.session import Session

pytestmark = pytest.mark.skipif(
    shutil.which("bwrap") is None, reason="bubblewrap is not installed"
)
SECRET = "do-not-tell-0123456789"
LIMITS = {"cell": 2, "call": 1, "total": 20, "memory": 400, "addresses": 2048,
          "files": 24, "output": 2, "processes": 24}  # fmt: skip
SECONDS = 20 + 15  # the total, and what the machine may be late


@pytest.fixture(scope="module")
def canary(tmp_path_factory):
    """A folder with an assignment, another submission and the secret."""
    folder = tmp_path_factory.mktemp("hostile-canary")
    (folder / "other.ipynb").write_text("{}")
    (folder / ".secret").write_text(SECRET)
    (folder / "autograder" / "tests").mkdir(parents=True)
    (folder / "student").mkdir()
    preamble = Path(expectations.__file__).read_text("utf-8").replace(
        "\nSECRET = None", f"\nSECRET = {SECRET!r}", 1
    )
    for name, text in hostile.TESTS.items():
        path = folder / "autograder" / "tests" / f"{name}.py"
        path.write_text(f"{preamble}\n\n{text}", "utf-8")
    return folder


@pytest.fixture(scope="module")
def assignment(canary):
    return Assignment(
        name="hostile", title="Hostile", term="demo", folder=canary, minutes=60,
        requires=("numpy",), limits=LIMITS, free={}, rubric={}, key="0",
        points={"q1": hostile.Q1, "q2": hostile.Q2, "q3": hostile.Q3},
    )  # fmt: skip


def state(folder):
    """Every file below the folder with its contents."""
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        for path in sorted(folder.rglob("*"))
    }


def environment():
    return {name: os.environ[name] for name in os.environ if "PYTEST" not in name}


def namespace(pid):
    try:
        return os.readlink(f"/proc/{pid}/ns/pid")
    except OSError:
        return None


def belongs(pid, spaces):
    """Whether a process is of one of the namespaces, whose numbers are used again."""
    try:
        return psutil.Process(pid).create_time() < spaces.get(namespace(pid), 0)
    except psutil.Error:
        return False


@pytest.fixture
def watched(canary, monkeypatch):
    """Nothing outside has changed after the test, and no process of a sandbox lives."""
    monkeypatch.setenv("RELUBOOK_SECRET", SECRET)
    spaces, start, close = {}, Sandbox.__init__, Sandbox.close

    def remember(box):
        if not box.closed:
            for process in psutil.Process(box.process.pid).children(recursive=True):
                spaces[namespace(process.pid)] = time.time()

    def starting(self, *args, **kwargs):
        start(self, *args, **kwargs)
        remember(self)

    def closing(self):
        remember(self)
        close(self)

    monkeypatch.setattr(Sandbox, "__init__", starting)
    monkeypatch.setattr(Sandbox, "close", closing)
    before = state(canary), environment(), len(os.listdir("/proc/self/fd"))
    yield
    for other in (None, namespace("self")):
        spaces.pop(other, None)
    assert spaces
    end = time.monotonic() + 5
    while left := [p for p in psutil.pids() if belongs(p, spaces)]:
        assert time.monotonic() < end, f"processes {left} are left"
        time.sleep(0.05)
    assert (state(canary), environment(), len(os.listdir("/proc/self/fd"))) == before
    places = [Path.cwd(), Path.home(), Path(tempfile.gettempdir()), Path("/"),
              Path("/usr"), Path("/etc"), Path("/dev"), Path("/dev/shm"),
              Path(sandbox.__file__).parent, Path(sys.prefix)]  # fmt: skip
    assert not [p for place in places for p in place.glob(f"*{hostile.MARK}*")]


def check(result, scores, status, pattern):
    found = {name: question["score"] for name, question in result["questions"].items()}
    assert found == dict(zip(("q1", "q2", "q3"), scores)), result
    assert result["score"] == sum(scores)
    assert result["possible"] == 6.0
    assert pattern.fullmatch(status), result
    assert result["seconds"] < SECONDS
    text = json.dumps(result, allow_nan=False)
    assert text.encode("ascii").decode() == text
    json.dumps(result, ensure_ascii=False).encode()  # no half of a surrogate pair
    assert len(text) < 300_000
    assert SECRET not in text
    for question in result["questions"].values():
        for case in question["cases"]:
            assert not case["hidden"] or case["message"] is None


@pytest.mark.parametrize("attack", hostile.ATTACKS, ids=lambda attack: attack.name)
def test_the_score_is_the_one_deserved(attack, assignment, watched):
    import re

    result = grader.grade_cells(attack.cells, assignment)
    check(result, attack.scores, result["status"], re.compile(attack.status))


def cell(source):
    return {"cell_type": "code", "source": source, "metadata": {}, "outputs": []}


def notebook(*cells, **more):
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {},
                       "cells": list(cells), **more}).encode()  # fmt: skip


FILES = {
    "empty": b"", "spaces": b" \n", "cut off": notebook(cell("a = 1"))[:-9],
    "no JSON": b"PK", "null": b"null", "a list": b"[]", "a number": b"1" * 5000,
    "NUL bytes": bytes(1000), "deep": b"[" * 100_000, "deep cells":
    b'{"nbformat": 4, "cells": ' + b"[" * 100_000, "nbformat 99": notebook(nbformat=99),
    "nbformat 2": notebook(nbformat=2), "cells as text": notebook(cells="relu"),
    "cells as numbers": notebook(1, 2), "source as number": notebook(cell(1)),
    "source as null": notebook(cell(None)), "nested source": notebook(cell([["a"]])),
    "100,000 cells": notebook(*[cell("a = 1")] * 100_000),
    "a cell of 20 MB": notebook(cell("a" * (20 << 20))),
    "another language": notebook(metadata={"kernelspec": {"name": "ir", "language": "R"}}),
}  # fmt: skip


@pytest.mark.parametrize("name", [*FILES, "a link", "a pipe", "a folder", "missing"])
def test_a_file_that_is_no_notebook_scores_nothing(name, assignment, tmp_path):
    path = tmp_path / "student.ipynb"
    if name in FILES:
        path.write_bytes(FILES[name])
    elif name == "a link":
        (tmp_path / "other").write_bytes(notebook(cell(hostile.RELU)))
        path.symlink_to(tmp_path / "other")
    elif name == "a pipe":
        os.mkfifo(path)
    elif name == "a folder":
        path.mkdir()
    start = time.monotonic()
    result = grader.grade_file(path, assignment)
    assert result["status"].startswith("unreadable: "), result
    assert (result["score"], result["possible"]) == (0.0, 6.0)
    assert time.monotonic() - start < SECONDS


@pytest.mark.parametrize("data", [
    b"\xef\xbb\xbf" + notebook(cell(hostile.RELU)),
    notebook(cell(hostile.RELU.replace("\n", "\r\n"))).replace(b"\n", b"\r\n"),
    notebook(cell(hostile.RELU)).decode().encode("utf-16"),
    json.dumps(json.loads(notebook(cell("# \u00fc\n" + hostile.RELU))),
               ensure_ascii=False).encode("latin-1"),
    notebook(cell(hostile.RELU.splitlines(keepends=True)), cell("'\ud800'")),
    notebook(cell(hostile.RELU), metadata={"kernelspec": {"name": "unknown"}}),
    notebook(cell(hostile.RELU), metadata=[1]),
], ids=["BOM", "CRLF", "UTF-16", "latin-1", "surrogates", "unknown kernel",
        "metadata as list"])  # fmt: skip
def test_a_notebook_in_an_odd_form_is_graded(data, assignment, tmp_path, watched):
    path = tmp_path / "student.ipynb"
    path.write_bytes(data)
    result = grader.grade_file(path, assignment)
    assert result["questions"]["q1"]["score"] == hostile.Q1, result
    assert result["status"] == "ok"


@pytest.fixture(scope="module")
def probed(canary):
    """What each probe found, all in one sandbox."""
    source = ["import ctypes", "libc = ctypes.CDLL(None, use_errno=True)",
              "libc.syscall.restype = ctypes.c_long", textwrap.dedent("""
        def call(*arguments):
            result = libc.syscall(*(ctypes.c_long(a) if type(a) is int else a
                                    for a in arguments))
            return None if result < 0 else f"it returned {result}"
        found = {}
        import subprocess
        DENIED = OSError, ImportError, subprocess.SubprocessError
        """)]  # fmt: skip
    for name, code in hostile.PROBES.items():
        body = textwrap.indent(code.replace("; return", "\nreturn"), "    ")
        source.append(f"def probe():\n{body}\ntry: found[{name!r}] = probe()\n"
                      f"except DENIED: found[{name!r}] = None\n"
                      f"except Exception as error:\n"
                      f"    found[{name!r}] = 'no answer: ' + repr(error)\n"
                      f"if found[{name!r}] is not None:\n"
                      f"    found[{name!r}] = repr(found[{name!r}])[:200]\n")
    os.environ["RELUBOOK_SECRET"] = SECRET
    session = Session(source, Limits(cell=5, call=2, total=60))
    try:
        session.run()
        assert session.notes == []
        return session.get("found")
    finally:
        session.close()
        del os.environ["RELUBOOK_SECRET"]


@pytest.mark.parametrize("name", hostile.PROBES)
def test_it_is_out_of_reach(name, probed):
    assert probed[name] is None
