"""Write `chapters/NAME.ipynb`, for Jupyter and Colab, from the page `chapters/NAME.md`.

    python -m tools.notebooks              write every twin; `make notebooks` does this
    python -m tools.notebooks PAGE.md ...  write the twins of these pages
    python -m tools.notebooks --check      write nothing; exit 1 if one is out of date

A page is MyST, which plain Jupyter shows as it is typed. In its twin, directives and
roles are Markdown that every front end renders, references are links to the site,
and exercises have their solutions folded away. jupytext finds the cells and MyST's
own parser finds what is to be rewritten; all other text stays as its author wrote
it. A directive or role that has no entry in `DIRECTIVES` or `ROLES` is an error.
"""

import argparse
import copy
import hashlib
import html
import re
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote, urlsplit

import nbformat
import yaml
from docutils.nodes import make_id
from docutils.parsers.rst import Directive as DocutilsDirective
from docutils.parsers.rst.directives import unchanged
from jupytext.myst import MystMetadataParsingError, myst_to_notebook
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_inline import StateInline
from myst_parser.config.main import MdParserConfig
from myst_parser.parsers.directives import parse_directive_text
from myst_parser.parsers.mdit import create_md_parser
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from pybtex.database import parse_file as read_bibliography
from sphinx.util.nodes import make_id as make_sphinx_id
from sphinx_proof.proof_type import PROOF_TYPES

ROOT = Path(__file__).resolve().parent.parent
COMMAND = "make notebooks"

INSTALL = """\
# Installs relubook where it is missing, as on Colab.
import importlib.util

if importlib.util.find_spec("relubook") is None:
    %pip install --quiet 'relubook[torch,datasets] @ git+{repository}'"""

# What JupyterLab folds away for the tags that hide something on the site.
SOURCE_HIDDEN = {"hide-input", "hide-cell", "remove-input", "remove-cell"}
OUTPUT_HIDDEN = {"hide-output", "hide-cell", "remove-output", "remove-cell"}

# Blocks of MyST that readers of the site do not see.
UNSEEN = {"attrs_block", "myst_block_break", "myst_line_comment", "myst_target"}


class NotebookError(Exception):
    """A page has no twin; the message says where and what to do."""


@dataclass(frozen=True)
class Label:
    """What a label of the book names, and where the site shows it."""

    name: str
    url: str
    kind: str
    title: str = ""


@dataclass(frozen=True)
class Site:
    """What a twin needs to know of the whole book."""

    root: Path
    baseurl: str
    repository: str
    branch: str
    title: str
    parser: MarkdownIt
    pages: dict  # document name, such as "chapters/elu" -> title
    labels: dict
    terms: dict  # term of the glossary, in lower case -> address
    citations: dict
    bibliography: str  # address of the page with the list of references


@dataclass(frozen=True)
class Page:
    """A page that is being read."""

    site: Site
    path: Path
    env: dict  # link and footnote definitions, which a page's cells share

    def error(self, line, message):
        return NotebookError(f"{_shown(self.path, self.site.root)}:{line}: {message}")


@dataclass(frozen=True)
class Directive:
    """A directive as its author wrote it."""

    name: str
    argument: str
    options: dict
    body: str
    line: int
    body_line: int


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m tools.notebooks",
        description="Write the .ipynb twins of the chapters.",
    )
    parser.add_argument("pages", nargs="*", type=Path, metavar="PAGE.md")
    parser.add_argument("--check", action="store_true", help="write nothing")
    options = parser.parse_args(arguments)
    pages = [path.resolve() for path in options.pages] or None
    try:
        if options.check:
            problems = stale(ROOT, pages)
        else:
            for path in write_all(ROOT, pages):
                print(f"wrote {_shown(path, ROOT)}")
            problems = [] if pages else _orphans(ROOT)
    except NotebookError as error:
        sys.exit(str(error))
    if problems:
        sys.exit("\n".join(problems))


def write_all(root=ROOT, pages=None):
    """Write the twins of `pages` (all notebooks of `root/chapters`).

    Returns the paths of those that changed.
    """
    changed = []
    for path, text in _twins(root, pages).items():
        if _read(path) != text:
            path.write_text(text, encoding="utf-8")
            changed.append(path)
    return changed


def stale(root=ROOT, pages=None):
    """One sentence for each twin that is missing, out of date or without a page."""
    problems = [] if pages else _orphans(root)
    for path, text in _twins(root, pages).items():
        if not path.exists():
            problems.append(f"{_shown(path, root)} is missing: run `{COMMAND}`.")
        elif _read(path) != text:
            problems.append(f"{_shown(path, root)} is out of date: run `{COMMAND}`.")
    return problems


def twin(path, site=None):
    """The notebook that stands for the page at `path`, without outputs.

    `site` is `read_site(root)`; without it, the root is the folder above `path` that
    holds `_config.yml`. Raises NotebookError, with file and line, where the page uses
    what a plain notebook cannot show.
    """
    path = Path(path).resolve()
    site = site or read_site(_root_of(path))
    text = path.read_text(encoding="utf-8")
    page = Page(site, path, _definitions(site.parser, text))
    cells = [*_opening(page, text), *_cells(page, text)]
    seen = set()
    for cell in cells:
        cell.id = _cell_id(cell, seen)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return new_notebook(cells=cells, metadata={"kernelspec": kernel})


