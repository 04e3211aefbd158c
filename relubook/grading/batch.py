"""Grade a folder of submissions: one row each, whatever happens.

Every submission is graded by a process of its own, forked from a server that has the
modules loaded, and leaves one file in `OUT/results/`, written whole or not at all. All
tables are derived from those files. So a run that is killed at any moment loses at most
what was being graded just then, and is continued by `resume=True`.

| File in OUT | What it is |
| --- | --- |
| `grades.csv` | a line per submission and per student of the roster, always |
| `canvas.csv` | the same for Canvas's gradebook, if the roster is an export of it |
| `feedback/` | a page per submission, in Markdown and HTML |
| `manual.csv` | to be filled in: the points that a person gives |
| `items.csv`, `summary.md` | how the tests did, which mistakes were made |
| `results/` | what the grader found, one JSON file per submission |
| `grader.log` | what the grader itself printed; empty, if all went well |
"""

import contextlib
import difflib
import fcntl
import hashlib
import importlib
import json
import multiprocessing
import os
import secrets
import signal
import sys
import threading
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from multiprocessing import connection, forkserver
from pathlib import Path

from relubook.grading import feedback, submissions, tables

# Seconds beyond the submission's own limit after which its grader is stopped: for
# sandboxes that start again, and for tests that are slow themselves.
MARGIN = 120.0
HOPELESS = 6  # failures of the grader before anything else came: it stops
MODULE = "relubook.grading.grader"
EVERY = 25  # results after which the tables are written
MOST_NOTES = 8  # shown in grades.csv
MOST_OUTPUT = 20_000  # characters of a notebook's output that are kept


class BatchError(ValueError):
    """A batch that cannot be graded as asked; says what to do."""


@dataclass(frozen=True)
class Summary:
    """What a batch came to.

    `counts` maps the kinds of status to the number of rows, `mean` is the mean score of
    what was handed in and has one, `possible` the most that can be got. `interrupted`
    tells whether somebody stopped the run; `notes` are for the instructor.
    """

    out: Path
    counts: dict
    mean: float | None
    possible: float
    interrupted: bool
    seconds: float
    notes: tuple[str, ...] = ()

    @property
    def unfinished(self) -> int:
        """How many submissions have no score, through no fault of theirs."""
        return self.counts.get("grader-error", 0) + self.counts.get("pending", 0)


@dataclass(frozen=True)
class Task:
    """Something to grade, and the file that its result goes to.

    Either a `submission` or, for the known mistakes, `cells`. `token` tells this run's
    result from one that an earlier run has left.
    """

    target: Path
    token: str
    module: str
    submission: submissions.Submission | None = None
    cells: tuple[str, ...] = ()
    about: dict = field(default_factory=dict)

    @property
    def record(self) -> dict:
        """What the result's file holds beside the result."""
        return {**self.about, "token": self.token}


def grade(
    assignment,
    folder,
    out,
    *,
    jobs=None,
    resume=False,
    only=(),
    roster=None,
    id_column=None,
    manual=None,
    sandbox=True,
    answers=None,
    progress=None,
    module=MODULE,
) -> Summary:
    """Grade all submissions in `folder`; write tables and feedback into `out`.

    jobs: how many at a time, by default one for each processor that may be used.
    resume: keep the results that are there, unless the submission or the assignment has
    changed or the grader had failed. only: ids to grade again, everything else stays.
    roster, id_column: a CSV file of all students, and its column of ids. manual: the
    table of points given by hand, by default `out/manual.csv`; it is made and extended.
    sandbox: False runs submissions unprotected. answers: known mistakes, from
    `feedback.mistakes`, that wrong answers are compared with. progress: called as
    `progress(done, total, what)`. module: has the functions that grade one submission,
    `grade_file` and `grade_cells`.

    Raises BatchError, tables.TableError, and ValueError from `submissions.find`, all of
    them before anything is graded.
    """
    start = time.monotonic()
    out = Path(out)
    found = submissions.find(folder)
    if out.resolve().is_relative_to(Path(folder).resolve()):
        raise BatchError(f"out={str(out)!r} lies inside the submissions; name another")
    ids = [name for each in found for name in (each.id, *each.aliases)]
    students = tables.read_roster(roster, id_column, ids) if roster else None
    manual = Path(manual) if manual else out / "manual.csv"
    tables.read_manual(manual, assignment.rubric)
    jobs = processors() if jobs is None else jobs
    if not isinstance(jobs, int) or jobs < 1:
        raise BatchError(f"jobs={jobs!r} must be a number from 1")
    with locked(out):
        book = Book(assignment, found, students, out, manual, sandbox, module)
        book.start(resume, only)
        tasks = [book.task(each) for each in book.wanted(resume, only)]
        interrupted = False
        try:
            graded = run(tasks, assignment, out, jobs, sandbox, progress)
            with contextlib.closing(graded):
                for task in graded:
                    book.take(task.submission)
                    if book.is_hopeless:
                        answers = None
                        break
            if answers:
                answers = patterns(
                    assignment, answers, out, jobs, sandbox, progress, module
                )
        except KeyboardInterrupt:
            interrupted, answers = True, None
            book.read_results()  # some may have been written and not been noted
        with uninterrupted():
            notes = book.finish(answers)
    rows = book.rows
    handed_in = [row for row in rows if row["status"] != "missing"]
    scores = [row["score"] for row in handed_in if row["score"] is not None]
    return Summary(
        out=out,
        counts=dict(Counter(kind(row["status"]) for row in rows)),
        mean=sum(scores) / len(scores) if scores else None,
        possible=float(sum(assignment.points.values())),
        interrupted=interrupted,
        seconds=time.monotonic() - start,
        notes=tuple(notes),
    )


