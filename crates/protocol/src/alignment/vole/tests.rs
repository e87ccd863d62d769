//! What a platform that follows the protocol can compute from the words that a bank sends.
//!
//! The attack worked on the first form of the code: the words are `P + A`, and if all of `A` lies in a GF(2)-space of few dimensions,
//! there are GF(2)-linear functionals of (decoded word plus value, point of the key) that vanish for every identifier that the bank
//! encoded and for half of the others. Where most candidates are the bank's, linear algebra finds them; then each identifier
//! of a public register is tested by itself.

use std::collections::{HashSet, VecDeque};

use rand_core::Rng as _;
use tally_crypto::field::{Block, random};
use tally_crypto::okvs::{decode, encode};
use tally_crypto::seed::Seed;
use tally_crypto::transcript::Digest;

use super::hash::Public;
use super::platform::shard_context;
use super::shards::Plan;
use super::{Bank, Platform};
use crate::alignment::messages::{Announcement, ToBank, ToPlatform, Words};
use crate::alignment::{Engine, Identifiers, Resume, Terms};

const MEMBERS: usize = 8_192;
const REGISTER: usize = 20_000;

fn names(numbers: impl IntoIterator<Item = usize>) -> Vec<String> {
    numbers.into_iter().map(|number| format!("91320100MA{number:08}")).collect()
}

fn terms() -> Terms {
    let (session, purpose, bank) = (Digest::of_bytes(b"recorded"), "joint-modelling".into(), "bank-1".into());
    Terms { session, purpose, bank, engine: Engine::Vole, cap: 1 << 20, resume: Resume::default() }
}

/// What the platform has after a run: the words, and the public randomness.
struct Recorded {
    words: Vec<Block>,
    public: Public,
    plan: Plan,
}

/// One run of both machines, of which the platform keeps what it received.
fn recorded(members: &[String]) -> Recorded {
    let terms = terms();
    let offered: Identifiers = members.iter().collect();
    let rows = members.len() as u64;
    let announcement = Announcement { rows, set: Digest::default(), public_key: None };
    let (mut platform, first) = Platform::start(&terms, offered.clone(), announcement, &Seed::new([1; 32]));
    let mut bank = Bank::new(&terms, offered.clone(), &Seed::new([2; 32]));
    let (mut words, mut nonces, mut room) = (Vec::new(), ([0; 32], [0; 32]), 0);
    let mut wire: VecDeque<ToBank> = first.send.into();
    while let Some(message) = wire.pop_front() {
        if let ToBank::Trees { nonce, .. } = &message {
            nonces.0 = *nonce;
        }
        for message in bank.receive(message).unwrap().send {
            match &message {
                ToPlatform::Transfers { nonce, .. } => nonces.1 = *nonce,
                ToPlatform::Vector { words: Words(part), .. } => words.extend_from_slice(part),
                ToPlatform::Capacity { identifiers } => room = *identifiers,
                _ => {}
            }
            wire.extend(platform.receive(message).unwrap().send);
        }
    }
    let context = shard_context(&terms.context(), &Digest::default(), 0);
    let public = Public::new(&context, &nonces.0, &nonces.1);
    let plan = Plan::new(&terms.context(), &offered, room, rows);
    assert_eq!((plan.count, words.len()), (1, plan.layout.words()));
    Recorded { words, public, plan }
}

/// The same, with the set under a mask from a GF(2)-space of 64 dimensions, but for 64 places: what the first form sent.
fn weak(members: &[String]) -> Recorded {
    let Recorded { public, plan, .. } = recorded(members);
    let own: Identifiers = members.iter().collect();
    let rows: Vec<u32> = (0..members.len() as u32).collect();
    let elements = public.hash(&plan.layout, &own, &rows);
    let mut words = encode(&plan.layout, &elements.grouped, &elements.values(), &Seed::new([3; 32])).unwrap();
    let mut rng = Seed::new([4; 32]).rng("weak mask", &[]);
    let basis: Vec<Block> = (0..64).map(|_| random(&mut rng)).collect();
    for word in &mut words {
        let pick = rng.next_u64();
        *word ^= basis.iter().enumerate().filter(|(at, _)| pick >> at & 1 == 1).fold(0, |sum, (_, part)| sum ^ part);
    }
    for _ in 0..64 {
        let at = below(&mut rng, words.len());
        words[at] ^= random(&mut rng);
    }
    Recorded { words, public, plan }
}

fn below(rng: &mut impl rand_core::Rng, range: usize) -> usize {
    (rng.next_u64() % range as u64) as usize
}

type Row = [Block; 2];

impl Recorded {
    /// Of each identifier: decoded word plus value, and the point of its key.
    fn rows(&self, identifiers: &[String]) -> Vec<Row> {
        let all: Identifiers = identifiers.iter().collect();
        let places: Vec<u32> = (0..identifiers.len() as u32).collect();
        let elements = self.public.hash(&self.plan.layout, &all, &places);
        let decoded = decode(&self.plan.layout, &elements.grouped, &self.words);
        let mut rows = vec![[0; 2]; identifiers.len()];
        for (((place, point), value), decoded) in elements.places().zip(elements.values()).zip(decoded) {
            rows[place as usize] = [decoded ^ value, point];
        }
        rows
    }

