"""What ReAct's turns look like: the instructions, a step, an observation. Who solves and who makes corpora use these.

A trace is a list of turns: the user's first text holds the instructions and the question, each later one what the last
action brought; the model answers each with a thought and an action (Yao et al. 2023).
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from heimdall_nb.engines.graph import Refusal, Rows
from heimdall_nb.models.answers import query_of

TOOLS = ("schema", "run_query", "finish")
SHOWN_ROWS, SHOWN_CHARACTERS = 5, 400

INSTRUCTIONS = """\
Solve the task in steps. In each step write exactly two lines:
Thought: what you know and what to do next
Action: one of schema[], run_query[a Cypher query], finish[the Cypher query that answers the question]
After each action you are shown an observation. Question: """
_OTHER_INSTRUCTIONS = {"sql": INSTRUCTIONS.replace("Cypher query", "MySQL query")}  # by task
NO_ACTION = f"Error: no action was found. Write one line that begins with Action: and uses {', '.join(TOOLS)}."

_OBSERVED = "Observation: "
# The argument may hold brackets itself: it ends at the last one before the next line of the protocol.
_ACTION = re.compile(r"Action:\s*(\w+)\s*\[((?:(?!\n(?:Thought|Action|Observation):).)*)\]", re.DOTALL)
_LABELS = re.compile(r"^(?:Thought|Action):\s*", re.MULTILINE)


def read_action(reply: str) -> tuple[str, str]:
    """(tool, argument) of a reply; an empty tool name when there is no action, or none of TOOLS.

    >>> read_action("Thought: count them\\nAction: run_query[MATCH (n) RETURN count(n)]")
    ('run_query', 'MATCH (n) RETURN count(n)')
    """
    found = _ACTION.search(reply)
    if not found or found[1] not in TOOLS:
        return "", ""
    return found[1], query_of(found[2])


def without_labels(reply: str) -> str:
    """A reply without `Thought:` and `Action:` at the beginnings of its lines."""
    return _LABELS.sub("", reply)


def step(thought: str, tool: str, argument: str = "") -> str:
    """A reply as the instructions ask for it: one line of thought, one of action."""
    return f"Thought: {thought}\nAction: {tool}[{argument}]"


def shown(result: Rows | Refusal) -> str:
    """A result as the model sees it: the first rows, shortened."""
    if isinstance(result, Refusal):
        return f"Error ({result.kind}): {result.message}"[:SHOWN_CHARACTERS]
    rows = [json.dumps(row, ensure_ascii=False) for row in result.rows[:SHOWN_ROWS]]
    count = f"{len(result.rows)} row{'' if len(result.rows) == 1 else 's'}"
    text = "\n".join([f"{count}. {', '.join(result.columns)}", *rows])
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + " …"


def asked(question: str, observations: Sequence[str], task: str = "cypher") -> list[str]:
    """The user's texts of a trace: the instructions for the task with the question, then each observation."""
    return [_OTHER_INSTRUCTIONS.get(task, INSTRUCTIONS) + question, *(_OBSERVED + text for text in observations)]


def demonstration(question: str, query: str, observation: str, task: str = "cypher") -> list[tuple[str, str]]:
    """The turns of a solved question: its query is run, which brings `observation`, and is then the answer."""
    replies = (
        step("The schema is known. I run the query.", "run_query", query),
        step("The rows answer the question.", "finish", query),
    )
    return list(zip(asked(question, [observation], task), replies, strict=True))
