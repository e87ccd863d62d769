//! Records under their type: a row that holds one type of record is never read as another.
//!
//! Tables that both roles fill hold other records at a bank than at a platform (`score`, `warning`, `outcome`). A record begins
//! with the name of its type in a line of its own, inside of the seal; rows from before that have none, and are read by their
//! form. A row of another type, or of none that this build knows, is a failure of kind
//! [`Record`](crate::failure::FailureKind::Record): no reason for a node to stop, since what asks for it may be a peer's message.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::failure::{self, Failure};

/// What a row of a table may hold.
pub(crate) trait Record: Serialize + DeserializeOwned {
    /// Name of the type: distinct from that of every other record.
    const TYPE: &'static str;
}

/// Before the name of the type: no JSON text begins with it.
const MARK: u8 = b'#';

/// The record as bytes, under its type.
pub(super) fn to_bytes<T: Record>(record: &T) -> Result<Vec<u8>, Failure> {
    let mut bytes = format!("#{}\n", T::TYPE).into_bytes();
    serde_json::to_writer(&mut bytes, record).map_err(failure::internal)?;
    Ok(bytes)
}

/// Reads a record of `table`.
pub(super) fn from_bytes<T: Record>(table: &str, bytes: &[u8]) -> Result<T, Failure> {
    let other = |found: &str| {
        failure::record(format!(
            "a row of table `{table}` holds a record of type `{found}`, and none of type `{}`",
            T::TYPE
        ))
    };
    let json = match bytes.split_first() {
        Some((&MARK, typed)) => {
            let end = typed.iter().position(|byte| *byte == b'\n').unwrap_or(typed.len());
            let (name, rest) = typed.split_at(end);
            if name != T::TYPE.as_bytes() {
                return Err(other(&String::from_utf8_lossy(name)));
            }
            rest
        }
        _ => bytes,
    };
    // What is wrong with it would quote the record.
    serde_json::from_slice(json).map_err(|_| other("another version"))
}

#[cfg(test)]
impl Record for u64 {
    const TYPE: &'static str = "number";
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::failure::FailureKind;

    /// Every field may be absent: without its type, any record would read as it.
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Loose {
        #[serde(default)]
        size: u64,
    }

    impl Record for Loose {
        const TYPE: &'static str = "loose";
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Strict {
        size: u64,
        name: String,
    }

    impl Record for Strict {
        const TYPE: &'static str = "strict";
    }

    #[test]
    fn a_record_is_read_as_its_own_type_only() {
        let strict = to_bytes(&Strict { size: 7, name: "n".into() }).unwrap();
        assert_eq!(from_bytes::<Strict>("score", &strict).unwrap().size, 7);
        let refused = from_bytes::<Loose>("score", &strict).unwrap_err();
        assert_eq!(refused.kind, FailureKind::Record);
        assert!(refused.message.contains("`score`") && refused.message.contains("`strict`"), "{refused}");
        let loose = to_bytes(&Loose { size: 7 }).unwrap();
        assert_eq!(from_bytes::<Strict>("score", &loose).unwrap_err().kind, FailureKind::Record);
    }

    #[test]
    fn rows_from_before_types_read_by_their_form() {
        assert_eq!(from_bytes::<Strict>("score", br#"{"size":7,"name":"n"}"#).unwrap().name, "n");
        for bytes in [
            &br#"{"size":7}"#[..],
            b"",
            b"#",
            b"#strict",
            b"#strict\n",
            b"#\n{}",
            b"#stric\n{\"size\":7,\"name\":\"n\"}",
        ] {
            assert_eq!(from_bytes::<Strict>("score", bytes).unwrap_err().kind, FailureKind::Record, "{bytes:?}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_record_quotes_nothing_of_it() {
        let refused = from_bytes::<Strict>("score", br#"{"size":"91350200M000100Y43","name":1}"#).unwrap_err();
        assert!(!refused.message.contains("91350200M000100Y43"), "{refused}");
    }
}
