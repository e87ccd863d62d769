//! Rows whose consent ends while a session runs: on what evidence they leave it, and when.
//!
//! **On what evidence.** A bank lets a row go only once its own register has taken in the event that the enterprise signed, or
//! holds a consent whose time is over. The platform cannot take a row out by its word: it forwards the signed
//! events of a consent under a key that follows from the row key, so that the bank that opened the row can open them; to
//! every other it is a tag that says nothing. The machine hands what it opened to its node ([`Output::Ended`](super::Output));
//! the node verifies it, takes it into its register, and only then tells the machine ([`BankInput::Withdraw`](super::BankInput)).
//! A tag without events, or with events that do not open or do not hold, changes nothing.
//!
//! **When.** At two steps only, at each of which all rows leave together whose consents have ended until then: training rows
//! before the first sum over training rows, which is their number, and hold-out rows before the first sum over hold-out rows. From
//! then on the set is closed, and a row of it that comes late stays, or the session ends, as the contract says
//! ([`WithdrawalTerms`](super::WithdrawalTerms)).
//!
//! **Why no rule that lets rows leave between two sums over the same rows is better.** The difference of two such sums is a sum over
//! the rows that left. That must be of at least `min_rows` rows, or it shows one enterprise's label; and of at least `min_cell` banks,
//! or it shows one bank's sum over the rows that only this bank let go; and it must be balanced between these banks
//! ([`guard`](super::guard)). So it would take indicators, and a number of rows, of those that leave, before each step at which
//! they may; within the minutes or hours of a session hardly ever would so many consents end at so many banks.
//! Since between two sums over the same rows none leave, the difference is empty, whoever chooses what is withdrawn and when.
//! Between the sums over training rows and those over hold-out rows there is no row in common, and nothing to subtract.
//!
//! **What the platform can choose.** Which events it forwards and when: before a set is closed the row takes no part, as if it had
//! not been offered; afterwards nothing happens to it. **What it learns**: nothing. A bank answers no such message, and its log,
//! whose length its receipts tell, grows alike for a row that it has and one that it has not: by what was named and by one entry of
//! what ended, each also where that is nothing; once the alignment is done by one more; and where a set is closed by one. Where the
//! contract says `stop`, or more rows end than it bears, the bank's stop says that it held some of them: who wants to be spared that
//! leaves the contract at `go-on`.
//!
//! **Cost.** 48 bytes a row at both sides while the session runs.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize};
use tally_crypto::seal::{open_once, seal_once};
use tally_crypto::seed::Seed;
use tally_model::{RowSet, Table};

use super::BankData;
use crate::alignment::RowSecret;

/// Largest chain of events of one consent, in bytes.
const MOST_BYTES: usize = 1 << 16;

/// The events of an ended consent, for the bank that opened the row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndedRow {
    /// Tag of the row.
    pub tag: [u8; 16],
    /// The signed events, one a line, sealed under a key that follows from the row key.
    pub sealed: Vec<u8>,
}

/// A consent that has ended: the rows that rested on it, and its events, one a line; none where its time is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// Identifiers of the rows.
    pub identifiers: Vec<String>,
    /// The signed events of the consent in order, one a line.
    pub events: Option<String>,
}

/// The key of a row's events, which seals one message.
fn event_key(secret: &RowSecret) -> Seed {
    secret.key.derive("tallystick/ended", &[&secret.tag])
}

/// Which of a bank's rows is which row of its table.
#[derive(Debug, Default)]
pub(super) struct Origins {
    rows: Vec<Origin>,
    /// Rows that were opened.
    opened: usize,
    /// Rows that have left.
    left: usize,
    /// Identifiers whose consents have ended.
    ended: BTreeSet<String>,
    closed: [bool; 2],
}

#[derive(Debug)]
pub(super) struct Origin {
    tag: [u8; 16],
    key: Seed,
    identifier: String,
    set: RowSet,
}

impl Origin {
    pub(super) fn new(secret: &RowSecret, identifier: &str, holdout: bool) -> Self {
        let set = if holdout { RowSet::Holdout } else { RowSet::Train };
        Self { tag: secret.tag, key: event_key(secret), identifier: identifier.into(), set }
    }
}

impl Origins {
    /// The origins of a table's rows, in order.
    pub(super) fn new(rows: impl IntoIterator<Item = Origin>) -> Self {
        let rows: Vec<_> = rows.into_iter().collect();
        Self { opened: rows.len(), rows, ..Self::default() }
    }

    /// The events of rows that this bank has, where they open.
    pub(super) fn open(&self, named: Vec<EndedRow>) -> Vec<String> {
        let named: BTreeMap<_, _> = named.into_iter().map(|row| (row.tag, row.sealed)).collect();
        let events = |origin: &Origin| {
            let sealed = named.get(&origin.tag).filter(|sealed| sealed.len() <= MOST_BYTES)?;
            String::from_utf8(open_once(&origin.key, &origin.tag, sealed).ok()?).ok()
        };
        self.rows.iter().filter_map(events).collect()
    }