def kind(status) -> str:
    """A status without its reason.

    >>> kind("stopped: time limit"), kind("ok")
    ('stopped', 'ok')
    """
    return status.partition(":")[0]


def processors() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1  # macOS


# The book: results, and the rows made of them ------------------------------------------


class Book:
    """The results of a batch and the tables derived from them.

    Memory holds a short row of each result, never the result itself.
    """

    def __init__(self, assignment, found, roster, out, manual, sandbox, module):
        self.assignment, self.found, self.roster = assignment, found, roster
        self.out, self.manual_path, self.sandbox = out, manual, sandbox
        self.module = module
        self.students = {
            each.slug: roster.find(each) if roster else None for each in found
        }
        self.results = {}  # slug -> the short form of a result
        self.rows = []
        self.token = secrets.token_hex(8)
        self.new = self.errors = 0

    def start(self, resume, only):
        """Make the folders, clear half-written files away, read what is there."""
        results = self.out / "results"
        for folder in (results, self.out / "feedback"):
            folder.mkdir(exist_ok=True)
            for path in folder.glob(f".*{tables.TEMPORARY}"):
                path.unlink(missing_ok=True)
        if not resume and not only and any(results.glob("*.json")):
            raise BatchError(
                f"{self.out} holds results; go on with --resume, grade one again with "
                "--only ID, or name another folder with -o"
            )
        other = read_json(self.out / "assignment.json") or {}
        if other.get("name", self.assignment.name) != self.assignment.name:
            raise BatchError(
                f"{self.out} holds results of {other['name']}, not of "
                f"{self.assignment.name}; name another folder with -o"
            )
        about = {"name": self.assignment.name, "key": self.assignment.key}
        tables.write(self.out / "assignment.json", json.dumps(about) + "\n")
        self.read_results()

    def read_results(self):
        """Note every result that is there."""
        for each in self.found:
            record = read_record(self.path(each))
            if record is not None:
                self.results[each.slug] = short(record)

    def wanted(self, resume, only):
        """The submissions to grade."""
        if only:
            chosen = [each for each in self.found if self.is_meant(each, only)]
            for name in only:
                if not any(self.is_meant(each, [name]) for each in self.found):
                    known = sorted({self.student_id(each) for each in self.found})
                    near = difflib.get_close_matches(name, known, 1)
                    hint = f"; did you mean {near[0]}?" if near else ""
                    raise BatchError(
                        f"only={name!r}: nobody of this id has handed in{hint}"
                    )
            return chosen
        return [each for each in self.found if not self.is_done(each)]

    def is_meant(self, each, names):
        return each.id in names or each.slug in names or self.student_id(each) in names

    def is_done(self, each):
        """Whether the result that is there holds for the file that is there."""
        result = self.results.get(each.slug)
        return (
            result is not None
            and kind(result["status"]) != "grader-error"
            and result["key"] == self.assignment.key
            and (result["sandbox"] or not self.sandbox)
            and result["sha256"] is not None
            and result["sha256"] == submissions.sha256(each.path)
        )

    def task(self, each):
        about = {
            "id": each.id,
            "file": each.file,
            "key": self.assignment.key,
            "sandbox": self.sandbox,
        }
        return Task(self.path(each), self.token, self.module, each, about=about)

    def take(self, each):
        """Note a result that has just been written."""
        self.results[each.slug] = short(read_record(self.path(each)))
        self.new += 1
        self.errors += kind(self.results[each.slug]["status"]) == "grader-error"
        if self.new % EVERY == 0:
            self.write_tables()

    @property
    def is_hopeless(self):
        """Whether the first results are nothing but failures of the grader itself."""
        return self.new == HOPELESS == self.errors

    def path(self, each):
        return self.out / "results" / f"{each.slug}.json"

    def student_id(self, each):
        student = self.students[each.slug]
        return student.id if student else each.id

    def make_rows(self, manual):
        """The rows of `grades.csv`: the roster's order, then everybody else by id."""
        by_student = {}
        for each in self.found:
            by_student.setdefault(self.student_id(each), []).append(each)
        listed = self.roster.students if self.roster else ()
        order = [student.id for student in listed]
        order += sorted(set(by_student) - set(order))
        names = {student.id: student.name for student in listed}
        self.rows = []
        for student in order:
            for each in by_student.get(student, [None]):
                row = self.row(student, each, manual)
                self.rows.append({**row, "id": student, "name": names.get(student, "")})
        return self.rows

    def row(self, student, each, manual):
        """A row without its id and name."""
        points = self.assignment.points
        if each is None:
            return {
                "file": "",
                "status": "missing",
                "score": 0.0,
                "possible": sum(points.values()),
                "questions": dict.fromkeys(points, 0.0),
                "seconds": None,
                "sha256": None,
                "notes": [],
                "slug": None,
            }
        notes = [each.note] if each.note else []
        if self.roster and self.students[each.slug] is None:
            notes.append("not on the roster")
        result = self.results.get(each.slug)
        if result is None:
            result = short({"result": {"status": "pending: not graded yet"}})
        elif result["key"] != self.assignment.key:
            notes.append("graded with an earlier version of the assignment")
        if not result["sandbox"] and result["score"] is not None:
            notes.append("graded without a sandbox")
        questions = dict.fromkeys(points)
        if result["score"] is not None:
            for question in questions:
                questions[question] = result["questions"].get(question, 0.0)
            for question in self.assignment.rubric:
                questions[question] = manual.question(student, question)
        counted = [name for name, value in questions.items() if value is not None]
        score = result["score"]
        if score is not None:
            score = round(sum(questions[name] for name in counted), 6)
            if len(counted) < len(points):
                waiting = [name for name in points if name not in counted]
                notes.append(f"not yet graded by hand: {', '.join(waiting)}")
        return {
            "file": each.file,
            "status": result["status"],
            "score": score,
            "possible": sum(points[name] for name in counted or points),
            "questions": questions,
            "seconds": result["seconds"],
            "sha256": result["sha256"],
            "notes": notes + result["notes"],
            "slug": each.slug,
        }

    def write_tables(self, manual=None):
        """Write `grades.csv` (and `canvas.csv`) from what is known now."""
        if manual is None:
            manual = tables.read_manual(self.manual_path, self.assignment.rubric)
        rows = self.make_rows(manual)
        tables.write_grades(self.out / "grades.csv", self.assignment.points, rows)
        if self.roster and self.roster.is_canvas:
            possible = sum(self.assignment.points.values())
            tables.write_canvas(
                self.out / "canvas.csv",
                self.roster,
                self.assignment.title,
                possible,
                canvas_scores(rows, possible),
            )

    def finish(self, answers):
        """Write everything; return what the instructor should know."""
        notes = []
        if self.is_hopeless:
            notes.append(
                f"stopped: the grader itself failed {HOPELESS} times and nothing else came "
                "(see grades.csv); run `relubook grade --doctor`"
            )
        rubric = self.assignment.rubric
        students = dict.fromkeys(self.student_id(each) for each in self.found)
        tables.extend_manual(self.manual_path, rubric, students)
        manual = tables.read_manual(self.manual_path, rubric)
        known = set(students)
        if self.roster:
            known |= {student.id for student in self.roster.students}
        strangers = sorted({student for student, _, _ in manual.entries} - known)
        if strangers:
            who = listed(strangers)
            notes.append(f"{self.manual_path} names nobody who is here: {who}")
        self.write_tables(manual)
        repeated = Counter(row["id"] for row in self.rows)
        repeated = sorted(each for each, times in repeated.items() if times > 1)
        if repeated:
            notes.append(f"more than one file: {listed(repeated)}")
        if self.roster:
            unlisted = sorted(
                {each.id for each in self.found if self.students[each.slug] is None}
            )
            if unlisted:
                notes.append(f"not on the roster: {listed(unlisted)}")
        kept = {self.path(each).name for each in self.found}
        there = {path.name for path in (self.out / "results").glob("*.json")}
        if stale := listed(sorted(there - kept)):
            notes.append(f"results whose file is gone are left out: {stale}")
        for row in self.rows:
            if row["slug"] is not None:
                self.write_feedback(row, manual)
        feedback.write_analysis(self.assignment, self.out, self.rows, answers)
        return notes

    def write_feedback(self, row, manual):
        record = read_record(self.out / "results" / f"{row['slug']}.json")
        if record is None:
            return
        text = feedback.page(self.assignment, row, record["result"], manual)
        base = self.out / "feedback" / row["slug"]
        tables.write(base.with_name(base.name + ".md"), text)
        html = feedback.html(self.assignment, text)
        tables.write(base.with_name(base.name + ".html"), html)


