"""What the report's page does: it draws its charts, speaks two languages and hides curves."""

SCRIPT = """
'use strict';
const charts = JSON.parse(document.getElementById('charts').textContent);
const root = document.documentElement;
const language = () => root.lang.startsWith('zh') ? 'zh' : 'en';
const coarse = matchMedia('(pointer: coarse)').matches;
const config = {displayModeBar: false, displaylogo: false, responsive: true, showTips: false};
const hidden = {};

// What differs between the languages is {en: …, zh: …}.
function inLanguage(value) {
  if (Array.isArray(value)) return value.map(inLanguage);
  if (value === null || typeof value !== 'object') return value;
  if ('zh' in value) return inLanguage(value[language()]);
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, inLanguage(each)]));
}

function draw(plot) {
  const {data, layout} = inLanguage(charts[plot.id]);
  const unseen = hidden[plot.dataset.chart] || new Set();
  for (const trace of data) if (unseen.has(trace.meta)) trace.visible = false;
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
  plots().forEach(draw);
}

function toggle(button) {
  const unseen = hidden[button.dataset.chart] ||= new Set();
  const key = button.dataset.key;
  if (!unseen.delete(key)) unseen.add(key);
  button.setAttribute('aria-pressed', !unseen.has(key));
  plots().filter(plot => plot.dataset.chart === button.dataset.chart).forEach(draw);
}

for (const button of document.querySelectorAll('.switch button'))
  button.addEventListener('click', () => speak(button.lang));
for (const button of document.querySelectorAll('.legend button'))
  button.addEventListener('click', () => toggle(button));
addEventListener('resize', () => {
  for (const plot of plots())
    if (plot.layout.xaxis.type === 'category') Plotly.relayout(plot, {'xaxis.nticks': countTimes(plot)});
});
for (const event of ['beforeprint', 'afterprint'])
  addEventListener(event, () => plots().forEach(plot => Plotly.Plots.resize(plot)));
speak(root.lang);
"""
