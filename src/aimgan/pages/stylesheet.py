"""How a page looks (pages/document.py): light or dark as the reader has it, from a telephone's width up."""

STYLE = """
:root { color-scheme: light dark;
  --paper: #ffffff; --card: #f6f6f8; --ink: #1c1c21; --soft: #5b5b64; --line: #dcdce2; --link: #1f4e79;
  --alarm: #b3261e; --alarm-paper: #fdecea; --calm: #0b6b4f; --calm-paper: #e8f5ef;
  --curve-0: #1f6fb4; --curve-1: #c44e00; --curve-2: #00805c; --curve-3: #a8397f;
  --curve-4: #8a6d00; --curve-5: #6247b8; --curve-6: #0b8793; --curve-7: #7a4a35; }
@media (prefers-color-scheme: dark) { :root {
  --paper: #17171a; --card: #212126; --ink: #ececf0; --soft: #a9a9b4; --line: #3a3a42; --link: #8fc1ec;
  --alarm: #ff8a80; --alarm-paper: #3a1f1d; --calm: #7fd1ae; --calm-paper: #17302a;
  --curve-0: #62b0f2; --curve-1: #ff9a57; --curve-2: #4ccf9f; --curve-3: #ef8fc8;
  --curve-4: #e0c04a; --curve-5: #b39dfa; --curve-6: #57d0dc; --curve-7: #d4a38c; } }
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; color: var(--ink);
  background: var(--paper); max-width: 70rem; margin: 0 auto; padding: 1.2rem 1rem 4rem; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: .4rem 0 .6rem; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2.4rem 0 .6rem; padding-top: .9rem; border-top: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.5rem 0 .5rem; }
h4 { font-size: .82rem; font-weight: 600; margin: 0; color: var(--soft); overflow-wrap: anywhere; }
p { margin: 0 0 .7rem; max-width: 46rem; overflow-wrap: anywhere; }
.lead { font-size: 1.05rem; }
.note { font-size: .88rem; color: var(--soft); }
.alarm, .calm { padding: .55rem .8rem; border-radius: 6px; border-left: 4px solid; }
.alarm { color: var(--ink); border-color: var(--alarm); background: var(--alarm-paper); }
.calm { color: var(--ink); border-color: var(--calm); background: var(--calm-paper); }
code { font: .9em ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; overflow-wrap: anywhere; }
pre { background: var(--card); border: 1px solid var(--line); border-radius: 6px; padding: .7rem .9rem;
  overflow-x: auto; margin: 0 0 .8rem; }
pre code { overflow-wrap: normal; font-size: .82rem; }
.cards { display: grid; gap: .7rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 19rem), 1fr)); }
article { background: var(--card); border-radius: 8px; padding: .75rem .9rem; }
article p { font-size: .85rem; line-height: 1.4; margin: .35rem 0 0; }
.value { font-size: 1.45rem; font-weight: 600; line-height: 1.35; font-variant-numeric: tabular-nums; }
.value small { font-size: .95rem; font-weight: 400; color: var(--soft); }
.beside { font-size: .85rem; color: var(--soft); font-variant-numeric: tabular-nums; }
.cannot { color: var(--soft); }
.cannot span { font-style: italic; }
.charts, .pictures { display: grid; gap: 1rem .9rem; }
.charts { grid-template-columns: repeat(auto-fill, minmax(min(100%, 19rem), 1fr)); }
.pictures { grid-template-columns: repeat(auto-fill, minmax(min(100%, 26rem), 1fr)); align-items: start; }
figure { margin: 0; min-width: 0; }
figcaption { font-size: .85rem; color: var(--soft); overflow-wrap: anywhere; }
.charts figcaption { font-weight: 600; font-size: .82rem; }
svg { display: block; width: 100%; height: auto; }
svg text { font-family: inherit !important; font-variant-numeric: tabular-nums; }
img { display: block; max-width: 100%; height: auto; border-radius: 6px; border: 1px solid var(--line);
  margin-bottom: .3rem; }
.wide { overflow-x: auto; margin: 0 0 .9rem; }
table { border-collapse: collapse; font-size: .88rem; }
th, td { text-align: left; vertical-align: top; padding: .32rem .9rem .32rem 0; border-bottom: 1px solid var(--line);
  font-variant-numeric: tabular-nums; }
thead th { color: var(--soft); font-weight: 600; white-space: nowrap; }
tbody th { font-weight: 400; }
td { min-width: 4.2rem; max-width: 24rem; }
td, .wide code { overflow-wrap: break-word; }
.says { min-width: 15rem; }
details { border: 1px solid var(--line); border-radius: 6px; padding: .5rem .8rem; margin: .7rem 0; }
summary { cursor: pointer; font-weight: 600; font-size: .92rem; }
details[open] summary { margin-bottom: .6rem; }
.legend { display: flex; flex-wrap: wrap; gap: .3rem 1rem; max-width: none; }
.entry { display: inline-flex; gap: .35rem; align-items: baseline; min-width: 0; }
.key { display: inline-block; min-width: 1.5em; text-align: center; border-radius: 4px; font-weight: 700;
  color: var(--paper); padding: 0 .3em; }
@media print { body { max-width: none; } details { border: 0; } article { break-inside: avoid; } }
"""
