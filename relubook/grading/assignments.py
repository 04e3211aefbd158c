"""Assignments: one master each, from which everything else is built.

`assignments/NAME/NAME.md` holds the prompts, solutions, tests and points of an
assignment, `answers.yml` other right answers and known mistakes, `files/` its data.
`build` renders one term's variant of it, lets otter-grader make the student's notebook
and the tests, and writes

    student/NAME.ipynb  student/tests.zip  student/DATA
    autograder/NAME.ipynb  autograder/tests/QUESTION.py  autograder/answers.json
    assignment.json  gradescope.zip

Only `student/` is for students; the rest holds solutions and the instructor's secret.
"""

import ast
import hashlib
import importlib.metadata
import json
import os
import re
import secrets
import shutil
import tempfile
import warnings
import zipfile
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import yaml

from relubook.grading import expectations
from relubook.grading.sandbox import Limits

SECONDS = "cell", "call", "total"  # the limits that a master may change
LIMITS = {field.name: field.default for field in fields(Limits) if field.name in SECONDS}
PACKAGES = ("numpy", "sympy", "matplotlib", "torch")
KEYS = {"title", "minutes", "requires", "limits", "free", "rubric", "variants",
        "chapters"}
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
LANGUAGE = {"name": "python", "file_extension": ".py", "mimetype": "text/x-python"}
SUBMODULES = {"grading", "__pycache__"}  # of relubook, that no test computes with

SETUP = """\
# Sets up `grader`, which checks your answers: run this cell first, do not change it.
try:
    import otter
except ImportError:
    %pip install --quiet "otter-grader>=7,<8"
    import otter
import sys

colab = "google.colab" in sys.modules
if colab:  # where a notebook travels alone
{colab}
grader = otter.Notebook(None if colab else "{name}.ipynb", tests_dir="{name}-tests")"""

FETCH = """\
    from os.path import exists
    from urllib.request import urlretrieve
    from zipfile import ZipFile

    for file in {files}:
        exists(file) or urlretrieve("{url}" + file, file)
    ZipFile("tests.zip").extractall("{name}-tests")"""

STAY = """\
    raise RuntimeError("Open {name}.ipynb with Jupyter: Colab lacks its tests.")"""


class AssignmentError(Exception):
    """A master, its answers or a built assignment is not as it must be."""


@dataclass(frozen=True)
class Assignment:
    """A built assignment: all that a grader needs.

    `points` holds every question in order, `free` what the untouched notebook earns,
    `rubric` the criteria of the questions that a person grades, `data` the names of
    the data files. Results with the same `key` were graded by the same rules.
    """

    name: str
    title: str
    term: str
    folder: Path
    minutes: int
    requires: tuple
    limits: dict
    free: dict
    points: dict
    rubric: dict
    key: str
    data: tuple = ()

    @property
    def tests(self):
        """The folder of the test files, hidden tests and secret included."""
        return self.folder / "autograder" / "tests"

    @property
    def files(self):
        """The data files that lie beside the student's notebook."""
        return tuple(self.folder / "student" / name for name in self.data)


@dataclass(frozen=True)
class Test:
    """A test as its author wrote it."""

    name: str
    source: str
    points: float
    hidden: bool
    hint: str  # for who fails it


@dataclass(frozen=True)
class Question:
    """A question of a master; `solution` holds the sources of its solution's cells."""

    name: str
    points: float
    manual: bool
    prompt: str
    solution: tuple
    tests: tuple


@dataclass(frozen=True)
class Answer:
    """An answer whose `scores` are known: points by question, full marks elsewhere."""

    name: str
    about: str
    question: str
    code: str
    right: bool
    scores: dict


@dataclass(frozen=True)
class Master:
    """A master as it reads in one term."""

    name: str
    term: str
    folder: Path
    config: dict
    values: dict  # the variants' values in this term
    text: str  # of the notebook, rendered
    questions: tuple
    answers: tuple = field(default=())

    @property
    def data(self):
        """The data files for students."""
        files = sorted(self.folder.glob("files/*"))
        return tuple(path for path in files if not path.name.startswith("."))


