"""The ledger of claims: what the sources say, and whether the evidence bears it out.

`claims.yml` records each claim with a verdict. A chapter calls `check` where its
evidence lands; the verdict that the evidence gives must be the recorded one.
"""

import difflib
import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
import yaml
from sympy.logic.boolalg import BooleanAtom

from relubook.notebook import in_build

SOURCES = {
    "N": "note after Bishop & Bishop",
    "L": "lecture handout",
    "A": "article after Goodfellow et al.",
    "+": "ours",
}
EVIDENCE = {
    "P": "proof",
    "C": "computation",
    "E": "experiment with seeds",
    "R": "literature",
}
VERDICTS = {
    "holds": "holds",
    "conditions": "holds under conditions",
    "fails": "fails",
}


class ClaimError(AssertionError):
    """The evidence on a page of the book does not support the recorded verdict."""


@dataclass(frozen=True)
class Claim:
    """One entry of the ledger.

    `source` and `evidence` hold letters that `SOURCES` and `EVIDENCE` spell out,
    `verdict` a key of `VERDICTS`, `chapter` the name of `chapters/<chapter>.md`.
    `statement` and `because` (the conditions, or what is true instead; needed unless
    the claim holds) are Markdown with $maths$.

    Raises ValueError for a field that is missing or malformed.
    """

    id: str
    source: tuple[str, ...]
    statement: str
    evidence: tuple[str, ...]
    verdict: str
    chapter: str
    because: str = ""

    def __post_init__(self):
        for field in ("id", "chapter"):
            self._demand(field, _is_slug, "lower-case words joined by hyphens")
        for field, letters in (("source", SOURCES), ("evidence", EVIDENCE)):
            self._demand(
                field,
                lambda value, letters=letters: _is_list_of(value, letters),
                f"a list of one or more of {', '.join(letters)}, each once",
            )
            object.__setattr__(self, field, tuple(getattr(self, field)))
        self._demand("verdict", VERDICTS.__contains__, f"one of {', '.join(VERDICTS)}")
        self._demand("statement", str.strip, "a sentence")
        if self.verdict != "holds" or self.because != "":
            wanted = "a sentence (to be left out only where the claim holds)"
            self._demand("because", str.strip, wanted)

    @property
    def sources(self) -> str:
        """The sources spelled out: 'lecture handout; article after …'."""
        return "; ".join(SOURCES[letter] for letter in self.source)

    def _demand(self, field, is_right, wanted):
        value = getattr(self, field)
        try:
            right = is_right(value)
        except TypeError:  # not even the type that the question makes sense for
            right = False
        if not right:
            raise ValueError(
                f"claim {self.id!r}: {field} is {value!r}, but must be {wanted}"
            )


