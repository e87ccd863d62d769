//! Messages that went the wrong way about what their receiver keeps once ended its node, again after each restart.

use super::consortium::{PLATFORM, Posted};
use super::day::Day;

/// A platform that acknowledges its own warning: whether the bank's node ended told whether the enterprise is its borrower.
#[test]
fn a_warning_that_comes_back_as_an_acknowledgement_ends_no_bank() {
    let mut day = Day::new();
    let sample = day.samples("warning-ack").into_iter().find(|posted| posted.from == "bank-1").unwrap();
    let kept =
        day.all.tell("bank-1", crate::control::Command::Warning(crate::control::WarningOrder::List { all: true }));
    assert!(!kept.as_array().unwrap().is_empty());
    day.all.forge(&Posted { from: PLATFORM, to: "bank-1", ..sample }).unwrap();
    day.all.open();
}

/// A bank that corrects what the platform gave out: whether the platform ended told whether somebody had the enterprise scored.
#[test]
fn a_correction_from_a_bank_ends_no_platform() {
    let mut day = Day::new();
    let sample = day.samples("correction").into_iter().find(|posted| posted.to == "bank-1").unwrap();
    day.all.forge(&Posted { from: "bank-2", to: PLATFORM, ..sample }).unwrap();
    day.all.open();
}