def read_site(root=ROOT):
    """The addresses in `_config.yml`; every label, term and reference of the book."""
    config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))
    baseurl = config["html"]["baseurl"].rstrip("/") + "/"
    site = Site(
        root=root,
        baseurl=baseurl,
        repository=config["repository"]["url"].rstrip("/"),
        branch=config["repository"].get("branch", "main"),
        title=config["title"],
        parser=_parser(config["parse"]["myst_enable_extensions"]),
        pages={},
        labels={},
        terms={},
        citations={
            key: entry
            for file in config.get("bibtex_bibfiles", [])
            for key, entry in read_bibliography(str(root / file)).entries.items()
        },
        bibliography=f"{baseurl}chapters/bibliography.html",
    )
    for path in [root / "index.md", *sorted(root.glob("chapters/*.md"))]:
        if path.exists():
            page = Page(site, path, {})
            _collect(page, path.read_text(encoding="utf-8"), 1)
    return site


# --- Files ----------------------------------------------------------------------------


def _twins(root, pages):
    """The text of each twin, by its path."""
    site = read_site(root)
    for path in pages or ():
        if not path.is_file():
            raise NotebookError(f"{_shown(path, root)}: no such page.")
        if not _is_notebook(path):
            raise NotebookError(f"{_shown(path, root)} has no code cells, so no twin.")
    wanted = pages or filter(_is_notebook, sorted(root.glob("chapters/*.md")))
    return {
        path.with_suffix(".ipynb"): nbformat.writes(twin(path, site)) + "\n"
        for path in wanted
    }


def _orphans(root):
    return [
        f"{_shown(path, root)} has no page {path.stem}.md with code cells: "
        "remove it, or add the page."
        for path in sorted(root.glob("chapters/*.ipynb"))
        if not _is_notebook(path.with_suffix(".md"))
    ]


def _is_notebook(path):
    if not path.is_file():
        return False
    notebook = _read_notebook(path, path.read_text(encoding="utf-8"))
    return "kernelspec" in notebook.metadata and any(
        cell.cell_type == "code" for cell in notebook.cells
    )


def _read_notebook(path, text):
    try:
        return myst_to_notebook(text, add_source_map=True)
    except MystMetadataParsingError as error:
        raise NotebookError(f"{path}: {error}") from None


def _read(path):
    return path.read_text(encoding="utf-8") if path.exists() else None


def _shown(path, root):
    return path.relative_to(root) if path.is_relative_to(root) else path


def _root_of(path):
    for folder in path.parents:
        if (folder / "_config.yml").exists():
            return folder
    raise NotebookError(f"{path}: no folder above it holds the book's _config.yml.")


# --- Cells ----------------------------------------------------------------------------


def _opening(page, text):
    """The first two cells: what this notebook is, and what it needs."""
    site = page.site
    document = _document(page)
    if document not in site.pages:
        raise page.error(1, "a page with a notebook needs a heading, `# Title`.")
    shown = (
        f"*This notebook is the page [{site.pages[document]}]({_url(site, document)}) "
        f"of [{site.title}]({site.baseurl}), to run and to change."
    )
    if re.search(r"\{glue:(text)?\}`", text):
        shown += (
            " Where a sentence has a name such as `slope` in place of a number, "
            "the cells compute it and the page shows it."
        )
    yield new_markdown_cell(f"{shown}*")
    yield new_code_cell(INSTALL.format(repository=site.repository))


def _cells(page, text):
    solved = None  # the exercise between `solution-start` and `solution-end`
    folded = False  # the cell before is part of the solution's code
    for cell, line in _source_cells(page, text):
        if cell.cell_type == "code":
            if solved and not folded:
                yield new_markdown_cell(f"*Solution of {solved}: unfold the code.*")
            yield from _code_cell(page, cell, line, solved)
            folded = bool(solved)
            continue
        parts = []
        for gate, part, part_line in _split_at_gates(page, cell.source, line):
            if gate:
                solved = _pass_gate(page, gate, solved)
                if gate.body:
                    raise page.error(gate.body_line, f"`{gate.name}` holds no text.")
            rendered = _render(page, part, part_line).strip("\n")
            if rendered.strip():
                summary = f"Solution of {solved}"
                parts.append(_details(summary, rendered) if solved else rendered)
        if parts:
            yield new_markdown_cell("\n\n".join(parts), metadata=_metadata(cell))
            folded = False
    if solved:
        raise page.error(line, f"the solution of {solved} lacks its `solution-end`.")


def _source_cells(page, text):
    """The page's cells, each with the line its source begins at."""
    notebook = _read_notebook(page.path, text)
    lines = text.splitlines()
    for cell, line in zip(notebook.cells, notebook.metadata.source_map):
        if cell.cell_type == "raw":
            raise page.error(line, "a notebook here has no raw cells: remove it.")
        while cell.cell_type == "markdown" and not lines[line]:
            line += 1  # jupytext counts the blank lines that it strips
        yield cell, line + 1


