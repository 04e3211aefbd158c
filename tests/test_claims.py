"""The ledger of claims: the record, the check, the scan of chapters, the page."""

import io
import re
from pathlib import Path

import bs4
import numpy as np
import pytest
import sympy as sp
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace, patch_docutils

from _ext import ledger as page
from relubook import claims

ROOT = Path(__file__).parents[1]
CHAPTERS = ROOT / "chapters"

LEDGER = """
squares-are-positive:
  source: [N, L]
  statement: A square $x^2$ is positive.
  evidence: [P, C]
  verdict: conditions
  because: Unless $x = 0$.
  chapter: squares
squares-grow:
  source: [A]
  statement: Squares grow.
  evidence: [C]
  verdict: holds
  chapter: squares
cubes-are-even:
  source: [+]
  statement: Cubes are even functions.
  evidence: [P]
  verdict: fails
  because: They are odd.
  chapter: cubes
"""

NOTEBOOK = """\
---
file_format: mystnb
kernelspec:
  name: python3
  display_name: Python 3
---

# {title}

"""


@pytest.fixture
def book(tmp_path, monkeypatch):
    """An empty book with the small ledger above, which `check` uses."""
    (tmp_path / "chapters").mkdir()
    path = tmp_path / "chapters" / "claims.yml"
    path.write_text(LEDGER)
    small = claims.read(path)
    monkeypatch.setattr(claims, "load", lambda: small)
    monkeypatch.delenv("RELUBOOK_BUILD", raising=False)
    return tmp_path


@pytest.fixture
def build(monkeypatch, book):
    monkeypatch.setenv("RELUBOOK_BUILD", "1")
    return book


def write_chapter(book, name, *cells, front=NOTEBOOK):
    text = front.format(title=name.capitalize())
    for cell in cells:
        text += f"Some prose.\n\n```{{code-cell}} ipython3\n{cell}\n```\n\n"
    path = book / "chapters" / f"{name}.md"
    path.write_text(text)
    return path


# The book's own ledger and chapters


def test_chapters_check_their_claims_once():
    """If this fails: do what each line says; claims.yml is the list of all claims."""
    checks = page.checked_in(sorted(CHAPTERS.glob("*.md")))
    found = page.problems(claims.load(), CHAPTERS, checks)
    assert not found, "\n".join(["claims and chapters disagree:", *found])


def test_ledger_is_read_from_the_chapters_folder():
    assert list(claims.load()) == list(claims.read(CHAPTERS / "claims.yml"))
    assert claims.load() is claims.load()


@pytest.mark.parametrize("claim", claims.load().values(), ids=list(claims.load()))
def test_ledger_text_can_be_shown_everywhere(claim):
    for text in (claim.statement, claim.because):
        assert text.count("$") % 2 == 0
        assert "{" not in re.sub(r"\$[^$]*\$", "", text), "roles are unknown to Jupyter"
        assert re.sub(r"\$[^$]*\$", "", text).count("`") % 2 == 0
        assert text == "" or text.endswith(".")


def test_sources_page_lists_every_chapter_of_the_ledger():
    text = (CHAPTERS / "sources.md").read_text()
    body = re.search(r"```\{ledger\}\n(.*?)```", text, re.DOTALL)[1]
    slugs = [line.partition(":")[0] for line in body.splitlines()]
    assert slugs == list(dict.fromkeys(c.chapter for c in claims.load().values()))


# Reading a ledger


def test_read_gives_claims_in_order(book):
    ledger = claims.load()
    assert list(ledger) == ["squares-are-positive", "squares-grow", "cubes-are-even"]
    assert ledger["squares-grow"] == claims.Claim(
        id="squares-grow",
        source=("A",),
        statement="Squares grow.",
        evidence=("C",),
        verdict="holds",
        chapter="squares",
    )
    assert ledger["cubes-are-even"].sources == "ours"
    with pytest.raises(TypeError):
        ledger["new"] = None


