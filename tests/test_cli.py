"""The command `relubook`: what it prints, and its exit codes."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from relubook.grading import cli, demo

HERE = Path(__file__).resolve().parent
needs_bubblewrap = pytest.mark.skipif(
    not shutil.which("bwrap"), reason="bubblewrap is not installed"
)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A book's folder that holds the tiny assignment, built."""
    from relubook.grading import assignments

    root = tmp_path_factory.mktemp("book")
    shutil.copytree(HERE / "data" / "assignments", root / "assignments")
    assignments.build("tiny", secret="s" * 64, root=root)
    return root


@pytest.fixture(autouse=True)
def _secret(monkeypatch):
    monkeypatch.setenv("RELUBOOK_SECRET", "s" * 64)


@pytest.fixture
def built(root):
    from relubook.grading import assignments

    return assignments.load(root / "_build" / "assignments" / "tiny")


def solved(built, folder, *changes):
    """The student's notebook, solved, in a folder with its data."""
    shutil.copytree(built.folder / "student", folder)
    path = folder / "tiny.ipynb"
    notebook = json.loads(path.read_text())
    solution = json.loads((built.folder / "autograder" / "tiny.ipynb").read_text())
    notebook["cells"] = solution["cells"]
    for cell in notebook["cells"]:
        for old, new in changes:
            cell["source"] = "".join(cell["source"]).replace(old, new)
    path.write_text(json.dumps(notebook))
    return path


