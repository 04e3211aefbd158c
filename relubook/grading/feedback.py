"""What students get back, and what an instructor learns from a batch.

A page shows a student the public tests with their messages, of the hidden ones only how
many passed and their hints. Everything that a submission can put on a page (messages,
notes, output, file names) is shown as text: it can end no fence and start no markup.
"""

import functools
import html as html_escapes
import json
import math
import re
import statistics
from collections import Counter
from dataclasses import dataclass

from relubook.grading import assignments, tables
from relubook.grading.tables import number

MOST_OUTPUT = 4_000  # characters of a notebook's output on the page
MOST_MESSAGE = 2_000  # characters of a test's message
MOST_PAGE_NOTES = 30

# A student's page --------------------------------------------------------------------


def page(assignment, row, result, manual) -> str:
    """The feedback on one submission, in Markdown.

    `row` is its row of `grades.csv` (a dict of `batch`), `result` what the grader found,
    `manual` the points given by hand.
    """
    parts = [f"# {inline(assignment.title)}", _heading(row)]
    parts += [_status(row["status"])]
    for question, points in assignment.points.items():
        cases = result["questions"].get(question, {}).get("cases", [])
        if question not in assignment.rubric and not cases:
            continue
        got = row["questions"][question]
        said = "not yet graded" if got is None else f"{number(got)} of {_points(points)}"
        parts.append(f"## {inline(question)}: {said}")
        if question in assignment.rubric:
            parts += _by_hand(manual.comments(row["id"], question))
        if cases:
            parts += _tests(cases)
    if result["notes"]:
        parts.append("## Notes on your notebook")
        parts.append(_bullets(map(inline, result["notes"][:MOST_PAGE_NOTES])))
    if (result["output"] or "").strip():
        parts.append("## What your notebook printed before the tests")
        parts.append(fenced(result["output"], MOST_OUTPUT))
    return "\n\n".join(filter(None, parts)) + "\n"


def _heading(row):
    name = f"{row['name']} ({row['id']})" if row["name"] else row["id"]
    lines = [inline(name)]
    if row["score"] is not None:
        lines.append(f"**{number(row['score'])} of {_points(row['possible'])}**")
    lines.append(f"File: {_within(row['file'])}")
    return "  \n".join(lines)


def _status(status):
    why = inline(status.partition(": ")[2])
    kind = status.partition(":")[0]
    if kind == "stopped":
        return (
            f"Part of your code was stopped ({why}). What it would have done counts as "
            "not done; everything else was graded."
        )
    if kind == "unreadable":
        return f"Your file could not be read as a notebook: {why}."
    if kind == "grader-error":
        return "Your submission has not been graded yet. This is not your fault."
    return ""


def _tests(cases):
    public = [case for case in cases if not case["hidden"]]
    hidden = [case for case in cases if case["hidden"]]
    parts = []
    for case in public:
        verdict = "passed" if case["passed"] else "failed"
        line = f"`{_name(case['name'])}` ({_points(case['points'])}): **{verdict}**"
        if case["passed"]:
            parts.append(line)
            continue
        parts.append(f"{line}. {_sentence(case['hint'])}".rstrip())
        if case["message"]:
            parts.append(fenced(case["message"], MOST_MESSAGE))
    if hidden:
        passed = sum(case["passed"] for case in hidden)
        parts.append(f"{passed} of {_count(len(hidden), 'further check')} passed.")
        hints = [case["hint"] for case in hidden if not case["passed"] and case["hint"]]
        if hints:
            parts.append(_bullets(map(_sentence, dict.fromkeys(hints))))
    return parts


def _by_hand(lines):
    parts = []
    for criterion, points, comment, of in lines:
        got = "not yet graded" if points is None else f"{number(points)} of {number(of)}"
        said = f": {inline(comment)}" if comment else ""
        parts.append(f"{inline(criterion)}, {got}{said}")
    return [_bullets(parts)]


def _name(test):
    """A test's name, inside backticks."""
    return re.sub(r"[^A-Za-z0-9_]", "?", test)


def _sentence(hint):
    """An instructor's hint, in one line."""
    return " ".join((hint or "").split())


def _points(value):
    return _count(value, "point")


def _count(value, noun):
    return f"{number(value)} {noun}" + ("" if value == 1 else "s")


def _bullets(lines):
    return "\n".join(f"- {line}" for line in lines)


