//! A scorecard's bins and points, field by field.

use super::{Column, figure, remark, side_by_side, table};
use crate::dossier::plot::{Axis, Plot};
use crate::dossier::words::{Words, count, fixed, p_value, percent, signed};
use crate::dossier::{Dossier, FieldNote};
use crate::fit::{FieldFit, Fit};
use crate::markup::{Markup, element, text};
use crate::metrics::Cell;
use crate::quantiles::CoarseCuts;
use crate::selection::DropReason;

/// A picture of each field in the model, and a list of those that were dropped.
pub(super) fn bins(dossier: &Dossier, fit: &Fit, words: Words) -> Vec<Markup> {
    let mut order: Vec<_> = kept(dossier, fit).collect();
    order.sort_by(|a, b| b.0.iv.total_cmp(&a.0.iv));
    let picture = |(field, note): &(&FieldFit, Option<&FieldNote>)| {
        let caption = format!("{} · IV {}", title(&field.name, *note, words), fixed(field.iv, 3));
        figure("third", weights(field, words), &caption)
    };
    let dropped = fit.fields.iter().filter(|field| field.coefficient.is_none());
    let dropped: Vec<_> = dropped
        .map(|field| {
            let name = title(&field.name, dossier.note(&field.name), words);
            [
                name,
                fixed(field.iv, 4),
                fixed(field.fine_iv, 4),
                field.dropped.as_ref().map_or_else(String::new, |reason| why(reason, dossier, words)),
            ]
        })
        .collect();
    let mut content = vec![
        remark(words.say(
            "上：证据权重 WOE = ln(好样本占比 / 坏样本占比)，向上为更安全。下：各分箱在建模样本中的行数占比。“–”为缺失箱。按信息值排序。",
            "Above: weight of evidence, ln(share of good / share of bad), upwards is safer. Below: share of the training rows in \
             each bin. “–” is the bin of missing values. In order of information value.",
        )),
        side_by_side("thirds", order.iter().map(picture)),
    ];
    if !dropped.is_empty() {
        let columns = [
            Column::Words(words.say("未入模字段", "Not in the model")),
            Column::Figures("IV"),
            Column::Figures(words.say("细分箱 IV", "IV of the fine bins")),
            Column::Words(words.say("原因", "Why")),
        ];
        content.push(table(columns, dropped));
    }
    let coarse = fit.fields.iter().filter_map(|field| Some((field.name.as_str(), field.coarse?)));
    content.extend(coarse_fields(dossier, coarse, words));
    content
}

/// The fields whose bins stayed coarse, if there are any.
pub(super) fn coarse_fields<'a>(
    dossier: &Dossier,
    fields: impl Iterator<Item = (&'a str, CoarseCuts)>,
    words: Words,
) -> Option<Markup> {
    let rows: Vec<_> = fields
        .map(|(name, coarse)| {
            let bins = format!("{} / {}", coarse.bins, coarse.asked);
            [title(name, dossier.note(name), words), bins, percent(coarse.largest)]
        })
        .collect();
    let columns = [
        Column::Words(
            words.say("分箱过粗：因共同取值的银行过少而合并", "Coarse: counted together, few banks share ranges"),
        ),
        Column::Figures(words.say("分箱数 / 要求数", "Bins / asked")),
        Column::Figures(words.say("最大分箱占比", "Largest bin")),
    ];
    (!rows.is_empty()).then(|| table(columns, rows))
}

/// The points table.
pub(super) fn points(dossier: &Dossier, fit: &Fit, words: Words) -> Vec<Markup> {
    let scaling = dossier.scaling;
    let rule = match words.0 {
        crate::text::Language::Zh => format!(
            "分数 = {} + 各字段分值之和；好坏比为 {} : 1 时为 {} 分，每 {} 分好坏比翻倍；分值取整。",
            fit.base_points,
            fixed(scaling.base_odds, 0),
            fixed(scaling.base_score, 0),
            fixed(scaling.pdo, 0)
        ),
        crate::text::Language::En => format!(
            "Score = {} + the points of each field; {} at odds of {} : 1, and {} points double the odds; points are whole numbers.",
            fit.base_points,
            fixed(scaling.base_score, 0),
            fixed(scaling.base_odds, 0),
            fixed(scaling.pdo, 0)
        ),
    };
    let blocks = kept(dossier, fit).map(|(field, note)| {
        let heading = element("h3", [], [text(title(&field.name, note, words))]);
        let about = match note {
            Some(note) => format!("{} · {} · {}", words.of(&note.holder), note.level, field.name),
            None => field.name.clone(),
        };
        element("div", [("class", "field")], [heading, remark(&about), field_table(field, note, words)])
    });
    vec![remark(&rule), element("div", [("class", "fields")], blocks)]
}

