"""relubook.grading.batch and tables: one row each, whatever happens."""

import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from relubook.grading import batch, feedback, tables
from relubook.grading.assignments import Assignment
from relubook.grading.batch import BatchError
from relubook.grading.tables import TableError

HERE = Path(__file__).resolve().parent


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    """`cheap_grader` can be imported, by the processes that grade as well."""
    monkeypatch.syspath_prepend(str(HERE))


def assignment(**changes):
    known = {
        "name": "cheap", "title": "A cheap one", "term": "demo", "folder": HERE,
        "minutes": 60, "requires": ("numpy",), "limits": {"total": 20.0}, "free": {},
        "points": {"q1": 3.0}, "rubric": {}, "key": "k1",
    }  # fmt: skip
    return Assignment(**known | changes)


def hand_in(folder, **students):
    """A notebook for each student, with these words in its only cell."""
    folder.mkdir(exist_ok=True)
    for student, text in students.items():
        put(folder / f"{student}.ipynb", text)
    return folder


def put(path, text):
    cell = {"cell_type": "code", "source": text, "metadata": {}, "outputs": []}
    content = {"nbformat": 4, "nbformat_minor": 4, "metadata": {}, "cells": [cell]}
    path.write_text(json.dumps(content))


def grade(folder, out, about=None, **options):
    return batch.grade(about or assignment(), folder, out, module="cheap_grader", **options)


