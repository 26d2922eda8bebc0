"""The domain `repository`: what it reads from small checkouts in four languages, and that the source says so."""

from __future__ import annotations

import ast
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from heimdall_nb.cli import app
from heimdall_nb.dataset.example import Example, normalise, save
from heimdall_nb.dataset.validate import validate
from heimdall_nb.domains import domain
from heimdall_nb.domains.protocol import counts
from heimdall_nb.domains.repository import Repository
from heimdall_nb.domains.repository_report import markdown
from heimdall_nb.errors import BadInput
from heimdall_nb.run import ROOT

PYTHON = {
    "shop/__init__.py": "from .stock import Stock\n",
    "shop/stock.py": '''
from dataclasses import dataclass

@dataclass
class Item:
    """One thing that can be bought."""
    name: str
    price: int = 0

class Stock:
    """All things that can be bought."""

    def __init__(self, limit: int) -> None:
        """An empty stock with room for `limit` items."""
        self.limit = limit
        self.items: list[Item] = []

    def add(self, item: Item) -> None:
        """Put an item into the stock.

        Raises OverflowError when there is no room.
        """
        if len(self.items) >= self.limit:
            raise OverflowError("no room")
        self.items.append(item)
        note = """
kept at the margin
  and so is this"""
        print(note)

    def total(self) -> int:
        return sum(item.price for item in self.items)

def opened(limit: int = 3) -> Stock:
    """A stock that is ready for use."""
    try:
        stock = Stock(limit)
    except (ValueError, TypeError):
        raise
    stock.add(Item("bread", 2))
    return stock

def todo() -> None:
    """A function that is not written yet."""
    pass
''',
    "tests/test_stock.py": """
from shop import Stock
from shop.stock import Item, opened

def test_add_keeps_an_item():
    stock = Stock(1)
    stock.add(Item("milk"))
    assert stock.total() == 0

def test_opened():
    shelf = opened(2)
    shelf.add(Item("milk"))

def test_of_something_else(opened):
    assert opened() == 1
""",
}

GO = {
    "go.mod": "module example.com/shop\n\ngo 1.22\n",
    "stock/stock.go": """
package stock

import "fmt"

// Item is one thing that can be bought.
type Item struct {
	Name  string
	Price int
}

// Keeper keeps items.
type Keeper interface {
	Add(item Item) error
}

// Stock holds all items.
type Stock struct {
	limit int
	items []Item
}

// New makes an empty stock with room for limit items.
func New(limit int) *Stock {
	stock := &Stock{limit: limit}
	return stock
}

// Add puts an item into the stock.
// It fails when there is no room.
func (s *Stock) Add(item Item) error {
	if len(s.items) >= s.limit {
		return fmt.Errorf("no room for %s", item.Name)
	}
	if item.Name == "" {
		panic("no name")
	}
	s.items = append(s.items, item)
	return nil
}

// Count says how many items there are.
func (s *Stock) Count() int {
	count := len(s.items)
	return count
}
""",
    "stock/stock_test.go": """
package stock

import "testing"

func TestAdd(t *testing.T) {
	s := New(1)
	if err := s.Add(Item{Name: "milk"}); err != nil {
		t.Fatal(err)
	}
}
""",
    "main.go": """
package main

import "example.com/shop/stock"

func main() {
	s := stock.New(3)
	s.Add(stock.Item{Name: "bread"})
	println(s.Count())
}
""",
}

JAVASCRIPT = {
    "src/stock.js": """
/** All things that can be bought. */
export class Stock {
  limit = 3;

  constructor(limit) {
    this.limit = limit;
    this.items = [];
  }

  /**
   * Puts an item into the stock.
   * @param {string} item
   */
  add(item) {
    if (!item) {
      throw new TypeError("no item");
    }
    this.items.push(item);
    return this.items.length;
  }
}

/** The number of letters of all items. */
export const letters = (stock) => {
  let sum = 0;
  stock.items.forEach((item) => { if (!item) { throw new Error("inside"); } sum += item.length; });
  return sum;
};
""",
    "test/stock.test.js": """
import { Stock, letters as count } from "../src/stock.js";

describe("stock", () => {
  test("add returns the size", () => {
    const stock = new Stock(1);
    expect(stock.add("milk")).toBe(1);
  });

  it("counts letters", () => {
    const shelf = new Stock(2);
    shelf.add("bread");
    expect(count(shelf)).toBe(5);
  });
});
""",
}

