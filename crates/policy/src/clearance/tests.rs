use super::*;
use crate::list::tests::field;
use crate::*;
use tally_crypto::seed::Seed;
use tally_crypto::sign::SigningKey;
use tally_model::text::Text;

const REGISTRAR: [u8; 32] = [1; 32];
const ENTERPRISE: [u8; 32] = [2; 32];

fn key(seed: [u8; 32]) -> SigningKey {
    SigningKey::from_seed(&Seed::new(seed))
}

fn list(fields: Vec<ListField>) -> Result<SignedList, ListError> {
    let list =
        SharingList { version: 1, city: Text::new("市", "city"), issued: "2026-01-01".parse().unwrap(), fields };
    let mut envelope = list.envelope();
    envelope.sign(&key([3; 32])).unwrap();
    SharingList::open(&envelope, &[key([3; 32]).verify_key()])
}

fn consent() -> Consent {
    Consent {
        version: 1,
        consent_id: "c1".into(),
        supersedes: None,
        subject_kind: SubjectKind::Enterprise,
        subject: "e".into(),
        signer: Signer {
            role: SignerRole::LegalRepresentative,
            assurance: "e-licence".into(),
            assurance_level: "high".into(),
            key: key(ENTERPRISE).verify_key(),
            mandate: None,
            certificate: None,
        },
        grantee: "bank-1".into(),
        providers: vec!["platform".into()],
        purposes: vec![Purpose::JointModelling],
        application: None,
        categories: vec!["tax".into()],
        fields: Vec::new(),
        max_level: Level::L2,
        form: Form::Binned,
        data: None,
        granted: 10,
        not_before: 10,
        not_after: 20,
        fetch: Fetch::Periodic { max_uses: 2, every_days: 0 },
        data_life_days: 30,
        mode: Mode::Compute,
        onward: Onward::Never,
        notice: Notice { digest: Digest::default(), version: "1".into(), language: "zh".into(), shown_at: 9 },
        withdrawal: "at the counter".into(),
    }
}

fn signed(consent: &Consent, keys: &[[u8; 32]]) -> String {
    let mut envelope = consent.envelope();
    for seed in keys {
        envelope.sign(&key(*seed)).unwrap();
    }
    serde_json::to_string(&envelope).unwrap()
}

fn open(document: &str) -> Result<VerifiedConsent, String> {
    VerifiedConsent::open(document, Authority { registrars: &[key(REGISTRAR).verify_key()], now: 15 })
}

/// A register with these consents, each signed as it must be.
fn register(consents: &[Consent]) -> Register {
    let mut register = Register::default();
    for consent in consents {
        assert_eq!(register.add(&open(&signed(consent, &[ENTERPRISE, REGISTRAR])).unwrap()), Ok(true));
    }
    register
}

