"""The classicmodels database with rows of our own: the schema of the well-known sample, sizes like the original's.

The original rows carry no licence, so they are not here. The same seed gives the same rows.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from datetime import date, timedelta
from functools import cache
from random import Random
from typing import Any

import yaml

from heimdall_nb.engines.sql import Column, Database, Table
from heimdall_nb.run import DATA

Row = tuple[Any, ...]
FIRST_DAY, LAST_DAY = date(2003, 1, 6), date(2005, 5, 31)
ORDERS, ORDER_LINES, PAYMENTS = 326, 2996, 273
CUSTOMERS_WITH_ORDERS = 98
CUSTOMERS_WITHOUT_REP = 22  # all of them without orders
LATE_ORDERS = 7  # shipped after the day on which they were required


@cache
def _read(name: str) -> dict[str, Any]:
    return yaml.safe_load((DATA / "sql" / name).read_text(encoding="utf-8"))


def tables() -> tuple[Table, ...]:
    """The eight tables of classicmodels, parents before the tables that reference them."""
    return tuple(_table(name, spec) for name, spec in _read("classicmodels.yaml")["tables"].items())


def _table(name: str, spec: dict[str, Any]) -> Table:
    columns = tuple(
        Column(column, kind.removesuffix(" not null"), not kind.endswith(" not null"))
        for column, kind in spec["columns"].items()
    )
    references = {column: tuple(target.split(".")) for column, target in spec.get("references", {}).items()}
    return Table(name, columns, tuple(spec["key"]), references)


def family(names: Collection[str]) -> tuple[str, ...]:
    """The tables that go into the prompt of a question about the tables `names`: all of one subject, never these alone.

    Tables that no subject has together get the whole schema.
    """
    families = _read("classicmodels.yaml")["families"].values()
    everything = tuple(table.name for table in tables())
    return next((tuple(group) for group in families if set(names) <= set(group)), everything)


def schema_text(names: Collection[str] | None = None) -> str:
    """The schema as the model sees it; `names` chooses tables, None takes all."""
    return tables_text(table for table in tables() if names is None or table.name in names)


def tables_text(shown: Iterable[Table]) -> str:
    """Tables as models see them, a line each: `*` marks a key, `>` the table that a column points to.

    A column that has the name of the key it points to needs no `>`.
    """
    return "\n".join(f"{t.name}({', '.join(_column_text(t, c.name) for c in t.columns)})" for t in shown)


def _column_text(table: Table, column: str) -> str:
    target, key = table.references.get(column, ("", column))
    return column + ("*" if column in table.primary_key else "") + (f" > {target}" if key != column else "")


def classicmodels(seed: int = 7) -> Database:
    """The database with synthetic rows: 122 customers, 110 products, 326 orders with 2,996 lines, 273 payments.

    As in the original, some customers never order, one product is never ordered, and a few orders are late.
    """
    pools = _read("pools.yaml")
    offices = list(_offices(pools, _random(seed, "offices")))
    employees = list(_employees(pools, _random(seed, "employees")))
    products = list(_products(pools, _random(seed, "products")))
    customers = list(_customers(pools, offices, employees, _random(seed, "customers")))
    orders = list(_orders(pools, customers, _random(seed, "orders")))
    lines = list(_order_lines(orders, products, _random(seed, "lines")))
    rows = {
        "productlines": [(name, f"Models of {line['about']}.", None, None) for name, line in _lines(pools)],
        "products": products,
        "offices": offices,
        "employees": employees,
        "customers": customers,
        "payments": list(_payments(orders, lines, _random(seed, "payments"))),
        "orders": orders,
        "orderdetails": lines,
    }
    return Database("classicmodels", tables(), rows)


def _random(seed: int, part: str) -> Random:
    """A generator of its own for each part: a change in one part leaves the others as they are."""
    return Random(f"classicmodels {part} {seed}")


def _lines(pools: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return sorted(pools["product_lines"].items())


def _phone(code: str, rng: Random) -> str:
    return f"{code} {rng.randint(10, 99)} {rng.randint(100, 999)} {rng.randint(1000, 9999)}"


def _address(pools: dict[str, Any], rng: Random) -> str:
    return f"{rng.randint(1, 240)} {rng.choice(pools['streets'])}"


def _offices(pools: dict[str, Any], rng: Random) -> Iterator[Row]:
    for number, (city, state, country) in enumerate(pools["offices"], start=1):
        place = pools["countries"][country]
        floor = f"Floor {rng.randint(1, 9)}" if rng.random() < 0.5 else None
        postcode = str(rng.randint(10000, 99999))
        phone, address = _phone(place["code"], rng), _address(pools, rng)
        yield str(number), city, phone, address, floor, state, country, postcode, place["territory"]


def _employees(pools: dict[str, Any], rng: Random) -> Iterator[Row]:
    english = pools["names"]["english"]
    people = rng.sample([(f, n) for f in english["first"] for n in english["last"]], 23)
    numbers: list[int] = []
    for title, count, boss, office in pools["staff"]:
        for _ in range(count):
            number = (numbers[-1] if numbers else 1000) + rng.randint(2, 40)
            first, last = people[len(numbers)]
            email = f"{first[0]}{last}@classicmodels.example".lower()
            boss_number = None if boss is None else numbers[boss]
            yield number, last, first, f"x{rng.randint(100, 9999)}", email, str(office), boss_number, title
            numbers.append(number)


def _products(pools: dict[str, Any], rng: Random) -> Iterator[Row]:
    codes = rng.sample(range(1000, 5000), 110)
    used: set[str] = set()
    for line, spec in _lines(pools):
        for _ in range(spec["count"]):
            name = ""
            while not name or name in used:
                name = f"{rng.randint(*spec['made'])} {rng.choice(spec['makers'])} {rng.choice(spec['kinds'])}"
            used.add(name)
            scale, price = rng.choice(spec["scales"]), rng.randint(1591, 10342) / 100
            about = f"A model of the {name} with {' and '.join(rng.sample(pools['details'], 2))}."
            retail = round(price * rng.uniform(1.25, 2.2), 2)
            code = f"S{scale.split(':')[1]}_{codes.pop()}"
            yield code, name, line, scale, rng.choice(pools["vendors"]), about, rng.randint(15, 9997), price, retail


def _customers(pools: dict[str, Any], offices: list[Row], employees: list[Row], rng: Random) -> Iterator[Row]:
    countries = [name for name, spec in pools["countries"].items() for _ in range(spec["weight"])]
    rng.shuffle(countries)
    without_rep = set(rng.sample(range(len(countries)), CUSTOMERS_WITHOUT_REP))
    number, used = 100, set()
    for index, country in enumerate(countries):
        number += rng.randint(1, 6)
        place = pools["countries"][country]
        people = pools["names"][place["names"]]
        city = rng.choice(sorted(place["cities"]))
        name = ""
        while not name or name in used:
            words = rng.choice(people["last"]), rng.choice(pools["company_words"]), rng.choice(place["suffix"])
            name = " ".join(words)
        used.add(name)
        rep = None if index in without_rep else rng.choice(_reps(place["territory"], offices, employees))
        limit = 0.0 if rep is None else rng.randint(110, 2300) * 100.0
        contact = rng.choice(people["last"]), rng.choice(people["first"])
        second = f"Suite {rng.randint(100, 900)}" if rng.random() < 0.2 else None
        postcode = str(rng.randint(1000, 99999)) if rng.random() < 0.95 else None
        phone, address, state = _phone(place["code"], rng), _address(pools, rng), place["cities"][city]
        yield number, name, *contact, phone, address, second, city, state, postcode, country, rep, limit


def _reps(territory: str, offices: list[Row], employees: list[Row]) -> list[int]:
    nearby = {office[0] for office in offices if office[-1] == territory}
    return [e[0] for e in employees if e[5] in nearby and e[7] == "Sales Rep"]


def _orders(pools: dict[str, Any], customers: list[Row], rng: Random) -> Iterator[Row]:
    buyers = rng.sample([c[0] for c in customers if c[11] is not None], CUSTOMERS_WITH_ORDERS)
    asked = buyers + [rng.choice(buyers) for _ in range(ORDERS - len(buyers))]
    rng.shuffle(asked)
    days = sorted(rng.randint(0, (LAST_DAY - FIRST_DAY).days) for _ in range(ORDERS))
    late = set(rng.sample(range(ORDERS), LATE_ORDERS))
    for index, (day, status) in enumerate(zip(days, _statuses(pools["statuses"], rng), strict=True)):
        ordered = FIRST_DAY + timedelta(days=day)
        required = ordered + timedelta(days=rng.randint(6, 10))
        sent = required if index in late else ordered
        sent += timedelta(days=rng.randint(1, 6))
        shipped = sent.isoformat() if status in ("Shipped", "Resolved", "Disputed") else None
        comment = rng.choice(pools["comments"][status])
        yield 10100 + index, ordered.isoformat(), required.isoformat(), shipped, status, comment, asked[index]


def _statuses(special: dict[str, int], rng: Random) -> list[str]:
    """A status for each order, in the order of their dates: the last ones are still in process."""
    last = special["In Process"]
    others = [status for status, count in special.items() if status != "In Process" for _ in range(count)]
    others += ["Shipped"] * (ORDERS - last - len(others))
    rng.shuffle(others)
    return others + ["In Process"] * last


def _order_lines(orders: list[Row], products: list[Row], rng: Random) -> Iterator[Row]:
    unsold = rng.choice(products)
    sold = [product for product in products if product is not unsold]
    counts = [rng.randint(1, 16) for _ in orders]
    while (missing := ORDER_LINES - sum(counts)) != 0:
        index = rng.randrange(len(counts))
        step = 1 if missing > 0 else -1
        if 1 <= counts[index] + step <= 18:
            counts[index] += step
    for order, count in zip(orders, counts, strict=True):
        for place, product in enumerate(rng.sample(sold, count), start=1):
            quantity = rng.randint(20, 50) if rng.random() < 0.96 else rng.randint(6, 97)
            yield order[0], product[0], quantity, round(product[8] * rng.uniform(0.8, 1.0), 2), place


def _payments(orders: list[Row], lines: list[Row], rng: Random) -> Iterator[Row]:
    totals = {order[0]: 0.0 for order in orders}
    for number, _, quantity, price, _ in lines:
        totals[number] += quantity * price
    paid = rng.sample([order for order in orders if order[4] in ("Shipped", "Resolved")], PAYMENTS)
    checks = rng.sample(range(100000, 999999), PAYMENTS)
    for order, check in sorted(zip(paid, checks, strict=True), key=lambda pair: (pair[0][6], pair[1])):
        day = date.fromisoformat(order[1]) + timedelta(days=rng.randint(3, 30))
        prefix = "".join(rng.choice("ABCDEFGHJKLMNPQR") for _ in range(2))
        yield order[6], f"{prefix}{check}", day.isoformat(), round(totals[order[0]], 2)
