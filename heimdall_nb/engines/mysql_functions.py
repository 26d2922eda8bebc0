"""MySQL's scalar and aggregate functions in Python, for the embedded engine. NULL in gives NULL out, as in MySQL.

Behaviour follows the MySQL 8.0 reference manual, chapter "Functions and Operators". Dates are ISO text.
"""

from __future__ import annotations

import calendar
import functools
import inspect
import math
import statistics
from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal
from typing import Any

MAX_TEXT = 10_000  # characters that REPEAT, LPAD and the like may make

_MONTH_UNITS = {"MONTH": 1, "QUARTER": 3, "YEAR": 12}
_SECOND_UNITS = {"SECOND": 1, "MINUTE": 60, "HOUR": 3600, "DAY": 86400, "WEEK": 7 * 86400}
_DATE_FORMATS: dict[str, Callable[[datetime], str]] = {
    "Y": lambda d: f"{d.year:04d}",
    "y": lambda d: f"{d.year % 100:02d}",
    "m": lambda d: f"{d.month:02d}",
    "c": lambda d: str(d.month),
    "M": lambda d: calendar.month_name[d.month],
    "b": lambda d: calendar.month_abbr[d.month],
    "d": lambda d: f"{d.day:02d}",
    "e": lambda d: str(d.day),
    "j": lambda d: f"{d.timetuple().tm_yday:03d}",
    "W": lambda d: calendar.day_name[d.weekday()],
    "a": lambda d: calendar.day_abbr[d.weekday()],
    "w": lambda d: str(d.isoweekday() % 7),
    "H": lambda d: f"{d.hour:02d}",
    "i": lambda d: f"{d.minute:02d}",
    "s": lambda d: f"{d.second:02d}",
    "S": lambda d: f"{d.second:02d}",
    "T": lambda d: f"{d:%H:%M:%S}",
    "v": lambda d: f"{d.isocalendar().week:02d}",
    "x": lambda d: f"{d.isocalendar().year:04d}",
    "U": lambda d: f"{_week(d):02d}",
}


def moment(value: Any) -> datetime | None:
    """A MySQL date or datetime literal as datetime; None where it is none, as MySQL gives NULL."""
    text = str(value).strip().replace("T", " ")
    day, _, clock = text.partition(" ")
    try:
        year, month, number = (int(part) for part in day.split("-"))
        hours, minutes, seconds = (*(int(float(p)) for p in clock.split(":") if p), 0, 0, 0)[:3]
        return datetime(year, month, number, hours, minutes, seconds)
    except ValueError:
        return None


def text(value: Any) -> str:
    """A value as MySQL writes it into text: whole floats without a fraction."""
    if isinstance(value, float):
        return f"{value:.10f}".rstrip("0").rstrip(".")
    return str(value)


def number(value: Any) -> float:
    """A value as MySQL reads it in arithmetic: the leading number of a text, else 0."""
    if isinstance(value, (int, float)):
        return value
    digits = str(value).strip()
    for end in range(len(digits), 0, -1):
        try:
            return float(digits[:end])
        except ValueError:
            continue
    return 0


def rounded(value: Any, digits: int = 0, mode: str = ROUND_HALF_UP) -> float | int:
    """ROUND and TRUNCATE on the decimal digits of a number, half away from zero, as MySQL does for DECIMAL."""
    result = Decimal(repr(number(value))).quantize(Decimal(1).scaleb(-int(digits)), rounding=mode)
    return int(result) if result == result.to_integral_value() else float(result)


def add_interval(value: Any, amount: Any, unit: str) -> str | None:
    """A date plus `amount` units (DAY, MONTH …); the day is cut to the month's length. Datetimes stay datetimes."""
    start = moment(value)
    if start is None:
        return None
    if unit in _MONTH_UNITS:
        months = start.year * 12 + start.month - 1 + int(number(amount)) * _MONTH_UNITS[unit]
        year, month = divmod(months, 12)
        day = min(start.day, calendar.monthrange(year, month + 1)[1])
        end = start.replace(year=year, month=month + 1, day=day)
    else:
        end = start + timedelta(seconds=int(number(amount)) * _SECOND_UNITS[unit])
    with_clock = len(str(value).strip()) > 10 or unit in ("SECOND", "MINUTE", "HOUR")
    return end.isoformat(sep=" ") if with_clock else end.date().isoformat()