def test_help_is_fast():
    """It imports nothing slow: less than 0.3 s of processor time, whatever else runs."""
    before = os.times()
    done = subprocess.run(
        [sys.executable, "-m", "relubook", "--help"], capture_output=True, text=True,
        cwd=HERE.parent, check=True,
    )  # fmt: skip
    after = os.times()
    used = sum(after[2:4]) - sum(before[2:4])
    assert "demo-class" in done.stdout
    assert "Exit codes" in done.stdout
    assert used < 0.3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["grade"], "NAME is missing"),
        (["grade", "tiny", "."], "-o OUT is missing"),
        (["grade", "none", "x", "-o", "y"], "none.md does not exist"),
        (["assign", "build", "none"], "none.md does not exist"),
        (["assign", "check"], "wanted NAME or --all"),
        (["demo-class", "tiny"], "-o FOLDER is missing"),
        (["demo-class", "--compare", "a", "b"], "No such file"),
        (["check", "none.ipynb"], "is not a file"),
    ],
)
def test_errors_are_one_line(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(arguments) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert "Traceback" not in said
    assert list(tmp_path.iterdir()) == []


def test_wrong_arguments(capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(["grade", "tiny", "x", "-o", "y", "--jobs", "many"])
    assert caught.value.code == 2
    assert "--jobs" in capsys.readouterr().err


def test_the_risk_is_stated(capsys):
    with pytest.raises(SystemExit):
        cli.main(["grade", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert "WITHOUT a sandbox: their code can then read and delete your files" in said


def test_build(root, tmp_path, capsys):
    out = tmp_path / "autumn"
    arguments = ["assign", "build", "tiny", "--term", "2026", "--root", str(root)]
    assert cli.main([*arguments, "--out", str(out)]) == 0
    assert "term 2026" in capsys.readouterr().out
    assert (out / "student" / "tiny.ipynb").is_file()
    assert (out / "gradescope.zip").is_file()


def test_check_passes(built, tmp_path, capsys):
    path = solved(built, tmp_path / "work")
    assert cli.main(["check", str(path)]) == 0
    said = capsys.readouterr().out
    assert "q1: 1 of 1 points" in said
    assert "q2: 2 of 2 points" in said
    assert re.search(r"passed  test_total \(1\)", said)


def test_check_fails_as_the_grader_would(built, tmp_path, capsys):
    path = solved(built, tmp_path / "work", ("z / 2", "[z]"))
    assert cli.main(["check", str(path)]) == 1
    said = capsys.readouterr().out
    assert "q2: 1 of 2 points" in said
    assert "FAILED  test_half (1)" in said
    assert "shape" in said


def test_check_of_a_notebook_without_tests(tmp_path, capsys):
    path = tmp_path / "a.ipynb"
    path.write_text(json.dumps({"nbformat": 4, "metadata": {}, "cells": []}))
    assert cli.main(["check", str(path)]) == 2
    assert "carries no tests" in capsys.readouterr().err


def submissions(built, folder):
    folder.mkdir()
    path = solved(built, folder.parent / "work")
    shutil.copy(path, folder / "ann.ipynb")
    (folder / "bob.ipynb").write_text("")
    return folder


@needs_bubblewrap
def test_grade(root, built, tmp_path, capsys):
    folder, out = submissions(built, tmp_path / "in"), tmp_path / "out"
    (tmp_path / "roster.csv").write_text("id,name\nann,Ann\nbob,Bob\ncy,Cy\n")
    arguments = ["grade", "tiny", str(folder), "-o", str(out), "--root", str(root)]
    arguments += ["--no-analysis", "--roster", str(tmp_path / "roster.csv")]
    assert cli.main(arguments) == 0
    said = capsys.readouterr()
    assert re.search(r"missing +1\n +ok +1\n +unreadable +1", said.out)
    assert "grades.csv" in said.out
    assert "2/2" in said.err
    with open(out / "grades.csv", newline="") as file:
        found = [(row["id"], row["score"]) for row in csv.DictReader(file)]
    assert found == [("ann", "5"), ("bob", "0"), ("cy", "0")]
    assert cli.main(arguments) == 2
    assert "--resume" in capsys.readouterr().err


def test_grade_without_a_sandbox_warns(built, tmp_path, capsys):
    folder = submissions(built, tmp_path / "in")
    arguments = ["grade", str(built.folder), str(folder), "-o", str(tmp_path / "out")]
    assert cli.main([*arguments, "--no-analysis", "--unsafe-no-sandbox"]) == 0
    said = capsys.readouterr()
    assert said.err.startswith("WARNING: no sandbox.")
    assert "graded without a sandbox" in (tmp_path / "out" / "grades.csv").read_text()


def test_no_sandbox_is_no_score(built, tmp_path, monkeypatch, capsys):
    """Without bubblewrap nothing is graded; every submission has its row, no score."""
    monkeypatch.setenv("PATH", str(tmp_path))
    folder = submissions(built, tmp_path / "in")
    # the server that forks the graders has been started with another PATH
    from relubook.grading import batch, grader, sandbox

    monkeypatch.setattr(sandbox.shutil, "which", lambda name, **_: None)
    with pytest.raises(grader.GraderError):
        grader.grade_file(folder / "ann.ipynb", built)
    task = batch.Task(tmp_path / "r.json", "t", batch.MODULE, batch.submissions.find(folder)[0])
    batch.write_error(task, "GraderError: no bwrap")
    record = json.loads((tmp_path / "r.json").read_text())
    assert record["result"]["score"] is None


# The demo class ----------------------------------------------------------------------


def test_demo_class(root, tmp_path, capsys):
    out = tmp_path / "class"
    arguments = ["demo-class", "tiny", "-n", "100", "--root", str(root), "-o"]
    assert cli.main([*arguments, str(out)]) == 0
    said = capsys.readouterr().out
    assert "42 right, 28 wrong, 16 broken, 10 hostile, 4 missing" in said
    assert "relubook demo-class --compare" in said
    assert len(list((out / "submissions").iterdir())) == 96
    for name in ("roster.csv", "expected.csv"):
        assert len((out / name).read_text().splitlines()) == 101
    assert cli.main([*arguments, str(tmp_path / "again")]) == 0
    for path in sorted(out.rglob("*.*")):
        if path.is_file() and path.suffix != ".zip":
            assert path.read_bytes() == (tmp_path / "again" / path.relative_to(out)).read_bytes()
    assert cli.main([*arguments, str(out)]) == 2
    assert "is not empty" in capsys.readouterr().err


def test_the_recipes_keep_the_code_valid(built, tmp_path):
    """Right submissions still parse, and renaming touches variables only."""
    source = "def f(z, *, a=1):\n    total = z + a\n    return total\ny = f(1)"
    assert demo._renamed(source) == (
        "def f(z, *, a=1):\n    my_total = z + a\n    return my_total\ny = f(1)"
    )
    nested = "def f(z):\n    k = 1\n    return lambda: k"
    assert demo._renamed(nested) == nested
    assert demo._split("a = 1\nb = 2") == ["a = 1", "b = 2"]
    assert demo._renamed("%matplotlib inline") == "%matplotlib inline"


def test_compare(tmp_path, capsys):
    folder, out = tmp_path / "class", tmp_path / "out"
    folder.mkdir()
    out.mkdir()
    (folder / "expected.csv").write_text(
        "id,recipe,status,q1\nann,right,ok,3\nbob,loop,ok|stopped,1\ncy,gone,missing,0\n"
    )
    grades = out / "grades.csv"
    grades.write_text("id,status,q1\nann,ok,3\nbob,stopped: time,1\ncy,missing,0\n")
    arguments = ["demo-class", "--compare", str(out), str(folder)]
    assert cli.main(arguments) == 0
    assert capsys.readouterr().out == "no differences\n"
    grades.write_text("id,status,q1\nann,stopped: x,2\nbob,ok,\nbob,ok,1\nzed,ok,1\n")
    assert cli.main(arguments) == 1
    assert capsys.readouterr().out.splitlines() == [
        "ann (right): stopped: x, wanted ok",
        "ann (right): q1: 2, wanted 3",
        "bob (loop): 2 rows, wanted 1",
        "cy (gone): 0 rows, wanted 1",
        "zed: a row that nobody expected",
        "5 differences",
    ]


# The doctor --------------------------------------------------------------------------


@pytest.mark.parametrize(("good", "code"), [(True, 0), (False, 1)])
def test_doctor(good, code, monkeypatch, capsys):
    from relubook.grading import doctor

    names = ("bubblewrap is installed", "a sandbox starts", "system calls are filtered")
    found = [doctor.Finding(name, good, "", "Mend it.") for name in names]
    monkeypatch.setattr(doctor, "examine", lambda: found)
    assert cli.main(["grade", "--doctor"]) == code
    said = capsys.readouterr().out
    assert "a sandbox starts" in said
    assert "Mend it." in said