def names(root="."):
    """The assignments below `root/assignments`."""
    masters = Path(root).glob("assignments/*/*.md")
    return sorted(path.stem for path in masters if path.stem == path.parent.name)


def secret(path=None, root="."):
    """The instructor's secret, from which hidden tests draw their inputs.

    It is the environment variable RELUBOOK_SECRET, or else what stands in `path`
    (`root/assignments/.secret`), which is created with 64 random hexadecimal digits,
    readable by its owner alone, if it does not exist. Raises AssignmentError for a
    secret of fewer than 16 characters.
    """
    path = Path(path or Path(root) / "assignments" / ".secret")
    value, place = os.environ.get("RELUBOOK_SECRET"), "RELUBOOK_SECRET"
    if value is None:
        place = path
        if not path.exists():
            _write_secret(path)
        value = path.read_text(encoding="utf-8")
    if len(value.strip()) < 16:
        raise AssignmentError(
            f"{place} holds {len(value.strip())} characters, wanted a secret of at "
            "least 16; remove it to get one"
        )
    return value.strip()


def build(name, *, term="demo", secret=None, root=".", out=None, url=None):
    """Build the assignment `name` for a term into the folder `out`; an `Assignment`.

    Without `secret` only the student's side is built, with no gradescope.zip and no
    folder autograder. `out` is `root/_build/assignments/NAME` if not given. `url` is
    the address of the folder that holds tests.zip and the data, for students on Colab;
    without it, the demo term's is that of the book's site, other terms have none.
    Nothing is done if `out` is up to date, and a build that fails or is killed leaves
    `out` as it was. Raises AssignmentError if the master is not as it must be.
    """
    root = Path(root).resolve()
    out = Path(out).resolve() if out else root / "_build" / "assignments" / name
    master = read(name, term=term, root=root)
    if url is None and term == "demo":
        url = _site(root, name)
    url = url and url.rstrip("/") + "/"
    assignment = _assignment(master, out, secret)
    inputs = _digest(
        assignment.key, url, master.config["title"], master.config["minutes"],
        [asdict(answer) for answer in master.answers],
        Path(__file__).read_bytes(), importlib.metadata.version("nbformat"),
        importlib.metadata.version("jupytext"), secret is None,
    )
    if _inputs_of(out) == inputs:
        return assignment
    out.parent.mkdir(parents=True, exist_ok=True)
    with _locked(out):
        if _inputs_of(out) == inputs:  # built by another process in the meantime
            return assignment
        for left in out.parent.glob(f".{out.name}.*.building"):
            shutil.rmtree(left, ignore_errors=True)
        new = Path(tempfile.mkdtemp(".building", f".{out.name}.", out.parent))
        try:
            _write(master, assignment, new, secret, url, _repository(root))
            record = {key: value for key, value in asdict(assignment).items()
                      if key != "folder"}
            (new / "assignment.json").write_text(
                json.dumps({**record, "inputs": inputs}, indent=1) + "\n", "utf-8"
            )
            new.chmod(0o755 if secret is None else 0o700)
            if out.exists():
                out.rename(new / "old")
            new.rename(out)
            shutil.rmtree(out / "old", ignore_errors=True)
        except BaseException:
            if (new / "old").exists() and not out.exists():
                (new / "old").rename(out)
            shutil.rmtree(new, ignore_errors=True)
            raise
    return assignment


def load(folder):
    """The assignment that `build` wrote to `folder`."""
    folder = Path(folder).resolve()
    try:
        record = json.loads((folder / "assignment.json").read_text("utf-8"))
    except FileNotFoundError:
        raise AssignmentError(
            f"{folder} holds no assignment.json, wanted a folder that "
            "`relubook assign build` wrote"
        ) from None
    record.pop("inputs")
    for key in ("requires", "data"):
        record[key] = tuple(record[key])
    return Assignment(folder=folder, **record)