def timestampdiff(unit: str, start: Any, end: Any) -> int | None:
    """Whole units from start to end."""
    first, last = moment(start), moment(end)
    if first is None or last is None:
        return None
    if unit in _SECOND_UNITS:
        return int((last - first).total_seconds() / _SECOND_UNITS[unit])
    sign = 1 if last >= first else -1
    low, high = sorted((first, last))
    months = (high.year - low.year) * 12 + high.month - low.month
    months -= (high.day, high.time()) < (low.day, low.time())
    return sign * (months // _MONTH_UNITS[unit])


def date_format(value: Any, pattern: str) -> str | None:
    """DATE_FORMAT with the specifiers of `_DATE_FORMATS`; another one stands for its own letter, as in MySQL."""
    day = moment(value)
    if day is None:
        return None
    out, letters = [], iter(str(pattern))
    for letter in letters:
        if letter == "%":
            letter = next(letters, "%")
            letter = _DATE_FORMATS[letter](day) if letter in _DATE_FORMATS else letter
        out.append(letter)
    return "".join(out)


def _week(day: datetime) -> int:
    first = date(day.year, 1, 1)
    sunday = (6 - first.weekday()) % 7 + 1  # day of the year of the first Sunday, which starts week 1 (mode 0)
    return (day.timetuple().tm_yday - sunday) // 7 + 1


def _of_date(pick: Callable[[datetime], Any]) -> Callable[[Any], Any]:
    return lambda value: None if (day := moment(value)) is None else pick(day)


def _pad(value: Any, length: Any, fill: Any, left: bool) -> str:
    size, content = min(int(length), MAX_TEXT), text(value)
    padding = (text(fill) * size)[: max(0, size - len(content))]
    return (padding + content if left else content + padding)[:size]


def _substring_index(value: Any, separator: str, count: int) -> str:
    parts = text(value).split(separator)
    return separator.join(parts[:count] if count >= 0 else parts[count:])


def _datediff(end: Any, start: Any) -> int | None:
    last, first = moment(end), moment(start)
    return None if last is None or first is None else (last.date() - first.date()).days


def _modulo(a: Any, b: Any) -> float | None:
    return math.fmod(number(a), number(b)) if number(b) else None


def _log(value: Any, base: float = math.e) -> float | None:
    return math.log(number(value), base) if number(value) > 0 else None


_DATE_PARTS: dict[str, Callable[[datetime], Any]] = {
    "YEAR": lambda d: d.year,
    "QUARTER": lambda d: (d.month + 2) // 3,
    "MONTH": lambda d: d.month,
    "WEEK": _week,
    "WEEKOFYEAR": lambda d: d.isocalendar().week,
    "DAY": lambda d: d.day,
    "DAYOFMONTH": lambda d: d.day,
    "DAYOFWEEK": lambda d: d.isoweekday() % 7 + 1,
    "DAYOFYEAR": lambda d: d.timetuple().tm_yday,
    "WEEKDAY": lambda d: d.weekday(),
    "HOUR": lambda d: d.hour,
    "MINUTE": lambda d: d.minute,
    "SECOND": lambda d: d.second,
    "TO_DAYS": lambda d: d.toordinal() + 365,  # MySQL counts from year 0
}
_NUMERIC: dict[str, Callable[..., Any]] = {
    **{name: _of_date(pick) for name, pick in _DATE_PARTS.items()},
    "DATEDIFF": _datediff,
    "TIMESTAMPDIFF": timestampdiff,
    "ABS": lambda x: abs(number(x)),
    "CEIL": lambda x: math.ceil(number(x)),
    "CEILING": lambda x: math.ceil(number(x)),
    "FLOOR": lambda x: math.floor(number(x)),
    "ROUND": lambda x, digits=0: rounded(x, digits),
    "TRUNCATE": lambda x, digits: rounded(x, digits, ROUND_DOWN),
    "MOD": _modulo,
    "POW": lambda x, y: math.pow(number(x), number(y)),
    "POWER": lambda x, y: math.pow(number(x), number(y)),
    "SQRT": lambda x: math.sqrt(number(x)) if number(x) >= 0 else None,
    "SIGN": lambda x: (number(x) > 0) - (number(x) < 0),
    "EXP": lambda x: math.exp(number(x)),
    "LN": lambda x: _log(x),
    "LOG10": lambda x: _log(x, 10),
    "LOG2": lambda x: _log(x, 2),
    "LENGTH": lambda s: len(text(s).encode()),
    "CHAR_LENGTH": lambda s: len(text(s)),
    "CHARACTER_LENGTH": lambda s: len(text(s)),
    "INSTR": lambda s, part: text(s).lower().find(text(part).lower()) + 1,
    "LOCATE": lambda part, s, start=1: text(s).lower().find(text(part).lower(), int(start) - 1) + 1,
    "ASCII": lambda s: (text(s).encode() or b"\0")[0],
    "STRCMP": lambda a, b: (text(a).lower() > text(b).lower()) - (text(a).lower() < text(b).lower()),
}
_TEXT: dict[str, Callable[..., Any]] = {
    "DATE": _of_date(lambda d: d.date().isoformat()),
    "TIME": _of_date(lambda d: f"{d:%H:%M:%S}"),
    "LAST_DAY": _of_date(lambda d: d.date().replace(day=calendar.monthrange(d.year, d.month)[1]).isoformat()),
    "DAYNAME": _of_date(lambda d: calendar.day_name[d.weekday()]),
    "MONTHNAME": _of_date(lambda d: calendar.month_name[d.month]),
    "DATE_FORMAT": date_format,
    "ADD_INTERVAL": add_interval,
    "CONCAT": lambda *parts: "".join(map(text, parts)),
    "UPPER": lambda s: text(s).upper(),
    "UCASE": lambda s: text(s).upper(),
    "LOWER": lambda s: text(s).lower(),
    "LCASE": lambda s: text(s).lower(),
    "LEFT": lambda s, n: text(s)[: max(0, int(n))],
    "RIGHT": lambda s, n: text(s)[-int(n) :] if int(n) > 0 else "",
    "LPAD": lambda s, n, fill: _pad(s, n, fill, left=True),
    "RPAD": lambda s, n, fill: _pad(s, n, fill, left=False),
    "REPEAT": lambda s, n: (text(s) * min(int(n), MAX_TEXT))[:MAX_TEXT],
    "SPACE": lambda n: " " * min(int(n), MAX_TEXT),
    "REVERSE": lambda s: text(s)[::-1],
    "REPLACE": lambda s, old, new: text(s).replace(text(old), text(new)) if old != "" else text(s),
    "SUBSTRING_INDEX": _substring_index,
    "FORMAT": lambda x, digits: f"{float(rounded(x, digits)):,.{int(digits)}f}",
}
_COMPARING: dict[str, Callable[..., Any]] = {"GREATEST": lambda *v: max(v), "LEAST": lambda *v: min(v)}
_LENIENT: dict[str, Callable[..., Any]] = {  # these look at NULLs themselves
    "CONCAT_WS": lambda separator, *parts: text(separator).join(text(p) for p in parts if p is not None),
    "ISNULL": lambda x: int(x is None),
    "FIELD": lambda x, *options: options.index(x) + 1 if x in options else 0,
}


def _null_in_null_out(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*values: Any) -> Any:
        return None if any(v is None for v in values) else function(*values)

    return call


FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{name: _null_in_null_out(f) for name, f in (_NUMERIC | _TEXT | _COMPARING).items()},
    **_LENIENT,
}
NUMERIC = frozenset(_NUMERIC) | {"ISNULL", "FIELD"}
TEXT = frozenset(_TEXT) | {"CONCAT_WS"}


