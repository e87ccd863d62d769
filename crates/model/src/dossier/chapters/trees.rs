//! What boosted trees have in place of bins and points: their growth, what the fields are worth, what they do to the score.
//!
//! Gain, cover, losses and effects follow from the forest, and so from released sums alone; the mean size of SHAP values does
//! not, since it needs the rows.

use super::{Column, facts, figure, long_table, remark, side_by_side};
use crate::boosted::{BoostedFit, Monotone, Shape, Tree};
use crate::dossier::plot::{Axis, Plot, bars};
use crate::dossier::words::{Words, fixed, percent, short, signed};
use crate::dossier::{Dossier, FieldNote};
use crate::judge::FieldRows;
use crate::markup::Markup;
use crate::request::FieldBins;

/// Longest name on the axis of a field's bins, in characters.
const SHORT_NAME: usize = 9;

/// How the forest came to be.
pub(super) fn growth(fit: &BoostedFit, words: Words) -> Vec<Markup> {
    let trees = fit.forest.trees();
    let leaves = trees.iter().flat_map(|tree| &tree.nodes).filter(|node| matches!(node.shape, Shape::Leaf(_))).count();
    let splits: u32 = fit.fields.iter().map(|field| field.splits).sum();
    let shape = [
        (words.say("保留的树", "Trees kept"), trees.len().to_string()),
        (words.say("叶与分裂", "Leaves, splits"), format!("{leaves}, {splits}")),
        (words.say("最大深度", "Deepest tree"), trees.iter().map(|tree| depth(tree, 0)).max().unwrap_or(0).to_string()),
        (words.say("生长前的对数几率", "Log-odds before any tree"), signed(fit.forest.base(), 4)),
        (words.say("覆盖加权的平均对数几率", "Mean log-odds by cover"), signed(fit.expected(), 4)),
    ];
    let gain = figure("half", gains(trees, words), words.say("每棵树的分裂增益之和", "Gain of each tree's splits"));
    let (pictures, reading) = match fit.losses.is_empty() {
        true => (
            vec![gain],
            words.say("树的数量由合同给定，未使用提前停止。", "The contract gives the number of trees; there was no early stopping."),
        ),
        false => (
            vec![figure("half", losses(fit, words), words.say("合并损失", "Pooled loss")), gain],
            words.say(
                "每加一棵树后，在不参与生长的行上的平均对数损失（各行汇总）；竖线处损失最低，其后的树已舍弃。",
                "Mean log-loss, summed over all banks, on rows that no tree was grown on, after each tree; at the upright line it is \
                 lowest, and later trees were dropped.",
            ),
        ),
    };
    let what = words.say(
        "增益为分裂使带惩罚损失下降量的两倍（Chen、Guestrin，2016），由各行梯度的汇总和得出。",
        "Gain is twice the fall of the penalised loss (Chen, Guestrin, 2016), from sums of the rows' gradients.",
    );
    let shape = shape.map(|(name, value)| (name.to_owned(), value));
    vec![facts(shape), side_by_side("pair", pictures), remark(&format!("{reading} {what}"))]
}

