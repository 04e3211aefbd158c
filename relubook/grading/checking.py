"""Proof that an assignment is sound: what `relubook assign check` and `make test` run.

The solution earns all points and the untouched notebook none, every known answer
exactly its score, an object that agrees with everything nothing; each test is failed by
a known mistake; and nothing of a solution or a hidden test is in what students get.
"""

import ast
import contextlib
import io
import json
import os
import re
import shutil
import zipfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from relubook.grading import assignments, cases, expectations

FEWEST_MISTAKES = 6
LONG = 12  # a line of a solution with more characters than this is nobody else's line
LENGTHS = (0, 1, 2, 3)  # that an agreeable object says it has

# An object to which every comparison gives True and every operation itself.
AGREEABLE = '''
class Agreeable:
    def __init__(self, length=LENGTH):
        self._length = length

    def _agree(self, *args, **kwargs):
        return True

    def _self(self, *args, **kwargs):
        return self

    __class__ = property(lambda self: float)
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __contains__ = _agree
    __bool__ = __array_function__ = _agree
    __call__ = __getitem__ = __getattr__ = __array_ufunc__ = _self
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = _self
    __truediv__ = __rtruediv__ = __pow__ = __matmul__ = __rmatmul__ = _self
    __neg__ = __abs__ = __enter__ = _self

    def __hash__(self):
        return 0

    def __len__(self):
        return self._length

    def __iter__(self):
        return iter([self] * self._length)

    def __repr__(self):
        return "1.0"


'''


@dataclass(frozen=True)
class Run:
    """A submission of whose score something is known: `wanted`, points by question."""

    label: str
    cells: tuple
    wanted: dict
    known_mistake: bool = False


def check(
    name, root=".", variants="all", jobs=2, quick=False, sandbox=None, secret=None
):
    """What is wrong with the assignment `name`: a list of sentences, empty if nothing.

    `variants` is "all", or a list of terms (see `assignments.variants`). What depends
    on no number is checked with "#0" and named terms only, not with "#1" and so on;
    with `quick`, and where torch makes it slow, known answers are not either.
    Submissions run in the sandbox where bubblewrap is installed, unless `sandbox` says
    otherwise; a check runs no code but the assignment's own. Hidden tests draw from
    `secret`, or from a fixed text. Raises AssignmentError if the master cannot be read.
    """
    terms = assignments.variants(name, root) if variants == "all" else list(variants)
    if sandbox is None:
        sandbox = shutil.which("bwrap") is not None
    problems = []
    with _workers(jobs) as run:
        for term in terms:
            everything = not re.fullmatch(r"#[1-9]\d*", term)
            out = Path(root) / "_build" / "checks" / f"{name}{term.replace('#', '-')}"
            assignment = assignments.build(
                name, term=term, root=root, out=out,
                secret=secret or f"what a check of {name} draws from, {term}",
            )
            master = assignments.read(name, term=term, root=root)
            where = f"{name}, variant {term}"
            if everything:
                problems += [f"{name}: {line}" for line in _static(master)]
            found = [
                *_scores(master, assignment, run, sandbox, everything, quick),
                *_as_student(master, assignment, run), *leaks(master, assignment),
            ]
            problems += [f"{where}: {line}" for line in found]
    return problems


# --- What can be read off ------------------------------------------------------------


def _static(master):
    mistakes = [answer for answer in master.answers if not answer.right]
    if len(mistakes) < FEWEST_MISTAKES:
        yield (f"answers.yml has {len(mistakes)} wrong answers, "
               f"wanted at least {FEWEST_MISTAKES}")
    for question in master.questions:
        heading = re.search(r"^#+ .*$", question.prompt, re.MULTILINE)
        said = heading and re.search(r"\(([\d.]+) points?\)", heading[0])
        if not said or float(said[1]) != question.points:
            yield (f"the heading of {question.name} says "
                   f"{said[0] if said else 'nothing of points'}, wanted "
                   f"({question.points:g} point{'s' if question.points != 1 else ''})")
        for cell in question.solution:
            if not _parts(cell)[1]:
                yield (f"the cell {cell.splitlines()[0]!r} of the solution of "
                       f"{question.name} has no mark SOLUTION: students get it whole")