@dataclass(frozen=True)
class Checked:
    """A claim with the evidence found for (`holds`) and against it (`fails`).

    Jupyter shows it as Markdown, the book as an admonition with the anchor
    `claim-<id>`, a terminal as text.
    """

    claim: Claim
    holds: Mapping[str, bool]
    fails: Mapping[str, bool]

    @property
    def verdict(self) -> str:
        """What this kind of evidence gives if all of it comes out."""
        if self.holds and self.fails:
            return "conditions"
        return "holds" if self.holds else "fails"

    @property
    def missed(self) -> tuple[str, ...]:
        """The sentences that did not come out."""
        found = [*self.holds.items(), *self.fails.items()]
        return tuple(sentence for sentence, came_out in found if not came_out)

    @property
    def supported(self) -> bool:
        """Whether the evidence came out and gives the recorded verdict."""
        return not self.missed and self.verdict == self.claim.verdict

    def __repr__(self):
        outcome = VERDICTS[self.claim.verdict]
        if not self.supported:
            outcome = f"yours differs from the recorded '{outcome}'"
        lines = [f"{self.claim.id}: {outcome}", *self._evidence()]
        return "\n  ".join(lines)

    def _repr_markdown_(self):
        return self._admonition() if in_build() else self._quotation()

    def _admonition(self):
        claim = self.claim
        return "\n".join([
            f"(claim-{claim.id})=",
            f":::{{admonition}} {self._title()}",
            f":class: claim claim-{claim.verdict}",
            "",
            *self._body(),
            ":::",
        ])

    def _quotation(self):
        title, lines = self._title(), self._body()
        if not self.supported:
            title += " – yours differs"
            lines += ["", *self._difference()]
        lines = [f"**{title}**", "", *lines]
        return "\n".join(f"> {line}".rstrip() for line in lines)

    def _title(self):
        return f"Claim {self.claim.id}: {VERDICTS[self.claim.verdict]}"

    def _body(self):
        claim = self.claim
        because = [claim.because, ""] if claim.because else []
        source = f"{claim.statement} *({claim.sources})*"
        return [source, "", *because, *(f"- {line}" for line in self._evidence())]

    def _evidence(self):
        for label, found in (("For", self.holds), ("Against", self.fails)):
            for sentence, came_out in found.items():
                missed = "" if came_out else ", but it did not come out"
                yield f"{'✓' if came_out else '✗'} {label}{missed}: {sentence}"

    def _difference(self):
        recorded = VERDICTS[self.claim.verdict]
        yield f"**Yours differs:** the book records *{recorded}*; {self._findings()}."
        yield "Another device, other versions of the libraries, other seeds or smaller"
        yield "sizes can change what a computation finds. If you changed the code"
        yield "above, look there first."

    def _findings(self):
        if self.missed:
            return "not found here: " + "; ".join(s.rstrip(".") for s in self.missed)
        return f"the evidence here says *{VERDICTS[self.verdict]}*"


def check(claim_id, holds=None, fails=None) -> Checked:
    """Confront a claim of the ledger with the evidence just computed, and show both.

    `holds` maps a sentence (Markdown) to the truth of a finding that confirms the
    claim, `fails` to the truth of one that contradicts it: a counterexample that was
    seen is True. Every finding must be true. The verdict follows: 'holds' if all
    evidence is for the claim, 'fails' if all is against it, 'conditions' if there is
    some of both.

    In the book's build, evidence that does not support the recorded verdict raises
    ClaimError; in a reader's own run the result says "yours differs" and why that can
    be.

    Truth values are bool, NumPy's or SymPy's; anything else raises TypeError. No
    evidence at all and sentences that differ only in white space raise ValueError, an
    id that the ledger does not have LookupError.

    >>> check(
    ...     "elu-negative-slope",
    ...     fails={"For α = 1 the slope at −1 is positive.": np.exp(-1) > 0},
    ... )
    elu-negative-slope: fails
      ✓ Against: For α = 1 the slope at −1 is positive.
    """
    claim = _known(claim_id)
    checked = Checked(claim, _findings("holds", holds), _findings("fails", fails))
    if not checked.holds and not checked.fails:
        raise ValueError(
            f"claim {claim_id!r} was checked without evidence; "
            "give at least one sentence under holds or fails"
        )
    if in_build() and not checked.supported:
        raise ClaimError(_complaint(checked))
    return checked


@functools.cache
def load() -> Mapping[str, Claim]:
    """Read the book's ledger: claim id -> Claim, in the order of the book.

    >>> load()["elu-negative-slope"].verdict
    'fails'
    """
    here = Path(__file__)
    installed = here.with_name("claims.yml")
    in_checkout = here.parents[1] / "chapters" / "claims.yml"
    return read(installed if installed.exists() else in_checkout)


def read(path) -> Mapping[str, Claim]:
    """Read and validate a ledger: claim id -> Claim, in the order of the file.

    Raises ValueError, naming the file, the claim, what came and what was wanted.
    """
    path = Path(path)
    try:
        entries = yaml.load(path.read_text(encoding="utf-8"), _StrictLoader)
        if not isinstance(entries, dict):
            raise ValueError("a ledger is a mapping of claim ids to their fields")
        ledger = {key: _claim(key, fields) for key, fields in entries.items()}
    except (ValueError, yaml.YAMLError) as error:
        raise ValueError(f"{path}: {error}") from error
    return MappingProxyType(ledger)