JAVA = {
    "src/main/java/shop/Stock.java": """
package shop;

import java.util.ArrayList;
import java.util.List;

/** All things that can be bought. */
public class Stock {
  private final List<String> items = new ArrayList<>();
  private int limit;

  /** Makes an empty stock with room for some items. */
  public Stock(int limit) {
    this.limit = limit;
  }

  /**
   * Puts an item into the stock.
   */
  public int add(String item) throws IllegalStateException {
    if (items.size() >= limit) {
      throw new IllegalStateException("no room");
    }
    items.add(item);
    return count();
  }

  /** Says how many items there are. */
  public int count() {
    int size = items.size();
    return size;
  }
}
""",
    "src/test/java/shop/StockTest.java": """
package shop;

import org.junit.jupiter.api.Test;

class StockTest {
  @Test
  void addCounts() {
    Stock stock = new Stock(2);
    assertEquals(1, stock.add("milk"));
  }
}
""",
}

CHECKOUTS = {"python": PYTHON, "go": GO, "javascript": JAVASCRIPT, "java": JAVA}


def checkout(folder: Path, language: str) -> Path:
    """The small checkout of a language in `folder`, with a licence file."""
    for name, text in CHECKOUTS[language].items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (folder / "LICENSE").write_text((ROOT / "LICENSE").read_text(encoding="utf-8"), encoding="utf-8")
    return folder


def everything(made: Repository) -> list[Example]:
    """All examples that a checkout gives."""
    return list(made.examples(sum(made.found()["examples"].values()), 0))


def pairs(examples: list[Example], category: str) -> dict[str, str]:
    """First line of the question -> answer, of one category."""
    return {e.input.split("\n")[0]: e.output for e in examples if e.category == category}


@pytest.fixture(params=sorted(CHECKOUTS))
def small(request: pytest.FixtureRequest, tmp_path: Path) -> Repository:
    return domain("repository", repo=checkout(tmp_path, request.param), language=request.param)


def test_every_example_is_true_scored_and_different(small: Repository) -> None:
    examples = everything(small)
    assert {e.category for e in examples} == set(small.shares)
    for example in examples:
        assert small.faults(example) == [], example.input
        assert small.score(example, example.output) == 1
        assert small.score(example, f"```\n{example.output}\n```") == 1
        assert small.score(example, "nothing of the kind") == 0
        assert example.with_id().id == example.id
        json.loads(example.to_json())
    for texts in ([normalise(e.input) for e in examples], [normalise(e.output) for e in examples]):
        assert len(texts) == len(set(texts))


def test_code_is_an_exact_span_of_its_file(small: Repository) -> None:
    for example in everything(small):
        place = example.check.removeprefix("source:")
        file, _, lines = place.partition("#L")
        first, last = (int(part) for part in lines.split("-L"))
        source = (Path(small.repo) / file).read_text(encoding="utf-8").split("\n")[first - 1 : last]
        if example.category in ("function_implementation", "test_pattern"):
            assert [line.strip() for line in example.output.split("\n")] == [line.strip() for line in source]
        elif example.category == "completion":
            whole = example.input.partition("\n\n")[2] + "\n" + example.output
            assert [line.strip() for line in whole.split("\n")] == [line.strip() for line in source]
        elif example.category == "api_usage":
            assert example.output.split("\n")[0] in "\n".join(source)


def test_an_answer_that_was_changed_is_found(small: Repository) -> None:
    for example in everything(small):
        assert small.faults(replace(example, output=example.output + " )x("))
        assert small.faults(replace(example, input=example.input.replace("`", "'")))
        assert small.faults(replace(example, check="source:nowhere.txt#L1-L2"))
        assert small.faults(replace(example, check="fact:17"))


def test_without_the_checkout_code_is_parsed_and_answers_are_scored(small: Repository) -> None:
    """As `heimdall validate` and `heimdall evaluate` ask: on the domain of the example's part, without options."""
    bare = domain("repository")
    for example in everything(small):
        assert bare.faults(example) == []
        assert bare.score(example, example.output) == 1 and bare.score(example, "") == 0
        is_code = example.category not in ("documentation", "type_definition", "error_handling")
        assert bool(bare.faults(replace(example, output=example.output + " )x("))) == is_code


