use proptest::prelude::*;
use tally_crypto::seed::Seed;

use super::*;
use crate::entry::Body;
use crate::write_ahead::Ledger;

const BODY: &[u8] = b"a message";

fn key(n: u8) -> SigningKey {
    SigningKey::from_seed(&Seed::new([n; 32]))
}

fn sent(body: &[u8]) -> Sent<'_> {
    Sent { from: "bank-1", to: "platform", sequence: 7, session: "s", kind: "session", body }
}

fn receipt() -> Receipt {
    let mut ledger = Ledger::new("bank-1");
    let mut batch = ledger.batch();
    batch.append(None, 1000, "n", Body::AuditAccess { object: Digest::default() }).unwrap();
    batch.commit(|_| Ok::<_, ()>(())).unwrap();
    ledger.receipt(0).unwrap()
}

fn read(bytes: &[u8]) -> Result<SignedReceipt, ReceiptError> {
    SignedReceipt::read(bytes, |log| (log == "bank-1").then(|| key(1).verify_key()))
}

#[test]
fn a_receipt_is_read_by_its_receiver_and_is_the_same_each_time() {
    let signed = SignedReceipt::sign(&receipt(), &sent(BODY), &key(1));
    let bytes = signed.encode();
    assert_eq!(bytes, SignedReceipt::sign(&receipt(), &sent(BODY), &key(1)).encode());
    let known = read(&bytes).unwrap();
    assert_eq!((&known, known.covers(&sent(BODY))), (&signed, Ok(())));
    let promise = known.promise();
    assert_eq!((promise.index, promise.leaf, promise.time), (0, receipt().leaf(), 1000));
    assert_eq!(promise.due(), 1000 + 86_400_000);
}

#[test]
fn another_signer_or_log_is_refused() {
    let other = SignedReceipt::sign(&receipt(), &sent(BODY), &key(2)).encode();
    assert_eq!(read(&other), Err(ReceiptError::Signature("bank-1".into())));
    let stranger = Sent { from: "bank-2", ..sent(BODY) };
    let stranger = SignedReceipt::sign(&receipt(), &stranger, &key(1)).encode();
    assert_eq!(read(&stranger), Err(ReceiptError::Stranger("bank-2".into())));
    assert_eq!(read(b""), Err(ReceiptError::Absent));
}

#[test]
fn a_receipt_covers_one_message_only() {
    let known = SignedReceipt::sign(&receipt(), &sent(BODY), &key(1));
    for (message, word) in [
        (Sent { from: "bank-2", ..sent(BODY) }, "sender"),
        (Sent { to: "bank-2", ..sent(BODY) }, "receiver"),
        (Sent { sequence: 8, ..sent(BODY) }, "message number"),
        (Sent { session: "", ..sent(BODY) }, "session"),
        (Sent { kind: "contract", ..sent(BODY) }, "kind of message"),
        (sent(b"a messagE"), "message"),
    ] {
        assert_eq!(known.covers(&message), Err(ReceiptError::Other(word)));
    }
}

#[test]
fn a_promise_of_a_later_day_is_none() {
    let mut signed = SignedReceipt::sign(&receipt(), &sent(BODY), &key(1));
    signed.promise.merge_delay = MERGE_DELAY + 1;
    signed.signature = key(1).sign(LABEL, &signed.promise.text());
    assert_eq!(read(&signed.encode()), Err(ReceiptError::Delay(MERGE_DELAY + 1)));
}

#[test]
fn every_flipped_bit_and_every_other_spelling_is_refused() {
    let bytes = SignedReceipt::sign(&receipt(), &sent(BODY), &key(1)).encode();
    for bit in 0..8 * bytes.len() {
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(read(&changed).is_err(), "bit {bit}");
    }
    let text = String::from_utf8(bytes).unwrap();
    assert!(read(format!("{text} ").as_bytes()).is_err());
    assert!(read(text.replace("\"v\":1", "\"v\": 1").as_bytes()).is_err());
    assert!(read(text.replacen('{', "{\"more\":1,", 1).as_bytes()).is_err());
}

proptest! {
    #[test]
    fn nothing_that_is_read_panics(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        prop_assert!(read(&bytes).is_err());
    }
}
