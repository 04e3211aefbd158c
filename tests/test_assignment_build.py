"""What `build` writes and refuses, and that we read test files as otter does."""

import ast
import json
import re
import shutil
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import nbformat
import pytest
import yaml

from relubook.grading import assignments, cases
from relubook.grading.assignments import AssignmentError, build, load, read, secret

TINY = Path(__file__).parent / "data" / "assignments" / "tiny"
SECRET = "what the tests draw from"


@pytest.fixture
def book(tmp_path):
    """A copy of the assignment `tiny` to spoil, as the folder of a book."""
    shutil.copytree(TINY, tmp_path / "assignments" / "tiny")
    return tmp_path


def change(book, old, new, file="tiny.md"):
    path = book / "assignments" / "tiny" / file
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")


def student(assignment):
    path = assignment.folder / "student" / f"{assignment.name}.ipynb"
    return nbformat.read(path, as_version=4)


def everything(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes()
            for path in sorted(folder.rglob("*")) if path.is_file()}


# --- What is written ------------------------------------------------------------------


def test_an_assignment_says_what_a_grader_needs(tiny):
    assert tiny.points == {"q1": 3, "q2": 2, "q3": 2}
    assert list(tiny.points) == ["q1", "q2", "q3"]
    assert tiny.rubric == {"q3": {"says what happens": 1, "says why": 1}}
    assert tiny.limits == {"cell": 10.0, "call": 5.0, "total": 120.0}
    assert (tiny.title, tiny.minutes, tiny.free) == ("A tiny assignment", 10, {})
    assert [path.read_text() for path in tiny.files] == ["1,2,3\n4,5,6\n"]
    assert load(tiny.folder) == tiny


def test_the_students_notebook_is_complete(tiny):
    notebook = student(tiny)
    nbformat.validate(notebook)
    first, setup = notebook.cells[:2]
    assert first.source.startswith("# A tiny assignment\n")
    assert "7 points, 2 of them" in first.source and "10 minutes" in first.source
    assert "tiny.ipynb" in first.source
    assert "otter.Notebook" in setup.source
    assert notebook.metadata.kernelspec == {
        "display_name": "Python 3", "language": "python", "name": "python3"}
    assert notebook.metadata.language_info.name == "python"
    sources = [cell.source for cell in notebook.cells]
    assert 'grader.check("q1")' in sources and "    ..." in "\n".join(sources)
    assert not any(cell.get("outputs") for cell in notebook.cells)
    assert "1/5 of it elsewhere" in "\n".join(sources)


def test_only_the_public_tests_travel(tiny):
    texts = student(tiny).metadata.otter.tests
    names = {name: [case.name for case in cases.read(text)]
             for name, text in texts.items()}
    assert names == {"q1": ["test_values"], "q2": ["test_total", "test_half"]}
    with zipfile.ZipFile(tiny.folder / "student" / "tests.zip") as archive:
        beside = {name: archive.read(name).decode() for name in archive.namelist()}
    assert beside == {f"{name}.py": text for name, text in texts.items()}
    assert not any("def secret_rng" in text for text in texts.values())


def test_the_zip_for_gradescope_can_run_the_tests(tiny):
    with zipfile.ZipFile(tiny.folder / "gradescope.zip") as archive:
        files = {name: archive.read(name).decode() for name in archive.namelist()}
    assert {"run_autograder", "setup.sh", "environment.yml", "files/table.csv",
            "otter_config.json", "tests/q1.py", "tests/q2.py"} <= set(files)
    hidden = [case for case in cases.read(files["tests/q1.py"]) if case.hidden]
    hidden[0].function(lambda x: x * (0.2 + 0.8 * (x > 0)))  # with the secret in it
    assert f"SECRET = {SECRET!r}" in files["tests/q1.py"]
    assert "- numpy==" in files["environment.yml"]
    assert json.loads(files["otter_config.json"])["show_hidden"] is False


def test_hidden_tests_draw_from_the_secret(tiny):
    seen = []

    def leaky(values):
        seen.append(values)
        return values * (0.2 + 0.8 * (values > 0))

    hidden = cases.load(tiny.tests)["q1"][1]
    hidden.function(leaky)
    text = (tiny.tests / "q1.py").read_text("utf-8").replace(SECRET, "another secret")
    first = list(seen)
    cases.read(text)[1].function(leaky)
    assert first[0] != seen[len(first)]