def arities(function: Callable[..., Any]) -> list[int]:
    """The numbers of arguments that a function takes; [-1] where any number will do, as SQLite counts."""
    parameters = inspect.signature(function).parameters.values()
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return [-1]
    required = sum(p.default is p.empty for p in parameters)
    return list(range(required, len(parameters) + 1))


class _Spread:
    """An aggregate over the values that are not NULL."""

    least = 1
    compute: Callable[[list[float]], float]

    def __init__(self) -> None:
        self.values: list[float] = []

    def step(self, value: Any) -> None:
        if value is not None:
            self.values.append(number(value))

    def finalize(self) -> float | None:
        return type(self).compute(self.values) if len(self.values) >= self.least else None


def _spread(compute: Callable[[list[float]], float], least: int) -> type[_Spread]:
    return type("Spread", (_Spread,), {"compute": staticmethod(compute), "least": least})


AGGREGATES: dict[str, type[_Spread]] = {
    **dict.fromkeys(("STD", "STDDEV", "STDDEV_POP"), _spread(statistics.pstdev, 1)),
    **dict.fromkeys(("VARIANCE", "VAR_POP"), _spread(statistics.pvariance, 1)),
    "STDDEV_SAMP": _spread(statistics.stdev, 2),
    "VAR_SAMP": _spread(statistics.variance, 2),
}

