"""`make bench --beside`: each row finds the other checkout's row of its name."""

from bench.__main__ import BenchResult
from bench.table import Row


def rows(*values: tuple[str, float]) -> tuple[Row, ...]:
    return tuple(Row(name=name, value=value, unit="", target="-") for name, value in values)


def test_rows_of_one_name_are_next_to_each_other_in_their_order() -> None:
    result = BenchResult(
        bench="record",
        rows=rows(("plain", 1), ("same, sealed", 2), ("new", 3), ("same, sealed", 4)),
        beside=rows(("plain", 5), ("same, sealed", 6), ("gone", 7), ("same, sealed", 8)),
    )
    assert [value for _, value in result.iter_beside()] == ["5.00", "6.00", "-", "8.00"]


def test_without_another_checkout_no_row_has_a_value_next_to_it() -> None:
    result = BenchResult(bench="record", rows=rows(("plain", 1)))
    assert [value for _, value in result.iter_beside()] == ["-"]
