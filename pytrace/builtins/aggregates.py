"""Aggregating functions: the whole right side of an assignment to a map (language 10)."""

from __future__ import annotations

from pytrace.base.types import NONE, Aggregate, Int, int_type, is_scalar
from pytrace.builtins.registry import Arg, Builtin

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pytrace.base.types import Type
    from pytrace.builtins.registry import BuiltinCall
    from pytrace.semantics.typing import Typing

MAX_HIST_BITS = 5
MAX_LHIST_BUCKETS = 1000
MAX_INTERVALS = 1000000

SERIES_FUNCTIONS = ("", "avg", "max", "min", "sum")
"""What a time series does with the values of one interval; without one it keeps the last."""


def _of_number(t: Typing, call: BuiltinCall) -> Type:
    """Aggregates of one integer carry its sign."""
    return Aggregate(kind=call.name, signed=_sign(t, call))


def _sign(t: Typing, call: BuiltinCall) -> bool:
    """True if the number that is aggregated has a sign."""
    found = t.types.get(call.args[0], NONE)
    if isinstance(found, Aggregate):
        return found.signed
    return int_type(found).signed if is_scalar(found) else True


def _hist_type(t: Typing, call: BuiltinCall) -> Type:
    bits = t.literal(call.args[1]) if len(call.args) > 1 else 0
    if not isinstance(bits, int):
        return t.error("bad-argument", "hist: invalid bits value (must be literal)", call.span)
    if not 0 <= bits <= MAX_HIST_BITS:
        return t.error("bad-argument", f"hist: bits {bits} must be 0..5", call.span)
    return Aggregate(kind="hist", signed=True, params=(bits,))


def _lhist_type(t: Typing, call: BuiltinCall) -> Type:
    bounds = []
    for name, arg in zip(("min", "max", "step"), call.args[1:]):
        value = t.literal(arg)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            return t.error(
                "bad-argument",
                f"lhist: invalid {name} value (must be non-negative literal)",
                call.span,
            )
        bounds.append(value)
    low, high, step = bounds
    if high > low and step > high - low:
        return t.error(
            "bad-argument",
            "lhist() step is too large for the given range"
            f" (provided step {step} for range {high - low})",
            call.span,
        )
    if step == 0:
        return t.error("bad-argument", "lhist() step must be >= 1 (0 provided)", call.span)
    if low >= high:
        return t.error(
            "bad-argument",
            f"lhist() min must be less than max (provided min {low} and max {high})",
            call.span,
        )
    buckets = (high - low) // step
    if buckets > MAX_LHIST_BUCKETS:
        return t.error(
            "bad-argument",
            f"lhist() too many buckets, must be <= {MAX_LHIST_BUCKETS} (would need {buckets})",
            call.span,
        )
    return Aggregate(kind="lhist", signed=True, params=(low, high, step))


def _tseries_type(t: Typing, call: BuiltinCall) -> Type:
    bounds = []
    for name, arg in zip(("interval_ns", "num_intervals"), call.args[1:]):
        value = t.literal(arg)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            return t.error(
                "bad-argument",
                f"tseries: invalid {name} value (must be non-negative literal)",
                call.span,
            )
        if value < 1:
            return t.error(
                "bad-argument", f"tseries() {name} must be >= 1 ({value} provided)", call.span
            )
        bounds.append(value)
    interval, count = bounds
    if count >= MAX_INTERVALS:
        return t.error(
            "bad-argument",
            f"tseries() num_intervals must be < {MAX_INTERVALS} ({count} provided)",
            call.span,
        )
    function = 0
    if len(call.args) > 3:
        word = t.literal(call.args[3])
        assert isinstance(word, bytes)
        given = word.decode("utf-8", "surrogateescape")
        if given not in SERIES_FUNCTIONS[1:]:
            names = ", ".join(SERIES_FUNCTIONS[1:])
            return t.error(
                "bad-argument",
                f"tseries() expects one of the following aggregation functions: {names}"
                f' ("{given}" provided)',
                call.span,
            )
        function = SERIES_FUNCTIONS.index(given)
    signed = _sign(t, call)
    return Aggregate(kind="tseries", signed=signed, params=(interval, count, function))


def _simple(name: str, doc: str) -> Builtin:
    return Builtin(
        name=name,
        doc=doc,
        returns=_of_number,
        params=(Arg(name="n", kind="int"),),
        aggregate=name,
    )


COUNT = Builtin(
    name="count",
    doc="Counts how often this is reached.",
    returns=Aggregate(kind="count", signed=False),
    aggregate="count",
    bare=True,
)
SUM = _simple("sum", "Adds up a number.")
MIN = _simple("min", "Keeps the smallest number seen.")
MAX = _simple("max", "Keeps the largest number seen.")
AVG = _simple("avg", "Average of a number.")
STATS = _simple("stats", "Count, average and total of a number.")
HIST = Builtin(
    name="hist",
    doc="Histogram with a bucket for each power of two, each cut in 2**bits parts.",
    returns=_hist_type,
    params=(Arg(name="n", kind="int"), Arg(name="bits", kind="number", optional=True)),
    aggregate="hist",
)
LHIST = Builtin(
    name="lhist",
    doc="Histogram with buckets of equal width from min to max.",
    returns=_lhist_type,
    params=(
        Arg(name="n", kind="int"),
        Arg(name="min"),
        Arg(name="max"),
        Arg(name="step"),
    ),
    aggregate="lhist",
)
TSERIES = Builtin(
    name="tseries",
    doc="The last value of each interval of time, or their avg, max, min or sum.",
    returns=_tseries_type,
    params=(
        Arg(name="n", kind="int"),
        Arg(name="interval_ns"),
        Arg(name="num_intervals"),
        Arg(name="function", kind="text", optional=True),
    ),
    aggregate="tseries",
    unstable="tseries",
)

__all__ = ["Int"]
