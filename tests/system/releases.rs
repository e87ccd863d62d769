//! What banks refuse to help to release, whatever the platform proposes.

use crate::left::Left;
use crate::program::{done, text};

/// A sum over four banks, then the same over three of them, would show the fourth one's part. The banks remember, also over a
/// kill, and stop the second session; the same four may be asked again.
#[test]
fn the_difference_of_two_sums_is_released_to_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("city");
    done(&["demo", "--banks", "4", "--enterprises", "1500", "--keep", text(&root)]);
    let mut left = Left::start(&root, 4);
    let again = left.session(4, Some("bank-2"));
    assert_eq!(again["stage"], "closed", "{again}");
    let fewer = left.session(3, None);
    assert_eq!(fewer["stage"], "aborted", "{fewer}");
    let reason = fewer["reason"].as_str().unwrap();
    assert!(reason.starts_with("bank-"), "{reason}");
    assert!(reason.contains("the difference to bank-1, bank-2, bank-3 would be the sum over bank-4"), "{reason}");
}
