"""What the author wrote now: a text without quoted mails, their headings and the signature; and its language.

Takes: text.  Gives: text.  Fails: never.
Pure and linear: lines are looked at one by one, by patterns whose every repetition is bounded (threats T44).
"""

import re

from ingest.mime.body import tidy
from ingest.mime.html_text import PERHAPS, QUOTED, unmarked

_LINES_CAP = 4000
_HEADING_CAP = 260  # characters of a heading of a quoted mail
_HEADING_TRIES = 60  # lines of one mail that are tried as such a heading and are none
_LINE_CAP = 400  # characters of a line that are looked at
_HEAD_LINES = 12  # lines of the header of a quoted mail
_INTRO_LINES = 8  # lines of a heading that is folded
_MARKS = (QUOTED, PERHAPS)


def _words(*lines: str) -> str:
    """Alternatives of a pattern, separated by | and line ends."""
    return "(?:" + "|".join(word for line in lines for word in line.split("|")) + ")"


# A forwarded mail begins here, whoever sends it: it is no quotation.
_FORWARDS = re.compile(
    r"[\s>*_=-]{0,40}"
    + _words(
        "(?:begin )?forwarded message|(?:anfang der )?weitergeleiteten? nachricht|(?:début du )?message transféré",
        "début du message réexpédié|(?:inicio del )?mensaje reenviado|(?:inizio )?messaggio inoltrato",
        "doorgestuurd bericht|begin doorgestuurd bericht|vidarebefordrat (?:meddelande|brev|mejl|e-postmeddelande)",
        "påbörja vidarebefordrat meddelande|videresendt (?:melding|besked|mail)|mensagem (?:encaminhada|reencaminhada)",
        "wiadomość przekazana|přeposlaná zpráva|välitetty viesti|пересылаемое сообщение|转发的邮件|转发邮件",
        "転送されたメッセージ|転送メッセージ",
    )
    + r"[\s:：*_=-]{0,40}$",
    re.I,
)
# AS> at the start of a line: whose words they are, by initials. Below a heading only: "SQL>" is a prompt.
_INITIALS = re.compile(r" ?[A-Z][A-Za-z]{0,3}>")
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
_VERB = re.compile(
    _words(
        r"\bwrote\b|\bwrites\b|\bschrieb\b|\ba écrit\b|\bescribió\b|\bescreveu\b|\bha scritto\b|\bschreef\b",
        r"\bskrev\b|\bkirjoitti\b|\bnapisał|\bnapsal|писал|写道|寫道",
    ),
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
_SENT = re.compile(
    r"[\s>*|_]{0,20}"
    + _words(
        "sent|gesendet|envoyé|envoye|envoyé le|enviado|enviado el|enviado em|enviada em|inviato",
        "verzonden|skickat|sendt|lähetetty|wysłano|odesláno|отправлено|дата|date|datum|dato|fecha|data",
        "发送时间|寄件日期|送信日時|보낸 날짜",
    )
    + _COLON,
    re.I,
)
_SUBJECT = re.compile(
    r"[\s>*|_]{0,20}"
    + _words(
        "subject|betreff|objet|sujet|asunto|assunto|oggetto|onderwerp|ämne|emne|aihe|temat|předmět|тема",
        "主题|主旨|件名|제목",
    )
    + _COLON,
    re.I,
)
_HEAD_MORE = re.compile(
    r"[\s>*|_]{0,20}"
    + _words(
        "to|an|à|para|a|aan|till|til|vastaanottaja|do|komu|кому|reply-to|message-id|organization",
        "cc|kopia|kopie|copie à|copia|收件人|收件者|宛先|받는 사람",
    )
    + _COLON,
    re.I,
)
_LABELS = (("from", _HEAD), ("sent", _SENT), ("subject", _SUBJECT), ("more", _HEAD_MORE))
_ABOVE = re.compile(
    r"(?:reply|type|write|respond|svara|skriv|responda|escriba).{0,60}(?:above|ovanför|encima).{0,40}"
    r"(?:line|linje|raden|línea)",
    re.I,
)
_SIGNATURE = re.compile(r"(?:-- ?|--- ?|—|__ ?|–)$")
_POSTSCRIPT = re.compile(r"\s{0,9}P\.?\s?[SD]\.?[:.,\s]", re.I)  # stays below a signature
_LIST_RULE = re.compile(r"_{20,}$")
_LIST_WORDS = ("mailing list", "listinfo", "unsubscribe", "@lists.")
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


def written_now(text: str, *, forwards: bool = False, answers: bool = False) -> str:
    """What the author wrote in this mail: `text` without quoted mails, their headings and the signature.

    Lines may begin with the marks of html_text. `forwards`: the mail is a forward by its subject; a forward
    is no quotation, its text is what was sent. `answers`: it answers another mail, so that a bare quotation at its end
    is the other mail's text. Never empty where `text` is not: a mail that is all quotation gives all of it.
    """
    if forwards:
        return tidy(unmarked(text))
    lines = text.split("\n", _LINES_CAP)
    rest = lines.pop() if len(lines) > _LINES_CAP else ""
    cutter = _Cutter(lines, answers)
    cutter.run()
    said = [line for n, own in enumerate(cutter.pieces) for line in _without_signature(own, n)] + cutter.forwarded
    if rest and not cutter.ended:
        said += [line for line in rest.split("\n") if not line.startswith(QUOTED)]
    return tidy(unmarked("\n".join(said))) or tidy(text.replace(QUOTED, "> ").replace(PERHAPS, ""))


class _Cutter:
    """Goes over the lines of a text once and keeps what is not quoted.

    `pieces`: the author's lines, a new piece after each quotation. `forwarded`: the lines of a forwarded mail, which
    goes to the end. `ended`: the text ended where a quoted mail begins.
    """

    def __init__(self, lines: list[str], answers: bool) -> None:
        self.lines = lines
        self.answers = answers
        self.heads = [unmarked(line[:_LINE_CAP]).replace("\xa0", " ") for line in lines]
        self.marks = [
            line[:1] if line[:1] in _MARKS else ">" if head.lstrip(" ").startswith(">") else ""
            for line, head in zip(lines, self.heads, strict=True)
        ]
        self.ends = [head.rstrip(" *_").endswith((":", "：", ">", "-", "wrote", "Uhr")) for head in self.heads]
        self._last_mark = max((at for at, mark in enumerate(self.marks) if mark), default=-1)
        self._labels: dict[int, str] = {}
        self.pieces: list[list[str]] = [[]]
        self.forwarded: list[str] = []
        self.ended = False
        self.initials = ""  # `AS>`, where that is how the quoted lines begin
        self.headed = False  # the last line that was taken out is the heading of a quotation
        self.bare = False  # the client quotes in bare blockquotes
        self._said = 0  # lines of the author's own
        self._tries = _HEADING_TRIES
        self._head_tries = 10 * _HEADING_TRIES

    def run(self) -> None:
        """Fill the results."""
        index = 0
        while index < len(self.lines) and not self.ended:
            head = self.heads[index]
            if not head.strip():
                self.pieces[-1].append("")
                index += 1
            elif self.marks[index] == PERHAPS:
                index = self._perhaps(index)
            elif self.marks[index] or (self.initials and head.startswith(self.initials)):
                index = self._quoted(index)
            elif _FORWARDS.match(head):
                self._forward(index)
            elif (above := _is_reply_line(head)) or _is_separator(head) or self._is_head(index):
                index = self._below_head(index, above)
            else:
                index = self._own(index)

    def _own(self, index: int) -> int:
        """A line of the author's, or the heading of a quotation ("On … wrote:")."""
        tried = self._tries > 0 and _may_be_heading(self.heads, self.ends, index)
        length = _intro_length(self.heads, index) if tried else 0
        if length:
            after = self._filled(index + length)
            if found := _INITIALS.match(self.heads[after]) if after < len(self.lines) else None:
                self.initials = found[0]
            self.headed = after < len(self.lines) and bool(self.marks[after] or self.initials)
            if not self.headed and self._said > 0 and not self._quotes_follow(after):
                self._end()
            return after  # what follows unquoted may be the answer below the quote
        self._tries -= tried
        self.headed = False
        self.pieces[-1].append(self.lines[index])
        self._said += 1
        return index + 1

    def _quoted(self, index: int) -> int:
        """Over the quoted lines from `index` on. They may be a forward: Apple indents it as a quotation."""
        if not self.headed and _FORWARDS.match(self.heads[index].lstrip("> ")):
            self._forward(index)
            return index
        if not self.headed:
            self._said -= _drop_attribution(self.pieces[-1])
        self.headed = False
        while index < len(self.lines) and (
            self.marks[index] not in ("", PERHAPS) or (self.initials and self.heads[index].startswith(self.initials))
        ):
            index += 1
        self.pieces.append([])
        return index

    def _perhaps(self, index: int) -> int:
        """A bare <blockquote>: quoted where a heading stands above it or in it, or at the end of an answer."""
        end = index
        while end < len(self.lines) and (self.marks[end] or not self.heads[end].strip()):
            end += 1
        if not self.headed and _FORWARDS.match(self.heads[index]):
            self._forward(index)
            return index
        piece = self.pieces[-1]
        said = next((line for line in reversed(piece) if line.strip()), "")
        dropped = 0 if self.headed else _drop_attribution(piece)
        self._said -= dropped
        is_quoted = self.headed or dropped > 0 or self.bare or self._begins_with_heading(index)
        self.bare = is_quoted
        if is_quoted or (self.answers and end == len(self.lines) and said and not said.rstrip().endswith((":", "："))):
            self.pieces.append([])
        else:
            piece += [line for line in self.lines[index:end] if not line.startswith(QUOTED)]
            self._said += 1
        self.headed = False
        return end

    def _begins_with_heading(self, index: int) -> bool:
        if self._is_head(index) or _is_separator(self.heads[index]):
            return True
        if self._tries <= 0 or not _may_be_heading(self.heads, self.ends, index):
            return False
        self._tries -= 1
        return _intro_length(self.heads, index) > 0

    def _below_head(self, index: int, above: bool) -> int:
        """The header block of a quoted mail: the mail is what follows, marked or to the end."""
        after = self._filled(index + (not self._is_head(index)))
        for _ in range(_HEAD_LINES):
            if after < len(self.lines) and not self.marks[after] and self._label(after):
                after = self._filled(after + 1)
        if after < len(self.lines) and self.marks[after] and not above:
            self.headed = True
            _back(self.pieces[-1])
            return after
        if self._said > 0:
            self._end()
        elif not above:
            self._forward(index)  # a forward without a word of one's own
        return index + 1

    def _is_head(self, index: int) -> bool:
        """Three lines of a header, From among them, and an address or a subject: people write From and To, too."""
        if self._head_tries <= 0 or self._label(index) not in ("from", "sent"):
            return False
        self._head_tries -= 1
        block = {at: name for at in range(index, min(index + 7, len(self.lines))) if (name := self._label(at))}
        names = block.values()
        return (
            len(block) >= 3 and "from" in names and ("subject" in names or any("@" in self.heads[at] for at in block))
        )

    def _label(self, index: int) -> str:
        if index not in self._labels:
            self._labels[index] = _label(self.heads[index])
        return self._labels[index]

    def _forward(self, index: int) -> None:
        self.forwarded = self.lines[index:]
        self.ended = True

    def _end(self) -> None:
        _back(self.pieces[-1])
        self.ended = True

    def _quotes_follow(self, index: int) -> bool:
        """Whether the client marks quoted lines, so that what stands unmarked below its heading is the author's."""
        return self._last_mark >= index

    def _filled(self, index: int) -> int:
        """The first line from `index` on that is not empty."""
        while index < len(self.lines) and not self.heads[index].strip():
            index += 1
        return index


def _drop_attribution(lines: list[str]) -> int:
    """Take out the line above a quotation that says whose it is, if it does; gives how many lines that were."""
    end = len(lines)
    while end and not lines[end - 1].strip():
        end -= 1
    joined = ""
    for start in range(end - 1, max(end - 4, -1), -1):
        line = unmarked(lines[start][:_LINE_CAP]).replace("\xa0", " ").strip(" *_")
        if not line:
            return 0
        joined = f"{line} {joined}".strip()
        if not joined.endswith((":", "：", "-")) or len(joined) > _HEADING_CAP:
            return 0
        is_named = _WHO.search(joined) or _VERB.search(joined)
        if (_WROTE.search(joined) and len(joined) <= 100) or (
            is_named and _WHEN.search(joined) and _INTRO.match(joined)
        ):
            dropped = sum(1 for line in lines[start:] if line.strip())
            del lines[start:]
            return dropped
    return 0


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
    """A cheap look before the patterns: does this line, or one of the next, end as a heading ends?"""
    return len(heads[index]) <= _HEADING_CAP and any(ends[index : index + _INTRO_LINES])


def _label(head: str) -> str:
    """Which label of a mail's header the line begins with: from, sent, subject, more; "" = none."""
    if ":" not in head[:40] and "：" not in head[:40]:
        return ""
    return next((name for name, pattern in _LABELS if pattern.match(head)), "")


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
    for length, head in enumerate(heads[index : index + _INTRO_LINES], 1):
        line = head.strip(" *_>") + (">" if head.rstrip(" *_").endswith(">") else "")
        if not line and length > 1:
            break
        is_folded = head.startswith(">") and joined.rpartition("<")[2].count(">") == 0 < joined.count("<")
        joined = f"{joined}{'>' if is_folded else ' '}{line}".strip().replace("< ", "<")
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


def _without_signature(lines: list[str], piece: int) -> list[str]:
    """`lines` up to the signature. A mail (its first piece) that is nothing but a signature keeps it."""
    first = next((number for number, line in enumerate(lines) if line.strip()), 0) if piece == 0 else -1
    end = len(lines)
    postscript = len(lines)
    for number in range(len(lines) - 1, first, -1):
        line = lines[number].strip("\xa0")
        if end - number <= 10 and _LIST_RULE.match(line):
            said = " ".join(lines[number:end])[: 10 * _LINE_CAP].lower()
            end = number if any(word in said for word in _LIST_WORDS) else end
        if _POSTSCRIPT.match(line):
            postscript = number
        if (_SIGNATURE.match(line) and end - number <= 40) or (
            len(line) <= 160 and end - number <= 12 and _DEVICE.match(line.strip("*_<>[ "))
        ):
            end = number
    return lines[:end] + lines[max(postscript, end) :]


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