/// Why a field was dropped.
fn why(reason: &DropReason, dossier: &Dossier, words: Words) -> String {
    match reason {
        DropReason::Apart => words.say("仅用于分群评价", "for segments only").into(),
        DropReason::FewBanks => words.say("支撑各分箱的银行过少", "too few banks stand behind its bins").into(),
        DropReason::InformationValue { least } => {
            format!("{} {}", words.say("信息值低于", "information value below"), fixed(*least, 4))
        }
        DropReason::Classes { .. } => words
            .say(
                "没有满足要求的分组（min_share、min_good、min_bad、trend）",
                "no classes satisfy the terms (min_share, min_good, min_bad, trend)",
            )
            .into(),
        DropReason::Correlation { with, correlation } => {
            let other = title(with, dossier.note(with), words);
            let says = words.say("与信息值更高的字段相关", "correlated with a field of higher information value");
            format!("{says}: {other}, {}", fixed(*correlation, 2))
        }
        DropReason::Vif { vif } => {
            let says = words
                .say("其余字段合起来已说明，方差膨胀因子", "the other fields together say the same, inflation factor");
            format!("{says} {}", fixed(*vif, 1))
        }
        DropReason::Sign { coefficient } => {
            let says = words.say("系数与证据方向相反", "its coefficient speaks against its evidence");
            format!("{says}: {}", signed(*coefficient, 3))
        }
        DropReason::Significance { p } => {
            format!("{} {}", words.say("不显著，p =", "not significant, p ="), p_value(*p))
        }
    }
}

/// Fields in the model with what is known of them.
fn kept<'a>(dossier: &'a Dossier, fit: &'a Fit) -> impl Iterator<Item = (&'a FieldFit, Option<&'a FieldNote>)> {
    let kept = fit.fields.iter().filter(|field| field.coefficient.is_some());
    kept.map(|field| (field, dossier.note(&field.name)))
}

pub(super) fn title(name: &str, note: Option<&FieldNote>, words: Words) -> String {
    note.map_or_else(|| name.to_owned(), |note| words.of(&note.title).to_owned())
}

fn weights(field: &FieldFit, words: Words) -> Markup {
    let codes = field.woe.len();
    let name = |code: usize| if code == 0 { "–".to_owned() } else { code.to_string() };
    let reach = field.woe.iter().fold(0.1f64, |reach, woe| reach.max(woe.abs()));
    let bar = |code: usize| (code as f64 - 0.36, code as f64 + 0.36);
    let mut upper = Plot::new(
        words.say("各分箱的证据权重", "weight of evidence per bin"),
        (214.0, 104.0),
        Axis::named((0..codes).map(|_| String::new())),
        Axis::linear(-reach, reach, "").sparse(),
    );
    for (code, woe) in field.woe.iter().enumerate() {
        upper = upper.bar(if *woe < 0.0 { "bad" } else { "good" }, bar(code), (0.0, *woe));
    }
    let rows = rows_per_code(field);
    let all = rows.iter().map(|cell| cell.rows()).sum::<i64>().max(1) as f64;
    let highest = rows.iter().map(|cell| cell.rows() as f64 / all).fold(0.0, f64::max);
    let mut lower = Plot::new(
        words.say("各分箱的行数占比", "share of rows per bin"),
        (214.0, 74.0),
        Axis::named((0..codes).map(name)),
        Axis::shares(highest, "").sparse(),
    );
    for (code, cell) in rows.iter().enumerate() {
        lower = lower.bar("rows", bar(code), (0.0, cell.rows() as f64 / all));
    }
    [upper.finish(), lower.finish()].into_iter().collect()
}

fn rows_per_code(field: &FieldFit) -> Vec<Cell> {
    field.good.iter().zip(&field.bad).map(|(good, bad)| Cell { good: *good, bad: *bad }).collect()
}

fn field_table(field: &FieldFit, note: Option<&FieldNote>, words: Words) -> Markup {
    let labels = note.map(|note| note.labels.as_slice()).unwrap_or_default();
    let cells = rows_per_code(field);
    let rows = cells.iter().enumerate().map(|(code, cell)| {
        let counted = field.counted_in.get(code).copied().unwrap_or(code);
        let figures = match counted == code {
            true => [count(cell.rows()), if cell.rows() > 0 { percent(cell.bad_rate()) } else { "–".into() }],
            // Its rows are in the counts of another bin.
            false => [format!("→ {}", words.bin(&field.bins, labels, counted)), String::new()],
        };
        let [rows, rate] = figures;
        let woe = field.woe.get(code).map_or_else(String::new, |woe| signed(*woe, 3));
        let points = field.points.get(code).map_or_else(String::new, |points| signed(*points as f64, 0));
        [words.bin(&field.bins, labels, code), rows, rate, woe, points]
    });
    let columns = [
        Column::Words(words.say("分箱", "Bin")),
        Column::Figures(words.say("行数", "Rows")),
        Column::Figures(words.say("坏账率", "Bad rate")),
        Column::Figures("WOE"),
        Column::Figures(words.say("分值", "Points")),
    ];
    table(columns, rows)
}
