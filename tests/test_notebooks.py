"""The `.ipynb` twins: what they show, that they are up to date, and that they run.

A small but complete book in `tests/data/notebooks` uses everything a chapter may use.
Sphinx builds it, which tells whether the links of its twin lead anywhere.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from tools import notebooks

ROOT = notebooks.ROOT
BOOK = Path(__file__).parent / "data" / "notebooks"
SITE = "https://books.example.org/minibook/"
KINK = f"{SITE}chapters/kink.html"

CHAPTERS = sorted(ROOT.glob("chapters/*.ipynb"))

FRONT = """\
---
jupytext:
  text_representation: {extension: .md, format_name: myst}
kernelspec: {display_name: Python 3, language: python, name: python3}
---

# A page

"""
CODE = "\n\n```{code-cell} ipython3\n1 + 1\n```\n"


@pytest.fixture
def book(tmp_path):
    """A copy of the small book, to change."""
    return Path(shutil.copytree(BOOK, tmp_path / "book"))


@pytest.fixture
def convert(book):
    """The Markdown of the twin of a page with this text, without its first cells."""

    def convert(text, code=CODE):
        page = book / "chapters" / "page.md"
        page.write_text(FRONT + text + code, encoding="utf-8")
        return markdown(notebooks.twin(page)).partition("# A page")[2].strip()

    return convert


@pytest.fixture(scope="module")
def kink():
    return notebooks.twin(BOOK / "chapters" / "kink.md")


def markdown(notebook):
    cells = (cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    return "\n\n".join(cells)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


# --- What the pages write and the twins show ------------------------------------------


@pytest.mark.parametrize(
    "source, shown",
    [
        ("{ref}`kink`", f"[The kink of $\\operatorname{{ReLU}}$]({KINK}#kink)"),
        ("{ref}`here <kink>`", f"[here]({KINK}#kink)"),
        ("{numref}`fig-relu`", f"[Figure relu]({KINK}#fig-relu)"),
        ("{numref}`Fig. %s <fig-relu>`", f"[Fig. relu]({KINK}#fig-relu)"),
        ("{numref}`Exercise %s <ex-two>`", f"[Exercise (Two kinks)]({KINK}#ex-two)"),
        ("{prf:ref}`prop-kink`", f"[Proposition (The kink is real)]({KINK}#prop-kink)"),
        ("{prf:ref}`lem-homogeneous`", f"[Lemma homogeneous]({KINK}#lem-homogeneous)"),
        ("{ref}`ex-two`", f"[Exercise (Two kinks)]({KINK}#ex-two)"),
        ("{ref}`sol-two`", f"[Solution of Exercise (Two kinks)]({KINK}#sol-two)"),
        ("{eq}`eq-relu`", f"[(relu)]({KINK}#equation-eq-relu)"),
        ("{doc}`kink`", f"[The kink of $\\operatorname{{ReLU}}$]({KINK})"),
        ("{doc}`first </chapters/kink>`", f"[first]({KINK})"),
        ("{term}`ReLU`", f"[ReLU]({SITE}chapters/glossary.html#term-ReLU)"),
        ("{term}`dead <dead unit>`",
         f"[dead]({SITE}chapters/glossary.html#term-dead-unit)"),
        ("{cite:t}`nair2010`",
         f"[Nair and Hinton (2010)]({SITE}chapters/bibliography.html)"),
        ("{cite:p}`maas2013,hoelder1889`",
         f"([Maas et al., 2013]({SITE}chapters/bibliography.html); "
         f"[Hölder, 1889]({SITE}chapters/bibliography.html))"),
        ("{cite:t}`vandervaart1998`",
         f"[van der Vaart (1998)]({SITE}chapters/bibliography.html)"),
        ("is {glue:text}`slope:.2f`.", f"is [`slope`]({SITE}chapters/page.html)."),
        ("is {glue:}`slope`.", f"is [`slope`]({SITE}chapters/page.html)."),
        ("{math}`z^2`", "$z^2$"),
        ("{kbd}`Tab`", "<kbd>Tab</kbd>"),
        ("x{sub}`1`{sup}`2`", "x<sub>1</sub><sup>2</sup>"),
        ("{abbr}`GPU (graphics processor)`",
         '<abbr title="graphics processor">GPU</abbr>'),
        ("{download}`the graph <graph.svg>`",
         "[the graph](https://git.example.org/minibook/blob/main/chapters/graph.svg)"),
        ("[text *x*](#kink)", f"[text *x*]({KINK}#kink)"),
        ("[](#sec-slopes)",
         f"[Slopes from both sides]({SITE}chapters/secants.html#sec-slopes)"),
        ("[](secants.md)", f"[Secants and slopes]({SITE}chapters/secants.html)"),
        ("[see](secants.md#sec-slopes)",
         f"[see]({SITE}chapters/secants.html#sec-slopes)"),
        ("<project:#sec-slopes>",
         f"[Slopes from both sides]({SITE}chapters/secants.html#sec-slopes)"),
        ("[code](../references.bib)",
         "[code](https://git.example.org/minibook/blob/main/references.bib)"),
        ("[a {ref}`s <kink>`][there]\n\n[there]: secants.md",
         f"[a [s]({KINK}#kink)]({SITE}chapters/secants.html)"),
        ("![alt](graph.svg)", f"![alt]({SITE}_images/graph.svg)"),
        ("[span]{.small} `code`{l=python}", "span `code`"),
        ("{.small}\ntext", "text"),
        ("(target)=\ntext", "text"),
        ("one[^n].\n\n[^n]: Note {math}`z`.",
         "one<sup>n</sup>.\n\n<sup>n</sup> Note $z$."),
        ("above\n\n% not for readers\n\nbelow", "above\n\nbelow"),
        ("```{math}\n:label: eq-a\na\n```", "$$\na \\tag{a}\n$$"),
        ("$$ a $$ (eq-a)", "$$\na \\tag{a}\n$$"),
        ("$$\na\n$$", "$$\na\n$$"),
        ("\\begin{align*}\na &= b \\\\\n  &= c\n\\end{align*}",
         "$$\n\\begin{aligned}\na &= b \\\\\n  &= c\n\\end{aligned}\n$$"),
        ("```{math}\na &= b\n\nc &= d\n```",
         "$$\n\\begin{aligned}\na &= b \\\\\nc &= d\n\\end{aligned}\n$$"),
        ("```{code-block} python\n# {ref}`kink`\n```", "```python\n# {ref}`kink`\n```"),
        ("```{raw} html\n<hr>\n```", ""),
        (":::{only} html\ntext\n:::", ""),
        ("```{tableofcontents}\n```", ""),
        ("Word\n: Its {math}`z`\n  meaning.", "- Word:\n  Its $z$\n  meaning."),
        ("```{bibliography}\n:filter: docname in docnames\n```",
         f"[References on the site]({SITE}chapters/bibliography.html)"),
        ("```{glossary}\nOne\nTwo\n  {math}`z` of\n  both.\n```",
         "- **One**: $z$ of both.\n- **Two**: $z$ of both."),
        (":::{epigraph}\nSaid {math}`z`.\n:::",
         "<blockquote>\n\nSaid $z$.\n\n</blockquote>"),
        ("````{margin} Aside\n```{note}\ntext\n```\n````",
         "<blockquote>\n\n**Aside.**\n\n<blockquote>\n\n**Note.** text\n\n"
         "</blockquote>\n\n</blockquote>"),
        (":::{seealso} text\n:::",
         "<blockquote>\n\n**See also.** text\n\n</blockquote>"),
        (":::{admonition} Why?\n:class: tip\ntext\n:::",
         "<blockquote>\n\n**Why?** text\n\n</blockquote>"),
        (":::{admonition} `f` < $z$\n---\nclass: dropdown\n---\ntext\n:::",
         "<details>\n<summary>f &lt; $z$</summary>\n\ntext\n\n</details>"),
        (":::{hint}\ntext\n:::",
         "<details>\n<summary>Hint</summary>\n\ntext\n\n</details>"),
        (":::{dropdown} More *text*\ntext\n:::",
         "<details>\n<summary>More text</summary>\n\ntext\n\n</details>"),
        ("::::{tab-set}\n:::{tab-item} A\na\n:::\n:::{tab-item} B\nb\n:::\n::::",
         "**A**\n\na\n\n**B**\n\nb"),
        (":::{prf:theorem} On {math}`z`\n:label: thm-x\n- item\n:::",
         "<blockquote>\n\n**Theorem (On $z$).**\n\n- item\n\n</blockquote>"),
        ("```{prf:remark}\ntext\n```",
         "<blockquote>\n\n**Remark.** text\n\n</blockquote>"),
        ("```{prf:proof}\ntext.\n```", "*Proof.* text. ∎"),
        ("```{prf:proof}\n$$\na\n$$\n```", "*Proof.*\n\n$$\na\n$$\n\n∎"),
        ("```{figure} graph.svg\n:name: fig-x\n:alt: A graph.\n\nOf {math}`z`.\n```",
         f"![A graph.]({SITE}_images/graph.svg)\n\n*Figure x.* Of $z$."),
        ("```{image} graph.svg\n:alt: A graph.\n```",
         f"![A graph.]({SITE}_images/graph.svg)"),
        ("```{glue:figure} plot\n:name: fig-y\n\nText.\n```",
         f"*Figure y.* Text. ([`plot`]({SITE}chapters/page.html))"),
        ("```{table} Title\n:name: tab-x\n| a |\n|---|\n| b |\n```",
         "*Table x.* Title\n\n| a |\n|---|\n| b |"),
        ("```{list-table}\n* - a\n  - $|z|$\n* - {kbd}`c`\n  -\n```",
         "*Table.*\n\n|  |  |\n| --- | --- |\n| a | $\\|z\\|$ |\n| <kbd>c</kbd> |  |"),
        ("| a |\n|---|\n| \\| {ref}`a\\|b <kink>` |",
         f"| a |\n|---|\n| \\| [a\\|b]({KINK}#kink) |"),
        ("- item\n  ```{note}\n  text\n  ```\n  more",
         "- item\n\n  <blockquote>\n\n  **Note.** text\n\n  </blockquote>\n\n  more"),
        ("> ```{math}\n> a\n> ```", "> $$\n> a\n> $$"),
        ("> see {ref}`over\n> lines <kink>`", f"> see [over lines]({KINK}#kink)"),
        ("{ref}`kink` and `` {ref}`kink` `` and \\{ref}`kink`",
         f"[The kink of $\\operatorname{{ReLU}}$]({KINK}#kink) and "
         "`` {ref}`kink` `` and \\{ref}`kink`"),
    ],
)  # fmt: skip
def test_each_piece_of_myst_becomes_plain_markdown(convert, source, shown):
    text = convert(source).replace("[there]: secants.md", "")
    lines = "\n".join(line.rstrip() for line in text.strip().splitlines())
    assert re.sub(r"\n{3,}", "\n\n", lines) == shown


def test_a_reference_within_a_link_is_kept_plain(convert):
    assert f"({KINK}#kink)" in convert("[{ref}`s <kink>`](secants.md)")


def test_a_prediction_hides_which_choice_is_right(convert):
    shown = convert(
        ":::{predict} What is $x$,\n  please?\n"
        "- [ ] {math}`0` :: Because\n  of *this*.\n- [x] One :: Right.\n:::"
    )
    question, _, folded = shown.partition("<details>")
    assert question == "**What is $x$, please?**\n\n- (a) $0$\n- (b) One\n\n"
    assert folded.startswith("\n<summary>Check your prediction</summary>\n\n")
    assert "- (a) No. Because of *this*.\n- (b) **Yes.** Right." in folded


def test_text_that_is_plain_markdown_stays_as_it_was_typed(convert):
    text = (
        "A *paragraph* with `code`, $a_1 \\{ b \\}$, a\n"
        "[link](https://example.org 'x') over   lines\\\nand <kbd>HTML</kbd>.\n\n"
        "1. one\n\n   > quoted\n   > $$\n   > z\n   > $$\n\n2) two\n\n***\n\n"
        "```text\n:::{note}\n{ref}`nowhere` % kept\n(target)=\n:::\n```\n\n"
        "    {ref}`indented code`\n\n<!-- comment -->\n\n"
        "| a | b |\n|---|:-:|\n| 1 | 2 |"
    )
    assert convert(text).replace(' "x")', " 'x')") == text


def test_exercise_and_solution_fold_what_a_student_should_not_see_at_once(kink):
    cells = kink.cells
    (first, second) = [
        n for n, cell in enumerate(cells) if "# @title Solution" in cell.source
    ]
    assert second == first + 1
    for cell in cells[first], cells[second]:
        assert cell.source.startswith("# @title Solution of Exercise (Two kinks)\n")
        assert cell.metadata == {"jupyter": {"source_hidden": True}, "cellView": "form"}
    before, after = cells[first - 2].source, cells[second + 1].source
    assert "**Exercise (Two kinks).**\n\nWhere is" in before
    assert before.endswith(f"by [Proposition (The kink is real)]({KINK}#prop-kink)."
                           "\n\n</details>")
    assert "unfold" in cells[first - 1].source
    solution, _, rest = after.partition("</details>")
    assert "The left slope at $1$ is $1$" in solution
    assert "After the solution" in rest


def test_exercise_and_solution_in_one_piece_each(convert):
    shown = convert(
        ":::{exercise} Try {math}`z`\n:label: ex-a\nWhat?\n:::\n\n"
        ":::{solution} ex-a\n:class: dropdown\nThis.\n:::"
    )
    assert shown == (
        "<blockquote>\n\n**Exercise (Try $z$).** What?\n\n</blockquote>\n\n<details>\n"
        "<summary>Solution of Exercise (Try $z$)</summary>\n\nThis.\n\n</details>"
    )


def test_captions_follow_their_figures(kink):
    (number,) = [n for n, cell in enumerate(kink.cells) if "plt.show" in cell.source]
    caption = kink.cells[number + 1].source
    assert caption.startswith("*Figure relu.* The graph of $\\operatorname{ReLU}$ from")
    assert caption.endswith("*zero* to the\nleft of the origin.")


def test_cells_keep_their_tags_and_are_folded_as_on_the_site(kink):
    folded = {
        tuple(cell.metadata.get("tags", [])): cell.metadata.get("jupyter", {})
        for cell in code_cells(kink)
    }
    assert folded["remove-cell",] == {"outputs_hidden": True, "source_hidden": True}
    assert folded["hide-input",] == {"source_hidden": True}
    assert folded["hide-output", "gpu"] == {"outputs_hidden": True}
    assert all(set(cell.metadata) <= {"tags", "jupyter", "cellView"}
               for cell in kink.cells)


def test_the_front_page_lists_the_chapters_with_cells_for_a_gpu():
    front = (ROOT / "index.md").read_text(encoding="utf-8")
    paragraph = front[front.index("cells with the tag `gpu`") :].split("\n\n")[0]
    listed = set(re.findall(r"\{doc\}`(chapters/[\w-]+)`", paragraph))
    tagged = {
        f"chapters/{path.stem}" for path in CHAPTERS
        for cell in nbformat.read(path, as_version=4).cells
        if "gpu" in cell.metadata.get("tags", [])
    }
    assert listed == tagged != set()


def test_the_first_cells_say_what_this_is_and_install_what_is_missing(kink):
    about, install = kink.cells[:2]
    assert f"[The kink of $\\operatorname{{ReLU}}$]({KINK})" in about.source
    assert "`slope`" in about.source  # the page has glued numbers
    assert install.source.endswith(
        'if importlib.util.find_spec("relubook") is None:\n'
        "    %pip install --quiet "
        "'relubook[torch,datasets] @ git+https://git.example.org/minibook'"
    )


def test_a_claim_is_a_label_of_the_page_that_checks_it(convert):
    code = '\n\n```{code-cell}\nclaims.check(\n    "no-kink", fails={})\n```\n'
    shown = convert("[](#claim-no-kink)", code)
    assert shown == f"[Claim no-kink]({SITE}chapters/page.html#claim-no-kink)"


@pytest.mark.parametrize("path", [BOOK / "chapters" / "kink.md", *CHAPTERS], ids=str)
def test_no_markup_of_the_book_is_left_over(path):
    if path.suffix == ".md":
        notebook = notebooks.twin(path)
    else:
        notebook = nbformat.read(path, as_version=4)
    parser = MarkdownIt("commonmark").enable("table").use(dollarmath_plugin)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            source = cell.source.replace(r"\{ref}", "")  # the small book escapes one
            for text in running_text(parser.parse(source)):
                assert not re.search(MYST, text, re.M), text
            for tag in "details", "blockquote":
                opened, closed = cell.source.count(f"<{tag}>"), f"</{tag}>"
                assert cell.source.count(closed) == opened


# The beginnings of a role, a directive, a comment, a target and a substitution.
MYST = r"(?<![\\}])\{[a-z:]+\}$|:::|^%|^\([\w-]+\)=$|\{\{[^}]*\}\}"


def running_text(tokens):
    """The text outside code and maths, as a plain renderer sees it."""
    for token in tokens:
        if token.type == "text":
            yield token.content
        yield from running_text(token.children or [])


# --- Links lead somewhere -------------------------------------------------------------

CONF = """\
extensions = ["myst_nb", "sphinx_book_theme", "sphinx_design", "sphinx_exercise",
              "sphinx_proof", "sphinx_togglebutton", "sphinxcontrib.bibtex", "predict"]
