"""Words of any script, on every API and provider: what people search for finds the text."""

from __future__ import annotations

import unicodedata
from typing import Any

import pytest

from memorizz.memory_provider.memory_type import MemoryType

LONG = MemoryType.LONG_TERM_MEMORY

# A text, words that find it, and words that do not.
WRITTEN = {
    "ticket": ("We discuss CVE-2026-2332 here", ["CVE-2026-2332", "cve-2026-2332", "2332"], ["GHSA-1111"]),
    "path": (
        "/usr/local/etc/nginx/nginx.conf is wrong",
        ["nginx.conf", "nginx", "/usr/local/etc/nginx/nginx.conf"],
        ["apache"],
    ),
    "windows path": (r"C:\Users\ada\notes.txt", ["notes.txt", "ada"], ["bob"]),
    "url": (
        "see https://example.com/docs/install?lang=en",
        ["example.com", "docs/install", "install", "lang"],
        ["guide"],
    ),
    "pull request": ("fixed by acme/langgraph#6705", ["6705", "langgraph", "acme/langgraph"], ["6706"]),
    "version": ("upgrade to v2.10.3-beta now", ["v2.10.3", "2.10.3", "v2.10.3-beta"], ["v4.7.9"]),
    "address": ("mail ada.lovelace@example.org", ["ada.lovelace@example.org", "lovelace"], ["babbage"]),
    "telephone": ("call +1-555-010-9999", ["555-010-9999", "9999"], ["020-1234"]),
    "date": ("due 2024-03-10 at noon", ["2024-03-10", "2024"], ["2025"]),
    "camel case": ("HTTPServer raises DimensionMismatch", ["DimensionMismatch", "mismatch", "server"], ["client"]),
    "generics": ("take a Map<String, Vec<u8>> of them", ["Map<String, Vec<u8>>", "string", "vec", "u8"], ["list"]),
    "comparisons": ("if tea<milk and bread>butter", ["milk", "bread", "butter", "tea<milk"], ["sugar"]),
    "markup": ("a <b>bold</b> <ada@example.org> &buffer;", ["bold", "ada@example.org", "buffer"], ["italic"]),
    "apostrophes": ("O'Brien likes rock'n'roll", ["O'Brien", "O\u2019Brien", "brien", "rock'n'roll"], ["Murphy"]),
    "hindi": ("मुझे हिन्दी फ़िल्में पसंद हैं", ["हिन्दी", "फ़िल्में"], ["किताब"]),
    "tamil": ("எனக்கு தேநீர் பிடிக்கும்", ["தேநீர்"], ["காபி"]),
    "bengali": ("আমি সকালে চা খাই", ["সকালে"], ["বই"]),
    "snake case": ("set MAX_RETRY_COUNT in foo_bar.py", ["MAX_RETRY_COUNT", "retry", "foo_bar"], ["delay"]),
    "emoji": ("ship it 🚀🔥 today", ["🚀", "🔥", "🚀🔥"], ["🌧"]),
    "chinese": ("我们决定使用队列端口错配的修复方案", ["队列", "端口错配", "案", "修", "docker 队列"], ["咖啡", "茶"]),
    "chinese and latin": ("用Docker部署到服务器", ["docker", "部署"], ["kubernetes"]),
    "japanese": ("明日の会議は渋谷で午後三時からです", ["会議", "渋谷"], ["新宿", "日程"]),
    "half width": ("ﾃｽﾄの結果", ["テスト"], ["本番"]),
    "full width": ("ＡＢＣ会社", ["abc"], ["xyz"]),
    "korean": ("번역을 부탁해", ["번역", "부탁해"], ["요리"]),
    "thai": ("ผมชอบดื่มชาเย็นตอนเช้า", ["ชาเย็น"], ["กาแฟ"]),
    "lao": ("ຂ້ອຍມັກກິນເຂົ້າໜຽວ", ["ເຂົ້າໜຽວ"], ["ກາເຟ"]),
    "khmer": ("ខ្ញុំចូលចិត្តតែ", ["ចូលចិត្ត"], ["សៀវភៅ"]),
    "burmese": ("ကျွန်တော်လက်ဖက်ရည်ကြိုက်တယ်", ["လက်ဖက်ရည်"], ["ခွေး"]),
    "arabic": ("يحب المستخدم الشاي بالنعناع", ["شاي", "الشاي", "نعناع", "النعناع"], ["قهوة"]),
    "arabic with marks": ("الشَّايُ لَذِيذٌ", ["شاي", "لذيذ"], ["قهوة"]),
    "arabic without an article": ("شاي بارد", ["الشاي"], ["القهوة"]),
    "hebrew": ("הספר על השולחן", ["ספר", "שולחן", "הספר"], ["כיסא"]),
    "hebrew with points": ("שָׁלוֹם לַיֶּלֶד", ["שלום"], ["ספר"]),
    "right to left marks": ("\u200fשלום\u200e עולם", ["שלום", "עולם"], ["ספר"]),  # noqa: RUF001
}


