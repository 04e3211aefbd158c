"""Build the book: execute what changed, in parallel, then render and check the site.

    python -m tools.build            what `make book` runs in the virtual environment
    python -m tools.build --fresh    forget every earlier execution first

jupyter-cache keys an execution by the notebook's code alone. What the code imports,
reads and runs on counts too, so a change in any of `EXECUTION_INPUTS` empties the
cache here; a change in prose executes nothing, and no change does nothing.
"""

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# No chapter runs what grades assignments: `!` leaves out what came before it.
EXECUTION_INPUTS = ["relubook/**/*", "!relubook/grading/**/*", "chapters/claims.yml",
                    "results/*.*", "requirements.txt"]
PAGE_INPUTS = [*EXECUTION_INPUTS, "_ext/*", "_config.yml", "_toc.yml", "references.bib",
               "assignments/*/*.md"]
ALL_INPUTS = [*PAGE_INPUTS, "index.md", "chapters/*", "_static/*", "tools/*",
              "relubook/grading/*", "assignments/*/**/*"]
ANSI = re.compile(r"\x1b\[[0-9;]*m")


class BuildError(Exception):
    """The book does not build; the message says where and why."""


def build(root=ROOT, fresh=False):
    """Build the book at `root` into `root/_build/html` and return that folder.

    Raises BuildError, with a report to read, when a cell fails, when Sphinx warns
    or when the finished site has a problem.
    """
    out = root / "_build"
    executed = Stamp(root, "executed", EXECUTION_INPUTS)
    rendered = Stamp(root, "rendered", PAGE_INPUTS)
    built = Stamp(root, "built", ALL_INPUTS)
    if not (fresh or built.stale) and (out / "html").exists():
        return out / "html"
    from tools.check_site import problems  # slow to import, so only when there is work

    built.clear()
    if fresh or executed.stale:
        executed.clear()
        shutil.rmtree(out / ".jupyter_cache", ignore_errors=True)
    execute(root, out / ".jupyter_cache")
    executed.write()
    everything = fresh or rendered.stale
    rendered.clear()
    render(root, everything)
    rendered.write()
    publish_assignments(root, out / "html" / "assignments")
    found = problems(out / "html", source=root)
    if found:
        raise BuildError("The built site has problems:\n" + "\n".join(found))
    built.write()
    return out / "html"


class Stamp:
    """Whether the files that match `patterns` are those of the last good `step`.

    Cleared before a step and written after it, so that a step which fails half-way
    is never taken for done.
    """

    def __init__(self, root, step, patterns):
        self.file = root / "_build" / f".{step}"
        self.digest = digest(root, patterns)
        self.stale = not self.file.exists() or self.file.read_text() != self.digest

    def clear(self):
        self.file.unlink(missing_ok=True)

    def write(self):
        self.file.write_text(self.digest)


def digest(root, patterns):
    """SHA-256 over the Python version and the names and bytes of the files."""
    total = hashlib.sha256(sys.version.encode())
    paths = set()
    for pattern in patterns:
        found = set(root.glob(pattern.removeprefix("!")))
        paths = paths - found if pattern.startswith("!") else paths | found
    for path in sorted(paths):
        if path.is_file() and "__pycache__" not in path.parts:
            total.update(path.relative_to(root).as_posix().encode() + b"\0")
            total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def execute(root, cache_folder):
    """Execute the notebooks that the cache does not know, one process each."""
    from jupyter_cache import get_cache
    from tqdm import tqdm

    cache = get_cache(cache_folder)
    for page in pages(root):
        cache.add_nb_to_project(
            str(page), read_data={"name": "myst_nb_md", "type": "plugin"}
        )
    todo = [record.uri for record in cache.list_unexecuted()]
    # Kernels share the machine: one thread each, and no surprise from hash order.
    os.environ.update(OMP_NUM_THREADS="1", PYTHONHASHSEED="0", RELUBOOK_BUILD="1")
    workers = min(len(todo), os.cpu_count()) or 1
    log = cache_folder / "kernels.log"
    spawn = get_context("spawn")  # a fork of a process with threads may lock up
    with ProcessPoolExecutor(workers, spawn, log_stderr, [log]) as pool:
        runs = {pool.submit(execute_one, cache_folder, page): page for page in todo}
        bar = tqdm(as_completed(runs), "executing", len(todo), unit="notebook",
                   disable=not todo)
        failures = [report for run in bar if (report := run.result())]
    if failures:
        raise BuildError("\n\n".join(failures))


