"""A stand-in for `relubook.grading.grader` that obeys the submission: quick, no sandbox.

The first line of a notebook says what happens to whoever grades it.
"""

import hashlib
import os
import time
from pathlib import Path

from relubook.grading import submissions


class GraderError(Exception):
    """As in the real one."""


def grade_file(path, assignment, *, sandbox=True):
    sha256 = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    cells, notes = submissions.read_cells(path)
    result = grade_cells(cells, assignment, sandbox=sandbox)
    return {**result, "notes": notes + result["notes"], "sha256": sha256}


def grade_cells(cells, assignment, *, sandbox=True):
    for line in cells[0].splitlines():
        word, _, rest = line.partition(" ")
        if word == "sleep":
            time.sleep(float(rest))
        if word == "die":
            os._exit(7)
        if word == "broken":
            raise GraderError("no bubblewrap")
        if word == "unreadable":
            return result(assignment, 0, "unreadable: " + rest)
    return result(assignment, sum(map(len, cells)) % 4, "ok")


def result(assignment, score, status):
    """`score` of 3 points in q1: a test of 1 point and a hidden one of 2."""
    cases = [
        {
            "name": name, "hidden": hidden, "points": points, "passed": bool(score & points),
            "message": None if hidden or score & points else "got 1, expected <b>2</b>",
            "hint": None if score & points else f"Hint of {name}.",
        }
        for name, hidden, points in (("test_open", False, 1), ("test_secret", True, 2))
    ]  # fmt: skip
    question = {"score": float(score), "possible": 3.0, "cases": cases}
    return {
        "status": status, "score": float(score), "possible": 3.0,
        "questions": {"q1": question}, "notes": [], "output": "", "seconds": 0.01,
    }  # fmt: skip
