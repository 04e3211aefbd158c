"""The check of an assignment finds each thing that can be wrong with one."""

import json
import shutil
import zipfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from relubook.grading import assignments, cases, checking

TINY = Path(__file__).parent / "data" / "assignments" / "tiny"

# What is spoilt in `tiny`, and what the check says of it.
FAULTS = {
    "a solution that is wrong": (
        "tiny.md", "    return z / 2  # SOLUTION", "    return z / 3  # SOLUTION",
        "the solution got 1 of 2 points in q2, wanted 2; it fails test_half "
        "(got 1.0, expected 1.5)",
    ),
    "a solution that raises": (
        "tiny.md", "import numpy as np\n\n", "import numpy as np\n\nnothing\n",
        "the solution: cell 2: NameError: name 'nothing' is not defined",
    ),
    "a test that needs no answer": (
        "tiny.md", "    expect(half(3.0), 1.5)", "    half",
        "the untouched notebook got 1 of 2 points in q2, wanted 0",
    ),
    "a test that only compares with ==": (
        "tiny.md", "    expect(total, 21.0 + <<shift>>)",
        "    assert total == 21.0 + <<shift>>",
        "in the notebook an object of length 0 that agrees with everything passes "
        "test_total",
    ),
    "a test that no mistake fails": (
        "answers.yml", "return z // 2", "return z / 2",
        "q2: no wrong answer fails test_half",
    ),
    "a mistake with another score": (
        "answers.yml", "scores: {q1: 0}", "scores: {q1: 3}",
        "the wrong answer relu got 0 of 3 points in q1, wanted 3; it fails "
        "test_values (entry 0: got 0.0, expected -0.125; 1 of 2 differ), "
        "test_random_shapes",
    ),
    "a right answer that is wrong": (
        "answers.yml", "values = [x if x > 0", "values = [x if x < 0",
        "the right answer loop got 0 of 3 points in q1, wanted 3",
    ),
    "a mistake that spoils another question": (
        "answers.yml", "          return z // 2",
        "          return z // 2\n      leaky = 0",
        "the wrong answer whole-number got 0 of 3 points in q1, wanted 3",
    ),
    "points that the heading does not say": (
        "tiny.md", "the table (2 points)", "the table (3 points)",
        "the heading of q2 says (3 points), wanted (2 points)",
    ),
    "points that are nowhere": (
        "tiny.md", "the table (2 points)", "the table",
        "the heading of q2 says nothing of points, wanted (2 points)",
    ),
    "a solution that students get": (
        "tiny.md", "    return z / 2  # SOLUTION\n```\n",
        "    return z / 2  # SOLUTION\n```\n\n```{code-cell} ipython3\nleft = 2\n```\n",
        "the cell 'left = 2' of the solution of q2 has no mark SOLUTION: students get "
        "it whole",
    ),
    "few mistakes": (
        "answers.yml", "  no-shift:\n    about: Forgets the shift.\n    question: q2\n"
        "    code: |\n      total = table.sum()\n    scores: {q2: 1}\n", "",
        "answers.yml has 5 wrong answers, wanted at least 6",
    ),
}


@pytest.fixture
def book(tmp_path):
    shutil.copytree(TINY, tmp_path / "assignments" / "tiny")
    return tmp_path


def test_a_sound_assignment_has_no_problem(book):
    """By the grader itself, in the sandbox where there is one."""
    assert checking.check("tiny", root=book, variants=["#0", "#1"]) == []


@pytest.fixture
def quick(monkeypatch):
    """Submissions are graded in this process: in no time, and without protection."""
    def grade(folder, cells, sandbox):
        space, notes = {}, []
        for number, source in enumerate(cells, 1):
            if not checking._is_otters(source):
                try:
                    table = f"{folder}/student/table.csv"
                    exec(source.replace("table.csv", table), space)
                except Exception as error:
                    notes.append(f"cell {number}: {checking._text(error)}")
        questions = {}
        for name, made in cases.load(folder / "autograder" / "tests").items():
            errors = [checking._error(case, [space.get(one) for one in case.arguments])
                      for case in made]
            questions[name] = {
                "score": sum(case.points for case, error in zip(made, errors)
                             if not error),
                "possible": sum(case.points for case in made),
                "cases": [{"name": case.name, "passed": not error,
                           "message": str(error) if error and not case.hidden else None}
                          for case, error in zip(made, errors)],
            }
        return {"status": "ok", "questions": questions, "notes": notes}

    @contextmanager
    def workers(jobs):
        yield lambda function, calls: [function(*call) for call in calls]

    monkeypatch.setattr(checking, "_grade", grade)
    monkeypatch.setattr(checking, "_workers", workers)