MALFORMED = {
    "empty file": (LEDGER, "", "a ledger is a mapping of claim ids"),
    "a list": (LEDGER, "- a\n- b\n", "a ledger is a mapping of claim ids"),
    "bad yaml": ("[N, L]", "[N, L", "expected ',' or ']'"),
    "duplicate id": (
        "squares-grow:",
        "squares-are-positive:",
        r"'squares-are-positive' stands twice, on lines 2 and 9; keep one",
    ),
    "duplicate field": (
        "  verdict: fails\n",
        "  verdict: fails\n  verdict: holds\n",
        "'verdict' stands twice, on lines 19 and 20",
    ),
    "fields no mapping": (
        LEDGER,
        "squares-grow: yes\n",
        "claim 'squares-grow' is True, but must be a mapping of its fields",
    ),
    "unknown field": (
        "because: They",
        "reason: They",
        "'cubes-are-even' has the unknown field 'reason'; the fields are source, ",
    ),
    "missing field": (
        "  verdict: holds\n",
        "",
        "claim 'squares-grow' lacks the field 'verdict'",
    ),
    "id": ("squares-grow", "Squares_grow", "id is 'Squares_grow', but must be lower"),
    "number as id": ("squares-grow", "1", "id is 1, but must be lower-case words"),
    "list as id": ("squares-grow:", "? [a, b]\n:", "found unhashable key"),
    "chapter": ("chapter: cubes", "chapter: cubes.md", "chapter is 'cubes.md', but"),
    "source": ("[N, L]", "[N, B]", r"source is \['N', 'B'\], but .* of N, L, A, \+"),
    "source no list": ("[N, L]", "N", "source is 'N', but must be a list"),
    "no source": ("[N, L]", "[]", r"source is \[\], but must be a list of one or more"),
    "source twice": ("[N, L]", "[N, N]", r"source is \['N', 'N'\], .* each once"),
    "nested source": ("[N, L]", "[[N]]", r"source is \[\['N'\]\], but must be a list"),
    "evidence": ("[P, C]", "[P, X]", r"evidence is \['P', 'X'\], but .* P, C, E, R"),
    "verdict": ("verdict: fails", "verdict: no", "verdict is False, but must be"),
    "verdict list": ("verdict: fails", "verdict: [a]", r"verdict is \['a'\], but must"),
    "statement": ("Squares grow.", "''", "statement is '', but must be a sentence"),
    "statement number": ("Squares grow.", "3", "statement is 3, but must be"),
    "no conditions": (
        "  because: Unless $x = 0$.\n",
        "",
        r"because is '', but must be a sentence \(to be left out only where",
    ),
    "because no text": ("They are odd.", "3", "because is 3, but must be a sentence"),
}


@pytest.mark.parametrize("old, new, message", MALFORMED.values(), ids=MALFORMED)
def test_read_says_what_is_wrong(tmp_path, old, new, message):
    path = tmp_path / "ledger.yml"
    assert old in LEDGER
    path.write_text(LEDGER.replace(old, new, 1))
    with pytest.raises(ValueError, match=f"(?s)ledger.yml: .*{message}"):
        claims.read(path)


def test_read_leaves_a_missing_file_to_the_system(tmp_path):
    with pytest.raises(FileNotFoundError):
        claims.read(tmp_path / "none.yml")


# Checking a claim


FOR = {"$1 > 0$": True}
AGAINST = {"$0 > 0$ is false": True}


@pytest.mark.parametrize("env", ["", "1"])
@pytest.mark.parametrize(
    "claim_id, holds, fails",
    [
        ("squares-grow", FOR, None),
        ("squares-are-positive", FOR, AGAINST),
        ("cubes-are-even", None, AGAINST),
        ("cubes-are-even", {}, AGAINST),
    ],
)
def test_evidence_that_gives_the_recorded_verdict(
    book, monkeypatch, env, claim_id, holds, fails
):
    monkeypatch.setenv("RELUBOOK_BUILD", env)
    checked = claims.check(claim_id, holds, fails)
    assert checked.supported and checked.missed == ()
    assert checked.verdict == checked.claim.verdict
    shown = checked._repr_markdown_()
    assert checked.claim.statement in shown and checked.claim.because in shown
    assert claims.VERDICTS[checked.verdict] in shown and checked.claim.sources in shown
    assert "✗" not in shown and "differs" not in shown + repr(checked)


