"""A synthetic class to rehearse with: right, wrong, broken and hostile submissions.

`make` writes them with a roster and with what each of them must score; `compare` sets
the `grades.csv` of a rehearsal against that. Everything is drawn from a seed. No
submission could do much harm without a sandbox either: bombs end by themselves.
"""

import ast
import csv
import io
import itertools
import json
import random
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path

from relubook.grading import assignments, cases, tables

# Of every hundred students; the rest is missing.
SHARES = {"right": 42, "wrong": 28, "broken": 16, "hostile": 10, "missing": 4}

OK, STOPPED, UNREADABLE = "ok", "stopped", "unreadable"
EITHER = f"{OK}|{STOPPED}"


@dataclass(frozen=True)
class Made:
    """A submission: its bytes, its file's ending, and what a grader must make of it.

    `scores` are the automatic questions', `status` the kinds that are right, by "|".
    """

    recipe: str
    data: bytes
    scores: dict
    status: str = OK
    ending: str = ".ipynb"


def make(assignment, folder, n=300, seed=0, quick=False) -> dict:
    """Write a class of `n` students into `folder`; return how many of each kind.

    `folder` gets `submissions/`, `roster.csv`, `canvas.csv` (a roster as Canvas exports
    it), and `expected.csv`. With `quick`, nothing takes until a time limit. Raises
    ValueError for a folder that is there already, and for fewer than one student.
    """
    folder = Path(folder)
    if not isinstance(n, int) or n < 1:
        raise ValueError(f"n={n!r} must be a number of students from 1")
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"folder={str(folder)!r} is not empty; name a new one")
    (folder / "submissions").mkdir(parents=True, exist_ok=True)
    rng = random.Random(f"{seed} {assignment.name} {n}")
    kit = Kit(assignment, rng)
    kinds = _drawn(n, rng)
    recipes = {
        "right": itertools.cycle(_right(kit)),
        "wrong": itertools.cycle(_wrong(kit)),
        "broken": itertools.cycle(_broken(kit)),
        "hostile": itertools.cycle(_hostile(kit, quick)),
    }
    questions = list(kit.points)
    roster, canvas, expected = [], [], []
    for number, kind in enumerate(kinds, 1):
        student = f"s{number:04d}"
        name = _NAMES[number % len(_NAMES)].format(number)
        roster.append({"id": student, "name": name, "email": f"{student}@example.edu"})
        canvas.append(
            {"Student": name, "ID": 70000 + number, "SIS Login ID": student, "Section": "A"}
        )
        if kind == "missing":
            zero = dict.fromkeys(questions, 0.0)
            expected.append({"id": student, "recipe": kind, "status": kind, **zero})
            continue
        made = next(recipes[kind])()
        (folder / "submissions" / f"{student}{made.ending}").write_bytes(made.data)
        row = {"id": student, "recipe": f"{kind}: {made.recipe}", "status": made.status}
        expected.append(row | made.scores)
    columns = ["id", "name", "email"]
    tables.write(folder / "roster.csv", tables.csv_text(columns, roster))
    columns = ["Student", "ID", "SIS Login ID", "Section"]
    points = [{"Student": "    Points Possible"}]
    tables.write(folder / "canvas.csv", tables.csv_text(columns, points + canvas))
    columns = ["id", "recipe", "status", *questions]
    tables.write(folder / "expected.csv", tables.csv_text(columns, expected))
    return {kind: kinds.count(kind) for kind in SHARES}


def compare(out, folder) -> list[str]:
    """The differences between a rehearsal's `grades.csv` and `expected.csv`."""
    expected = _rows(Path(folder) / "expected.csv")
    got = {}
    for row in _rows(Path(out) / "grades.csv"):
        got.setdefault(row["id"], []).append(row)
    differences = []
    for want in expected:
        who = f"{want['id']} ({want['recipe']})"
        rows = got.pop(want["id"], [])
        if len(rows) != 1:
            differences.append(f"{who}: {len(rows)} rows, wanted 1")
            continue
        status = rows[0]["status"].partition(":")[0]
        if status not in want["status"].split("|"):
            differences.append(f"{who}: {rows[0]['status']}, wanted {want['status']}")
        for question in [name for name in want if name not in ("id", "recipe", "status")]:
            if _differ(rows[0].get(question), want[question]):
                differences.append(
                    f"{who}: {question}: {rows[0].get(question) or 'no score'}, "
                    f"wanted {want[question]}"
                )
    differences += [f"{student}: a row that nobody expected" for student in got]
    return differences