def test_what_people_search_for_finds_the_text(api: Any) -> None:
    """Words of any script, and the parts of what is written in one piece, find their text and nothing else does."""
    api.store_many([{"content": text, "memory_id": kind} for kind, (text, _, _) in WRITTEN.items()], LONG)

    def finds(word: str, kind: str) -> bool:
        return bool(api.retrieve_by_query({"$text": {"$search": word}, "memory_id": kind}, LONG))

    assert [word for kind, (_, finding, _) in WRITTEN.items() for word in finding if not finds(word, kind)] == []
    assert [word for kind, (_, _, others) in WRITTEN.items() for word in others if finds(word, kind)] == []


def test_a_text_that_is_changed_is_found_by_its_new_words_alone(api: Any) -> None:
    """An update replaces what a text is found by, whatever its script."""
    id = api.store({"content": "我喜欢喝绿茶", "name": "CVE-2026-2332"}, LONG)
    api.update_by_id(id, {"content": "我喜欢喝咖啡"}, LONG)
    assert [bool(api.retrieve_by_query(word, LONG)) for word in ("绿茶", "咖啡", "2332")] == [False, True, True]
    api.update_by_id(id, {"content": None, "name": "tea"}, LONG)
    assert [bool(api.retrieve_by_query(word, LONG)) for word in ("咖啡", "2332", "tea")] == [False, False, True]


@pytest.mark.parametrize("word", ["café", "Orléans", "학점인정", "ガラス", "Việt"])
def test_words_in_another_normal_form(api: Any, word: str) -> None:
    """A question in one of Unicode's normal forms finds a text in any; the text itself stays as it was given."""
    texts = {form: unicodedata.normalize(form, f"le {word} là") for form in ("NFC", "NFD", "NFKC", "NFKD")}  # type: ignore[arg-type]
    api.store_many([{"id": form, "content": text} for form, text in texts.items()], LONG)
    for form in ("NFC", "NFD"):
        hits = api.retrieve_by_query(unicodedata.normalize(form, word), LONG, 9)
        assert {hit["id"]: hit["content"] for hit in hits} == texts


# Made for this test: what somebody told, and a question that shares some characters with it.
TOLD = [
    ("我妹妹下个月要去成都读大学", "妹妹在哪里读大学"),
    ("昨天的会议改到星期五下午三点", "会议改到什么时候"),
    ("我对花生过敏,吃了会起疹子", "对什么过敏"),
    ("新服务器的数据库密码存在保险箱里", "数据库密码放在哪里"),
    ("爷爷年轻的时候在铁路上工作", "爷爷以前做什么工作"),
    ("周末我们打算去爬香山看红叶", "周末去哪里看红叶"),
    ("小王推荐了一家很好吃的火锅店", "谁推荐了火锅店"),
    ("我的猫叫橘子,今年三岁了", "猫叫什么名字"),
    ("项目的截止日期推迟到十二月底", "截止日期是哪天"),
    ("她最喜欢的乐器是古筝", "喜欢什么乐器"),
    ("医生建议我每天走一万步", "医生建议了什么"),
    ("去年冬天我们在哈尔滨看冰雕", "在哪里看冰雕"),
]


def test_chinese_questions_find_their_answers(api: Any) -> None:
    """Ranked by words alone, the answer of each question is the first."""
    api.store_many([{"n": n, "content": text} for n, (text, _) in enumerate(TOLD)], LONG)
    first = [api.retrieve_by_query(question, LONG)[0]["n"] for _, question in TOLD]
    assert first == list(range(len(TOLD)))