UNSUPPORTED = {
    "not found": (
        "squares-grow",
        {"yes": True, "no": False},
        {},
        "did not come out: 'no'",
    ),
    "no contradiction": (
        "cubes-are-even",
        {},
        {"odd": False},
        "did not come out: 'odd'",
    ),
    "both not found": (
        "squares-are-positive",
        {"a": False},
        {"b": False},
        "did not come out: 'a'; 'b'",
    ),
    "too good": ("squares-are-positive", FOR, {}, "the evidence given says 'holds'"),
    "too bad": ("squares-are-positive", {}, AGAINST, "the evidence given says 'fails'"),
    "opposite": ("cubes-are-even", FOR, {}, "the evidence given says 'holds'"),
    "mixed": ("squares-grow", FOR, AGAINST, "the evidence given says 'conditions'"),
}


@pytest.mark.parametrize(
    "claim_id, holds, fails, reason", UNSUPPORTED.values(), ids=UNSUPPORTED
)
def test_unsupported_verdict_stops_the_build(build, claim_id, holds, fails, reason):
    verdict = claims.load()[claim_id].verdict
    message = f"claim '{claim_id}' is recorded as '{verdict}', but {reason}; correct"
    with pytest.raises(claims.ClaimError, match=re.escape(message)):
        claims.check(claim_id, holds, fails)


@pytest.mark.parametrize(
    "claim_id, holds, fails, reason", UNSUPPORTED.values(), ids=UNSUPPORTED
)
def test_unsupported_verdict_differs_for_a_reader(book, claim_id, holds, fails, reason):
    checked = claims.check(claim_id, holds, fails)
    assert not checked.supported
    shown = checked._repr_markdown_()
    recorded = claims.VERDICTS[checked.claim.verdict]
    assert f"**Yours differs:** the book records *{recorded}*;" in shown
    assert f"**Claim {claim_id}: {recorded} – yours differs**" in shown
    assert "Another device, other versions of the libraries, other seeds" in shown
    assert f"yours differs from the recorded '{recorded}'" in repr(checked)
    for sentence in checked.missed:
        assert sentence in shown.split("not found here: ")[1]
        line = rf"✗ (For|Against), but it did not come out: {sentence}"
        assert re.search(line, shown)
    if not checked.missed:
        assert f"the evidence here says *{claims.VERDICTS[checked.verdict]}*" in shown


TRUE = [True, np.True_, sp.true, sp.Gt(2, 1), np.float64(2) > 1, np.all([True])]
FALSE = [False, np.False_, sp.false, sp.Gt(1, 2), np.float64(1) > 2, np.all([False])]


@pytest.mark.parametrize("expected, values", [(True, TRUE), (False, FALSE)])
def test_truth_values(book, expected, values):
    for value in values:
        checked = claims.check("squares-grow", holds={"x": value})
        assert checked.holds == {"x": expected} and checked.holds["x"] is expected


@pytest.mark.parametrize(
    "value",
    [1, 0.0, None, "True", [], float("nan"), np.array([True]), np.array([True, False]),
     np.array(True), sp.Symbol("x") > 0, sp.Integer(1), sp.Symbol("x"), len],
    ids=repr,
)
@pytest.mark.parametrize("argument", ["holds", "fails"])
def test_other_values_are_no_evidence(book, argument, value):
    message = rf"{argument}\['some finding'\] is .*, but must be True or False; reduce"
    with pytest.raises(TypeError, match=f"(?s){message}"):
        claims.check("squares-grow", **{argument: {"some finding": value}})


@pytest.mark.parametrize("evidence", [[("a", True)], True, {"a"}, "a"])
def test_evidence_must_be_a_mapping(book, evidence):
    name = type(evidence).__name__
    with pytest.raises(TypeError, match=f"holds is a {name}, but must map sentences"):
        claims.check("squares-grow", evidence)