def _differ(got, want):
    try:
        return abs(float(got) - float(want)) > 1e-3
    except (TypeError, ValueError):
        return True


def _rows(path):
    with open(path, encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def _drawn(n, rng):
    """A kind for every student, in the stated shares."""
    exact = {kind: n * share / 100 for kind, share in SHARES.items()}
    counts = {kind: int(value) for kind, value in exact.items()}
    rest = sorted(SHARES, key=lambda kind: counts[kind] - exact[kind])
    for kind in rest[: n - sum(counts.values())]:
        counts[kind] += 1
    kinds = [kind for kind, count in counts.items() for _ in range(count)]
    rng.shuffle(kinds)
    return kinds


_NAMES = (
    "Student {}", "Müller, Zoë {}", "O'Neil, Sam {}", "李 {}", "=SUM({})", "Å. B. {}",
)  # fmt: skip


# What submissions are made of ----------------------------------------------------------


class Kit:
    """The parts of an assignment that submissions are put together from."""

    def __init__(self, assignment, rng):
        self.assignment, self.rng = assignment, rng
        self.points = {
            name: float(points)
            for name, points in assignment.points.items()
            if name not in assignment.rubric
        }
        self.free = {name: float(assignment.free.get(name, 0)) for name in self.points}
        self.solution = assignments.cells(assignment)
        self.answers = assignments.answers(assignment)
        self.cases = cases.load(assignment.tests)
        student = assignments.cells(assignment, "student")
        self.stubs = _segments(student, self.points)
        self.solved = _segments(self.solution, self.points)
        path = assignment.folder / "student" / f"{assignment.name}.ipynb"
        self.skeleton = json.loads(path.read_text("utf-8"))

    def notebook(self, cells, **changes) -> dict:
        """A notebook with these code cells, and the metadata that a student's has."""
        title = {"cell_type": "markdown", "metadata": {}, "source": "# My answers"}
        code = [
            {
                "cell_type": "code", "metadata": {}, "source": source, "outputs": [],
                "execution_count": None,
            }
            for source in cells
        ]  # fmt: skip
        metadata = self.skeleton["metadata"]
        made = {"nbformat": 4, "nbformat_minor": 4, "metadata": metadata}
        return {**made, "cells": [title, *code], **changes}

    def data(self, cells, **changes) -> bytes:
        return json.dumps(self.notebook(cells, **changes), indent=1).encode()

    def full(self, recipe, cells, status=OK):
        """A submission whose cells earn everything."""
        return Made(recipe, self.data(cells), dict(self.points), status)

    def lost(self, recipe, data, ending=".ipynb"):
        """A file that cannot be read."""
        return Made(recipe, data, dict.fromkeys(self.points, 0.0), UNREADABLE, ending)

    @property
    def separable(self) -> list[str]:
        """Questions that get nothing if all that they define is taken away.

        Every test of theirs asks for a name that only their own cells define, which no
        later question uses.
        """
        found = []
        names = list(self.points)
        for place, question in enumerate(names):
            own = self.defined(question)
            later = [cell for name in names[place + 1 :] for cell in self.solved[name]]
            used = set().union(*(_used(cell) for cell in later)) if later else set()
            asked = [set(case.arguments) for case in self.cases[question]]
            others = [
                set(case.arguments)
                for name in names
                if name != question
                for case in self.cases[name]
            ]
            if (
                all(each & own for each in asked)
                and not own & used
                and not any(each & own for each in others)
                and not self.free[question]
            ):
                found.append(question)
        return found

    def own(self, question) -> list[str]:
        """The cells of a question's solution that the student's notebook has not."""
        return [c for c in self.solved[question] if c not in self.stubs[question]]

    def defined(self, question) -> set[str]:
        return set().union(*(_defined(cell) for cell in self.own(question)))

    def without(self, question, instead=()) -> list[str]:
        """The solution, but a question's own cells exchanged."""
        own = self.own(question)
        cells = []
        for source in self.solution:
            if source not in own:
                cells.append(source)
            elif source == own[0]:
                cells += instead
        return cells

    def minus(self, question) -> dict:
        return {**self.points, question: 0.0}


def _segments(cells, questions):
    """Question -> its cells, each question's beginning after the check of the last."""
    segments, current, left = {}, [], list(questions)
    for source in cells:
        current.append(source)
        if left and source.strip() == f'grader.check("{left[0]}")':
            segments[left.pop(0)], current = current, []
    if left:
        raise ValueError(f"the notebook has no check of {', '.join(left)} in its order")
    return segments


def _tree(source):
    """The syntax tree of a cell; an empty one for a cell with magics."""
    try:
        return ast.parse(source)
    except SyntaxError:
        return ast.parse("")


def _defined(source):
    names = set()
    for node in _tree(source).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign)):
            names |= {
                each.id
                for each in ast.walk(node)
                if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)
            }
    return names