def cells(assignment, version="autograder", after=None):
    """The sources of the code cells of a built notebook.

    `version` is "autograder" (with the solutions) or "student"; `after` maps a question
    to code that stands in a cell of its own after that question's answer.
    """
    if version not in ("autograder", "student"):
        raise ValueError(f"version={version!r}, wanted 'autograder' or 'student'")
    path = assignment.folder / version / f"{assignment.name}.ipynb"
    after, found = dict(after or {}), []
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] != "code":
            continue
        source = "".join(cell["source"])
        for question in list(after):
            if source.strip() == f'grader.check("{question}")':
                found.append(after.pop(question))
        found.append(source)
    if after:
        raise ValueError(
            f"after={sorted(after)}, wanted questions with a check cell in {path}"
        )
    return found


def answers(assignment):
    """The right answers and known mistakes that `assignment` was built with."""
    path = assignment.folder / "autograder" / "answers.json"
    return [Answer(**record) for record in json.loads(path.read_text("utf-8"))]


# --- Reading a master -----------------------------------------------------------------


def read(name, *, term="demo", root="."):
    """The master of the assignment `name`, rendered for a term.

    Each variant of the front matter takes the value whose index is the SHA-256 of
    "term, NUL, assignment, NUL, variant" modulo the number of values, so the same term
    gives the same notebook anywhere. The term "#3" takes the fourth value of every
    list, counting round.
    """
    path = Path(root) / "assignments" / name / f"{name}.md"
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", name):
        raise AssignmentError(
            f"name={name!r}, wanted lower-case letters, digits and hyphens"
        )
    if not path.is_file():
        known = ", ".join(names(root)) or "none"
        raise AssignmentError(f"{path} does not exist; assignments here: {known}")
    text = path.read_text(encoding="utf-8")
    front = re.match(r"---\n(.*?\n)---\n", text, re.DOTALL)
    if not front:
        raise AssignmentError(f"{path}: it must begin with a front matter, `---`")
    head = _yaml(front[1], path)
    config = _config(head.get("assignment"), path)
    values = {key: options[_choice(term, name, key, len(options))]
              for key, options in config["variants"].items()}
    body = _render(text[front.end():], values, path)
    extra = path.with_name("answers.yml")
    questions = _questions(body, path)
    _check_questions(questions, config, path)
    found = ()
    if extra.exists():
        found = _answers(_render(extra.read_text("utf-8"), values, extra), extra,
                         questions)
    return Master(name, term, path.parent, config, values, body, questions, found)


def variants(name, root="."):
    """Terms that between them take every value of every variant of an assignment."""
    options = read(name, term="#0", root=root).config["variants"].values()
    return [f"#{i}" for i in range(max(map(len, options), default=1))]


def _choice(term, name, variant, count):
    if match := re.fullmatch(r"#(\d+)", term):
        return int(match[1]) % count
    text = f"{term}\0{name}\0{variant}"
    return int(hashlib.sha256(text.encode()).hexdigest(), 16) % count


def _yaml(text, path):
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise AssignmentError(f"{path}: {error}") from None
    if not isinstance(found, dict):
        raise AssignmentError(f"{path}: {text[:60]!r} is no YAML mapping")
    return found