def test_validate_says_what_it_misses_and_reads_the_checkout(tmp_path: Path) -> None:
    both = tmp_path / "both"
    for language in ("python", "go"):
        checkout(both, language)
    file = tmp_path / "all.jsonl"
    examples = [e for language in ("python", "go") for e in everything(Repository(both, language))]
    told = next(k for k, e in enumerate(examples) if e.category == "documentation" and e.dialect == "go")
    examples[told] = replace(examples[told], output="Something else.").with_id()
    save(file, examples)
    blind = validate(file)
    assert blind.ok and blind.remarks == [f"repository: {domain('repository').unchecked}"] and "--repo" in blind.text()
    seeing = validate(file, opened={"repository": Repository(both)})  # each example is read in its own language
    assert [(fault.line, fault.field) for fault in seeing.faults] == [(told + 1, "output")] and not seeing.remarks
    done = CliRunner().invoke(app, ["validate", str(file), "--repo", str(both)])
    assert done.exit_code == 2 and "1 faults" in done.output and "parses; --repo" not in done.output
    for wrong in (["--licences", "MIT"], ["--repo", str(tmp_path / "nowhere")]):
        assert isinstance(CliRunner().invoke(app, ["validate", str(file), *wrong]).exception, BadInput)


def test_a_source_that_was_changed_is_found(small: Repository) -> None:
    examples = everything(small)
    for example in examples:
        path = Path(small.repo) / example.template
        path.write_text("\n" + path.read_text(encoding="utf-8"), encoding="utf-8")
        assert small.faults(example)
        path.write_text(path.read_text(encoding="utf-8")[1:], encoding="utf-8")
        assert not small.faults(example)


def test_python(tmp_path: Path) -> None:
    made = everything(Repository(checkout(tmp_path, "python")))
    calls = pairs(made, "api_usage")
    assert calls[
        "Show how `test_add_keeps_an_item` in `tests/test_stock.py` calls `Stock.add` of `shop/stock.py`:"
    ] == ('stock.add(Item("milk"))')
    assert calls["Show how `test_opened` in `tests/test_stock.py` calls `opened` of `shop/stock.py`:"] == (
        "shelf = opened(2)"
    )
    assert not any("test_of_something_else" in question for question in calls)  # `opened` is its parameter
    tests = pairs(made, "test_pattern")
    assert "Write the Python test `test_opened` of `tests/test_stock.py`. It calls `opened`:" in tests
    types = pairs(made, "type_definition")
    assert types["Which fields does the Python type `Item` have in `shop/stock.py`?"].split("\n")[1:] == [
        "- `name: str`",
        "- `price: int`",
    ]
    assert types["Which fields does the Python type `Stock` have in `shop/stock.py`?"].split("\n")[1:] == [
        "- `limit`",
        "- `items: list[Item]`",
    ]
    errors = pairs(made, "error_handling")
    full = '- line 7: raises `OverflowError("no room")`, under `len(self.items) >= self.limit`'
    assert full in errors.values()
    assert "- line 5: catches `(ValueError, TypeError)`\n- line 6: raises again what was caught" in errors.values()
    code = pairs(made, "function_implementation")["Write the Python method `Stock.add` of `shop/stock.py`."]
    assert '    note = """\nkept at the margin\n  and so is this"""\n    print(note)' in code
    assert not any("todo" in e.input for e in made if e.category != "documentation")
    described = pairs(made, "documentation")["Describe what the Python method `Stock.add` of `shop/stock.py` does:"]
    assert described == "Put an item into the stock.\n\nRaises OverflowError when there is no room."


def test_go(tmp_path: Path) -> None:
    made = everything(Repository(checkout(tmp_path, "go"), "go"))
    types = pairs(made, "type_definition")
    assert types["Which fields does the Go type `Item` have in `stock/stock.go`?"].endswith("- `Price: int`")
    assert "- `Add(item Item) error`" in types["Which methods does the Go type `Keeper` have in `stock/stock.go`?"]
    assert "func (s *Stock) Count() int" in types["Which methods does the Go type `Stock` have in `stock/stock.go`?"]
    errors = pairs(made, "error_handling")
    assert list(errors.values()) == [
        '- line 3: returns `fmt.Errorf("no room for %s", item.Name)`, under `len(s.items) >= s.limit`\n'
        '- line 6: panics `"no name"`, under `item.Name == ""`'
    ]
    calls = pairs(made, "api_usage")
    assert calls["Show how `main` in `main.go` calls `New` of `stock/stock.go`:"] == "s := stock.New(3)"
    assert calls["Show how `main` in `main.go` calls `Stock.Count` of `stock/stock.go`:"] == "println(s.Count())"
    assert "Write the Go test `TestAdd` of `stock/stock_test.go`. It calls `Stock.Add`:" in pairs(made, "test_pattern")
    described = pairs(made, "documentation")["Describe what the Go method `Stock.Add` of `stock/stock.go` does:"]
    assert described == "Add puts an item into the stock.\nIt fails when there is no room."


