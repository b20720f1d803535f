"""What the author wrote now: a text without quoted mails, their headings and the signature; and its language.

Takes: text.  Gives: text.  Fails: never.
Pure and linear: lines are looked at one by one, by patterns whose every repetition is bounded (threats T44).
"""

import re

from ingest.mime.body import tidy

_LINES_CAP = 4000
_HEADING_CAP = 260  # characters of a heading of a quoted mail
_HEADING_TRIES = 200  # lines of one mail that are tried as such a heading and are none
_LINE_CAP = 400  # characters of a line that are looked at


def _words(*lines: str) -> str:
    """Alternatives of a pattern, separated by | and line ends."""
    return "(?:" + "|".join(word for line in lines for word in line.split("|")) + ")"


# The last words of the line before a quoted mail: "On …, … wrote:".
_WROTE = re.compile(
    _words(
        "wrote|writes|wrote the following|schrieb|schrieben|hat geschrieben|geschrieben|a écrit|écrivait",
        "escribió|escribio|escreveu|ha scritto|scrisse|ha escrit",
        "geschreven|schreef.{0,200}|geschreven door.{0,200}|skrev.{0,200}|kirjoitti|napisał|napisała",
        r"napisał\(a\)|napsal|napsala|napsal\(a\)|пишет|написал|написала|написал\(а\)|написав",
        "yazdı|şunu yazdı|a scris|írta|έγραψε|viết|写道|寫道|のメール|作成|さんは書きました|님이 작성|כתב",
    )
    + r"\s?(?:[:：]|-{4})?\s{0,9}$",
    re.I,
)
# A date or a time, and an address in brackets: with a colon after them they say it in every language.
_WHEN = re.compile(r"\d{1,2}[:.h]\d{2}|(?:19|20)\d{2}|\d{1,2}[./\-]\d{1,2}[./\-]\d{2,4}")
_WHO = re.compile(r"(?:<|&lt;|\[mailto:|\()[^\s<>@]{1,64}@[^\s<>@]{1,255}?(?:>|&gt;|\]|\))")
# Its first words.
_INTRO = re.compile(
    r"[\s>*\-]{0,20}"
    + _words(
        "on |at |am |le |el |em |il |op |den |kl |dne |dnia |w dniu |в |пн|вт|ср|чт|пт|сб|вс|in data |ma |ti |ke |to ",
        r"pe |la |su |från:? |\d{1,4}[-./年]|<?[^\s<>@]{1,64}@",
        "[\"“«]?[\\w.,' ()\\-]{1,80}[\"”»]? ?[<\\[(]|[\\w.,' \\-]{2,60} (?:wrote|writes|schrieb|skrev|escribió)",
        r"\w{2,12},? \d|\d",
    ),
    re.I,
)
# What stands between dashes above a quoted mail; in other languages any few words between five dashes do.
_SEPARATORS = frozenset(
    line.strip()
    for line in """
    original message|original appointment|forwarded message|reply message|begin forwarded message
    ursprüngliche nachricht|originalnachricht|weitergeleitete nachricht|message d'origine|message original
    message transféré|mensaje original|mensaje reenviado|mensagem original|messaggio originale|messaggio inoltrato
    oorspronkelijk bericht|doorgestuurd bericht|ursprungligt meddelande|originalmeddelande
    vidarebefordrat meddelande|oprindelig meddelelse|opprinnelig melding|alkuperäinen viesti
    wiadomość oryginalna|původní zpráva|исходное сообщение|пересылаемое сообщение
    原始邮件|原始郵件|邮件原件|転送されたメッセージ|원본 메시지
    """.replace("\n", "|").split("|")
    if line.strip()
)
_COLON = r"\s{0,3}(?:\*\s{0,3})?[:：]"
# The header lines that Outlook and others put above a quoted mail: the first, and those that follow it.
_HEAD = re.compile(
    r"[\s>*|_]{0,20}"
    + _words(
        "from|von|de|da|van|från|fra|lähettäjä|od|от|发件人|寄件者|差出人|보낸 사람|kimden|expéditeur",
        "feladó|envoyé par|absender|afsender|avsändare",
    )
    + _COLON,
    re.I,
)
_HEAD_MORE = re.compile(
    r"[\s>*|_]{0,20}"
    + _words(
        "sent|gesendet|envoyé|enviado|enviado el|enviado em|enviada em|inviato",
        "verzonden|skickat|sendt|lähetetty|wysłano|odesláno|отправлено|дата|date|datum|dato|fecha|data|to|an|à|para|a|aan|till|til|vastaanottaja|do|komu|кому",
        "subject|betreff|objet|asunto|assunto|oggetto|onderwerp|ämne|emne|aihe|temat|předmět|тема",
        "cc|kopia|kopie|发送时间|收件人|主题|寄件日期|收件者|主旨|送信日時|宛先|件名|보낸 날짜|받는 사람|제목",
    )
    + _COLON,
    re.I,
)
_ABOVE = re.compile(
    r"(?:reply|type|write|respond|svara|skriv|responda|escriba).{0,60}(?:above|ovanför|encima).{0,40}"
    r"(?:line|linje|raden|línea)",
    re.I,
)
_SIGNATURE = re.compile(r"(?:-- ?|--- ?|—|__ ?|–)$")
_DEVICE = re.compile(
    _words(
        "sent from my|sent via|sent using|sent from|get outlook for|enviado desde mi|enviado de",
        "envoyé de mon|envoyé depuis|envoyé à partir|von meinem .{1,40} gesendet|gesendet von|gesendet mit",
        "skickat från min|skickat från|sendt fra min|sendt fra|verzonden vanaf|verstuurd vanaf",
        "inviato da|lähetetty|wysłane? z|odesláno z|отправлено с|yahoo mail",
    )
    + r"[^.,;!?]{0,60}(?:[<(]?https?://\S{1,300})?[.>)]?$",
    re.I,
)