def _code_cell(page, cell, line, solved):
    metadata, source = _metadata(cell), cell.source
    if solved:
        # Colab folds a cell with this line and `cellView`; JupyterLab `source_hidden`.
        source = f"# @title Solution of {solved}\n{source}"
        metadata.setdefault("jupyter", {})["source_hidden"] = True
        metadata["cellView"] = "form"
    yield new_code_cell(source, metadata=metadata)
    figure = cell.metadata.get("mystnb", {}).get("figure", {})
    if "caption" in figure:
        name = f" {_short(figure['name'])}" if "name" in figure else ""
        caption = _inline(page, figure["caption"].strip(), line)
        yield new_markdown_cell(f"*Figure{name}.* {caption}")


def _metadata(cell):
    tags = cell.metadata.get("tags", [])
    metadata = {"tags": list(tags)} if tags else {}
    if not OUTPUT_HIDDEN.isdisjoint(tags):
        metadata.setdefault("jupyter", {})["outputs_hidden"] = True
    if not SOURCE_HIDDEN.isdisjoint(tags):
        metadata.setdefault("jupyter", {})["source_hidden"] = True
        metadata["cellView"] = "form"
    return metadata


def _split_at_gates(page, text, line):
    """The parts of a Markdown cell, each with the gate directive it follows."""
    lines, gate, start = text.split("\n"), None, 0
    for token in _parse(page, text):
        if token.type in ("fence", "colon_fence") and token.level == 0:
            directive = _directive(page, token, line)
            if directive and directive.name in ("solution-start", "solution-end"):
                yield gate, "\n".join(lines[start : token.map[0]]), line + start
                gate, start = directive, token.map[1]
    yield gate, "\n".join(lines[start:]), line + start


def _pass_gate(page, gate, solved):
    """The exercise that is being solved behind `gate`, if any."""
    if (gate.name == "solution-start") == bool(solved):
        raise page.error(gate.line, f"`{gate.name}` does not pair with another gate.")
    if gate.name == "solution-end":
        return None
    return _plain(_named(page, _label(page, gate.argument, gate.line), gate.line))


def _cell_id(cell, seen):
    """An id that an edit elsewhere in the notebook leaves alone."""
    for copy_number in range(len(seen) + 1):
        text = f"{cell.cell_type} {copy_number} {cell.source}"
        ident = hashlib.sha256(text.encode()).hexdigest()[:8]
        if ident not in seen:
            seen.add(ident)
            return ident


# --- Reading MyST ---------------------------------------------------------------------


class _AnyOption(dict):
    def __missing__(self, name):
        return unchanged


class _AnyDirective(DocutilsDirective):
    """Any argument, any option: the build of the site checks them."""

    optional_arguments = 1
    final_argument_whitespace = True
    has_content = True
    option_spec = _AnyOption(name=unchanged)  # empty, it would mean no options


def _parser(extensions):
    """MyST's parser, whose inline tokens know where in their text they stand."""
    config = MdParserConfig(enable_extensions=set(extensions), dmath_double_inline=True)
    parser = create_md_parser(config, RendererHTML)
    ruler = parser.inline.ruler
    for name, rule in zip(ruler.get_active_rules(), ruler.getRules("")):
        key = "attributes" if name == "attr" else "span"
        ruler.at(name, partial(_with_span, key, rule))
    if "attrs_block" in extensions:
        parser.core.ruler.disable("attr")  # it takes the lines of attributes away
    return parser


# What looks like a role or directive but was read as text.
_UNREAD = re.compile(r"\{[\w:+-]+\}`|[`:]{3}\{")


def _with_span(key, rule, state, silent):
    start, count = state.pos, len(state.tokens)
    found = rule(state, silent)
    # Attributes belong to the token before them and are none themselves.
    if found and not silent and (len(state.tokens) > count or key == "attributes"):
        state.tokens[-1].meta = {**state.tokens[-1].meta, key: (start, state.pos)}
    return found


def _parse(page, text):
    return page.site.parser.parse(text, copy.deepcopy(page.env))


def _definitions(parser, text):
    env = {}
    parser.parse(text, env)
    footnotes = {key: -1 for key in env.get("footnotes", {}).get("refs", {})}
    return {
        "references": env.get("references", {}),
        "footnotes": {"refs": footnotes, "list": {}},
    }


def _directive(page, token, line):
    """The directive a fence stands for, or None; `line` is that of the text's start."""
    match = re.fullmatch(r"\{([^\s}]+)\}\s*(.*)", token.info.strip())
    line += token.map[0]
    if match is None:
        if token.type == "colon_fence":
            raise page.error(line, "`:::` is not followed by a directive, `{name}`.")
        return None
    name, argument = match.groups()
    # As MyST does: a fence inside is no option. Only code cells nest their options.
    content = re.sub(r"\A:::", "\n:::", token.content)
    parsed = parse_directive_text(
        _AnyDirective, argument, content, validate_options=name != "code-cell"
    )
    if parsed.warnings:
        raise page.error(line, f"`{name}`: {parsed.warnings[0].msg}.")
    body_line = line + 1 + len(token.content.splitlines()) - len(parsed.body)
    body = "\n".join(parsed.body)
    return Directive(name, argument.strip(), parsed.options, body, line, body_line)


