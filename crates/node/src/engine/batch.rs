//! Scores of a file's rows: calls like those of the scoring service, each under the name of its run and row, so that a run that
//! was stopped goes on without asking twice.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tally_crypto::transcript::Digest;
use tally_protocol::session::Holder;

use super::Engine;
use super::calls::{Key, Served, code_of};
use super::group::Outward;
use crate::control::{Awaited, BatchApplicant, BatchOrder, Reply, ScoreOrder};
use crate::failure::{self, Failure};

/// How long the rows of an order may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// How the log calls whoever scores files through the control socket.
const CALLER: &str = "score batch";

impl Engine {
    /// Names of the bank's own fields that a model reads.
    pub(super) fn fields_scored(&self, model: Option<&str>) -> Result<Value, Failure> {
        if self.is_platform() {
            return Err(failure::usage("applicants are scored at a bank's node"));
        }
        let session = self.choose_model(model)?;
        let model = self.models.get(&session);
        let model = model.ok_or_else(|| failure::unavailable("the node is about to load this model: try again"))?;
        let fields = model.contract.terms().fields_of(Holder::Banks).map(|field| field.name.as_str());
        Ok(json!(fields.collect::<Vec<_>>()))
    }

    /// Begins the rows of an order; the answer, in their order, follows when the last of them is there.
    pub(super) fn begin_batch(&mut self, order: BatchOrder, reply: Reply) -> Result<(), Failure> {
        if self.is_platform() {
            let refusal = failure::usage("applicants are scored at a bank's node");
            self.group.hold(Outward::Reply(reply, Err(refusal)));
            return Ok(());
        }
        let caller = self.gate.pseudonym(CALLER);
        let deadline = Instant::now() + PATIENCE;
        let mut answers = Vec::with_capacity(order.rows.len());
        let mut refused = BTreeMap::<String, u64>::new();
        for (row, applicant) in &order.rows {
            let key = Some(key(&order, *row, applicant)?);
            let order = order_of(&order, applicant);
            let (reply, answer) = Reply::channel();
            answers.push(answer);
            // A row waits for the platform: the scores of a file are of one model.
            let served = Served { order, caller, fallback: false, consent: None, key, deadline };
            if let Err(refusal) = self.begin_call(&served, &reply)? {
                *refused.entry(code_of(&refusal).into()).or_default() += 1;
                self.group.hold(Outward::Reply(reply, Err(refusal)));
            }
        }
        // In sum: rows are sent again as long as the platform is away.
        let refused: Vec<_> = refused.iter().map(|(code, count)| (Some(caller), code.as_str(), *count)).collect();
        self.log_calls(&refused)?;
        std::thread::spawn(move || {
            let answers: Vec<Value> = answers.into_iter().map(told).collect();
            reply.send(Ok(json!(answers)));
        });
        Ok(())
    }
}

fn key(order: &BatchOrder, row: u64, applicant: &BatchApplicant) -> Result<Key, Failure> {
    let name = Digest::of("tallystick/batch-row/v1", &[order.batch.as_bytes(), &row.to_be_bytes()]);
    let body =
        serde_json::to_vec(&(&order.model, order.purpose, order.reasons, applicant)).map_err(failure::internal)?;
    Ok(Key { name, body: Digest::of_bytes(&body) })
}

fn order_of(order: &BatchOrder, applicant: &BatchApplicant) -> ScoreOrder {
    ScoreOrder {
        session: order.model.clone(),
        id: applicant.id.clone(),
        purpose: order.purpose,
        application: applicant.application.clone(),
        fields: applicant.fields.clone(),
        reasons: order.reasons,
    }
}

/// The answer of one row: `{"ok": …}` or `{"failed": …}`.
fn told(mut answer: Awaited) -> Value {
    match answer.blocking_recv().unwrap_or_else(|| Err(failure::unavailable("the node is stopping"))) {
        Ok(mut answer) => {
            let told = answer.get_mut("replayed").map(Value::take).unwrap_or(answer);
            json!({ "ok": told })
        }
        Err(failure) => {
            // Every row without a score has a code.
            let code = code_of(&failure).to_owned();
            json!({ "failed": failure.coded(&code) })
        }
    }
}
