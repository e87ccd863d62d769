//! What the engine writes into the log: facts in the log's closed schema, reasons and names of requests as digests only.

use tally_audit::Body;
use tally_audit::entry::{Disclosure, GroupCounts, Passage};
use tally_crypto::transcript::Digest;
use tally_net::Incoming;
use tally_policy::disclosure::{Groups, Verdict};
use tally_policy::{Cleared, Denied, Form};
use tally_protocol::scoring::{ScoreOutcome, ScoreRequest};
use tally_protocol::session::{Attestation, Fact, Holder, SealedContract, Stage};

use crate::config::{Role, check_name};
use crate::store::DatasetInfo;

pub(super) fn genesis(role: Role, log_vkey: String) -> Body {
    let role = match role {
        Role::Platform => "platform",
        Role::Bank => "bank",
    };
    Body::Genesis { role: role.into(), log_vkey, software: env!("CARGO_PKG_VERSION").into() }
}

pub(super) fn dataset(info: &DatasetInfo) -> Body {
    Body::DatasetCommit {
        dataset: info.name.clone(),
        as_of: info.as_of.clone(),
        fields: info.dictionary.fields.iter().map(|field| field.name.clone()).collect(),
        rows: info.rows,
        root: info.commitment,
    }
}

pub(super) fn refusal(peer: Option<&str>, what: &str, why: &str, count: u64) -> Body {
    Body::Refusal { peer: peer.map(Into::into), reason: reason(why), what: what.into(), count }
}

pub(super) fn refused_message(peer: &str, why: &str) -> Body {
    refusal(Some(peer), "message", why, 1)
}

pub(super) fn ingress(peer: &str, message: &Incoming) -> Body {
    Body::Ingress(Passage {
        peer: peer.into(),
        sequence: message.sequence,
        kind: message.kind.clone(),
        form: None,
        digest: Digest::of_bytes(&message.body),
        bytes: message.body.len() as u64,
        receipt: Some(message.receipt.promise().leaf),
    })
}

pub(super) fn egress(peer: &str, sequence: u64, kind: &str, form: &str, body: &[u8]) -> Body {
    Body::Egress(Passage {
        peer: peer.into(),
        sequence,
        kind: kind.into(),
        form: Some(form.into()),
        digest: Digest::of_bytes(body),
        bytes: body.len() as u64,
        receipt: None,
    })
}

pub(super) fn approval(contract: Digest, order: Digest) -> Body {
    Body::OperatorApprove { contract, order: Some(order) }
}

pub(super) fn contract(contract: &SealedContract) -> Body {
    let terms = contract.terms();
    let fields = terms.fields_of(Holder::Platform);
    Body::SessionContract {
        contract: contract.digest(),
        parties: terms.parties.iter().map(|party| party.name.clone()).collect(),
        purpose: terms.purpose.to_string(),
        fields: fields.map(|field| (field.name.clone(), format!("{:?}", field.level))).collect(),
        list: terms.list.version,
        dataset: terms.snapshot.dataset.clone(),
        as_of: terms.snapshot.as_of.to_string(),
        data: terms.snapshot.commitment,
        min_cohort: terms.limits.min_cohort,
    }
}

pub(super) fn session_state(stage: Stage, why: Option<&str>) -> Body {
    Body::SessionState { stage: stage.to_string(), reason: why.map(reason) }
}

pub(super) fn clearance<T>(grantee: &str, cleared: &Cleared<Vec<T>>, denied: &Denied, data: Digest) -> Body {
    Body::Clearance {
        grantee: grantee.into(),
        allowed: cleared.len() as u64,
        denied: denied.iter().map(|(code, count)| ((*code).into(), *count)).collect(),
        basis: cleared.basis(),
        data,
    }
}

