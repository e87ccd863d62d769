//! `tallystick bench aggregation`: one round of secure aggregation, every message encoded and decoded as on the wire, without a
//! network.
//!
//! A bank's figure is its whole round, with the round's share of the keys and shares that a batch of rounds exchanges once;
//! the platform's likewise. Floors: the keystream of the masks that each side must compute, and nothing else.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use clap::Args;
use serde_json::json;
use tally_crypto::prg::{Sign, apply_masks};
use tally_crypto::seed::Seed;
use tally_crypto::sign::SigningKey;
use tally_crypto::transcript::Digest;
use tally_protocol::aggregation::{
    Aggregator, Contributor, Event, Part, ROUNDS_PER_BATCH, Reaction, Roster, RosterMember, RoundSpec, ToAggregator,
    ToMember,
};

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
}

/// Processor seconds and bytes of one side.
#[derive(Clone, Copy, Default)]
struct Spent {
    /// On keys and shares, once a batch.
    batch: f64,
    /// In the round.
    round: f64,
    bytes: u64,
    batch_bytes: u64,
}

impl Spent {
    fn per_round(&self) -> f64 {
        self.round + self.batch / f64::from(ROUNDS_PER_BATCH)
    }
}

struct Bench {
    aggregator: Aggregator,
    banks: BTreeMap<String, Contributor>,
    silent: Vec<String>,
    length: u32,
    server: Spent,
    /// Of the bank that is measured, the first one.
    client: Spent,
    measured: String,
}

impl AggregationArguments {
    /// Runs one round.
    pub(super) fn run(&self) -> Result<Printed, Failure> {
        let names: Vec<_> = (0..self.banks).map(|bank| format!("bank-{bank:04}")).collect();
        let mut bench = Bench::new(&names, self.length, self.dropped as usize)?;
        let sums = bench.round()?;
        let exact = (0..self.length as usize).all(|word| {
            let survivors = 0..i64::from(self.banks - self.dropped);
            sums[word] == survivors.map(|bank| value(bank, word)).fold(0, i64::wrapping_add)
        });
        let (client, server) = (bench.client, bench.server);
        let floors = self.floors();
        let bytes = client.bytes + client.batch_bytes / u64::from(ROUNDS_PER_BATCH);
        let value = json!({
            "banks": self.banks,
            "length": self.length,
            "dropped": self.dropped,
            "client_cpu_s": client.per_round(),
            "server_cpu_s": server.per_round(),
            "bytes_per_client": bytes,
            "floor_client_s": floors.0,
            "floor_server_s": floors.1,
            "exact": exact,
        });
        let text = format!(
            "{} banks, {} words, {} dropped: bank {:.4} s (keystream {:.4}), platform {:.4} s (keystream {:.4}), {} bytes \
             from a bank, sum {}",
            self.banks,
            self.length,
            self.dropped,
            client.per_round(),
            floors.0,
            server.per_round(),
            floors.1,
            bytes,
            if exact { "exact" } else { "WRONG" }
        );
        Ok(Printed { value, text, holds: exact })
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
            silent: names[names.len() - dropped..].to_vec(),
            length,
            server: Spent::default(),
            client: Spent::default(),
            measured: names[0].clone(),
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
                Event::Send { to, message } => {
                    for answer in self.bank(&to, &message)? {
                        queue.extend(self.platform(&to, &answer)?);
                    }
                }
            }
        }
    }

    /// Hands a message to a bank; its answers, encoded.
    fn bank(&mut self, name: &str, message: &ToMember) -> Result<Vec<(bool, Vec<u8>)>, Failure> {
        let batch = matches!(message, ToMember::OpenBatch { .. } | ToMember::Roll { .. } | ToMember::Deliver { .. });
        let before = process_cpu_seconds();
        let bytes = postcard::to_allocvec(message).map_err(failure::internal)?;
        self.server.add(batch, process_cpu_seconds() - before);
        if !batch && self.silent.iter().any(|silent| silent == name) {
            return Ok(Vec::new());
        }
        let number: i64 = name.trim_start_matches("bank-").parse().map_err(failure::internal)?;
        let mut values: Vec<_> = if matches!(message, ToMember::Offer(_)) {
            (0..self.length as usize).map(|word| value(number, word)).collect()
        } else {
            Vec::new()
        };
        let bank = self.banks.get_mut(name).ok_or_else(|| failure::internal("a bank outside the roster"))?;
        let before = process_cpu_seconds();
        let message: ToMember = postcard::from_bytes(&bytes).map_err(failure::internal)?;
        let mut answers = Vec::new();
        for reaction in bank.receive(message).map_err(failure::internal)? {
            let answer = match reaction {
                Reaction::Send(answer) => answer,
                Reaction::Offered(offer) => {
                    bank.contribute(&offer.spec, std::mem::take(&mut values)).map_err(failure::internal)?
                }
                Reaction::Releasing { .. } => continue,
            };
            answers.push((batch, postcard::to_allocvec(&answer).map_err(failure::internal)?));
        }
        let spent = process_cpu_seconds() - before;
        if name == self.measured {
            self.client.add(batch, spent);
            let sent: u64 = answers.iter().map(|(_, answer)| answer.len() as u64).sum();
            *if batch { &mut self.client.batch_bytes } else { &mut self.client.bytes } += sent;
        }
        Ok(answers)
    }

    fn platform(&mut self, from: &str, (batch, bytes): &(bool, Vec<u8>)) -> Result<Vec<Event>, Failure> {
        let before = process_cpu_seconds();
        let answer: ToAggregator = postcard::from_bytes(bytes).map_err(failure::internal)?;
        let events = self.aggregator.receive(from, answer).map_err(failure::internal)?;
        self.server.add(*batch, process_cpu_seconds() - before);
        Ok(events)
    }
}

impl Spent {
    fn add(&mut self, batch: bool, seconds: f64) {
        *if batch { &mut self.batch } else { &mut self.round } += seconds;
    }
}

/// A bank's value at a place of its vector.
fn value(bank: i64, word: usize) -> i64 {
    (bank + 1).wrapping_mul(0x09e3_779b_97f4_a7c1) ^ (word as i64).wrapping_mul(1_000_003)
}
