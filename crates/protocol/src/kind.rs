//! Kinds of messages between nodes: who may send which, and whether it belongs to a session.
//!
//! A link joins a bank and the platform, so the role of the sender decides the role of the receiver. Whoever takes a message in
//! looks at this table before it reads anything of the message's body: what comes from the wrong side is refused by its kind
//! alone, whatever it holds and whatever the receiver knows. `proto/README.md` and `link.proto` say the same; a test compares
//! them with the table.

use crate::session::PartyRole;

/// A kind of message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MessageKind {
    /// A contract to approve.
    Proposal,
    /// A bank's signature over the contract.
    Signature,
    /// A bank's operator refuses the proposal.
    Rejection,
    /// The contract with every signature.
    Contract,
    /// A step of a session.
    Session,
    /// Applicants to score.
    ScoreRequest,
    /// The platform's part of their scores.
    ScoreResponse,
    /// A value was wrong.
    Correction,
    /// Early warnings, raised and recalled.
    Warning,
    /// All warnings of a message were taken in.
    WarningAck,
    /// What came of a warning.
    WarningOutcome,
    /// What became of applications.
    Outcome,
    /// Which of them were not taken in.
    OutcomeReceipt,
}

/// What the table says of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Its name on the wire.
    pub name: &'static str,
    /// The roles that may send it, each to the other one.
    pub from: &'static [PartyRole],
    /// It names a session; any other kind names none.
    pub within_session: bool,
    /// Most bytes of its body.
    pub most: usize,
}

/// What is a few texts or digests.
const SMALL: usize = 1 << 20;
/// What lists rows or requests.
const LIST: usize = 16 << 20;

const PLATFORM: &[PartyRole] = &[PartyRole::Platform];
const BANK: &[PartyRole] = &[PartyRole::Bank];
const BOTH: &[PartyRole] = &[PartyRole::Platform, PartyRole::Bank];

/// Why a message is refused by its kind alone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WrongKind {
    /// There is no such kind.
    #[error("a message of unknown kind `{0}`")]
    Unknown(String),
    /// The sender's role may not send it, or not to the receiver's.
    #[error("a message of kind `{kind}`, which a {from} may not send to a {to}")]
    Role {
        /// The kind.
        kind: MessageKind,
        /// The sender's role.
        from: &'static str,
        /// The receiver's role.
        to: &'static str,
    },
    /// It names a session and belongs to none, or the other way round.
    #[error("a message of kind `{0}` {1}")]
    Session(MessageKind, &'static str),
    /// It is longer than any such message.
    #[error("a message of kind `{0}` of {1} bytes, of at most {most}", most = .0.rules().most)]
    Size(MessageKind, usize),
}

impl MessageKind {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Proposal,
        Self::Signature,
        Self::Rejection,
        Self::Contract,
        Self::Session,
        Self::ScoreRequest,
        Self::ScoreResponse,
        Self::Correction,
        Self::Warning,
        Self::WarningAck,
        Self::WarningOutcome,
        Self::Outcome,
        Self::OutcomeReceipt,
    ];

    /// The table.
    pub const fn rules(self) -> Rules {
        let (name, from, within_session, most) = match self {
            Self::Proposal => ("proposal", PLATFORM, true, 4 * SMALL),
            Self::Signature => ("signature", BANK, true, 4 * SMALL),
            Self::Rejection => ("rejection", BANK, true, SMALL),
            Self::Contract => ("contract", PLATFORM, true, 4 * SMALL),
            // Masked vectors and sealed rows: the link's own limit.
            Self::Session => ("session", BOTH, true, usize::MAX),
            Self::ScoreRequest => ("score-request", BANK, true, LIST),
            Self::ScoreResponse => ("score-response", PLATFORM, true, LIST),
            Self::Correction => ("correction", PLATFORM, false, SMALL),
            Self::Warning => ("warning", PLATFORM, false, LIST),
            Self::WarningAck => ("warning-ack", BANK, false, SMALL),
            Self::WarningOutcome => ("warning-outcome", BANK, false, LIST),
            Self::Outcome => ("outcome", BANK, false, LIST),
            Self::OutcomeReceipt => ("outcome-receipt", PLATFORM, false, LIST),
        };
        Rules { name, from, within_session, most }
    }

    /// Its name on the wire.
    pub const fn name(self) -> &'static str {
        self.rules().name
    }

    /// The kind of this name.
    ///
    /// # Errors
    /// Fails if there is none.
    pub fn named(name: &str) -> Result<Self, WrongKind> {
        let kind = Self::ALL.into_iter().find(|kind| kind.name() == name);
        kind.ok_or_else(|| WrongKind::Unknown(name.into()))
    }

    /// Whether a party of role `from` may send it to one of role `to`.
    pub fn may_go(self, from: PartyRole, to: PartyRole) -> bool {
        from != to && self.rules().from.contains(&from)
    }

    /// The kind of a message with a body of so many bytes, if its head is one that a party of role `from` may send to one of role
    /// `to`.
    ///
    /// # Errors
    /// Names the kind, and what of the head does not belong to it.
    pub fn admit(name: &str, session: &str, bytes: usize, from: PartyRole, to: PartyRole) -> Result<Self, WrongKind> {
        let kind = Self::named(name)?;
        if !kind.may_go(from, to) {
            return Err(WrongKind::Role { kind, from: role_name(from), to: role_name(to) });
        }
        if bytes > kind.rules().most {
            return Err(WrongKind::Size(kind, bytes));
        }
        match (kind.rules().within_session, session.is_empty()) {
            (true, true) => Err(WrongKind::Session(kind, "that names no session")),
            (false, false) => Err(WrongKind::Session(kind, "that names a session, to which it cannot belong")),
            _ => Ok(kind),
        }
    }
}