    /// The consents of these identifiers have ended.
    pub(super) fn end(&mut self, identifiers: BTreeSet<String>) {
        self.ended.extend(identifiers);
    }

    pub(super) fn is_closed(&self, set: RowSet) -> bool {
        self.closed[set as usize]
    }

    /// Closes a set: the table without the rows of it whose consents have ended, and where these stood.
    pub(super) fn close(&mut self, set: RowSet, table: &Table) -> Option<(Table, Vec<u32>)> {
        self.closed[set as usize] = true;
        let gone = |origin: &Origin| origin.set == set && self.ended.contains(&origin.identifier);
        let leaving: Vec<u32> = (0..).zip(&self.rows).filter(|(_, origin)| gone(origin)).map(|(row, _)| row).collect();
        if leaving.is_empty() {
            return None;
        }
        let ended = &self.ended;
        self.rows.retain(|origin| origin.set != set || !ended.contains(&origin.identifier));
        self.left += leaving.len();
        Some((without(table, &leaving), leaving))
    }

    /// Rows that were opened, those that have left, and those that would have but came too late.
    pub(super) fn counts(&self) -> (usize, usize, usize) {
        let late = |origin: &&Origin| self.is_closed(origin.set) && self.ended.contains(&origin.identifier);
        (self.opened, self.left, self.rows.iter().filter(late).count())
    }
}

/// The table without the rows at these places, in order.
pub(super) fn without(table: &Table, leaving: &[u32]) -> Table {
    let stays = |row: &usize| u32::try_from(*row).is_ok_and(|row| leaving.binary_search(&row).is_err());
    table.select(&(0..table.rows()).filter(stays).collect::<Vec<_>>())
}

impl BankData {
    /// The data without the rows of these identifiers.
    pub(super) fn without(self, gone: &BTreeSet<String>) -> Self {
        let kept: Vec<usize> =
            (0..self.identifiers.len()).filter(|row| !gone.contains(&self.identifiers[*row])).collect();
        let of = |values: &[f64]| kept.iter().filter_map(|row| values.get(*row).copied()).collect();
        Self {
            columns: self.columns.iter().map(|column| column.select(&kept)).collect(),
            label: kept.iter().map(|row| self.label[*row]).collect(),
            holdout: kept.iter().map(|row| self.holdout[*row]).collect(),
            weight: of(&self.weight),
            offset: of(&self.offset),
            identifiers: kept.iter().map(|row| self.identifiers[*row].clone()).collect(),
        }
    }
}

/// What the platform offered one bank: place of each identifier in the bank's set, and once it is known each row's tag and the
/// key of its events.
#[derive(Debug, Default)]
pub(super) struct Offered {
    places: HashMap<String, u32>,
    rows: Vec<Option<([u8; 16], Seed)>>,
    withdrawn: BTreeSet<u32>,
}

impl Offered {
    /// A set of rows whose tags are not known yet.
    pub(super) fn new(identifiers: impl Iterator<Item = String>) -> Self {
        Self { places: identifiers.zip(0..).collect(), ..Self::default() }
    }

    /// Tells the rows' secrets, by place; returns the tags of rows that were withdrawn before.
    pub(super) fn keyed<'a>(&mut self, secrets: impl Iterator<Item = (u32, &'a RowSecret)>) -> BTreeSet<[u8; 16]> {
        self.rows = self.places.iter().map(|_| None).collect();
        for (place, secret) in secrets {
            if let Some(known) = self.rows.get_mut(place as usize) {
                *known = Some((secret.tag, event_key(secret)));
            }
        }
        let tag = |place: &u32| Some(self.rows.get(*place as usize)?.as_ref()?.0);
        self.withdrawn.iter().filter_map(tag).collect()
    }

    /// The place of an identifier in the bank's set.
    #[cfg(test)]
    pub(super) fn place(&self, identifier: &str) -> Option<usize> {
        self.places.get(identifier).map(|place| *place as usize)
    }

    /// Withdraws rows: how many were not withdrawn yet, and what the bank is told of them. A key seals once, since a row is
    /// withdrawn once.
    pub(super) fn withdraw(&mut self, ended: &[Ended]) -> (u64, Vec<EndedRow>) {
        let (mut rows, mut told) = (0, Vec::new());
        for Ended { identifiers, events } in ended {
            for place in identifiers.iter().filter_map(|name| self.places.get(name).copied()) {
                if !self.withdrawn.insert(place) {
                    continue;
                }
                rows += 1;
                let Some(Some((tag, key))) = self.rows.get(place as usize) else { continue };
                told.extend(
                    events
                        .as_ref()
                        .map(|events| EndedRow { tag: *tag, sealed: seal_once(key, tag, events.as_bytes()) }),
                );
            }
        }
        (rows, told)
    }
}
