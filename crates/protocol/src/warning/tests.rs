use proptest::prelude::*;
use tally_crypto::seed::Seed;
use tally_model::text::Text;
use tally_policy::{Cleared, Day};

use super::*;
use crate::session::PlatformColumn;

const FIELDS: [&str; 2] = ["cases", "state"];
const STATES: [&str; 3] = ["active", "struck-off", "insolvent"];

fn rule(id: &str, field: &str, when: Condition) -> Rule {
    let (of, text) = (Source::Field(field.into()), Text::new("预警", "warning"));
    Rule { id: id.into(), of, when, severity: Severity::Watch, days: 30, text }
}

/// Rules of every condition.
fn rules() -> Vec<Rule> {
    let classes = Condition::FallsClasses { edges: vec![1.0, 3.0, 5.0], by: 2 };
    let ended = Condition::Becomes(vec!["struck-off".into(), "insolvent".into()]);
    vec![
        rule("rises", "cases", Condition::RisesBy(1.0)),
        rule("falls", "cases", Condition::FallsBy(2.0)),
        rule("reaches", "cases", Condition::RisesTo(3.0)),
        rule("drops", "cases", Condition::FallsTo(1.0)),
        rule("classes", "cases", classes),
        rule("ends", "state", ended),
    ]
}

/// What an enterprise reads: cases, and place of its state from 1; nothing where not known.
type Row = (Option<u8>, u16);

fn snapshot(day: &str, rows: &[(usize, Row)]) -> Snapshot {
    let cases = rows.iter().map(|(_, (cases, _))| cases.map_or(f64::NAN, f64::from)).collect();
    let codes = rows.iter().map(|(_, (_, state))| *state).collect();
    let state = PlatformColumn::Category { codes, values: STATES.map(Into::into).to_vec() };
    Snapshot {
        day: day.parse().unwrap(),
        subjects: rows.iter().map(|(subject, _)| format!("e{subject}")).collect(),
        columns: vec![(FIELDS[0].into(), PlatformColumn::Numeric(cases)), (FIELDS[1].into(), state)],
    }
}

fn everyone(snapshot: &Snapshot) -> Cleared<Vec<usize>> {
    Cleared::journaled((0..snapshot.subjects.len()).collect())
}

/// Rule and enterprise of every event, in order.
fn found(before: &Snapshot, after: &Snapshot) -> Vec<(String, String)> {
    let (rules, Some(change)) = (rules(), Change::between(before, after)) else { return Vec::new() };
    let events = rules.iter().flat_map(|rule| change.events(rule, rule.field().unwrap(), &everyone(after)));
    let mut found: Vec<_> = events.map(|event| (event.rule.to_owned(), event.subject.to_owned())).collect();
    found.sort();
    found
}

/// The conditions once more, in other words.
fn expected(before: Row, after: Row) -> Vec<&'static str> {
    let mut names = Vec::new();
    if let (Some(was), Some(is)) = (before.0, after.0) {
        let (was, is) = (i32::from(was), i32::from(is));
        let class = |cases: i32| [0, 1, 1, 2, 2, 3, 3, 3][cases as usize];
        let conditions = [
            ("rises", is > was),
            ("falls", was - is > 1),
            ("reaches", was <= 2 && is > 2),
            ("drops", was > 1 && is <= 1),
            ("classes", class(was) - class(is) > 1),
        ];
        names.extend(conditions.into_iter().filter(|(_, holds)| *holds).map(|(name, _)| name));
    }
    if before.1 == 1 && after.1 > 1 {
        names.push("ends");
    }
    names
}

fn row() -> impl Strategy<Value = Row> {
    (proptest::option::weighted(0.8, 0..8u8), 0..4u16)
}

