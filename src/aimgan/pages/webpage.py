"""A page of HTML that is one file: it fetches nothing and runs nothing, whatever is written into it."""

from __future__ import annotations

from html import escape

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
{body}
</body>
</html>
"""


def webpage(title: str, style: str, body: str) -> str:
    """Return a page whose `title` is any text, and whose `style` and `body` are CSS and HTML already."""
    return PAGE.format(title=escape(title), style=style, body=body)
