use serde_json::json;
use tally_crypto::seed::Seed;
use tally_crypto::sign::SigningKey;

use super::*;

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&Seed::new([seed; 32]))
}

pub(crate) fn field(name: &str, level: Level, forms: &[Form]) -> ListField {
    ListField {
        name: name.into(),
        title: Text::new("字段", name),
        owner: "tax".into(),
        category: "tax".into(),
        level,
        kind: FieldKind::Numeric,
        forms: forms.to_vec(),
        purposes: vec![Purpose::JointModelling],
        from: None,
        until: None,
        refresh_days: 31,
    }
}

fn list(version: u32, fields: Vec<ListField>) -> SharingList {
    let issued = "2026-01-01".parse().unwrap();
    SharingList { version, city: Text::new("市", "city"), issued, fields }
}

fn open_payload(payload: &[u8], signers: &[u8]) -> Result<SignedList, ListError> {
    let mut envelope = Envelope::new(LIST_TYPE, payload);
    for signer in signers {
        envelope.sign(&key(*signer)).unwrap();
    }
    SharingList::open(&envelope, &[key(1).verify_key()])
}

fn signed(list: &SharingList) -> Result<SignedList, ListError> {
    open_payload(&serde_json::to_vec(list).unwrap(), &[1])
}

fn day(text: &str) -> Day {
    text.parse().unwrap()
}

#[test]
fn forms_permit_every_more_closed_one_as_far_as_the_level_goes() {
    let forms = [Form::Raw, Form::BinnedVector, Form::Binned, Form::Sealed];
    for (level, named, permitted) in [
        (Level::L1, Form::Raw, [true, true, true, true]),
        (Level::L1, Form::Binned, [false, true, true, true]),
        (Level::L1, Form::Sealed, [false, false, false, true]),
        (Level::L2, Form::Binned, [false, true, true, true]),
        (Level::L2, Form::Sealed, [false, false, false, true]),
        (Level::L3, Form::Sealed, [false, false, false, true]),
    ] {
        let field = field("a", level, &[named]);
        assert_eq!(forms.map(|form| field.permits(form)), permitted, "{level:?} {named:?}");
    }
    // A list that was not checked gives no more than the level allows.
    assert_eq!(forms.map(|form| field("a", Level::L3, &[Form::Raw]).permits(form)), [false, false, false, true]);
    assert_eq!(forms.map(|form| field("a", Level::L4, &[Form::Raw]).permits(form)), [false; 4]);
}

#[test]
fn a_set_has_the_level_of_its_most_sensitive_field() {
    assert_eq!(Level::highest([]), None);
    assert_eq!(Level::highest([Level::L2, Level::L1]), Some(Level::L2));
    assert_eq!(Level::highest([Level::L1, Level::L4, Level::L3]), Some(Level::L4));
}

#[test]
fn a_field_is_shared_from_its_first_day_to_its_last() {
    let bounded = |from: Option<&str>, until: Option<&str>| {
        let bounds = ListField { from: from.map(day), until: until.map(day), ..field("a", Level::L2, &[Form::Binned]) };
        let list = signed(&list(1, vec![bounds])).unwrap();
        ["2026-02-28", "2026-03-01", "2026-03-31", "2026-04-01"]
            .map(|today| list.permits("a", Form::Binned, Purpose::JointModelling, day(today)).is_ok())
    };
    assert_eq!(bounded(None, None), [true; 4]);
    assert_eq!(bounded(Some("2026-03-01"), None), [false, true, true, true]);
    assert_eq!(bounded(None, Some("2026-03-31")), [true, true, true, false]);
    assert_eq!(bounded(Some("2026-03-01"), Some("2026-03-31")), [false, true, true, false]);
}

#[test]
fn every_bad_list_is_refused_with_field_and_remedy() {
    let refused = |change: &dyn Fn(&mut ListField), words: &[&str]| {
        let mut wrong = field("wrong", Level::L2, &[Form::Binned]);
        change(&mut wrong);
        let error = signed(&list(1, vec![field("right", Level::L1, &[Form::Raw]), wrong])).unwrap_err().to_string();
        for word in words {
            assert!(error.contains(word), "`{word}` is missing: {error}");
        }
    };
    refused(&|f| f.name = "right".into(), &["`right`", "twice", "remove"]);
    refused(&|f| f.name.clear(), &["#2", "no name"]);
    refused(&|f| f.forms = vec![Form::Raw], &["`wrong`", "level 2 does not travel raw", "level 1"]);
    refused(&|f| f.forms = vec![Form::BinnedVector], &["`wrong`", "form of consents", "`binned`"]);
    refused(&|f| f.forms = vec![], &["`wrong`", "no form", "level 4"]);
    refused(&|f| f.purposes = vec![], &["`wrong`", "no purpose"]);
    refused(&|f| (f.level, f.forms) = (Level::L3, vec![Form::Binned]), &["`wrong`", "level 3", "sealed only"]);
    refused(&|f| f.level = Level::L4, &["`wrong`", "level 4 never", "empty"]);
    let reversed = |f: &mut ListField| (f.from, f.until) = (Some(day("2026-03-01")), Some(day("2026-02-28")));
    refused(&reversed, &["`wrong`", "2026-02-28", "2026-03-01", "exchange"]);
    refused(&|f| f.refresh_days = 0, &["`wrong`", "refresh_days"]);
    refused(&|f| f.owner.clear(), &["`wrong`", "owner"]);
    let values = |f: &mut ListField| f.kind = FieldKind::Category { values: vec!["x".into(), "x".into()] };
    refused(&values, &["`wrong`", "distinct"]);
    assert!(signed(&list(0, vec![])).unwrap_err().to_string().contains("begin with 1"));
    assert!(signed(&list(1, vec![field("secret", Level::L4, &[])])).is_ok());
}

