from datetime import UTC, date, datetime, timedelta, timezone

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from slipway.errors import UserError
from slipway.moments import moment_of, pattern, read_moment
from slipway.predictor import encode
from slipway.schema import Column, Schema, Source, Target
from slipway.signature import Input, Signature
from slipway.tables import typed

FORMATS = (
    *(None, "%Y-%m-%d", "%d/%m/%Y", "%d.%m.%y", "%Y%m%d", "%Y-%m", "%d %b %Y", "%B %d, %Y", "%d/%m/%Y %H:%M"),
    *("%Y-%m-%dT%H:%M:%S%.f%z", "%d-%b-%y %I:%M %p", "%m/%d/%Y %I:%M:%S %p", "%Y-%m-%d %H:%M:%S%.f"),
)
FIELDS = {
    "%Y": ["2020", "1999", "0000", "0001", "9999", "20", "02020"],
    "%y": ["00", "68", "69", "70", "99", "1", "100"],
    "%m": ["1", "01", "12", "13", "0", "00"],
    "%b": ["Jan", "FEB", "may", "sept", "Mär", "\u017fep"],  # a long s, which is an s in another case
    "%B": ["January", "MAY", "may", "jan", "June"],
    "%d": ["1", "05", "29", "31", "32", "0"],
    "%H": ["0", "00", "23", "24", "9"],
    "%I": ["0", "00", "1", "12", "13"],
    "%M": ["00", "59", "60", "1"],
    "%S": ["00", "59", "60", "7"],
    "%.f": ["", ".5", ".123456", ".1234567", ".", ".1234567890"],
    "%p": ["am", "PM", "aM", "a", "p.m."],
    "%z": ["Z", "z", "+0000", "+02:00", "-23:59", "+24:00", "+2", ""],
}
CLOCKS = ("", "T%H:%M", " %H:%M", " %H:%M:%S", "T%H:%M:%S%.f", " %H:%M%z", "T%H:%M:%S%.f%z", "T%H", "t%H:%M:%S%z")


@st.composite
def texts(draw, form: str | None) -> str:
    """Texts of a format and texts that miss it narrowly."""
    text = "%Y-%m-%d" + draw(st.sampled_from(CLOCKS)) if form is None else form
    for directive in sorted(FIELDS, key=len, reverse=True):
        text = text.replace(directive, draw(st.sampled_from(FIELDS[directive])))
    return draw(st.sampled_from(["", "", "", "", " ", "\n", "x", "\u0661"])) + text


def in_a_file(text: str, form: str | None) -> datetime | None:
    schema = Schema(
        source=Source(files="*.csv", format="csv"),
        target=Target(column="y", task="regression"),
        columns={"y": Column(type="number"), "x": Column(type="number"), "t": Column(type="datetime", format=form)},
    )
    return pl.DataFrame({"t": [text]}).select(typed("t", pl.String(), schema)).item()


def in_a_request(text: str, form: str | None) -> datetime | None:
    try:
        return moment_of(text, form)
    except (ValueError, OverflowError):
        return None


@given(st.data())
def test_a_file_and_a_request_read_every_text_alike(data):
    form = data.draw(st.sampled_from(FORMATS))
    text = data.draw(texts(form))

    assert in_a_file(text, form) == in_a_request(text, form)


@given(st.datetimes(), st.sampled_from(["T", " "]), st.integers(-1439, 1439))
@example(datetime(1, 1, 1), "T", 1)
@example(datetime(9999, 12, 31, 23, 59), " ", -1)
def test_iso_8601_is_read_as_python_reads_it(moment, between, minutes):
    text = moment.replace(tzinfo=timezone(timedelta(minutes=minutes))).isoformat(between)
    try:
        expected = datetime.fromisoformat(text).astimezone(UTC).replace(tzinfo=None)
    except OverflowError:
        expected = None

    assert in_a_request(text, None) == in_a_file(text, None) == expected


@pytest.mark.parametrize(
    ("text", "form", "moment"),
    [
        ("5/3/2024", "%d/%m/%Y", datetime(2024, 3, 5)),
        ("05.03.69", "%d.%m.%y", datetime(2069, 3, 5)),
        ("05.03.70", "%d.%m.%y", datetime(1970, 3, 5)),
        ("March 5, 2024", "%B %d, %Y", datetime(2024, 3, 5)),
        ("5 MAR 2024", "%d %b %Y", datetime(2024, 3, 5)),
        ("03/05/2024 12:07 am", "%m/%d/%Y %I:%M %p", datetime(2024, 3, 5, 0, 7)),
        ("03/05/2024 12:07 PM", "%m/%d/%Y %I:%M %p", datetime(2024, 3, 5, 12, 7)),
        ("2024-03", "%Y-%m", datetime(2024, 3, 1)),
        ("2024-03-05", None, datetime(2024, 3, 5)),
        ("2024-03-05T01:00:00+02:00", None, datetime(2024, 3, 4, 23)),
    ],
)
def test_a_text_names_the_same_moment_in_a_file_and_in_a_request(text, form, moment):
    assert in_a_file(text, form) == read_moment(text, form) == moment


@pytest.mark.parametrize("text", ["2024-3-5", "05/03/2024", "2024-W10-2", "20240305", "2024-03-05T10", "2024-02-30"])
def test_what_is_not_iso_8601_is_refused_in_a_file_and_in_a_request(text):
    assert in_a_file(text, None) is None
    assert in_a_request(text, None) is None


def test_the_predictor_reads_a_column_by_its_format_and_says_so_of_what_it_cannot_read():
    column = Input(name="seen", type="datetime", format="%d/%m/%Y", parts=("month", "day"))
    signature = Signature(task="regression", target="", inputs=(column,), prior=())

    assert encode(signature, {"seen": ["05/03/2024", date(2024, 3, 5)]}).tolist() == [[3, 5], [3, 5]]
    with pytest.raises(UserError, match=r"input 'seen', row 1: '2024-03-05' is not a date .* of the form %d/%m/%Y"):
        encode(signature, {"seen": ["2024-03-05"]})


@pytest.mark.parametrize(
    ("form", "why"),
    [
        ("%d/%m", "must tell the year"),
        ("%Y", "must tell the year"),
        ("%Y-%m-%j", "directive '%j'"),
        ("%Y-%m-%m", "occurs twice"),
        ("%Y-%m-%b", "each once"),
        ("%Y-%m-%d %I:%M", "the hour is %H, or %I with %p"),
        ("%Y-%m-%d %H", "hour and minute belong together"),
        ("%Y-%m-%d %H:%M%.f", "fractions to seconds"),
        ("%Y-%m-%d %", "directive '%'"),
    ],
)
def test_a_format_that_tells_no_moment_is_refused_in_the_contract(form, why):
    with pytest.raises(ValueError, match=why):
        pattern(form)
    with pytest.raises(ValidationError, match=why):
        Column(type="datetime", format=form)


def test_a_format_belongs_to_datetime_columns():
    with pytest.raises(ValidationError, match="format belongs to datetime columns"):
        Column(type="number", format="%Y-%m-%d")