def test_javascript(tmp_path: Path) -> None:
    made = everything(Repository(checkout(tmp_path, "javascript"), "javascript"))
    types = pairs(made, "type_definition")
    fields = types["Which fields does the JavaScript type `Stock` have in `src/stock.js`?"]
    assert fields.split("\n")[1:] == ["- `limit`", "- `items`"]
    errors = pairs(made, "error_handling")
    assert list(errors.values()) == ['- line 3: throws `new TypeError("no item")`, under `!item`']  # not the one inside
    tests = pairs(made, "test_pattern")
    assert "Write the JavaScript test `add returns the size` of `test/stock.test.js`. It calls `Stock.add`:" in tests
    code = pairs(made, "function_implementation")["Write the JavaScript function `letters` of `src/stock.js`."]
    assert code.startswith("export const letters = (stock) => {\n  let sum = 0;") and code.endswith("\n};")
    described = pairs(made, "documentation")["Describe what the JavaScript method `Stock.add` of `src/stock.js` does:"]
    assert described == "Puts an item into the stock.\n@param {string} item"


def test_java(tmp_path: Path) -> None:
    made = everything(Repository(checkout(tmp_path, "java"), "java"))
    file = "src/main/java/shop/Stock.java"
    types = pairs(made, "type_definition")
    assert types[f"Which fields does the Java type `Stock` have in `{file}`?"].split("\n")[1:] == [
        "- `items: List<String>`",
        "- `limit: int`",
    ]
    errors = pairs(made, "error_handling")
    assert list(errors.values()) == [
        "- line 1: declares `IllegalStateException`\n"
        '- line 3: throws `new IllegalStateException("no room")`, under `items.size() >= limit`'
    ]
    calls = pairs(made, "api_usage")
    assert calls[f"Show how `Stock.add` in `{file}` calls `Stock.count` of `{file}`:"] == "return count();"
    [(question, code)] = pairs(made, "test_pattern").items()
    assert question.endswith("It calls `Stock.add`:") and code.startswith("@Test\nvoid addCounts() {")


def test_white_space_does_not_count_but_indentation_that_means_something_does(tmp_path: Path) -> None:
    python = Repository(checkout(tmp_path / "p", "python"))
    example = next(e for e in everything(python) if e.category == "function_implementation" and "opened" in e.input)
    assert python.score(example, example.output.replace("    ", "  ")) == 1
    assert python.score(example, example.output.replace("Stock(limit)", "Stock( limit )")) == 1
    assert python.score(example, example.output.replace("\n    return stock", "\n        return stock")) == 0
    assert python.score(example, example.output.replace('"bread"', '"bread "')) == 0
    shown = next(e for e in everything(python) if e.category == "completion" and "opened" in e.input)
    assert python.score(shown, shown.output.strip()) == 1
    java = Repository(checkout(tmp_path / "j", "java"), "java")
    example = next(e for e in everything(java) if e.category == "function_implementation" and "count" in e.input)
    assert java.score(example, " ".join(example.output.split())) == 1


@pytest.fixture(scope="module")
def own() -> Repository:
    """This project's own checkout."""
    return Repository(ROOT / "heimdall_nb" / "evaluation")


def test_the_same_bytes_come_from_the_same_seed(own: Repository) -> None:
    made = list(own.examples(200, 7))
    assert len({e.id for e in made}) == 200
    other = Repository(own.repo, workers=2)
    assert [e.to_json() for e in other.examples(200, 7)] == [e.to_json() for e in made]
    assert [e.to_json() for e in other.examples(200, 8)] != [e.to_json() for e in made]