    /// Members of the register that the attack names, with so many candidates of which such a share are members.
    fn attack(&self, register: &[String], share: f64, candidates: usize, tries: usize) -> Option<HashSet<usize>> {
        let mut rng = Seed::new([5; 32]).rng("attack", &[&share.to_le_bytes()]);
        let members = (share * candidates as f64).round() as usize;
        let mut pick = |count: usize, from: usize, range: usize| {
            let mut picked = HashSet::new();
            while picked.len() < count {
                picked.insert(from + below(&mut rng, range));
            }
            picked
        };
        let mut known: Vec<usize> = pick(members, 0, MEMBERS).into_iter().collect();
        known.extend(pick(candidates - members, MEMBERS, register.len() - MEMBERS));
        known.sort_unstable();
        let rows = self.rows(register);
        let mut pool: Vec<Row> = known.iter().map(|place| rows[*place]).collect();
        let mut found = 0;
        for _ in 0..tries {
            for at in 0..255 {
                let other = at + below(&mut rng, pool.len() - at);
                pool.swap(at, other);
            }
            let Some(functional) = vanishing(&pool[..255]).pop() else { continue };
            let rest = &pool[255..];
            let zero = rest.iter().filter(|row| vanishes(functional, **row)).count() as f64;
            let half = rest.len() as f64 / 2.0;
            // Vanishing on all of the others is no coin either.
            if zero > half + 5.0 * (half / 2.0).sqrt() {
                pool.retain(|row| vanishes(functional, *row));
                found += 1;
            }
            if found == 16 || (found > 0 && pool.len() <= 300) {
                let functionals = vanishing(&pool);
                let named = |row: &Row| functionals.iter().take(40).all(|functional| vanishes(*functional, *row));
                return Some(rows.iter().enumerate().filter(|(_, row)| named(row)).map(|(place, _)| place).collect());
            }
        }
        None
    }
}

fn vanishes(functional: Row, row: Row) -> bool {
    ((functional[0] & row[0]).count_ones() + (functional[1] & row[1]).count_ones()).is_multiple_of(2)
}

fn top(row: Row) -> Option<usize> {
    match row {
        [0, 0] => None,
        [low, 0] => Some(127 - low.leading_zeros() as usize),
        [_, high] => Some(255 - high.leading_zeros() as usize),
    }
}

fn bit(row: Row, at: usize) -> bool {
    row[at / 128] >> (at % 128) & 1 == 1
}

/// A basis of the functionals that vanish on all rows, by reduction to echelon form.
fn vanishing(rows: &[Row]) -> Vec<Row> {
    let mut basis: Vec<Option<Row>> = vec![None; 256];
    for row in rows {
        let mut row = *row;
        while let Some(at) = top(row) {
            let Some(with) = basis[at] else {
                basis[at] = Some(row);
                break;
            };
            row = [row[0] ^ with[0], row[1] ^ with[1]];
        }
    }
    let free: Vec<usize> = (0..256).filter(|at| basis[*at].is_none()).collect();
    let one = |at: usize| {
        let mut functional = [0; 2];
        functional[at / 128] |= 1 << (at % 128);
        // Pivots from the lowest: the top bit of each is chosen so that the functional vanishes on its row.
        for (pivot, row) in basis.iter().enumerate().filter_map(|(pivot, row)| Some((pivot, (*row)?))) {
            if !vanishes(functional, row) {
                functional[pivot / 128] |= 1 << (pivot % 128);
            }
            debug_assert!(bit(row, pivot));
        }
        functional
    };
    free.into_iter().map(one).collect()
}

/// The attack, as it worked: on a mask from a space of 64 dimensions it names the whole portfolio.
#[test]
fn a_mask_of_few_dimensions_gives_the_portfolio_away() {
    let register = names(0..REGISTER);
    let seen = weak(&register[..MEMBERS]);
    for (share, candidates) in [(1.0, 700), (0.9, 700), (0.75, 1_500)] {
        let named = seen.attack(&register, share, candidates, 200).unwrap();
        let right = named.iter().filter(|place| **place < MEMBERS).count();
        assert!(right > 8_000 && named.len() - right < 40, "{share}: {right} right of {}", named.len());
    }
}

/// On what a bank sends it finds nothing, not even where every candidate is a member.
#[test]
fn the_words_of_a_run_name_nobody() {
    let register = names(0..REGISTER);
    let seen = recorded(&register[..MEMBERS]);
    for (share, candidates) in [(1.0, 700), (1.0, 4_000), (0.9, 700), (0.9, 4_000), (0.75, 1_500), (0.6, 1_500)] {
        assert_eq!(seen.attack(&register, share, candidates, 200), None, "{share} of {candidates}");
    }
    // With every member known but one: the functionals that vanish on all others tell nothing of the last.
    let rows = seen.rows(&register);
    assert!(vanishing(&rows[..MEMBERS - 1]).is_empty());
}