master_doc = "index"
bibtex_bibfiles = ["references.bib"]
myst_enable_extensions = ["amsmath", "attrs_block", "attrs_inline", "colon_fence",
                          "deflist", "dollarmath", "substitution"]
nb_execution_mode = "force"
nb_execution_raise_on_error = True
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The small book, built by Sphinx: where its anchors really are."""
    source = Path(shutil.copytree(BOOK, tmp_path_factory.mktemp("site") / "source"))
    (source / "conf.py").write_text(CONF, encoding="utf-8")
    path = os.pathsep.join([str(ROOT), str(ROOT / "_ext")])
    environment = os.environ | {"PYTHONPATH": path, "RELUBOOK_BUILD": "1"}
    command = [sys.executable, "-m", "sphinx", "-W", "-q", "-b", "html", ".", "html"]
    result = subprocess.run(
        command, cwd=source, env=environment, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    return source / "html"


def test_every_link_of_the_twin_leads_to_an_anchor_of_the_site(kink, built):
    text = markdown(kink)
    addresses = set(re.findall(rf"{re.escape(SITE)}([^)\s]*)", text))
    anchors = {address for address in addresses if "#" in address}
    assert len(anchors) >= 12
    for address in addresses:
        name, _, anchor = address.partition("#")
        page = built / (name or "index.html")
        assert page.exists(), address
        if anchor:
            assert f'id="{anchor}"' in page.read_text(encoding="utf-8"), address


# --- What cannot be shown is an error -------------------------------------------------


@pytest.mark.parametrize(
    "source, line, message",
    [
        ("```{mermaid}\n```", 1, "directive `mermaid` has no plain Markdown"),
        ("text\n\n````{note}\n\n- a\n  ```{mermaid}\n  ```\n````", 6, "`mermaid`"),
        ("text\n{py:func}`f`", 2, "role `py:func` has no plain Markdown"),
        (":::{prf:lemma} {foo}`f`\n:::", 1, "role `foo`"),
        ("```{prf:lemma} {math}`z`\ntext\n```", 1, "as text"),
        (":::{note}\n:class: tip\n\ntext\n\n{foo}`f`\n:::", 6, "role `foo`"),
        ("{ref}`nowhere`", 1, "no page of the book has the label 'nowhere'"),
        ("[x](#nowhere)", 1, "no page of the book has the label 'nowhere'"),
        ("[x](nowhere.md)", 1, "the book has no file 'nowhere.md'"),
        ("[x](/../../etc/hosts)", 1, "the book has no file"),
        ("![x](nowhere.svg)", 1, "the book has no file 'nowhere.svg'"),
        ("{cite:t}`nobody`", 1, "the bibliography has no entry 'nobody'"),
        ("{term}`nothing`", 1, "no glossary of the book has the term 'nothing'"),
        ("(bare)=\ntext\n\n{ref}`bare`", 4, "'bare' has no title"),
        ("{{ name }}", 1, "write the text"),
        ("text {{ name }}", 1, "write the text"),
        (":::\ntext\n:::", 1, "not followed by a directive"),
        (":::{code-cell}\n1\n:::", 1, "`code-cell` stands inside another block"),
        (":::{note}\n```{solution-start} ex-two\n```\n:::", 2, "inside another block"),
        ("```{solution-end}\n```", 1, "does not pair"),
        ("```{solution-start} ex-two\n```\n\n```{solution-start} ex-two\n```", 4,
         "pair"),
        ("```{solution-start} ex-two\n```", 5, "lacks its `solution-end`"),
        ("```{solution-start} ex-two\n\ntext\n```", 3, "holds no text"),
        (":::{predict} What?\n- [y] This\n:::", 1, "is not `[ ] choice :: feedback`"),
        ("```{list-table}\n* - a\n\n    $$\n    b\n    $$\n```", 4, "holds text only"),
        (":::{note}\n:class dropdown\n:::", 1, "Invalid options"),
        ("```{raw-cell}\ntext\n```", 1, "no raw cells"),
        ("Broken {numref}`Figure\n%s <fig-relu>` here", 1, "as text"),
    ],
)  # fmt: skip
def test_what_has_no_plain_form_is_an_error_with_its_place(
    convert, source, line, message
):
    with pytest.raises(notebooks.NotebookError) as caught:
        convert(source)
    line += FRONT.count("\n")
    assert str(caught.value).startswith(f"chapters/page.md:{line}: ")
    assert message in str(caught.value)


def test_options_of_a_cell_that_are_not_yaml_are_an_error(convert):
    message = r"page.md:\d+: `code-cell`: .*YAML"
    with pytest.raises(notebooks.NotebookError, match=message):
        convert("text", "\n\n```{code-cell}\n---\ntags: [\n---\n1\n```\n")


def test_a_page_outside_any_book_is_an_error(tmp_path):
    (tmp_path / "page.md").write_text("# Page")
    with pytest.raises(notebooks.NotebookError, match="_config.yml"):
        notebooks.twin(tmp_path / "page.md")


def test_a_page_without_a_heading_is_an_error(book):
    page = book / "chapters" / "page.md"
    page.write_text(FRONT.replace("# A page", "A page") + CODE)
    with pytest.raises(notebooks.NotebookError, match="page.md:1: .* needs a heading"):
        notebooks.twin(page)


# --- Files ----------------------------------------------------------------------------


def test_twins_are_written_once_and_byte_for_byte_the_same(book):
    twin = book / "chapters" / "kink.ipynb"
    assert notebooks.write_all(book) == [twin]
    written = twin.read_bytes()
    assert written.endswith(b"}\n") and not written.endswith(b"\n\n")
    assert notebooks.write_all(book) == []
    twin.unlink()
    assert notebooks.write_all(book) == [twin]
    assert twin.read_bytes() == written
    notebook = nbformat.read(twin, as_version=4)
    assert set(notebook.metadata) == {"kernelspec"}
    assert not any(cell.outputs for cell in code_cells(notebook))
    nbformat.validate(notebook)


def test_an_edit_changes_the_ids_of_no_other_cell(convert, book):
    page = book / "chapters" / "page.md"
    convert("text", CODE + CODE)
    before = notebooks.twin(page).cells
    page.write_text(page.read_text().replace("# A page", "# A page\n\nnew" + CODE))
    after = notebooks.twin(page).cells
    assert len({cell.id for cell in after}) == len(after)
    kept = {cell.id for cell in before} & {cell.id for cell in after}
    assert len(kept) == len(before) - 1  # all but the one that begins with the heading


def test_missing_stale_and_orphaned_twins_are_found(book):
    twin = book / "chapters" / "kink.ipynb"
    (missing,) = notebooks.stale(book)
    assert missing == "chapters/kink.ipynb is missing: run `make notebooks`."
    notebooks.write_all(book)
    assert notebooks.stale(book) == []
    twin.with_name("old.ipynb").write_text("{}")
    (orphan,) = notebooks.stale(book)
    assert orphan.startswith("chapters/old.ipynb has no page old.md")
    twin.with_name("old.ipynb").unlink()
    # A label's title is part of every page that refers to it.
    secants = book / "chapters" / "secants.md"
    secants.write_text(secants.read_text().replace("from both", "on both"))
    (stale,) = notebooks.stale(book)
    assert stale == "chapters/kink.ipynb is out of date: run `make notebooks`."


def test_the_command_checks_writes_and_says_what_to_do(book, monkeypatch, capsys):
    monkeypatch.setattr(notebooks, "ROOT", book)
    with pytest.raises(SystemExit, match="kink.ipynb is missing: run"):
        notebooks.main(["--check"])
    notebooks.main([str(book / "chapters" / "kink.md")])
    assert capsys.readouterr().out == "wrote chapters/kink.ipynb\n"
    notebooks.main(["--check"])
    notebooks.main([])
    assert capsys.readouterr().out == ""
    with pytest.raises(SystemExit, match="glossary.md has no code cells"):
        notebooks.main([str(book / "chapters" / "glossary.md")])
    with pytest.raises(SystemExit, match="nothing.md: no such page"):
        notebooks.main([str(book / "chapters" / "nothing.md")])


def test_the_twins_of_the_chapters_are_up_to_date():
    assert notebooks.stale() == []


# --- They run where there is no Sphinx ------------------------------------------------

WITHOUT = ("sphinx", "myst_nb", "myst_parser", "docutils", "jupyter_book")

SITECUSTOMIZE = f"""\
import sys


