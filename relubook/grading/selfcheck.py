"""Check a student's own notebook with the public tests that it carries."""

import json
import tempfile
from pathlib import Path

from relubook.grading import grader, submissions, tables
from relubook.grading.assignments import Assignment


class SelfCheckError(ValueError):
    """A notebook that carries no tests; says what was wanted."""


def check(path) -> dict:
    """Run a notebook and its public tests; the result of `grader.grade_cells`.

    The code runs unprotected, in the notebook's folder, as it does in Jupyter. Raises
    submissions.Unreadable and SelfCheckError.
    """
    path = Path(path)
    if not path.is_file():
        raise SelfCheckError(f"notebook={str(path)!r} is not a file")
    data = submissions.read_bytes(path)
    cells, notes = submissions.parse(data)
    with tempfile.TemporaryDirectory(prefix="relubook-check-") as folder:
        assignment = _assignment(data, path, Path(folder))
        result = grader.grade_cells(
            cells,
            assignment,
            sandbox=False,
            public_only=True,
            folder=path.parent.resolve(),
        )
    return {**result, "notes": notes + result["notes"]}


def _assignment(data, path, folder):
    """What the grader needs to know, from the notebook's metadata."""
    try:
        otter = json.loads(data.decode("utf-8-sig"))["metadata"]["otter"]
        tests = otter["tests"]
        good = all(isinstance(text, str) for text in tests.values()) and tests
    except (ValueError, KeyError, TypeError, AttributeError):
        good = False
    if not good:
        raise SelfCheckError(
            f"{path} carries no tests; wanted the notebook of an assignment, with the "
            "metadata that it came with"
        )
    (folder / "autograder" / "tests").mkdir(parents=True)
    for question, text in tests.items():
        if not question.isidentifier():
            raise SelfCheckError(f"{path} has a question {question!r}, wanted a plain name")
        (folder / "autograder" / "tests" / f"{question}.py").write_text(text, "utf-8")
    return Assignment(
        name=path.stem,
        title=path.stem,
        term="",
        folder=folder,
        minutes=0,
        requires=(),
        limits={"cell": 600.0, "call": 60.0, "total": 3600.0},
        free={},
        points={},
        rubric={},
        key="",
    )


def report(result) -> str:
    """A result as a table for the terminal."""
    lines = []
    for question, answer in result["questions"].items():
        score, possible = tables.number(answer["score"]), tables.number(answer["possible"])
        lines.append(f"{question}: {score} of {possible} points")
        for case in answer["cases"]:
            verdict = "passed" if case["passed"] else "FAILED"
            points = tables.number(case["points"])
            lines.append(f"  {verdict}  {case['name']} ({points})")
            for text in (case["message"], case["hint"]):
                if text and not case["passed"]:
                    lines += [f"          {line}" for line in text.splitlines()]
    lines += [f"note: {note}" for note in result["notes"]]
    if result["status"] != "ok":
        lines.append(result["status"])
    score, possible = tables.number(result["score"]), tables.number(result["possible"])
    lines.append(f"{score} of {possible} points in the public tests; there may be others")
    return "\n".join(lines)


def passes(result) -> bool:
    """Whether every test passed."""
    cases = [case for each in result["questions"].values() for case in each["cases"]]
    return all(case["passed"] for case in cases)
