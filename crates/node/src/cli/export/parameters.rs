//! The contract's parameters of a model, in words.

use tally_model::boosted::{EarlyStopping, Growth, JudgedOn};
use tally_model::dossier::Statement;
use tally_model::text::Text;
use tally_model::{CoarsePlan, SelectionPlan, Steps, Trend, Unseen};
use tally_protocol::session::{ModelTerms, TreeTerms};

use super::dossier::statement;

/// What the model was fitted with.
pub(super) fn of(terms: &ModelTerms) -> Vec<Statement> {
    let mut stated = vec![statement(("等频分箱数", "Equal-frequency bins of a number"), &terms.bins.to_string())];
    match &terms.trees {
        Some(trees) => stated.extend(of_trees(trees)),
        None => stated.extend(of_scorecard(terms)),
    }
    stated.push(Statement {
        name: Text::new("分数刻度", "Scale of the score"),
        value: Text::new(
            &format!("好坏比 {} : 1 时 {} 分，每 {} 分翻倍", terms.base_odds, terms.base_score, terms.pdo),
            &format!("{} at odds of {} : 1, doubled every {} points", terms.base_score, terms.base_odds, terms.pdo),
        ),
    });
    stated
}

fn of_scorecard(terms: &ModelTerms) -> Vec<Statement> {
    let mut stated = vec![
        statement(("WOE 平滑", "Smoothing of WOE"), &terms.smoothing.to_string()),
        statement(("最低信息值", "Least information value"), &terms.min_iv.to_string()),
        statement(("L2 惩罚强度的倒数 C", "Inverse strength C of the L2 penalty"), &terms.c.to_string()),
        selection(&terms.selection),
    ];
    stated.extend(terms.missing_unseen.map(unseen));
    stated.extend(terms.coarse.as_ref().map(coarse));
    let chosen = [
        (("人工切点", "Cuts that someone chose"), terms.cuts.keys().cloned().collect::<Vec<_>>()),
        (("特殊值", "Special values"), terms.special.keys().cloned().collect()),
    ];
    stated.extend(
        chosen.iter().filter(|chosen| !chosen.1.is_empty()).map(|(name, fields)| statement(*name, &fields.join(", "))),
    );
    let rows =
        [(("行权重", "Weights of rows"), &terms.rows.weight), (("行偏移", "Offsets of rows"), &terms.rows.offset)];
    stated.extend(rows.into_iter().filter_map(|(name, column)| {
        column.as_ref().map(|column| statement(name, &format!("{}, ≤ {}", column.column, column.cap)))
    }));
    stated
}

fn unseen(unseen: Unseen) -> Statement {
    let (zh, en) = match unseen {
        Unseen::Worst => ("按该字段最差一类计分", "the points of the field's worst class"),
        Unseen::Neutral => ("按中性计分", "the points of even evidence"),
        Unseen::Refuse => ("不予评分", "no score"),
    };
    let name = ("建模样本中未出现过的缺失或特殊值", "Missing or special values that no training row had");
    Statement { name: Text::new(name.0, name.1), value: Text::new(zh, en) }
}

fn coarse(plan: &CoarsePlan) -> Statement {
    let (zh, en) = match plan.trend {
        Trend::Free => ("不限走向", "any trend"),
        Trend::Ascending => ("坏账率递增", "the bad rate rises"),
        Trend::Descending => ("坏账率递减", "the bad rate falls"),
        Trend::Auto => ("坏账率单调，方向自动", "the bad rate rises or falls, whichever says more"),
        Trend::Peak => ("先升后降", "rises, then falls"),
        Trend::Valley => ("先降后升", "falls, then rises"),
    };
    let CoarsePlan { max_classes, min_share, min_good, min_bad, .. } = plan;
    Statement {
        name: Text::new("粗分箱", "Coarse classes"),
        value: Text::new(
            &format!("至多 {max_classes} 类，每类占比不低于 {min_share}、好 {min_good} 笔、坏 {min_bad} 笔；{zh}"),
            &format!(
                "at most {max_classes}, each with a share of {min_share}, {min_good} good and {min_bad} bad at least; {en}"
            ),
        ),
    }
}

fn selection(plan: &SelectionPlan) -> Statement {
    let (zh, en) = match plan.steps {
        Steps::None => ("不逐步筛选", "no steps"),
        Steps::Forward => ("向前", "forward"),
        Steps::Backward => ("向后", "backward"),
        Steps::Both => ("双向", "both ways"),
    };
    let p = match plan.steps {
        Steps::None => String::new(),
        _ => format!(" (p {} / {})", plan.enter, plan.leave),
    };
    let vif = plan.max_vif.map(|vif| format!(", VIF ≤ {vif}")).unwrap_or_default();
    let (sign_zh, sign_en) = if plan.sign { ("，系数方向一致", ", signs must agree") } else { ("", "") };
    let bound = plan.max_correlation;
    Statement {
        name: Text::new("字段筛选", "Selection of fields"),
        value: Text::new(
            &format!("{zh}{p}，相关系数 ≤ {bound}{vif}{sign_zh}"),
            &format!("{en}{p}, correlation ≤ {bound}{vif}{sign_en}"),
        ),
    }
}

fn of_trees(terms: &TreeTerms) -> Vec<Statement> {
    let growth = match terms.growth {
        Growth::DepthWise { max_depth } => {
            Text::new(&format!("逐层，深度至多 {max_depth}"), &format!("level by level, {max_depth} at most"))
        }
        Growth::LeafWise { max_leaves, max_depth } => Text::new(
            &format!("增益最大的叶优先，至多 {max_leaves} 叶、深度 {max_depth}"),
            &format!("the leaf that gains most first, {max_leaves} leaves and {max_depth} levels at most"),
        ),
    };
    let stopping = match terms.early_stopping {
        None => Text::new("未使用", "none"),
        Some(EarlyStopping { patience, on: JudgedOn::Holdout }) => Text::new(
            &format!("留出样本的损失连续 {patience} 棵树未降"),
            &format!("when the loss on the hold-out rows has not fallen for {patience} trees"),
        ),
        Some(EarlyStopping { patience, on: JudgedOn::Fold { share } }) => Text::new(
            &format!("建模样本中按种子抽出的 {share} 份额上，损失连续 {patience} 棵树未降"),
            &format!(
                "when the loss on a drawn share of {share} of the training rows has not fallen for {patience} trees"
            ),
        ),
    };
    let mut stated = vec![
        statement(("最多树数", "Most trees"), &terms.trees.to_string()),
        Statement { name: Text::new("生长方式", "Growth"), value: growth },
        statement(("学习率 η", "Learning rate η"), &terms.learning_rate.to_string()),
        statement(("L2 惩罚 λ", "L2 penalty λ"), &terms.lambda.to_string()),
        statement(("最小增益 γ", "Least gain γ"), &terms.gamma.to_string()),
        statement(("子节点最小 Σp(1−p)", "Least sum of p(1−p) in a child"), &terms.min_child_weight.to_string()),
        statement(("每棵树的行份额", "Share of the rows of a tree"), &terms.row_share.to_string()),
        statement(("每棵树的字段份额", "Share of the fields of a tree"), &terms.field_share.to_string()),
        Statement { name: Text::new("提前停止", "Early stopping"), value: stopping },
    ];
    if !terms.monotone.is_empty() {
        let names: Vec<_> = terms.monotone.keys().cloned().collect();
        stated.push(statement(("单调字段", "Monotone fields"), &names.join(", ")));
    }
    stated
}