def rows(out, name="grades.csv"):
    with open(out / name, encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def column(out, *names):
    return [tuple(row[name] for name in names) for row in rows(out)]


@pytest.fixture
def place(tmp_path):
    return hand_in(tmp_path / "in", ann="1", bob="22", cy="333"), tmp_path / "out"


# Rows --------------------------------------------------------------------------------


def test_a_row_for_every_outcome(tmp_path):
    folder = hand_in(
        tmp_path / "in", ann="22", die="die", grader="broken", cut="unreadable it is cut"
    )
    (folder / "empty.ipynb").write_bytes(b"")
    out = tmp_path / "out"
    roster = tmp_path / "roster.csv"
    roster.write_text("id,name\nzoe,Zoë\nann,Ann Lee\ndie,D\ngrader,G\nempty,E\n")
    summary = grade(folder, out, roster=roster, jobs=2)
    found = {row["id"]: row for row in rows(out)}
    assert list(found) == ["zoe", "ann", "die", "grader", "empty", "cut"]
    assert {name: row["status"].partition(":")[0] for name, row in found.items()} == {
        "zoe": "missing", "ann": "ok", "die": "grader-error", "grader": "grader-error",
        "empty": "grader-error", "cut": "unreadable",
    }  # fmt: skip
    scores = {name: row["score"] for name, row in found.items()}
    assert scores == {"zoe": "0", "ann": "2", "die": "", "grader": "", "empty": "", "cut": "0"}
    assert found["die"]["status"].endswith("without a result (exit code 7)")
    assert "GraderError: no bubblewrap" in found["grader"]["status"]
    assert found["cut"]["notes"] == "not on the roster"
    assert found["ann"]["name"] == "Ann Lee"
    assert summary.counts == {"missing": 1, "ok": 1, "grader-error": 3, "unreadable": 1}
    assert summary.unfinished == 3
    assert summary.mean == 1.0
    assert summary.notes == ("not on the roster: cut",)
    assert "no bubblewrap" in (out / "grader.log").read_text()


def test_a_grader_that_hangs_is_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(batch, "MARGIN", 0.5)
    folder = hand_in(tmp_path / "in", ann="sleep 60", bob="22")
    start = time.monotonic()
    grade(folder, tmp_path / "out", assignment(limits={"total": 0.5}), jobs=2)
    assert time.monotonic() - start < 20
    assert column(tmp_path / "out", "id", "status", "score") == [
        ("ann", "grader-error: the grader did not end within 1 s", ""),
        ("bob", "ok", "2"),
    ]


def test_a_sandbox_that_never_works_stops_the_batch(tmp_path):
    students = {f"s{k:02}": "broken" for k in range(30)}
    summary = grade(hand_in(tmp_path / "in", **students), tmp_path / "out", jobs=2)
    assert summary.counts["grader-error"] >= batch.HOPELESS
    assert summary.counts["pending"] >= 20
    assert sum(summary.counts.values()) == 30
    assert "--doctor" in summary.notes[0]


def test_only_so_many_at_a_time(tmp_path):
    folder = hand_in(tmp_path / "in", **{f"s{k}": "sleep 0.4" for k in range(4)})
    start = time.monotonic()
    grade(folder, tmp_path / "out", jobs=1)
    assert time.monotonic() - start > 1.6


def test_two_files_of_a_student_are_two_rows(place):
    folder, out = place
    (folder / "ann").mkdir()
    put(folder / "ann" / "again.ipynb", "333")
    summary = grade(folder, out, jobs=2)
    assert column(out, "id", "file", "score")[:2] == [
        ("ann", "ann.ipynb", "1"),
        ("ann", "ann/again.ipynb", "3"),
    ]
    assert summary.notes == ("more than one file: ann",)


def test_cells_are_no_formulas_and_stay_in_their_line(tmp_path):
    (tmp_path / "in").mkdir()
    put(tmp_path / "in" / "=cmd|' \nx.ipynb", "22")
    put(tmp_path / "in" / "a,b.ipynb", "22")
    grade(tmp_path / "in", tmp_path / "out")
    text = (tmp_path / "out" / "grades.csv").read_text()
    assert text.count("\n") == 3
    assert "\n'=cmd|'  x," in text
    assert '\n"a,b",' in text


# Going on ----------------------------------------------------------------------------


def test_results_are_not_overwritten_by_mistake(place):
    folder, out = place
    grade(folder, out)
    with pytest.raises(BatchError, match=r"--resume.*--only ID.*-o"):
        grade(folder, out)
    with pytest.raises(BatchError, match="holds results of cheap, not of dear"):
        grade(folder, out, assignment(name="dear"), resume=True)


def modified(out):
    return {path.name[:3]: path.stat().st_mtime_ns for path in (out / "results").glob("*.json")}


def regraded(out, before):
    return {name for name, when in modified(out).items() if before.get(name) != when}


def test_resume_grades_what_is_new_changed_or_failed(tmp_path):
    folder = hand_in(tmp_path / "in", ann="1", bob="22", cy="333", dee="broken")
    out = tmp_path / "out"
    grade(folder, out)
    before = modified(out)
    hand_in(folder, bob="333", eve="1")
    summary = grade(folder, out, resume=True)
    assert regraded(out, before) == {"bob", "dee", "eve"}
    assert column(out, "id", "score") == [
        ("ann", "1"), ("bob", "3"), ("cy", "3"), ("dee", ""), ("eve", "1"),
    ]  # fmt: skip
    assert summary.counts == {"ok": 4, "grader-error": 1}
    before = modified(out)
    grade(folder, out, assignment(key="k2"), resume=True)
    assert regraded(out, before) == {"ann", "bob", "cy-", "dee", "eve"}


def test_resume_grades_again_what_had_no_sandbox(place):
    folder, out = place
    grade(folder, out, sandbox=False)
    assert {note for (note,) in column(out, "notes")} == {"graded without a sandbox"}
    grade(folder, out, resume=True)
    assert {note for (note,) in column(out, "notes")} == {""}


def test_only_grades_the_named(place):
    folder, out = place
    grade(folder, out)
    before = modified(out)
    grade(folder, out, only=["bob"])
    assert regraded(out, before) == {"bob"}
    assert len(rows(out)) == 3
    with pytest.raises(BatchError, match="only='bop'.*did you mean bob?"):
        grade(folder, out, only=["bop"])


def test_only_in_a_new_folder_leaves_the_rest_pending(place):
    folder, out = place
    summary = grade(folder, out, only=["bob"])
    assert summary.counts == {"pending": 2, "ok": 1}
    assert grade(folder, out, resume=True).counts == {"ok": 3}


def test_a_broken_result_is_graded_again(place):
    folder, out = place
    grade(folder, out)
    results = sorted((out / "results").glob("*.json"))
    results[0].write_text(results[0].read_text()[:50])
    results[1].write_text("[]")
    (out / "results" / ".x.json.abc.part").write_text("half")
    assert grade(folder, out, resume=True).counts == {"ok": 3}
    assert not list((out / "results").glob(".*"))


def test_a_result_whose_file_is_gone_is_left_out(place):
    folder, out = place
    grade(folder, out)
    (folder / "bob.ipynb").unlink()
    summary = grade(folder, out, resume=True)
    assert [each for (each,) in column(out, "id")] == ["ann", "cy"]
    assert "left out: bob-" in summary.notes[0]


def test_one_grader_at_a_time(place):
    folder, out = place
    with batch.locked(out), pytest.raises(BatchError, match="another grader"):
        grade(folder, out)
    grade(folder, out)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"jobs": 0}, "jobs=0"),
        ({"jobs": 1.5}, "jobs=1.5"),
        ({"roster": "nowhere.csv"}, "nowhere.csv: it cannot be read"),
    ],
)
def test_bad_arguments(place, options, message):
    with pytest.raises(ValueError, match=message):
        grade(*place, **options)
    assert not place[1].exists()


