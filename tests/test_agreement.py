"""The audit of questions against answers: it finds what is not said, and is silent where all is said."""

from __future__ import annotations

import re

import pytest

from heimdall_nb.dataset.agreement import disagreements, name_disagreements, schema_of
from heimdall_nb.dataset.example import Example
from heimdall_nb.dataset.graphs import load_schema
from heimdall_nb.dataset.query_names import used_names

MOVIES = load_schema("movies")


def example(question: str, query: str, **changes: str | None) -> Example:
    values = {"instruction": "Write.", "category": "x", "context_size": "small", "graph": "movies"} | changes
    return Example(input=question, output=query, **values).with_id()


AGREE = [
    ("List the titles of all movies.", "MATCH (a:Movie) RETURN a.title AS title"),
    (
        "Show the release year of the movie 'Paper River'.",
        "MATCH (a:Movie) WHERE a.title = 'Paper River' RETURN a.released AS r",
    ),
    (
        "Which people directed 'Paper River'? Give the name.",
        "MATCH (a:Person)-[:DIRECTED]->(b:Movie) WHERE b.title = 'Paper River' RETURN a.name AS n",
    ),
    ("who acted in Paper River, name", "MATCH (a:Person)-[:ACTED_IN]->(b:Movie {title: 'Paper River'}) RETURN a.name"),
    (
        "The names of people directed by nobody, birthYear after 1950",
        "MATCH (a:Person) WHERE a.birthYear > 1950 AND NOT EXISTS { (a)-[:DIRECTED]->() } RETURN a.name",
    ),
    (
        "number of pairs of movies with the same genre",
        "MATCH (a:Movie), (b:Movie) WHERE a.genre = b.genre AND a.title < b.title RETURN count(*)",
    ),
    (
        "The titles of movies related in at most 3 steps by ADMIRES",
        "MATCH (a:Movie)-[:ADMIRES*1..3]->() RETURN a.title",
    ),
    ("Communities of movies by louvain", "CALL apoc.algo.louvain(['Movie']) YIELD node RETURN node"),
    (
        "In batches of 50, set the score of every movie to 7",
        'CALL apoc.periodic.iterate("MATCH (a:Movie) RETURN a", "SET a.score = 7", {batchSize: 50})',
    ),
    (
        "Create the vector index vec on the score of movies with 8 dimensions and cosine",
        "CREATE VECTOR INDEX vec FOR (n:Movie) ON (n.score) "
        "OPTIONS {indexConfig: {vector.dimensions: 8, similarity: 'cosine'}}",
    ),
    ("The movies' titles in ascending order, the first 3", "MATCH (m:Movie) RETURN m.title ORDER BY m.title LIMIT 3"),
]

DISAGREE = [
    ("List the titles of all movies.", "MATCH (a:Movie) RETURN a.genre AS genre", "the property genre"),
    ("List the names.", "MATCH (a:Studio) RETURN a.name AS name", "the label Studio"),
    (
        "The names of people and movies",
        "MATCH (a:Person)-[:DIRECTED]->(b:Movie) RETURN a.name",
        "the relationship type DIRECTED",
    ),
    ("The titles of movies with a score above 3", "MATCH (a:Movie) WHERE a.score > 4 RETURN a.title", "does not say 4"),
    (
        "The titles of movies with genre 'Drama'",
        "MATCH (a:Movie) WHERE a.genre = 'Crime' RETURN a.title",
        "does not say 'Crime'",
    ),
    (
        "The titles of movies with genre 'drama'",
        "MATCH (a:Movie) WHERE a.genre = 'Drama' RETURN a.title",
        "does not say 'Drama'",
    ),
    ("The number of movies 'score'", "MATCH (a:Movie {genre: 'score'}) RETURN avg(a.score)", "the property score"),
    (
        "The movie 'Paper River' of every studio",
        "MATCH (a:Movie) WHERE a.title = 'Paper River' RETURN a.title",
        "the property title",
    ),
    ("The title of each movie and every studio", "MATCH (a:Movie) RETURN a.title", "names the label Studio"),
    ("Communities by louvain", "CALL apoc.algo.louvain(['Movie']) YIELD node RETURN node", "does not say 'Movie'"),
    (
        "In batches set the score of movies",
        'CALL apoc.periodic.iterate("MATCH (a:Movie) RETURN a", "SET a.score = 7", {})',
        "does not say 7",
    ),
    ("An index on the title of movies", "CREATE INDEX by_title FOR (a:Movie) ON (a.title)", "the name by_title"),
]


@pytest.mark.parametrize(("question", "query"), AGREE)
def test_what_is_said_is_accepted(question: str, query: str) -> None:
    assert disagreements(example(question, query), MOVIES) == []


@pytest.mark.parametrize(("question", "query", "found"), DISAGREE)
def test_what_is_not_said_is_found(question: str, query: str, found: str) -> None:
    assert any(found in line for line in disagreements(example(question, query), MOVIES))


def test_names_are_read_where_they_stand() -> None:
    names = used_names(
        "MATCH (a:Person {name: 'x.y'})-[r:ACTED_IN|DIRECTED]->(b:`Odd Label`) WHERE b.opened.year = 3 AND a:Actor "
        "AND apoc.text.join([a.alias], ',') <> '' SET b += {score: 1} RETURN a.index AS best, {plain: b.title}"
    )
    assert list(names.labels) == ["Person", "Odd Label", "Actor"]
    assert list(names.types) == ["ACTED_IN", "DIRECTED"]
    assert set(names.properties) == {"name", "opened", "alias", "score", "index", "title"}
    assert not names.objects
    assert list(used_names("CREATE VECTOR INDEX vec IF NOT EXISTS FOR (a:M) ON (a.e)").objects) == ["vec"]


def test_every_name_of_generated_questions_is_needed(arcadedb: object) -> None:
    """Generated examples agree; with the words of any one name taken out of the question they do not."""
    from heimdall_nb.dataset.generate import generate
    from heimdall_nb.dataset.mix import engines

    made = generate(60, 3, ["movies"], engines())
    assert [disagreements(item, schema_of(item)) for item in made] == [[]] * len(made)
    found = tried = 0
    for item in made:
        for name in used_names(item.output).types:
            kind = next(r for r in MOVIES.relationships if r.type == name)
            words = {word for says in (kind.says, kind.back) for word in says.split() if len(word) > 3}
            bare = re.sub("|".join(rf"{word[:5]}\w*" for word in words), "…", item.input)
            tried += 1
            found += any(name in line for line in name_disagreements(bare, item.output, MOVIES))
        wrong = re.sub(r"\bgenre\b|\bcountry\b|\bcity\b", "colour", item.input)
        if wrong != item.input and not re.search(r"\.(genre|country|city) AS part", item.output):  # "number of genres"
            tried += 1
            found += bool(name_disagreements(wrong, item.output, MOVIES))
    assert tried > 20 and found == tried
