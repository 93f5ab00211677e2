"""Cells of CSV (RFC 4180): which are quoted, and how one that a spreadsheet would run is defused."""

LINE_END = "\r\n"
# What begins a formula in a spreadsheet, maybe after it has dropped a tab or folded a fullwidth form; and the
# apostrophe, so that one that was put in front can be told from one that was there.
FORMULA_STARTS = frozenset("=+-@'\t\r\n\uff1d\uff0b\uff0d\uff20\uff07")


def raw_cell(text: str) -> str:
    """The text, quoted if it holds a comma, a quote, CR or LF, or begins or ends with white space."""
    if '"' in text:
        return '"' + text.replace('"', '""') + '"'
    # White space at the edges belongs to the value, but some readers drop it where it is not quoted.
    if "," in text or "\n" in text or "\r" in text or text != text.strip():
        return f'"{text}"'
    return text


def safe_cell(text: str) -> str:
    """The same after an apostrophe, if it would run: taking one away again gives the text back."""
    return raw_cell("'" + text if text[:1] in FORMULA_STARTS else text)
