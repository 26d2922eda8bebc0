"""Scores of answers that are not executed: procedures, schema statements, configuration, HTTP calls, explanations.

Valid (VA): the answer names nothing that the fact pack does not know, teaches none of the known errors, and its Cypher
parses. Right (EX): it says what the gold says, in these steps:

- its statements are the gold's (`statements.same_statement`; Cypher that runs may instead have the gold's literals and
  give its result);
- its prose has every fact of the gold's prose: names, numbers, quoted values. Where the gold has statements too, what
  the question already says need not be repeated;
- it has no name, number or quoted value that neither gold nor question has;
- it does not deny what the gold affirms, nor the other way round (yes and no; procedures and statements by clause);
- where the gold is prose alone, a denial is not missing, and at least `KEY_WORDS` of its content words occur.

So other words around the same facts are right, and one other number, name or argument is wrong. What this cannot see
is a false connection of right facts by plain words ("faster" for "slower").
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence

from heimdall_nb import fact_check
from heimdall_nb.dataset.audit import wrong_teaching
from heimdall_nb.dataset.example import Example
from heimdall_nb.engines.cypher_check import SchemaNames, name_faults
from heimdall_nb.engines.cypher_tokens import tokens, writes
from heimdall_nb.engines.graph import GraphEngine, GraphInstance, Refusal
from heimdall_nb.errors import BadInput
from heimdall_nb.evaluation.compare import agrees, expectation
from heimdall_nb.evaluation.execute import Executor
from heimdall_nb.evaluation.metrics import ItemScore, item_score
from heimdall_nb.evaluation.statements import (
    SameResult,
    Statement,
    invented,
    read_answer,
    same_statement,
    same_statements,
    unbalanced,
)
from heimdall_nb.fact_forms import ACCEPTED
from heimdall_nb.facts import FactPack
from heimdall_nb.models.protocol import Completion
from heimdall_nb.progress import track

__all__ = ["difference", "invented", "prose_facts", "score_texts"]

KEY_WORDS = 0.3  # share of the content words of a gold of prose alone
STEM = 5  # letters in which two content words agree: index and indexes, constraint and constrained

# Names that prose may use freely: they say nothing about the question's facts.
_ORDINARY = frozenset(
    """Cypher NornicDB Heimdall APOC GDS JSON YAML CSV HTTP HTTPS SQL REST API URL ID IDs RAM CPU GPU OK Go Bolt Neo4j
    Monday Yes No Not None I""".split()
)
_NUMBERS = {name: str(k) for k, name in enumerate("two three four five six seven eight nine ten".split(), start=2)}
_STOP_WORDS = frozenset(
    """about after again also another because been before being both cannot could does done each else every first from
    have here into just like made make many more most must need next none only other over same send should some such
    than that their them then there these they this those through under until used uses using very well were what when
    where which while will with without would your yourself""".split()
)
_COMMON_PROPERTIES = frozenset("name type value title kind number version".split())  # ordinary words as well
_QUOTED = re.compile(r"(?<!\w)'([^'\n]+)'(?!\w)|\"([^\"\n]+)\"|`([^`\n]+)`")
_LIST_NUMBER = re.compile(r"^[ \t]*\d{1,2}[.)](?=\s)", re.MULTILINE)
_CAPITALS = re.compile(r"\b[A-Z]{2,}(?: [A-Z]{2,})*\b")
_DENIES = re.compile(
    r"\b(?:not|no|never|nothing|cannot|neither|nor|ignore[sd]?|refuse[sd]?|reject(?:ed|s)?|unsupported|unknown"
    r"|instead of|fails?)\b|n't\b",
    re.IGNORECASE,
)
_CLAUSE = re.compile(r"[,;:!?]\s|\.\s|\n|\.$")
_VERDICT = re.compile(r"\W*(yes|no|not)\b", re.IGNORECASE)


def score_texts(
    examples: Sequence[Example],
    completions: Sequence[Completion],
    pack: FactPack,
    engine: GraphEngine | None = None,
    instance_of: Callable[[str], GraphInstance] | None = None,
    names_of: Callable[[str], SchemaNames] | None = None,
    seconds: float = 2.0,
    max_rows: int = 1000,
) -> list[ItemScore]:
    """The scores of answers that are judged by their text, in order; see the module for what is valid and right.

    With `engine` and `instance_of`, Cypher of another form is right as well when it has the gold's numbers and texts
    and gives its result on the example's graph; and what the engine cannot parse is not valid where it can parse the
    gold. With `names_of`, names that the graph's schema lacks are not valid. Raises BadInput when the lists differ in
    length.
    """
    if len(examples) != len(completions):
        raise BadInput(f"{len(completions)} answers to {len(examples)} examples", "score_texts", "Ask all of them.")
    executor = Executor(engine, instance_of, seconds, max_rows) if engine and instance_of else None
    order = sorted(range(len(examples)), key=lambda k: (str(examples[k].graph), k))  # each graph is loaded once
    scores: dict[int, ItemScore] = {}
    for k in track(order, "scoring texts"):
        scores[k] = _score(examples[k], completions[k], pack, executor, names_of)
    return [scores[k] for k in range(len(examples))]


def _score(
    example: Example,
    completion: Completion,
    pack: FactPack,
    executor: Executor | None,
    names_of: Callable[[str], SchemaNames] | None,
) -> ItemScore:
    answer = completion.text.strip()
    em = answer.split() == example.output.split()
    gold, given = _Read(example.output), _Read(answer)
    names = names_of(example.graph) if names_of and example.graph else None
    cause, message = _invalid(example, answer, gold, given, pack, executor, names)
    va = not cause
    if va:
        message = difference(
            gold, given, _Read(example.question), _properties(example.schema), _comparison(executor, example)
        )
        cause = "wrong result" if message else "right"
    if cause != "right":
        if not answer or completion.outcome in ("empty", "timeout", "error"):
            va, cause, message = False, "no answer", f"the model's outcome is {completion.outcome}"
        elif completion.outcome == "truncated":
            cause, message = "truncated", f"the answer does not end within {completion.new_tokens} tokens"
    verdict = {"va": va, "ex": cause == "right", "em": em, "cause": cause, "message": message}
    return item_score(example, completion, answer, **verdict, ts=None, hints=())


def _invalid(
    example: Example,
    answer: str,
    gold: _Read,
    given: _Read,
    pack: FactPack,
    executor: Executor | None,
    names: SchemaNames | None,
) -> tuple[str, str]:
    """(cause, message) of an answer that is not valid; two empty texts for a valid one."""
    if not answer:
        return "no answer", "the answer is empty"
    wanted = gold.cypher()
    if example.task == "cypher" and wanted and not given.cypher():
        return "syntax", "the answer holds no Cypher statement"
    parses = executor.engine.parse if executor and hasattr(executor.engine, "parse") else None
    parsed = bool(parses and wanted and not any(_refused(text, parses) for text in wanted))
    for text in given.cypher():
        if fault := unbalanced(text) or (parses and parsed and _refused(text, parses)):
            return "syntax", str(fault)
    unknown = [f"{item.kind} {item.name} {item.what}" for item in fact_check.unknown(answer, pack)]
    taught = wrong_teaching(answer, example.task)
    if unknown or taught:
        return "invented name", "; ".join(unknown or [f"teaches what does not work: {what}" for what in taught])
    known = {fault for text in wanted for fault in name_faults(text, names)} if names else set()
    faults = [f for text in given.cypher() for f in name_faults(text, names) if f not in known] if names else []
    return ("schema", "; ".join(faults)) if faults else ("", "")


def _refused(text: str, parse: Callable[[str], Refusal | None]) -> str:
    """Why the engine does not parse a statement; empty where it does, or where it does not know the form."""
    plain = text.strip().rstrip(";").strip()
    if re.fullmatch(r"(?i:begin|commit|rollback|show\b.*)", plain) or any(
        f.fullmatch(plain) for f in ACCEPTED.values()
    ):
        return ""
    refusal = parse(plain)
    return refusal.message if refusal is not None and refusal.kind == "syntax" else ""


def _comparison(executor: Executor | None, example: Example) -> SameResult | None:
    """Whether two Cypher statements have the same literals and give the same; None without an engine or a graph.

    One graph does not tell LIMIT 6 from LIMIT 7 where there are 5 rows, so the numbers and texts must be the gold's.
    """
    if executor is None or not example.graph:
        return None

    def same(gold: str, answer: str) -> bool:
        executor.use(str(example.graph))
        prefixes, bare = zip(*(_bare(text) for text in (gold, answer)), strict=True)
        if prefixes[0] != prefixes[1] or writes(bare[0]) != writes(bare[1]) or _literals(gold) != _literals(answer):
            return False
        if writes(bare[0]):
            first, second = executor.write(bare[0]), executor.write(bare[1])
            before = executor.write("MATCH (n) WHERE false SET n.x = 1")
            return not isinstance(first, Refusal) and first == second and first != before
        expected = expectation(bare[0], executor.read)
        if isinstance(expected, Refusal) or not expected.rows.rows:
            return False  # the gold cannot be run here, or says nothing here
        rows = executor.read(bare[1])
        return not isinstance(rows, Refusal) and agrees(expected, rows)

    return same


def _literals(text: str) -> list[str]:
    """The numbers, texts and parameters of a Cypher statement, sorted."""
    found = (t for t in tokens(text) if t.kind in ("number", "string", "parameter"))
    return sorted(str(float(t.text)) if re.fullmatch(r"[\d.]+", t.text) else t.text for t in found)


def _bare(text: str) -> tuple[str, str]:
    """(EXPLAIN, PROFILE or nothing; the statement behind it)."""
    match = re.match(r"\s*(EXPLAIN|PROFILE)\b", text, re.IGNORECASE)
    return (match[1].upper(), text[match.end() :]) if match else ("", text)


def _properties(schema: str) -> set[str]:
    """The names in a schema's text: what stands before a colon within braces, and more that does no harm."""
    return {token.text for token in tokens(schema) if token.name}