/// A bank's own rows for statistics: all of them, under no consent.
pub(super) fn own_rows(me: &str, rows: usize, data: Digest) -> Body {
    Body::Clearance {
        grantee: me.into(),
        allowed: rows as u64,
        denied: std::collections::BTreeMap::new(),
        basis: Digest::default(),
        data,
    }
}

pub(super) fn disclosure(grantee: &str, form: Form, verdict: &Verdict) -> Body {
    let counts = |groups: &Groups| {
        let Groups { fields, groups, smallest, unique, below } = *groups;
        GroupCounts { fields, groups, smallest, unique, below }
    };
    Body::FeatureDisclose(Disclosure {
        grantee: grantee.into(),
        form: form.to_string(),
        rows: verdict.rows,
        k: verdict.k,
        release: counts(&verdict.release),
        cumulative: counts(&verdict.cumulative),
        difference: verdict.difference,
    })
}

pub(super) fn fact(fact: &Fact) -> Body {
    match fact.clone() {
        Fact::ConsentSet { bank, rows, set } => Body::ConsentSet { bank, rows, set },
        Fact::Withdrawn { bank, rows } => Body::ConsentWithdrawn { bank, rows },
        Fact::Named { bank, rows } => Body::ConsentNamed { bank, rows },
        Fact::Alignment { bank, transcript } => Body::PsiRun { bank, transcript },
        Fact::Contributed { round, request, masked } => Body::RoundCommit { round, request, masked },
        Fact::Released { round, request, sums, cohort } => Body::RoundResult { round, request, sums, cohort },
        Fact::Model { model, rounds } => Body::ModelRelease { model, rounds },
    }
}

pub(super) fn attestation(attestation: &Attestation) -> Body {
    let (fact, env) = (attestation.fact.into(), attestation.digest);
    Body::Attestation { fact, env, signers: attestation.signers.clone() }
}

pub(super) fn model_state(model: &Digest, state: &str, order: Digest) -> Body {
    Body::ModelState { model: *model, state: state.into(), order: Some(order) }
}

pub(super) fn score_request(request: &ScoreRequest, applicant: Digest, caller: Option<Digest>) -> Body {
    Body::ScoreRequest {
        request: name_of(&request.request),
        applicant,
        purpose: request.purpose.to_string(),
        model: request.model,
        caller,
    }
}

pub(super) fn score_response(request: &str, outcome: &ScoreOutcome) -> Body {
    Body::ScoreResponse { request: name_of(request), outcome: outcome_of(outcome) }
}

pub(super) fn score_correction(request: &str, outcome: &ScoreOutcome) -> Body {
    Body::ScoreCorrection { request: name_of(request), outcome: outcome_of(outcome) }
}

/// The code of a refusal is a peer's text: it is written down only where it is a name.
fn outcome_of(outcome: &ScoreOutcome) -> String {
    match outcome {
        ScoreOutcome::Scored { .. } | ScoreOutcome::Coded { .. } => "scored".into(),
        ScoreOutcome::Refused { code, .. } if check_name(code).is_ok() => code.clone(),
        ScoreOutcome::Refused { .. } => "refused".into(),
    }
}

pub(super) fn name_of_report(report: &str) -> Digest {
    Digest::of("tallystick/outcome-report/v1", &[report.as_bytes()])
}

fn name_of(request: &str) -> Digest {
    Digest::of("tallystick/score-request/v1", &[request.as_bytes()])
}

fn reason(text: &str) -> Digest {
    Digest::of("tallystick/reason/v1", &[text.as_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peers_text_is_written_down_only_where_it_is_a_name() {
        for (code, logged) in [("no-consent", "no-consent"), ("Miller owes", "refused"), ("", "refused")] {
            let outcome = ScoreOutcome::Refused { code: code.into(), reason: String::new() };
            assert_eq!(outcome_of(&outcome), logged);
        }
        let long = ScoreOutcome::Refused { code: "x".repeat(70_000), reason: String::new() };
        assert_eq!(outcome_of(&long), "refused");
    }
}