# Every function name of MySQL 8.0 that a question about data may call: what is not here is a name that MySQL lacks.
KNOWN = frozenset(
    """
    ABS ACOS ADDDATE ADDTIME ANY_VALUE ASCII ASIN ATAN ATAN2 AVG BIN BIT_AND BIT_COUNT BIT_LENGTH BIT_OR BIT_XOR
    CAST CEIL CEILING CHAR CHARACTER_LENGTH CHAR_LENGTH COALESCE CONCAT CONCAT_WS CONV CONVERT CONVERT_TZ COS COT
    COUNT CRC32 CUME_DIST CURDATE CURRENT_DATE CURRENT_TIME CURRENT_TIMESTAMP CURRENT_USER CURTIME DATABASE DATE
    DATEDIFF DATE_ADD DATE_FORMAT DATE_SUB DAY DAYNAME DAYOFMONTH DAYOFWEEK DAYOFYEAR DEGREES DENSE_RANK ELT EXP
    EXPORT_SET EXTRACT FIELD FIND_IN_SET FIRST_VALUE FLOOR FORMAT FOUND_ROWS FROM_DAYS FROM_UNIXTIME GET_FORMAT
    GREATEST GROUPING GROUP_CONCAT HEX HOUR IF IFNULL INSERT INSTR INTERVAL ISNULL JSON_ARRAY JSON_ARRAYAGG
    JSON_EXTRACT JSON_OBJECT JSON_OBJECTAGG JSON_UNQUOTE JSON_VALUE LAG LAST_DAY LAST_VALUE LCASE LEAD LEAST LEFT
    LENGTH LN LOCALTIME LOCALTIMESTAMP LOCATE LOG LOG10 LOG2 LOWER LPAD LTRIM MAKEDATE MAKETIME MAX MD5 MICROSECOND
    MID MIN MINUTE MOD MONTH MONTHNAME NOW NTH_VALUE NTILE NULLIF OCT OCTET_LENGTH ORD PERCENT_RANK PERIOD_ADD
    PERIOD_DIFF PI POSITION POW POWER QUARTER QUOTE RADIANS RAND RANK REGEXP_INSTR REGEXP_LIKE REGEXP_REPLACE
    REGEXP_SUBSTR REPEAT REPLACE REVERSE RIGHT ROUND ROW_NUMBER RPAD RTRIM SECOND SEC_TO_TIME SHA SHA1 SHA2 SIGN
    SIN SOUNDEX SPACE SQRT STD STDDEV STDDEV_POP STDDEV_SAMP STRCMP STR_TO_DATE SUBDATE SUBSTR SUBSTRING
    SUBSTRING_INDEX SUBTIME SUM SYSDATE TAN TIME TIMEDIFF TIMESTAMP TIMESTAMPADD TIMESTAMPDIFF TIME_FORMAT
    TIME_TO_SEC TO_DAYS TO_SECONDS TRIM TRUNCATE UCASE UNHEX UNIX_TIMESTAMP UPPER USER UTC_DATE UTC_TIME
    UTC_TIMESTAMP UUID VALUES VARIANCE VAR_POP VAR_SAMP VERSION WEEK WEEKDAY WEEKOFYEAR YEAR YEARWEEK
    """.split()
)
AGGREGATE_NAMES = frozenset(
    "ANY_VALUE AVG BIT_AND BIT_OR BIT_XOR COUNT GROUP_CONCAT JSON_ARRAYAGG JSON_OBJECTAGG MAX MIN STD STDDEV "
    "STDDEV_POP STDDEV_SAMP SUM VARIANCE VAR_POP VAR_SAMP".split()
)
