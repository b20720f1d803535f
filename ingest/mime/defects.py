"""The words for what is odd about a mail, and for the limits that stop the parser. No behaviour."""

from dataclasses import dataclass
from enum import StrEnum


class Defect(StrEnum):
    """What is odd about a mail that could be read all the same: the words of ParsedMail.defects, a closed list."""

    # structure (scan)
    NO_HEADER_END = "no-header-end"  # a line that is no field ended the header section
    JUNK_IN_HEADER = "junk-in-header"  # a line that is no field stands between fields
    UNINDENTED_LINE = "unindented-line"  # a continuation of Content-Type without its blank
    CONTINUATION_FIRST = "continuation-first"  # the header section begins with a folded line
    SPACE_BEFORE_COLON = "space-before-colon"  # RFC 5322 §4.5 obsolete field; readers differ on it
    BARE_CR = "bare-cr"  # CR-only line ends in the header section
    NUL_IN_HEADER = "nul-in-header"
    REPEATED_CONTENT_TYPE = "repeated-content-type"
    REPEATED_TRANSFER_ENCODING = "repeated-transfer-encoding"
    REPEATED_PARAMETER = "repeated-parameter"  # threats T43: two boundaries, two names
    INVALID_CONTENT_TYPE = "invalid-content-type"
    NO_BOUNDARY = "no-boundary"  # multipart without a boundary parameter
    START_BOUNDARY_MISSING = "start-boundary-missing"
    END_BOUNDARY_MISSING = "end-boundary-missing"
    BOUNDARY_REUSED = "boundary-reused"  # a nested multipart with the boundary of an outer one
    EPILOGUE_TEXT = "epilogue-text"  # more than blank lines after the end boundary
    ENCODED_MULTIPART = "encoded-multipart"  # RFC 2045 §6.4 forbids it
    # header facts (parse)
    REPEATED_FROM = "repeated-from"
    REPEATED_SUBJECT = "repeated-subject"
    REPEATED_DATE = "repeated-date"
    REPEATED_MESSAGE_ID = "repeated-message-id"
    DATE_INVALID = "date-invalid"
    ADDRESS_INVALID = "address-invalid"
    RAW_8BIT_HEADER = "raw-8bit-header"  # 8-bit octets that are not UTF-8 (RFC 6532 §3)
    HEADER_CUT = "header-cut"  # a value longer than we keep
    # parts (parse)
    BASE64_JUNK = "base64-junk"
    UNKNOWN_TRANSFER_ENCODING = "unknown-transfer-encoding"
    CHARSET_UNKNOWN = "charset-unknown"
    CHARSET_MENDED = "charset-mended"  # octets outside the declared charset
    NAME_CLEANED = "name-cleaned"  # path parts, controls or bidi marks taken out of a file name
    UUENCODED_PART = "uuencoded-part"
    TNEF_UNPACKED = "tnef-unpacked"
    TNEF_UNREADABLE = "tnef-unreadable"
    HTML_UNREADABLE = "html-unreadable"
    PARTIAL_MESSAGE = "partial-message"  # RFC 2046 §5.2.2: never assembled
    EXTERNAL_BODY = "external-body"  # RFC 2046 §5.2.3: never fetched
    TEXT_TRUNCATED = "text-truncated"  # the rest is in the raw mail only
    HTML_TRUNCATED = "html-truncated"


class Limit(StrEnum):
    """The words of ParsedMail.over_limit (threats T42)."""

    SIZE = "mail-size"
    HEADER_SIZE = "header-size"
    HEADER_COUNT = "header-count"
    ADDRESSES = "address-count"
    ENCODED_WORDS = "encoded-word-count"
    DEPTH = "part-depth"
    PARTS = "part-count"
    PART_HEADER_SIZE = "part-header-size"
    DELIMITER_LINES = "delimiter-line-count"
    UNREADABLE = "unreadable"  # the parser failed on it; a fault of ours, kept with the mail


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanLimits:
    """The most that a mail may have of each (threats T42). Above: kept and held, not parsed."""

    size: int = 25 * 1024 * 1024 + 64 * 1024  # octets; SIZE of the listener and room for trace fields
    header_size: int = 512 * 1024
    header_count: int = 2000
    addresses: int = 500  # in the address fields together
    encoded_words: int = 3000
    depth: int = 100
    parts: int = 1000
    part_header_size: int = 64 * 1024
    delimiter_lines: int = 250_000  # lines that begin with two hyphens