def test_the_quick_way_finds_nothing_in_a_sound_assignment(book, quick):
    assert checking.check("tiny", root=book) == []


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_found(book, quick, fault):
    name, old, new, said = FAULTS[fault]
    path = book / "assignments" / "tiny" / name
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), "utf-8")
    found = checking.check("tiny", root=book, variants=["#0"])
    assert any(said in problem for problem in found), found
    assert all(problem.startswith("tiny") for problem in found)


@pytest.fixture
def built(book):
    assignment = assignments.build("tiny", term="#0", secret="s" * 30, root=book)
    return assignments.read("tiny", term="#0", root=book), assignment


def spoil(assignment, change):
    """Change the student's notebook as `change` does with its JSON."""
    path = assignment.folder / "student" / "tiny.ipynb"
    notebook = json.loads(path.read_text("utf-8"))
    change(notebook)
    path.write_text(json.dumps(notebook), "utf-8")


def cell(text):
    return lambda notebook: notebook["cells"].append(
        {"cell_type": "code", "source": [text], "metadata": {}, "outputs": []})


def in_metadata(text):
    return lambda notebook: notebook["metadata"].update(author={"note": text})


def in_output(text):
    return lambda notebook: notebook["cells"][1].update(
        outputs=[{"output_type": "stream", "name": "stdout", "text": [text]}])


def hidden_test(notebook):
    tests = notebook["metadata"]["otter"]["tests"]
    tests["q1"] = tests["q1"].replace("hidden=False", "hidden=True")


def no_test(notebook):
    del notebook["metadata"]["otter"]["tests"]["q2"]


@pytest.mark.parametrize(("change", "said"), [
    (cell("x = 1\nreturn  np.where(z > 0,  z, z * 1/8)"), "the solution of q1"),
    (in_metadata("total = table.sum() + 1"), "the solution of q2"),
    (in_output("It doubles too, because the function is positively homogeneous."),
     "the solution of q3"),
    (in_metadata("see test_random_shapes"), "tiny.ipynb contains 'test_random_shapes'"),
    (in_metadata("Try arrays of other shapes."), "the hidden test test_random_shapes"),
    (cell('rng = secret_rng("leaky shapes")'), "the hidden test test_random_shapes"),
    (in_metadata("s" * 30), "contains the secret"),
    (cell("def secret_rng(label): pass"), "contains the function secret_rng"),
    (hidden_test, "a test that is marked hidden"),
    (no_test, "the notebook has the tests"),
])
def test_leaks_are_found(built, change, said):
    master, assignment = built
    assert list(checking.leaks(master, assignment)) == []
    spoil(assignment, change)
    assert any(said in line for line in checking.leaks(master, assignment))


def test_leaks_in_the_other_files_are_found(built):
    master, assignment = built
    folder = assignment.folder / "student"
    with zipfile.ZipFile(folder / "tests.zip", "a") as archive:
        archive.writestr("q9.py", (assignment.tests / "q1.py").read_text("utf-8"))
    (folder / "notes.txt").write_text("z = np.asarray(z, dtype=float)")
    found = "\n".join(checking.leaks(master, assignment))
    assert "student/tests.zip/q9.py contains the secret" in found
    assert "student/tests.zip/q9.py contains \"rng = secret_rng(" in found
    assert "student/ holds ['notes.txt'" in found
    assert "tests.zip has the tests" in found


def test_a_heading_may_say_one_point():
    question = assignments.Question("q1", 1, False, "## Q (1 point)", (), ())
    master = assignments.Master("x", "", Path(), {}, {}, "", (question,))
    assert list(checking._static(master)) == [
        "answers.yml has 0 wrong answers, wanted at least 6"]