def _config(config, path):
    """The key `assignment` of the front matter, complete, or an error."""
    def need(condition, key, wanted):
        if not condition:
            raise AssignmentError(
                f"{path}: assignment.{key} is {config.get(key)!r}, wanted {wanted}"
            )

    if not isinstance(config, dict):
        raise AssignmentError(
            f"{path}: the front matter has assignment: {config!r}, wanted a mapping"
        )
    if unknown := set(config) - KEYS:
        raise AssignmentError(
            f"{path}: assignment.{sorted(map(str, unknown))[0]} is unknown, wanted "
            f"some of {', '.join(sorted(KEYS))}"
        )
    config = {"requires": ["numpy"], "limits": {}, "free": {}, "rubric": {},
              "variants": {}, "chapters": [], **config}
    title, minutes = config.get("title"), config.get("minutes")
    need(isinstance(title, str) and title.strip(), "title", "a line of text")
    need(type(minutes) is int and minutes > 0, "minutes", "a positive whole number")
    need(_all(config["requires"], list, lambda one: one in PACKAGES), "requires",
         f"a list of some of {', '.join(PACKAGES)}")
    need(_all(config["chapters"], list, lambda one: isinstance(one, str)), "chapters",
         "a list of the chapters' file names without .md")
    for key in ("limits", "free", "rubric", "variants"):
        need(isinstance(config[key], dict), key, "a mapping")
    need(all(key in LIMITS and _positive(value)
             for key, value in config["limits"].items()), "limits",
         f"positive seconds for some of {', '.join(LIMITS)}")
    need(all(_positive(value) for value in config["free"].values()), "free",
         "positive points by question")
    need(all(isinstance(criteria, dict) and criteria and
             all(_positive(value) for value in criteria.values())
             for criteria in config["rubric"].values()), "rubric",
         "criteria with positive points by question")
    need(all(isinstance(key, str) and key.isidentifier() and _all(value, list)
             and value for key, value in config["variants"].items()), "variants",
         "identifiers with lists of one or more values")
    config["limits"] = {key: float(value) for key, value in
                        {**LIMITS, **config["limits"]}.items()}
    return config


def _all(value, kind, test=lambda one: True):
    return isinstance(value, kind) and all(map(test, value))


def _positive(value):
    return type(value) in (int, float) and 0 < value < float("inf")


def _render(text, values, path):
    """`text` with each `<<name>>` replaced by that variant's value."""
    import jinja2

    # Only << >> means anything: the rest of jinja's syntax occurs in Python and LaTeX.
    environment = jinja2.Environment(
        variable_start_string="<<", variable_end_string=">>",
        block_start_string="<<%", block_end_string="%>>",
        comment_start_string="<<#", comment_end_string="#>>",
        undefined=jinja2.StrictUndefined, keep_trailing_newline=True, autoescape=False,
    )
    try:
        return environment.from_string(text).render(values)
    except jinja2.UndefinedError as error:
        raise AssignmentError(
            f"{path}: {error}; its variants are {', '.join(values) or 'none'}"
        ) from None
    except jinja2.TemplateSyntaxError as error:
        raise AssignmentError(
            f"{path}: line {error.lineno} after the front matter: {error.message} "
            "(`<<` and `>>` are for variants)"
        ) from None


def notebook(body):
    """The text of a master without its front matter, as a notebook."""
    import jupytext

    head = "---\njupytext:\n  text_representation:\n    extension: .md\n    " \
           "format_name: myst\nkernelspec:\n  display_name: Python 3\n  " \
           "language: python\n  name: python3\n---\n"
    return jupytext.reads(head + body, fmt="md:myst")


MARK = re.compile(r"#\s*(BEGIN|END) (QUESTION|SOLUTION|TESTS|PROMPT)\b[^\n]*\n?")
TEST_CONFIG = re.compile(
    r'\s*"""\s*# BEGIN TEST CONFIG\n(.*?)"""\s*# END TEST CONFIG\n', re.DOTALL
)


