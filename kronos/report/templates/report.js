'use strict';
const {charts, texts} = JSON.parse(document.getElementById('charts').textContent);
const root = document.documentElement;
const language = () => root.lang.startsWith('zh') ? 'zh' : 'en';
const coarse = matchMedia('(pointer: coarse)').matches;
const config = {displayModeBar: false, displaylogo: false, responsive: true, showTips: false};
const hidden = {};

// A text in a chart is a mark, \ue000 number \ue001, for its text in either language.
function inLanguage(value) {
  if (typeof value === 'string') return value.replace(/\ue000(\d+)\ue001/g, (_, number) => texts[language()][number]);
  if (Array.isArray(value)) return value.map(inLanguage);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, inLanguage(each)]));
}

function draw(plot) {
  const chart = charts[plot.id];
  const {data, layout} = inLanguage(chart);
  const unseen = hidden[plot.dataset.chart] || new Set();
  data.forEach((trace, n) => { if (unseen.has(chart.data[n].meta)) trace.visible = false; });
  if (coarse) layout.dragmode = false;  // a finger on a chart scrolls the page
  layout.uirevision = 'kept';  // zooms outlast a change of the language
  if (layout.xaxis.type === 'category') layout.xaxis.nticks = countTimes(plot);
  Plotly.react(plot, data, layout, config);
}

const countTimes = plot => Math.max(2, Math.floor(plot.clientWidth / 110));
const plots = () => [...document.querySelectorAll('.plot')];

function speak(tag) {
  root.lang = tag;
  for (const button of document.querySelectorAll('.switch button'))
    button.setAttribute('aria-pressed', button.lang === tag);
  plots().filter(isShown).forEach(draw);
}

// Charts in closed details have no size; they are drawn when their details open.
const isShown = plot => !plot.closest('details:not([open])');

function toggle(button) {
  const unseen = hidden[button.dataset.chart] ||= new Set();
  const key = button.dataset.key;
  if (!unseen.delete(key)) unseen.add(key);
  button.setAttribute('aria-pressed', !unseen.has(key));
  plots().filter(plot => plot.dataset.chart === button.dataset.chart && isShown(plot)).forEach(draw);
}

for (const button of document.querySelectorAll('.switch button'))
  button.addEventListener('click', () => speak(button.lang));
for (const button of document.querySelectorAll('.legend button'))
  button.addEventListener('click', () => toggle(button));
for (const each of document.querySelectorAll('details'))
  each.addEventListener('toggle', () => plots().filter(plot => each.contains(plot) && isShown(plot)).forEach(draw));
addEventListener('resize', () => {
  for (const plot of plots().filter(plot => plot.layout))
    if (plot.layout.xaxis.type === 'category') Plotly.relayout(plot, {'xaxis.nticks': countTimes(plot)});
});
const closed = new Set();  // details that are open on paper only
addEventListener('beforeprint', () => {
  for (const each of document.querySelectorAll('details:not([open])')) closed.add(each), each.open = true;
  plots().forEach(plot => plot.layout ? Plotly.Plots.resize(plot) : draw(plot));
});
addEventListener('afterprint', () => {
  for (const each of closed) each.open = false;
  closed.clear();
  plots().filter(isShown).forEach(plot => Plotly.Plots.resize(plot));
});
speak(root.lang);
