"""The sandbox and the sessions in it; what submissions try is in test_hostile.py."""

import os
import shutil
import sys

import numpy as np
import pytest
import sympy as sp

from relubook.grading import doctor, sandbox
from relubook.grading.sandbox import GraderError, Limits, Sandbox, Stopped
from relubook.grading.session import Remote, Session, StudentError

LIMITS = Limits(cell=3, call=2, total=30)
needs_sandbox = pytest.mark.skipif(
    shutil.which("bwrap") is None, reason="bubblewrap is not installed"
)
NOTEBOOK = '''
import numpy as np

def relu(z):
    return np.maximum(z, 0)

def clip(z):
    z[z < 0] = 0

def twice(f, x):
    return f(f(x))

class Layer:
    def __init__(self, slope=0.5):
        self.slope = slope
        self._secret = 1
    def __call__(self, z):
        return np.where(z > 0, z, self.slope * z)
    def __len__(self):
        return 3
    def __getitem__(self, item):
        return ["a", "b", "c"][item]

class OddError(ValueError):
    pass

def odd():
    raise OddError("odd")

def own():
    raise type("Mine", (Exception,), {})("mine")

def stop():
    raise StopIteration("not so")

def slope_of(f):
    import sympy
    return sympy.diff(f, sympy.Symbol("z", real=True))

answer = {"slope": 0.5, "kinks": (0.0,)}
'''


@pytest.fixture(scope="module", params=[False, True], ids=["sandbox", "plain"])
def session(request):
    if not request.param and shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed")
    session = Session([NOTEBOOK], LIMITS, unsafe=request.param)
    session.run()
    assert session.notes == []
    yield session
    session.close()


def test_functions_are_called_with_data(session):
    relu = session.get("relu")
    assert isinstance(relu, Remote)
    z = np.array([[-1.0, 2.0], [-0.0, np.nan]], dtype="float32")
    found = relu(z)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, np.maximum(z, 0))
    assert relu(z=np.float64(3)) == 3.0
    assert session.get("answer") == {"slope": 0.5, "kinks": (0.0,)}


def test_arguments_change_as_without_a_sandbox(session):
    z = np.array([-1.0, 2.0])
    assert session.get("clip")(z) is None
    np.testing.assert_array_equal(z, [0.0, 2.0])
    before = z.copy()
    session.get("relu")(z)
    np.testing.assert_array_equal(z, before)


def test_a_test_can_give_its_own_function(session):
    calls = []

    def double(x):
        calls.append(x)
        return 2 * x

    assert session.get("twice")(double, 3.0) == 12.0
    assert calls == [3.0, 6.0]
    np.testing.assert_array_equal(session.get("twice")(session.get("relu"), -1.0), 0)

    def broken(x):
        raise ValueError("no")

    with pytest.raises(RuntimeError, match="ValueError: no"):
        session.get("twice")(broken, 1)


def test_objects_stay_inside(session):
    layer = session.get("Layer")(0.25)
    assert isinstance(layer, Remote)
    assert layer.slope == 0.25
    assert len(layer) == 3
    assert layer[1] == "b"
    np.testing.assert_array_equal(layer(np.array([-4.0, 4.0])), [-1.0, 4.0])
    with pytest.raises(AttributeError):
        layer._secret
    with pytest.raises(AttributeError, match="nothing"):
        layer.nothing
    assert layer != 0.25
    with pytest.raises(TypeError, match="Layer"):
        bool(layer)
    with pytest.raises(TypeError, match="not iterable"):
        list(layer)
    with pytest.raises(TypeError, match="cannot cross"):
        session.get("relu")(object())


def test_expressions_cross_both_ways(session):
    z = sp.Symbol("z", real=True)
    slope = session.get("slope_of")
    assert slope(sp.Max(0, z) + z**2 / 3) == sp.Heaviside(z) + 2 * z / 3
    assert slope(sp.Float(2) / 3 * z) == sp.Float(2) / 3  # to the last bit
    with pytest.raises(TypeError, match="cannot cross"):
        session.get("slope_of")(object())


def test_exceptions_cross_as_pythons_own(session):
    with pytest.raises(ValueError, match="^odd$"):
        session.get("odd")()
    with pytest.raises(StudentError, match="Mine: mine"):
        session.get("own")()
    with pytest.raises(StudentError, match="StopIteration"):
        session.get("stop")()
    with pytest.raises(NameError, match="does not define 'Relu'; it defines 'relu'"):
        session.get("Relu")
    with pytest.raises(TypeError):
        session.get("relu")()