def written_now(full_text: str) -> str:
    """What the author wrote in this mail: `full_text` without quoted mails, their headings and the signature.

    Never empty where `full_text` is not: a mail that is all quote (a forward without a word) gives all of it.
    """
    lines = full_text.split("\n", _LINES_CAP)
    rest = lines.pop() if len(lines) > _LINES_CAP else ""
    kept, cut = _without_quotes(lines)
    text = "\n".join(_without_signature(kept))
    if rest and not cut:
        text += "\n" + rest
    return tidy(text) or full_text


def _without_quotes(lines: list[str]) -> tuple[list[str], bool]:
    """The lines that are not quoted, and whether the text ended where a quoted mail begins."""
    heads = [line[:_LINE_CAP].replace("\xa0", " ") for line in lines]
    ends = [head.rstrip(" *_").endswith((":", "：", ">", "-", "wrote", "Uhr")) for head in heads]
    kept: list[str] = []
    tries = _HEADING_TRIES
    index = 0
    while index < len(lines):
        head = heads[index]
        above = _is_reply_line(head)
        if above or _is_separator(head) or _is_head(heads, index):
            if any(line.strip() for line in kept):
                return _back(kept), True
            if not above:
                return lines, False  # a forward without a word of one's own
        elif head.lstrip(" ").startswith(">"):
            pass
        elif tries > 0 and _may_be_heading(heads, ends, index) and (length := _intro_length(heads, index)):
            after = index + length
            while after < len(lines) and not heads[after].strip():
                after += 1
            quoted = after < len(lines) and heads[after].lstrip(" ").startswith(">")
            if not quoted and any(line.strip() for line in kept):
                return _back(kept), True
            index = after  # what follows unquoted may be the answer below the quote
            continue
        else:
            tries -= _may_be_heading(heads, ends, index)
            kept.append(lines[index])
        index += 1
    return kept, False


