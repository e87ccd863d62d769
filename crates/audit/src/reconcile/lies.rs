//! What a node may write into its log instead of the truth, and what has to be found then.
//!
//! Told on synthetic logs beside this file, and on the logs of real nodes by the whole-system tests; so that it serves both, it
//! takes `Body`, `Digest` and `Kind` from the module that includes it.

use super::{Body, Digest, Kind};

/// A lie: what is written instead of an entry, if it is told of this entry.
pub(crate) type Lie = Box<dyn Fn(&Body) -> Option<Vec<Body>>>;

/// A lie, who tells it, and what is found.
pub(crate) struct Told {
    pub(crate) owner: &'static str,
    pub(crate) kind: Kind,
    pub(crate) lie: Lie,
}

/// Writes the entry with something else in it.
macro_rules! changed {
    ($entry:pat => $change:expr) => {
        Box::new(|body: &Body| {
            let mut other = body.clone();
            if let $entry = &mut other {
                $change;
                return Some(vec![other]);
            }
            None
        })
    };
}

/// Leaves the entry out.
macro_rules! dropped {
    ($entry:pat $(if $holds:expr)?) => {
        Box::new(|body: &Body| match body {
            $entry $(if $holds)? => Some(Vec::new()),
            _ => None,
        })
    };
}

/// Writes the entry twice.
macro_rules! doubled {
    ($entry:pat $(if $holds:expr)?) => {
        Box::new(|body: &Body| match body {
            $entry $(if $holds)? => Some(vec![body.clone(), body.clone()]),
            _ => None,
        })
    };
}

/// Writes that the session is in another stage right after it came to this one.
fn stage_after(reached: &'static str, then: &'static str) -> Lie {
    Box::new(move |body| match body {
        Body::SessionState { stage, .. } if stage == reached => {
            Some(vec![body.clone(), Body::SessionState { stage: then.into(), reason: None }])
        }
        _ => None,
    })
}

/// Writes that a row left the session right after it came to this stage.
fn withdrawn_after(reached: &'static str) -> Lie {
    after(reached, Body::ConsentWithdrawn { bank: "bank-2".into(), rows: 1 })
}

/// Writes that more consents have ended than there are events.
fn ended_after(reached: &'static str) -> Lie {
    after(reached, Body::ConsentEnded { bank: "bank-3".into(), changed: 1_000_000, expired: 0, forwarded: 0 })
}

/// Writes something more right after the session came to this stage.
fn after(reached: &'static str, more: Body) -> Lie {
    Box::new(move |body| match body {
        Body::SessionState { stage, .. } if stage == reached => Some(vec![body.clone(), more.clone()]),
        _ => None,
    })
}

fn other() -> Digest {
    Digest::of_bytes(b"another")
}

