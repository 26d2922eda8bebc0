"""What the thoughts of ReAct traces say: short sentences that are true of what was asked and of what came back."""

from __future__ import annotations

# {names}: labels and relationship types of the question; {properties}: its properties.
THOUGHTS = {
    "run": (
        "The schema is known. I run the query.",
        "The schema is known. I run the query.",
        "The question is about {names}. I run a query.",
        "I need {names}. I run the query.",
        "The schema has {names}. I try a query.",
    ),
    "plain": (
        "The schema is known. I run the query.",
        "I write the query and run it.",
        "I try a query.",
    ),
    "finish": (
        "The schema has {properties} of {names}. That is all I need.",
        "All names are in the schema: {names}, {properties}. I can answer.",
        "The question names no value. The schema is enough.",
        "I need {properties} of {names}. The schema is enough.",
    ),
    "again": ("I run it again.", "I mend the query.", "I correct it and run it again."),
}

# {rows}: their number; {first}: the only row.
FINISHES = {
    "rows": (
        "The rows answer the question.",
        "The rows answer the question.",
        "{rows} came back. They answer the question.",
        "The query gives {rows}. I am done.",
    ),
    "row": ("The row answers the question.", "One row came back. It answers the question."),
    "value": (
        "The row answers the question.",
        "The result is {first}. It answers the question.",
        "One row came back: {first}. I am done.",
    ),
}

SYMPTOMS = {  # {first}: the only row
    "error": ("The engine gives an error.", "The query has an error.", "That was refused."),
    "empty": ("No rows came back.", "The result is empty.", "Nothing was found."),
    "null": ("There is nothing but null.", "All values are null."),
    "zero": ("The result is {first}, which is doubtful.", "Only {first} came back."),
}

_NAME = "The schema has {right}, not {wrong}."
_CYPHER = "Cypher writes {right}, not {wrong}."
_MUST = "It must be {right}, not {wrong}."

# Mistake of dataset/broken.py -> weight, the words that mend it. Those that most results do not show are left out.
MISTAKES = {
    "label_spelling": (4, _NAME),
    "label_case": (2, _NAME),
    "type_spelling": (6, _NAME),
    "type_case": (2, _NAME),
    "property_spelling": (5, _NAME),
    "property_case": (2, _NAME),
    "wrong_direction": (8, "The relationship leads from {right} to {wrong}."),
    "value_case": (8, "The question writes {right}, not {wrong}."),
    "unknown_variable": (2, "The variable is {right}, not {wrong}."),
    "null_equals": (3, _CYPHER),
    "null_not_equal": (3, _CYPHER),
    "double_equals": (1, _CYPHER),
    "and_sign": (2, _CYPHER),
    "or_sign": (2, _CYPHER),
    "like": (2, _CYPHER),
    "missing_parenthesis": (1, _MUST),
    "missing_bracket": (1, _MUST),
    "missing_comma": (1, _MUST),
    "keyword": (1, _MUST),
    "having": (2, _MUST),
    "group_by": (2, "Cypher groups by what is returned, without GROUP BY."),
    "sql": (2, "That is SQL. A Cypher query begins with {right}."),
    "unquoted": (2, "A text stands in quotation marks: {right}."),
    "missing_quote": (1, "A text stands in quotation marks: {right}."),
    "date_as_text": (3, "A date is written {right}, not {wrong}."),
    "number_as_text": (3, "A number has no quotation marks: {right}, not {wrong}."),
}

# Thought, query, and the last thought where the value itself was seen or was not; {example}: a value that was seen.
LOOK_UPS = (
    (
        "First I look at values of {property}.",
        "MATCH {pattern} RETURN DISTINCT a.{property} AS {property} LIMIT 5",
        "{value} is among the values. I can answer.",
        "Values of {property} are written like {example}. I use {value} as the question has it.",
    ),
    (
        "I check that there is a {property} {value}.",
        "MATCH {pattern} WHERE a.{property} = {value} RETURN count(a) AS found",
        "{value} is there. I can answer.",
        "",
    ),
    (
        "I look how {value} is written in the data.",
        "MATCH {pattern} WHERE toLower(a.{property}) CONTAINS {lowered} RETURN DISTINCT a.{property} AS {property}",
        "It is written {value}. I can answer.",
        "{property} has values like {example}. I use {value} as the question has it.",
    ),
)
