"""The command `relubook`.

Exit codes: 0, all is well; 1, it ran, and something needs a look (a test fails, a
submission could not be graded, a rehearsal differs, the run was interrupted); 2, it
could not run: wrong arguments or files, or no sandbox.
"""

import argparse
import contextlib
import shlex
import sys
from pathlib import Path

# Everything else is imported by the command that needs it: `--help` must not wait.


def main(arguments=None) -> int:
    """Run the command with these arguments; return its exit code."""
    options = parser().parse_args(arguments)
    try:
        return options.run(options)
    except KeyboardInterrupt:
        print("relubook: interrupted", file=sys.stderr)
        return 1
    except Exception as error:
        if not _is_expected(error):
            raise
        text = " ".join(str(error).split()) or type(error).__name__
        print(f"relubook: {text}", file=sys.stderr)
        return 2


def _is_expected(error):
    """Whether an error's text says all: it is about what the user gave."""
    if isinstance(error, (OSError, ValueError, ModuleNotFoundError)):
        return True
    return type(error).__name__ in ("AssignmentError", "GraderError")


def parser():
    """What the command understands."""
    top = argparse.ArgumentParser(
        prog="relubook",
        description="Course assignments of the book: build, check, grade.",
        epilog="Exit codes: 0 all is well; 1 it ran and something needs a look; 2 it "
        "could not run. `relubook COMMAND --help` says more.",
    )
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    _add_check(commands)
    _add_assign(commands)
    _add_grade(commands)
    _add_demo(commands)
    return top


def _add_check(commands):
    check = commands.add_parser(
        "check",
        help="for students: run a notebook and its public tests",
        description="Run your notebook from top to bottom and then its public tests, as "
        "the grader will. Exit code 1 if a test fails.",
    )
    check.add_argument("notebook", metavar="NAME.ipynb")
    check.set_defaults(run=run_check)


def _add_assign(commands):
    assign = commands.add_parser("assign", help="build and check assignments")
    assigned = assign.add_subparsers(required=True, metavar="COMMAND")
    build = assigned.add_parser(
        "build",
        help="make the students' files and the grader's from the master",
        description="Build an assignment for a term: notebook and data for students, "
        "tests for the grader, and a zip for Gradescope.",
    )
    build.add_argument("name", metavar="NAME", help="a folder in assignments/")
    build.add_argument("--term", default="demo", help="chooses the variant: 2026-autumn")
    build.add_argument("--out", help="folder to build into; _build/assignments/NAME")
    build.add_argument("--url", help="where students on Colab find the folder student/")
    _add_root(build)
    build.set_defaults(run=run_build)
    check = assigned.add_parser(
        "check",
        help="grade the solution and all known mistakes of an assignment",
        description="Check that the solution has full marks, that every known mistake "
        "scores what it should, and that nothing for students gives answers away.",
    )
    check.add_argument("name", metavar="NAME", nargs="?", help="a folder in assignments/")
    check.add_argument("--all", action="store_true", help="every assignment")
    _add_root(check)
    check.set_defaults(run=run_assign_check)


def _add_grade(commands):
    grade = commands.add_parser(
        "grade",
        help="grade a folder of submissions",
        description="Grade every submission in a folder, each in a sandbox. OUT gets "
        "grades.csv, feedback/, manual.csv, items.csv and summary.md. A run that was "
        "stopped or killed goes on with --resume.",
    )
    add = grade.add_argument
    add("name", metavar="NAME", nargs="?", help="the assignment, or its built folder")
    add("submissions", metavar="SUBMISSIONS", nargs="?", help="folder with submissions")
    add("-o", "--out", metavar="OUT", help="folder for what comes out")
    add("--jobs", type=int, metavar="N", help="how many at a time; one per processor")
    add("--resume", action="store_true", help="keep results whose submission is unchanged")
    add(
        "--only", action="append", default=[], metavar="ID",
        help="grade this student again and keep the rest; may be repeated",
    )  # fmt: skip
    add("--roster", metavar="FILE", help="CSV of all students, e.g. Canvas's gradebook")
    add("--id-column", metavar="COLUMN", help="the roster's column of ids")
    add("--manual", metavar="FILE", help="points given by hand; OUT/manual.csv")
    add("--term", help="the term the assignment was built for; as it was built last")
    add("--no-analysis", action="store_true", help="do not grade the known mistakes")
    add("--doctor", action="store_true", help="only prove that the sandbox holds")
    add(
        "--unsafe-no-sandbox", action="store_true",
        help="run submissions WITHOUT a sandbox: their code can then read and delete your "
        "files, use your network, read the tests and write itself any score",
    )  # fmt: skip
    _add_root(grade)
    grade.set_defaults(run=run_grade)


