"""The exports of Slack, WhatsApp and Discord."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from samples import (
    ANDROID,
    IPHONE,
    discord,
    discord_channel,
    discord_message,
    documents,
    left_out,
    slack,
    slack_members,
    slack_message,
    written,
    zipped,
)  # fmt: skip

from memorizz.errors import ConfigurationError, InvalidFile
from memorizz.importers import Found, import_file, read
from memorizz.memory_provider.postgresql import PostgreSQLProvider

TALK = "conversation_memory"
NO_TEXT = "a message without text: an image, a file, a call"
NOTICE = "a notice of the program: who came, who went, what was renamed"


# --- Slack --------------------------------------------------------------------------------------------------------


def test_a_channel_of_slack_is_a_conversation(tmp_path: Path) -> None:
    """Names stand in the place of ids, and texts are as people read them."""
    first, second = documents(slack(tmp_path)[0])
    assert first == {
        "conversation_id": "slack:C1",
        "role": "user",
        "name": "Ada",
        "content": "@Bob which tea?",
        "timestamp": datetime.fromtimestamp(1706600000.0001, UTC),
        "source": {"format": "slack", "id": "1706600000.000100", "conversation": "C1", "title": "tea", "author": "U1"},
    }
    assert (second["name"], second["content"]) == ("Bob", "Green tea & more (https://tea.example)")
    assert left_out(slack(tmp_path)[0]) == {NOTICE: ["tea/2024-01-30.json, message 2"]}


def test_what_else_slack_writes(tmp_path: Path) -> None:
    """Programs and unknown people have a name all the same; threads say what they answer; folders of no channel."""
    days = {
        "top/D1/2024-02-01.json": [
            slack_message("1.000100", "by a program", None, subtype="bot_message", username="Kettle", bot_id="B1"),  # type: ignore[arg-type]
            slack_message("2.000100", "an answer", "U9", thread_ts="1.000100"),
            slack_message("3.000100", "", files=[{"name": "tea.png"}]),
            slack_message("4.000100", "with a file", files=[{"name": "tea.png"}, None]),
            slack_message(
                "5.000100", "<!here> <#C1> <#C9|cake> <mailto:a@b.example|a@b.example> 1 &lt; 2 <!subteam^S1|@tea>"
            ),
            slack_message("x", "no time"),
            {"type": "message", "text": "no id"},
            None,
        ]
    }
    members = {f"top/{name}": value for name, value in slack_members().items() if "/" not in name}
    path = zipped(tmp_path / "a.zip", members | days)
    found = documents(path)
    assert [(each["name"], each["content"]) for each in found] == [
        ("Kettle", "by a program"),
        ("U9", "an answer"),
        ("Ada", "with a file"),
        ("Ada", "@here #tea #cake mailto:a@b.example 1 < 2 @tea"),
    ]
    assert {each["conversation_id"] for each in found} == {"slack:D1"}
    assert found[1]["source"]["reply_to"] == "1.000100"
    assert found[2]["attachments"] == ["tea.png"]
    assert {reason: [place[-1] for place in places] for reason, places in left_out(path).items()} == {
        NO_TEXT: ["3"], "its id, ts, is not the time that it is to be": ["6"], "it has no id of its own": ["7", "8"],
    }  # fmt: skip


def rich(*elements: dict[str, Any]) -> dict[str, Any]:
    """Return a block of a message that was typed."""
    return {"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": [*elements]}]}


def test_a_message_of_slack_without_a_text_of_its_own(tmp_path: Path) -> None:
    """What programs write stands in blocks, what was passed on in attachments; a text of its own goes before them."""
    deep: Any = {"type": "section", "text": {"text": "too deep"}}
    for _ in range(40):
        deep = {"type": "context", "elements": [deep]}
    typed = [{"type": "user", "user_id": "U2"}, {"type": "text", "text": " likes "}, {"type": "emoji", "name": "tea"},
             {"type": "link", "url": "https://tea.example", "text": "Green"}, {"type": "channel", "channel_id": "C1"},
             {"type": "broadcast", "range": "here"}, {"type": "user"}]  # fmt: skip
    section = {"type": "section", "text": {"type": "mrkdwn", "text": "*Boiled*"}, "fields": [{"text": "95"}, None]}
    messages = [
        slack_message("1.000100", "", blocks=[rich(*typed)]),
        slack_message("2.000100", "", blocks=[{"type": "header", "text": {"text": "Kettle"}}, section, deep, None]),
        slack_message("3.000100", " ", attachments=[{"is_share": True, "text": "Passed on.", "fallback": "x"}]),
        slack_message("4.000100", "", attachments=[{"fallback": "An alarm."}, {"blocks": [section]}, None]),
        slack_message("5.000100", "My words.", blocks=[rich(*typed)], attachments=[{"text": "theirs"}]),
    ]
    path = zipped(tmp_path / "a.zip", slack_members() | {"tea/2024-02-01.json": messages})
    assert [each["content"] for each in documents(path)][2:] == [
        "@Bob likes :tea:Green (https://tea.example)#tea@here", "Kettle\n*Boiled*\n95", "Passed on.",
        "An alarm.\n*Boiled*\n95", "My words.",
    ]  # fmt: skip


def test_a_day_of_slack_that_is_cut_off_stores_nothing(provider: PostgreSQLProvider, tmp_path: Path) -> None:
    """The error names the day and the byte."""
    members = slack_members()
    members["tea/2024-01-31.json"] = '[{"type": "message", "ts": "1.0", "text": "whole"}, {"type": "mess'
    with pytest.raises(InvalidFile, match="cut off") as refused:
        import_file(zipped(tmp_path / "a.zip", members), provider)
    assert refused.value.where == f"tea/2024-01-31.json, byte {len(members['tea/2024-01-31.json'])}"
    assert provider.count(TALK) == 0


# --- WhatsApp -----------------------------------------------------------------------------------------------------


def test_a_chat_of_android(tmp_path: Path) -> None:
    """Day before month, as only so all dates are some; a message may have lines, and colons."""
    path = written(tmp_path / "WhatsApp Chat with Ada (1).txt", ANDROID.replace("\n", "\r\n"))
    first, second = documents(path, timezone=ZoneInfo("Europe/Rome"))
    assert first == {
        "conversation_id": "whatsapp:WhatsApp Chat with Ada",
        "role": "user",
        "name": "Ada",
        "content": "Which tea?",
        "timestamp": datetime(2023, 12, 31, 22, 59, tzinfo=UTC),
        "source": {
            "format": "whatsapp", "id": "2023-12-31T23:59:00 Ada", "title": "WhatsApp Chat with Ada", "author": "Ada",
        },
    }  # fmt: skip
    assert (second["name"], second["content"]) == ("Bob", "Green: always.\nAnd the second line.")
    assert left_out(path) == {NOTICE: ["line 1"], NO_TEXT: ["line 6"]}
    assert [each.remarks for each in read(path) if isinstance(each, Found)] == [
        ("the clock says no zone: read as UTC",), ("the clock says no zone: read as UTC",),
    ]  # fmt: skip


def test_a_chat_of_an_iphone(tmp_path: Path) -> None:
    """Month before day, seconds, AM and PM; what it marks as no text is left out. Its name is that of the zip."""
    path = zipped(tmp_path / "WhatsApp Chat - Bob.zip", {"_chat.txt": IPHONE})
    first, second = documents(path)
    assert (first["timestamp"], second["timestamp"]) == (
        datetime(2023, 12, 31, 23, 59, 58, tzinfo=UTC), datetime(2024, 1, 1, 0, 0, 1, tzinfo=UTC),
    )  # fmt: skip
    assert first["conversation_id"] == "whatsapp:WhatsApp Chat - Bob"
    assert left_out(path) == {NO_TEXT: ["_chat.txt, line 2"]}


@pytest.mark.parametrize(
    "beginning",
    [
        "31/12/2023, 23:59 - ", "31/12/23, 23:59 - ", "31/12/2023 23:59 - ", "31.12.23, 23:59 - ",
        "31-12-2023 23:59 - ",
        "12/31/23, 11:59 PM - ", "12/31/23, 11:59\u202fPM - ", "31/12/23, 11:59 p. m. - ",
        "31/12/2023, 11:59 pm \u2013 ",
        "2023-12-31 23:59 - ", "2023/12/31, 23:59 - ", "[31.12.2023 klo 23.59.00] ", "[2023-12-31, 23:59:00] ",
        "2023/12/31 \u4e0b\u534811:59 - ", "[2023/12/31 \u5348\u5f8c11:59:00] ", "2023. 12. 31. \uc624\ud6c4 11:59 - ",
        "2023\u5e7412\u670831\u65e5 \u665a\u4e0a11:59 - ", "\u200f31/12/2023\u060c 11:59 \u0645 - ",
        "31/12/23, 11:59 \u03bc.\u03bc. - ", "31/12/2566 23:59 - ",
        "\u200f\u0663\u0661/\u0661\u0662/\u0662\u0660\u0662\u0663\u060c \u0662\u0663:\u0665\u0669 - ",
        "[31/12/2023, 23:59:00] ", "[12/31/23, 11:59:00 PM] ", "\u200e[31/12/23 23:59] ", "31.12.2023, 23:59 - ",
    ],
)  # fmt: skip
def test_every_way_of_writing_a_date(tmp_path: Path, beginning: str) -> None:
    """Of whatever phone and language."""
    [found] = documents(written(tmp_path / "a.txt", f"{beginning}Ada: tea\n"))
    assert (found["timestamp"], found["name"]) == (datetime(2023, 12, 31, 23, 59, tzinfo=UTC), "Ada")


@pytest.mark.parametrize(
    ("beginning", "hour"),
    [
        ("2023/12/31 \u4e0a\u534812:30 - ", 0), ("2023/12/31 \u4e2d\u534812:30 - ", 12),
        ("2023. 12. 31. \uc624\uc804 9:30 - ", 9), ("31/12/2023, 9:30 \u0635 - ", 9),
        ("31/12/23, 9:30 \u03c0.\u03bc. - ", 9), ("12/31/23, 12:30 AM - ", 0),
    ],
)  # fmt: skip
def test_the_morning_in_every_language(tmp_path: Path, beginning: str, hour: int) -> None:
    """Twelve is the first hour of a half, not the last."""
    [found] = documents(written(tmp_path / "a.txt", f"{beginning}Ada: tea\n"))
    assert found["timestamp"] == datetime(2023, 12, 31, hour, 30, tzinfo=UTC)


def test_a_calendar_that_is_not_read_is_refused(tmp_path: Path) -> None:
    """A year before WhatsApp is of another one, and is not stored as that of ours."""
    with pytest.raises(InvalidFile, match="line 1: the date is none in the order"):
        documents(written(tmp_path / "a.txt", "1402/10/25, 09:30 - Ada: tea\n"))


def test_an_order_of_dates_that_is_not_known_is_asked_for(provider: PostgreSQLProvider, tmp_path: Path) -> None:
    """Nothing is guessed, and nothing stored; said, it is taken, unless a date is none in it."""
    text = "1/2/2024, 10:00 - Ada: a\n2/3/2024, 10:00 - Ada: b\n"
    path = written(tmp_path / "a.txt", text)
    with pytest.raises(ConfigurationError, match="in the order dmy or mdy: say which with --date-order"):
        import_file(path, provider)
    assert provider.count(TALK) == 0
    assert [each["timestamp"].month for each in documents(path, date_order="dmy")] == [2, 3]
    assert [each["timestamp"].month for each in documents(path, date_order="mdy")] == [1, 2]
    for order, wrong in (("dmy", "4/13/2024"), ("mdy", "13/4/2024"), ("ymd", "13/4/2024")):
        with pytest.raises(InvalidFile, match=f"the date is none in the order {order}"):
            documents(written(path, f"1/2/2024, 10:00 - Ada: a\n{wrong}, 10:00 - Ada: b\n"), date_order=order)
    with pytest.raises(InvalidFile, match="line 3: the date is none in the order dmy or mdy or ymd"):
        documents(
            written(path, f"{text}2024-12-31, 10:00 - Ada: c\n31/1/2024, 10:00 - Ada: c\n".replace("-12-", "/12/"))
        )


def test_an_order_of_dates_may_follow_from_that_of_the_messages(tmp_path: Path) -> None:
    """Which is said in the report; the same day in both orders is no question."""
    path = written(tmp_path / "a.txt", "1/2/2024, 10:00 - Ada: a\n3/1/2024, 10:00 - Ada: b\n")
    found = [each for each in read(path) if isinstance(each, Found)]
    assert [each.document["timestamp"].month for each in found] == [1, 3]
    assert "dates read in the order mdy: only so one message follows the other" in found[0].remarks
    [same] = documents(written(path, "3/3/2024, 10:00 - Ada: a\n"))
    assert same["timestamp"] == datetime(2024, 3, 3, 10, tzinfo=UTC)


def test_the_same_words_in_one_minute_are_two_messages(provider: PostgreSQLProvider, tmp_path: Path) -> None:
    """A later export of the chat, which has lost its beginning and grown, adds what is new."""
    said = [f"13/1/2024, 10:0{minute} - Ada: ok\n" for minute in (0, 0, 1, 2)]
    path = written(tmp_path / "a.txt", "".join(said[:3]))
    assert import_file(path, provider).stored == {TALK: 3}
    report = import_file(written(path, "".join(said[2:])), provider)
    assert (report.stored, report.there) == ({TALK: 1}, {TALK: 1})
    assert import_file(written(tmp_path / "b.txt", "".join(said)), provider).stored == {TALK: 4}


def test_lines_of_one_message_do_not_fill_the_memory(tmp_path: Path) -> None:
    """Nor does a text that is no chat: it is none to begin with."""
    path = written(tmp_path / "a.txt", "13/1/2024, 10:00 - Ada: ok\n" + "tea\n" * 1000)
    with pytest.raises(InvalidFile, match="line 1: the message needs more memory than the 2,000 bytes"):
        documents(path, max_document_bytes=2000)


# --- Discord ------------------------------------------------------------------------------------------------------


def test_a_channel_of_discord_is_a_conversation(tmp_path: Path) -> None:
    """Whatever wrote the file: a message has one id, and is there once."""
    exporter, package, older = discord(tmp_path)
    first = documents(exporter)[0]
    assert first == {
        "conversation_id": "discord:123",
        "role": "user",
        "name": "Ada",
        "content": "Which tea?",
        "timestamp": datetime(2023, 1, 15, 9, 30, 0, 500000, UTC),
        "source": {
            "format": "discord", "id": "1064114220695552000", "conversation": "123", "title": "Tea house / tea",
            "author": "7",
        },
    }  # fmt: skip
    [of_package] = documents(package)
    # The clock of the package says no zone: the id says when it was, to the millisecond.
    assert of_package == first
    [of_sheet] = documents(older)
    assert of_sheet == first | {"content": 'Which "tea"?\nGreen?'}


def test_discord_files_name_one_message_once(provider: PostgreSQLProvider, tmp_path: Path) -> None:
    """The package adds nothing to what the exporter's file had."""
    exporter, package, _ = discord(tmp_path)
    assert import_file(exporter, provider).stored == {TALK: 2}
    assert import_file(package, provider).there == {TALK: 1}