def _collect(page, text, line):
    """Enter into `page.site` the title, labels and terms in `text`."""
    site, document = page.site, _document(page)
    targets = []
    tokens = page.site.parser.parse(text, {})
    for token, following in zip(tokens, [*tokens[1:], None]):
        if token.type == "myst_target":
            targets.append(token.content)
            continue
        title = ""
        if token.type == "heading_open":
            title = following.content
            site.pages.setdefault(document, _plain(title))
        for name in targets:
            _add_label(page, name, make_id(name), "Section", title)
        targets = []
        if token.type == "math_block_label":
            _add_label(page, token.info, make_id(f"equation-{token.info}"), "Equation")
        if token.type in ("fence", "colon_fence"):
            directive = _directive(page, token, line)
            if directive:
                _collect_directive(page, directive)


def _collect_directive(page, directive):
    site, name, options = page.site, directive.name, directive.options
    kind = name.removeprefix("prf:").partition("-")[0]
    label = options.get("label")
    if name == "math" and label:
        _add_label(page, label, make_id(f"equation-{label}"), "Equation")
    elif label and (name.startswith("prf:") or kind in ("exercise", "solution")):
        _add_label(page, label, label, kind.capitalize(), directive.argument)
    elif name == "code-cell":
        figure = (options.get("mystnb") or {}).get("figure", {})
        if "name" in figure:
            _add_label(page, figure["name"], make_id(figure["name"]), "Figure")
        # `relubook.claims` puts an anchor above each claim that it shows.
        for ident in re.findall(r"""\bcheck\(\s*["']([\w-]+)["']""", directive.body):
            _add_label(page, f"claim-{ident}", make_id(f"claim-{ident}"), "Claim")
    elif options.get("name"):
        kinds = {"figure": "Figure", "glue:figure": "Figure", "table": "Table"}
        kind = kinds.get(name.removeprefix("list-"), "Section")
        title = directive.argument if kind == "Section" else ""
        _add_label(page, options["name"], make_id(options["name"]), kind, title)
    if name == "glossary":
        for term, _ in _glossary_entries(directive.body):
            anchor = make_sphinx_id(None, SimpleNamespace(ids=()), "term", term)
            site.terms[term.lower()] = f"{_url(site, _document(page))}#{anchor}"
    elif name not in ("code-cell", "code-block", "math", "raw"):
        _collect(page, directive.body, directive.body_line)


def _add_label(page, name, anchor, kind, title=""):
    url = f"{_url(page.site, _document(page))}#{anchor}"
    page.site.labels[name.lower()] = Label(name, url, kind, title)


def _glossary_entries(body):
    """Pairs of a term and its definition; several terms may share one."""
    entries = []
    for line in filter(str.strip, body.splitlines()):
        if line[0].isspace() and entries:
            entries[-1][1].append(line.strip())
        elif entries and not entries[-1][1]:
            entries[-1][0].append(line.strip())
        else:
            entries.append(([line.strip()], []))
    return [(term, " ".join(text)) for terms, text in entries for term in terms]


# --- Rewriting ------------------------------------------------------------------------


def _render(page, text, line):
    """`text`, which begins at `line` of the page, as plain Markdown."""
    lines = text.split("\n")
    starts = [0]
    for content in lines:
        starts.append(starts[-1] + len(content) + 1)
    edits, cursor, footnote, in_table = [], 0, None, False
    for token in _parse(page, text):
        if token.type.startswith("footnote_reference"):
            footnote = token.meta.get("label")
        if token.type in ("table_open", "table_close"):
            in_table = token.type == "table_open"
        if token.map is None:
            continue
        first, last = token.map
        if token.type == "amsmath":
            last = first + 1 + token.content.count("\n")  # its map leaves one out
        cursor = max(cursor, starts[first])
        if token.type == "inline":
            for raw, new in _inline_edits(page, token, line + first):
                start, cursor = _locate(text, raw, cursor)
                if new is not None:
                    new = new.replace("|", r"\|") if in_table else new
                    edits.append((start, cursor, new))
        elif token.type == "paragraph_open" and footnote:
            start, end = _locate(text, f"[^{footnote}]:", cursor)
            edits.append((start, end, f"<sup>{footnote}</sup>"))
        elif token.type == "dt_open":
            edits.append((starts[first], starts[first], "- "))
            edits.append((starts[first + 1] - 1, starts[first + 1] - 1, ":"))
        elif token.type == "dd_open":
            # The map may begin at the term, above the mark of the definition.
            mark = re.compile(r"^[ \t]*[:~][ \t]+", re.M).search(text, starts[first])
            edits.append((*mark.span(), "  "))
        else:
            new = _block(page, token, line)
            if new is not None:
                edits.append(_block_edit(lines, starts, first, last, new))
    return _splice(text, edits)