@pytest.mark.parametrize("key", [1, "", "  ", None])
def test_evidence_needs_sentences(book, key):
    message = "fails has the key .*, but must have sentences"
    with pytest.raises(TypeError, match=message):
        claims.check("squares-grow", fails={key: True})


@pytest.mark.parametrize("argument", ["holds", "fails"])
def test_sentences_that_differ_in_white_space_are_one(book, argument):
    evidence = {"it  grows": False, " it\ngrows ": True}
    with pytest.raises(ValueError, match=f"{argument} has 'it grows' twice"):
        claims.check("squares-grow", **{argument: evidence})


@pytest.mark.parametrize("evidence", [(), ({},), ({}, {}), (None, None)])
def test_a_check_without_evidence(book, evidence):
    message = "'squares-grow' was checked without evidence; give at least one sentence"
    with pytest.raises(ValueError, match=message):
        claims.check("squares-grow", *evidence)


def test_unknown_claim_suggests_the_nearest(book):
    message = "no claim 'square-grows'; did you mean 'squares-grow'?"
    with pytest.raises(LookupError, match=re.escape(message)):
        claims.check("square-grows", holds=FOR)


def test_unknown_claim_without_a_neighbour(book):
    message = "no claim 'zzz'; look up its id in chapters/claims.yml, or add it there"
    with pytest.raises(LookupError, match=message):
        claims.check("zzz", holds=FOR)


def test_claim_id_must_be_a_string(book):
    with pytest.raises(TypeError, match="claim_id=3 must be a string"):
        claims.check(3, holds=FOR)


def test_the_evidence_is_kept_as_it_was(book):
    evidence = {"a": True}
    checked = claims.check("squares-grow", evidence)
    evidence["a"] = False
    assert checked.supported
    with pytest.raises(TypeError):
        checked.holds["a"] = False
    with pytest.raises(AttributeError):
        checked.claim = None


def test_markdown_in_the_build(build):
    checked = claims.check("squares-are-positive", FOR, AGAINST)
    assert checked._repr_markdown_() == """\
(claim-squares-are-positive)=
:::{admonition} Claim squares-are-positive: holds under conditions
:class: claim claim-conditions

A square $x^2$ is positive. *(note after Bishop & Bishop; lecture handout)*

Unless $x = 0$.

- ✓ For: $1 > 0$
- ✓ Against: $0 > 0$ is false
:::"""


def test_markdown_for_a_reader(book):
    checked = claims.check("squares-grow", {"it\n  grows": True})
    assert checked._repr_markdown_() == """\
> **Claim squares-grow: holds**
>
> Squares grow. *(article after Goodfellow et al.)*
>
> - ✓ For: it grows"""


def test_text_for_a_terminal(book):
    checked = claims.check("squares-grow", {"it grows": True, "fast": False})
    assert repr(checked) == """\
squares-grow: yours differs from the recorded 'holds'
  ✓ For: it grows
  ✗ For, but it did not come out: fast"""


# Finding the checks in the chapters


def test_scan_finds_every_spelling_with_its_line(book):
    path = write_chapter(
        book,
        "squares",
        ':tags: [hide-input]\n\nclaims.check("a", holds={})',
        '---\ntags: [gpu]\n---\nx = 1\n\nrelubook.claims.check(\n    "b",\n)',
        "from relubook.claims import check as confront",
        'last = [confront(claim_id="c")]',
        'check("d")\nother.check("e")\nclaims.load("f")',  # not ours
    )
    lines = path.read_text().splitlines()
    found = page.checked_in([path])
    assert list(found) == ["a", "b", "c"]
    for claim_id, text in (
        ("a", 'claims.check("a"'),
        ("b", "relubook.claims.check("),
        ("c", "last = ["),
    ):
        ((where, line),) = found[claim_id]
        assert where == path and lines[line - 1].startswith(text)