def test_a_rebuild_gives_the_same_bytes(tiny, tmp_path):
    """Whenever and wherever it is made."""
    again = build("tiny", term="#2", secret=SECRET, out=tmp_path / "again",
                  root=tiny.folder.parents[2])
    assert everything(again.folder) == everything(tiny.folder)


def test_what_is_up_to_date_is_left_alone(tiny, monkeypatch):
    monkeypatch.setattr(assignments, "_run_otter", None)
    root = tiny.folder.parents[2]
    assert build("tiny", term="#2", secret=SECRET, root=root) == tiny


@pytest.mark.parametrize(("old", "new", "file"), [
    ("z > 0, z, z * ", "z >= 0, z, z * ", "tiny.md"),
    ("1,2,3", "1,2,4", "files/table.csv"),
])
def test_the_key_changes_with_what_decides_scores(book, old, new, file):
    def key(secret=SECRET):
        master = read("tiny", root=book)
        return assignments._assignment(master, book, secret).key

    before = key()
    assert key() == before
    assert key("another secret") != before
    change(book, old, new, file)
    assert key() != before


def test_without_a_secret_only_the_students_side_is_built(book):
    assignment = build("tiny", root=book)
    assert sorted(path.name for path in assignment.folder.iterdir()) == [
        "assignment.json", "student"]
    assert not list(assignment.folder.parent.glob(".*.building"))


