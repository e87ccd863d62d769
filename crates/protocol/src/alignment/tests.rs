//! The real alignment against the ideal one, and peers that deviate.

use std::collections::BTreeSet;

use proptest::prelude::*;
use tally_crypto::oprf::OprfError;
use tally_crypto::seed::Seed;
use tally_crypto::transcript::Digest;

use super::*;

const CAP: u64 = 1 << 20;

fn sender(cap: u64) -> Sender {
    Sender::new(Digest::of_bytes(b"session"), "joint-modelling", "bank-1", &Seed::new([1; 32]), cap).unwrap()
}

fn receiver(own: &[String]) -> Receiver<Blinding> {
    let session = Digest::of_bytes(b"session");
    Receiver::new(session, "joint-modelling", "bank-1", own.to_vec(), &Seed::new([2; 32])).unwrap()
}

fn names(numbers: impl IntoIterator<Item = u16>) -> Vec<String> {
    numbers.into_iter().map(|number| format!("91320100MA{number:08}")).collect()
}

fn payloads(identifiers: &[String]) -> Vec<Vec<u8>> {
    identifiers.iter().map(|identifier| identifier.as_bytes()[8..].to_vec()).collect()
}

fn real(offered: &[String], own: &[String]) -> Result<Opened, Misbehaved> {
    let mut sender = sender(CAP);
    let announcement = sender.announce(offered);
    let rows = sender.rows(offered, &payloads(offered))?;
    let receiver = receiver(own);
    let evaluated: Result<Vec<_>, _> = receiver.blinded().iter().map(|batch| sender.evaluate(batch)).collect();
    receiver.receive(&announcement, &evaluated?)?.open(&rows, announcement.rows)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn real_equals_ideal(
        offered in prop::collection::btree_set(0u16..60, 0..50),
        own in prop::collection::btree_set(0u16..60, 0..50),
    ) {
        let (offered, own) = (names(offered), names(own));
        let pairs: Vec<_> = offered.iter().cloned().zip(payloads(&offered)).collect();
        let opened = real(&offered, &own).unwrap();
        prop_assert_eq!(opened.missing, 0);
        prop_assert_eq!(opened.opened, ideal(&pairs, &own));
    }
}

#[test]
fn skewed_sets_and_several_batches_align() {
    let own = names(0..9000);
    let opened = real(&names([5, 8999, 9001]), &own).unwrap();
    assert_eq!(opened.opened.iter().map(|(row, _)| *row).collect::<Vec<_>>(), [5, 8999]);
}

#[test]
fn what_the_bank_sends_does_not_depend_on_the_offer() {
    let own = names(0..20);
    assert_eq!(receiver(&own).blinded(), receiver(&own).blinded());
    let points: BTreeSet<_> = receiver(&own).blinded()[0].points.iter().map(|point| *point.as_bytes()).collect();
    assert_eq!(points.len(), 20);
}

#[test]
fn duplicates_are_refused_on_both_sides() {
    let twice = names([1, 2, 1]);
    assert_eq!(sender(CAP).rows(&twice, &payloads(&twice)), Err(Misbehaved::Duplicate));
    let session = Digest::of_bytes(b"session");
    assert_eq!(Receiver::new(session, "p", "b", twice, &Seed::new([2; 32])).err(), Some(Misbehaved::Duplicate));
}

#[test]
fn a_bank_gets_no_more_evaluations_than_the_cap() {
    let batch = receiver(&names(0..10)).blinded().remove(0);
    assert_eq!(sender(9).evaluate(&batch), Err(Misbehaved::OverCap { asked: 10, cap: 9 }));
    let mut exact = sender(10);
    assert!(exact.evaluate(&batch).is_ok());
    assert_eq!(exact.evaluate(&batch), Err(Misbehaved::Batch(0)));
}

#[test]
fn another_key_or_a_moved_point_is_not_proven() {
    let own = names(0..6);
    let mut honest = sender(CAP);
    let announcement = honest.announce(&own);
    let mut evaluated = vec![honest.evaluate(&receiver(&own).blinded()[0]).unwrap()];
    evaluated[0].points.swap(1, 2);
    let refused = Some(Misbehaved::Evaluation { chunk: 0, reason: OprfError::Proof });
    assert_eq!(receiver(&own).receive(&announcement, &evaluated).err(), refused);
    let mut other =
        Sender::new(Digest::of_bytes(b"session"), "joint-modelling", "bank-1", &Seed::new([7; 32]), CAP).unwrap();
    let evaluated = [other.evaluate(&receiver(&own).blinded()[0]).unwrap()];
    assert_eq!(receiver(&own).receive(&announcement, &evaluated).err(), refused);
}

#[test]
fn rows_must_be_complete_and_in_order_and_damaged_rows_are_only_missing() {
    let own = names(0..8);
    let mut sender = sender(CAP);
    let announcement = sender.announce(&own);
    let rows = sender.rows(&own, &payloads(&own)).unwrap();
    let evaluated = [sender.evaluate(&receiver(&own).blinded()[0]).unwrap()];
    let keyed = || receiver(&own).receive(&announcement, &evaluated).unwrap();
    assert_eq!(keyed().open(&rows[1..], 8), Err(Misbehaved::RowCount { found: 7, announced: 8 }));
    let mut swapped = rows.clone();
    swapped.swap(2, 3);
    assert_eq!(keyed().open(&swapped, 8), Err(Misbehaved::RowOrder(3)));
    let mut damaged = rows;
    damaged[4].sealed[0] ^= 1;
    let opened = keyed().open(&damaged, 8).unwrap();
    assert_eq!((opened.opened.len(), opened.missing), (7, 1));
}