class _Read:
    """An answer, read: its statements, its prose, and the facts in each."""

    def __init__(self, text: str) -> None:
        self.statements, prose = read_answer(text)
        self.prose = _LIST_NUMBER.sub("", prose).strip()
        self.facts = prose_facts(self.prose)
        self.words = set(re.findall(r"[^\W_]+", text))
        self.all_facts = self.facts | prose_facts(text) | {w for one in self.statements for w in _atoms(one.text)}

    def cypher(self) -> list[str]:
        """The Cypher statements."""
        return [one.text for one in self.statements if one.language == "cypher"]


def _atoms(text: str) -> set[str]:
    """The names, numbers and quoted texts of a statement."""
    quoted = {next(filter(None, match.groups())) for match in _QUOTED.finditer(text)}
    return quoted | set(re.findall(r"[\w.]*\w", text)) | {_number(n) for n in re.findall(r"\d+(?:\.\d+)?", text)}


def difference(
    gold: _Read,
    given: _Read,
    question: _Read,
    properties: Collection[str] = (),
    same_result: SameResult | None = None,
) -> str:
    """In what an answer differs from the gold, in a few words; empty when it says the same."""
    asked = [one for one in question.statements if not any(same_statement(one, other) for other in gold.statements)]
    statements: list[Statement] = []
    for one in given.statements:
        repeats = any(same_statement(one, other) for other in [*asked, *statements])
        wanted = any(same_statement(one, other) for other in gold.statements)
        if wanted or not repeats:
            statements.append(one)
    statements = list({(one.language, one.text): one for one in statements}.values())
    if not same_statements(gold.statements, statements, same_result):
        return "its statement is another one" if statements else "it lacks the statement"
    required = {f for f in gold.facts if not gold.statements or f not in question.all_facts}
    missing = sorted(fact for fact in required if fact not in given.all_facts)
    if missing:
        return f"it does not name {', '.join(missing)}"
    known = gold.all_facts | question.all_facts | {str(len(gold.statements))}
    extra = sorted(fact for fact in given.facts if fact not in known and not _free(fact))
    if extra:
        return f"neither gold nor question has {', '.join(extra)}"
    return _contradiction(gold.prose, given.prose) or (
        "" if gold.statements else _off_topic(gold, given, question, properties)
    )


