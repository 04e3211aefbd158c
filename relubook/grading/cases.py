"""The tests of a built assignment, read from otter's files without importing otter.

otter-grader takes seconds to import, and a grader needs none of it: a test file defines
functions, with points and messages in a decorator, which this module provides.
"""

import inspect
from dataclasses import dataclass, field
from pathlib import Path

IMPORT = "\nfrom otter.test_files import test_case\n"


@dataclass(frozen=True)
class Case:
    """A test: `function(*values)` with the values of the names in `arguments`.

    It raises if an answer is wrong; `failure_message` is what a student is told then.
    """

    question: str
    name: str
    hidden: bool
    points: float
    failure_message: str | None
    arguments: tuple
    function: callable = field(repr=False)


def load(folder):
    """The cases of every question whose test file lies in `folder`, by question.

    Questions are in the order of their names with numbers counted, q2 before q10, and
    cases in the order of the file. Raises ValueError for a file that is not otter's.
    """
    paths = sorted(Path(folder).glob("*.py"), key=lambda path: _order(path.stem))
    return {path.stem: read(path.read_text("utf-8"), str(path)) for path in paths}


def read(text, path="<string>"):
    """The cases of one test file's `text`; `path` is what tracebacks name.

    The text is executed: it must come from a build, never from a student.
    """
    if text.count(IMPORT) != 1:
        raise ValueError(f"{path} imports test_case {text.count(IMPORT)} times, want 1")
    made = []

    def test_case(name=None, points=None, hidden=False, success_message=None,
                  failure_message=None):
        def keep(function):
            made.append((function, points, hidden, failure_message))
            return function

        return keep

    space = {"__name__": "tests", "test_case": test_case}
    exec(compile(text.replace(IMPORT, "\n\n"), path, "exec"), space)
    for function, points, _, _ in made:
        if not isinstance(points, (int, float)):
            raise ValueError(
                f"{path}: {function.__name__} has points={points!r}, want a number"
            )
    return [
        Case(space["name"], function.__name__, hidden, points, hint,
             tuple(inspect.signature(function).parameters), function)
        for function, points, hidden, hint in made
    ]


def _order(name):
    head = name.rstrip("0123456789")
    return head, int(name[len(head):] or 0), name