/// What each field is worth to the forest.
pub(super) fn importance(dossier: &Dossier, fit: &BoostedFit, words: Words) -> Vec<Markup> {
    let cover = fit.cover();
    let (all_gain, all_cover) = (total(fit.fields.iter().map(|field| field.gain)), total(cover.iter().copied()));
    let order = in_order(fit);
    let title = |place: usize| {
        let name = &fit.fields[place].name;
        super::fields::title(name, dossier.note(name), words)
    };
    let used = order.iter().filter(|place| fit.fields[**place].splits > 0);
    let shares = used.map(|&place| {
        let share = fit.fields[place].gain / all_gain;
        (title(place), share, percent(share))
    });
    let picture =
        bars(words.say("各字段占总增益的份额", "share of each field in the gain"), &shares.collect::<Vec<_>>());
    let rows = order.iter().map(|&place| {
        let field = &fit.fields[place];
        let effect = fit.dependence(place);
        let ends = |fold: fn(f64, f64) -> f64, start: f64| effect.iter().copied().fold(start, fold);
        let reach = dossier.scale().factor * (ends(f64::max, f64::NEG_INFINITY) - ends(f64::min, f64::INFINITY));
        let note = dossier.note(&field.name);
        [
            format!("{}{}", title(place), direction(field.monotone, words)),
            note.map_or_else(String::new, |note| format!("{} · {}", words.of(&note.holder), note.level)),
            field.splits.to_string(),
            fixed(field.gain, 1),
            percent(field.gain / all_gain),
            percent(cover.get(place).copied().unwrap_or(0.0) / all_cover),
            if field.splits > 0 { fixed(reach, 1) } else { "–".into() },
        ]
    });
    let columns = [
        Column::Words(words.say("字段", "Field")),
        Column::Words(words.say("持有方", "Held by")),
        Column::Figures(words.say("分裂数", "Splits")),
        Column::Figures(words.say("增益", "Gain")),
        Column::Figures(words.say("增益份额", "Share of gain")),
        Column::Figures(words.say("覆盖份额", "Share of cover")),
        Column::Figures(words.say("效应幅度（分）", "Reach of effect (points)")),
    ];
    let mut content = vec![
        figure("whole", picture, words.say("占总增益的份额", "Share of the gain")),
        long_table(columns, rows),
        remark(words.say(
            "增益与覆盖（分裂节点的 p(1−p) 之和）均由已释放的汇总和精确得出。平均 |SHAP| 需要逐行数据，汇总和得不出，故不列。\
             效应幅度：下一章中最高与最低的分值之差。",
            "Gain and cover (the sum of p(1−p) in the nodes that are split) follow exactly from released sums. The mean size of SHAP \
             values needs the rows, so it is not given. Reach: highest less lowest effect in the next chapter.",
        )),
    ];
    let coarse = fit.fields.iter().filter_map(|field| Some((field.name.as_str(), field.coarse?)));
    content.extend(super::fields::coarse_fields(dossier, coarse, words));
    content
}

/// What each field does to the score, bin by bin.
pub(super) fn effects(dossier: &Dossier, fit: &BoostedFit, words: Words) -> Vec<Markup> {
    let pictures = in_order(fit).into_iter().filter(|place| fit.fields[*place].splits > 0).map(|place| {
        let note = dossier.note(&fit.fields[place].name);
        let caption = super::fields::title(&fit.fields[place].name, note, words);
        figure("third", effect(dossier, fit, place, note, words), &caption)
    });
    vec![
        remark(words.say(
            "上：该字段落入各分箱时分数的平均变化（其余字段按各节点的覆盖加权），向上为更安全。下：留出样本中各分箱的行数占比；\
             支撑银行过少的分箱计入相邻分箱。“–”为缺失箱；数字为分箱上端，平台的切点留在平台，只列箱号。按增益排序。",
            "Above: how the score moves on average when the field falls into each bin, the other fields weighed by the cover of the nodes; \
             upwards is safer. Below: share of the hold-out rows in each bin; bins of few banks are counted with their neighbours. “–” is \
             the bin of missing values; numbers are upper ends of bins, and where the cuts stay with the platform, their places. In order \
             of gain.",
        )),
        side_by_side("thirds", pictures),
    ]
}

fn effect(dossier: &Dossier, fit: &BoostedFit, place: usize, note: Option<&FieldNote>, words: Words) -> Markup {
    let (expected, factor) = (fit.expected(), dossier.scale().factor);
    let points: Vec<_> = fit.dependence(place).into_iter().map(|mean| factor * (expected - mean)).collect();
    let reach = points.iter().fold(1.0f64, |reach, points| reach.max(points.abs()));
    let bar = |code: usize| (code as f64 - 0.36, code as f64 + 0.36);
    let mut upper = Plot::new(
        words.say("各分箱的平均效应（分）", "mean effect per bin in points"),
        (214.0, 104.0),
        Axis::named(points.iter().map(|_| String::new())),
        Axis::linear(-reach, reach, "").sparse(),
    );
    for (code, points) in points.iter().enumerate() {
        upper = upper.bar(if *points < 0.0 { "bad" } else { "good" }, bar(code), (0.0, *points));
    }
    let rows = fit.validation.fields.get(place).filter(|rows| !rows.counted_in.is_empty());
    let lower = rows.map(|rows| {
        let names = (0..points.len()).map(|code| name(fit, place, note, code));
        shares(rows, Axis::named(names).sparse(), words)
    });
    [upper.finish()].into_iter().chain(lower).collect()
}