/// All of them, in a session of the platform and three banks.
pub(crate) fn catalogue() -> Vec<Told> {
    const PLATFORM: &str = "platform";
    let lies: Vec<(&'static str, Kind, Lie)> = vec![
        // Messages.
        ("bank-2", Kind::NotTaken, dropped!(Body::Ingress(passage) if passage.sequence == 3)),
        ("bank-2", Kind::NeverLeft, dropped!(Body::Egress(passage) if passage.sequence == 3)),
        (PLATFORM, Kind::NotTaken, dropped!(Body::Ingress(passage) if passage.sequence == 3)),
        (PLATFORM, Kind::NeverLeft, dropped!(Body::Egress(passage) if passage.sequence == 3)),
        ("bank-1", Kind::Stream, dropped!(Body::Egress(passage) if passage.sequence == 3)),
        ("bank-2", Kind::Stream, doubled!(Body::Egress(passage) if passage.sequence == 3)),
        // What all hold alike.
        ("bank-2", Kind::FactDiffers, changed!(Body::RoundResult { sums, round: 1, .. } => *sums = other())),
        ("bank-2", Kind::FactDiffers, changed!(Body::SessionContract { purpose, .. } => *purpose = "x".into())),
        ("bank-3", Kind::FactDiffers, changed!(Body::ModelRelease { model, .. } => *model = other())),
        ("bank-3", Kind::FactDiffers, changed!(Body::Attestation { env, .. } => *env = other())),
        ("bank-1", Kind::FactMissing, dropped!(Body::Attestation { .. })),
        ("bank-1", Kind::FactMissing, dropped!(Body::SessionContract { .. })),
        (PLATFORM, Kind::FactMissing, dropped!(Body::RoundResult { round: 1, .. })),
        ("bank-2", Kind::FactMissing, dropped!(Body::PsiRun { .. })),
        ("bank-1", Kind::FactTwice, doubled!(Body::RoundResult { round: 1, .. })),
        (PLATFORM, Kind::FactTwice, doubled!(Body::SessionContract { .. })),
        // Sums and models.
        (PLATFORM, Kind::Cohort, changed!(Body::RoundResult { cohort, round: 2, .. } => cohort.pop())),
        (PLATFORM, Kind::Cohort, changed!(Body::RoundResult { cohort, round: 2, .. } => cohort[0] = "bank-9".into())),
        ("bank-1", Kind::Contribution, changed!(Body::RoundCommit { masked, round: 2, .. } => *masked = other())),
        ("bank-1", Kind::Model, changed!(Body::ModelRelease { rounds, .. } => *rounds += 10_000)),
        ("bank-1", Kind::Model, dropped!(Body::ModelRelease { .. })),
        (PLATFORM, Kind::Model, dropped!(Body::RoundResult { .. })),
        // Order.
        ("bank-2", Kind::Order, stage_after("released", "approved")),
        (PLATFORM, Kind::Order, dropped!(Body::SessionContract { .. })),
        (PLATFORM, Kind::AfterEnd, stage_after("aligned", "aborted")),
        // Data.
        (PLATFORM, Kind::Clearance, dropped!(Body::Clearance { .. })),
        ("bank-2", Kind::Clearance, dropped!(Body::Clearance { .. })),
        (PLATFORM, Kind::Disclosure, dropped!(Body::FeatureDisclose(_))),
        (PLATFORM, Kind::Data, changed!(Body::Clearance { data, .. } => *data = other())),
        (PLATFORM, Kind::Data, dropped!(Body::DatasetCommit { .. })),
        ("bank-3", Kind::List, changed!(Body::PolicyLoad { list, .. } => *list = other())),
        ("bank-3", Kind::List, dropped!(Body::PolicyLoad { .. })),
        (PLATFORM, Kind::List, changed!(Body::Decision { list, .. } => *list += 1)),
        // Withdrawals that no consent stands behind.
        (PLATFORM, Kind::Withdrawal, withdrawn_after("aligned")),
        ("bank-2", Kind::Withdrawal, withdrawn_after("aligned")),
        ("bank-3", Kind::Withdrawal, ended_after("aligned")),
        // Scores.
        (PLATFORM, Kind::Decision, dropped!(Body::Decision { .. })),
        (PLATFORM, Kind::Decision, changed!(Body::Decision { consent, allow: true, .. } => *consent = None)),
        (PLATFORM, Kind::Decision, changed!(Body::Decision { purpose, .. } => *purpose = "x".into())),
        (
            PLATFORM,
            Kind::Decision,
            changed!(Body::Decision { allow, failed, consent, .. } => {
                (*allow, *failed, *consent) = (false, Some("expired".into()), None);
            }),
        ),
        (PLATFORM, Kind::Score, dropped!(Body::ScoreRequest { .. })),
        (PLATFORM, Kind::Score, doubled!(Body::ScoreResponse { .. })),
        ("bank-1", Kind::Score, changed!(Body::ScoreRequest { model, .. } => *model = other())),
        ("bank-1", Kind::Score, dropped!(Body::ScoreRequest { .. })),
    ];
    lies.into_iter().map(|(owner, kind, lie)| Told { owner, kind, lie }).collect()
}