class Without:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {WITHOUT}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)


sys.meta_path.insert(0, Without())
"""


@pytest.fixture
def run(tmp_path):
    """Execute a notebook as a reader would: no Sphinx, an empty folder."""
    customised, folder = tmp_path / "customised", tmp_path / "empty"
    customised.mkdir()
    folder.mkdir()
    (customised / "sitecustomize.py").write_text(SITECUSTOMIZE)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MPLBACKEND": "agg"}
    environment["PYTHONPATH"] = os.pathsep.join([str(customised), str(ROOT)])
    environment.pop("RELUBOOK_BUILD", None)

    def run(notebook):
        client = NotebookClient(notebook, timeout=600, kernel_name="python3")
        client.execute(cwd=str(folder), env=environment)
        return notebook

    return run


def test_the_kernel_has_no_sphinx(run):
    cells = [nbformat.v4.new_code_cell(f"import {module}") for module in WITHOUT]
    for cell in cells:
        cell.metadata.tags = ["raises-exception"]
    notebook = run(nbformat.v4.new_notebook(cells=cells))
    for module, cell in zip(WITHOUT, notebook.cells):
        assert cell.outputs[0].evalue == f"No module named '{module}'"


def test_a_cell_that_fails_fails_the_run(run):
    cell = nbformat.v4.new_code_cell("assert 1 == 2")
    with pytest.raises(CellExecutionError):
        run(nbformat.v4.new_notebook(cells=[cell]))


def test_the_small_book_runs_without_sphinx(run, kink):
    notebook = run(nbformat.from_dict(kink))
    assert all(cell.execution_count for cell in code_cells(notebook))


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_each_chapter_runs_from_top_to_bottom_without_sphinx(run, path):
    notebook = run(nbformat.read(path, as_version=4))
    assert all(cell.execution_count for cell in code_cells(notebook) if cell.source)
