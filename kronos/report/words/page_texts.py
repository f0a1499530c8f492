"""Every text of the report's page that is the same for all runs, in English and Chinese."""

from kronos.evaluation.results import Texts
from kronos.evaluation.verdict_words import fill

TEXTS: dict[str, Texts] = {
    "seconds": {"en": "Seconds to forecast", "zh": "预测耗时（秒）"},
    "page": {"en": "Evaluation of a fine-tuned Kronos", "zh": "Kronos 微调评估报告"},
    "no_script": {
        "en": "The charts need JavaScript. Without it, see the PNG files beside this page.",
        "zh": "图表需要启用 JavaScript；未启用时，请查看与本页同一文件夹中的 PNG 图片。",
    },
    "handling": {
        "en": "Charts: drag to zoom in, double-click to zoom out, click a name to hide it.",
        "zh": "图表操作：拖动放大，双击还原，点击图例可隐藏对应曲线。",
    },
    "missing": {"en": "Not recorded in this run's folder.", "zh": "该运行的文件夹中没有这部分记录。"},
    "no_figures": {"en": "There are no figures to draw.", "zh": "没有可绘制的数据。"},
    # the facts below the headline
    "measured_on": {"en": "Measured on", "zh": "评估数据"},
    "symbols": {"en": "Symbols · interval", "zh": "标的数 · 周期"},
    "origins": {"en": "Forecast origins", "zh": "预测起点数"},
    "origin_dates": {"en": "From – to", "zh": "起止时间"},
    "task": {"en": "Known → forecast", "zh": "回看 → 预测"},
    "n_candles": {"en": "{n} candles", "zh": "{n} 根 K 线"},
    "sampling": {"en": "Sampled paths", "zh": "采样路径数"},
    "sampled": {"en": "{n} (temperature {t}, top-p {p}, seed {s})", "zh": "{n}（温度 {t}，top-p {p}，种子 {s}）"},
    "every": {"en": "{n}, every {stride} candles", "zh": "{n}，每隔 {stride} 根 K 线一个"},
    "verdict_by": {"en": "Verdict by", "zh": "判定指标"},
    "verdict_rule": {
        "en": "{metric} of log returns, {confidence} confidence, {margin} margin",
        "zh": "对数收益率的{metric}，置信度 {confidence}，忽略 {margin} 以内的差异",
    },
    # baselines
    "baselines": {"en": "Against the baselines", "zh": "与各基准的对比"},
    "baselines_how": {
        "en": "Skill is the share by which the run's error is smaller than the baseline's (of direction: the difference of the hit "
        "rates); above 0 the run is better. In brackets its {confidence} block-bootstrap interval; p is of the two-sided "
        "Diebold–Mariano test.",
        "zh": "技能分数（skill）表示本次运行的误差比该基准小多少（方向准确率则为两者之差），大于 0 即本次运行更好；方括号内是 "
        "{confidence} 的分块自助法置信区间，p 为双侧 Diebold–Mariano 检验的 p 值。",
    },
    "baseline": {"en": "Baseline", "zh": "基准"},
    "verdict": {"en": "Verdict", "zh": "结论"},
    "skill": {"en": "Skill", "zh": "技能分数"},
    "p": {"en": "p", "zh": "p 值"},
    "in_words": {"en": "In words", "zh": "说明"},
    "points": {"en": "{n} points", "zh": "{n} 个百分点"},
    "other_metrics": {"en": "The same by other metrics", "zh": "按其他指标的对比"},
    "left_out": {"en": "Asked for, but left out", "zh": "已指定但未能参与对比"},
    "no_baselines": {"en": "There was no baseline to compare with.", "zh": "没有可对比的基准。"},
    # metrics
    "metrics": {"en": "All metrics", "zh": "全部指标"},
    "metrics_how": {
        "en": "Means over all origins and the whole horizon; the best of each row is bold. Differences may be chance: the "
        "verdict above says which are not. bp: basis points, 0.01 %.",
        "zh": "对全部起点和整个预测区间取平均，每行最优值加粗。差异可能只是偶然，哪些差异可信以上面的结论为准。bp：基点，即 0.01%。",
    },
    "meanings": {"en": "What the metrics say", "zh": "各指标的含义"},
    "metric": {"en": "Metric", "zh": "指标"},
    "log_returns": {"en": "Log returns since the last known close", "zh": "对数收益率（相对最后一个已知收盘价）"},
    "prices": {"en": "Closes, in the candles' units", "zh": "收盘价（K 线原始单位）"},
    # learning curves
    "learning": {"en": "Learning curves", "zh": "学习曲线"},
    "learning_how": {
        "en": "The loss on the train split (a mean over the logged steps) and on the validation split. The star is the model that "
        "was kept.",
        "zh": "训练集损失（按记录步数取平均）与验证集损失；星号为最终保留的模型。",
    },
    "train_loss": {"en": "Train loss", "zh": "训练损失"},
    "val_loss": {"en": "Validation loss", "zh": "验证损失"},
    "kept_model": {"en": "Model kept", "zh": "保留的模型"},
    "step": {"en": "Optimizer step", "zh": "优化步数"},
    "loss": {"en": "Loss", "zh": "损失"},
    # by horizon
    "error": {"en": "Error by horizon", "zh": "各预测步的误差"},
    "error_how": {
        "en": "Of log returns since the last known close, in basis points; lower is better.",
        "zh": "对数收益率（相对最后一个已知收盘价）的误差，单位为基点，越低越好。",
    },
    "ahead": {"en": "Candles ahead", "zh": "预测步（第几根 K 线）"},
    "basis_points": {"en": "Basis points", "zh": "基点"},
    "skill_by_horizon": {"en": "Skill by horizon", "zh": "各预测步的技能分数"},
    "skill_by_horizon_how": {
        "en": "By {metric}, against each baseline, with the {confidence} interval of each time on its own. Where the band holds 0, "
        "there is no telling.",
        "zh": "以{metric}衡量，逐个基准对比；阴影为各预测步单独计算的 {confidence} 置信区间，包含 0 即无法判断优劣。",
    },
    "skill_unit": {"en": "Skill (%)", "zh": "技能分数（%）"},
    "skill_points": {"en": "Skill (percentage points)", "zh": "技能分数（百分点）"},
    "against": {"en": "Against: {baseline}", "zh": "对比：{baseline}"},
    "run_skill": {"en": "Skill of the run", "zh": "本次运行的技能分数"},
    # calibration
    "coverage": {"en": "How honest the bands are", "zh": "预测区间是否可信"},
    "coverage_how": {
        "en": "A band that says 80 % should hold 80 % of the truths. Below the diagonal the forecast is too sure of itself.",
        "zh": "标称 80% 的区间应当包含 80% 的真实值；低于对角线说明预测过于自信。",
    },
    "overall": {"en": "Whole horizon", "zh": "整个预测区间"},
    "by_horizon": {"en": "The run, by horizon", "zh": "本次运行，按预测步"},
    "nominal": {"en": "Nominal coverage (%)", "zh": "标称覆盖率（%）"},
    "actual": {"en": "Actual coverage (%)", "zh": "实际覆盖率（%）"},
    "as_stated": {"en": "As stated", "zh": "与标称一致"},
    "band": {"en": "{level} % band", "zh": "{level}% 区间"},
    "pit": {"en": "Where the truths fell (PIT)", "zh": "真实值落在预测分布的何处（PIT）"},
    "pit_how": {
        "en": "The share of truths in each twentieth of the forecast distribution; even bars at the dashed line are right. "
        "High ends: bands too narrow. A hump: too wide. A slope: forecasts too high or too low.",
        "zh": "真实值落入预测分布每个二十分位的比例，与虚线齐平为理想。两端偏高：区间过窄；中间隆起：区间过宽；单边倾斜：预测整体偏高或偏低。",
    },
    "pit_x": {"en": "Forecast quantile (%)", "zh": "预测分位（%）"},
    "pit_y": {"en": "Share of truths (%)", "zh": "真实值占比（%）"},
    "calibration": {"en": "Calibration of the bands", "zh": "区间校准"},
    "calibration_how": {
        "en": "The bands as sampled, and as widened by split-conformal prediction on {n} origins of the validation split.",
        "zh": "采样得到的原始区间，以及用验证集 {n} 个起点作分割共形预测（split conformal）校准后的区间。",
    },
    "level": {"en": "Band", "zh": "区间"},
    "coverage_before": {"en": "Coverage before", "zh": "校准前覆盖率"},
    "coverage_after": {"en": "Coverage after", "zh": "校准后覆盖率"},
    "width_before": {"en": "Width before (bp)", "zh": "校准前宽度（bp）"},
    "width_after": {"en": "Width after (bp)", "zh": "校准后宽度（bp）"},
    "before": {"en": "Before", "zh": "校准前"},
    "after": {"en": "After", "zh": "校准后"},
    # tokenizer
    "tokenizer": {"en": "Tokenizer", "zh": "分词器（tokenizer）"},
    "tokenizer_how": {
        "en": "How well the tokenizer reproduces candles of the validation split, and how many of its codes it uses. The base model "
        "reads the {kept}.",
        "zh": "分词器对验证集 K 线的重建质量与码本使用情况。基座模型使用的是{kept}分词器。",
    },
    "kept_before": {"en": "one from before training", "zh": "训练前的"},
    "kept_after": {"en": "trained one", "zh": "训练后的"},
    "tokenizer_before": {"en": "Before training", "zh": "训练前"},
    "tokenizer_after": {"en": "After training", "zh": "训练后"},
    "n_windows": {"en": "Validation windows", "zh": "验证窗口数"},
    "error_bp": {"en": "Reconstruction error of prices (bp)", "zh": "价格重建误差（bp）"},
    "s1_used": {"en": "Coarse codes in use", "zh": "粗粒度码（s1）使用率"},
    "s2_used": {"en": "Fine codes in use", "zh": "细粒度码（s2）使用率"},
    "s1_perplexity": {"en": "Perplexity of coarse codes", "zh": "粗粒度码（s1）困惑度"},
    "s2_perplexity": {"en": "Perplexity of fine codes", "zh": "细粒度码（s2）困惑度"},
    "clip_rate": {"en": "Inputs clipped", "zh": "输入被截断的比例"},
    # examples
    "examples": {"en": "Example forecasts", "zh": "预测示例"},
    "examples_how": {
        "en": "The best, the median and the worst of {n} forecasts by {metric} of log returns: not the prettiest.",
        "zh": "按对数收益率的{metric}，从 {n} 次预测中取最好、居中和最差的各一次，并非挑选最好看的。",
    },
    "example_title": {"en": "{kind}: {symbol}, from {origin}", "zh": "{kind}：{symbol}，起点 {origin}"},
    "paths_band": {"en": "{share} % of the paths", "zh": "{share}% 的路径"},
    # data
    "data": {"en": "The candles", "zh": "数据检查"},
    "data_sum": {
        "en": "{candles} candles in {series} series, as audited before training. Gaps: {gaps}; trading days without candles: {halts}.",
        "zh": "训练前检查：共 {series} 个序列、{candles} 根 K 线。交易时段内的缺口：{gaps}；没有 K 线的交易日：{halts}。",
    },
    "symbol": {"en": "Symbol", "zh": "标的"},
    "source": {"en": "File", "zh": "文件"},
    "n_rows": {"en": "Candles", "zh": "K 线数"},
    "first": {"en": "First", "zh": "开始"},
    "last": {"en": "Last", "zh": "结束"},
    "interval": {"en": "Interval", "zh": "周期"},
    "all_series": {"en": "All {n} series", "zh": "全部 {n} 个序列"},
    "more_series": {"en": "… and {n} more, see data.json", "zh": "……另有 {n} 个，见 data.json"},
    "findings": {"en": "Findings", "zh": "检查发现"},
    "no_findings": {"en": "Nothing was found to be wrong with them.", "zh": "未发现问题。"},
    "severity": {"en": "Severity", "zh": "级别"},
    "finding": {"en": "What", "zh": "内容"},
    "count": {"en": "Count", "zh": "数量"},
    "in_series": {"en": "Series", "zh": "涉及序列数"},
    "first_at": {"en": "First at", "zh": "首次出现"},
    # the rest
    "reproduce": {"en": "How to get this again", "zh": "复现方法"},
    "command": {"en": "Command", "zh": "命令"},
    "environment": {"en": "Environment", "zh": "运行环境"},
    "config": {"en": "Settings of the run (config.yaml)", "zh": "本次运行的完整配置（config.yaml）"},
    "made_by": {
        "en": "Made by Kronos fine-tuning {version} on {created}.",
        "zh": "由 Kronos 微调工具 {version} 生成于 {created}。",
    },
    "no_promise": {
        "en": "These are statistics of past candles. Nothing here promises a profit: no costs, no slippage and no risk are accounted "
        "for, and what held in the past may not hold tomorrow.",
        "zh": "以上均为历史 K 线上的统计结果，不构成任何盈利承诺：未计入交易成本、滑点和风险，过去成立的规律未来不一定成立。",
    },
}


def text(key: str, **values: object) -> Texts:
    """Return a text in both languages, with values in its places; of values that are texts themselves each its own."""
    result: Texts = {}
    for language, words in TEXTS[key].items():
        own = {name: value[language] if isinstance(value, dict) else value for name, value in values.items()}
        result[language] = fill(words, **own) if own else words
    return result


def same(words: str) -> Texts:
    """Return a name that is the same in both languages."""
    return {"en": words, "zh": words}