def _block(page, token, line):
    """The Markdown that replaces a block, or None where it stays as it is."""
    if token.type in ("fence", "colon_fence"):
        directive = _directive(page, token, line)
        return None if directive is None else _expand(page, directive)
    if token.type == "math_block_label":
        return _display_math(token.content, token.info)
    if token.type == "amsmath":
        return _display_math(token.content)
    if token.type in UNSEEN:
        return ""
    if token.type == "substitution_block":
        raise page.error(line + token.map[0], "write the text, not `{{ … }}`.")
    return None


def _expand(page, directive):
    if directive.name not in DIRECTIVES:
        raise page.error(
            directive.line,
            f"directive `{directive.name}` has no plain Markdown: use another, "
            "or add it to DIRECTIVES in tools/notebooks.py.",
        )
    return DIRECTIVES[directive.name](page, directive)


def _block_edit(lines, starts, first, last, new):
    """The edit that puts `new`, indented and set off by blank lines, for some lines."""
    indent = re.match(r"[\s>]*([-*+]\s+|\d+[.)]\s+)*", lines[first]).group()
    following = re.sub(r"[^\s>]", " ", indent)
    blank_after = last >= len(lines) or not lines[last].strip(" >")
    if not new:
        end = starts[min(last + blank_after, len(lines))]
        return starts[first], min(end, starts[-1] - 1), ""
    before = "\n" + following if first and lines[first - 1].strip(" >") else ""
    # A blank line in a quotation keeps its mark.
    body = "\n".join(
        (following + part).rstrip() if number else part
        for number, part in enumerate(new.split("\n"))
    )
    return starts[first] + len(indent), starts[last] - 1, (
        before + body + ("" if blank_after else "\n" + following.rstrip())
    )


def _locate(text, raw, cursor):
    """Where `raw`, the text of a token, next stands in the page's own lines."""
    # Within a list or quotation, a line of the page begins with more than the token's;
    # within a table, a bar is escaped.
    parts = (re.escape(part) for part in re.split(r"\s*\n\s*", raw))
    words = r"\s*\n[\s>]*".join(parts).replace(r"\|", r"\\?\|")
    return re.compile(words).search(text, cursor).span()


def _splice(text, edits):
    for start, end, new in sorted(edits, reverse=True, key=lambda edit: edit[:2]):
        text = text[:start] + new + text[end:]
    return text


def _inline(page, text, line):
    """A title, caption or choice as plain Markdown."""
    (token,) = page.site.parser.parseInline(text, copy.deepcopy(page.env))
    edits = _inline_spans(page, token.children, text, line)
    return _splice(text, [edit for edit in edits if edit[2] is not None])


def _inline_edits(page, token, line):
    """Pairs of the text of an inline token and what replaces it; None keeps it."""
    for start, end, new in _inline_spans(page, token.children, token.content, line):
        yield token.content[start:end], new


def _inline_spans(page, children, text, line):
    opened = []
    for child in children:
        if child.type in ("link_open", "span_open"):
            opened.append(child)
            continue
        opening = opened.pop() if child.type in ("link_close", "span_close") else None
        if opened:
            continue
        if child.type == "text" and _UNREAD.search(child.content):
            raise page.error(
                line, f"MyST reads {child.content!r} as text: is a fence or `%` amiss?"
            )
        if "span" in child.meta:
            start, end = child.meta["span"]
            here = line + text.count("\n", 0, start)
            yield start, end, _inline_token(page, child, opening, text[start:end], here)
        if "attributes" in child.meta:
            yield *child.meta["attributes"], ""


def _inline_token(page, token, opening, raw, line):
    """What replaces a piece of running text, or None where it stays as it is."""
    if token.type == "myst_role":
        return _role(page, token.meta["name"], token.content, line)
    if token.type == "link_close":
        return _link(page, opening, raw, line)
    if token.type == "span_close":
        return _inline(page, raw[1 : raw.rindex("]")], line)
    if token.type == "image":
        source = _image_url(page, unquote(token.attrs["src"]), line)
        return f"![{token.content}]({source})"
    if token.type == "footnote_ref":
        return f"<sup>{raw.strip('[^]')}</sup>"
    if token.type == "substitution_inline":
        raise page.error(line, "write the text, not `{{ … }}`.")
    return None


def _role(page, name, text, line):
    if name not in ROLES:
        raise page.error(
            line,
            f"role `{name}` has no plain Markdown: use another, "
            "or add it to ROLES in tools/notebooks.py.",
        )
    return ROLES[name](page, text, line)


# --- Links ----------------------------------------------------------------------------


def _link(page, opening, raw, line):
    href = opening.attrs["href"]
    url, label = _resolve(page, href, line)
    if raw.startswith("<"):
        return None if url == href else f"[{_named(page, label, line)}]({url})"
    state = StateInline(raw, page.site.parser, {}, [])
    text = _inline(page, raw[1 : state.md.helpers.parseLinkLabel(state, 0)], line)
    if not text:
        text = _named(page, label, line) if label else _page_title(page, url, line)
    title = f' "{opening.attrs["title"]}"' if "title" in opening.attrs else ""
    return f"[{text}]({url}{title})"