def inline(text) -> str:
    """Text in one line that Markdown takes for nothing but text.

    >>> print(inline("1. a*b* <b>\\n# c"))
    1\\. a\\*b\\* \\<b\\> \\# c
    """
    # what a list, a rule or an underline would begin with is text as well
    return re.sub(r"^(\d*)([-+=.)])", r"\1\\\2", _within(text))


def _within(text):
    """`inline` for text that does not begin a line."""
    text = " ".join(clean(str(text)).split())
    return re.sub(r"([\\`*_\[\]<>&!#|~$])", r"\\\1", text)


def fenced(text, most) -> str:
    """Text in a fence that is longer than any it holds.

    >>> print(fenced("```\\n# out", 100))
    ````text
    ```
    # out
    ````
    """
    text = clean(text)
    if len(text) > most:
        text = text[:most].rstrip() + "\n[cut off here]"
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text.rstrip()}\n{fence}"


def clean(text) -> str:
    """Text without control characters, colours of a terminal, and turned directions."""
    text = re.sub(r"\x1b\[[0-9;?]*[ -/]*[@-~]", "", text)
    text = re.sub(r"\r\n?|\x85|\u2028|\u2029", "\n", text)
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text)


_STYLE = (
    "body{max-width:44rem;margin:2rem auto;padding:0 1rem;font:1rem/1.5 system-ui,"
    "sans-serif;color-scheme:light dark}pre{padding:.7rem;overflow-x:auto;border:1px "
    "solid #8888;border-radius:.3rem}h2{margin-top:2rem;font-size:1.15rem}"
    "table{border-collapse:collapse}td,th{padding:.2rem .7rem;border:1px solid #8888;"
    "text-align:left}"
)


def html(assignment, text) -> str:
    """A page's Markdown as a self-contained HTML file without scripts."""
    title = html_escapes.escape(f"Feedback: {assignment.title}")
    return (
        '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width">\n'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'\">\n"
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n"
        f"{_renderer().render(text)}</html>\n"
    )


@functools.cache
def _renderer():
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")


# Item analysis -----------------------------------------------------------------------


@dataclass(frozen=True)
class Mistake:
    """A known mistake of `answers.yml`: what it is about, and a submission that makes it.

    `questions` are those whose score it lowers, `cells` a whole submission.
    """

    name: str
    about: str
    questions: tuple[str, ...]
    cells: tuple[str, ...]


def mistakes(assignment) -> list[Mistake]:
    """The known mistakes that an assignment was built with."""
    return [
        Mistake(
            answer.name,
            answer.about,
            tuple(answer.scores),
            tuple(assignments.cells(assignment, after={answer.question: answer.code})),
        )
        for answer in assignments.answers(assignment)
        if not answer.right
    ]


def pattern(question) -> tuple[str, ...]:
    """Which tests passed, in a question's result."""
    return tuple(sorted(case["name"] for case in question["cases"] if case["passed"]))


@dataclass
class _Item:
    """Sums over the answers to one test, from which its statistics follow."""

    hidden: bool
    points: float
    count: int = 0
    passed: int = 0
    rest: float = 0.0  # the sum of what the other tests gave
    rest_if_passed: float = 0.0
    squares: float = 0.0

    def add(self, passed, rest):
        self.count += 1
        self.passed += passed
        self.rest += rest
        self.rest_if_passed += rest * passed
        self.squares += rest * rest

    @property
    def discrimination(self):
        """The point-biserial correlation with the score of all other tests, or None."""
        failed = self.count - self.passed
        if not self.passed or not failed:
            return None
        variance = self.squares / self.count - (self.rest / self.count) ** 2
        if variance <= 1e-12:
            return None
        gap = self.rest_if_passed / self.passed
        gap -= (self.rest - self.rest_if_passed) / failed
        share = self.passed / self.count
        return gap * math.sqrt(share * (1 - share) / variance)