proptest! {
    /// A known set of changes gives exactly the expected events, wherever the rows stand.
    #[test]
    fn exactly_the_changes_that_rules_name(
        rows in proptest::collection::vec((row(), row()), 0..40), turn in 0..40usize, newcomers in 0..3usize,
    ) {
        let before: Vec<_> = rows.iter().map(|(before, _)| *before).enumerate().skip(newcomers).collect();
        let mut after: Vec<_> = rows.iter().map(|(_, after)| *after).enumerate().collect();
        let turn = turn % after.len().max(1);
        after.rotate_left(turn);
        let before = snapshot("2026-06-30", &before);
        let after = snapshot("2026-07-31", &after).known(Some(&before), |_, _| false);
        let mut wanted: Vec<_> = rows.iter().enumerate().skip(newcomers).flat_map(|(subject, (before, after))| {
            expected(*before, *after).into_iter().map(move |rule| (rule.to_owned(), format!("e{subject}")))
        }).collect();
        wanted.sort();
        prop_assert_eq!(found(&before, &after), wanted);
        // The same import again gives none, and changes nothing.
        // What is missing equals nothing, so they are compared in words.
        prop_assert_eq!(format!("{:?}", after.clone().known(Some(&after), |_, _| false)), format!("{after:?}"));
        prop_assert_eq!(found(&after, &after), vec![]);
        // Rows that did not move cannot raise anything.
        let moved = Change::between(&before, &after).unwrap().moved();
        let quiet = rows.iter().enumerate().skip(newcomers).filter(|(_, (before, after))| before == after);
        for (subject, _) in quiet {
            let place = after.subjects.iter().position(|one| *one == format!("e{subject}")).unwrap();
            prop_assert!(!moved.contains(&place));
        }
    }

    /// Missing for a while, or under objection for a while: nothing then, and afterwards what would have been found at once.
    #[test]
    fn what_was_held_back_is_found_later(was in row(), is in row(), gap in any::<bool>()) {
        let before = snapshot("2026-06-30", &[(0, was)]);
        let between = snapshot("2026-07-31", &[(0, if gap { (None, 0) } else { is })]);
        let between = between.known(Some(&before), |_, _| !gap);
        prop_assert_eq!(found(&before, &between), vec![]);
        let after = snapshot("2026-08-31", &[(0, is)]).known(Some(&between), |_, _| false);
        let mut wanted: Vec<_> = expected(was, is).into_iter().map(|rule| (rule.to_owned(), "e0".to_owned())).collect();
        wanted.sort();
        prop_assert_eq!(found(&between, &after), wanted);
    }

    /// Only rows that may be looked at are.
    #[test]
    fn rows_that_were_not_cleared_raise_nothing(rows in proptest::collection::vec((row(), row()), 1..20), one in 0..20usize) {
        let before = snapshot("2026-06-30", &rows.iter().map(|(before, _)| *before).enumerate().collect::<Vec<_>>());
        let after = snapshot("2026-07-31", &rows.iter().map(|(_, after)| *after).enumerate().collect::<Vec<_>>());
        let change = Change::between(&before, &after).unwrap();
        let one = one % rows.len();
        for rule in &rules() {
            let events = change.events(rule, rule.field().unwrap(), &Cleared::journaled(vec![one, 1000]));
            let own = format!("e{one}");
            prop_assert!(events.iter().all(|event| event.subject == own));
        }
    }
}

#[test]
fn names_are_the_same_for_the_same_change_and_for_nothing_else() {
    let day: Day = "2026-07-31".parse().unwrap();
    let event = |subject, before, after| {
        let (before, after) = (Reading::Number(before), Reading::Number(after));
        Event { rule: "rises", subject, before, after }
    };
    let name = |event: Event<'_>, key: u8, bank: &str, day| event.id(&Seed::new([key; 32]), bank, day, 0);
    let one = name(event("e1", 0.0, 1.0), 1, "bank-1", day);
    assert_eq!(one, name(event("e1", 0.0, 1.0), 1, "bank-1", day));
    let others = [
        name(event("e2", 0.0, 1.0), 1, "bank-1", day),
        name(event("e1", 1.0, 2.0), 1, "bank-1", day),
        name(event("e1", 0.0, 1.0), 2, "bank-1", day),
        name(event("e1", 0.0, 1.0), 1, "bank-2", day),
        name(event("e1", 0.0, 1.0), 1, "bank-1", "2026-08-31".parse().unwrap()),
        event("e1", 0.0, 1.0).id(&Seed::new([1; 32]), "bank-1", day, 1),
    ];
    assert!(others.iter().all(|other| *other != one));
}