def _resolve(page, href, line):
    """The address a Markdown link leads to, and the label it names, if any."""
    href = href.removeprefix("project:")
    if urlsplit(href).scheme:
        return href, None
    path, _, fragment = unquote(href).partition("#")
    label = _label(page, fragment, line) if fragment else None
    if label:
        return label.url, label
    file = _file(page, path, line)
    document = file.relative_to(page.site.root).with_suffix("").as_posix()
    if file.suffix == ".md" and document in page.site.pages:
        return _url(page.site, document), None
    return _blob_url(page, file), None


def _file(page, path, line):
    folder = page.site.root if path.startswith("/") else page.path.parent
    file = (folder / path.lstrip("/")).resolve()
    if not file.is_file() or not file.is_relative_to(page.site.root):
        raise page.error(line, f"the book has no file {path!r}.")
    return file


def _blob_url(page, file):
    site = page.site
    name = file.relative_to(site.root).as_posix()
    return f"{site.repository}/blob/{site.branch}/{name}"


def _image_url(page, source, line):
    if urlsplit(source).scheme:
        return source
    return f"{page.site.baseurl}_images/{_file(page, source, line).name}"


def _label(page, name, line):
    try:
        return page.site.labels[name.lower()]
    except KeyError:
        raise page.error(line, f"no page of the book has the label {name!r}.") from None


def _named(page, label, line):
    """How a sentence names what `label` stands for; the site has numbers instead."""
    if label.kind == "Equation":
        return f"({_short(label.name)})"
    if label.kind == "Section":
        if not label.title:
            message = f"{label.name!r} has no title: give the link a text."
            raise page.error(line, message)
        return _unlinked(_inline(page, label.title, line))
    if label.kind == "Solution":
        return f"Solution of {_named(page, _label(page, label.title, line), line)}"
    return f"{label.kind} {_mark(page, label, line)}"


def _mark(page, label, line):
    """What stands where the site has a number: the title, or the label itself."""
    if label.title and label.kind not in ("Section", "Solution"):
        return f"({_unlinked(_inline(page, label.title, line))})"
    return _short(label.name)


def _short(name):
    """A label without the prefix that says its kind: `fig-relu` is relu."""
    kinds = "claim|fig|eq|tab|def|prop|thm|theorem|lem|cor|rem|exa|alg|ex|sol"
    return re.sub(rf"^({kinds})[a-z]*[-:]", "", name)


def _plain(markdown):
    """Text for a place that renders no Markdown."""
    return re.sub(r"[`*]|\{[a-z:]+\}(?=`)", "", _unlinked(markdown))


def _unlinked(markdown):
    return re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", markdown)


def _document(page):
    return page.path.relative_to(page.site.root).with_suffix("").as_posix()


def _url(site, document):
    return f"{site.baseurl}{document}.html"


def _page_title(page, url, line):
    document = url.removeprefix(page.site.baseurl).removesuffix(".html")
    if document not in page.site.pages:
        raise page.error(line, f"the link to {url} has no text.")
    return page.site.pages[document]


# --- Roles: (page, text, line) -> Markdown --------------------------------------------


def _explicit(text):
    """The two parts of `shown <target>`; the first is empty for a bare target."""
    match = re.fullmatch(r"(.*?)\s*<([^<>]+)>", text, flags=re.S)
    return match.groups() if match else ("", text)


def _ref(page, text, line):
    shown, name = _explicit(text)
    label = _label(page, name, line)
    for number in "%s", "{number}":
        shown = shown.replace(number, _mark(page, label, line))
    return f"[{shown or _named(page, label, line)}]({label.url})"


def _doc(page, text, line):
    shown, name = _explicit(text)
    url, _ = _resolve(page, f"{name}.md", line)
    return f"[{shown or _page_title(page, url, line)}]({url})"


def _term(page, text, line):
    shown, term = _explicit(text)
    if term.lower() not in page.site.terms:
        raise page.error(line, f"no glossary of the book has the term {term!r}.")
    return f"[{shown or term}]({page.site.terms[term.lower()]})"


def _cite(page, text, line):
    return f"({_cite_textual(page, text, line, '{authors}, {year}')})"


def _cite_textual(page, text, line, form="{authors} ({year})"):
    keys = (key.strip() for key in text.split(","))
    return "; ".join(_citation(page, key, line, form) for key in keys)


def _citation(page, key, line, form):
    entry = page.site.citations.get(key)
    if entry is None:
        raise page.error(line, f"the bibliography has no entry {key!r}.")
    people = entry.persons.get("author") or entry.persons.get("editor", [])
    names = [
        " ".join(str(part) for part in [*who.rich_prelast_names, *who.rich_last_names])
        for who in people
    ]
    authors = f"{names[0]} et al." if len(names) > 2 else " and ".join(names)
    shown = form.format(authors=authors, year=entry.fields.get("year", "n.d."))
    return f"[{shown}]({page.site.bibliography})"


def _glued(page, text, line):
    key = text.split(":")[0]
    return f"[`{key}`]({_url(page.site, _document(page))})"


