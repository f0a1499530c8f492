"""How the report's page looks: on a wide screen, on a phone and on paper."""

STYLE = """
:root {
  --ink: #1f2937; --soft: #4b5563; --faint: #6b7280; --line: #e5e7eb; --wash: #f6f7f9; --run: #0072b2;
  --good: #00684a; --good-wash: #e0f3ec; --bad: #a33a00; --bad-wash: #fdeade; --same-wash: #eceff3;
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0; background: white; color: var(--ink); line-height: 1.55; font-size: 16px;
  font-family: system-ui, -apple-system, "Segoe UI", "PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC", sans-serif;
}
html[lang="en"] [lang="zh-CN"]:not(button), html[lang="zh-CN"] [lang="en"]:not(button) { display: none; }
header, main, footer { max-width: 1100px; margin: 0 auto; padding: 0 24px; }
header { padding-top: 20px; }
.top { display: flex; justify-content: space-between; align-items: center; gap: 16px; color: var(--faint); }
.top p { margin: 0; overflow-wrap: anywhere; }
.top strong { color: var(--ink); font-weight: 600; }
.switch { display: flex; flex: none; border: 1px solid var(--line); border-radius: 8px; overflow: hidden; }
.switch button {
  border: 0; background: white; color: var(--soft); font: inherit; font-size: 14px; padding: 5px 14px; cursor: pointer;
}
.switch button[aria-pressed="true"] { background: var(--ink); color: white; }
button:focus-visible, summary:focus-visible, .scroll:focus-visible { outline: 2px solid var(--run); outline-offset: 2px; }
h1 { margin: 32px 0 24px; max-width: 38em; font-size: clamp(1.25rem, 1rem + 1vw, 1.65rem); line-height: 1.35;
  font-weight: 650; letter-spacing: -0.01em; overflow-wrap: anywhere; }
h2 { margin: 64px 0 6px; font-size: 1.35rem; line-height: 1.3; font-weight: 650; }
h3 { margin: 28px 0 6px; font-size: 1rem; font-weight: 600; overflow-wrap: anywhere; }
h3 .figure { color: var(--faint); font-weight: 400; margin-left: 0.6em; white-space: nowrap; }
.how { margin: 0 0 16px; max-width: 48em; color: var(--soft); font-size: 0.94rem; }
.none { color: var(--faint); }
.facts { display: grid; grid-template-columns: repeat(auto-fill, minmax(225px, 1fr)); gap: 12px 28px; margin: 0;
  padding: 16px 0; border-top: 1px solid var(--line); border-bottom: 1px solid var(--line); font-size: 0.9rem; }
.facts dt, .environment dt { color: var(--faint); font-size: 0.82rem; }
.facts dd, .environment dd { margin: 0; overflow-wrap: anywhere; }
.environment { display: grid; grid-template-columns: repeat(auto-fill, minmax(225px, 1fr)); gap: 10px 28px; margin: 0; }
.scroll { overflow-x: auto; -webkit-overflow-scrolling: touch; }
table { border-collapse: collapse; width: 100%; font-size: 0.92rem; font-variant-numeric: tabular-nums; }
th, td { padding: 8px 12px; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { padding-left: 0; }
thead th { color: var(--faint); font-size: 0.82rem; font-weight: 600; vertical-align: bottom; }
tbody th { font-weight: 500; }
tbody th.group { padding-top: 22px; color: var(--soft); font-weight: 650; }
.numbers th:not(:first-child), .numbers td { text-align: right; white-space: nowrap; }
.numbers thead th:not(:first-child) { white-space: normal; }
.numbers tbody th { min-width: 8.5em; }
.numbers .run { color: var(--run); }
.numbers tbody .run { background: #f0f7fb; }
.panels + .scroll { margin-top: 20px; }
.handling { margin-top: 16px; }
.numbers .best { font-weight: 700; }
.baselines td, .baselines th { padding-top: 12px; padding-bottom: 12px; }
.baselines .skill { white-space: nowrap; min-width: 190px; }
.baselines .skill strong { font-size: 1.02rem; }
.baselines .p { white-space: nowrap; }
.interval { color: var(--soft); font-size: 0.86rem; }
.small { display: block; color: var(--faint); font-size: 0.82rem; }
.bar { display: block; width: 100%; max-width: 230px; height: 14px; margin-top: 5px; }
.chip { display: inline-block; padding: 2px 11px; border-radius: 99px; font-size: 0.82rem; font-weight: 650; white-space: nowrap;
  background: var(--same-wash); color: #374151; }
.chip.good { background: var(--good-wash); color: var(--good); }
.chip.bad { background: var(--bad-wash); color: var(--bad); }
.chip.unknown { background: white; color: var(--soft); box-shadow: inset 0 0 0 1px #b6bcc6; }
.label { display: none; }
.panels { display: grid; grid-template-columns: repeat(var(--columns), minmax(0, 1fr)); gap: 22px 28px; margin-top: 10px; }
.panels h4 { margin: 0; font-size: 0.92rem; font-weight: 600; overflow-wrap: anywhere; }
.plot { height: 290px; touch-action: pan-y pinch-zoom; }
.many .plot { height: 225px; }
.example .plot { height: 460px; }
figure { margin: 0; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 18px; margin: 0 0 4px; padding: 0; list-style: none; font-size: 0.88rem; }
.legend li, .legend button { display: inline-flex; align-items: center; gap: 7px; min-width: 0; }
.legend button { border: 0; padding: 3px 0; background: none; color: inherit; font: inherit; text-align: left; cursor: pointer; }
.legend button[aria-pressed="false"] { opacity: 0.4; text-decoration: line-through; }
.legend i { flex: none; width: 24px; height: 0; border-top: 2px solid var(--c); }
.legend i.strong { border-top-width: 4px; }
.legend i.dashed { border-top-style: dashed; }
.legend i.dotted { border-top-style: dotted; border-top-width: 3px; }
.legend i.area, .legend i.bars { width: 18px; height: 12px; border: 0; background: var(--c); }
.legend i.hollow, .legend i.filled { width: 9px; height: 14px; border: 1.5px solid var(--c); }
.legend i.filled { background: var(--c); }
.legend i.star { width: auto; height: auto; border: 0; color: var(--c); font-style: normal; font-size: 17px; line-height: 1; }
.legend i.star::before { content: "★"; }
pre { margin: 0; padding: 12px 16px; overflow-x: auto; background: var(--wash); border-radius: 8px; font-size: 0.85rem;
  line-height: 1.5; }
details { margin: 16px 0; }
summary { cursor: pointer; color: var(--soft); font-weight: 600; }
details > :not(summary) { margin-top: 12px; }
.meanings { display: grid; grid-template-columns: minmax(9em, max-content) 1fr; gap: 8px 24px; font-size: 0.9rem; margin: 0; }
.meanings dt { font-weight: 600; }
.meanings dd { margin: 0; color: var(--soft); }
.notes { padding-left: 1.2em; margin: 8px 0; }
footer { margin-top: 64px; margin-bottom: 48px; color: var(--soft); font-size: 0.9rem; }
footer p { margin: 0; padding-top: 16px; border-top: 1px solid var(--line); }
footer p + p { padding-top: 6px; border: 0; color: var(--faint); }
@media (max-width: 900px) { .panels { grid-template-columns: repeat(min(var(--columns), 2), minmax(0, 1fr)); } }
@media (max-width: 640px) {
  header, main, footer { padding-left: 16px; padding-right: 16px; }
  h1 { margin-top: 26px; }
  h2 { margin-top: 48px; }
  .facts, .environment { grid-template-columns: 1fr 1fr; gap: 10px 16px; }
  .panels { grid-template-columns: minmax(0, 1fr); }
  .plot { height: 250px; }
  .example .plot { height: 400px; }
  .legend button { padding: 6px 0; }
  .baselines thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  .baselines, .baselines tbody { display: block; }
  .baselines tr { display: flex; flex-wrap: wrap; align-items: center; gap: 6px 12px; padding: 14px 0;
    border-bottom: 1px solid var(--line); }
  .baselines th, .baselines td { display: block; padding: 0; border: 0; }
  .baselines tbody th { font-weight: 650; }
  .baselines .skill, .baselines .sentence { width: 100%; }
  .baselines .skill { white-space: normal; }
  .baselines .label { display: inline; color: var(--faint); font-size: 0.82rem; }
  .sticky th:first-child { position: sticky; left: 0; background: white; min-width: 120px; max-width: 150px;
    box-shadow: 1px 0 0 var(--line); padding-right: 8px; }
  .sticky tbody th.group { max-width: none; box-shadow: none; position: static; }
  .words th, .words td { white-space: nowrap; }
  .words td:nth-child(2) { white-space: normal; min-width: 13em; overflow-wrap: anywhere; }
  .meanings { grid-template-columns: 1fr; gap: 2px; }
  .meanings dd { margin-bottom: 10px; }
}
@media (pointer: coarse) { .handling { display: none; } }
@media print {
  @page { margin: 14mm; }
  html { font-size: 11px; }
  body { font-size: 1rem; }
  th, td { padding: 4px 6px; }
  .baselines .skill { min-width: 130px; }
  .numbers tbody th { min-width: 6.5em; }
  .plot { height: 230px; }
  .switch, .handling { display: none; }
  h2 { margin-top: 28px; }
  h2, h3, h4, .how { break-after: avoid; }
  .panels > div, .example, tr { break-inside: avoid; }
  .scroll { overflow: visible; }
  pre { white-space: pre-wrap; overflow-wrap: anywhere; }
  .chip, .legend i, .numbers tbody .run, pre { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""
