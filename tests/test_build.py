"""The build of a small book: what it executes again, and how it says what is wrong."""

import shutil
from pathlib import Path

import pytest

from tools.build import BuildError, build, report
from tools.check_site import problems

ROOT = Path(__file__).parent.parent
FRONT_MATTER = """\
---
jupytext:
  text_representation:
    extension: .md
    format_name: myst
kernelspec:
  display_name: Python 3
  language: python
  name: python3
---

"""
CHAPTER = FRONT_MATTER + """\
# One

Some prose with $x^2$.

```{code-cell} ipython3
with open("runs.txt", "a") as file:
    file.write("run ")
```
"""


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    """A book of two pages that uses the real configuration and extensions."""
    root = tmp_path_factory.mktemp("book")
    for name in ("_config.yml", "references.bib", "requirements.txt"):
        shutil.copy(ROOT / name, root)
    for name in ("_ext", "_static"):
        shutil.copytree(ROOT / name, root / name)
    (root / "relubook").mkdir()
    (root / "chapters").mkdir()
    write(root, "index.md", "# A small book\n\nSee {doc}`chapters/one`.\n")
    write(root, "_toc.yml", "format: jb-book\nroot: index\n"
                            "chapters:\n  - file: chapters/one\n")
    write(root, "relubook/__init__.py", "")
    write(root, "chapters/one.md", CHAPTER)
    return root


def write(root, name, text):
    (root / name).write_text(text, encoding="utf-8")


def runs(book):
    """How often the chapter's cell has been executed."""
    return (book / "chapters/runs.txt").read_text().split().count("run")


def page(book):
    return (book / "_build/html/chapters/one.html").read_text(encoding="utf-8")


def test_only_what_can_change_an_output_executes_again(book):
    build(book)
    assert runs(book) == 1
    assert 'class="katex"' in page(book)
    assert "cdn" not in page(book) and "thebe" not in page(book)

    rendered = (book / "_build/html/index.html").stat().st_mtime_ns
    build(book)
    assert runs(book) == 1
    assert (book / "_build/html/index.html").stat().st_mtime_ns == rendered

    write(book, "chapters/one.md", CHAPTER.replace("Some prose", "Other prose"))
    build(book)
    assert runs(book) == 1 and "Other prose" in page(book)

    write(book, "relubook/__init__.py", "# an edit\n")
    build(book)
    assert runs(book) == 2


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        pytest.param(
            "chapters/one.md", CHAPTER.replace("with open", "1 / 0\nwith open"),
            r"one\.md:1[67].*1 / 0.*ZeroDivisionError", id="a failing cell",
        ),
        pytest.param(
            "chapters/one.md", CHAPTER.replace("$x^2$", r"$\frac{1$"),
            r"one\.md:1[34].*LaTeX: KaTeX parse error", id="a LaTeX typo",
        ),
        pytest.param(
            "chapters/one.md", CHAPTER.removeprefix(FRONT_MATTER),
            r"chapters/one\.md has code cells but no notebook front matter.*begin it",
            id="no front matter",
        ),
        pytest.param(
            "chapters/two.md", "# Two\n",
            r"chapters/two\.md is not in _toc\.yml.*- file: chapters/two",
            id="a chapter that is not listed",
        ),
        pytest.param(
            "chapters/one.md", CHAPTER + "\nSee {ref}`nowhere`.\n",
            "one.md:2.*undefined label: 'nowhere'", id="a dead reference",
        ),
        pytest.param(
            "chapters/one.md", CHAPTER + "\n![](../_static/favicon.svg)\n",
            "one.html: image without alt", id="an image without alt text",
        ),
        pytest.param(
            "chapters/one.md", CHAPTER + "\n:::{predict} Yes or no?\n- [x] yes\n:::\n",
            r"'- \[x\] yes' is no choice; write", id="a choice without feedback",
        ),
    ],
)
def test_what_is_wrong_stops_the_build_and_is_named(book, name, text, message):
    before = (book / name).read_text() if (book / name).exists() else None
    write(book, name, text)
    try:
        with pytest.raises(BuildError, match=f"(?s){message}"):
            build(book)
    finally:
        write(book, name, before) if before else (book / name).unlink()


def test_a_failed_build_is_not_taken_for_done(book):
    write(book, "chapters/one.md", CHAPTER.replace("$x^2$", r"$\frac{1$"))
    with pytest.raises(BuildError):
        build(book)
    write(book, "chapters/one.md", CHAPTER)
    build(book)
    assert r"\frac{1" not in page(book)


def test_report_without_a_cell_shows_what_is_known(tmp_path):
    assert "DeadKernelError" in report(tmp_path / "one.md", "DeadKernelError: died")


def test_the_site_has_what_students_get_of_each_assignment(tmp_path):
    """And a page that lists it, made from its front matter."""
    for name in ("_config.yml", "references.bib", "requirements.txt"):
        shutil.copy(ROOT / name, tmp_path)
    for name in ("_ext", "_static"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / "tests" / "data" / "assignments", tmp_path / "assignments")
    (tmp_path / "chapters").mkdir()
    write(tmp_path, "index.md", "# A book\n\nSee {doc}`chapters/assignments`.\n")
    write(tmp_path, "chapters/rectified-linear-unit.md", "# One\n")
    write(tmp_path, "chapters/assignments.md",
          "# Assignments\n\n```{assignment-list}\n```\n")
    write(tmp_path, "_toc.yml", "format: jb-book\nroot: index\nchapters:\n"
          "  - file: chapters/rectified-linear-unit\n  - file: chapters/assignments\n")
    site = build(tmp_path)
    files = sorted(path.name for path in (site / "assignments" / "tiny").iterdir())
    assert files == ["table.csv", "tests.zip", "tiny.ipynb"]
    text = (site / "chapters/assignments.html").read_text("utf-8")
    assert "1. A tiny assignment" in text
    assert "7 points, about 10 minutes. Needs NumPy." in text
    assert 'href="../assignments/tiny/tiny.ipynb"' in text
    assert 'href="../assignments/tiny/table.csv"' in text
    assert "relubook/relubook/blob/assignments/tiny/tiny.ipynb" in text
    assert 'href="rectified-linear-unit.html"' in text
    everything = b"".join(path.read_bytes() for path in site.rglob("*")
                          if path.is_file())
    assert b"positively homogeneous" not in everything  # of the solution
    setup = (site / "assignments/tiny/tiny.ipynb").read_text("utf-8")
    assert "https://relubook.github.io/relubook/assignments/tiny/" in setup
    (site / "assignments" / "tiny" / "table.csv").unlink()
    assert any("table.csv (no such file)" in line
               for line in problems(site, source=tmp_path))
