//! `tallystick bench aggregation`: one round of secure aggregation, every message encoded and decoded as on the wire, without a
//! network.
//!
//! A bank's figure is its whole round, with the round's share of the keys and shares that a batch of rounds exchanges once,
//! the median over the banks that answer to the end; the platform's likewise. Floors: the keystream of the masks that each side must compute, and nothing else.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use clap::Args;
use serde_json::json;
use tally_crypto::prg::{Sign, apply_masks};
use tally_crypto::seed::Seed;
use tally_crypto::sign::SigningKey;
use tally_crypto::transcript::Digest;
use tally_protocol::aggregation::{
    Aggregator, Contributor, Event, Part, ROUNDS_PER_BATCH, Reaction, Roster, RosterMember, RoundSpec, ToMember,
};
use tally_protocol::wire;

use crate::cli::Printed;
use crate::failure::{self, Failure};
use crate::process::process_cpu_seconds;

/// Arguments of `tallystick bench aggregation`.
#[derive(Args)]
pub(crate) struct AggregationArguments {
    /// Banks, three or more.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(3..=1000))]
    banks: u32,
    /// Length of the vectors, words of 64 bits.
    #[arg(long, value_name = "L")]
    length: u32,
    /// Banks that fall silent after the shares, before their masked vector.
    #[arg(long, default_value_t = 0, value_name = "D")]
    dropped: u32,
    /// Rounds, each with its own keys; the figures are medians.
    #[arg(long, default_value_t = 3, value_name = "R", value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
}

/// Seconds or bytes.
#[derive(Clone, Copy, Default)]
struct Amount {
    /// On keys and shares, once a batch.
    batch: f64,
    /// In the round.
    round: f64,
}

/// What one bank spends.
#[derive(Clone, Copy, Default)]
struct Spent {
    cpu: Amount,
    sent: Amount,
    received: Amount,
}

/// What one bank spends a round.
struct PerRound {
    cpu: f64,
    sent: f64,
    received: f64,
}

/// One whole round.
struct Run {
    client: PerRound,
    server: f64,
    exact: bool,
}

/// What a message belongs to: keys and shares of a batch, the offer that a bank answers with its vector, the rest of a round.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Batch,
    Offer,
    Round,
}

struct Bench {
    aggregator: Aggregator,
    banks: BTreeMap<String, Contributor>,
    /// Made before the clock starts, so that the round finds touched memory, as in a node that has run one before.
    inputs: BTreeMap<String, Vec<i64>>,
    silent: Vec<String>,
    length: u32,
    server: Amount,
    clients: BTreeMap<String, Spent>,
}

impl AggregationArguments {
    /// Runs rounds, each with fresh keys.
    pub(super) fn run(&self) -> Result<Printed, Failure> {
        let names: Vec<_> = (0..self.banks).map(|bank| format!("bank-{bank:04}")).collect();
        let mut runs = Vec::new();
        for _ in 0..self.repeat {
            runs.push(self.once(&names)?);
        }
        let exact = runs.iter().all(|run| run.exact);
        let middle = |figure: fn(&Run) -> f64| median(runs.iter().map(figure));
        let (client, server) = (middle(|run| run.client.cpu), middle(|run| run.server));
        let (sent, received) = (middle(|run| run.client.sent) as u64, middle(|run| run.client.received) as u64);
        let floors = self.floors();
        let value = json!({
            "banks": self.banks,
            "length": self.length,
            "dropped": self.dropped,
            "client_cpu_s": client,
            "server_cpu_s": server,
            "bytes_per_client": sent,
            "bytes_to_client": received,
            "floor_client_s": floors.0,
            "floor_server_s": floors.1,
            "exact": exact,
        });
        let text = format!(
            "{} banks, {} words, {} dropped: bank {client:.4} s (keystream {:.4}), platform {server:.4} s (keystream \
             {:.4}), {sent} bytes from a bank, {received} to it, sum {}",
            self.banks,
            self.length,
            self.dropped,
            floors.0,
            floors.1,
            if exact { "exact" } else { "WRONG" }
        );
        Ok(Printed { value, text, holds: exact })
    }