def _questions(body, path):
    """The questions of a master, from otter's marks."""
    found, current, block = [], None, None
    for cell in notebook(body).cells:
        source = cell.source
        mark = MARK.match(source) if cell.cell_type == "raw" else None
        if mark and mark[2] == "QUESTION":
            if mark[1] == "BEGIN":
                head = _yaml(source[mark.end():], path)
                _check_head(head, path)
                current = {"head": head, "prompt": [], "solution": [], "tests": []}
            elif current:
                found.append(_question(current, path))
                current = None
        elif mark:
            block = mark[2] if mark[1] == "BEGIN" else None
        elif current and block == "TESTS":
            current["tests"].append(source)
        elif current and block == "SOLUTION":
            current["solution"].append(source)
        elif current and cell.cell_type == "markdown":
            current["prompt"].append(source)
    return tuple(found)


def _check_head(head, path):
    name = head.get("name")
    if not (isinstance(name, str) and re.fullmatch(r"[a-z]\w*", name)):
        raise AssignmentError(
            f"{path}: a question has name: {name!r}, wanted an identifier such as q1"
        )
    if unknown := set(head) - {"name", "points", "manual"}:
        raise AssignmentError(
            f"{path}: {name} has {sorted(unknown)[0]}, wanted name, points, manual only"
        )
    if not _positive(head.get("points")):
        raise AssignmentError(
            f"{path}: {name} has points: {head.get('points')!r}, "
            "wanted a positive number"
        )


def _question(parts, path):
    head = parts["head"]
    tests = tuple(_test(source, head["name"], path) for source in parts["tests"])
    return Question(head["name"], head["points"], bool(head.get("manual", False)),
                    "\n\n".join(parts["prompt"]), tuple(parts["solution"]), tests)


def _test(source, question, path):
    where = f"{path}: a test of {question}"
    match = TEST_CONFIG.match(source)
    if not match:
        raise AssignmentError(
            f'{where} begins with {source[:40]!r}, wanted """ # BEGIN TEST CONFIG'
        )
    config, code = _yaml(match[1], path), source[match.end():]
    try:
        body = ast.parse(code).body
    except SyntaxError as error:
        raise AssignmentError(f"{where}: {error}") from None
    if len(body) != 1 or not isinstance(body[0], ast.FunctionDef):
        raise AssignmentError(f"{where} holds {len(body)} statements, wanted one `def`")
    where = f"{where}, {body[0].name},"
    if unknown := set(config) - {"points", "hidden", "failure_message"}:
        raise AssignmentError(
            f"{where} has {sorted(unknown)[0]}, wanted points, hidden, failure_message"
        )
    if not _positive(config.get("points")):
        raise AssignmentError(
            f"{where} has points: {config.get('points')!r}, wanted a positive number"
        )
    if type(config.get("hidden", False)) is not bool:
        raise AssignmentError(
            f"{where} has hidden: {config['hidden']!r}, wanted true or false"
        )
    hint = config.get("failure_message", "")
    # otter writes the message between double quotes as it is.
    if not isinstance(hint, str) or re.search(r'["\\\n]', hint):
        raise AssignmentError(
            f"{where} has failure_message: {hint!r}, wanted one line of text without "
            "double quotes and backslashes"
        )
    arguments = body[0].args
    if arguments.vararg or arguments.kwarg or arguments.defaults:
        raise AssignmentError(f"{where} has other arguments than names of the notebook")
    return Test(body[0].name, code, config["points"], config.get("hidden", False), hint)


def _check_questions(questions, config, path):
    """Points add up, names are unique, and every key of the front matter has a use."""
    by_name = {question.name: question for question in questions}
    if not questions:
        raise AssignmentError(f"{path} holds no question")
    if len(by_name) < len(questions):
        raise AssignmentError(f"{path}: two questions have the same name")
    for question in questions:
        where = f"{path}: {question.name}"
        tests = [test.name for test in question.tests]
        if len(set(tests)) < len(tests):
            raise AssignmentError(f"{where}: two tests have the same name: {tests}")
        total = sum(test.points for test in question.tests)
        if question.manual:
            if question.tests:
                raise AssignmentError(
                    f"{where} is graded by a person, so it can have no tests"
                )
            criteria = config["rubric"].get(question.name, {})
            total = sum(criteria.values())
        elif all(test.hidden for test in question.tests):
            raise AssignmentError(f"{where} has no public test, wanted at least one")
        if abs(total - question.points) > 1e-9:
            parts = "the rubric's criteria" if question.manual else "the tests"
            raise AssignmentError(
                f"{where} has points: {question.points}, but {parts} add up to {total}"
            )
    for key, manual in (("rubric", True), ("free", False)):
        for name in config[key]:
            if name not in by_name or by_name[name].manual != manual:
                raise AssignmentError(
                    f"{path}: assignment.{key} names {name}, wanted a question "
                    f"{'with' if manual else 'without'} manual: true"
                )