fn shares(rows: &FieldRows, names: Axis, words: Words) -> Markup {
    let all = rows.rows.iter().map(|cell| cell.rows()).sum::<i64>().max(1) as f64;
    let share = |code: usize| rows.rows[code].rows() as f64 / all;
    let highest = (0..rows.rows.len()).map(share).fold(0.0, f64::max);
    let title = words.say("各分箱的行数占比", "share of rows per bin");
    let mut plot = Plot::new(title, (214.0, 74.0), names, Axis::shares(highest, "").sparse());
    for code in 0..rows.rows.len() {
        plot = plot.bar("rows", (code as f64 - 0.36, code as f64 + 0.36), (0.0, share(code)));
    }
    plot.finish()
}

/// A code on an axis.
fn name(fit: &BoostedFit, place: usize, note: Option<&FieldNote>, code: usize) -> String {
    let labels = note.map(|note| note.labels.as_slice()).unwrap_or_default();
    match (code.checked_sub(1), fit.forest.bins().get(place)) {
        (None, _) => "–".into(),
        (Some(cut), Some(FieldBins::Cuts(cuts) | FieldBins::Special { cuts, .. })) => {
            cuts.get(cut).map_or_else(|| "∞".into(), |cut| short(*cut))
        }
        (Some(value), _) => match labels.get(value) {
            Some(label) if label.chars().count() > SHORT_NAME => {
                label.chars().take(SHORT_NAME - 1).chain(['…']).collect()
            }
            Some(label) => label.clone(),
            None => code.to_string(),
        },
    }
}

/// Loss after each tree.
fn losses(fit: &BoostedFit, words: Words) -> Markup {
    let ends = |fold: fn(f64, f64) -> f64, start: f64| fit.losses.iter().copied().fold(start, fold);
    let (low, high) = (ends(f64::min, f64::INFINITY), ends(f64::max, f64::NEG_INFINITY));
    let y = Axis::linear(low, high, words.say("平均对数损失", "mean log-loss"));
    let (bottom, top) = y.ends();
    let kept = fit.forest.trees().len() as f64;
    Plot::new(
        words.say("每加一棵树后的合并损失", "pooled loss after each tree"),
        (330.0, 220.0),
        Axis::linear(0.0, fit.losses.len() as f64, words.say("树", "trees")),
        y,
    )
    .line("gap", [(kept, bottom), (kept, top)])
    .line("joint", fit.losses.iter().enumerate().map(|(tree, loss)| ((tree + 1) as f64, *loss)))
    .finish()
}

/// Gain of each tree.
fn gains(trees: &[Tree], words: Words) -> Markup {
    let gain = |tree: &Tree| {
        total(tree.nodes.iter().map(|node| match node.shape {
            Shape::Split(split) => split.gain,
            Shape::Leaf(_) => 0.0,
        }))
    };
    let gains: Vec<_> = trees.iter().map(gain).collect();
    let highest = gains.iter().copied().fold(0.0, f64::max);
    Plot::new(
        words.say("每棵树的增益", "gain of each tree"),
        (330.0, 220.0),
        Axis::linear(0.0, trees.len() as f64, words.say("树", "trees")),
        Axis::linear(0.0, highest, words.say("增益", "gain")),
    )
    .line("joint", gains.iter().enumerate().map(|(tree, gain)| ((tree + 1) as f64, *gain)))
    .finish()
}

/// Positions of the fields, the one that gains most first.
fn in_order(fit: &BoostedFit) -> Vec<usize> {
    let mut order: Vec<_> = (0..fit.fields.len()).collect();
    order.sort_by(|a, b| fit.fields[*b].gain.total_cmp(&fit.fields[*a].gain));
    order
}

/// A sum to divide by.
fn total(values: impl Iterator<Item = f64>) -> f64 {
    values.sum::<f64>().max(f64::MIN_POSITIVE)
}

fn depth(tree: &Tree, at: usize) -> u32 {
    match tree.nodes.get(at).map(|node| node.shape) {
        Some(Shape::Split(split)) => 1 + depth(tree, split.left as usize).max(depth(tree, split.right as usize)),
        _ => 0,
    }
}

fn direction(monotone: Monotone, words: Words) -> &'static str {
    match monotone {
        Monotone::Free => "",
        Monotone::Rising => words.say("（风险只升）", " (risk only rises)"),
        Monotone::Falling => words.say("（风险只降）", " (risk only falls)"),
    }
}