def test_a_failed_build_leaves_what_was_there(book, monkeypatch):
    assignment = build("tiny", root=book)
    before = everything(assignment.folder)
    change(book, "minutes: 10", "minutes: 11")

    def fail(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(assignments, "_write_zip", fail)
    with pytest.raises(KeyboardInterrupt):
        build("tiny", root=book)
    assert everything(assignment.folder) == before
    assert not list(assignment.folder.parent.glob(".*.building"))


def test_colab_fetches_from_the_books_site(book):
    (book / "_config.yml").write_text(
        yaml.safe_dump({"html": {"baseurl": "https://example.org/book"}}), "utf-8")
    setup = student(build("tiny", root=book)).cells[1].source
    assert '"https://example.org/book/assignments/tiny/" + file' in setup
    assert '["tests.zip", "table.csv"]' in setup
    ast.parse(setup.replace("    %pip", "    pass  #"))
    # The site has the demo term's tests, which are not those of another term.
    setup = student(build("tiny", root=book, term="autumn")).cells[1].source
    assert "example.org" not in setup and "Colab lacks its tests" in setup
    url = "https://example.edu/x"
    setup = student(build("tiny", root=book, term="autumn", url=url)).cells[1].source
    assert '"https://example.edu/x/" + file' in setup


OTTERS_WAY = """
import json, sys, warnings
warnings.simplefilter("ignore")
import nbformat, otter
from otter.test_files import ExceptionTestFile
from pathlib import Path

tests = {}
for path in sorted(Path("autograder/tests").glob("*.py")):
    file = ExceptionTestFile.from_file(str(path))
    tests[file.name] = [[case.hidden, case.points, case.failure_message,
                         case.body._get_func_params()] for case in file.test_cases]

import os
results = {}
notebook = nbformat.read("autograder/tiny.ipynb", 4)
os.chdir("student")
for version in ("solution", "untouched"):
    if version == "untouched":
        notebook = nbformat.read("tiny.ipynb", 4)
    space = {}
    for cell in notebook.cells:
        if cell.cell_type == "code" and not cell.source.startswith("grader.check"):
            source = cell.source.replace("    %pip", "    pass  #")
            exec(source, space)
    results[version] = {}
    for question in ("q1", "q2"):
        result = space["grader"].check(question, space)
        results[version][question] = [result.grade, str(result)]
print(json.dumps({"tests": tests, "results": results}))
"""


@pytest.fixture(scope="module")
def otters(tiny, tmp_path_factory):
    """What otter itself makes of the test files and of the student's notebook."""
    folder = tmp_path_factory.mktemp("otter") / "tiny"
    shutil.copytree(tiny.folder, folder)
    done = subprocess.run([sys.executable, "-c", OTTERS_WAY], cwd=folder,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_cases_are_what_otter_reads(tiny, otters):
    ours = {
        name: [[case.hidden, case.points, case.failure_message, list(case.arguments)]
               for case in made]
        for name, made in cases.load(tiny.tests).items()
    }
    assert ours == otters["tests"]


def test_the_set_up_cell_and_the_self_check_work_with_otter(otters):
    assert [grade for grade, _ in otters["results"]["solution"].values()] == [1, 1]
    untouched = otters["results"]["untouched"]
    assert [grade for grade, _ in untouched.values()] == [0, 0]
    assert "test_values" in untouched["q1"][1]
    assert "got nothing (None): is a return missing?" in untouched["q1"][1]
    assert "replace the three dots by your answer" in untouched["q2"][1]


def test_cases_do_not_import_otter(tiny):
    program = ("import sys; from relubook.grading import cases; "
               f"cases.load({str(tiny.tests)!r}); sys.exit('otter' in sys.modules)")
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


def test_a_file_that_is_not_otters_is_refused(tiny):
    with pytest.raises(ValueError, match="imports test_case 0 times"):
        cases.read("name = 'q1'")
    text = (tiny.tests / "q1.py").read_text("utf-8")
    with pytest.raises(ValueError, match="points=None"):
        cases.read(text.replace("points=2, hidden", "points=None, hidden"))


def test_questions_are_in_the_order_of_their_numbers(tiny, tmp_path):
    text = (tiny.tests / "q1.py").read_text("utf-8")
    for name in ("q10", "q2", "q1"):
        (tmp_path / f"{name}.py").write_text(text)
    assert list(cases.load(tmp_path)) == ["q1", "q2", "q10"]


# --- Answers and variants -------------------------------------------------------------


def test_cells_take_another_answer(tiny):
    found = assignments.cells(tiny, after={"q1": "leaky = None"})
    place = found.index("leaky = None")
    assert found[place + 1] == 'grader.check("q1")'
    assert "# SOLUTION" in "".join(assignments.cells(tiny))
    assert "# SOLUTION" not in "".join(assignments.cells(tiny, "student"))
    with pytest.raises(ValueError, match="q9"):
        assignments.cells(tiny, after={"q9": ""})
    with pytest.raises(ValueError, match="version='teacher'"):
        assignments.cells(tiny, "teacher")


def test_answers_are_rendered_too(tiny):
    known = {answer.name: answer for answer in assignments.answers(tiny)}
    assert known["loop"].right and "x * 1/5" in known["loop"].code
    assert known["flattened"].scores == {"q1": 1}


def test_a_term_chooses_the_same_variant_everywhere():
    root = TINY.parents[1]
    terms = [f"term {i}" for i in range(15)]
    values = [read("tiny", term=term, root=root).values for term in terms]
    assert values == [read("tiny", term=term, root=root).values for term in terms]
    assert {value["slope"] for value in values} == {"1/8", "1/10", "1/5"}
    assert {value["shift"] for value in values} == {1, 2}
    # By the documented rule, so that it holds in any later version.
    assert read("tiny", term="2026-autumn", root=root).values == {
        "slope": "1/10", "shift": 1}
    numbered = [read("tiny", term=term, root=root).values
                for term in assignments.variants("tiny", root)]
    assert numbered == [{"slope": "1/8", "shift": 1}, {"slope": "1/10", "shift": 2},
                        {"slope": "1/5", "shift": 1}]


# --- The secret -----------------------------------------------------------------------


def test_the_secret_is_made_once_for_its_owner_alone(tmp_path, monkeypatch):
    monkeypatch.delenv("RELUBOOK_SECRET", raising=False)
    first = secret(root=tmp_path)
    path = tmp_path / "assignments" / ".secret"
    assert re.fullmatch(r"[0-9a-f]{64}", first)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert secret(root=tmp_path) == first == secret(path)
    assert [found.name for found in path.parent.iterdir()] == [".secret"]
    monkeypatch.setenv("RELUBOOK_SECRET", "from the environment")
    assert secret(path) == "from the environment"
    monkeypatch.setenv("RELUBOOK_SECRET", "")
    with pytest.raises(AssignmentError, match="RELUBOOK_SECRET holds 0 characters"):
        secret(path)


def test_git_ignores_the_secret():
    ignored = (Path(__file__).parent.parent / ".gitignore").read_text().splitlines()
    assert "assignments/.secret" in ignored


# --- What is refused ------------------------------------------------------------------


@pytest.mark.parametrize(("old", "new", "said"), [
    ("  minutes: 10", "  minutes: ten", "assignment.minutes is 'ten', wanted"),
    ("  minutes: 10\n", "", "assignment.minutes is None, wanted"),
    ("  title: A tiny assignment", "  title: ''", "assignment.title is ''"),
    ("[numpy]", "[scipy]", r"requires is \['scipy'\], wanted a list of some of numpy"),
    ("  minutes: 10", "  minutes: 10\n  minute: 1", "assignment.minute is unknown"),
    ("  minutes: 10", "  minutes: 10\n  limits: {cell: 0}", "assignment.limits is"),
    ("  minutes: 10", "  minutes: 10\n  limits: {cel: 1}", "assignment.limits is"),
    ("  minutes: 10", "  minutes: 10\n  free: {q3: 1}", "free names q3"),
    ("    q3: {", "    q2: {", "the rubric's criteria add up to 0"),
    ("    q3: {", "    q2: {x: 1}\n    q3: {", "rubric names q2"),
    ("says why: 1", "says why: 2", "points: 2, but the rubric's criteria add up to 3"),
    ("  variants:", "  variants:\n    empty: []", "assignment.variants is"),
    ("z * <<slope>>", "z * <<slop>>", "'slop' is undefined; its variants are slope"),
    ("z * <<slope>>", "z << 2", "`<<` and `>>` are for variants"),
    ("name: q2", "name: q1", "two questions have the same name"),
    ("name: q2", "name: 2", "name: 2, wanted an identifier"),
    ("name: q2\npoints: 2", "name: q2\npoints: 3", "points: 3, but the tests add up"),
    ("name: q2\npoints: 2", "name: q2", "points: None, wanted"),
    ("name: q2\n", "name: q2\nmanual: true\n", "can have no tests"),
    ("points: 2\nhidden: true", "hidden: true", "points: None, wanted"),
    ("hidden: true", "hiden: true", "has hiden, wanted"),
    ("hidden: true", "hidden: 1", "hidden: 1, wanted"),
    ("of other shapes.", "of \"other\" shapes.", "without double quotes"),
    ("points: 1\nfailure_message", "points: 1\nhidden: true\nfailure_message",
     "no public test"),
    ("def test_half", "def test_total", "two tests have the same name"),
    ("def test_half(half):", "x = 1\ndef test_half(half):", "holds 2 statements"),
    ("def test_half(half):", "def test_half(half=1):", "other arguments"),
    ("def test_half(half):", "def test_half(half:", "was never closed"),
    ('""" # BEGIN TEST CONFIG\npoints: 1\n""" # END TEST CONFIG\ndef test_half',
     "def test_half", "wanted \"\"\" # BEGIN TEST CONFIG"),
    ("---\njupytext", "jupytext", "must begin with a front matter"),
    ("    # END SOLUTION\n", "", "otter-grader refuses it"),
    ("# BEGIN QUESTION", "# BEGIN", "holds no question"),
])
def test_a_master_that_is_not_as_it_must_be_is_refused(book, old, new, said):
    change(book, old, new)
    with pytest.raises(AssignmentError, match=said) as raised:
        build("tiny", root=book)
    assert "tiny.md" in str(raised.value)
    assert not (book / "_build" / "assignments" / "tiny").exists()


@pytest.mark.parametrize(("old", "new", "said"), [
    ("wrong:", "false:", "wanted right and wrong"),
    ("question: q2", "question: q3", "question: 'q3', wanted one of q1, q2"),
    ("    scores: {q2: 1}\n", "", "wanted the keys about, code, question, scores"),
    ("scores: {q2: 1}", "scores: {q2: 3}", "wanted points by question"),
    ("scores: {q2: 1}", "scores: {}", "wanted points by question"),
    ("right:", "right: [", "answers.yml"),
])
def test_answers_that_are_not_as_they_must_be_are_refused(book, old, new, said):
    change(book, old, new, "answers.yml")
    with pytest.raises(AssignmentError, match=said):
        read("tiny", root=book)


def test_names(book):
    assert assignments.names(book) == ["tiny"]
    with pytest.raises(AssignmentError, match="assignments here: tiny"):
        build("tine", root=book)
    with pytest.raises(AssignmentError, match="lower-case"):
        build("../tiny", root=book)
    with pytest.raises(AssignmentError, match="holds no assignment.json"):
        load(book)
