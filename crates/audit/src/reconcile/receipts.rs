//! Receipts against the log of who signed them: what was promised is there. One signature convicts, without a second log.

use super::{Finding, Kind, find};
use crate::entry::Body;
use crate::receipt::{Promise, SignedReceipt};
use crate::verify::VerifiedLog;

#[cfg(test)]
mod tests;

/// Promises that the logs of their signers do not keep; `copied`, Unix milliseconds, is when the copies were taken at the
/// earliest, as their reader knows. Receipts of logs that are not at hand are passed over.
///
/// An entry that is not under the copy's checkpoint yet is a warning until the promise is due; where the copy goes on with
/// entries of a later time it is a fault at once, since times in a log never decrease.
pub fn promises(receipts: &[SignedReceipt], logs: &[VerifiedLog], copied: i64) -> Vec<Finding> {
    let kept = |receipt: &SignedReceipt| {
        let promise = receipt.promise();
        find(logs, &promise.log).and_then(|log| check(promise, log, copied))
    };
    receipts.iter().filter_map(kept).collect()
}

fn check(promise: &Promise, log: &VerifiedLog, copied: i64) -> Option<Finding> {
    let Promise { to, sequence, index, .. } = promise;
    let unpublished = |place: Option<u64>, what: String| {
        let what = format!("entry {index} was promised to {to} for message {sequence}, and {what}");
        Finding::own(Kind::Unpublished, &log.party, place, what)
    };
    let place = usize::try_from(*index).ok();
    let Some((entry, leaf)) = place.and_then(|place| Some((log.entries.get(place)?, log.leaves.get(place)?))) else {
        let passed = log.entries.last().is_some_and(|last| last.time > promise.time);
        let waits = !passed && copied <= promise.due();
        return Some(unpublished(None, "was not published".into()).unless(waits));
    };
    if *leaf != promise.leaf {
        return Some(unpublished(Some(*index), "another stands in its place".into()));
    }
    let covers = match &entry.body {
        Body::Egress(passage) => {
            let session = entry.session.as_deref().unwrap_or_default();
            (&passage.peer, passage.sequence, session, &passage.kind, passage.digest)
                == (to, *sequence, &promise.session, &promise.kind, promise.digest)
        }
        _ => false,
    };
    if covers && entry.time == promise.time {
        return None;
    }
    let what = format!("the receipt of message {sequence} to {to} is of an entry that does not cover it");
    Some(Finding::own(Kind::Receipt, &log.party, *index, what))
}
