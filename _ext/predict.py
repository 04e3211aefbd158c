"""The directive `{predict}`: a question to answer before the page goes on.

    :::{predict} What is $\\operatorname{ReLU}(-2)$?
    - [ ] $-2$ :: That is the identity.
    - [x] $0$ :: Negative inputs are set to zero.
    :::

A choice shows its own feedback. It is a group of radio buttons, so the keyboard
and a screen reader work; without JavaScript all feedback is shown on paper only.
"""

import re
from string import ascii_lowercase

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

CHOICE = re.compile(r"- \[(?P<mark>[ x])\] (?P<label>.+?) :: (?P<feedback>.+)")


class Predict(SphinxDirective):
    required_arguments = 1
    final_argument_whitespace = True
    has_content = True

    def run(self):
        name = f"predict-{self.env.new_serialno('predict')}"
        choices = [self.choice(line) for line in items(self.content)]
        if sum(choice["mark"] == "x" for choice in choices) != 1:
            raise self.error("predict: mark exactly one choice as right, `- [x] ...`")
        box = nodes.container(classes=["predict"])
        box += [html("<fieldset><legend>"), self.inline(self.arguments[0])]
        box += html("</legend>")
        for letter, choice in zip(ascii_lowercase, choices):
            box += self.radio(name, letter, choice)
        box += html("</fieldset>")
        return [box]

    def choice(self, line):
        match = CHOICE.fullmatch(line)
        if match is None:
            raise self.error(
                f"predict: {line!r} is no choice; "
                "write `- [ ] choice :: feedback` (`[x]` for the right one)"
            )
        return match

    def radio(self, name, letter, choice):
        ident = f"{name}-{letter}"
        right = choice["mark"] == "x"
        kind, verdict = ("right", "Yes. ") if right else ("wrong", "No. ")
        return [
            html(f'<div><input type="radio" name="{name}" id="{ident}">'
                 f'<label for="{ident}">({letter}) '),
            self.inline(choice["label"]),
            html(f'</label><p role="status" class="{kind}" hidden>'),
            nodes.strong("", verdict),
            self.inline(choice["feedback"]),
            html("</p></div>"),
        ]

    def inline(self, text):
        children, messages = self.state.inline_text(text, self.lineno)
        return nodes.inline("", "", *children, *messages)


def items(lines):
    """The list items of `lines`, each joined from the lines it was wrapped over."""
    joined = []
    for line in lines:
        if line.startswith("- "):
            joined.append(line)
        elif line.strip() and joined:
            joined[-1] += " " + line.strip()
        elif line.strip():
            joined.append(line)  # no choice, and `choice` will say so
    return joined


def html(text):
    return nodes.raw("", text, format="html")


def setup(app):
    app.add_directive("predict", Predict)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
