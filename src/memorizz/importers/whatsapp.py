"""WhatsApp: the export of a chat, a text, or a zip with one beside the files that were sent.

    31/12/2023, 23:59 - Ada: a message          Android
    [31/12/2023, 23:59:58] Ada: a message       iPhone

What does not begin so belongs to the message before it. The order of day and month is that of the phone's language, and
the file does not say which: it is found by looking at all of its dates.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from memorizz.errors import ConfigurationError
from memorizz.importers._formats import DateOrder, Format, Found, LeftOut, Options
from memorizz.importers._reading import NO_TEXT, NOTICE, digest
from memorizz.importers._source import LOOKED_AT, Member, Source

_NAME = "whatsapp"
_FILES = r".*\.txt"
_DATE = r"(\d{1,4})\s?[./\u5e74-]\s?(\d{1,2})\s?[./\u6708-]\s?(\d{1,4})[.\u65e5]?(?:[,\u060c]| klo)?"
# The halves of a day, which stand before a time in the languages of East Asia, and behind it elsewhere.
_MORNING = "\u4e0a\u5348|\u51cc\u6668|\u6e05\u6668|\u65e9\u4e0a|\u5348\u524d|\uc624\uc804"
_EVENING = "\u4e0b\u5348|\u4e2d\u5348|\u665a\u4e0a|\u5348\u5f8c|\uc624\ud6c4"
_BEFORE = rf"\s(?:({_MORNING}|{_EVENING})\s?)?"
_BEHIND = r"(?:\s*(?:([AaPp])\.?\s?[Mm]\.?|([\u03c0\u03bc])\.?\s?\u03bc\.?|([\u0635\u0645])))?"
_EVENINGS = {"p", "P", "\u03bc", "\u0645", *_EVENING.split("|")}
# What an iPhone sets before whatever is no text of a person, and what turns a line from right to left.
_MARK = "\u200e"
_TURNS = "[\u200e\u200f]*"
_BEGINNINGS = (
    re.compile(rf"{_TURNS}\[{_DATE}{_BEFORE}(\d{{1,2}})[:.](\d\d)(?:[:.](\d\d))?{_BEHIND}\]\s(.*)"),
    re.compile(rf"{_TURNS}{_DATE}{_BEFORE}(\d{{1,2}})[:.](\d\d)()(?:{_BEHIND})\s[-\u2013]\s(.*)"),
)
# The first year that WhatsApp was there, and by how much Thailand's calendar is ahead.
_FIRST_YEAR, _BUDDHIST = 2009, 543
# The place of a file in an export without files, in whatever language: a few words in brackets, and nothing else.
_PLACEHOLDER = re.compile(r"<[^<>\n]{1,60}>")


@dataclass(frozen=True, slots=True)
class _Begun:
    """A message as it stands in the file: the numbers of its date in their order, its time, and the first line."""

    line: int
    date: tuple[str, str, str]
    clock: tuple[int, int, int]
    rest: str

    def time(self, order: DateOrder) -> datetime | None:
        """Return when it was sent, None where there is no such time."""
        year, month, day = (self.date[order.index(part)] for part in "ymd")
        if len(year) not in (2, 4) or len(month) > 2 or len(day) > 2:
            return None
        since = int(year) + (2000 if len(year) == 2 else 0)
        if since >= _FIRST_YEAR + _BUDDHIST:
            since -= _BUDDHIST
        if since < _FIRST_YEAR:
            # Of another calendar, or no year at all.
            return None
        try:
            return datetime(since, int(month), int(day), *self.clock)
        except ValueError:
            return None


def _recognises(source: Source) -> bool:
    return any(_beginning(member) is not None for member in source.files(_FILES)[:LOOKED_AT])


def _beginning(member: Member) -> re.Pattern[str] | None:
    """Return what messages of a file begin with, None where it is no chat."""
    first = member.head.lstrip("\r\n").partition("\n")[0]
    return next((each for each in _BEGINNINGS if each.match(first)), None)


def _read(source: Source, options: Options) -> Iterator[Found | LeftOut]:
    for member in source.files(_FILES):
        beginning = _beginning(member)
        if beginning is not None:
            order, remark = _order(member, beginning, options.date_order)
            yield from _Chat(member, _chat_of(source, member), order, remark, options).read(beginning)


def _chat_of(source: Source, member: Member) -> str:
    """Return what a chat is called: what its file is called, or of an iPhone's _chat.txt the zip or the folder."""
    names = [*member.name.split("/")]
    if names[-1] == "_chat.txt":
        names.pop()
    if not names and source.path is not None:
        where = source.path.resolve()
        names = [where.parent.name if source.is_single else where.name]
    # A browser that downloads a file once more numbers it.
    return re.sub(r"\s*\(\d+\)$", "", (names or ["chat"])[-1].removesuffix(".txt").removesuffix(".zip"))


def _messages(member: Member, beginning: re.Pattern[str]) -> Iterator[_Begun | str]:
    """Yield what begins a message, and the lines that belong to the one before."""
    for number, line in member.lines():
        found = beginning.match(line)
        if found is None:
            yield line
            continue
        first, second, third, early, hour, minute, seconds, *halves, rest = found.groups()
        half = next((each for each in (early, *halves) if each is not None), None)
        hours = int(hour) if half is None else int(hour) % 12 + 12 * (half in _EVENINGS)
        clock = hours, int(minute), int(seconds or 0)
        yield _Begun(number, (first, second, third), clock, rest)