def leaks(master, assignment):
    """What students could read, in the built files, of solutions and hidden tests."""
    folder = assignment.folder / "student"
    expected = {f"{master.name}.ipynb", "tests.zip", *assignment.data}
    if (there := {path.name for path in folder.iterdir()}) != expected:
        yield f"student/ holds {sorted(there)}, wanted {sorted(expected)}"
    texts = dict(_student_texts(folder))
    shown = {name: _normal(text) for name, text in texts.items()}
    for what, line in _private(master):
        for name, text in shown.items():
            if _normal(line) in text:
                yield f"student/{name} contains {line.strip()!r}, which is of {what}"
    secret = (assignment.tests / f"{_automatic(master)[0].name}.py").read_text("utf-8")
    secret = ast.literal_eval(re.search(r"^SECRET = (.*)$", secret, re.MULTILINE)[1])
    for name, text in texts.items():
        if secret in text:
            yield f"student/{name} contains the secret"
        if "def secret_rng" in text:
            yield f"student/{name} contains the function secret_rng"
    yield from _wrong_tests(master, folder)


def _student_texts(folder):
    """Each (name, text) that a student can read, metadata and outputs included."""
    for path in sorted(folder.iterdir()):
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                for name in archive.namelist():
                    yield f"{path.name}/{name}", archive.read(name).decode("utf-8")
        elif path.suffix == ".ipynb":
            yield path.name, "\n".join(_strings(json.loads(path.read_text("utf-8"))))
        else:
            yield path.name, path.read_bytes().decode("utf-8", "replace")


def _strings(value):
    """All texts of a notebook, those of cells in one piece."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, part in value.items():
            yield key
            yield from _strings(part)
    elif isinstance(value, list) and all(isinstance(part, str) for part in value):
        yield "".join(value)
    elif isinstance(value, list):
        for part in value:
            yield from _strings(part)


def _private(master):
    """Each (what, line) that is a solution's or a hidden test's and nothing else's."""
    # The helpers are in front of public tests too.
    public, private = [Path(expectations.__file__).read_text("utf-8")], []
    for question in master.questions:
        public.append(question.prompt)
        for cell in question.solution:
            shown, hidden = _parts(cell)
            public += shown
            private += [(f"the solution of {question.name}", line) for line in hidden]
        for test in question.tests:
            tree = ast.parse(test.source)
            lines = [*test.source.splitlines(), *ast.unparse(tree).splitlines()]
            if not test.hidden:
                public += lines
                continue
            what = f"the hidden test {test.name} of {question.name}"
            private += [(what, line) for line in [test.name, test.hint, *lines]]
    everything = _normal("\n".join(public + list(_unmarked(master))))
    found = {_normal(line): (what, line) for what, line in private}
    for line, pair in found.items():
        if len(line) > LONG and line not in everything:
            yield pair


def _unmarked(master):
    """The text of the cells that stand outside of questions, for everybody."""
    inside = False
    for cell in assignments.notebook(master.text).cells:
        mark = assignments.MARK.match(cell.source) if cell.cell_type == "raw" else None
        if mark and mark[2] == "QUESTION":
            inside = mark[1] == "BEGIN"
        elif not inside:
            yield cell.source


def _parts(cell):
    """The lines of a solution's cell that students see, and those that they do not."""
    if "# BEGIN SOLUTION" not in cell and "# SOLUTION" not in cell:
        try:
            ast.parse(cell)
        except SyntaxError:
            return [], cell.splitlines()  # an answer in words
        return cell.splitlines(), []
    shown, hidden, inside = [], [], False
    for line in cell.splitlines():
        if "# BEGIN SOLUTION" in line or "# END SOLUTION" in line:
            inside = "# BEGIN SOLUTION" in line
        elif inside or re.search(r"# ?SOLUTION", line):
            hidden.append(re.sub(r"# ?SOLUTION.*", "", line))
        else:
            shown.append(line)
    return shown, hidden


def _normal(text):
    """`text` with other white space and quotation marks than its author's."""
    return " ".join(text.replace('"', "'").split())


def _wrong_tests(master, folder):
    """The tests in the notebook and in tests.zip are the public ones of the master."""
    notebook = json.loads((folder / f"{master.name}.ipynb").read_text("utf-8"))
    inside = notebook["metadata"]["otter"]["tests"]
    with zipfile.ZipFile(folder / "tests.zip") as archive:
        beside = {name.removesuffix(".py"): archive.read(name).decode("utf-8")
                  for name in archive.namelist()}
    wanted = {
        question.name: [test.name for test in question.tests if not test.hidden]
        for question in _automatic(master)
    }
    for place, texts in (("the notebook", inside), ("tests.zip", beside)):
        found = {question: cases.read(text) for question, text in texts.items()}
        names = {question: [case.name for case in made]
                 for question, made in found.items()}
        if names != wanted:
            yield f"{place} has the tests {names}, wanted {wanted}"
        if any(case.hidden for made in found.values() for case in made):
            yield f"{place} has a test that is marked hidden"


def _automatic(master):
    return [question for question in master.questions if not question.manual]


# --- What has to be run --------------------------------------------------------------


