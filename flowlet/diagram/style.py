"""The colours and icons of diagrams: rules for a page's stylesheet, and the colours without one."""

from __future__ import annotations

from flowlet.workflow.states import StateKind

__all__ = [
    "ACCENT_COLOR",
    "BOX_COLORS",
    "ICON_PATHS",
    "LINE_COLOR",
    "MARK_COLORS",
    "MARK_PATHS",
    "MUTED_COLOR",
    "STANDALONE_STYLESHEET",
    "STYLESHEET",
    "SURFACE_COLOR",
    "TEXT_COLOR",
]

SURFACE_COLOR, TEXT_COLOR, MUTED_COLOR, ACCENT_COLOR, LINE_COLOR = "#ffffff", "#131a2b", "#5a6478", "#4f46e5", "#8791a8"

BOX_COLORS: dict[StateKind, tuple[str, str]] = {
    StateKind.START: ("#eaedf3", "#5a6478"),
    StateKind.NORMAL: ("#ffffff", "#aeb8cb"),
    StateKind.MANUAL: ("#fdf0d5", "#96580a"),
    StateKind.RECEIVE: ("#e1eefc", "#1c5fae"),
    StateKind.END: ("#dcf6ea", "#0a7d55"),
    StateKind.ERROR: ("#fde5e7", "#c02636"),
}
"""The fill and the border of a box, by the kind of its state."""

ICON_PATHS = {
    StateKind.START: "M4 2.5L10 6L4 9.5Z",
    StateKind.MANUAL: "M6 1.4A2.2 2.2 0 1 1 6 5.8A2.2 2.2 0 1 1 6 1.4M1.8 11C2 8.7 3.6 7.6 6 7.6S10 8.7 10.2 11",
    StateKind.RECEIVE: "M1.5 3H10.5V9.5H1.5ZM1.5 3.4L6 7L10.5 3.4",
    StateKind.END: "M2 6.5L4.8 9.2L10 3.2",
    StateKind.ERROR: "M2.8 2.8L9.2 9.2M9.2 2.8L2.8 9.2",
}
"""The icon beside a name, 12 by 12 pixels, so that the kinds differ by more than colour."""

MARK_PATHS = {
    "on-error": "M6.8 2L3.8 6.6H6.4L5.2 10L8.2 5.4H5.6Z",
    "on-deadline": "M6 3.2V6L7.9 7.2",
}
"""The symbol of each mark on a state, 12 by 12 pixels, so that the two differ by more than colour."""
MARK_COLORS = {"on-error": "#c02636", "on-deadline": "#96580a"}

