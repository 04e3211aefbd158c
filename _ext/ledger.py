"""The ledger of claims on a page: the `{ledger}` directive, and what it demands.

    ```{ledger}
    rectified-linear-unit: The rectified linear unit
    differentiability: Differentiability
    ```

The body names each chapter of `chapters/claims.yml` with its heading on the page, in
order: a chapter still to be written has no title of its own yet. A chapter is finished
when `chapters/<chapter>.md` exists; then each of its claims must be checked in it once.
"""

import ast
from collections import Counter
from pathlib import Path

import yaml
from docutils import nodes
from docutils.statemachine import StringList
from myst_nb.core.read import is_myst_markdown_notebook, read_myst_markdown_notebook
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

from relubook import claims

logger = logging.getLogger(__name__)


def checked_in(pages):
    """Find where the code cells of `pages` call `claims.check`, without running them.

    Returns {claim id: [(path, line), ...]}. `relubook.claims.check` and a `check` that
    the page imports from `relubook.claims` count too. Raises ValueError, with file and
    line, for an id that is not a literal string and for a cell that is not Python.
    """
    found = {}
    for path in map(Path, pages):
        cells = list(_code_cells(path))
        names = {"claims.check", "relubook.claims.check"}.union(
            *(_imported_names(tree) for tree, _ in cells)
        )
        for tree, start in cells:
            for call in ast.walk(tree):
                if isinstance(call, ast.Call) and ast.unparse(call.func) in names:
                    line = start + call.lineno
                    found.setdefault(_literal_id(call, path, line), []).append(
                        (path, line)
                    )
    return found


def problems(ledger, chapters, checks) -> list[str]:
    """Say what is wrong between the ledger and the checks in the folder `chapters`.

    `checks` is what `checked_in` found. Each message names the claim and the place, and
    says what to do.
    """
    found = []
    for claim_id, places in checks.items():
        where = " and ".join(f"{path.name}:{line}" for path, line in places)
        if claim_id not in ledger:
            found.append(f"{where}: {claims.unknown(claim_id, ledger)}")
            continue
        if len(places) > 1:
            found.append(
                f"{where}: claim {claim_id!r} is checked {len(places)} times; "
                "keep the check where the evidence lands"
            )
        home = f"{ledger[claim_id].chapter}.md"
        if any(path.name != home for path, _ in places):
            found.append(
                f"{where}: claim {claim_id!r} belongs to {home}; move the check there, "
                "or change the chapter in claims.yml"
            )
    for claim in ledger.values():
        page = chapters / f"{claim.chapter}.md"
        if page.exists() and claim.id not in checks:
            found.append(
                f"{page.name}: claim {claim.id!r} is not checked; call "
                f'claims.check("{claim.id}", ...) where its evidence lands, '
                "or change the chapter in claims.yml"
            )
    return found