def _is_separator(head: str) -> bool:
    bare = head.strip(" \t>*_=|")
    words = bare.strip("- ")
    if not 3 <= len(words) <= 40:
        return False
    return words.lower().rstrip(":") in _SEPARATORS or (
        bare.startswith("-----") and bare.endswith("-----") and "-" not in words and words[0].isalpha()
    )


def _is_reply_line(head: str) -> bool:
    return ("##" in head or "--" in head or "==" in head or "__" in head) and _ABOVE.search(head) is not None


def _may_be_heading(heads: list[str], ends: list[bool], index: int) -> bool:
    """A cheap look before the patterns: does this line, or one of the next three, end as a heading ends?"""
    return len(heads[index]) <= _HEADING_CAP and any(ends[index : index + 4])


def _is_head(heads: list[str], index: int) -> bool:
    return _HEAD.match(heads[index]) is not None and (
        sum(_HEAD_MORE.match(more) is not None for more in heads[index + 1 : index + 7]) >= 2
    )


def _intro_length(heads: list[str], index: int) -> int:
    """How many lines the heading of a quoted mail takes that begins here ("On … wrote:"), 0 = none."""
    length, dated = _heading(heads, index)
    for later in range(1, length):
        found, later_dated = _heading(heads, index + later)
        if found and (later_dated or not dated):
            return 0  # the heading begins later: this line is the author's own
    return length


def _heading(heads: list[str], index: int) -> tuple[int, bool]:
    """The number of lines of a heading (0 = none) and whether it holds a date."""
    if not _INTRO.match(heads[index]):
        return 0, False
    joined = ""
    for length, head in enumerate(heads[index : index + 4], 1):
        line = head.strip(" *_>") + (">" if head.rstrip(" *_").endswith(">") else "")
        if not line and length > 1:
            break
        joined = f"{joined} {line}".strip().replace("< ", "<")
        if len(joined) > 2 * _HEADING_CAP:
            break
        dated = _WHEN.search(joined) is not None
        if _WROTE.search(joined[-260:]) and (dated or "@" in joined):
            return length, dated
        if not dated or not _WHO.search(joined):
            continue
        following = next((one for one in heads[index + length : index + length + 3] if one.strip()), "")
        if joined.endswith((":", "：")) or (joined.endswith(">") and following.lstrip().startswith((">", "|"))):
            return length, True
    return 0, False


def _back(kept: list[str]) -> list[str]:
    """Without the rule and the empty lines that stand before a quoted mail."""
    while kept and not kept[-1].strip(" _-*=>\t\xa0"):
        kept.pop()
    return kept


def _without_signature(lines: list[str]) -> list[str]:
    first = next((number for number, line in enumerate(lines) if line.strip()), 0)
    end = len(lines)
    for number in range(len(lines) - 1, first, -1):
        line = lines[number].strip("\xa0")
        if (_SIGNATURE.match(line) and end - number <= 40) or (
            len(line) <= 160 and end - number <= 12 and _DEVICE.match(line.strip("*_<>[ "))
        ):
            end = number
    return lines[:end]


# -- language

_STOP_WORDS = {
    "en": "the and is are was to of in that it you for with this have not be we on our when can please from i",
    "es": "el la los las que y en un una es por para con no se del su al lo como más pero sus ya este está nos gracias",
    "sv": "och att det som en på är av för med den till inte om ett har de vi jag men kan när från hej vid får nu ska",
}
_STOPS = {language: frozenset(words.split()) for language, words in _STOP_WORDS.items()}
_WORD = re.compile(r"[^\W\d_]+")


def language_of(text: str) -> str | None:
    """en, es or sv where the text says so clearly, else None. Looks at the first 4,000 characters."""
    words = _WORD.findall(text[:4000].lower())
    if len(words) < 5:
        return None
    scores = sorted(((sum(map(stops.__contains__, words)), name) for name, stops in _STOPS.items()), reverse=True)
    (best, name), (second, _) = scores[0], scores[1]
    return name if best >= 3 and best >= 2 * second and best * 8 >= len(words) else None
