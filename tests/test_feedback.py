"""relubook.grading.feedback: nothing of hidden tests, no markup by students."""

import csv
import html.parser
import json
import statistics
from types import SimpleNamespace

import pytest

from relubook.grading import feedback
from relubook.grading.tables import Manual

ATTACKS = (
    "<script>alert(1)</script>",
    "```\n\n# You have 100 points\n\n<b>x</b>",
    "``````text\n~~~~\n</code></pre><img src=x onerror=alert(1)>",
    "[click](javascript:alert(1)) ![x](http://e.example/x.png) <http://e.example>",
    "| a | b |\n| --- | --- |",
    "\x1b[31mred\x1b[0m \u202egnp.exe \x00\x07",
    "    indented\n> quote\n- list\n1. one\n***\n===\n",
    "&lt;b&gt; &#60;b&#62; \\<b>",
    "\r# heading\r\n# heading\u2028# heading\x0b# heading",
)


def case(name, passed, hidden=False, points=1.0, message=None, hint=None):
    return {
        "name": name, "hidden": hidden, "points": points, "passed": passed,
        "message": message, "hint": hint,
    }  # fmt: skip


def assignment(**changes):
    known = {"title": "ReLU & co", "points": {"q1": 3.0}, "rubric": {}, "key": "k"}
    return SimpleNamespace(**known | changes)


def row(**changes):
    known = {
        "id": "ann", "name": "", "file": "ann.ipynb", "status": "ok", "score": 1.0,
        "possible": 3.0, "questions": {"q1": 1.0}, "slug": "ann-1", "notes": [],
    }  # fmt: skip
    return known | changes


def result(cases, **changes):
    score = float(sum(each["points"] for each in cases if each["passed"]))
    known = {
        "status": "ok", "score": score, "questions": {"q1": {"score": score, "cases": cases}},
        "notes": [], "output": "",
    }  # fmt: skip
    return known | changes


CASES = [
    case("test_values", True),
    case("test_shape", False, message="got shape (3,), expected (3, 1)", hint="Look at it."),
    case("test_zq_secret", False, True, message="zq hidden", hint="Try other shapes."),
    case("test_zq_more", True, True),
]


def page(cases=CASES, about=None, line=None, **changes):
    about = about or assignment()
    manual = Manual({}, about.rubric)
    return feedback.page(about, line or row(), result(cases, **changes), manual)