#[test]
fn nothing_goes_back_in_time_and_a_wrong_reading_can_be_taken_back() {
    let (older, newer) = (snapshot("2026-06-30", &[(0, (Some(0), 1))]), snapshot("2026-07-31", &[(0, (Some(4), 2))]));
    assert!(Change::between(&newer, &older).is_none());
    assert_eq!(found(&older, &newer).len(), 3);
    let mut restored = newer.clone();
    restored.put("cases", "e0", &Reading::Number(0.0));
    restored.put("state", "e0", &Reading::Value("merged".into()));
    restored.put("state", "e9", &Reading::Missing);
    let right = snapshot("2026-07-31", &[(0, (Some(1), 1))]);
    assert_eq!(found(&restored, &right), [("rises".to_owned(), "e0".to_owned())]);
}

#[test]
fn bad_rules_are_named() {
    let file = |rules: Vec<Rule>| Rules { version: 1, dataset: "enterprises".into(), rules };
    assert_eq!(file(rules()).check(), Ok(()));
    let one = |change: &dyn Fn(&mut Rule)| {
        let mut rule = rules().remove(0);
        change(&mut rule);
        file(vec![rule]).check().unwrap_err().to_string()
    };
    for (error, word) in [
        (file(Vec::new()).check().unwrap_err().to_string(), "no [[rule]]"),
        (Rules { version: 0, ..file(rules()) }.check().unwrap_err().to_string(), "begin with 1"),
        (file([rules(), rules()].concat()).check().unwrap_err().to_string(), "`rises`: stands twice"),
        (one(&|rule| rule.id = "Rises".into()), "lowercase"),
        (one(&|rule| rule.days = 0), "days"),
        (one(&|rule| rule.text.zh.clear()), "languages"),
        (one(&|rule| rule.of = Source::Field(String::new())), "names nothing"),
        (one(&|rule| rule.when = Condition::RisesBy(0.0)), "above 0"),
        (one(&|rule| rule.when = Condition::FallsTo(f64::NAN)), "a bound"),
        (one(&|rule| rule.when = Condition::Becomes(Vec::new())), "no value"),
        (one(&|rule| rule.when = Condition::FallsClasses { edges: vec![2.0, 1.0], by: 1 }), "ascending"),
        (one(&|rule| rule.when = Condition::FallsClasses { edges: vec![1.0], by: 2 }), "`by` is 1 to 1"),
        (
            one(&|rule| {
                rule.of = Source::Points("champion".into());
                rule.when = Condition::Becomes(vec!["A".into()]);
            }),
            "points are numbers",
        ),
    ] {
        assert!(error.contains(word), "{word}: {error}");
    }
}

#[test]
fn messages_come_back_as_they_were_and_carry_no_value() {
    let warning = Warning {
        id: tally_crypto::transcript::Digest([7; 32]),
        subject: "91320102MA0000000X".into(),
        rule: "rises".into(),
        rules: 1,
        severity: Severity::Severe,
        text: Text::new("涉诉", "court case"),
        day: "2026-07-31".parse().unwrap(),
        expires: 1_800_000_000_000,
        consent: tally_crypto::transcript::Digest([9; 32]),
    };
    let message = Warnings::raised(Cleared::journaled(vec![warning.clone()]));
    assert_eq!(Warnings::decode(&message.encode()).unwrap().into_parts(), (vec![warning], vec![]));
    let mut longer = message.encode();
    longer.push(0);
    assert_eq!(Warnings::decode(&longer), None);
    let names =
        |count: usize| -> Vec<_> { (0..count).map(|place| Digest::of("name", &[&place.to_be_bytes()])).collect() };
    for (names, holds) in [(names(MOST), true), (names(MOST + 1), false), ([names(2), names(1)].concat(), false)] {
        let ack = WarningAck { warnings: names.clone() };
        assert_eq!(WarningAck::decode(&ack.encode()).is_some(), holds, "{}", names.len());
        assert_eq!(Warnings::decode(&Warnings::recalled(names).encode()).is_some(), holds);
    }
    for outcome in Outcome::ALL {
        let told = WarningOutcome { rule: "rises".into(), outcome };
        assert_eq!(WarningOutcome::decode(&told.encode()), Some(told));
        assert_eq!(serde_json::to_value(outcome).unwrap(), outcome.to_string());
    }
}