def test_out_inside_the_submissions(place):
    with pytest.raises(BatchError, match="inside the submissions"):
        grade(place[0], place[0] / "out")


def test_interrupt_writes_what_is_there(tmp_path):
    students = {f"s{k}": "sleep 0.3" if k < 2 else "sleep 30" for k in range(8)}
    folder, out = hand_in(tmp_path / "in", **students), tmp_path / "out"

    def interrupt():
        while len(list((out / "results").glob("s*.json"))) < 2:
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt, daemon=True)
    thread.start()
    summary = grade(folder, out, jobs=2)
    thread.join()
    assert summary.interrupted
    assert summary.counts == {"ok": 2, "pending": 6}
    for name in students:
        put(folder / f"{name}.ipynb", "22")
    assert grade(folder, out, resume=True).counts == {"ok": 8}


# Kills -------------------------------------------------------------------------------

RUN = """
import sys
sys.path[:0] = {path!r}
from pathlib import Path
from relubook.grading import batch
from relubook.grading.assignments import Assignment
if __name__ == "__main__":
    about = {about!r}
    about["folder"] = Path("/")
    batch.grade(Assignment(**about), {folder!r}, {out!r}, jobs=2, resume=True,
                module="cheap_grader")
"""


@pytest.fixture
def begin(tmp_path):
    """Start a process that grades a folder, or goes on with it."""
    script, started = tmp_path / "run.py", []

    def start(folder, out):
        path, about = [str(HERE), str(HERE.parent)], vars(assignment(folder=None))
        about, folder, out = dict(about), str(folder), str(out)
        script.write_text(RUN.format(path=path, about=about, folder=folder, out=out))
        started.append(subprocess.Popen([sys.executable, script]))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


def test_killed_at_any_moment_nothing_is_lost(tmp_path, begin):
    """SIGKILL, resume, again and again; in the end all is as after an unbroken run."""
    rng = random.Random(6)
    students = {f"s{k:02}": "sleep 0.03\n" + "x" * k for k in range(20)}
    folder = hand_in(tmp_path / "in", **students)
    grade(folder, tmp_path / "whole", jobs=2)
    whole = column(tmp_path / "whole", "id", "status", "score", "sha256")
    out = tmp_path / "out"

    def results():
        return list((out / "results").glob("*.json"))

    for _ in range(6):
        there = len(results())
        process = begin(folder, out)
        enough = there + rng.randrange(4)
        until(lambda: len(results()) >= enough or process.poll() is not None)
        time.sleep(rng.uniform(0, 0.06))
        process.kill()
        process.wait()
        assert len(results()) >= there
        for result in results():  # what is there is whole
            assert json.loads(result.read_text())["result"]["status"] == "ok"
        if (out / "grades.csv").exists():
            assert len(rows(out)) == 20
    assert len(results()) < 20  # or nothing was tested
    assert begin(folder, out).wait(60) == 0
    assert column(out, "id", "status", "score", "sha256") == whole
    assert len(results()) == 20
    assert not list(out.rglob(f"*{tables.TEMPORARY}"))


def test_the_killed_leave_no_process(tmp_path, begin):
    import psutil

    folder = hand_in(tmp_path / "in", **{f"s{k}": "sleep 60" for k in range(3)})
    process = begin(folder, tmp_path / "out")
    until((tmp_path / "out" / "grader.log").exists)
    children = psutil.Process(process.pid).children(recursive=True)
    assert children
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive


# Roster ------------------------------------------------------------------------------


def read(tmp_path, text, *rest):
    path = tmp_path / "roster.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return tables.read_roster(path, *rest)