def test_what_else_discord_writes(tmp_path: Path) -> None:
    """Notices, messages without text, answers, files."""
    messages: list[Any] = [
        discord_message("1", "An answer.", type="Reply", reference={"messageId": "0"}, timestamp="2023-01-15T10:30:00"),
        discord_message("2", "Joined the server.", type="GuildMemberJoin"),
        discord_message("3", "", attachments=[{"fileName": "tea.png"}]),
        discord_message("4", "With a file.", attachments=[{"fileName": "tea.png"}]),
        discord_message("5", "no time", timestamp=None),
        discord_message("", "no id"),
        None,
    ]
    path = written(tmp_path / "a.json", discord_channel(*messages))
    answer, file = documents(path)
    assert (answer["source"]["reply_to"], file["attachments"]) == ("0", ["tea.png"])
    assert next(each.remarks for each in read(path) if isinstance(each, Found)) == (
        "the clock says no zone: read as UTC",
    )
    assert {reason: [place[-1] for place in places] for reason, places in left_out(path).items()} == {
        NOTICE: ["2"], NO_TEXT: ["3"], "it says no time": ["5"], "it has no id of its own": ["6", "7"],
    }  # fmt: skip


def test_a_package_in_another_language_and_a_message_that_was_passed_on(tmp_path: Path) -> None:
    """Folders are called as the language of Discord says; what was passed on is what its message says."""
    rows = [{"ID": 1064114220695552000, "Timestamp": "2023-01-15 09:30:00", "Contents": "Tee?", "Attachments": ""}]
    user = {"id": "7", "username": "ada", "global_name": "Ada"}
    members = {"Nachrichten/c123/messages.json": rows, "Nachrichten/c123/channel.json": {"id": "123", "name": "tee"},
               "Konto/user.json": user, "Server/1/user.json": {"id": "9"}}  # fmt: skip
    [found] = documents(zipped(tmp_path / "package.zip", members))
    assert (found["name"], found["content"], found["conversation_id"]) == ("Ada", "Tee?", "discord:123")
    passed_on = {"content": "Green tea.", "attachments": [{"fileName": "tea.png"}]}
    message = discord_message("1", "", reference={"messageId": "0"}, forwardedMessage=passed_on)
    [found] = documents(written(tmp_path / "a.json", discord_channel(message)))
    assert (found["content"], found["attachments"]) == ("Green tea.", ["tea.png"])
    assert found["source"]["forwarded"] == "0"


def test_discord_files_that_are_cut_off_store_nothing(provider: PostgreSQLProvider, tmp_path: Path) -> None:
    """JSON of the exporter, and a sheet of the package in the middle of a text."""
    exporter, _, older = discord(tmp_path)
    exporter.write_bytes(exporter.read_bytes()[:-20])
    with pytest.raises(InvalidFile, match="cut off"):
        import_file(exporter, provider)
    sheet = 'ID,Timestamp,Contents,Attachments\n1,2023-01-15 09:30:00.5+00:00,"Which'
    with pytest.raises(InvalidFile, match=r"messages\.csv, the CSV: it is cut off or damaged"):
        import_file(zipped(older, {"messages/c1/messages.csv": sheet}), provider)
    assert provider.count(TALK) == 0