def _scores(master, assignment, run, sandbox, everything, quick):
    """Submissions that do not earn what they should."""
    questions = _automatic(master)
    full = {question.name: question.points for question in questions}
    free = {question.name: assignment.free.get(question.name, 0)
            for question in questions}
    runs = [
        Run("the solution", tuple(assignments.cells(assignment)), full),
        Run("the untouched notebook",
            tuple(assignments.cells(assignment, "student")), free),
    ]
    cheap = "torch" not in assignment.requires and not quick
    if everything or cheap:
        runs += [
            Run(f"the {'right' if answer.right else 'wrong'} answer {answer.name}",
                tuple(assignments.cells(
                    assignment, after={answer.question: answer.code})),
                {**full, **answer.scores}, not answer.right)
            for answer in master.answers
        ]
    if everything:
        runs += [Run(f"an object of length {length} that agrees with everything",
                     (agreeable(assignment.tests, length),), free)
                 for length in LENGTHS]
    failed = set()
    results = run(_grade, [(assignment.folder, list(one.cells), sandbox)
                           for one in runs])
    for one, result in zip(runs, results):
        yield from _compare(one, result)
        if one.known_mistake:
            failed |= {(name, case["name"])
                       for name, question in result["questions"].items()
                       for case in question["cases"] if not case["passed"]}
    if everything:
        for question in questions:
            for test in question.tests:
                if (question.name, test.name) not in failed:
                    yield f"{question.name}: no wrong answer fails {test.name}"


def _compare(one, result):
    for name, wanted in one.wanted.items():
        question = result["questions"].get(name)
        if question is None:
            yield f"{one.label}: {name} was not graded"
        elif abs(question["score"] - wanted) > 1e-9:
            failing = [
                case["name"] + (f" ({case['message']})" if case["message"] else "")
                for case in question["cases"] if not case["passed"]
            ]
            failing = f"; it fails {', '.join(failing)}" if failing else ""
            yield (f"{one.label} got {question['score']:g} of {question['possible']:g} "
                   f"points in {name}, wanted {wanted:g}{failing}")
    if one.label == "the solution":
        if result["status"] != "ok":
            yield f"the solution has the status {result['status']!r}, wanted 'ok'"
        yield from (f"the solution: {note}" for note in result["notes"])


def agreeable(tests, length):
    """A cell that gives every name which the tests ask for an agreeable object."""
    names = {name for made in cases.load(tests).values() for case in made
             for name in case.arguments}
    return AGREEABLE.replace("LENGTH", str(length)) + "\n".join(
        f"{name} = Agreeable()" for name in sorted(names)
    )


def _as_student(master, assignment, run):
    """Public tests that, in the notebook itself, do not do what they should."""
    yield from run(_check_as_student, [(assignment.folder,)])[0]


def _check_as_student(folder):
    """As `grader.check` runs them: in one process, on the objects themselves."""
    assignment, problems = assignments.load(folder), []
    notebook = folder / "student" / f"{assignment.name}.ipynb"
    texts = json.loads(notebook.read_text("utf-8"))["metadata"]["otter"]["tests"]
    public = [case for text in texts.values() for case in cases.read(text)]
    os.environ["MPLBACKEND"] = "Agg"
    with contextlib.chdir(notebook.parent), contextlib.redirect_stdout(io.StringIO()):
        space = {"__name__": "__main__"}
        for source in assignments.cells(assignment):
            if not _is_otters(source):
                try:
                    exec(compile(source, "<solution>", "exec"), space)
                except Exception as error:
                    problems.append(f"the solution, run as a student: {_text(error)}")
        for case in public:
            if error := _error(case, [space.get(name) for name in case.arguments]):
                problems.append(f"{case.question}: in the notebook the solution fails "
                                f"{case.name}: {_text(error)}")
        for length in LENGTHS:
            space = {}
            exec(agreeable(assignment.tests, length), space)
            for case in public:
                if not _error(case, [space[name] for name in case.arguments]):
                    problems.append(
                        f"{case.question}: in the notebook an object of length "
                        f"{length} that agrees with everything passes {case.name}"
                    )
    return problems


def _is_otters(source):
    return source.startswith(("# Sets up `grader`", "grader."))


def _error(case, values):
    try:
        case.function(*values)
    except Exception as error:
        return error
    return None


def _text(error):
    return f"{type(error).__name__}: {error}"[:300]


def _grade(folder, cells, sandbox):
    from relubook.grading.grader import grade_cells

    return grade_cells(cells, assignments.load(folder), sandbox=sandbox)


@contextlib.contextmanager
def _workers(jobs):
    """A function that calls another, once for each of many arguments, in processes."""
    # A fork of a process with threads may lock up.
    with ProcessPoolExecutor(jobs, get_context("forkserver")) as pool:
        yield lambda function, calls: list(pool.map(function, *zip(*calls)))
