"""The report's page as a Jinja template: `both` writes a text in English and Chinese, of which the page shows one."""

# The policy lets the browser load nothing: what the page shows is in it.
TEMPLATE = """\
{%- macro baselines_table(rows, with_metric) %}
<table class="baselines" role="table">
<thead role="rowgroup"><tr role="row">
<th scope="col" role="columnheader">{{ t.baseline | both }}</th>
{% if with_metric %}<th scope="col" role="columnheader">{{ t.metric | both }}</th>{% endif %}
<th scope="col" role="columnheader">{{ t.verdict | both }}</th>
<th scope="col" role="columnheader">{{ t.skill | both }}</th>
<th scope="col" role="columnheader">{{ t.p | both }}</th>
<th scope="col" role="columnheader">{{ t.in_words | both }}</th>
</tr></thead>
<tbody role="rowgroup">
{% for row in rows %}
<tr role="row">
<th scope="row" role="rowheader">{{ row.baseline | both }}</th>
{% if with_metric %}<td role="cell">{{ row.metric | both }}</td>{% endif %}
<td role="cell"><span class="chip {{ row.css }}">{{ row.verdict | both }}</span></td>
<td role="cell" class="skill"><span class="label">{{ t.skill | both }} </span><strong>{{ row.skill | both }}</strong>
<span class="interval">{{ row.interval | both }}</span>
{% if row.bar %}<svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">
<line x1="0" x2="100" y1="5" y2="5" stroke="#e5e7eb" stroke-width="1" vector-effect="non-scaling-stroke"/>
<line x1="{{ row.bar.zero }}" x2="{{ row.bar.zero }}" y1="0" y2="10" stroke="#6b7280" stroke-width="1.3"
 vector-effect="non-scaling-stroke"/>
<line x1="{{ row.bar.low }}" x2="{{ row.bar.high }}" y1="5" y2="5" stroke="#0072b2" stroke-opacity="0.45" stroke-width="7"
 vector-effect="non-scaling-stroke"/>
<line x1="{{ row.bar.middle }}" x2="{{ row.bar.middle }}" y1="1" y2="9" stroke="#0072b2" stroke-width="3"
 vector-effect="non-scaling-stroke"/></svg>{% endif %}</td>
<td role="cell" class="p"><span class="label">{{ t.p | both }} </span>{{ row.p }}</td>
<td role="cell" class="sentence">{{ row.sentence | both }}</td>
</tr>
{% endfor %}
</tbody></table>
{%- endmacro %}
{%- macro numbers_table(corner, heads, groups, run_column, sticky) %}
<div class="scroll" tabindex="0"><table class="numbers{{ ' sticky' if sticky }}">
<thead><tr><th scope="col">{{ corner | both }}</th>
{% for head in heads %}<th scope="col"{% if run_column and loop.first %} class="run"{% endif %}>{{ head | both }}</th>
{% endfor %}</tr></thead>
{% for group in groups %}<tbody>
{% if group.head.en %}<tr><th class="group" scope="rowgroup" colspan="{{ heads | length + 1 }}">{{ group.head | both }}</th></tr>
{% endif %}
{% for row in group.rows %}<tr><th scope="row">{{ row.head | both }}</th>
{% for cell in row.cells %}<td class="{{ 'run' if run_column and loop.first }}{{ ' best' if cell.best }}">\
{{ cell.text | both }}</td>{% endfor %}</tr>
{% endfor %}</tbody>{% endfor %}
</table></div>
{%- endmacro %}
{%- macro words_table(heads, rows) %}
<div class="scroll" tabindex="0"><table class="words">
<thead><tr>{% for head in heads %}<th scope="col">{{ head | both }}</th>{% endfor %}</tr></thead>
<tbody>{% for row in rows %}<tr><th scope="row">{{ row.head | both }}</th>
{% for cell in row.cells %}<td>{{ cell.text | both }}</td>{% endfor %}</tr>
{% endfor %}</tbody></table></div>
{%- endmacro %}
{%- macro legend(items, chart) %}
<ul class="legend">{% for item in items %}<li>{% if item.key %}\
<button type="button" aria-pressed="true" data-chart="{{ chart }}" data-key="{{ item.key }}">\
<i class="{{ item.look }}" style="--c: {{ item.colour }}"></i>{{ item.label | both }}</button>
{% else %}<i class="{{ item.look }}" style="--c: {{ item.colour }}"></i>{{ item.label | both }}{% endif %}</li>
{% endfor %}</ul>
{%- endmacro %}
{%- macro draw(name) %}
{% set chart = charts[name] %}
{% if chart %}
<p class="how" id="{{ name }}-how">{{ chart.caption | both }}</p>
{% if chart.legend %}{{ legend(chart.legend, name) }}{% endif %}
<div class="panels{{ ' many' if chart.columns > 2 }}" style="--columns: {{ chart.columns }}">
{% for panel in chart.panels %}<div>
{% if chart.panels | length > 1 %}<h4 id="{{ panel.id }}-title">{{ panel.title | both }}</h4>{% endif %}
<div class="plot" id="{{ panel.id }}" data-chart="{{ name }}" role="img" aria-labelledby="{{ name }}-title\
{{ ' ' ~ panel.id ~ '-title' if chart.panels | length > 1 }}" aria-describedby="{{ name }}-how"></div>
{% if panel.legend %}{{ legend(panel.legend, name) }}{% endif %}
</div>{% endfor %}
</div>
{% else %}<p class="none">{{ t.no_figures | both }}</p>{% endif %}
{%- endmacro %}
{%- macro section(name) %}
<h2 id="{{ name }}-title">{{ t[name] | both }}</h2>
{%- endmacro -%}
<!DOCTYPE html>
<html lang="{{ tag }}">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ evaluation.run }} · Kronos</title>
<style>{{ style }}</style>
</head>
<body>
<header>
<div class="top"><p><strong>{{ evaluation.run }}</strong> · {{ t.page | both }}</p>
<div class="switch" role="group" aria-label="Language / 语言">
<button type="button" lang="en" aria-pressed="{{ 'true' if tag == 'en' else 'false' }}">EN</button>\
<button type="button" lang="zh-CN" aria-pressed="{{ 'false' if tag == 'en' else 'true' }}">中文</button>
</div></div>
<h1>{{ evaluation.headline | both }}</h1>
<dl class="facts">{% for name, value in facts %}<div><dt>{{ name | both }}</dt><dd>{{ value | both }}</dd></div>
{% endfor %}</dl>
{% if evaluation.notes %}<ul class="notes">{% for note in evaluation.notes %}<li>{{ note | both }}</li>{% endfor %}</ul>{% endif %}
<noscript><p>{{ t.no_script | both }}</p></noscript>
</header>
<main>
<section>{{ section('baselines') }}
{% if baselines %}<p class="how">{{ baselines_how | both }}</p>{{ baselines_table(baselines, false) }}
{% else %}<p class="none">{{ t.no_baselines | both }}</p>{% endif %}
{% if other_baselines %}<details><summary>{{ t.other_metrics | both }}</summary>{{ baselines_table(other_baselines, true) }}</details>
{% endif %}
{% if evaluation.left_out %}<h3>{{ t.left_out | both }}</h3>
<ul class="notes">{% for each in evaluation.left_out %}<li><strong>{{ each.baseline }}</strong>: {{ each.reason | both }}</li>
{% endfor %}</ul>{% endif %}
</section>
<section>{{ section('metrics') }}
<p class="how">{{ t.metrics_how | both }}</p>
{{ numbers_table(t.metric, forecasters, metrics, true, true) }}
{% if meanings %}<details><summary>{{ t.meanings | both }}</summary><dl class="meanings">
{% for label, meaning in meanings %}<dt>{{ label | both }}</dt><dd>{{ meaning | both }}</dd>{% endfor %}</dl></details>{% endif %}
<p class="how handling">{{ t.handling | both }}</p>
</section>
<section>{{ section('learning_curves') }}{{ draw('learning_curves') }}</section>
<section>{{ section('error_by_horizon') }}{{ draw('error_by_horizon') }}</section>
<section>{{ section('skill_by_horizon') }}{{ draw('skill_by_horizon') }}</section>
<section>{{ section('coverage') }}{{ draw('coverage') }}</section>
<section>{{ section('pit') }}{{ draw('pit') }}</section>
{% if calibration %}<section>{{ section('calibration') }}{{ draw('calibration') }}
{{ numbers_table(t.level, [t.coverage_before, t.coverage_after, t.width_before, t.width_after], calibration, false, true) }}
</section>{% endif %}
{% if health %}<section>{{ section('tokenizer') }}<p class="how">{{ tokenizer_how | both }}</p>
{{ numbers_table(t.metric, [t.tokenizer_before, t.tokenizer_after], health, false, true) }}</section>{% endif %}
{% if examples %}<section>{{ section('examples') }}<p class="how" id="examples-how">{{ examples_how | both }}</p>
{{ legend(example_legend, '') }}
{% for example in examples %}<div class="example"><h3 id="{{ example.id }}-title">{{ example.title | both }}\
<span class="figure">{{ example.figure | both }}</span></h3>
<div class="plot" id="{{ example.id }}" data-chart="{{ example.id }}" role="img" aria-labelledby="{{ example.id }}-title"\
 aria-describedby="examples-how"></div></div>{% endfor %}
</section>{% endif %}
<section>{{ section('data') }}
{% if audit %}<p class="how">{{ audit.summary | both }}</p>
{% set heads = [t.symbol, t.source, t.n_rows, t.first, t.last, t.interval] %}
{% if audit.has_few_series %}{{ words_table(heads, audit.series) }}
{% else %}<details><summary>{{ all_series | both }}</summary>{{ words_table(heads, audit.series) }}\
{% if audit.more %}<p class="none">{{ audit.more | both }}</p>{% endif %}</details>{% endif %}
<h3>{{ t.findings | both }}</h3>
{% if audit.findings %}{{ words_table([t.severity, t.finding, t.count, t.in_series, t.first_at], audit.findings) }}
{% else %}<p>{{ t.no_findings | both }}</p>{% endif %}
{% else %}<p class="none">{{ t.missing | both }}</p>{% endif %}
</section>
<section>{{ section('reproduce') }}
<h3>{{ t.command | both }}</h3><pre tabindex="0"><code>{{ evaluation.command }}</code></pre>
<details><summary>{{ t.config | both }}</summary><pre tabindex="0"><code>{{ config }}</code></pre></details>
<h3>{{ t.environment | both }}</h3>
<dl class="environment">{% for name, value in evaluation.environment.items() %}<div><dt>{{ name }}</dt><dd>{{ value }}</dd></div>
{% endfor %}</dl>
</section>
</main>
<footer><p>{{ t.no_promise | both }}</p><p>{{ made_by | both }}</p></footer>
<script type="application/json" id="charts">{{ figures }}</script>
<script>{{ plotly }}</script>
<script>{{ script }}</script>
</body>
</html>
"""