_RULES = """\
.fl-diagram { max-width: 100%; height: auto; font: 550 13px Inter, system-ui, -apple-system, "Segoe UI", sans-serif }
.fl-diagram text { fill: var(--text); text-anchor: middle; font-variant-numeric: tabular-nums }
.fl-diagram a { text-decoration: none; cursor: pointer }
.fl-background { fill: var(--surface) }
.fl-edge { fill: none; stroke: var(--fl-line); stroke-width: 1.5; stroke-linejoin: round }
.fl-arrow { fill: var(--fl-line) }
.fl-edge.on-error { stroke: var(--err); stroke-dasharray: 5 3 }
.fl-arrow.on-error { fill: var(--err) }
.fl-edge.on-deadline { stroke: var(--warn); stroke-dasharray: 1.5 3 }
.fl-arrow.on-deadline { fill: var(--warn) }
.fl-mark circle { fill: var(--surface); stroke: var(--err); stroke-width: 1.5 }
.fl-mark path { stroke: var(--err) }
.fl-mark.on-deadline circle, .fl-mark.on-deadline path { stroke: var(--warn) }
.fl-edge.done { stroke: var(--accent); stroke-width: 2.25 }
.fl-arrow.done { fill: var(--accent) }
.fl-edge.share-0 { stroke-opacity: .55 }
.fl-edge.share-2 { stroke-width: 2.25 }
.fl-edge.share-3 { stroke-width: 3 }
.fl-label rect { fill: var(--surface) }
.fl-label text { fill: var(--muted); font-size: 11px }
.fl-label .number { font-size: 10.5px; font-weight: 450 }
.fl-label.loop text, .fl-state .with-icon { text-anchor: start }
.fl-label.done text { fill: var(--accent) }
.fl-state > rect { fill: var(--surface); stroke: var(--fl-box); stroke-width: 1.5 }
.fl-icon { fill: none; stroke: var(--muted); stroke-width: 1.6; stroke-linecap: round; stroke-linejoin: round }
.fl-state.start > rect { fill: var(--idle-soft); stroke: var(--muted) }
.fl-state.manual > rect { fill: var(--warn-soft); stroke: var(--warn); stroke-dasharray: 5 3 }
.fl-state.manual > .fl-icon { stroke: var(--warn) }
.fl-state.receive > rect { fill: var(--fl-receive-soft); stroke: var(--fl-receive); stroke-dasharray: 2 3 }
.fl-state.receive > .fl-icon { stroke: var(--fl-receive) }
.fl-state.end > rect { fill: var(--ok-soft); stroke: var(--ok) }
.fl-state.end > .fl-icon { stroke: var(--ok) }
.fl-state.error > rect { fill: var(--err-soft); stroke: var(--err) }
.fl-state.error > .fl-icon { stroke: var(--err) }
.fl-state.visited > rect { stroke: var(--accent); stroke-width: 2 }
.fl-state.normal.visited > rect, .fl-state.start.visited > rect { fill: var(--fl-visited) }
.fl-state.start.visited:not(.current) > .fl-icon { stroke: var(--accent) }
.fl-state.current > rect { fill: var(--fl-now); stroke: var(--fl-now); filter: drop-shadow(0 0 6px var(--fl-now)) }
.fl-state.normal.current > rect, .fl-state.start.current > rect { fill: var(--fl-now) }
.fl-state.current > text { fill: var(--on-accent) }
.fl-state.current > .fl-icon { stroke: var(--on-accent) }
.fl-state.current { --fl-now: var(--accent) }
.fl-state.is-finished { --fl-now: var(--ok) }
.fl-state.is-failed { --fl-now: var(--err) }
.fl-state.is-cancelled, .fl-state.is-paused { --fl-now: var(--muted) }
.fl-badge rect { fill: var(--text) }
.fl-badge text { fill: var(--surface); font-size: 11px; font-weight: 600 }
.fl-badge.failed-here rect { fill: var(--err) }
.fl-badge.failed-here text { fill: var(--surface) }
.fl-badge.edge rect { fill: var(--surface); stroke: var(--accent); stroke-width: 1.25 }
.fl-badge.edge text { fill: var(--accent); font-size: 10.5px }
.fl-diagram a:hover .fl-state > rect, .fl-diagram a:focus-visible .fl-state > rect { stroke: var(--accent) }
.fl-diagram, .fl-key { --fl-line: light-dark(#8791a8, #66728e); --fl-box: light-dark(#aeb8cb, #4b5773);
  --fl-visited: light-dark(#f7f7ff, #191c36); --fl-receive: light-dark(#1c5fae, #7db8ff);
  --fl-receive-soft: light-dark(#e1eefc, #10294a) }
@media (prefers-reduced-motion: no-preference) {
  .fl-state.is-executing > rect { animation: fl-pulse 2s ease-in-out infinite }
  @keyframes fl-pulse { 50% { filter: drop-shadow(0 0 11px var(--fl-now)) } }
}
"""
_CHANGE_RULES = """\
.fl-state.added > rect { stroke: var(--ok); stroke-width: 2.5 }
.fl-state.removed > rect { fill: var(--surface); stroke: var(--err); stroke-width: 2; stroke-dasharray: 2 4 }
.fl-state.removed > text { fill: var(--muted); text-decoration: line-through }
.fl-state.changed > rect { stroke: var(--accent); stroke-width: 2.5 }
.fl-edge.added { stroke: var(--ok); stroke-width: 2.25 }
.fl-arrow.added { fill: var(--ok) }
.fl-edge.removed { stroke: var(--err); stroke-dasharray: 2 4; stroke-width: 2 }
.fl-arrow.removed { fill: var(--err) }
"""
STYLESHEET = f"{_RULES}{_CHANGE_RULES}"
"""The rules for diagrams embedded in a page. The page sets the variables --surface, --text, --muted, --accent,
--on-accent, --idle-soft, and --ok, --warn, --err each with its -soft."""

_LIGHT = """--surface: #ffffff; --text: #131a2b; --muted: #5a6478; --accent: #4f46e5; --on-accent: #ffffff;
  --idle-soft: #eaedf3; --ok: #0a7d55; --ok-soft: #dcf6ea; --warn: #96580a; --warn-soft: #fdf0d5; --err: #c02636;
  --err-soft: #fde5e7; --fl-line: #8791a8; --fl-box: #aeb8cb; --fl-visited: #f7f7ff; --fl-receive: #1c5fae;
  --fl-receive-soft: #e1eefc"""
_DARK = """--surface: #141925; --text: #e8ecf6; --muted: #97a3ba; --accent: #8b8cff; --on-accent: #0c0f17;
  --idle-soft: #232a3a; --ok: #3ed9a0; --ok-soft: #0f3329; --warn: #fbbf4b; --warn-soft: #3a2a0c; --err: #ff8089;
  --err-soft: #42161c; --fl-line: #66728e; --fl-box: #4b5773; --fl-visited: #191c36; --fl-receive: #7db8ff;
  --fl-receive-soft: #10294a"""
STANDALONE_STYLESHEET = f"""{_RULES}.fl-diagram {{ {_LIGHT} }}
@media (prefers-color-scheme: dark) {{ .fl-diagram {{ {_DARK} }} }}
"""
"""The rules for a standalone file, which never shows changes. It follows the reader's light or dark setting."""