    fn once(&self, names: &[String]) -> Result<Run, Failure> {
        let mut bench = Bench::new(names, self.length, self.dropped as usize)?;
        let sums = bench.round()?;
        let survivors = 0..i64::from(self.banks - self.dropped);
        let sum = |word| survivors.clone().map(|bank| value(bank, word)).fold(0, i64::wrapping_add);
        let exact = sums.iter().copied().eq((0..self.length as usize).map(sum));
        let middle = |amount: fn(&Spent) -> Amount| median(bench.answering().map(|spent| amount(spent).per_round()));
        let client = PerRound {
            cpu: middle(|spent| spent.cpu),
            sent: middle(|spent| spent.sent),
            received: middle(|spent| spent.received),
        };
        Ok(Run { client, server: bench.server.per_round(), exact })
    }

    /// Keystream of a bank: one mask for every other and its own. Of the platform: one for each survivor, and one for each
    /// pair of a dropped bank and a survivor.
    fn floors(&self) -> (f64, f64) {
        let survivors = self.banks - self.dropped;
        (self.keystream(self.banks), self.keystream(survivors * (1 + self.dropped)))
    }

    fn keystream(&self, masks: u32) -> f64 {
        let mut words = vec![0u64; self.length as usize];
        let masks: Vec<_> = (0..masks).map(|mask| (Seed::new([mask as u8; 32]), Sign::Add)).collect();
        // Short work is repeated, so that the clock can see it; a first pass touches the memory.
        let repeats = (50_000_000 / (u64::from(self.length.max(1)) * masks.len() as u64)).clamp(1, 1000) as u32;
        apply_masks(&masks[..1], &mut words);
        let before = process_cpu_seconds();
        for _ in 0..repeats {
            apply_masks(&masks, &mut words);
        }
        let spent = process_cpu_seconds() - before;
        std::hint::black_box(&words);
        spent / f64::from(repeats)
    }
}

impl Bench {
    fn new(names: &[String], length: u32, dropped: usize) -> Result<Self, Failure> {
        let key = |name: &str| Arc::new(SigningKey::from_seed(&Seed::new([1; 32]).derive("key", &[name.as_bytes()])));
        let members =
            names.iter().map(|name| RosterMember { name: name.clone(), key: key(name).verify_key() }).collect();
        let roster = Roster::new(Digest::of_bytes(b"bench"), members, 3).map_err(failure::usage)?;
        if names.len().saturating_sub(dropped) < roster.quorum() {
            let text = format!("--dropped: {} of {} banks must stay", roster.quorum(), names.len());
            return Err(failure::usage(text));
        }
        let contributor = |name: &String| {
            let seed = Seed::new([2; 32]).derive("seed", &[name.as_bytes()]);
            Ok((name.clone(), Contributor::new(roster.clone(), name, key(name), seed)?))
        };
        let banks = names.iter().map(contributor).collect::<Result<_, tally_protocol::aggregation::Misbehaved>>();
        Ok(Self {
            aggregator: Aggregator::new(roster),
            banks: banks.map_err(failure::internal)?,
            inputs: names.iter().zip(0..).map(|(name, bank)| (name.clone(), input(bank, length))).collect(),
            silent: names[names.len() - dropped..].to_vec(),
            length,
            server: Amount::default(),
            clients: names.iter().map(|name| (name.clone(), Spent::default())).collect(),
        })
    }

