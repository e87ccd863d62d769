//! The chapter of segments, and the interval of the KS difference.

use super::{check_well_formed, dossier};
use crate::dossier::words::{fixed, interval};
use crate::dossier::{Dossier, render};
use crate::text::Language;
use crate::{Fitted, Plan, SegmentPlan, Validation, tests};

fn validation(dossier: &mut Dossier) -> &mut Validation {
    match &mut dossier.fit {
        Fitted::Scorecard(fit) => &mut fit.validation,
        Fitted::Trees(fit) => &mut fit.validation,
        Fitted::Statistics(_) => unreachable!(),
    }
}

fn plan() -> Plan {
    let segment = |field, ordered| SegmentPlan { field, ordered, fitted: true };
    let mut plan = tests::three_fields();
    plan.judging.segments = vec![segment(2, false), segment(0, true)];
    plan
}

#[test]
fn segments_have_a_chapter_where_the_contract_names_some() {
    let mut dossier = dossier();
    assert!(!render(&dossier, Language::En).contains("Segments"));
    let banks = tests::split(&tests::table(9000, 21), 3);
    let fit = tests::fit_released(&plan(), &banks, 3, |_| tests::names(3));
    dossier.fit = Fitted::Scorecard(Box::new(fit));
    dossier.fields[2].labels = ["none", "one", "more"].map(String::from).to_vec();
    let page = render(&dossier, Language::En);
    check_well_formed(&page);
    let [by_cases, by_income] = &dossier.fit.validation().segments[..] else { panic!("two fields") };
    let names = by_cases.names(&dossier.fields[2].labels, &by_cases.bins, Language::En);
    assert_eq!(names, ["missing", "none", "one", "more"]);
    for [joint, bank_only] in by_cases.figures(&names) {
        let (first, second) = (joint.evaluation.unwrap(), bank_only.evaluation.unwrap());
        for figure in [joint.name, fixed(first.auc.value, 4), interval(&first.auc, 4), interval(&second.auc, 4)] {
            assert!(page.contains(&figure), "{figure}");
        }
        assert!(page.contains(&interval(&first.ks.distance, 3)) && first.rows == second.rows);
    }
    let bands = by_income.names(&[], &by_income.bins, Language::En);
    assert!(bands.len() == 6 && bands[1].starts_with('≤') && bands[5].starts_with('>'));
    assert!(bands[2..5].iter().all(|band| page.contains(band.as_str())), "{bands:?}");
    for mark in ["<section>", "<tr>", "<td"] {
        let count = |language| render(&dossier, language).matches(mark).count();
        assert_eq!(count(Language::Zh), count(Language::En), "{mark}");
    }
    validation(&mut dossier).segments[0].joint.clear();
    assert!(!render(&dossier, Language::En).contains("was withheld as a whole"));
    validation(&mut dossier).segments[0].bank_only.clear();
    assert!(render(&dossier, Language::En).contains("was withheld as a whole"));
}

#[test]
fn the_difference_of_the_ks_stands_beside_the_others() {
    let mut dossier = dossier();
    let found = dossier.fit.validation().ks_difference().unwrap();
    assert!(found.counted && render(&dossier, Language::En).contains(&interval(&found.difference, 4)));
    validation(&mut dossier).approved_at_ks = None;
    let bound = dossier.fit.validation().ks_difference().unwrap();
    let page = render(&dossier, Language::En);
    assert!(page.contains(&format!("{} · p ≤ ", interval(&bound.difference, 4))));
}