class Ledger(SphinxDirective):
    """Show the whole ledger, chapter by chapter, with links to the evidence."""

    has_content = True

    def run(self):
        chapters = Path(self.env.srcdir) / "chapters"
        pages = sorted(chapters.glob("*.md"))
        self.env.note_dependency("chapters/claims.yml")
        self.env.note_dependency("_toc.yml")  # a new chapter changes this page too
        for page in pages:
            self.env.note_dependency(f"chapters/{page.name}")
        try:
            ledger = claims.read(chapters / "claims.yml")
            headings = self._headings(ledger)
            checks = checked_in(pages)
        except (OSError, ValueError) as error:
            raise self.error(str(error)) from error
        for problem in problems(ledger, chapters, checks):
            logger.warning(problem, location=self.get_location(), type="ledger")
        content = self._parse(_summary(ledger, checks))
        for slug, heading in headings.items():
            chapter = [claim for claim in ledger.values() if claim.chapter == slug]
            written = (chapters / f"{slug}.md").exists()
            content.append(self._section(slug, heading, chapter, checks, written))
        return content

    def _headings(self, ledger):
        headings = yaml.safe_load("\n".join(self.content))
        wanted = list(dict.fromkeys(claim.chapter for claim in ledger.values()))
        if not isinstance(headings, dict) or set(headings) != set(wanted):
            came = list(headings) if isinstance(headings, dict) else headings
            raise ValueError(
                f"the ledger directive lists {came}, but claims.yml has {wanted}; "
                "give each of these chapters a line 'chapter: heading'"
            )
        return headings

    def _section(self, slug, heading, chapter, checks, written):
        section = nodes.section("", nodes.title("", heading), names=[heading.lower()])
        self.state.document.note_implicit_target(section)
        where = "Not examined yet: this chapter is still to be written."
        if written:
            where = f"Examined in {{doc}}`/chapters/{slug}`."
        section += self._parse(where)
        entries = (self._entry(claim, claim.id in checks) for claim in chapter)
        section += nodes.definition_list("", *entries, classes=["ledger"])
        return section

    def _entry(self, claim, examined):
        verdict = claims.VERDICTS[claim.verdict]
        state = verdict if examined else f"not examined yet (expected: {verdict})"
        term = nodes.term(
            "",
            "",
            nodes.literal("", claim.id),
            nodes.Text(" – "),
            nodes.strong("", state),
            ids=[f"ledger-{claim.id}"],
            classes=[f"claim-{claim.verdict if examined else 'open'}"],
        )
        definition = nodes.definition("", *self._parse(_description(claim, examined)))
        return nodes.definition_list_item("", term, definition)

    def _parse(self, markdown):
        parsed = nodes.Element()
        lines = StringList(markdown.splitlines(), source="chapters/claims.yml")
        self.state.nested_parse(lines, 0, parsed)
        return parsed.children


def _summary(ledger, checks):
    examined = [claim for claim in ledger.values() if claim.id in checks]
    count = Counter(claim.verdict for claim in examined)
    verdicts = ", ".join(
        f"{words}: {count[verdict]}" for verdict, words in claims.VERDICTS.items()
    )
    return (
        f"Of {len(ledger)} claims, {len(examined)} are examined so far ({verdicts}). "
        f"The verdicts of the other {len(ledger) - len(examined)} are what we expect."
    )


def _description(claim, examined):
    evidence = ", ".join(claims.EVIDENCE[letter] for letter in claim.evidence)
    about = f"*Source:* {claim.sources} · *Evidence:* {evidence}"
    if examined:
        about += f" · {{ref}}`Where {claim.id} is examined <claim-{claim.id}>`"
    return "\n\n".join(filter(None, (claim.statement, claim.because, about)))


def _code_cells(path):
    """Yield each code cell's syntax tree and how many lines of the file precede it."""
    text = path.read_text(encoding="utf-8")
    if not is_myst_markdown_notebook(text):
        return  # the book does not execute such a page
    notebook = read_myst_markdown_notebook(text, add_source_map=True, path=path)
    lines = text.splitlines()
    for cell, fence in zip(notebook.cells, notebook.metadata.source_map, strict=True):
        if cell.cell_type != "code":
            continue
        start = _find(cell.source.splitlines(), lines, fence)
        try:
            yield ast.parse(cell.source), start
        except SyntaxError as error:
            line = start + (error.lineno or 1)
            raise ValueError(
                f"{path.name}:{line}: this cell is not Python ({error.msg}); "
                "the ledger cannot look for checks in it"
            ) from error


def _find(body, lines, start):
    """Find the line where a cell's code begins: after its options, if it has any."""
    ends = range(start, len(lines) - len(body) + 1)
    return next((i for i in ends if lines[i : i + len(body)] == body), start)


def _imported_names(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "relubook.claims":
            yield from (
                alias.asname or alias.name
                for alias in node.names
                if alias.name == "check"
            )


def _literal_id(call, path, line):
    keywords = {keyword.arg: keyword.value for keyword in call.keywords}
    claim_id = call.args[0] if call.args else keywords.get("claim_id")
    if isinstance(claim_id, ast.Constant) and isinstance(claim_id.value, str):
        return claim_id.value
    came = ast.unparse(claim_id) if claim_id else "nothing"
    raise ValueError(
        f"{path.name}:{line}: claims.check is given {came} as its claim; write the id "
        "as a literal string, so that the ledger can find it without running the page"
    )


def setup(app):
    app.add_directive("ledger", Ledger)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