# --- the order of dates -------------------------------------------------------------------------------------------


def _order(member: Member, beginning: re.Pattern[str], wanted: DateOrder | None) -> tuple[DateOrder, str | None]:
    """Return the order of the dates of a file, and a remark where it was found only by the order of its messages.

    Raises ConfigurationError where two orders are possible, InvalidFile where none is.
    """
    # A year of two digits stands first only where that is said.
    orders: tuple[DateOrder, ...] = ("dmy", "mdy", "ymd") if wanted is None else (wanted,)
    possible: dict[DateOrder, _Possible] = {order: _Possible(order, wanted is not None) for order in orders}
    for each in _messages(member, beginning):
        if isinstance(each, _Begun):
            for tried in possible.values():
                tried.add(each)
    left: list[DateOrder] = [order for order, tried in possible.items() if tried.wrong is None]
    if not left:
        place = max(tried.wrong or 0 for tried in possible.values())
        raise member.invalid(
            f"line {place:,}", f"the date is none in the order {' or '.join(orders)} of those before it"
        )
    if len({possible[order].days for order in left}) == 1:
        return left[0], None
    forward: list[DateOrder] = [order for order in left if not possible[order].goes_back]
    if len(forward) == 1:
        return forward[0], f"dates read in the order {forward[0]}: only so one message follows the other"
    raise ConfigurationError(
        f"{member.place('the dates')}: all of them may be in the order {' or '.join(forward or left)}: say which with "
        "--date-order (date_order=...)"
    )


class _Possible:
    """What the dates of a file are if they have an order."""

    def __init__(self, order: DateOrder, is_said: bool) -> None:
        self._order: DateOrder = order
        self._is_said = is_said
        self.wrong: int | None = None
        self.goes_back = False
        self.last: datetime | None = None
        self.days = 0

    def add(self, message: _Begun) -> None:
        if self.wrong is not None:
            return
        time = message.time(self._order)
        if time is None or not (self._is_said or self._order != "ymd" or len(message.date[0]) == 4):
            self.wrong = message.line
            return
        # What was sent without a network may stand a little out of order.
        if self.last is not None and time < self.last - timedelta(days=1):
            self.goes_back = True
        self.last = max(time, self.last or time)
        # What all days add up to is another sum in another order, unless each is the same day in both.
        self.days = hash((self.days, time.date()))


# --- messages -----------------------------------------------------------------------------------------------------


class _Chat:
    """The messages of one file."""

    def __init__(self, member: Member, name: str, order: DateOrder, remark: str | None, options: Options) -> None:
        self._member = member
        self._name = name
        self._order: DateOrder = order
        self._remarks = () if remark is None else (remark,)
        self._options = options
        # How often each text was said by the same person at the same time.
        self._time: datetime | None = None
        self._same: Counter[tuple[str, str]] = Counter()

    def read(self, beginning: re.Pattern[str]) -> Iterator[Found | LeftOut]:
        begun: _Begun | None = None
        more: list[str] = []
        held = 0
        for each in _messages(self._member, beginning):
            if isinstance(each, str):
                more.append(each)
                held += len(each)
                self._member.check_size(held, f"line {begun.line if begun else 1:,}", "the message")
                continue
            if begun is not None:
                yield self._message(begun, more)
            begun, more, held = each, [], 0
        if begun is not None:
            yield self._message(begun, more)

    def _message(self, begun: _Begun, more: list[str]) -> Found | LeftOut:
        place = self._member.place(f"line {begun.line:,}")
        author, colon, first = begun.rest.partition(": ")
        if not colon:
            # An empty message ends with the colon.
            author, colon, first = begun.rest.rstrip().partition(":") if more else (begun.rest, "", "")
        if not colon:
            return LeftOut(place, NOTICE)
        content = "\n".join([first, *more])
        if content.startswith(_MARK) or _PLACEHOLDER.fullmatch(content.strip()):
            return LeftOut(place, NO_TEXT)
        content = content.partition(f"{_MARK}<")[0].strip()
        if not content:
            return LeftOut(place, NO_TEXT)
        author = author.strip("\u200e\u200f\u202a\u202c ~\u00a0\u202f")
        time = begun.time(self._order)
        assert time is not None  # the order was found by looking at all of them
        if time != self._time:
            self._time, self._same = time, Counter()
        self._same[author, content] += 1
        key = (self._name, time.isoformat(), author, digest(content), str(self._same[author, content]))
        sent, remarks = self._options.in_zone(time)
        document: dict[str, Any] = {
            "conversation_id": f"{_NAME}:{self._name}",
            "role": "user",
            "name": author,
            "content": content,
            "timestamp": sent,
            "source": {"format": _NAME, "id": f"{time.isoformat()} {author}", "title": self._name, "author": author},
        }
        remarks, self._remarks = (*remarks, *self._remarks), ()
        return Found(place, key, document, remarks=remarks)


FORMAT = Format(_NAME, "WhatsApp: the export of a chat", _recognises, _read)