    /// One round from the first key to the sum.
    fn round(&mut self) -> Result<Vec<i64>, Failure> {
        let spec = RoundSpec { round: 0, request: Digest::default(), part: Part::Whole, words: self.length };
        let mut queue = VecDeque::from(self.aggregator.open_round(spec).map_err(failure::internal)?);
        loop {
            let Some(event) = queue.pop_front() else {
                let before = process_cpu_seconds();
                let events = self.aggregator.give_up_waiting().map_err(failure::internal)?;
                self.server.round += process_cpu_seconds() - before;
                if events.is_empty() {
                    return Err(failure::internal("the round does not go on"));
                }
                queue.extend(events);
                continue;
            };
            match event {
                Event::Released { sums, .. } => return Ok(sums),
                Event::CalledOff { .. } => return Err(failure::internal("the round was called off")),
                Event::Refused { from, misbehaved } => {
                    return Err(failure::internal(format!("{from}: {misbehaved}")));
                }
                Event::Send { to, message } => {
                    let step = Step::of(&message);
                    let before = process_cpu_seconds();
                    let bytes = wire::encode(&message);
                    self.server.add(step, process_cpu_seconds() - before);
                    drop(message);
                    for name in to {
                        for answer in self.bank(&name, step, &bytes)? {
                            queue.extend(self.platform(&name, step, &answer)?);
                        }
                    }
                }
            }
        }
    }

    /// Hands a message to a bank; its answers, encoded.
    fn bank(&mut self, name: &str, step: Step, bytes: &[u8]) -> Result<Vec<Vec<u8>>, Failure> {
        if step != Step::Batch && self.silent.iter().any(|silent| silent == name) {
            return Ok(Vec::new());
        }
        let bank = self.banks.get_mut(name).ok_or_else(|| failure::internal("a bank outside the roster"))?;
        let before = process_cpu_seconds();
        let message = wire::decode(bytes).ok_or_else(|| failure::internal("a message that does not decode"))?;
        let mut answers = Vec::new();
        for reaction in bank.receive(message).map_err(failure::internal)? {
            let answer = match reaction {
                Reaction::Send(answer) => answer,
                Reaction::Offered(offer) => {
                    let values = self.inputs.remove(name).unwrap_or_default();
                    bank.contribute(&offer.spec, values).map_err(failure::internal)?
                }
                Reaction::Releasing { .. } => continue,
            };
            answers.push(wire::encode(&answer));
        }
        let spent = process_cpu_seconds() - before;
        let client = self.clients.entry(name.into()).or_default();
        client.cpu.add(step, spent);
        client.sent.add(step, answers.iter().map(|answer| answer.len() as f64).sum());
        client.received.add(step, bytes.len() as f64);
        Ok(answers)
    }

    /// The banks that answer to the end.
    fn answering(&self) -> impl Iterator<Item = &Spent> {
        self.clients.iter().filter(|(name, _)| !self.silent.contains(name)).map(|(_, spent)| spent)
    }

    fn platform(&mut self, from: &str, step: Step, bytes: &[u8]) -> Result<Vec<Event>, Failure> {
        let before = process_cpu_seconds();
        let answer = wire::decode(bytes).ok_or_else(|| failure::internal("an answer that does not decode"))?;
        let events = self.aggregator.receive(from, answer).map_err(failure::internal)?;
        self.server.add(step, process_cpu_seconds() - before);
        Ok(events)
    }
}

impl Amount {
    fn add(&mut self, step: Step, amount: f64) {
        *if step == Step::Batch { &mut self.batch } else { &mut self.round } += amount;
    }

    fn per_round(&self) -> f64 {
        self.round + self.batch / f64::from(ROUNDS_PER_BATCH)
    }
}

impl Step {
    fn of(message: &ToMember) -> Self {
        match message {
            ToMember::OpenBatch { .. } | ToMember::Roll { .. } | ToMember::Deliver { .. } => Self::Batch,
            ToMember::Offer(_) => Self::Offer,
            ToMember::Survivors { .. } | ToMember::Quorum { .. } => Self::Round,
        }
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

fn input(bank: i64, length: u32) -> Vec<i64> {
    (0..length as usize).map(|word| value(bank, word)).collect()
}

/// A bank's value at a place of its vector.
fn value(bank: i64, word: usize) -> i64 {
    (bank + 1).wrapping_mul(0x09e3_779b_97f4_a7c1) ^ (word as i64).wrapping_mul(1_000_003)
}
