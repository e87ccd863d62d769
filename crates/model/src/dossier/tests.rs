//! The page: well-formed, escaped, with the figures that the fit has, in both languages.

mod pages;
mod segments;

use super::*;
use crate::boosted::tests::{field as tree_field, fit as tree_fit, plan as tree_plan};
use crate::boosted::{self, BoostedPlan, EarlyStopping, JudgedOn, row_hash};
use crate::dossier::words::{fixed, interval, signed};
use crate::judge::Validation;
use crate::metrics::Evaluation;
use crate::request::RowSet;
use crate::tests::{data, fit_released, names, plan, read, split, table, three_fields, values};
use crate::{Column, FieldBins, Table, is_holdout};

fn statement(zh: &str, en: &str, value_zh: &str, value_en: &str) -> Statement {
    Statement { name: Text::new(zh, en), value: Text::new(value_zh, value_en) }
}

fn dossier() -> Dossier {
    let mut plan = three_fields();
    for (field, name) in plan.fields.iter_mut().zip(["loan_to_income", "tax_paid_12m", "court_cases_24m"]) {
        field.name = name.into();
    }
    let fit = fit_released(&plan, &split(&table(9000, 21), 3), 3, |_| names(3));
    let digest = |label: &str| Digest::of_bytes(label.as_bytes());
    let party = |name: &str, zh: &str, en: &str| Party {
        name: name.into(),
        role: Text::new(zh, en),
        key: format!("ed25519:{}", digest(name)),
    };
    let commitment = |party: &str, zh: &str, en: &str, rows| Commitment {
        party: party.into(),
        what: Text::new(zh, en),
        rows,
        digest: digest(party),
    };
    let note = |name: &str, zh: &str, en: &str, holder: (&str, &str), level: &str| FieldNote {
        name: name.into(),
        title: Text::new(zh, en),
        holder: Text::new(holder.0, holder.1),
        level: level.into(),
        labels: Vec::new(),
    };
    let approval = |party: &str, operator: &str| Approval {
        party: party.into(),
        operator: operator.into(),
        time: "2026-11-24T09:12:40Z".into(),
        what: Text::new("会话合同", "session contract"),
        digest: digest("contract"),
    };
    Dossier {
        title: Text::new("小微企业联合信用评分卡", "Joint credit scorecard for small and micro enterprises"),
        prepared: "2026-11-24T10:00:00Z".into(),
        purpose: Purpose {
            code: "joint-modelling".into(),
            words: Text::new(
                "为小微企业融资联合建立信用评分卡",
                "A joint scorecard for the financing of small and micro enterprises",
            ),
        },
        session: "4f0d1c2b3a495867".into(),
        contract: digest("contract"),
        parties: vec![
            party("bank-1", "银行：标签与自有字段", "bank: labels and own fields"),
            party("bank-2", "银行：标签与自有字段", "bank: labels and own fields"),
            party("bank-3", "银行：标签与自有字段", "bank: labels and own fields"),
            party("platform", "平台：共享字段，加总", "platform: shared fields, adds up"),
        ],
        commitments: vec![
            commitment("bank-1", "数据集", "data set", Some(3000)),
            commitment("bank-2", "数据集", "data set", Some(3000)),
            commitment("bank-3", "数据集", "data set", Some(3000)),
            commitment("platform", "共享清单第 3 版", "sharing list, version 3", None),
        ],
        sample: vec![
            statement("观察期", "Observation", "2024-01 至 2024-12", "2024-01 to 2024-12"),
            statement(
                "表现期",
                "Outcome window",
                "放款后 12 个月，逾期 90 天以上为坏",
                "12 months from disbursal; bad is 90 days past due",
            ),
            statement(
                "留出规则",
                "Hold-out",
                "标识的公开散列，约三成",
                "a public hash of the identifier, about three in ten",
            ),
        ],
        fields: vec![
            note("loan_to_income", "贷款收入比", "Loan to income", ("各银行", "the banks"), "L3"),
            note("tax_paid_12m", "近12个月纳税额", "Tax paid in 12 months", ("各银行", "the banks"), "L3"),
            note("court_cases_24m", "近24个月涉诉案件", "Court cases in 24 months", ("平台", "the platform"), "L2"),
        ],
        scaling: Scaling { pdo: plan.pdo, base_score: plan.base_score, base_odds: plan.base_odds },
        parameters: vec![statement("正则化强度", "C", "1", "1")],
        fit: Fitted::Scorecard(Box::new(fit)),
        limits: vec![
            statement("最少银行数", "Fewest banks in a sum", "3", "3"),
            statement("不得用于", "Not to be used for", "融资支持以外的任何用途", "anything but financing support"),
        ],
        approvals: vec![approval("bank-1", "wang.lin"), approval("bank-2", "li.na"), approval("platform", "zhao.min")],
        versions: vec![statement("程序", "Program", "tallystick 0.1.0", "tallystick 0.1.0")],
        baseline: Text::new("同类模型", "the joint model's kind"),
        own: Vec::new(),
    }
}