def _used(source):
    return {each.id for each in ast.walk(_tree(source)) if isinstance(each, ast.Name)}


# Right -------------------------------------------------------------------------------


def _right(kit):
    def solution():
        return kit.full("the solution", kit.solution)

    def other(answer):
        cells = assignments.cells(kit.assignment, after={answer.question: answer.code})
        return lambda: kit.full(answer.name, cells)

    def extra():
        cells = []
        for source in kit.solution:
            cells += [source, kit.rng.choice(_EXTRA)]
        return kit.full("extra cells", cells)

    def renamed():
        return kit.full("renamed variables", [_renamed(cell) for cell in kit.solution])

    def split():
        cells = [part for cell in kit.solution for part in _split(cell)]
        return kit.full("a cell for every statement", cells)

    def unchecked():
        cells = [cell for cell in kit.solution if "grader" not in cell]
        return kit.full("no check cells", cells)

    def twice():
        cells = [again for cell in kit.solution for again in (cell, cell)]
        return kit.full("every cell twice", cells)

    right = [answer for answer in kit.answers if answer.right]
    return [solution, extra, renamed, split, unchecked, twice, *map(other, right)]


_EXTRA = (
    "# a thought of my own",
    "my_note = 'kinks are fun'\nprint(my_note)",
    "1 + 1",
    "try_out = [k**2 for k in range(5)]\ntry_out",
    "",
)


def _renamed(source):
    """A cell whose functions call their own variables differently."""
    tree = _tree(source)
    if not tree.body:
        return source
    for function in tree.body:
        if isinstance(function, ast.FunctionDef):
            _rename_variables(function)
    return ast.unparse(tree)


def _rename_variables(function):
    inside = list(ast.walk(function))
    scopes = (ast.FunctionDef, ast.Lambda, ast.ClassDef, ast.Global, ast.Nonlocal)
    if any(isinstance(node, scopes) for node in inside[1:]):
        return
    arguments = {node.arg for node in inside if isinstance(node, ast.arg)}
    names = [node for node in inside if isinstance(node, ast.Name)]
    own = {node.id for node in names if isinstance(node.ctx, ast.Store)} - arguments
    for node in names:
        if node.id in own:
            node.id = f"my_{node.id}"


def _split(source):
    tree = _tree(source)
    if len(tree.body) < 2:
        return [source]
    return [ast.unparse(statement) for statement in tree.body]


# Wrong -------------------------------------------------------------------------------


def _wrong(kit):
    wrong = [answer for answer in kit.answers if not answer.right]

    def one(answer):
        cells = assignments.cells(kit.assignment, after={answer.question: answer.code})
        scores = {**kit.points, **{q: float(s) for q, s in answer.scores.items()}}
        return lambda: Made(answer.name, kit.data(cells), scores)

    def two(first, second):
        after = {first.question: first.code, second.question: second.code}
        cells = assignments.cells(kit.assignment, after=after)
        scores = {**kit.points, **first.scores, **second.scores}
        scores = {question: float(score) for question, score in scores.items()}
        recipe = f"{first.name} and {second.name}"
        return lambda: Made(recipe, kit.data(cells), scores)

    pairs = [
        pair for pair in itertools.combinations(wrong, 2) if _independent(kit, *pair)
    ]
    kit.rng.shuffle(pairs)
    made = [*map(one, wrong), *(two(*pair) for pair in pairs[: len(wrong)])]
    return made or _right(kit)


