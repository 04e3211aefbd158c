"""How long the book takes to build: cold, unchanged, and after one edit of each kind.

It builds a copy of the checkout, so the edits touch nothing of yours. Fetching the
front-end assets is not counted.
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CHAPTER = "chapters/rectified-linear-unit.md"
REPEATS = 3


def main():
    with tempfile.TemporaryDirectory() as folder:
        book = copy(Path(folder, "book"))
        seconds = {case: [] for case in CASES}
        for repeat in range(REPEATS):
            for case, edit in CASES.items():
                edit(book, repeat)
                seconds[case].append(build(book))
    print("| case | median s | lowest to highest s | of cold |\n|---|--:|--:|--:|")
    cold = statistics.median(seconds["cold"])
    for case, times in seconds.items():
        median = statistics.median(times)
        print(f"| {case} | {median:.1f} | {min(times):.1f} to {max(times):.1f} "
              f"| {median / cold:.2f} |")


def copy(book):
    """The files git knows of, and the assets, in a folder of their own."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).exists():
            (book / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, book / name)
    if (ROOT / "_ext/node_modules").exists():
        shutil.copytree(ROOT / "_ext/node_modules", book / "_ext/node_modules")
    return book


def build(book):
    """Seconds that one build takes."""
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "tools.build"], cwd=book, check=True,
        env=os.environ | {"PYTHONPATH": str(book)}, capture_output=True,
    )
    return time.perf_counter() - start


def cold(book, repeat):
    shutil.rmtree(book / "_build", ignore_errors=True)


def unchanged(book, repeat):
    pass


def prose_edit(book, repeat):
    replace(book / CHAPTER, "\n## Further reading\n",
            f"\nEdit {repeat}.\n\n## Further reading\n")


def code_edit(book, repeat):
    replace(book / CHAPTER, "\nfigures.use_style()\n",
            f"\nfigures.use_style()\nedit = {repeat}\n")


def package_edit(book, repeat):
    with open(book / "relubook/__init__.py", "a", encoding="utf-8") as file:
        file.write(f"# edit {repeat}\n")


def replace(path, old, new):
    text = path.read_text(encoding="utf-8")
    if old not in text:
        raise ValueError(f"{path} has no {old!r} to edit; mend benchmarks/build.py")
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


CASES = {
    "cold": cold,
    "unchanged": unchanged,
    "one prose edit": prose_edit,
    "one code edit": code_edit,
    "package edit": package_edit,
}

if __name__ == "__main__":
    main()