#[test]
fn what_cannot_be_read_names_its_field_and_place() {
    let refused = |change: &dyn Fn(&mut Value), words: &[&str]| {
        let fields = vec![field("right", Level::L1, &[Form::Raw]), field("wrong", Level::L2, &[Form::Binned])];
        let mut value = serde_json::to_value(list(1, fields)).unwrap();
        change(&mut value);
        let error = open_payload(value.to_string().as_bytes(), &[1]).unwrap_err().to_string();
        for word in words {
            assert!(error.contains(word), "`{word}` is missing: {error}");
        }
    };
    let place = "column";
    refused(&|v| v["fields"][1]["purposes"] = json!(["marketing"]), &["`wrong`", "marketing", "guarantee", place]);
    refused(&|v| v["fields"][1]["colour"] = json!(1), &["`wrong`", "colour", place]);
    refused(&|v| v["fields"][1]["level"] = json!("L5"), &["`wrong`", "L5", place]);
    refused(&|v| v["fields"][1]["forms"] = json!(["cooked"]), &["`wrong`", "cooked", place]);
    refused(&|v| v["fields"][1]["until"] = json!("2026-02-30"), &["`wrong`", "2026-02-30", "YYYY-MM-DD"]);
    refused(&|v| drop(v["fields"][1].as_object_mut().unwrap().remove("owner")), &["`wrong`", "owner"]);
    refused(&|v| drop(v["fields"][1].as_object_mut().unwrap().remove("name")), &["#2", "name"]);
    refused(&|v| v["colour"] = json!(1), &["colour", place]);
    refused(&|v| v["issued"] = json!("yesterday"), &["yesterday", "YYYY-MM-DD"]);
    assert!(open_payload(b"nonsense", &[1]).unwrap_err().to_string().contains("line 1"));
}

#[test]
fn only_the_authority_signs_lists() {
    let payload = serde_json::to_vec(&list(1, vec![])).unwrap();
    assert!(open_payload(&payload, &[1]).is_ok());
    assert!(open_payload(&payload, &[2, 1]).is_ok());
    assert!(matches!(open_payload(&payload, &[]), Err(ListError::Unsigned)));
    assert!(matches!(open_payload(&payload, &[2]), Err(ListError::Authority)));
    let mut other = Envelope::new("application/json", &payload);
    other.sign(&key(1)).unwrap();
    assert!(matches!(SharingList::open(&other, &[key(1).verify_key()]), Err(ListError::Authority)));
}

#[test]
fn every_version_is_kept_and_none_replaced() {
    let version = |number, name: &str| signed(&list(number, vec![field(name, Level::L1, &[Form::Raw])])).unwrap();
    let mut history = ListHistory::default();
    assert_eq!(history.newest().unwrap_err(), HistoryError::Empty);
    for (number, name) in [(2, "a"), (5, "b"), (2, "a"), (5, "b")] {
        history.add(version(number, name)).unwrap();
    }
    assert_eq!(history.add(version(5, "c")).unwrap_err(), HistoryError::OtherContent { version: 5 });
    assert_eq!(history.add(version(4, "c")).unwrap_err(), HistoryError::Older { version: 4, newest: 5 });
    assert_eq!(history.newest().unwrap().version(), 5);
    let (old, other) = (version(2, "a"), version(2, "b"));
    assert_eq!(history.pinned(2, &old.digest()).unwrap().fields()[0].name, "a");
    assert_eq!(history.pinned(2, &other.digest()).unwrap_err(), HistoryError::OtherContent { version: 2 });
    let unknown = history.version(3).unwrap_err();
    assert_eq!(unknown.to_string(), "version 3 of the sharing list is not here, only 2, 5");
    assert_eq!(history.iter().map(SignedList::version).collect::<Vec<_>>(), [2, 5]);
}

#[test]
fn a_difference_names_field_term_and_values() {
    let before = list(1, vec![field("kept", Level::L2, &[Form::Binned]), field("gone", Level::L1, &[Form::Raw])]);
    let kept = ListField {
        level: Level::L3,
        forms: vec![Form::Sealed],
        until: Some(day("2026-12-31")),
        ..before.fields[0].clone()
    };
    let now = list(2, vec![field("new", Level::L1, &[Form::Raw]), kept]);
    assert_eq!(difference(&before, &before), []);
    let shown: Vec<_> = difference(&before, &now)
        .into_iter()
        .map(|change| match change {
            Change::Added { field } => format!("+{}", field.name),
            Change::Removed { field } => format!("-{}", field.name),
            Change::Changed { field, term, before, now } => format!("{field}.{term}: {before} -> {now}"),
        })
        .collect();
    let expected = [
        "-gone",
        r#"kept.forms: ["binned"] -> ["sealed"]"#,
        r#"kept.level: "L2" -> "L3""#,
        r#"kept.until: null -> "2026-12-31""#,
        "+new",
    ];
    assert_eq!(shown, expected);
}
