"""How well are reports and automatic mail told apart? Prints figures over a corpus of real messages.

    python bench/corpus_kinds.py CORPUS_DIR [--misses]

CORPUS_DIR holds manifest.tsv (file, category, form, expect_kind, expect_bounced_recipient, expect_bounce_status, ...)
and the folders it names.
"""

import argparse
import csv
import sys
import time
from collections import Counter
from pathlib import Path

from ingest.mime.content import HashOnly
from ingest.mime.parse import parse
from ingest.spool.rawfile import spooled_from
from values.vocabulary import MailKind

AUTOMATIC = {MailKind.AUTO_REPLY, MailKind.AUTO_GENERATED}
REPORTS = {MailKind.BOUNCE, MailKind.DELAYED, MailKind.DELIVERED, MailKind.COMPLAINT}
# Expectations of the manifest that this project does not share, and why; they are printed and not counted.
DELAY = "the report itself says delayed, and that it will be tried again"
DISPUTED = {
    "alaveteli__track-response-ms-bounce.eml": DELAY,
    "bounce_email__bounces--tt_bounce_18.eml": DELAY,
    "flanker__bounce--no-mx.eml": DELAY,
    "sisimai__bsd--lhost-opensmtpd-12.eml": DELAY,
}
ALLOWED: dict[str, set[MailKind]] = {
    "bounce": {MailKind.BOUNCE},
    "delayed": {MailKind.DELAYED},
    "delivered": {MailKind.DELIVERED},
    "complaint": {MailKind.COMPLAINT},
    "not-bounce": set(MailKind) - REPORTS,
    "auto": AUTOMATIC,
    "list": {MailKind.LIST},
    "reply": {MailKind.PERSON, MailKind.LIST},
}


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("corpus", type=Path)
    arguments.add_argument("--misses", action="store_true", help="list what was expected and what was found")
    options = arguments.parse_args()
    with (options.corpus / "manifest.tsv").open(encoding="utf-8", newline="") as lines:
        rows = [r for r in csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE) if r["form"] == "eml"]

    wanted, right = Counter[str](), Counter[str]()
    kinds: dict[str, Counter[str]] = {}
    misses: list[str] = []
    slowest = (0.0, "")

    def count(what: str, hit: bool, miss: str) -> None:
        wanted[what] += 1
        right[what] += hit
        if not hit:
            misses.append(f"{what}: {miss}")

    for row in rows:
        began = time.perf_counter()
        mail = parse(spooled_from(options.corpus / row["category"] / row["file"]), HashOnly())
        kind, evidence, report = mail.kind, mail.kind_evidence, mail.report
        slowest = max(slowest, (time.perf_counter() - began, row["file"]))
        name = f"{row['category']}/{row['file']}"
        kinds.setdefault(row["category"], Counter())[kind] += 1
        if row["file"] in DISPUTED:
            print(f"disputed: {row['file']} is {kind}: {DISPUTED[row['file']]}")
            continue
        found = {r.address.lower(): r for r in report.recipients} if report else {}
        expected = row["expect_kind"]
        if expected in ALLOWED:
            count(f"kind {expected}", kind in ALLOWED[expected], f"{name} is {kind} ({evidence})")
        if row["category"] == "replies":
            count("replies/ not automatic", kind not in AUTOMATIC | REPORTS, f"{name} is {kind} ({evidence})")
        addresses = [a.strip().lower() for a in row["expect_bounced_recipient"].split(",") if a.strip()]
        for address in dict.fromkeys(addresses):
            count("recipients", address in found, f"{name} wants {address}, found {sorted(found)}")
        if addresses and expected != "complaint":
            count("no other recipient", set(found) <= set(addresses), f"{name} {sorted(set(found) - set(addresses))}")
        statuses = [s.strip() for s in row["expect_bounce_status"].split(",")]
        reasons = [s.strip() for s in row["expect_bounce_reason"].split(",")]
        for n, address in enumerate(addresses):
            status = statuses[n] if n < len(statuses) else ""
            seen = found.get(address)
            if status[:1] in ("4", "5"):
                hit = seen is not None and seen.permanent is (status[0] == "5")
                count("permanent or transient", hit, f"{name} wants {status} {reasons[n]}, found {seen}")
            if expected == "bounce" and n < len(reasons) and reasons[n]:
                hit = seen is not None and seen.reason == reasons[n]
                count("reason word", hit, f"{name} wants {reasons[n]}, found {seen and (seen.reason, seen.status)}")

    for what in sorted(wanted):
        print(f"{what:28} {right[what]:4} of {wanted[what]:4}  {100 * right[what] / wanted[what]:5.1f} %")
    for category, counted in sorted(kinds.items()):
        print(f"{category:12}", ", ".join(f"{kind} {n}" for kind, n in counted.most_common()))
    print(f"slowest file {slowest[0] * 1000:.0f} ms: {slowest[1]}")
    if options.misses:
        print(*sorted(misses), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