def _abbr(page, text, line):
    short, _, meaning = text.rstrip(")").partition(" (")
    return f'<abbr title="{html.escape(meaning)}">{short}</abbr>'


def _download(page, text, line):
    shown, path = _explicit(text)
    return f"[{shown or Path(path).name}]({_blob_url(page, _file(page, path, line))})"


def _tagged(tag, page, text, line):
    return f"<{tag}>{html.escape(text, quote=False)}</{tag}>"


ROLES = {
    "abbr": _abbr,
    "cite": _cite,
    "cite:p": _cite,
    "cite:t": _cite_textual,
    "doc": _doc,
    "download": _download,
    "eq": _ref,
    "glue:": _glued,
    "glue:text": _glued,
    "kbd": partial(_tagged, "kbd"),
    "math": lambda page, text, line: f"${text}$",
    "numref": _ref,
    "prf:ref": _ref,
    "ref": _ref,
    "sub": partial(_tagged, "sub"),
    "sup": partial(_tagged, "sup"),
    "term": _term,
}


# --- Directives: (page, directive) -> Markdown ----------------------------------------


def _body(page, directive):
    return _render(page, directive.body, directive.body_line).strip("\n")


def _title(page, directive, default=""):
    return _inline(page, directive.argument, directive.line) or default


def _title_and_body(page, directive):
    """The text of a directive that has no title: it may begin beside the name."""
    return f"{_title(page, directive)}\n{_body(page, directive)}".strip()


def _lead(heading, body):
    """`heading` at the head of the first paragraph, where the body begins with one."""
    joint = "\n\n" if re.match(r"\$\$|[-*+<>|#!]|```|\d+\.", body) else " "
    return f"{heading}{joint}{body}".rstrip()


def _quote(text):
    # The tag, not `>`: JupyterLab would show the marks of a quoted `$$` in the maths.
    return f"<blockquote>\n\n{text}\n\n</blockquote>"


def _details(summary, text):
    summary = html.escape(_plain(summary), quote=False)
    return f"<details>\n<summary>{summary}</summary>\n\n{text}\n\n</details>"


def _heading(page, directive, kind):
    title = _title(page, directive)
    if title:
        return f"**{kind} ({title}).**"
    label = directive.options.get("label")
    return f"**{kind} {_short(label)}.**" if label else f"**{kind}.**"


def _statement(page, directive):
    kind = directive.name.removeprefix("prf:").capitalize()
    return _quote(_lead(_heading(page, directive, kind), _body(page, directive)))


def _proof(page, directive):
    text = _lead("*Proof.*", _title_and_body(page, directive))
    return f"{text} ∎" if text.endswith(".") else f"{text}\n\n∎"


def _exercise(page, directive):
    text = _lead(_heading(page, directive, "Exercise"), _body(page, directive))
    # One that ends in another cell cannot be set off.
    return text if directive.name == "exercise-start" else _quote(text)


def _solution(page, directive):
    label = _label(page, directive.argument, directive.line)
    summary = f"Solution of {_named(page, label, directive.line)}"
    return _details(summary, _body(page, directive))


def _misplaced(page, directive):
    raise page.error(
        directive.line,
        f"`{directive.name}` stands inside another block: move it to the top level "
        "of the page, written with backticks.",
    )


def _admonition(kind, page, directive):
    text = _title_and_body(page, directive)
    if _is_folded(directive):
        return _details(kind, text)
    return _quote(_lead(f"**{kind}.**", text))


def _titled(kind, page, directive):
    title, text = _title(page, directive, kind), _body(page, directive)
    if directive.name == "dropdown" or _is_folded(directive):
        return _details(title, text)
    end = "" if title[-1] in ".?!" else "."
    return _quote(_lead(f"**{title}{end}**", text))


def _is_folded(directive):
    classes = (directive.options.get("class") or "").split()
    return directive.name == "hint" or "dropdown" in classes


def _tab(page, directive):
    return f"**{_title(page, directive)}**\n\n{_body(page, directive)}"


def _epigraph(page, directive):
    return _quote(_title_and_body(page, directive))


def _code_block(page, directive):
    fence = "`" * max(3, *(len(run) + 1 for run in re.findall("`+", directive.body)), 0)
    return f"{fence}{directive.argument}\n{directive.body}\n{fence}"


def _math(page, directive):
    latex = f"{directive.argument}\n{directive.body}"
    return _display_math(latex, directive.options.get("label"))


def _display_math(latex, label=None):
    """Display maths, tagged with its name where the site has a number."""
    latex = re.sub(r"\n\s*\n", r" \\\\\n", latex.strip())
    # Within `$$`, align and gather are errors in some front ends.
    latex = re.sub(r"\\(begin|end)\{(align|gather)\*?\}", r"\\\1{\2ed}", latex)
    latex = re.sub(r"\\(begin|end)\{equation\*?\}\n?", "", latex).strip()
    outside = re.sub(r"\\begin\{(\w+\*?)\}.*?\\end\{\1\}", "", latex, flags=re.S)
    if re.search(r"\\\\|(?<!\\)&", outside):
        latex = f"\\begin{{aligned}}\n{latex}\n\\end{{aligned}}"
    tag = f" \\tag{{{_short(label)}}}" if label else ""
    return f"$$\n{latex}{tag}\n$$"