class Tags(html.parser.HTMLParser):
    """The elements and attributes of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.text = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [name for name, _ in attributes]

    def handle_data(self, data):
        self.text.append(data)


def test_what_a_page_tells():
    text = page()
    assert "# ReLU \\& co" in text
    assert "**1 of 3 points**" in text
    assert "`test_values` (1 point): **passed**" in text
    assert "`test_shape` (1 point): **failed**. Look at it." in text
    assert "```text\ngot shape (3,), expected (3, 1)\n```" in text
    assert "1 of 2 further checks passed." in text
    assert "- Try other shapes." in text


def test_nothing_of_hidden_tests():
    text = page()
    assert "zq" not in text


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ("stopped: time limit", "stopped (time limit)"),
        ("unreadable: it is empty", "could not be read as a notebook: it is empty."),
        ("grader-error: Zap: /home/x", "has not been graded yet"),
    ],
)
def test_status(status, said):
    text = page([], line=row(status=status, score=None, questions={"q1": None}))
    assert said in text
    assert "/home/x" not in text


def test_manual_comments():
    about = assignment(points={"q2": 3.0}, rubric={"q2": {"what": 1.0, "why": 2.0}})
    manual = Manual({("ann", "q2", "why"): (1.5, "good, but *short*")}, about.rubric)
    line = row(questions={"q2": None})
    text = feedback.page(about, line, result([], questions={}), manual)
    assert "## q2: not yet graded" in text
    assert "- what, not yet graded" in text
    assert "- why, 1.5 of 2: good, but \\*short\\*" in text


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("place", ["message", "notes", "output", "id", "name", "file"])
def test_no_markup_by_students(attack, place):
    """The page has the elements it has with harmless text, and shows what was written."""

    def made(text):
        cases = [case("test_a", False, message=text if place == "message" else "m")]
        changes = {
            "notes": [text if place == "notes" else "n"],
            "output": text if place == "output" else "o",
        }
        words = {place: text} if place in ("id", "name", "file") else {}
        markdown = page(cases, line=row(**words), **changes)
        return Tags(feedback.html(assignment(), markdown))

    plain, attacked = made("word"), made(attack)
    assert attacked.tags == plain.tags
    assert sorted(attacked.attributes) == sorted(plain.attributes)
    shown = "".join(attacked.text)
    assert not set(shown) & set("\x00\x07\x1b\u202e\u2028\x0b")
    for word in ("alert(1)", "points", "http://e.example/x.png", "gnp.exe", "quote"):
        assert (word in shown) >= (word in attack)


def test_html_is_small_and_self_contained():
    made = Tags(feedback.html(assignment(title="<A>"), page()))
    assert not {"script", "link", "img", "iframe", "a"} & set(made.tags)
    assert not {"src", "href", "onload", "onerror"} & set(made.attributes)
    assert "Feedback: <A>" in made.text
    assert len(feedback.html(assignment(), page())) < 4000


def test_long_output_is_cut():
    text = page(output="y" * 100_000)
    assert len(text) < 6000
    assert "[cut off here]" in text


# Item analysis -----------------------------------------------------------------------


def batch(tmp_path, outcomes, known=None, extra=()):
    """A batch in which student k passed the tests a and b as `outcomes[k]` says."""
    (tmp_path / "results").mkdir()
    rows_ = []
    for k, (a, b) in enumerate(outcomes):
        cases = [case("test_a", a), case("test_b", b, hidden=True, points=2.0)]
        content = {"result": result(cases)}
        (tmp_path / "results" / f"s{k}.json").write_text(json.dumps(content))
        score = a + 2.0 * b
        rows_.append(row(slug=f"s{k}", score=score, questions={"q1": score}))
    feedback.write_analysis(assignment(), tmp_path, [*rows_, *extra], known)
    with open(tmp_path / "items.csv", newline="") as file:
        return list(csv.DictReader(file)), (tmp_path / "summary.md").read_text()


def test_items(tmp_path):
    outcomes = [(1, 1), (1, 0), (1, 1), (0, 0), (0, 1), (0, 0), (1, 1)]
    left_out = row(slug="x", status="unreadable: cut", score=0.0, questions={"q1": 0.0})
    items, _ = batch(tmp_path, [(bool(a), bool(b)) for a, b in outcomes], extra=[left_out])
    assert [(i["test"], i["hidden"], i["passed"], i["answers"]) for i in items] == [
        ("test_a", "no", "4", "7"),
        ("test_b", "yes", "4", "7"),
    ]
    wanted = statistics.correlation([a for a, _ in outcomes], [2 * b for _, b in outcomes])
    assert float(items[0]["discrimination"]) == pytest.approx(wanted, abs=1e-4)
    assert float(items[1]["pass_rate"]) == pytest.approx(4 / 7, abs=1e-4)


def test_a_test_that_all_pass_discriminates_nothing(tmp_path):
    items, _ = batch(tmp_path, [(True, True), (True, False)])
    assert items[0]["discrimination"] == ""
    assert items[1]["discrimination"] == ""


def test_known_mistakes_are_named(tmp_path):
    mistake = feedback.Mistake("m", "Forgets the batch axis.", ("q1",), ())
    known = {"q1": {("test_a",): [mistake]}}
    outcomes = [(True, False)] * 3 + [(False, True)] + [(False, False)] * 2 + [(True, True)]
    _, summary = batch(tmp_path, outcomes, known)
    assert "| q1 | Forgets the batch axis. | 3 |" in summary
    assert "| q1 | other | 1 |" in summary
    assert "| q1 | other: no test passed | 2 |" in summary


def test_summary_without_any_score(tmp_path):
    line = row(slug=None, status="missing", score=0.0, questions={"q1": 0.0})
    _, summary = batch(tmp_path, [], extra=[line])
    assert "No submission has a score." in summary
    assert "| missing | 1 |" in summary


def test_scores_are_distributed(tmp_path):
    _, summary = batch(tmp_path, [(True, True)] * 3 + [(False, False)])
    assert "| 90% to 100% | 3 |" in summary
    assert "| 0% to 10% | 1 |" in summary
    assert "median 100%" in summary
    assert "| q1 | 3 | 2.25 | 3 of 4 |" in summary