def test_own_examples_agree_with_pythons_own_parser(own: Repository) -> None:
    """An oracle that shares no code with the extractor: the module `ast`."""
    seen = 0
    for source in own.extraction.sources:
        tree = ast.parse((Path(own.repo) / source.file).read_text(encoding="utf-8"))
        nodes = {
            (min([n.lineno, *(d.lineno for d in n.decorator_list)]), n.end_lineno): n
            for n in ast.walk(tree)
            if isinstance(n, ast.FunctionDef | ast.ClassDef)
        }
        for unit in source.units:
            node = nodes[unit.first, unit.last]
            assert (node.name, ast.get_docstring(node) or "") == (unit.name, unit.doc)
            raised = [n for n in _inside(node) if isinstance(n, ast.Raise)]
            assert len(raised) == sum(error.verb == "raises" for error in unit.errors) or unit.kind == "type"
            if unit.kind == "type":
                methods = dict.fromkeys(n.name for n in node.body if isinstance(n, ast.FunctionDef))
                assert len(methods) == len(unit.methods)
            seen += 1
    assert seen > 100


def _inside(node: ast.AST) -> list[ast.AST]:
    """The nodes of a function without those of functions within it."""
    found: list[ast.AST] = []
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.Lambda | ast.ClassDef):
            found += [child, *_inside(child)]
    return found


def test_shares(tmp_path: Path) -> None:
    made = Repository(_many(tmp_path, functions=60, tests=60))
    for number in (40, 37, 100):
        examples = list(made.examples(number, 3))
        got = {name: sum(e.category == name for e in examples) for name in made.shares}
        assert got == counts(number, made.shares)
        assert made.short(number, 3) == {}


def test_a_category_that_runs_short_is_named_and_never_padded(tmp_path: Path) -> None:
    made = Repository(_many(tmp_path, functions=60, tests=2))
    examples = list(made.examples(100, 3))
    assert len({e.id for e in examples}) == 100
    assert made.short(100, 3)["test_pattern"] == (10, 2)
    assert sum(e.category == "test_pattern" for e in examples) == 2
    assert made.report()["fewer test_pattern than asked"] == "2 of 10"
    assert "| test_pattern | 10 | 2 |" in markdown(made.found(3), made.short(100, 3))
    with pytest.raises(BadInput, match="different examples of Python, not 100000: function_implementation 60,"):
        list(made.examples(100_000, 3))


def _many(folder: Path, functions: int, tests: int, start: int = 0) -> Path:
    """A checkout with so many documented functions, types that have fields, and tests."""
    lines, checks = [], ["from many import *\n"]
    for n in range(start, start + functions):
        lines.append(
            f'def work_{n}(x):\n    """Work of number {n} on x."""\n    y = x + {n}\n'
            f"    if y > {n * 7}:\n        raise ValueError({n})\n    z = y * {n}\n    return z\n\n"
            f"def use_{n}(x):\n    return work_{n}(x - {n})\n\nclass Kind{n}:\n    size: int\n    part_{n} = 0\n"
        )
    for n in range(start, start + tests):
        checks.append(f"from many import work_{n}\ndef test_work_{n}():\n    assert work_{n}({n}) == {n} * 2\n")
    folder.mkdir(exist_ok=True)
    (folder / "many.py").write_text("\n".join(lines), encoding="utf-8")
    (folder / "test_many.py").write_text("\n".join(checks), encoding="utf-8")
    (folder / "LICENSE").write_text((ROOT / "LICENSE").read_text(encoding="utf-8"), encoding="utf-8")
    return folder


def test_many_files_in_two_processes_come_in_the_same_order(tmp_path: Path, monkeypatch: Any) -> None:
    from heimdall_nb.domains import repository_extract

    monkeypatch.setattr(repository_extract, "_BATCH", 3)
    for n in range(10):
        _many(tmp_path / f"part_{n:02}", functions=2, tests=1, start=10 * n)
    one, two = (Repository(tmp_path, workers=workers) for workers in (1, 2))
    assert one.found() == two.found()
    assert [e.to_json() for e in one.examples(50, 1)] == [e.to_json() for e in two.examples(50, 1)]


def test_unknown_language_and_no_folder() -> None:
    with pytest.raises(BadInput, match="'cobol' is no known language.*Known are python, go, javascript, java"):
        list(Repository(ROOT, "cobol").examples(1, 1))
    for path, what in (("/no/such/folder", "no such folder"), (ROOT / "LICENSE", "is no folder"), ("", "no checkout")):
        with pytest.raises(BadInput, match=what):
            list(Repository(path).examples(1, 1))
