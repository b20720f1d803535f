"""Parse every mail of a corpus and compare with what its manifest expects.

Usage: python bench/corpus_parse.py CORPUS_DIR [--misses] [--only TEXT]
Prints crashes, right answers by field, replacement characters, the slowest mail and the peak of memory.
"""

import argparse
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from ingest.mime.charset import decode
from ingest.mime.content import HashOnly
from ingest.mime.html_text import html_to_text
from ingest.mime.parse import parse
from ingest.spool.rawfile import spooled_from
from values.mail import ParsedMail, SpooledMail

# Expectations of other projects that are not ours, each with the reason: (file, column) → why.
_STALWART = "counts plain text that follows a broken or second boundary as a file; it is the mail's text"
DISAGREED: dict[tuple[str, str], str] = {
    **{
        (f"stalwart-mail-parser__malformed--{number}.eml", "expect_attachments"): _STALWART
        for number in ("001", "003", "004", "008", "009", "016")
    },
    (
        "stalwart-mail-parser__malformed--012.eml",
        "expect_attachments",
    ): "three message/rfc822 parts, each with its own delimiter line; the source loses one at the inner boundary",
    (
        "discourse-trimmer__forwarded_apple.txt",
        "expect_text",
    ): "leaves out the forwarded mail; to a helpdesk it is what was sent",
    (
        "mail-mime-parser__m4002.eml",
        "expect_attachments",
    ): "leaves out the PGP signature, which sig_only_email.eml of another source counts",
    (
        "imap_tools__multipart_report_emails--report_530.eml",
        "expect_attachments",
    ): "leaves out the parts of a report, which example_bounce.eml of another source counts",
}


def rows(corpus: Path) -> Iterator[dict[str, str]]:
    """The rows of the manifest, escapes read."""
    lines = (corpus / "manifest.tsv").read_text(encoding="utf-8").split("\n")
    names = lines[0].split("\t")
    for line in lines[1:]:
        if line:
            yield {name: unescape(value) for name, value in zip(names, line.split("\t"), strict=True)}


def unescape(value: str) -> str:
    """The manifest's four escapes."""
    return (
        value.replace("\\\\", "\x00")
        .replace("\\t", "\t")
        .replace("\\n", "\n")
        .replace("\\r", "\r")
        .replace("\x00", "\\")
    )


def collapsed(text: str) -> str:
    """White space folded."""
    return " ".join(text.split())


def bare_body(path: Path, subtype: str, folder: Path) -> SpooledMail:
    """A body without a mail around it, in a mail of its own."""
    content = f"Content-Type: text/{subtype}; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n".encode()
    made = folder / path.name
    made.write_bytes(content + path.read_bytes())
    return spooled_from(made)


def expected_text(path: Path) -> str:
    """The text of an expectation; of an `.expected.html` the visible one."""
    text = decode(path.read_bytes())[0]
    return html_to_text(text) if path.name.endswith(".html") else text


def is_from_right(mail: ParsedMail, expected: str) -> bool:
    """The address expected is the author, whatever the name."""
    address = expected.rsplit("<", 1)[-1].strip("<> ")
    return mail.author is not None and mail.author.address.lower() == address.lower()


def main() -> None:
    """Run over the corpus and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("corpus", type=Path)
    options.add_argument("--misses", action="store_true")
    options.add_argument("--texts", action="store_true", help="list the misses of expect_text too")
    options.add_argument("--only", default="")
    chosen = options.parse_args()
    right: Counter[str] = Counter()
    asked: Counter[str] = Counter()
    defects: Counter[str] = Counter()
    misses: list[str] = []
    crashes: list[str] = []
    replaced: list[str] = []
    times: list[tuple[float, str]] = []
    over: list[str] = []
    skipped: Counter[str] = Counter()
    folder = Path(tempfile.mkdtemp())
    for row in rows(chosen.corpus):
        if chosen.only not in row["file"]:
            continue
        path = chosen.corpus / row["category"] / row["file"]
        if row["form"] in ("body-text", "body-html"):
            mail_in = bare_body(path, "html" if row["form"] == "body-html" else "plain", folder)
        elif row["form"] == "eml":
            mail_in = spooled_from(path)
        else:
            skipped[row["form"]] += 1
            continue
        start = time.process_time()
        try:
            mail = parse(mail_in, HashOnly())
        except Exception as fault:
            crashes.append(f"{row['file']}: {fault!r}")
            continue
        times.append((time.process_time() - start, row["file"]))
        defects.update(mail.defects)
        if mail.over_limit:
            over.append(f"{row['file']}: {mail.over_limit}")
        raw = mail_in.path.read_bytes()
        for name, value in (("subject", mail.subject), ("full_text", mail.full_text), ("html", mail.html or "")):
            if "\ufffd" in value and b"\xef\xbf\xbd" not in raw and b"=EF=BF=BD" not in raw.upper():
                replaced.append(f"{row['file']}: {name}")
        checks = {
            "expect_from": (
                is_from_right(mail, row["expect_from"]),
                f"{mail.author_verdict} {mail.author} {mail.author_claims}",
            ),
            "expect_subject": (collapsed(mail.subject) == collapsed(row["expect_subject"]), repr(mail.subject)),
            "expect_attachments": (
                str(len(mail.attachments)) == row["expect_attachments"],
                f"{len(mail.attachments)} {[(one.name, one.type, one.inline) for one in mail.attachments]}",
            ),
        }
        if row["expect_text"]:
            wanted = expected_text(path.parent / row["expect_text"])
            checks["expect_text"] = (collapsed(mail.text) == collapsed(wanted), f"{mail.text!r}\n  for {wanted!r}")
        for column, (good, got) in checks.items():
            if not row[column]:
                continue
            if (row["file"], column) in DISAGREED:
                skipped[f"{column} (disagreed)"] += 1
                continue
            asked[column] += 1
            right[column] += good
            if not good and (column != "expect_text" or chosen.texts):
                misses.append(f"{row['file']}\n  {column} {row[column]!r}\n  got {got}")
    if chosen.misses:
        print("\n".join(misses))
        print("replaced:", *replaced, sep="\n  ")
        print("over a limit:", *over, sep="\n  ")
        print(defects)
    print(f"mails {len(times)}, skipped {dict(skipped)}")
    print(f"crashes {len(crashes)}", *crashes, sep="\n  ")
    for column in sorted(asked):
        print(f"{column[7:]:12} {right[column]}/{asked[column]} = {100 * right[column] / asked[column]:.1f} %")
    print(f"mails with U+FFFD that their octets do not hold: {len(replaced)}; over a limit: {len(over)}")
    times.sort(reverse=True)
    print("slowest CPU:", ", ".join(f"{name} {seconds:.2f} s" for seconds, name in times[:3]))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"CPU in all {sum(seconds for seconds, _ in times):.2f} s; peak RSS {peak:.0f} MiB")
    for (file, column), reason in DISAGREED.items():
        print(f"disagreed: {file} {column}: {reason}")
    sys.exit(1 if crashes else 0)


if __name__ == "__main__":
    main()