def canvas_scores(rows, possible):
    """Student -> score, for all whose grading is complete. Of several files the best."""
    scores, open_ = {}, set()
    for row in rows:
        if row["score"] is None or row["possible"] < possible:
            open_.add(row["id"])
        else:
            scores[row["id"]] = max(row["score"], scores.get(row["id"], 0.0))
    return {each: score for each, score in scores.items() if each not in open_}


def short(record):
    """What a row needs of a result's record."""
    result = record["result"]
    scores = {
        name: question["score"] for name, question in result.get("questions", {}).items()
    }
    notes = result.get("notes", [])
    more = len(notes) - MOST_NOTES
    return {
        "status": result["status"],
        "score": result.get("score"),
        "questions": scores,
        "seconds": result.get("seconds"),
        "sha256": result.get("sha256"),
        "notes": [note[:200] for note in notes[:MOST_NOTES]]
        + ([f"and {more} more"] if more > 0 else []),
        "key": record.get("key"),
        "sandbox": record.get("sandbox", True),
    }


def read_json(path):
    """A JSON file's object; None if it is missing or broken."""
    try:
        content = json.loads(Path(path).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def read_record(path):
    """A result's record; None if it is missing or broken."""
    record = read_json(path)
    if record is None or not isinstance(record.get("result"), dict):
        return None
    return record if isinstance(record["result"].get("status"), str) else None


def listed(names, most=10):
    """Names in a sentence.

    >>> listed(["ann", "bob"]), listed(list("abc"), 2)
    ('ann, bob', 'a, b and 1 more')
    """
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


@contextlib.contextmanager
def locked(out):
    """Make the folder, and keep a second grader out of it.

    The kernel takes the lock back when this process ends, however it ends.
    """
    out.mkdir(parents=True, exist_ok=True)
    with open(out / ".lock", "a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise BatchError(f"another grader is at work in {out}; wait for it") from None
        yield


@contextlib.contextmanager
def uninterrupted():
    """Let Ctrl-C wait until what is being written is written."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


# Running -------------------------------------------------------------------------------


def run(tasks, assignment, out, jobs, sandbox, progress=None, what=""):
    """Grade tasks, `jobs` at a time; yield each when its result has been written.

    Whatever becomes of the process that grades a task, a result is there afterwards.
    """
    limit = assignment.limits.get("total", 120.0) + MARGIN
    context = server(assignment) if tasks else None
    waiting, running = list(reversed(tasks)), {}
    done = 0
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                task = waiting.pop()
                process = context.Process(
                    target=work, args=(task, assignment, sandbox, out / "grader.log")
                )
                process.start()
                running[process.sentinel] = process, task, time.monotonic() + limit
            soonest = min(end for _, _, end in running.values())
            connection.wait(list(running), max(0.0, soonest - time.monotonic()))
            for sentinel, (process, task, end) in list(running.items()):
                if process.is_alive() and time.monotonic() < end:
                    continue
                why = ended(process, limit)
                del running[sentinel]
                if (read_record(task.target) or {}).get("token") != task.token:
                    write_error(task, why)
                done += 1
                if progress:
                    name = task.submission.id if task.submission else what
                    progress(done, len(tasks), name)
                yield task
    finally:
        for process, _, _ in running.values():
            process.kill()
        for process, _, _ in running.values():
            process.join()


def server(assignment):
    """The context whose processes are forked from a server with all modules loaded."""
    context = multiprocessing.get_context("forkserver")
    modules = ["relubook.grading.grader", "relubook.grading.batch", "numpy"]
    # hidden tests compare with SymPy or torch; importing torch takes seconds
    modules += [name for name in assignment.requires if name in ("sympy", "torch")]
    context.set_forkserver_preload(modules)
    # as many graders as processors: none of them needs threads of its own; and the
    # server finds this package where this process has found it
    threads = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    path = [str(Path(__file__).resolve().parents[2]), os.environ.get("PYTHONPATH")]
    path = os.pathsep.join(filter(None, path))
    with environment(dict.fromkeys(threads, "1") | {"PYTHONPATH": path}):
        forkserver.ensure_running()
    return context


@contextlib.contextmanager
def environment(values):
    """Set variables for what is started meanwhile."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def work(task, assignment, sandbox, log):
    """Grade one task and write its result; runs in a process of its own."""
    os.setsid()  # Ctrl-C is for the parent, which stops this process itself
    threading.Thread(target=end_with_parent, daemon=True).start()
    say_into(log)
    try:
        grader = importlib.import_module(task.module)
        if task.submission is None:
            result = grader.grade_cells(list(task.cells), assignment, sandbox=sandbox)
        else:
            path = task.submission.path
            result = grader.grade_file(path, assignment, sandbox=sandbox)
        if len(result.get("output") or "") > MOST_OUTPUT:
            result["output"] = result["output"][:MOST_OUTPUT] + "\n[cut off here]"
        record = json.dumps({**task.record, "result": result})
    except BaseException as error:
        name = task.submission.file if task.submission else "a known mistake"
        print(f"--- {name}", file=sys.stderr)
        traceback.print_exc()
        write_error(task, f"{type(error).__name__}: {error}")
        return
    tables.write(task.target, record + "\n", durable=True)


def end_with_parent():
    """End this process as soon as the one that grades the batch has ended.

    Its sandbox ends with it. So nothing is left of a batch that was killed.
    """
    multiprocessing.parent_process().join()
    os._exit(1)


def say_into(log):
    """Append what this process prints to a file: the terminal has the progress bar."""
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    os.close(handle)


def ended(process, limit):
    """Stop a process that still runs, and say how it ended."""
    if process.is_alive():
        process.kill()
        process.join()
        return f"the grader did not end within {limit:.0f} s"
    process.join()
    return f"the grader ended without a result (exit code {process.exitcode})"


def write_error(task, why):
    """Write the result of what could not be graded: no score, and nobody's fault."""
    status = f"grader-error: {why}"[:500]
    sha256 = submissions.sha256(task.submission.path) if task.submission else None
    result = {"status": status, "score": None, "possible": None, "questions": {}}
    result |= {"notes": [], "output": "", "seconds": None, "sha256": sha256}
    tables.write(task.target, json.dumps({**task.record, "result": result}) + "\n")


# Known mistakes ------------------------------------------------------------------------


def patterns(assignment, answers, out, jobs, sandbox, progress=None, module=MODULE):
    """Grade known mistakes once, to see which tests they fail.

    `answers` are `feedback.Mistake`s. Returns question -> {pattern: [Mistake, ...]}, a
    pattern being the names of the tests passed. Results are kept with the assignment.
    """
    folder = assignment.folder / "known"
    folder.mkdir(exist_ok=True)
    digest = hashlib.sha256(repr([answer.cells for answer in answers]).encode())
    token = f"{assignment.key} {digest.hexdigest()}"
    tasks = [
        Task(folder / f"{number}.json", token, module, cells=answer.cells)
        for number, answer in enumerate(answers)
    ]
    new = [task for task in tasks if not is_known(task)]
    for _ in run(new, assignment, out, jobs, sandbox, progress, "known mistakes"):
        pass
    found = {}
    for task, answer in zip(tasks, answers, strict=True):
        questions = read_record(task.target)["result"]["questions"]
        for question in answer.questions:
            if question in questions:
                pattern = feedback.pattern(questions[question])
                found.setdefault(question, {}).setdefault(pattern, []).append(answer)
    return found


def is_known(task):
    record = read_record(task.target) or {}
    return record.get("token") == task.token and kind(record["result"]["status"]) != (
        "grader-error"
    )