def test_scan_ignores_what_the_book_does_not_execute(book):
    path = write_chapter(book, "squares", front="# Squares\n\n")
    path.write_text(path.read_text() + '```{code-cell}\nclaims.check("a")\n```\n')
    quoted = NOTEBOOK + '```python\nclaims.check("a")\n```\n'
    other = write_chapter(book, "cubes", front=quoted)
    empty = book / "chapters" / "empty.md"
    empty.write_text("")
    assert page.checked_in([path, other, empty]) == {}


@pytest.mark.parametrize(
    "cell, came",
    [("claims.check(name, {})", "name"), ("claims.check()", "nothing"),
     ('claims.check(f"a{1}")', "f'a{1}'"), ("claims.check(1)", "1")],
)
def test_scan_wants_literal_ids(book, cell, came):
    path = write_chapter(book, "squares", cell)
    line = path.read_text().splitlines().index(cell) + 1
    message = f"squares.md:{line}: claims.check is given {came} as its claim; write"
    with pytest.raises(ValueError, match=re.escape(message)):
        page.checked_in([path])


def test_scan_wants_python(book):
    path = write_chapter(book, "squares", "x = 1", "y = 2\n%matplotlib inline")
    line = path.read_text().splitlines().index("%matplotlib inline") + 1
    with pytest.raises(ValueError, match=f"squares.md:{line}: this cell is not Python"):
        page.checked_in([path])


def problems_of(book):
    chapters = book / "chapters"
    checks = page.checked_in(sorted(chapters.glob("*.md")))
    return page.problems(claims.load(), chapters, checks)


BOTH = 'claims.check("squares-grow")\nclaims.check("squares-are-positive")'


def test_no_chapter_and_no_problem(book):
    assert problems_of(book) == []


def test_finished_chapter_without_problem(book):
    write_chapter(book, "squares", BOTH)
    assert problems_of(book) == []


def test_missing_check_of_a_finished_chapter(book):
    write_chapter(book, "squares", 'claims.check("squares-grow")')
    (found,) = problems_of(book)
    assert found == (
        "squares.md: claim 'squares-are-positive' is not checked; call "
        'claims.check("squares-are-positive", ...) where its evidence lands, '
        "or change the chapter in claims.yml"
    )


def test_claim_checked_twice(book):
    write_chapter(book, "squares", BOTH, 'claims.check("squares-grow")')
    (found,) = problems_of(book)
    assert re.fullmatch(
        r"squares.md:\d+ and squares.md:\d+: claim 'squares-grow' is checked 2 times; "
        "keep the check where the evidence lands",
        found,
    )


def test_unknown_claim_in_a_chapter(book):
    write_chapter(book, "squares", BOTH, 'claims.check("cubes-are-evn")')
    (found,) = problems_of(book)
    message = (
        r"squares.md:\d+: the ledger has no claim 'cubes-are-evn'; "
        r"did you mean 'cubes-are-even'\?"
    )
    assert re.fullmatch(message, found)


def test_claim_checked_in_another_chapter(book):
    write_chapter(book, "squares", BOTH, 'claims.check("cubes-are-even")')
    (found,) = problems_of(book)
    assert re.fullmatch(
        r"squares.md:\d+: claim 'cubes-are-even' belongs to cubes.md; "
        "move the check there, or change the chapter in claims.yml",
        found,
    )


# The page


CONF = {
    "extensions": ["myst_nb", "sphinx.ext.mathjax", "_ext.ledger"],
    "exclude_patterns": ["_build"],
    "myst_enable_extensions": ["colon_fence", "dollarmath"],
    "nb_render_markdown_format": "myst",
    "nb_execution_mode": "force",
    "nb_execution_raise_on_error": True,
    "nitpicky": True,
    "language": "en",
    "html_theme": "basic",
}

INDEX = """\
# Book

```{toctree}
:glob:
sources
chapters/*
```
"""

SOURCES = """\
# Sources

```{ledger}
squares: On squares
cubes: On cubes
```
"""

