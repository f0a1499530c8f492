"""What `kronos compare` says in each language."""

from kronos.evaluation.results import Texts

WORDS: dict[str, Texts] = {
    "not comparable": {"en": "NOT COMPARABLE", "zh": "不可直接比较"},
    "why": {
        "en": "The runs were not evaluated on the same thing, so no figure is marked as best. What differs:",
        "zh": "各次训练的评估条件不一致，因此不标注最优值。不同之处：",
    },
    "facts": {"en": "what differs", "zh": "评估条件（不同）"},
    "log_return": {"en": "log returns", "zh": "对数收益率"},
    "price": {"en": "prices", "zh": "价格"},
    "verdict": {"en": "against, by {}", "zh": "相对基准（按 {} 判定）"},
    "verdicts": {"en": "against", "zh": "相对基准"},
    "settings": {"en": "settings that differ", "zh": "不同的配置"},
    "all": {"en": "all", "zh": "全部"},
    "left out": {"en": "left out", "zh": "未参与比较"},
}
FOOTNOTES: dict[str, Texts] = {
    "goals": {
        "en": "↓ lower is better, ↑ higher is better, → the nearest to this is best; bp: basis points, 0.01 %.",
        "zh": "↓ 越低越好，↑ 越高越好，→ 越接近该值越好；bp：基点，即 0.01%。",
    },
    "best": {
        "en": "* the best figure of its row, which may be by chance.",
        "zh": "* 为该行最优值，差距可能只是偶然。",
    },
    "skill": {
        "en": "Skill above 0: the run is better than the baseline, by this share of its error (direction: by so many points of "
        "hits); below it the {}interval.",
        "zh": "百分数为相对基准的误差降幅（direction 为方向准确率之差），大于 0 表示优于基准；其下为{}置信区间。",
    },
    "baselines": {
        "en": "Not equally good in all runs, so not the same baseline: {}. Compare the figures, not the skills against it.",
        "zh": "以下基准在各次训练中自身表现并不相同，并非同一基准：{}。请比较指标本身，而非相对它的降幅。",
    },
    "rules": {
        "en": "The verdicts follow different rules (evaluation.metric, confidence, margin).",
        "zh": "各次训练的判定标准不同（evaluation.metric、confidence、margin）。",
    },
    "paired": {
        "en": "Columns do not show whether one run beats another by more than chance. evaluation.rivals may name another run's "
        "folder, which tests it on the same origins, paired:",
        "zh": "并列的数字无法说明两次训练的差距是否只是偶然。evaluation.rivals 可以填另一次训练的目录，在相同起点上做配对检验：",
    },
    "promise": {"en": "A forecast is no promise of profit.", "zh": "预测不代表收益。"},
}