def _answers(text, path, questions):
    """What `answers.yml` holds."""
    found, record = [], _yaml(text, path)
    points = {question.name: question.points for question in questions
              if not question.manual}
    if unknown := set(record) - {"right", "wrong"}:
        raise AssignmentError(f"{path}: {sorted(unknown)[0]}, wanted right and wrong")
    for kind in ("right", "wrong"):
        for name, entry in (record.get(kind) or {}).items():
            where, keys = f"{path}: {kind} answer {name}", {"about", "question", "code"}
            keys |= {"scores"} if kind == "wrong" else set()
            if not isinstance(entry, dict) or set(entry) != keys:
                raise AssignmentError(f"{where} has {entry!r}, wanted the keys "
                                      f"{', '.join(sorted(keys))}")
            if entry["question"] not in points:
                raise AssignmentError(
                    f"{where} has question: {entry['question']!r}, wanted one of "
                    f"{', '.join(points)}"
                )
            scores = entry.get("scores", {})
            if not (isinstance(scores, dict) and all(
                name in points and type(value) in (int, float)
                and 0 <= value <= points[name] for name, value in scores.items()
            ) and (scores or kind == "right")):
                raise AssignmentError(
                    f"{where} has scores: {scores!r}, wanted points by question"
                )
            found.append(Answer(str(name), str(entry["about"]), entry["question"],
                                str(entry["code"]), kind == "right", scores))
    return tuple(found)


# --- Writing --------------------------------------------------------------------------


def _assignment(master, out, secret):
    config = master.config
    key = _digest(
        {key: config[key] for key in ("requires", "limits", "free", "rubric")},
        master.text, Path(expectations.__file__).read_bytes(), secret,
        importlib.metadata.version("otter-grader"),
        [[path.name, hashlib.sha256(path.read_bytes()).hexdigest()]
         for path in master.data],
        _package() if _uses_package(master) else None,
    )
    return Assignment(
        name=master.name, title=config["title"], term=master.term, folder=out,
        minutes=config["minutes"], requires=tuple(config["requires"]),
        limits=config["limits"], free=config["free"],
        points={question.name: question.points for question in master.questions},
        rubric=config["rubric"], key=key,
        data=tuple(path.name for path in master.data),
    )


def _digest(*parts):
    total = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else json.dumps(part).encode()
        total.update(hashlib.sha256(data).digest())
    return total.hexdigest()


def _uses_package(master):
    return any("relubook" in test.source for question in master.questions
               for test in question.tests)


def _package():
    """A digest of the package's code, which hidden tests compute references with."""
    folder = Path(__file__).parent.parent
    return [
        [path.relative_to(folder).as_posix(),
         hashlib.sha256(path.read_bytes()).hexdigest()]
        for path in sorted(folder.rglob("*.py"))
        if not SUBMODULES & set(path.relative_to(folder).parts)
    ]


def _inputs_of(out):
    try:
        return json.loads((out / "assignment.json").read_text("utf-8"))["inputs"]
    except (FileNotFoundError, NotADirectoryError, KeyError, ValueError):
        return None


