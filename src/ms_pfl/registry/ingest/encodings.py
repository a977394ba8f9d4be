"""The bytes of a text file as text: by its byte order mark, a setting, or as UTF-8."""

import codecs
from pathlib import Path

from ms_pfl.registry.ingest.refusals import FileNote, UnusableFile

_MARKS = (  # the longer ones first: UTF-32 begins with the mark of UTF-16
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_SAMPLE = 4096


def marked_encoding(data: bytes) -> tuple[str | None, int]:
    """Return the encoding that a byte order mark names, and the length of the mark."""
    return next(((name, len(mark)) for mark, name in _MARKS if data.startswith(mark)), (None, 0))


def unmarked_utf16(data: bytes) -> str | None:
    """Return which UTF-16 a text without a mark is in, by where its zero bytes are."""
    sample = data[:_SAMPLE]
    even, odd = sample[::2].count(0), sample[1::2].count(0)
    half = len(sample) // 2
    if half and odd > 0.8 * half and even < 0.1 * half:
        return "utf-16-le"
    if half and even > 0.8 * half and odd < 0.1 * half:
        return "utf-16-be"
    return None


def decoded(
    path: Path, data: bytes, encoding: str | None = None, setting: str = "ingest.encoding"
) -> tuple[str, tuple[FileNote, ...]]:
    """Return the text of a file, and how it was read where it is not UTF-8.

    Args:
        path: of the file, for messages.
        data: its bytes; a byte order mark says more than a setting.
        encoding: of a file without a mark; None: UTF-8.
        setting: that holds it, for messages.

    Raises:
        UnusableFile: the bytes are no text in that encoding, or are UTF-8 where another is set.
    """
    marked, length = marked_encoding(data)
    name = marked or encoding or "utf-8"
    utf8 = codecs.lookup(name).name == "utf-8"
    if not utf8 and marked is None and not data.isascii() and _is_utf8(data):
        raise UnusableFile(
            f"{path} is UTF-8, and {setting} says {name}, in which its letters would be others; "
            "name the encoding of each table, as {patients: utf-8}",
            "encoding_contradicted",
        )
    try:
        text = data[length:].decode(name)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise UnusableFile(
            f"{path} is not {_label(name)} text; {_remedy(data, setting)} "
            f"(line {line} holds another encoding)",
            "not_utf8" if utf8 else "encoding_contradicted",
            [(line, "")],
        ) from None
    if utf8:
        return text, ()
    by = "by its byte order mark" if marked else f"by {setting}"
    return text, (FileNote("encoding", "", name, f"read so {by}"),)


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _label(name: str) -> str:
    return "UTF-8" if name == "utf-8" else name


def _remedy(data: bytes, setting: str) -> str:
    found = unmarked_utf16(data)
    if found is not None:
        return f"set {setting}: {found}"
    return f"save it as CSV UTF-8, or name its encoding in {setting}, such as cp1252"
