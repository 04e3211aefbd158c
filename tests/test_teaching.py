"""The commands of "Teaching with this book", as an instructor would run them."""

import csv
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "chapters" / "teaching.md"


def commands():
    """The blocks of the page that are run: ```sh; what only shows a form is ```shell."""
    blocks = re.findall(r"^```sh\n(.*?)^```", PAGE.read_text("utf-8"), re.M | re.S)
    return [block.strip() for block in blocks]


def clone(folder):
    """The files that git knows of, as a fresh clone has them."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)


def test_the_page_begins_with_a_clone_and_names_each_command():
    first, *rest = commands()
    assert first.startswith("git clone https://github.com/relubook/relubook\ncd relubook")
    assert "requirements.txt" in first
    said = "\n".join(rest)
    for part in ("--doctor", "assign build", "demo-class", "grade", "--compare"):
        assert part in said


@pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed")
def test_an_instructor_can_follow_the_page(tmp_path):
    clone(tmp_path)
    # what the first block installs is what runs this test
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(tmp_path)}
    environment.pop("RELUBOOK_SECRET", None)
    said = ""
    for block in commands()[1:]:
        done = subprocess.run(
            ["bash", "-euc", block], cwd=tmp_path, env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        assert done.returncode == 0, f"{block}\n{done.stdout}"
        said += done.stdout
    assert "no differences" in said
    with open(tmp_path / "graded" / "grades.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 24
    assert {row["status"].split(":")[0] for row in rows} >= {"ok", "stopped", "missing"}
    assert all(row["score"] for row in rows)
    student = tmp_path / "_build" / "assignments" / "relu-by-hand" / "student"
    assert "BEGIN SOLUTION" not in (student / "relu-by-hand.ipynb").read_text("utf-8")
    status = subprocess.run(
        ["git", "check-ignore", "assignments/.secret"], cwd=ROOT, capture_output=True
    )
    assert status.returncode == 0, "git does not ignore the secret"