fn question<'a>(fields: &'a [&'a str]) -> Question<'a> {
    Question {
        grantee: "bank-1",
        provider: "platform",
        purpose: Purpose::JointModelling,
        fields,
        form: Form::Binned,
        vector: fields.len(),
        as_of: "2026-01-01".parse().ok(),
        application: None,
        consent: None,
        time: 15,
    }
}

fn two_fields() -> SignedList {
    list(vec![field("paid", Level::L2, &[Form::Binned]), field("secret", Level::L3, &[Form::Sealed])]).unwrap()
}

/// Asks whether `e` may be used for the question with a change.
fn ask(register: &Register, change: &dyn Fn(&mut Question<'_>)) -> Result<Digest, Condition> {
    let mut question = question(&["paid"]);
    change(&mut question);
    let cleared = Clearance::new(&two_fields(), register).subject("e", &question)?;
    Ok(cleared.consents()[0])
}

#[test]
fn every_condition_of_the_list_is_enforced_and_named() {
    let register = register(&[consent()]);
    assert!(ask(&register, &|_| {}).is_ok());
    assert_eq!(ask(&register, &|q| q.form = Form::Raw), Err(Condition::Form("paid".into())));
    assert_eq!(ask(&register, &|q| q.purpose = Purpose::Guarantee), Err(Condition::FieldPurpose("paid".into())));
    assert_eq!(ask(&register, &|q| q.fields = &["secret"]), Err(Condition::Form("secret".into())));
    assert_eq!(ask(&register, &|q| q.fields = &["nothing"]), Err(Condition::NotListed("nothing".into())));
    let sealed = ask(&register, &|q| (q.fields, q.form) = (&["secret"], Form::Sealed));
    assert_eq!(sealed, Err(Condition::Level("secret".into())));
    // What may travel binned may also take part sealed.
    assert!(ask(&register, &|q| q.form = Form::Sealed).is_ok());
}

#[test]
fn every_condition_of_the_consent_is_enforced_and_named() {
    let refused = |change: &dyn Fn(&mut Consent), condition: Condition| {
        let mut changed = consent();
        change(&mut changed);
        assert_eq!(ask(&register(&[changed]), &|_| {}), Err(condition));
    };
    refused(&|c| c.subject = "other".into(), Condition::NoConsent);
    refused(&|c| c.grantee = "bank-2".into(), Condition::NoConsent);
    refused(&|c| c.providers = vec!["another".into()], Condition::Provider);
    refused(&|c| c.purposes = vec![Purpose::Guarantee], Condition::ConsentPurpose);
    refused(&|c| c.categories = vec!["court".into()], Condition::Category("paid".into()));
    refused(&|c| c.fields = vec!["secret".into()], Condition::Category("paid".into()));
    refused(&|c| c.max_level = Level::L1, Condition::Level("paid".into()));
    refused(&|c| c.form = Form::Sealed, Condition::ConsentForm);
    refused(&|c| c.mode = Mode::View, Condition::Mode);
    let days = |from: &str, to: &str| Some(Days { from: from.parse().unwrap(), to: to.parse().unwrap() });
    refused(&|c| c.data = days("2026-01-02", "2026-12-31"), Condition::DataRange);
    refused(&|c| c.not_before = 16, Condition::NotYet);
    refused(&|c| c.not_after = 14, Condition::Expired);
    let one_time = |c: &mut Consent| (c.fetch, c.application) = (Fetch::OneTime, Some("loan-7".into()));
    refused(&one_time, Condition::Application);
}

#[test]
fn six_binned_fields_need_a_consent_to_a_vector() {
    let narrow = register(&[consent()]);
    assert!(ask(&narrow, &|q| q.vector = 5).is_ok());
    assert_eq!(ask(&narrow, &|q| q.vector = 6), Err(Condition::BinnedVector));
    assert!(ask(&narrow, &|q| (q.vector, q.form) = (6, Form::Sealed)).is_ok());
    let wide = register(&[Consent { form: Form::BinnedVector, ..consent() }]);
    assert!(ask(&wide, &|q| q.vector = 60).is_ok());
}

#[test]
fn uses_are_counted_and_spaced() {
    let mut twice = register(&[consent()]);
    let digest = ask(&twice, &|_| {}).unwrap();
    twice.count_use(&digest, 2, 12);
    assert_eq!(ask(&twice, &|_| {}), Err(Condition::Exhausted));
    const DAY: i64 = 24 * 60 * 60 * 1000;
    let weekly = Consent { fetch: Fetch::Periodic { max_uses: 9, every_days: 7 }, not_after: 100 * DAY, ..consent() };
    let mut weekly = register(&[weekly]);
    weekly.count_use(&ask(&weekly, &|_| {}).unwrap(), 1, DAY);
    assert_eq!(ask(&weekly, &|q| q.time = 8 * DAY - 1), Err(Condition::TooSoon));
    assert!(ask(&weekly, &|q| q.time = 8 * DAY).is_ok());
    let (list, soon) = (two_fields(), Question { time: DAY, ..question(&["paid"]) });
    assert_eq!(Clearance::new(&list, &weekly).subject("e", &soon).unwrap_err(), Condition::TooSoon);
    assert!(Clearance::new(&list, &weekly).without_use().subject("e", &soon).is_ok());
    let one_time = Consent { fetch: Fetch::OneTime, application: Some("loan-7".into()), ..consent() };
    let mut one_time = register(&[one_time]);
    let for_loan = |q: &mut Question<'_>| q.application = Some(application_digest("loan-7"));
    let counted = one_time.count_use(&ask(&one_time, &for_loan).unwrap(), 1, 15).unwrap();
    assert_eq!(ask(&one_time, &for_loan), Err(Condition::Exhausted));
    one_time.take_back(counted);
    assert!(ask(&one_time, &for_loan).is_ok());
}

#[test]
fn a_named_consent_is_the_only_one_that_counts() {
    let other = Consent { consent_id: "c2".into(), purposes: vec![Purpose::Guarantee], ..consent() };
    let mut register = register(&[consent(), other, Consent { consent_id: "c3".into(), ..consent() }]);
    let given: Vec<_> = register.of_subject("e", 15).iter().map(|standing| standing.consent).collect();
    let [newest, unfit, older] = given[..] else { panic!("{given:?}") };
    assert_eq!(ask(&register, &|_| {}), Ok(newest));
    let named = |consent: Digest| move |q: &mut Question<'_>| q.consent = Some(consent);
    assert_eq!(ask(&register, &named(older)), Ok(older));
    assert_eq!(ask(&register, &named(unfit)), Err(Condition::ConsentPurpose));
    assert_eq!(ask(&register, &named(Digest::default())), Err(Condition::NoConsent));
    // What is used up does not fall back to another one.
    register.count_use(&older, 2, 15);
    assert_eq!(ask(&register, &named(older)), Err(Condition::Exhausted));
    assert_eq!(ask(&register, &|_| {}), Ok(newest));
    let list = two_fields();
    let again = |consent| {
        let asked = Question { consent: Some(consent), ..question(&["paid"]) };
        Clearance::new(&list, &register).again("e", &asked).map(|cleared| cleared.consents().to_vec())
    };
    assert_eq!(again(older), Some(vec![older]));
    assert_eq!(again(unfit), None);
}

/// What rests on a consent for one loan is taken in for another purpose no more than it is given.
#[test]
fn a_consent_for_one_application_is_none_for_whatever_names_no_application() {
    let register = register(&[Consent { fetch: Fetch::OneTime, application: Some("loan-7".into()), ..consent() }]);
    let list = two_fields();
    let clearance = Clearance::new(&list, &register);
    let asked = question(&["paid"]);
    assert_eq!(clearance.subject("e", &asked).map(drop), Err(Condition::Application));
    assert!(clearance.again("e", &asked).is_none());
    let for_loan = Question { application: Some(application_digest("loan-7")), ..question(&["paid"]) };
    let given = clearance.again("e", &for_loan).unwrap().consents()[0];
    // A correction names the consent under which it was first told.
    assert!(clearance.again("e", &Question { consent: Some(given), ..question(&["paid"]) }).is_some());
}

#[test]
fn a_consent_needs_both_signatures() {
    let refused = |keys: &[[u8; 32]]| open(&signed(&consent(), keys)).unwrap_err();
    assert!(open(&signed(&consent(), &[ENTERPRISE, REGISTRAR])).is_ok());
    assert!(refused(&[REGISTRAR]).contains("enterprise"));
    assert!(refused(&[ENTERPRISE]).contains("registrar"));
    assert!(refused(&[ENTERPRISE, [9; 32]]).contains("registrar"));
    let good = signed(&consent(), &[ENTERPRISE, REGISTRAR]);
    let other = signed(&Consent { grantee: "bank-2".into(), ..consent() }, &[ENTERPRISE, REGISTRAR]);
    let envelope = |text: &str| serde_json::from_str::<tally_crypto::sign::Envelope>(text).unwrap();
    for place in 0..2 {
        let (mut moved, from) = (envelope(&good), envelope(&other));
        moved.signatures[place] = from.signatures[place].clone();
        let reason = open(&serde_json::to_string(&moved).unwrap()).unwrap_err();
        assert!(reason.contains(["enterprise's signature", "registrar's signature"][place]), "{reason}");
    }
    let authority = [key(REGISTRAR).verify_key()];
    let authority = Authority { registrars: &authority, now: 15 };
    let mut lines = vec![good; 600];
    assert_eq!(verify_all(&lines, authority).unwrap().len(), 600);
    lines[555] = "{}".into();
    assert_eq!(verify_all(&lines, authority).unwrap_err().line, 556);
    lines[555] = signed(&consent(), &[ENTERPRISE, [9; 32]]);
    assert_eq!(verify_all(&lines, authority).unwrap_err().line, 556);
}

#[test]
fn a_consent_that_breaks_a_rule_is_refused_with_its_reason() {
    let refused = |change: &dyn Fn(&mut Consent), word: &str| {
        let mut changed = consent();
        change(&mut changed);
        let reason = open(&signed(&changed, &[ENTERPRISE, REGISTRAR])).unwrap_err();
        assert!(reason.contains(word), "{reason}");
    };
    refused(&|c| c.version = 2, "version");
    refused(&|c| c.not_after = 10, "window");
    refused(&|c| c.granted = 11, "back-dated");
    refused(&|c| (c.granted, c.not_before, c.not_after) = (1_000_000, 1_000_000, 2_000_000), "future");
    refused(&|c| c.notice.shown_at = 11, "notice");
    refused(&|c| c.purposes.clear(), "purpose");
    refused(&|c| c.categories.clear(), "category");
    refused(&|c| c.providers.clear(), "provider");
    refused(&|c| c.fetch = Fetch::OneTime, "application");
    refused(&|c| c.application = Some("loan-7".into()), "application");
    refused(&|c| c.signer.role = SignerRole::AuthorisedAgent, "mandate");
    refused(&|c| c.signer.role = SignerRole::Subject, "representative");
    refused(&|c| c.max_level = Level::L4, "level 4");
    refused(&|c| c.withdrawal.clear(), "withdraw");
    let text = serde_json::to_string(&consent()).unwrap().replace("\"joint-modelling\"", "\"marketing\"");
    let mut envelope = tally_crypto::sign::Envelope::new(CONSENT_TYPE, text.as_bytes());
    envelope.sign(&key(ENTERPRISE)).unwrap();
    let reason = open(&serde_json::to_string(&envelope).unwrap()).unwrap_err();
    assert!(reason.contains("marketing"), "{reason}");
}

#[test]
fn a_list_that_breaks_a_rule_is_refused() {
    assert!(list(vec![field("a", Level::L2, &[Form::Raw])]).is_err());
    assert!(list(vec![field("a", Level::L3, &[Form::Binned])]).is_err());
    assert!(list(vec![field("a", Level::L4, &[Form::Sealed])]).is_err());
    assert!(list(vec![field("a", Level::L1, &[Form::Raw]), field("a", Level::L1, &[Form::Raw])]).is_err());
}

#[test]
fn rows_are_cleared_one_by_one() {
    let list = two_fields();
    let register = register(&[consent()]);
    let (cleared, denied) =
        Clearance::new(&list, &register).rows(&question(&["paid"]), ["e", "f", "g"], |row| row).unwrap();
    assert_eq!(*cleared, ["e"]);
    assert_eq!(denied, Denied::from([("no-consent", 2)]));
}

/// The chain of a consent's events: `kind` at `time` after `previous`, signed by `seed`.
fn event(of: Digest, previous: Digest, kind: EventKind, time: i64, seed: [u8; 32]) -> VerifiedEvent {
    let key = key(seed);
    let event =
        ConsentEvent { version: 1, consent: of, previous, kind, time, reason: String::new(), key: key.verify_key() };
    let mut envelope = event.envelope();
    envelope.sign(&key).unwrap();
    VerifiedEvent::open(&serde_json::to_string(&envelope).unwrap()).unwrap()
}

#[test]
fn the_state_at_any_time_is_a_fold_over_the_events() {
    let mut register = register(&[consent()]);
    let of = ask(&register, &|_| {}).unwrap();
    let registrars = [key(REGISTRAR).verify_key()];
    let mut last = of;
    let chain = [(EventKind::Pause, 12), (EventKind::Resume, 14), (EventKind::Pause, 14), (EventKind::Revoke, 17)];
    for (kind, time) in chain {
        let event = event(of, last, kind, time, ENTERPRISE);
        assert_eq!(register.happen(&event, &registrars, 20), Ok(true));
        // The same once more changes nothing.
        assert_eq!(register.happen(&event, &registrars, 20), Ok(false));
        last = event.digest();
    }
    let at = |time| register.state(&of, time).unwrap();
    assert_eq!([9, 10, 11].map(at), [State::NotYet, State::Active, State::Active]);
    assert_eq!([12, 13, 14, 16].map(at), [State::Paused; 4]);
    assert_eq!([17, 20, 30].map(at), [State::Revoked; 3]);
    assert_eq!(ask(&register, &|_| {}), Err(Condition::Paused));
    assert_eq!(ask(&register, &|q| q.time = 18), Err(Condition::Revoked));
}

#[test]
fn an_event_that_does_not_go_on_the_chain_is_refused_with_its_reason() {
    let mut register = register(&[consent()]);
    let of = ask(&register, &|_| {}).unwrap();
    let registrars = [key(REGISTRAR).verify_key()];
    let pause = event(of, of, EventKind::Pause, 12, ENTERPRISE);
    assert_eq!(register.happen(&pause, &registrars, 20), Ok(true));
    let resume = event(of, pause.digest(), EventKind::Resume, 13, REGISTRAR);
    assert_eq!(register.happen(&resume, &registrars, 20), Ok(true));
    let again = event(of, resume.digest(), EventKind::Pause, 14, ENTERPRISE);
    assert_eq!(register.happen(&again, &registrars, 20), Ok(true));
    let refusals = [
        (resume, "played again"),
        (event(of, again.digest(), EventKind::Resume, 15, [9; 32]), "neither"),
        (event(of, again.digest(), EventKind::Resume, 13, ENTERPRISE), "back-dated"),
        (event(of, again.digest(), EventKind::Resume, 900_000, ENTERPRISE), "future"),
        (event(of, again.digest(), EventKind::Pause, 15, ENTERPRISE), "does not fit"),
        (event(Digest::default(), of, EventKind::Pause, 15, ENTERPRISE), "not here"),
    ];
    for (event, word) in refusals {
        let reason = register.happen(&event, &registrars, 20).unwrap_err();
        assert!(reason.contains(word), "{reason}");
    }
    assert_eq!(register.state(&of, 15), Some(State::Paused));
}

#[test]
fn a_later_consent_supersedes() {
    let narrower = |id: &str, amends: &str| Consent {
        consent_id: id.into(),
        supersedes: Some(amends.into()),
        purposes: vec![Purpose::Guarantee],
        granted: 12,
        not_before: 12,
        ..consent()
    };
    let mut register = register(&[consent(), narrower("c2", "c1")]);
    // What stands in the way is told of the newest consent.
    assert_eq!(ask(&register, &|_| {}), Err(Condition::ConsentPurpose));
    assert!(ask(&register, &|q| q.time = 11).is_ok());
    let mut add = |consent: &Consent| register.add(&open(&signed(consent, &[ENTERPRISE, REGISTRAR])).unwrap());
    assert!(add(&narrower("c3", "c1")).unwrap_err().contains("newest"));
    assert!(add(&narrower("c3", "c9")).unwrap_err().contains("not here"));
    let elsewhere = Consent { grantee: "bank-2".into(), ..narrower("c3", "c2") };
    assert!(add(&elsewhere).unwrap_err().contains("another institution"));
    let earlier = Consent { granted: 11, ..narrower("c3", "c2") };
    assert!(add(&earlier).unwrap_err().contains("back-dated"));
    assert!(add(&Consent { not_after: 30, ..consent() }).unwrap_err().contains("consent_id"));
    assert_eq!(add(&consent()), Ok(false));
}

#[test]
fn what_does_not_last_is_taken_back() {
    let mut register = register(&[consent()]);
    let of = ask(&register, &|_| {}).unwrap();
    let mark = register.mark();
    let another = Consent { consent_id: "c2".into(), supersedes: Some("c1".into()), ..consent() };
    let stranger = Consent { subject: "f".into(), ..consent() };
    for consent in [&another, &stranger, &Consent { consent_id: "c3".into(), ..consent() }] {
        assert_eq!(register.add(&open(&signed(consent, &[ENTERPRISE, REGISTRAR])).unwrap()), Ok(true));
    }
    let pause = event(of, of, EventKind::Pause, 12, ENTERPRISE);
    assert_eq!(register.happen(&pause, &[], 20), Ok(true));
    register.back_to(mark);
    assert_eq!((register.len(), register.of_subject("f", 15).len(), register.of_subject("e", 15).len()), (1, 0, 1));
    assert_eq!(ask(&register, &|_| {}), Ok(of));
    assert_eq!(register.add(&open(&signed(&another, &[ENTERPRISE, REGISTRAR])).unwrap()), Ok(true));
}

#[test]
fn data_live_on_for_their_life_after_the_end() {
    const DAY: i64 = 24 * 60 * 60 * 1000;
    let mut register = register(&[consent()]);
    let of = ask(&register, &|_| {}).unwrap();
    assert_eq!(register.data_life_ends(&of, 15), None);
    assert_eq!(register.data_life_ends(&of, 21), Some(20 + 30 * DAY));
    register.happen(&event(of, of, EventKind::Revoke, 12, ENTERPRISE), &[], 20).unwrap();
    assert_eq!(register.data_life_ends(&of, 15), Some(12 + 30 * DAY));
}