def write_analysis(assignment, out, rows, known=None) -> None:
    """Write `items.csv` and `summary.md` about a batch.

    `known` maps questions to patterns and the mistakes that make them (from
    `batch.patterns`); None where known mistakes have not been graded.
    """
    items, mistakes = {}, {}
    for row in rows:
        ran = row["status"].partition(":")[0] in ("ok", "stopped")
        if row["slug"] is None or not ran:
            continue
        path = out / "results" / f"{row['slug']}.json"
        try:
            result = json.loads(path.read_text("utf-8"))["result"]
        except (OSError, ValueError, KeyError):
            continue
        _count_result(result, items, mistakes, known)
    lines = [
        {
            "question": question,
            "test": test,
            "hidden": "yes" if item.hidden else "no",
            "points": item.points,
            "answers": item.count,
            "passed": item.passed,
            "pass_rate": item.passed / item.count,
            "discrimination": item.discrimination,
        }
        for (question, test), item in items.items()
    ]
    columns = ["question", "test", "hidden", "points", "answers", "passed", "pass_rate"]
    tables.write(out / "items.csv", tables.csv_text([*columns, "discrimination"], lines))
    text = _summary(assignment, rows, lines, mistakes, known)
    tables.write(out / "summary.md", text)


def _count_result(result, items, mistakes, known):
    total = result["score"]
    for question, answer in result["questions"].items():
        for case in answer["cases"]:
            fresh = _Item(case["hidden"], case["points"])
            item = items.setdefault((question, case["name"]), fresh)
            item.add(case["passed"], total - case["points"] * case["passed"])
        if all(case["passed"] for case in answer["cases"]):
            continue
        passed = pattern(answer)
        alike = (known or {}).get(question, {}).get(passed)
        if alike:
            label = " Or: ".join(each.about.strip() for each in alike)
        else:
            label = "other" if passed else "other: no test passed"
        mistakes.setdefault(question, Counter())[label] += 1


def _summary(assignment, rows, lines, mistakes, known):
    counts = Counter(row["status"].partition(":")[0] for row in rows)
    parts = [
        f"# {inline(assignment.title)}: summary",
        _table(("Status", "Rows"), sorted(counts.items())),
        *_distribution(rows),
        "## Questions",
        _table(("Question", "Of", "Mean", "Full points"), _questions(assignment, rows)),
        "## Tests",
        "Discrimination is the correlation of passing a test with the score of all other "
        "tests: near 0 or below, the test deserves a look.",
        _table(
            ("Question", "Test", "Points", "Passed", "Discrimination"),
            [
                (
                    line["question"],
                    line["test"] + (" (hidden)" if line["hidden"] == "yes" else ""),
                    number(line["points"]),
                    f"{line['passed']} of {line['answers']} ({line['pass_rate']:.0%})",
                    _two_digits(line["discrimination"]),
                )
                for line in lines
            ],
        ),
        "## Mistakes",
        "Answers without full points, by the known mistake that fails the same tests."
        if known is not None
        else "Known mistakes were not compared.",
        _table(
            ("Question", "Resembles", "Answers"),
            [
                (question, label, count)
                for question, labels in sorted(mistakes.items())
                for label, count in labels.most_common()
            ],
        ),
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def _distribution(rows):
    """Quartiles and a histogram of the share of points reached."""
    shares = [
        row["score"] / row["possible"]
        for row in rows
        if row["score"] is not None and row["possible"] and row["status"] != "missing"
    ]
    if not shares:
        return ["No submission has a score."]
    middle = f"median {statistics.median(shares):.0%}"
    if len(shares) > 1:
        low, _, high = statistics.quantiles(shares, n=4, method="inclusive")
        middle += f", half of them between {low:.0%} and {high:.0%}"
    bins = Counter(min(int(share * 10 + 1e-9), 9) for share in shares)
    widest = max(bins.values())
    bars = [
        (f"{10 * k}% to {10 * k + 10}%", bins[k], "█" * round(30 * bins[k] / widest))
        for k in range(10)
    ]
    return [
        "## Scores",
        f"{_count(len(shares), 'submission')}: mean {statistics.fmean(shares):.0%} of the "
        f"points, {middle}.",
        _table(("Share of points", "Submissions", ""), bars),
    ]


def _questions(assignment, rows):
    for question, points in assignment.points.items():
        got = [
            row["questions"][question]
            for row in rows
            if row["status"] != "missing" and row["questions"][question] is not None
        ]
        if got:
            full = sum(value >= points - 1e-9 for value in got)
            mean = f"{statistics.fmean(got):.2f}"
            yield question, number(points), mean, f"{full} of {len(got)}"
        else:
            yield question, number(points), "", ""


def _two_digits(value):
    return "" if value is None else f"{value:.2f}"


def _table(header, rows):
    rows = [[_within(cell) for cell in row] for row in rows]
    if not rows:
        return ""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