# Stands in for the kernel's: the small book's ledger instead of the real one.
SETUP = "from relubook import claims\nclaims.load = lambda: claims.read('claims.yml')"


def sphinx(book, **conf):
    """Build the book incrementally; return the warnings."""
    for name, text in (("index", INDEX), ("sources", SOURCES)):
        if not (book / f"{name}.md").exists():
            (book / f"{name}.md").write_text(text)
    out, warnings = book / "_build", io.StringIO()
    with patch_docutils(), docutils_namespace():
        app = Sphinx(
            *(book, None, out, out, "html"), {**CONF, **conf}, None, warnings
        )
        app.build()
    return warnings.getvalue()


def html_of(book, page_name="sources"):
    text = (book / "_build" / f"{page_name}.html").read_text()
    return bs4.BeautifulSoup(text, "html.parser")


def test_page_links_to_the_executed_evidence(build, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # for the kernel
    book = build
    write_chapter(
        book,
        "squares",
        SETUP,
        'claims.check("squares-grow", {"$1 < 4$": True})',
        'claims.check("squares-are-positive", {"x": True}, {"y": True})',
    )
    assert sphinx(book) == ""

    sources = html_of(book)
    text = " ".join(sources.get_text().split())
    assert "Of 3 claims, 2 are examined so far" in text
    assert "(holds: 1, holds under conditions: 1, fails: 0)" in text
    assert "The verdicts of the other 1 are what we expect." in text
    assert [h.contents[0] for h in sources.select("h2")] == ["On squares", "On cubes"]

    term = sources.find(id="ledger-squares-are-positive")
    assert "squares-are-positive – holds under conditions" in term.get_text()
    entry = term.find_next_sibling("dd")
    assert entry.select_one("span.math").get_text() == r"\(x^2\)"
    assert "note after Bishop & Bishop; lecture handout" in entry.get_text()
    assert "Evidence: proof, computation" in entry.get_text()
    (link,) = entry.select("a")
    assert link["href"] == "chapters/squares.html#claim-squares-are-positive"

    open_term = sources.find(id="ledger-cubes-are-even")
    assert "not examined yet (expected: fails)" in open_term.get_text()
    assert not open_term.find_next_sibling("dd").select("a")
    assert "this chapter is still to be written" in text

    evidence = html_of(book, "chapters/squares").find(id="claim-squares-grow")
    assert evidence["class"] == ["claim", "claim-holds", "admonition"]
    assert "Claim squares-grow: holds" in evidence.get_text()
    assert evidence.select("li span.math")


def test_page_follows_the_chapters_and_says_what_is_wrong(build):
    """One book, edited three times: incremental builds see each edit."""
    (build / "chapters" / "other.md").write_text("# Another page\n")
    assert sphinx(build) == ""
    assert "Of 3 claims, 0 are examined" in html_of(build).get_text()

    # A chapter appears, without its checks.
    path = write_chapter(build, "squares", front="# Squares\n")
    warnings = sphinx(build)
    assert "sources.md:3: WARNING: squares.md: claim 'squares-grow' is not" in warnings
    assert "squares.md: claim 'squares-are-positive' is not checked; call" in warnings
    assert warnings.count("WARNING") == 2

    # The ledger has a chapter that the page does not list.
    path.unlink()
    ledger = build / "chapters" / "claims.yml"
    ledger.write_text(LEDGER.replace("chapter: cubes", "chapter: powers"))
    warnings = sphinx(build)
    assert "lists ['squares', 'cubes'], but claims.yml has ['squares', 'powers']" in (
        warnings
    )

    # The ledger is malformed.
    ledger.write_text(LEDGER.replace("verdict: fails", "verdict: maybe"))
    warnings = sphinx(build)
    assert "claim 'cubes-are-even': verdict is 'maybe', but must be one of" in warnings


def test_dead_link_to_the_evidence_is_a_warning(build):
    """A check in a page that was not executed leaves no anchor."""
    write_chapter(build, "squares", BOTH)
    assert "undefined label: 'claim-squares-grow'" in sphinx(
        build, nb_execution_mode="off"
    )