def _write(master, assignment, folder, secret, url, repository):
    """Everything but assignment.json, into the empty `folder`."""
    import nbformat

    made = folder / "otter"
    _run_otter(master, made, repository)
    for side in ["student"] if secret is None else ["student", "autograder"]:
        (folder / side).mkdir()
        for path in master.data:
            shutil.copyfile(path, folder / side / path.name)
        source = made / side / f"{master.name}.ipynb"
        notebook = nbformat.read(source, as_version=4)
        notebook = _finished(notebook, assignment, url, None if side == "student"
                             else secret)
        nbformat.validate(notebook)
        text = nbformat.writes(notebook) + "\n"
        (folder / side / source.name).write_text(text, encoding="utf-8")
        tests = notebook.metadata["otter"]["tests"]
        if side == "student":
            _write_zip(folder / side / "tests.zip",
                       {f"{name}.py": text for name, text in tests.items()})
        else:
            (folder / side / "tests").mkdir()
            for name, text in tests.items():
                (folder / side / "tests" / f"{name}.py").write_text(text, "utf-8")
            known = json.dumps([asdict(answer) for answer in master.answers], indent=1)
            (folder / side / "answers.json").write_text(known + "\n", "utf-8")
            _write_gradescope(next((made / side).glob("*.zip")), tests,
                              folder / "gradescope.zip")
    shutil.rmtree(made)


def _run_otter(master, made, repository):
    """Let otter write its folders student and autograder into `made`."""
    import nbformat

    made_from = notebook(master.text)
    config = {
        "name": master.name, "init_cell": False, "export_cell": False,
        "check_all_cell": False, "run_tests": False,
        "tests": {"files": False, "ok_format": False},
        "files": [path.name for path in master.data],
        "requirements": _requirements(master, repository),
        "generate": {"show_stdout": False, "show_hidden": False},
    }
    text = "# ASSIGNMENT CONFIG\n" + yaml.safe_dump(config, sort_keys=False)
    made_from.cells.insert(0, nbformat.v4.new_raw_cell(text))
    made_from.metadata["kernelspec"] = dict(KERNEL)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        # Neither importing otter nor what it does with notebooks is free of warnings.
        warnings.simplefilter("ignore")
        from otter.assign import main as assign  # takes seconds, so only here

        path = Path(folder).resolve() / f"{master.name}.ipynb"
        for data in master.data:
            shutil.copyfile(data, path.with_name(data.name))
        nbformat.write(made_from, path)
        try:
            assign(str(path), str(made), no_pdfs=True, no_run_tests=True)
        except Exception as error:
            source = master.folder / f"{master.name}.md"
            message = f"{source}: otter-grader refuses it: {error}"
            raise AssignmentError(message) from error


def _requirements(master, repository):
    """What Gradescope installs: what the notebook and the hidden tests import."""
    wanted = [
        f"{name}=={importlib.metadata.version(name).partition('+')[0]}"
        for name in master.config["requires"]
    ]
    if _uses_package(master) and repository:
        wanted.append(f"relubook @ git+{repository}")
    return wanted


def _finished(notebook, assignment, url, secret):
    """otter's notebook with a heading, the set-up cell and tests that can run."""
    import nbformat

    tests = notebook.metadata["otter"]["tests"]
    for name in tests:
        tests[name] = _test_file(tests[name], secret)
    first = notebook.cells[0]
    if first.cell_type == "markdown" and first.source.startswith("# "):
        first.source = first.source.partition("\n")[2].strip()
        if not first.source:
            del notebook.cells[0]
    files = ["tests.zip", *assignment.data]
    colab = (FETCH if url else STAY).format(name=assignment.name, url=url,
                                            files=json.dumps(files))
    setup = SETUP.format(name=assignment.name, colab=colab)
    fixed = {"editable": False, "deletable": False}
    notebook.cells[:0] = [
        nbformat.v4.new_markdown_cell(_heading(assignment), metadata=dict(fixed)),
        nbformat.v4.new_code_cell(setup, metadata=dict(fixed)),
    ]
    seen = set()
    for cell in notebook.cells:
        cell.id = _cell_id(cell, seen)
    notebook.metadata.pop("jupytext", None)
    notebook.metadata["kernelspec"] = dict(KERNEL)
    notebook.metadata["language_info"] = dict(LANGUAGE)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    return notebook