def _add_demo(commands):
    demo = commands.add_parser(
        "demo-class",
        help="make a class of right, wrong, broken and hostile submissions",
        description="Write a synthetic class to rehearse grading with, or compare the "
        "grades of a rehearsal with what they must be.",
    )
    add = demo.add_argument
    add("name", metavar="NAME", nargs="?", help="the assignment")
    add("-n", type=int, default=300, help="how many students; 300")
    add("-o", "--out", metavar="FOLDER", help="new folder for the class")
    add("--seed", type=int, default=0, help="another class; 0")
    add("--quick", action="store_true", help="nothing that takes until a time limit")
    add("--term", help="the term the assignment was built for; as it was built last")
    add(
        "--compare", nargs=2, metavar=("OUT", "FOLDER"),
        help="print how the grades in OUT differ from what FOLDER's class must get",
    )  # fmt: skip
    _add_root(demo)
    demo.set_defaults(run=run_demo)


def _add_root(command):
    command.add_argument("--root", default=".", help="the book's folder; the current one")


# Commands ----------------------------------------------------------------------------


def run_check(options):
    """`relubook check`"""
    from relubook.grading import selfcheck

    result = selfcheck.check(options.notebook)
    print(selfcheck.report(result))
    return 0 if selfcheck.passes(result) else 1


def run_build(options):
    """`relubook assign build`"""
    from relubook.grading import assignments

    assignments.read(options.name, term=options.term, root=options.root)
    built = assignments.build(
        options.name,
        term=options.term,
        secret=assignments.secret(root=options.root),
        root=options.root,
        out=options.out,
        url=options.url,
    )
    print(f"{built.title}, term {built.term}")
    print(f"for students:   {built.folder / 'student'}")
    print(f"for Gradescope: {built.folder / 'gradescope.zip'}")
    print("Everything outside student/ holds solutions and your secret: do not share it.")
    return 0


def run_assign_check(options):
    """`relubook assign check`"""
    from relubook.grading import assignments, checking

    if bool(options.name) == options.all:
        raise ValueError("wanted NAME or --all")
    names = assignments.names(options.root) if options.all else [options.name]
    found = 0
    for name in names:
        problems = checking.check(name, root=options.root)
        found += len(problems)
        print(f"{name}: {len(problems) or 'no'} problem{'s' * (len(problems) != 1)}")
        for problem in problems:
            print(f"  {problem}")
    return 1 if found else 0