def test_roster_columns(tmp_path):
    text = "\ufeffname;email;netid\r\n\"Lee; Ann\";Ann@x.edu;al1\r\n\r\nBob;b@x.edu;bb2\r\n"
    roster = read(tmp_path, text)
    assert [student.id for student in roster.students] == ["Ann@x.edu", "b@x.edu"]
    assert roster.students[0].name == "Lee; Ann"
    assert read(tmp_path, text, None, ["BB2"]).students[1].id == "bb2"
    assert read(tmp_path, text, "netid").students[0].id == "al1"
    known = SimpleNamespace(id="bb2", aliases=())
    assert roster.find(known).id == "b@x.edu"
    known = SimpleNamespace(id="ann@X.edu", aliases=())
    assert roster.find(known).id == "Ann@x.edu"
    assert roster.find(SimpleNamespace(id="zed", aliases=())) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "it is empty"),
        ("id\n", "names no student"),
        ("who,why\na,b\n", "line 1: none of the columns 'who', 'why' is an id"),
        ("id,name\na,A\n ,B\n", "line 3, column 'id': it is empty"),
        ("id,name\na,A\n\nA,B\n", "line 4, column 'id': 'A' stands in line 2"),
        ("id,name\na,A,more\n", "line 2: 3 cells; the header has 2"),
        ('id,name\na,A\n"b,B\n', "line 3: unexpected end of data"),
        ("id,id\na,b\n", "two columns 'id'"),
        (b"id,name\na,A\nb,Zo\xeb\n", "line 3: it is not UTF-8"),
    ],
)
def test_rosters_that_are_wrong(tmp_path, text, message):
    with pytest.raises(TableError, match=message) as caught:
        read(tmp_path, text)
    assert "roster.csv" in str(caught.value)


def test_a_column_that_is_not_there(tmp_path):
    with pytest.raises(TableError, match="no column 'matric'; there are 'id', 'name'"):
        read(tmp_path, "id,name\na,A\n", "matric")


# Canvas ------------------------------------------------------------------------------

CANVAS = """Student,ID,SIS Login ID,Section,Homework (7),A cheap one (12),Final Score
,,,,Manual Posting,,
    Points Possible,,,,10,3.00,(read only)
"Lee, Ann",101,ann,S1,5,1.00,50
"Bo, Bob",102,bob,S1,5,2.00,50
"Cy, C",103,cy,S2,,,
"Dee, D",104,dee,S2,,N/A,
"Student, Test",105,test,S1,,,
"""


def test_canvas(tmp_path):
    roster = tmp_path / "canvas.csv"
    roster.write_text(CANVAS)
    folder = hand_in(tmp_path / "in", ann="333", cy="22")
    put(folder / "bobob_LATE_102_5_x.ipynb", "broken")
    out = tmp_path / "out"
    grade(folder, out, roster=roster)
    assert column(out, "id", "status", "score", "notes") == [
        ("ann", "ok", "3", ""),
        ("bob", "grader-error: GraderError: no bubblewrap", "", "late (Canvas)"),
        ("cy", "ok", "2", ""),
        ("dee", "missing", "0", ""),
    ]
    assert (out / "canvas.csv").read_text() == (
        "Student,ID,SIS Login ID,Section,A cheap one (12)\n"
        "    Points Possible,,,,3\n"
        '"Lee, Ann",101,ann,S1,3\n'
        '"Bo, Bob",102,bob,S1,2.00\n'
        '"Cy, C",103,cy,S2,2\n'
        '"Dee, D",104,dee,S2,0\n'
    )


def test_canvas_leaves_empty_what_is_not_complete(tmp_path):
    roster = tmp_path / "canvas.csv"
    roster.write_text("Student,ID,Section\nA,ann,1\nB,bob,1\n")
    folder = hand_in(tmp_path / "in", ann="333", bob="broken")
    out = tmp_path / "out"
    about = assignment(points={"q1": 3.0, "q2": 2.0}, rubric={"q2": {"why": 2}})
    grade(folder, out, about, roster=roster)
    cells = [(row["Student"], row["A cheap one"]) for row in rows(out, "canvas.csv")]
    assert cells == [("    Points Possible", "5"), ("A", ""), ("B", "")]


def test_canvas_of_several_files(tmp_path):
    """The best counts, but nothing as long as one of them could not be graded."""
    roster = tmp_path / "canvas.csv"
    roster.write_text("Student,ID,Section\nA,ann,1\nB,bob,1\n")
    folder = hand_in(tmp_path / "in", ann="333", bob="333")
    for name, text in (("ann", "1"), ("bob", "broken")):
        (folder / name).mkdir()
        put(folder / name / "x.ipynb", text)
    grade(folder, tmp_path / "out", roster=roster)
    found = rows(tmp_path / "out", "canvas.csv")
    assert [row["A cheap one"] for row in found] == ["3", "3", ""]


# Manual points -----------------------------------------------------------------------