@needs_sandbox
def test_a_cell_that_kills_is_left_out_when_the_rest_runs_again():
    cells = ["a = 1\nprint('one')", "import os\nos._exit(1)", "1 / 0", "b = 2", "b ="]
    session = Session(cells, LIMITS)
    try:
        session.run()
        assert session.get("a") == 1
        assert session.get("b") == 2
        assert [note.split(":")[0] for note in session.notes] == [
            "cell 3",
            "cell 5",
            "cell 2 was stopped",
        ]
        assert "ZeroDivisionError" in session.notes[0]
        assert session.output.count("one") == 1
        assert session.stops == ["the process died"]
    finally:
        session.close()


@needs_sandbox
def test_a_session_goes_on_after_a_call_that_kills():
    cells = ["import os\ndef die(): os._exit(1)\ndef live(x=1): return x"]
    session = Session(cells, LIMITS)
    try:
        session.run()
        die, live = session.get("die"), session.get("live")
        assert live() == 1
        with pytest.raises(Stopped, match="the process died"):
            die()
        with pytest.raises(Stopped, match="its sandbox was stopped"):
            live()  # it was an object of the sandbox that is gone
        assert session.get("live")(2) == 2
        assert session.starts == 2
    finally:
        session.close()


@needs_sandbox
def test_the_time_of_the_whole_submission_is_limited():
    loop = "import signal\nsignal.signal(signal.SIGALRM, signal.SIG_IGN)\nwhile 1: pass"
    session = Session([loop, loop, loop, loop, "a = 1"], Limits(cell=1, total=4))
    try:
        session.run()
        with pytest.raises(Stopped):
            session.get("a")
        assert "time limit of the whole notebook" in " ".join(session.stops)
    finally:
        session.close()


@needs_sandbox
def test_nothing_is_left_when_a_sandbox_is_closed():
    box = Sandbox(LIMITS)
    daemon = (
        "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n"
        "        time.sleep(60)\n    os._exit(0)\nimport time; time.sleep(.3)"
    )
    box.ask("cell", 3, source=daemon)
    import psutil

    inside = psutil.Process(box.process.pid).children(recursive=True)
    assert len(inside) >= 3
    box.close()
    _, alive = psutil.wait_procs(inside, timeout=5)
    assert not alive


@needs_sandbox
def test_the_doctor_finds_the_sandbox_sound():
    findings = doctor.examine()
    assert doctor.holds(findings), doctor.report(findings)
    assert len(findings) > 10


def test_the_doctor_says_how_to_mend(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    findings = doctor.examine()
    assert not doctor.holds(findings)
    assert "apt install bubblewrap" in doctor.report(findings)
    with pytest.raises(GraderError, match="--doctor"):
        Sandbox(LIMITS)


def test_the_doctor_knows_ubuntus_restriction(monkeypatch, tmp_path):
    fake = tmp_path / "bwrap"
    fake.write_text("#!/bin/sh\necho 'bwrap: setting up uid map: Permission denied'\nexit 1")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    sandbox.version.cache_clear()
    findings = doctor.examine()
    sandbox.version.cache_clear()
    assert not doctor.holds(findings)
    assert "/etc/apparmor.d/bwrap" in doctor.report(findings)


@needs_sandbox
def test_a_finding_that_fails_is_told(monkeypatch):
    monkeypatch.setattr(doctor, "denied", lambda: {"probe": "found = 'something'"})
    monkeypatch.setattr(doctor, "STOPPED", {"slow": ("pass", "time limit", 3)})
    report = doctor.report(doctor.examine())
    assert "FAIL probe: something" in report
    assert "FAIL slow: it was not stopped" in report


def test_limits_are_checked():
    class Assignment:
        name, requires = "tiny", ("numpy",)
        limits = {"cel": 3}

    with pytest.raises(ValueError, match="limits of tiny has cel; expected some of cell"):
        Limits.of(Assignment)
    Assignment.limits = {"cell": 3}
    assert Limits.of(Assignment).cell == 3
    Assignment.requires = ("torch",)
    assert Limits.of(Assignment).addresses > Limits().addresses


def test_the_package_is_hidden_where_it_is_installed(monkeypatch, tmp_path):
    (tmp_path / "relubook").mkdir()
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    assert str(tmp_path / "relubook") in sandbox.answers_below([str(tmp_path)])
    assert sandbox.answers_below([str(tmp_path / "other")]) == []


@needs_sandbox
def test_the_workers_command_line_and_environment_tell_nothing(monkeypatch):
    monkeypatch.setenv("RELUBOOK_SECRET", "do-not-tell")
    box = Sandbox(LIMITS)
    try:
        look = (
            "import glob\nfound = ''\nfor name in glob.glob('/proc/*/[ce][mn][dv]*'):\n"
            "    try: found += open(name).read()\n    except OSError: pass"
        )
        box.ask("cell", 3, source=look)
        reply, _ = box.ask("get", 2, name="found")
        assert "worker.py" in reply["value"]
        assert "do-not-tell" not in reply["value"]
    finally:
        box.close()