def _free(fact: str) -> bool:
    """True for Cypher's words in capitals, such as MATCH: an explanation may name any of them."""
    return _CAPITALS.fullmatch(fact) is not None


def _contradiction(gold: str, given: str) -> str:
    verdicts = [m[1].lower().replace("not", "no") for text in (gold, given) if (m := _VERDICT.match(text))]
    if len(set(verdicts)) > 1:
        return f"it says {verdicts[1]} where the gold says {verdicts[0]}"
    wanted, said = _polarity(gold), _polarity(given)
    for name in sorted(wanted.keys() & said.keys()):
        if wanted[name] == {"denied"} and said[name] == {"affirmed"}:
            return f"it affirms {name}"
        if wanted[name] == {"affirmed"} and said[name] <= {"denied"} and _denied_closely(given, name):
            return f"it denies {name}"
    return ""


def _polarity(text: str) -> dict[str, set[str]]:
    """For each statement in capitals and each dotted name, whether its clauses affirm or deny something."""
    found: dict[str, set[str]] = {}
    for clause in _CLAUSE.split(text):
        denied = _DENIES.search(_CAPITALS.sub("", clause)) is not None
        for name in [*_CAPITALS.findall(clause), *re.findall(r"\b[a-zA-Z]\w*(?:\.[a-zA-Z]\w*)+", clause)]:
            if name not in _ORDINARY:
                found.setdefault(name, set()).add("denied" if denied else "affirmed")
    return found