def _heading(assignment):
    total, manual = sum(assignment.points.values()), assignment.rubric
    parts = f"{_number(total)} points"
    if manual:
        by_hand = sum(assignment.points[name] for name in manual)
        parts += f", {_number(by_hand)} of them for questions that a person reads"
    needs = ", ".join({"numpy": "NumPy", "sympy": "SymPy", "matplotlib": "Matplotlib",
                       "torch": "PyTorch"}[name] for name in assignment.requires)
    return f"""\
# {assignment.title}

*{parts}; about {assignment.minutes} minutes. Needs {needs}.*

Replace each `...` by your answer. `grader.check` below a question runs its public tests
and tells you what it found. After the deadline further tests run on other inputs, so an
answer that is right in general earns all points.

**To hand in:** choose *Restart kernel and run all cells*, see that nothing fails, save,
and upload this file, `{assignment.name}.ipynb`, without changing its name."""


def _number(points):
    return f"{points:g}"


def _cell_id(cell, seen):
    """An id that is the same after every build."""
    for number in range(len(seen) + 1):
        text = f"{cell.cell_type} {number} {cell.source}"
        ident = hashlib.sha256(text.encode()).hexdigest()[:8]
        if ident not in seen:
            seen.add(ident)
            return ident


DECORATED = re.compile(r"^@test_case\((points=.*?\))\ndef (\w+)", re.DOTALL | re.M)


def _test_file(text, secret):
    """otter's test file with the helpers in front, and its tests called by name."""
    text = DECORATED.sub(r'@test_case(name="\2", \1\ndef \2', text)
    return f"{_preamble(secret)}\n\n{text.rstrip()}\n"


def _preamble(secret):
    source = Path(expectations.__file__).read_text(encoding="utf-8")
    if secret is not None:
        return source.replace("\nSECRET = None", f"\nSECRET = {secret!r}", 1)
    tree = ast.parse(source)
    lines = source.splitlines(keepends=True)
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == "secret_rng":
            del lines[node.lineno - 1 : node.end_lineno]
    return "".join(lines)


def _write_gradescope(made, tests, path):
    """otter's zip for Gradescope, with our tests in it."""
    contents = {}
    with zipfile.ZipFile(made) as archive:
        for name in archive.namelist():
            contents[name] = archive.read(name)
    for name, text in tests.items():
        contents[f"tests/{name}.py"] = text.encode()
    _write_zip(path, contents)


def _write_zip(path, contents):
    """A zip whose bytes depend on its contents only."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(contents):
            entry = zipfile.ZipInfo(name)  # of 1980, whenever it is made
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, contents[name])


def _site(root, name):
    """Where the book's site has the assignment; None without a `_config.yml`."""
    address = _book(root).get("html", {}).get("baseurl")
    return address and f"{address.rstrip('/')}/assignments/{name}/"


def _repository(root):
    return _book(root).get("repository", {}).get("url")


def _book(root):
    path = root / "_config.yml"
    return yaml.safe_load(path.read_text("utf-8")) if path.exists() else {}


def _write_secret(path):
    """A new secret, complete from the first moment; one that is there already stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, made = tempfile.mkstemp(dir=path.parent, prefix=".secret-")  # mode 0600
    try:
        with open(handle, "w", encoding="utf-8") as file:
            file.write(secrets.token_hex(32) + "\n")
        with suppress(FileExistsError):
            os.link(made, path)
    finally:
        os.unlink(made)


@contextmanager
def _locked(out):
    """One build of `out` at a time; the lock goes with the process."""
    import fcntl

    with open(out.parent / f".{out.name}.lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