def unknown(claim_id, ledger) -> str:
    """Say that `ledger` has no such claim, and what to do.

    >>> unknown("elu-mean-shfit", load())
    "the ledger has no claim 'elu-mean-shfit'; did you mean 'elu-mean-shift'?"
    """
    nearest = difflib.get_close_matches(claim_id, ledger, n=3, cutoff=0.75)
    advice = "look up its id in chapters/claims.yml, or add it there"
    if nearest:
        advice = f"did you mean {' or '.join(map(repr, nearest))}?"
    return f"the ledger has no claim {claim_id!r}; {advice}"


class _StrictLoader(yaml.SafeLoader):
    """YAML in which a repeated key is an error; by default the last one wins."""

    def construct_mapping(self, node, deep=False):
        seen = {}
        for key, _ in node.value:
            name, line = str(key.value), key.start_mark.line + 1
            if name in seen:
                raise ValueError(
                    f"{name!r} stands twice, on lines {seen[name]} and {line}; "
                    "keep one of them"
                )
            seen[name] = line
        return super().construct_mapping(node, deep)


def _claim(claim_id, fields):
    needed = ("source", "statement", "evidence", "verdict", "chapter")
    if not isinstance(fields, dict):
        raise ValueError(
            f"claim {claim_id!r} is {fields!r}, but must be a mapping of its fields"
        )
    for name in fields:
        if name not in (*needed, "because"):
            raise ValueError(
                f"claim {claim_id!r} has the unknown field {name!r}; "
                f"the fields are {', '.join(needed)} and because"
            )
    for name in needed:
        if name not in fields:
            raise ValueError(f"claim {claim_id!r} lacks the field {name!r}")
    return Claim(claim_id, **fields)


def _is_slug(value):
    return re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", value)


def _is_list_of(value, letters):
    if not isinstance(value, (list, tuple)) or len(set(value)) != len(value):
        return False
    return len(value) > 0 and set(value) <= set(letters)


def _known(claim_id):
    ledger = load()
    if not isinstance(claim_id, str):
        raise TypeError(f"claim_id={claim_id!r} must be a string")
    if claim_id not in ledger:
        raise LookupError(unknown(claim_id, ledger))
    return ledger[claim_id]


def _findings(argument, evidence):
    if evidence is None:
        return MappingProxyType({})
    if not isinstance(evidence, Mapping):
        raise TypeError(
            f"{argument} is a {type(evidence).__name__}, but must map "
            "sentences to truth values"
        )
    findings = {}
    for key, value in evidence.items():
        sentence = _sentence(argument, key)
        if sentence in findings:  # one of the two would be lost
            raise ValueError(
                f"{argument} has {sentence!r} twice, in different white space; "
                "keep one of them"
            )
        findings[sentence] = _truth(argument, key, value)
    return MappingProxyType(findings)


def _sentence(argument, key):
    if not isinstance(key, str) or not key.strip():
        raise TypeError(f"{argument} has the key {key!r}, but must have sentences")
    return " ".join(key.split())  # a list item of the Markdown is one line


def _truth(argument, sentence, value):
    # Not bool(value): an empty list, NaN or an undecided relation is no evidence.
    if isinstance(value, (bool, np.bool_, BooleanAtom)):
        return bool(value)
    raise TypeError(
        f"{argument}[{sentence!r}] is {value!r}, a {type(value).__name__}, "
        "but must be True or False; reduce it, for instance with bool(np.all(...))"
    )


def _complaint(checked):
    claim = checked.claim
    if checked.missed:
        reason = "did not come out: " + "; ".join(map(repr, checked.missed))
    else:
        reason = f"the evidence given says {checked.verdict!r}"
    return (
        f"claim {claim.id!r} is recorded as {claim.verdict!r}, but {reason}; correct "
        "the evidence, or the verdict in chapters/claims.yml and the text around it"
    )