def _figure(page, directive):
    name = directive.options.get("name")
    alt = " ".join((directive.options.get("alt") or "").split())
    image = f"![{alt}]({_image_url(page, directive.argument, directive.line)})"
    if directive.name == "image":
        return image
    return f"{image}\n\n{_caption('Figure', name)} {_body(page, directive)}".rstrip()


def _caption(kind, name):
    return f"*{kind} {_short(name)}.*" if name else f"*{kind}.*"


def _glue_figure(page, directive):
    caption = _caption("Figure", directive.options.get("name"))
    plot = _glued(page, directive.argument, directive.line)
    return f"{caption} {_body(page, directive)} ({plot})"


def _glue_math(page, directive):
    return _glued(page, directive.argument, directive.line)


def _glossary(page, directive):
    return "\n".join(
        f"- **{_inline(page, term, directive.line)}**: "
        f"{_inline(page, definition, directive.line)}"
        for term, definition in _glossary_entries(directive.body)
    )


def _bibliography(page, directive):
    return f"[References on the site]({page.site.bibliography})"


def _table(page, directive):
    name = directive.options.get("name")
    caption = f"{_caption('Table', name)} {_title(page, directive)}".rstrip()
    return f"{caption}\n\n{_body(page, directive)}"


def _list_table(page, directive):
    rows, depth = [], 0
    for token in _parse(page, directive.body):
        here = directive.body_line + (token.map or [0])[0]
        depth += token.nesting if token.type.startswith("bullet_list") else 0
        if token.type == "list_item_open" and depth == 1:
            rows.append([])
        elif token.type == "list_item_open" and depth == 2:
            rows[-1].append("")
        elif token.type == "inline" and depth == 2:
            cell = _inline(page, " ".join(token.content.split()), here)
            rows[-1][-1] = f"{rows[-1][-1]}<br>{cell}".removeprefix("<br>")
        elif token.nesting == 0 or depth > 2:
            raise page.error(here, "a cell of a `list-table` holds text only.")
    if int(directive.options.get("header-rows", 0)) == 0:
        rows.insert(0, [""] * len(rows[0]))
    rows.insert(1, ["---"] * len(rows[0]))
    escaped = ((cell.replace("|", r"\|") for cell in row) for row in rows)
    table = "\n".join(f"| {' | '.join(row)} |" for row in escaped)
    caption = _caption("Table", directive.options.get("name"))
    return f"{caption} {_title(page, directive)}".rstrip() + f"\n\n{table}"


def _predict(page, directive):
    # Its question and its choices may go on in further lines.
    rest, *items = re.split(r"^- (?=\[)", directive.body, flags=re.M)
    question = " ".join(f"{directive.argument} {rest}".split())
    question = _inline(page, question, directive.line)
    choices, answers = [], []
    for letter, item in zip("abcdefgh", items):
        item = " ".join(item.split())
        match = re.fullmatch(r"\[([ x])\] (.+?) :: (.+)", item)
        if match is None:
            raise page.error(
                directive.line, f"`predict`: {item!r} is not `[ ] choice :: feedback`."
            )
        mark, choice, feedback = match.groups()
        verdict = "**Yes.**" if mark == "x" else "No."
        choices.append(f"- ({letter}) {_inline(page, choice, directive.line)}")
        feedback = _inline(page, feedback, directive.line)
        answers.append(f"- ({letter}) {verdict} {feedback}")
    revealed = _details("Check your prediction", "\n".join(answers))
    return "\n\n".join([f"**{question}**", "\n".join(choices), revealed])


def _nothing(page, directive):
    return ""


DIRECTIVES = {
    **{f"prf:{kind}": _statement for kind in PROOF_TYPES},
    "prf:proof": _proof,
    "exercise": _exercise,
    "exercise-start": _exercise,
    "exercise-end": _nothing,
    "solution": _solution,
    "solution-start": _misplaced,
    "solution-end": _misplaced,
    "code-cell": _misplaced,
    "note": partial(_admonition, "Note"),
    "tip": partial(_admonition, "Tip"),
    "hint": partial(_admonition, "Hint"),
    "important": partial(_admonition, "Important"),
    "warning": partial(_admonition, "Warning"),
    "seealso": partial(_admonition, "See also"),
    "admonition": partial(_titled, "Note"),
    "dropdown": partial(_titled, "More"),
    "margin": partial(_titled, "Aside"),
    "predict": _predict,
    "tab-set": _body,
    "tab-item": _tab,
    "epigraph": _epigraph,
    "code-block": _code_block,
    "math": _math,
    "figure": _figure,
    "image": _figure,
    "glue:figure": _glue_figure,
    "glue:math": _glue_math,
    "table": _table,
    "list-table": _list_table,
    "glossary": _glossary,
    "bibliography": _bibliography,
    "only": _nothing,
    "raw": _nothing,
    "tableofcontents": _nothing,
}


if __name__ == "__main__":
    main()