def log_stderr(log):
    """Send what kernels say about themselves to a file, away from the progress bar."""
    with open(log, "a", encoding="utf-8") as file:
        os.dup2(file.fileno(), sys.stderr.fileno())


def pages(root):
    """The notebooks of the book: the chapters with a kernel in their front matter."""
    return [
        page for page in [root / "index.md", *sorted(root.glob("chapters/*.md"))]
        if page.exists() and "\nkernelspec:" in page.read_text(encoding="utf-8")
    ]


def execute_one(cache_folder, page):
    """Execute one notebook into the cache; the report of its failure, or None."""
    from jupyter_cache import get_cache
    from jupyter_cache.executors import load_executor

    cache = get_cache(cache_folder)
    result = load_executor("local-serial", cache).run_and_cache(
        filter_uris=[page], timeout=cell_timeout(cache_folder.parent.parent)
    )
    if result.succeeded:
        return None
    return report(Path(page), cache.get_project_record(page).traceback or "")


def cell_timeout(root):
    """Seconds a cell may run, as `_config.yml` says."""
    import yaml

    config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))
    return config["execute"]["timeout"]


def report(page, trace):
    """File, line of the failing cell, the cell and its traceback, to read."""
    trace = ANSI.sub("", trace)
    rule = "-" * 18
    if trace.count(rule) < 2:  # no cell is to blame: a dead kernel, say
        return f"{page} could not be executed:\n{trace}"
    _, cell, error = trace.split(rule, 2)
    before, found, _ = page.read_text(encoding="utf-8").partition(cell.strip())
    line = f":{before.count(chr(10)) + 1}" if found else ""
    return f"{page}{line}: this cell failed:\n\n{cell.strip()}\n{error.rstrip()}"


def render(root, everything):
    """Run Jupyter Book with every warning an error."""
    command = [Path(sys.executable).with_name("jupyter-book"), "build", "-q", "-W", "-n",
               "--keep-going", root]
    if everything:
        command.append("--all")
        shutil.rmtree(root / "_build" / "html", ignore_errors=True)  # no stale page
    log = root / "_build" / "build.log"
    # A file, not a pipe: a stray helper process could keep a pipe open for ever.
    with open(log, "w", encoding="utf-8") as output:
        done = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT)
    if done.returncode:
        messages = ANSI.sub("", log.read_text(encoding="utf-8", errors="replace"))
        # What follows is how Jupyter Book was called, not what is wrong.
        messages = messages.partition("\nTraceback (most recent call last)")[0]
        raise BuildError(
            f"Jupyter Book found errors:\n{messages.rstrip()}\n(whole log: {log})"
        )


def publish_assignments(root, folder):
    """Put what students get of each assignment, and nothing else, into `folder`."""
    from relubook.grading import assignments

    shutil.rmtree(folder, ignore_errors=True)
    for name in assignments.names(root):
        try:  # without a secret, so there is no other side to publish by mistake
            built = assignments.build(
                name, root=root, out=root / "_build" / "site-assignments" / name
            )
        except assignments.AssignmentError as error:
            raise BuildError(str(error)) from error
        shutil.copytree(built.folder / "student", folder / name)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--fresh", action="store_true", help="execute everything anew")
    try:
        site = build(fresh=parser.parse_args().fresh)
    except BuildError as error:
        sys.exit(f"\n{error}\n\nThe book was not built.")
    print(f"The book is at {site / 'index.html'}")


if __name__ == "__main__":
    main()