def run_grade(options):
    """`relubook grade`"""
    if options.doctor:
        return _doctor()
    for name, value in (
        ("NAME", options.name),
        ("SUBMISSIONS", options.submissions),
        ("-o OUT", options.out),
    ):
        if not value:
            raise ValueError(f"{name} is missing; see relubook grade --help")
    from relubook.grading import batch, feedback

    if options.unsafe_no_sandbox:
        print(
            "WARNING: no sandbox. Submissions run as you: they can read and delete your "
            "files, use your network, and forge scores.",
            file=sys.stderr,
        )
    assignment = _built(options)
    answers = None if options.no_analysis else feedback.mistakes(assignment)
    with _bar() as progress:
        summary = batch.grade(
            assignment,
            options.submissions,
            options.out,
            jobs=options.jobs,
            resume=options.resume,
            only=options.only,
            roster=options.roster,
            id_column=options.id_column,
            manual=options.manual,
            sandbox=not options.unsafe_no_sandbox,
            answers=answers,
            progress=progress,
        )
    print(_report(assignment, summary))
    if summary.interrupted:
        again = ["relubook", "grade", options.name, options.submissions]
        again += ["-o", options.out]
        for flag in ("roster", "manual", "id_column", "term"):
            if value := getattr(options, flag):
                again += ["--" + flag.replace("_", "-"), value]
        again = shlex.join([*again, "--resume"])
        print(f"Interrupted. To go on: {again}", file=sys.stderr)
    return 1 if summary.interrupted or summary.unfinished else 0


def run_demo(options):
    """`relubook demo-class`"""
    from relubook.grading import demo

    if options.compare:
        differences = demo.compare(*options.compare)
        for difference in differences:
            print(difference)
        print(f"{len(differences) or 'no'} difference{'s' * (len(differences) != 1)}")
        return 1 if differences else 0
    if not options.name or not options.out:
        raise ValueError("NAME or -o FOLDER is missing; see relubook demo-class --help")
    assignment = _built(options)
    made = demo.make(assignment, options.out, options.n, options.seed, options.quick)
    print(", ".join(f"{count} {kind}" for kind, count in made.items()))
    folder, out = Path(options.out), f"{options.out}-out"
    grade = ["relubook", "grade", options.name, folder / "submissions", "-o", out]
    grade += ["--roster", folder / "roster.csv"]
    compare = ["relubook", "demo-class", "--compare", out, folder]
    for command in (grade, compare):
        print(shlex.join(map(str, command)))
    return 0


def _doctor():
    from relubook.grading import doctor

    findings = doctor.examine()
    print(doctor.report(findings))
    return 0 if doctor.holds(findings) else 1


def _built(options):
    """The assignment, built if it is not: NAME is a master's, or a built folder."""
    from relubook.grading import assignments

    if (Path(options.name) / "assignment.json").is_file():
        return assignments.load(options.name)
    term = options.term
    if term is None:
        # students have the variant that was built last; another one would fail them
        built = Path(options.root) / "_build" / "assignments" / options.name
        exists = (built / "assignment.json").is_file()
        term = assignments.load(built).term if exists else "demo"
    assignments.read(options.name, term=term, root=options.root)  # is there such a one?
    print(f"{options.name}, term {term}", file=sys.stderr)
    secret = assignments.secret(root=options.root)
    return assignments.build(options.name, term=term, secret=secret, root=options.root)


@contextlib.contextmanager
def _bar():
    """A progress bar on stderr, as `batch.grade` wants it."""
    from tqdm import tqdm

    bars = {}

    def progress(done, total, what):
        if done == 1 or not bars:
            for bar in bars.values():
                bar.close()
            bars[0] = tqdm(total=total, file=sys.stderr, dynamic_ncols=True)
        bars[0].set_postfix_str(str(what)[:30], refresh=False)
        bars[0].update(done - bars[0].n)

    try:
        yield progress
    finally:
        for bar in bars.values():
            bar.close()


def _report(assignment, summary):
    from relubook.grading.tables import number

    lines = [f"{assignment.title}: {sum(summary.counts.values())} rows"]
    lines += [f"  {kind:<14}{count:>5}" for kind, count in sorted(summary.counts.items())]
    if summary.mean is not None:
        possible = number(summary.possible)
        lines.append(f"mean of the submissions {summary.mean:.2f} of {possible}")
    lines.append(f"{summary.seconds:.1f} s")
    lines += [f"{summary.out / name}" for name in ("grades.csv", "summary.md", "feedback")]
    lines += [f"note: {note}" for note in summary.notes]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