fn card(dossier: &Dossier) -> &crate::Fit {
    dossier.fit.scorecard().unwrap()
}

/// The same of trees, grown until the loss on a fold no longer falls.
fn of_trees() -> Dossier {
    let on = JudgedOn::Fold { share: 0.3 };
    let fields = three_fields().fields.into_iter().map(|field| tree_field(&field.name, field.source)).collect();
    let plan = BoostedPlan { early_stopping: Some(EarlyStopping { patience: 5, on }), ..tree_plan(fields) };
    let mut tables = split(&table(9000, 21), 3);
    for table in tables.values_mut() {
        table.hashes = (0..table.rows()).map(|row| row_hash(&format!("{row} {}", table.label[row]))).collect();
        table.baseline = boosted::bank_only(&plan, table).unwrap();
    }
    let fit = tree_fit(&plan, &tables, 3);
    assert!(!fit.losses.is_empty() && fit.losses.len() > fit.forest.trees().len());
    let mut dossier = Dossier { fit: Fitted::Trees(Box::new(fit)), ..dossier() };
    for (note, field) in dossier.fields.iter_mut().zip(three_fields().fields) {
        note.name = field.name;
    }
    dossier
}

#[test]
fn a_page_of_trees() {
    let dossier = of_trees();
    check(&dossier, "trees");
    let Fitted::Trees(fit) = &dossier.fit else { unreachable!() };
    let page = render(&dossier, Language::En);
    let all: f64 = fit.fields.iter().map(|field| field.gain).sum();
    for field in &fit.fields {
        assert!(page.contains(&words::percent(field.gain / all)) && page.contains(&fixed(field.gain, 1)));
    }
    assert!(page.contains("Pooled loss") && page.contains("Court cases in 24 months"));
    assert!(!page.contains("Weight of evidence") && !page.contains("Score = "));
    let zh = render(&dossier, Language::Zh);
    for mark in ["<section>", "<svg", "<tr>", "<td", "<dt>"] {
        assert_eq!(page.matches(mark).count(), zh.matches(mark).count(), "{mark}");
    }
}

/// Reads the page as XML would: every element is closed in turn, attributes are quoted, no reference is unknown.
fn check_well_formed(page: &str) -> usize {
    let mut rest = page.strip_prefix("<!DOCTYPE html>\n").unwrap();
    let mut open: Vec<String> = Vec::new();
    let mut elements = 0;
    while let Some(start) = rest.find('<') {
        let before = &rest[..start];
        if open.last().is_none_or(|name| name != "style") {
            for piece in before.split('&').skip(1) {
                let reference = piece.split(';').next().unwrap();
                assert!(["amp", "lt", "gt", "quot", "#39"].contains(&reference), "{reference}");
            }
            assert!(!before.contains('>'), "{before}");
        }
        rest = &rest[start..];
        let end = rest.find('>').unwrap();
        let tag = &rest[1..end];
        rest = &rest[end + 1..];
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(name));
            continue;
        }
        elements += 1;
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
        if !tag.ends_with('/') {
            open.push(tag.split_whitespace().next().unwrap().to_owned());
        }
    }
    assert!(open.is_empty(), "{open:?}");
    elements
}

#[test]
fn the_page_is_well_formed_and_needs_nothing_else() {
    check(&dossier(), "made");
}

/// Checks the page in both languages; leaves it in the folder TALLYSTICK_PAGES, for people to look at.
fn check(dossier: &Dossier, name: &str) {
    for language in [Language::Zh, Language::En] {
        let page = render(dossier, language);
        assert!(check_well_formed(&page) > 500);
        for outside in ["http:", "https:", "<script", "<link", "@import", "url(", "src="] {
            assert!(!page.contains(outside), "{outside}");
        }
        for odd in ["NaN", ">inf<", "−inf", " inf "] {
            assert!(!page.contains(odd), "{odd}");
        }
        assert_eq!(page, render(dossier, language));
        if let Some(folder) = std::env::var_os("TALLYSTICK_PAGES") {
            let name = format!("{name}-{}.html", Words(language).say("zh", "en"));
            std::fs::write(std::path::Path::new(&folder).join(name), &page).unwrap();
        }
    }
}