def _denied_closely(text: str, name: str) -> bool:
    """True when a word of denial stands before `name` or within three words behind it, in one clause."""
    for clause in _CLAUSE.split(text):
        before, found, behind = clause.partition(name)
        if found and _DENIES.search(" ".join([*before.split(), "", *behind.split()[:3]])):
            return True
    return False


def _off_topic(gold: _Read, given: _Read, question: _Read, properties: Collection[str]) -> str:
    """What an answer of prose alone lacks beside facts: its denial, the property asked about, its content words."""
    if _DENIES.search(_CAPITALS.sub("", gold.prose)) and not _DENIES.search(_CAPITALS.sub("", given.prose)):
        return "it denies nothing, and the gold does"
    asked = {name for name in properties if name in gold.words & question.words and name not in _COMMON_PROPERTIES}
    if missing := sorted(asked - given.words):
        return f"it does not name {', '.join(missing)}"
    stems = {word[:STEM] for word in map(str.lower, given.words)}
    wanted = {w[:STEM] for w in map(str.lower, gold.words) if len(w) > 3 and w not in _STOP_WORDS}
    met = len(wanted & stems)
    return f"it shares {met} of {len(wanted)} words with the gold" if met < KEY_WORDS * len(wanted) else ""


def prose_facts(text: str) -> set[str]:
    """The facts in prose: quoted texts, numbers, and the words that look like names rather than like language."""
    found: set[str] = set()
    for match in _QUOTED.finditer(text):
        found.add(next(filter(None, match.groups())))
    plain = _QUOTED.sub(lambda match: f" {match[3]} " if match[3] else " . ", text)
    for sentence in re.split(r"(?<=[.!?:])\s|\n", plain):
        for phrase in _CAPITALS.findall(sentence):
            found |= {phrase} if phrase not in _ORDINARY else set()
        chunks = re.split(r"[\s()\[\]{},;=<>+*|\"]+", _CAPITALS.sub(" ", sentence))
        for place, chunk in enumerate([c for c in chunks if c.strip(".:!?'")]):
            for name in re.split(r"(?<=\w):(?=\w)", chunk.strip(".:!?'…")):
                if fact := _fact(name.strip(".:!?'").rstrip("-"), first=place == 0):
                    found.add(fact)
    return found


def _fact(name: str, first: bool) -> str:
    """The fact that a word of prose is; empty for an ordinary word."""
    if not name or name in _ORDINARY or name.lower() in ("i.e", "e.g"):
        return ""
    if name.lower() in _NUMBERS:
        return ""
    if re.fullmatch(r"-?\d+(?:\.\d+)?%?", name):
        return _number(name.rstrip("%"))
    if of_variable := re.fullmatch(r"[a-z]\d?\.(\w+)", name):  # the variable's name is free
        name = of_variable[1]
    odd = re.search(r"[\d_./$]|^--|[a-z][A-Z]", name) is not None
    return name if odd or (name[0].isupper() and not first) else ""


def _number(text: str) -> str:
    value = float(text)
    return str(int(value)) if value.is_integer() and "e" not in text else repr(value)