RUBRIC = {"q2": {"what": 1.0, "why": 2.0}}


def manual_assignment():
    return assignment(points={"q1": 3.0, "q2": 3.0}, rubric=RUBRIC)


def test_manual_points(place):
    folder, out = place
    grade(folder, out, manual_assignment())
    assert column(out, "id", "score", "possible", "q1", "q2")[0] == ("ann", "1", "3", "1", "")
    assert "not yet graded by hand: q2" in rows(out)[0]["notes"]
    path = out / "manual.csv"
    lines = rows(out, "manual.csv")
    assert [tuple(line.values()) for line in lines[:3]] == [
        ("ann", "q2", "what", "1", "", ""),
        ("ann", "q2", "why", "2", "", ""),
        ("bob", "q2", "what", "1", "", ""),
    ]
    # a spreadsheet saves it with semicolons, another column, and half filled in
    text = "id;question;criterion;of;points;comment;by\r\n"
    text += "ann;q2;why;2;1.5;good, but short;XY\r\nann;q2;what;1;1;;XY\r\nbob;q2;why;2;1;;\r\n"
    path.write_text(text)
    hand_in(folder, dee="1")
    grade(folder, out, manual_assignment(), resume=True)
    assert column(out, "id", "score", "possible", "q2") == [
        ("ann", "3.5", "6", "2.5"), ("bob", "2", "3", ""), ("cy", "3", "3", ""),
        ("dee", "1", "3", ""),
    ]  # fmt: skip
    kept = rows(out, "manual.csv")
    assert kept[0]["points"] == "1.5"
    assert kept[0]["by"] == "XY"
    assert kept[0]["comment"] == "good, but short"
    assert len(kept) == 8
    page = next((out / "feedback").glob("ann-*.md")).read_text()
    assert "why, 1.5 of 2: good, but short" in page
    assert "**3.5 of 6 points**" in page


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("ann,q1,why,2,1,", "line 3, column 'question': 'q1' is not graded by hand"),
        ("ann,q2,how,2,1,", "line 3, column 'criterion': q2 has no 'how'; wanted one of"),
        ("ann,q2,why,2,3,", "line 3, column 'points': '3' is not a number from 0 to 2"),
        ("ann,q2,why,2,-1,", "'-1' is not a number"),
        ("ann,q2,why,2,nan,", "'nan' is not a number"),
        ('ann,q2,why,2,"1,5",', "'1,5' is not a number"),
        ("bob,q2,why,2,1,", "line 3: bob, q2, why stands twice"),
    ],
)
def test_manual_points_that_are_wrong(place, line, message):
    folder, out = place
    path = out.parent / "manual.csv"
    path.write_text(f"id,question,criterion,of,points,comment\nbob,q2,why,2,1,\n{line}\n")
    with pytest.raises(TableError, match=message):
        grade(folder, out, manual_assignment(), manual=path)
    assert not out.exists()


def test_manual_points_of_nobody(place):
    folder, out = place
    path = out.parent / "manual.csv"
    path.write_text("id,question,criterion,points\nanne,q2,why,1\n")
    summary = grade(folder, out, manual_assignment(), manual=path)
    assert "names nobody who is here: anne" in summary.notes[0]
    assert path.read_text("utf-8-sig").count("\n") == 2 + 6


# Writing -----------------------------------------------------------------------------


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.csv"
    tables.write(path, "old")
    monkeypatch.setattr(os, "fsync", lambda handle: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        tables.write(path, "new", durable=True)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


# The real sandbox ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    from relubook.grading import assignments

    out = tmp_path_factory.mktemp("built") / "tiny"
    return assignments.build("tiny", root=HERE / "data", secret="s" * 64, out=out)


@pytest.mark.skipif(not shutil.which("bwrap"), reason="bubblewrap is not installed")
def test_a_class_in_the_sandbox(tiny, tmp_path):
    """Seven students of a demo class get what they must, and their mistakes are known."""
    from relubook.grading import demo

    demo.make(tiny, tmp_path / "class", n=7, seed=4, quick=True)
    out = tmp_path / "out"
    batch.grade(
        tiny,
        tmp_path / "class" / "submissions",
        out,
        roster=tmp_path / "class" / "roster.csv",
        answers=[each for each in feedback.mistakes(tiny) if each.name == "relu"],
    )
    assert demo.compare(out, tmp_path / "class") == []
    summary = (out / "summary.md").read_text()
    assert "Forgets the slope." in summary