def _independent(kit, first, second):
    """Whether two mistakes together cost what each of them costs.

    Each changes its own question only, and neither question uses what the other one's
    mistake defines.
    """
    for answer in (first, second):
        if set(answer.scores) != {answer.question}:
            return False
    if first.question == second.question:
        return False
    for one, other in ((first, second), (second, first)):
        changed = _defined(one.code)
        cells = [other.code, *kit.solved[other.question]]
        asked = [name for case in kit.cases[other.question] for name in case.arguments]
        if changed & _reached(kit, set().union(set(asked), *map(_used, cells))):
            return False
    return True


def _reached(kit, names):
    """Names, and all that the notebook's definitions of them use."""
    while True:
        more = set(names)
        for cell in kit.solution:
            if _defined(cell) & names:
                more |= _used(cell)
        if more == names:
            return names
        names = more


# Broken ------------------------------------------------------------------------------


def _broken(kit):
    questions = list(kit.points)

    def half_finished():
        done = kit.rng.randrange(len(questions))
        return Made("half finished", kit.data(kit_prefix(done)), prefix_scores(done))

    def kit_prefix(done):
        solved = [cell for name in questions[:done] for cell in kit.solved[name]]
        return solved + [cell for name in questions[done:] for cell in kit.stubs[name]]

    def prefix_scores(done):
        return {
            name: (kit.points if place < done else kit.free)[name]
            for place, name in enumerate(questions)
        }

    def untouched():
        return Made("untouched", kit.data(kit_prefix(0)), prefix_scores(0))

    def syntax_error():
        cells = [*kit.solution, "def unfinished(:\n    return 1"]
        return kit.full("a syntax error in a cell of its own", cells)

    def exception():
        cells = ["undefined_name + 1", *kit.solution, "1 / 0"]
        return kit.full("cells that raise", cells)

    def missing_function():
        question = kit.rng.choice(kit.separable)
        cells = kit.without(question)
        return Made("a missing function", kit.data(cells), kit.minus(question))

    def wrong_syntax():
        question = kit.rng.choice(kit.separable)
        cells = kit.without(question, [c + "\n)" for c in kit.own(question)])
        return Made("a syntax error in an answer", kit.data(cells), kit.minus(question))

    def renamed_function():
        question = kit.rng.choice(kit.separable)
        names = "|".join(map(re.escape, sorted(kit.defined(question))))
        cells = [re.sub(rf"\b({names})\b", r"my_\1", c) for c in kit.own(question)]
        cells = kit.without(question, cells)
        return Made("a renamed function", kit.data(cells), kit.minus(question))

    def no_cells():
        return Made("no cells", kit.data([]), dict.fromkeys(kit.points, 0.0))

    def empty():
        return kit.lost("an empty file", b"")

    def truncated():
        data = kit.data(kit.solution)
        return kit.lost("a file cut off", data[: len(data) * 2 // 3])

    def python_file():
        text = "\n\n".join(kit.solution).encode()
        return kit.lost("a Python file named .ipynb", text)

    def old_format():
        return kit.lost("nbformat 2", kit.data(kit.solution, nbformat=2))

    def r_kernel():
        metadata = {"kernelspec": {"name": "ir", "language": "R", "display_name": "R"}}
        return kit.lost("an R notebook", kit.data(kit.solution, metadata=metadata))

    def encoded(encoding):
        def made():
            notebook = kit.notebook(["# Lösung: déjà vu", *kit.solution])
            text = json.dumps(notebook, ensure_ascii=encoding != "utf-16")
            if encoding == "latin-1":
                text = text.encode("latin-1", "replace").decode("latin-1")
            data = text.encode(encoding)
            return Made(f"encoded as {encoding}", data, dict(kit.points))

        return made

    def zipped(copies):
        def made():
            buffer = io.BytesIO()
            with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
                for copy in range(copies):
                    archive.writestr(f"work/{copy}.ipynb", kit.data(kit.solution))
            if copies > 1:
                return kit.lost(f"a zip of {copies}", buffer.getvalue(), ".zip")
            return Made("a zip", buffer.getvalue(), dict(kit.points), OK, ".zip")

        return made

    answers = [missing_function, renamed_function, wrong_syntax] if kit.separable else []
    return [
        half_finished, syntax_error, *answers, empty, truncated, untouched, exception,
        encoded("latin-1"), encoded("utf-16"), encoded("utf-8-sig"), no_cells,
        python_file, old_format, r_kernel, zipped(1), zipped(2),
    ]  # fmt: skip


# Hostile -----------------------------------------------------------------------------


def _hostile(kit, quick):
    """Attacks beside right answers, and instead of one question's answer."""

    def beside(recipe, attack, status, first=False):
        cells = [attack, *kit.solution] if first else [*kit.solution, attack]
        return lambda: kit.full(recipe, cells, status)

    def instead(recipe, template, status):
        def made():
            question = kit.rng.choice(kit.separable)
            names = sorted(kit.defined(question))
            cells = kit.without(question, [template.replace("NAME", n) for n in names])
            return Made(recipe, kit.data(cells), kit.minus(question), status)

        return made

    attacks = [
        beside(recipe, attack, status, first)
        for recipe, attack, status, first, slow in _BESIDE
        if not (quick and slow)
    ]
    if kit.separable:
        attacks += [
            instead(recipe, template, status)
            for recipe, template, status, slow in _INSTEAD
            if not (quick and slow)
        ]
    return attacks


# name, code, statuses, whether it stands in front, whether it takes until a time limit
_BESIDE = (
    ("os._exit", "import os\nos._exit(0)", STOPPED, False, False),
    ("sys.exit", "import sys\nsys.exit(0)", EITHER, True, False),
    (
        "reads files",
        "import glob, os\nfor path in glob.glob('/**', recursive=False) + ['/etc/shadow',"
        " 'tests', '../tests', os.path.expanduser('~')]:\n    try:\n"
        "        print(path, open(path).read()[:20])\n    except OSError:\n        pass",
        EITHER, False, False,
    ),
    (
        "writes scores",
        "for path in ('results.json', 'grades.csv', '/tmp/results.json', '../grades.csv',"
        " '.OTTER_LOG'):\n    try:\n        open(path, 'w').write('{\"score\": 100}')\n"
        "    except OSError:\n        pass",
        EITHER, False, False,
    ),
    ("endless loop", "while True:\n    pass", STOPPED, False, True),
    ("kills its parent", "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)",
     EITHER, False, False),
    ("a segfault", "import ctypes\nctypes.string_at(0)", STOPPED, False, False),
    (
        "forks",
        "import os, time\nfor _ in range(300):\n    try:\n        if os.fork() == 0:\n"
        "            time.sleep(20)\n            os._exit(0)\n    except OSError:\n"
        "        break",
        EITHER, False, False,
    ),
    ("memory", "hoard = [bytearray(1 << 28) for _ in range(24)]", EITHER, False, False),
    (
        "floods the output",
        "for _ in range(50_000):\n    print('x' * 1000)",
        EITHER, False, False,
    ),
    (
        "fills the disk",
        "with open('/tmp/big', 'wb') as file:\n    for _ in range(1024):\n"
        "        file.write(bytes(1 << 20))",
        EITHER, False, False,
    ),
    (
        "a network",
        "import socket\nsocket.create_connection(('192.0.2.1', 80), timeout=2)",
        EITHER, False, False,
    ),
    ("asks for input", "answer = input('Points? ')", EITHER, False, False),
    (
        "leaves a thread",
        "import threading, time\nthreading.Thread(target=time.sleep, args=(60,),"
        " daemon=True).start()",
        EITHER, False, False,
    ),
)  # fmt: skip

# the same, instead of every name that a question defines
_INSTEAD = (
    (
        "equal to everything",
        "class Agreeable:\n    __eq__ = __ge__ = __le__ = lambda *a: True\n"
        "    __call__ = __getattr__ = __getitem__ = lambda self, *a, **k: self\n"
        "    __len__ = lambda self: 3\n    __bool__ = lambda self: True\n"
        "    __array__ = lambda self, *a, **k: __import__('numpy').zeros(3)\n"
        "    __hash__ = lambda self: 0\nNAME = Agreeable()",
        EITHER, False,
    ),
    (
        "patches NumPy",
        "import numpy as np\nnp.allclose = np.array_equal = lambda *a, **k: True\n"
        "np.testing.assert_allclose = lambda *a, **k: None\nNAME = lambda *a, **k: 'full'",
        EITHER, False,
    ),
    ("os._exit in a function", "def NAME(*a, **k):\n    __import__('os')._exit(0)",
     EITHER, False),
    ("an exception that passes", "def NAME(*a, **k):\n    raise SystemExit(0)",
     EITHER, False),
    ("an endless loop in a function", "def NAME(*a, **k):\n    while True:\n        pass",
     EITHER, True),
)  # fmt: skip