impl std::fmt::Display for MessageKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

fn role_name(role: PartyRole) -> &'static str {
    match role {
        PartyRole::Platform => "platform",
        PartyRole::Bank => "bank",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Who sends a kind, as the tables for people say it.
    fn sender(kind: MessageKind) -> &'static str {
        match kind.rules().from {
            [one] => role_name(*one),
            _ => "both",
        }
    }

    #[test]
    fn names_are_distinct_and_read_back() {
        for kind in MessageKind::ALL {
            assert_eq!(MessageKind::named(kind.name()), Ok(kind));
        }
        assert_eq!(MessageKind::named("gossip"), Err(WrongKind::Unknown("gossip".into())));
    }

    #[test]
    fn what_is_sent_the_wrong_way_or_beside_its_session_is_refused_by_name() {
        let roles = [PartyRole::Platform, PartyRole::Bank];
        for kind in MessageKind::ALL {
            for (from, to) in roles.into_iter().flat_map(|from| roles.map(|to| (from, to))) {
                for session in ["", "0123456789abcdef"] {
                    let allowed = kind.may_go(from, to) && kind.rules().within_session != session.is_empty();
                    let admitted = MessageKind::admit(kind.name(), session, 100, from, to);
                    assert_eq!(admitted.is_ok(), allowed, "{kind} {from:?} {to:?} {session}");
                    let long = kind.rules().most.saturating_add(1);
                    let admitted_long = MessageKind::admit(kind.name(), session, long, from, to);
                    assert_eq!(admitted_long.is_ok(), allowed && kind == MessageKind::Session, "{kind}");
                    assert!(admitted.err().is_none_or(|refusal| refusal.to_string().contains(kind.name())));
                }
            }
            assert!(roles.iter().any(|from| roles.iter().any(|to| kind.may_go(*from, *to))), "{kind}");
        }
    }

    /// The table of `proto/README.md`: one row a kind, and who sends it.
    #[test]
    fn the_readme_of_the_wire_has_every_kind_and_its_sender() {
        let text = include_str!("../../../proto/README.md");
        let row = |line: &str| {
            let mut cells = line.split('|').map(str::trim).skip(1);
            let kind = cells.next()?.strip_prefix('`')?.strip_suffix('`')?;
            Some((kind.to_owned(), cells.next()?.to_owned()))
        };
        let written: BTreeMap<_, _> = text.lines().filter_map(row).collect();
        let table = MessageKind::ALL.map(|kind| (kind.name().to_owned(), sender(kind).to_owned()));
        assert_eq!(written, BTreeMap::from(table));
    }

    /// The comment of `Part.kind` in `link.proto`: the kinds, and nothing else.
    #[test]
    fn the_schema_of_the_link_names_every_kind() {
        let text = include_str!("../../../proto/tallystick/v1/link.proto");
        let before = text.split_once("string kind = 3;").unwrap().0;
        let mut comment: Vec<_> =
            before.lines().rev().skip(1).map_while(|line| line.trim().strip_prefix("// ")).collect();
        comment.reverse();
        let listed = comment.join(" ");
        let (_, listed) = listed.split_once(": ").unwrap();
        let mut listed: Vec<_> = listed.trim_end_matches('.').split(", ").collect();
        listed.sort_unstable();
        let mut names = MessageKind::ALL.map(MessageKind::name);
        names.sort_unstable();
        assert_eq!(listed, names);
    }
}
