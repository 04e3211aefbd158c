"""Grade one submission: its notebook runs in a sandbox, its answers are judged out here."""

import signal
import threading
import time
import traceback
from contextlib import contextmanager

from relubook.grading import cases as test_cases
from relubook.grading import submissions
from relubook.grading.sandbox import GraderError, Limits, Stopped
from relubook.grading.session import Session

__all__ = ["GraderError", "grade_cells", "grade_file"]

TEST_LIMIT = 30.0  # seconds for a test, whatever a submission's values do to it
MOST_DEATHS = 3  # of the sandbox in a question, before its other tests count as failed


class TestTookTooLong(BaseException):
    """The test itself, out here, did not end."""


def grade_file(path, assignment, *, sandbox=True):
    """The result of a submission in a file, as `grade_cells` gives it, with its SHA-256.

    A file that is no readable notebook has the status `unreadable: why` and scores 0.
    """
    start = time.monotonic()
    sha256 = submissions.sha256(path)
    try:
        cells, notes = submissions.read_cells(path)
    except submissions.Unreadable as why:
        result = empty_result(assignment, f"unreadable: {why}")
        result["seconds"] = round(time.monotonic() - start, 2)
    else:
        result = grade_cells(cells, assignment, sandbox=sandbox)
        result["notes"] = notes + result["notes"]
    return {**result, "sha256": sha256}


def grade_cells(cells, assignment, *, sandbox=True, public_only=False, folder=None):
    """The result of a submission that consists of these code cells.

    A dict that JSON can hold: `status` ("ok", or "stopped: why" if code was stopped and
    the rest graded), `score` and `possible` of the automatic questions, `questions` with
    their `cases`, `notes` on cells that failed, the `output` before the tests, `seconds`.
    All public tests run before the first hidden one, so that nothing a submission has
    seen of a hidden test can reach a message. Raises `GraderError` where the sandbox
    does not work. With `sandbox=False` the code runs unprotected, in `folder`.
    """
    start = time.monotonic()
    questions = test_cases.load(assignment.tests)
    session = Session(
        cells,
        Limits.of(assignment),
        data=assignment.files,
        requires=assignment.requires,
        unsafe=not sandbox,
        folder=folder,
    )
    verdicts = {}
    try:
        session.run()
        with text_not_evaluated("sympy" in assignment.requires):
            for hidden in [False] if public_only else [False, True]:
                for question, cases in questions.items():
                    chosen = [case for case in cases if case.hidden == hidden]
                    verdicts |= judge(question, chosen, session)
    finally:
        session.close()
    results = {
        question: summary(
            [
                as_result(case, *verdicts[question, case.name])
                for case in cases
                if (question, case.name) in verdicts
            ]
        )
        for question, cases in questions.items()
    }
    stops = ", ".join(dict.fromkeys(session.stops))
    return {
        "status": f"stopped: {stops}" if stops else "ok",
        "score": total(results, "score"),
        "possible": total(results, "possible"),
        "questions": results,
        "notes": session.notes,
        "output": session.output,
        "seconds": round(time.monotonic() - start, 2),
    }


def empty_result(assignment, status):
    """A result in which every test counts as failed."""
    questions = test_cases.load(assignment.tests)
    results = {
        question: summary([as_result(case, False, None) for case in cases])
        for question, cases in questions.items()
    }
    return {
        "status": status,
        "score": 0.0,
        "possible": total(results, "possible"),
        "questions": results,
        "notes": [],
        "output": "",
        "seconds": 0.0,
    }


def judge(question, cases, session):
    """{(question, name of the case): (passed, message)} for the cases of a question."""
    verdicts, deaths = {}, 0
    for case in cases:
        before = session.starts, session.sandbox is None
        if deaths >= MOST_DEATHS:
            passed, message = False, "not run: the tests before it stopped the sandbox"
        else:
            passed, message = run(case, session)
        # A sandbox was there, and is not any more.
        deaths += session.sandbox is None and before != (session.starts, True)
        verdicts[question, case.name] = passed, message
    return verdicts


def run(case, session):
    """(passed, message) of one test."""
    try:
        with time_limit(TEST_LIMIT):
            session.altered = session.keeping = False
            case.function(*[session.get(name) for name in case.arguments])
            if session.altered:
                # The test may have computed what it wants from arguments that the
                # submission had made easy: it has to hold for the true ones, too.
                session.keeping = True
                case.function(*[session.get(name) for name in case.arguments])
    except TestTookTooLong:
        session.close()  # it may have been in the middle of an exchange
        session.stops.append("time limit")
        return False, f"the check of your answer took more than {TEST_LIMIT:g} s"
    except GraderError:
        raise
    except Stopped as stop:
        return False, f"your code was stopped: {stop}"
    except AssertionError as error:
        return False, str(error) or f"this does not hold: {failing_line(error)}"
    except Exception as error:
        return False, f"{type(error).__name__}: {error}"
    return True, None


def as_result(case, passed, message):
    """A case's entry in the result. Of a hidden test only its hint is told."""
    text = None if case.hidden or message is None else printable(message, 1000)
    return {
        "name": case.name,
        "hidden": case.hidden,
        "points": case.points,
        "passed": passed,
        "message": text,
        "hint": None if passed else case.failure_message,
    }


def summary(cases):
    """A question's result."""
    return {
        "score": float(sum(case["points"] for case in cases if case["passed"])),
        "possible": float(sum(case["points"] for case in cases)),
        "cases": cases,
    }


def total(results, key):
    """The sum over questions, without the noise of adding floats."""
    return round(sum(result[key] for result in results.values()), 6)


def failing_line(error):
    """The line of the test that failed, for an `assert` without a message."""
    return traceback.extract_tb(error.__traceback__)[-1].line or "a check"


def printable(text, most):
    """`text` as any file can hold it, cut to `most` characters."""
    text = str(text).encode("utf-8", "replace").decode()
    text = "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text)
    return text if len(text) <= most else text[:most] + " …"


@contextmanager
def text_not_evaluated(needed):
    """Make SymPy refuse text in the block: it would evaluate it as Python.

    Most of SymPy's functions turn text into expressions; a test that hands them an
    answer unseen must not run it.
    """
    if not needed:
        yield
        return
    from sympy.parsing import sympy_parser

    def refuse(text, *args, **kwargs):
        raise TypeError(f"got the text {str(text)[:60]!r}, expected a SymPy expression")

    before, sympy_parser.eval_expr = sympy_parser.eval_expr, refuse
    try:
        yield
    finally:
        sympy_parser.eval_expr = before


@contextmanager
def time_limit(seconds):
    """Raise `TestTookTooLong` in the block after `seconds`, in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def out_of_time(*_):
        raise TestTookTooLong

    before = signal.signal(signal.SIGALRM, out_of_time)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