#[test]
fn a_page_of_public_data() {
    let Some(folder) = data("taiwan_default_credit") else { return };
    let (ids, columns, label) = read(&folder.join("joined.csv"));
    let names_of: Vec<_> = columns.keys().cloned().collect();
    let plan = plan(names_of.iter().map(|name| values(name)).collect());
    let table = Table {
        columns: columns.into_values().map(Column::Values).collect(),
        label,
        holdout: ids.iter().map(|id| is_holdout(id)).collect(),
        ..Table::default()
    };
    let fit = fit_released(&plan, &split(&table, 3), 3, |_| names(3));
    let mut fit = fit;
    for (place, name) in names_of.iter().enumerate().skip(10) {
        // Fields of the platform: bins without cuts.
        let field = &mut fit.fields[place];
        field.bins = FieldBins::Codes(u16::try_from(field.bins.codes() - 1).unwrap());
        assert_eq!(&field.name, name);
    }
    check(&Dossier { fit: Fitted::Scorecard(Box::new(fit)), ..dossier() }, "public");
}

#[test]
fn the_page_has_the_figures_of_the_fit() {
    let dossier = dossier();
    let page = render(&dossier, Language::En);
    let validation = dossier.fit.validation();
    let joint = Evaluation::new(&validation.joint, RowSet::Holdout).unwrap();
    let difference = validation.auc_difference().unwrap().difference;
    let swap = validation.swap.unwrap();
    for figure in [
        fixed(joint.auc.value, 4),
        interval(&joint.auc, 4),
        signed(difference.value, 4),
        interval(&difference, 4),
        fixed(joint.ks.distance.value, 4),
        fixed(validation.compared.as_ref().unwrap().brier[0], 4),
        dossier.fit.digest().to_string(),
        dossier.contract.to_string(),
        format!("Score = {}", card(&dossier).base_points),
        words::count(swap.swap_in.rows()),
    ] {
        assert!(page.contains(&figure), "{figure}");
    }
    for round in dossier.fit.rounds() {
        assert!(page.contains(&round.sums.to_string()) && page.contains(&round.request.to_string()));
    }
    for field in card(&dossier).fields.iter().filter(|field| field.coefficient.is_some()) {
        for points in &field.points {
            assert!(page.contains(&format!(">{}<", signed(*points as f64, 0))));
        }
    }
}

#[test]
fn both_languages_have_the_same_chapters() {
    let dossier = dossier();
    let count = |language, mark: &str| render(&dossier, language).matches(mark).count();
    for mark in ["<section>", "<svg", "<tr>", "<td", "<dt>"] {
        assert_eq!(count(Language::Zh, mark), count(Language::En, mark), "{mark}");
    }
    let page = render(&dossier, Language::Zh);
    for word in ["lang=\"zh-CN\"", "小微企业联合信用评分卡", "近24个月涉诉案件", "换入", "校准", "审批"]
    {
        assert!(page.contains(word), "{word}");
    }
}

#[test]
fn texts_from_outside_stay_texts() {
    let attack = "<script>alert(1)</script>\" onload='x' & \u{202e}evil\u{0}";
    let mut dossier = dossier();
    dossier.title = Text::new(attack, attack);
    dossier.session = attack.into();
    dossier.parties[0].name = attack.into();
    dossier.fields[0].title = Text::new(attack, attack);
    dossier.fields[1].labels = vec![attack.into(); 20];
    let Fitted::Scorecard(fit) = &mut dossier.fit else { unreachable!() };
    fit.fields[1].bins = FieldBins::Codes(10);
    fit.rounds[0].cohort = vec![attack.into()];
    dossier.approvals[0].operator = attack.into();
    dossier.limits[0].value = Text::new(attack, attack);
    for language in [Language::Zh, Language::En] {
        let page = render(&dossier, language);
        check_well_formed(&page);
        assert!(!page.contains("<script") && !page.contains("onload='") && !page.contains('\u{202e}'));
        assert!(
            page.contains("&lt;script&gt;alert(1)&lt;/script&gt;&quot; onload=&#39;x&#39; &amp; \u{fffd}evil\u{fffd}")
        );
    }
}

#[test]
fn a_fit_without_figures_has_a_page() {
    for mut dossier in [dossier(), of_trees()] {
        match &mut dossier.fit {
            Fitted::Scorecard(fit) => withhold(&mut fit.validation),
            Fitted::Trees(fit) => withhold(&mut fit.validation),
            Fitted::Statistics(_) => unreachable!(),
        }
        let page = render(&dossier, Language::En);
        check_well_formed(&page);
        assert!(page.contains("was withheld") && !page.contains("NaN"));
    }
}

fn withhold(validation: &mut Validation) {
    for scores in
        [&mut validation.joint, &mut validation.bank_only, &mut validation.joint_train, &mut validation.bank_only_train]
    {
        scores.groups.clear();
    }
    validation.compared = None;
    validation.swap = None;
    validation.fields.clear();
}

#[test]
fn a_dossier_is_a_document() {
    let dossier = dossier();
    let text = serde_json::to_string(&dossier).unwrap();
    assert_eq!(serde_json::from_str::<Dossier>(&text).unwrap(), dossier);
    assert!(serde_json::from_str::<Dossier>(&text.replacen("\"title\"", "\"titel\"", 1)).is_err());
}
