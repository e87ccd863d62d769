//! The policy file: one definition a line, only of what stands above.

use super::{Group, Known, Member, Policy, Quorum, Witness, text};
use crate::note::{COSIGNATURE, ED25519, ML_DSA_44, OWN, OpenKey, VerifierKey, standard_verifier};

/// Why a policy was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("policy, line {line}: {reason}")]
pub struct PolicyParseError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: String,
}

impl Policy {
    /// Reads a policy file whose keys are of the types that this crate verifies.
    ///
    /// # Errors
    /// Names the line and what is wrong with it.
    pub fn parse(file: &[u8]) -> Result<Self, PolicyParseError> {
        Self::parse_with(file, &standard_verifier)
    }

    /// Reads a policy file; `open` knows the types of keys.
    ///
    /// # Errors
    /// Names the line and what is wrong with it.
    pub fn parse_with(file: &[u8], open: OpenKey<'_>) -> Result<Self, PolicyParseError> {
        let mut reader = Reader { open, logs: vec![], witnesses: vec![], groups: vec![], used: vec![], quorum: None };
        let at = |line: usize| move |reason: String| PolicyParseError { line: line + 1, reason };
        let lines: Vec<_> = file.split(|byte| *byte == b'\n').collect();
        let last = lines.len() - 1;
        if !lines[last].is_empty() {
            return Err(at(last)("does not end with a line break".into()));
        }
        for (number, line) in lines[..last].iter().enumerate() {
            reader.line(line).map_err(at(number))?;
        }
        let quorum = reader.quorum.ok_or_else(|| at(last)("there is no quorum line".into()))?;
        Ok(Self { logs: reader.logs, witnesses: reader.witnesses, groups: reader.groups, quorum })
    }
}

struct Reader<'a> {
    open: OpenKey<'a>,
    logs: Vec<Known>,
    witnesses: Vec<Witness>,
    groups: Vec<Group>,
    /// Members of some group already: each counts in one way only.
    used: Vec<Member>,
    quorum: Option<Quorum>,
}

impl Reader<'_> {
    fn line(&mut self, line: &[u8]) -> Result<(), String> {
        let allowed = |byte: &u8| matches!(byte, b'\t' | 0x20..=0x7e | 0x80..);
        if let Some(byte) = line.iter().find(|byte| !allowed(byte)) {
            return Err(format!("holds the byte 0x{byte:02x}"));
        }
        let items: Vec<_> = line.split(|byte| matches!(byte, b' ' | b'\t')).filter(|item| !item.is_empty()).collect();
        match items.as_slice() {
            [] => Ok(()),
            [first, ..] if first.starts_with(b"#") => Ok(()),
            [b"log", key] => self.log(key, None),
            [b"log", key, url] => self.log(key, Some(url)),
            [b"witness", name, key] => self.witness(name, key, None),
            [b"witness", name, key, url] => self.witness(name, key, Some(url)),
            [b"group", name, threshold, members @ ..] => self.group(name, threshold, members),
            [b"quorum", name] => self.quorum(name),
            [first, ..] => Err(format!("`{}` and what follows it is no definition", text(first))),
        }
    }

    fn log(&mut self, key: &[u8], url: Option<&[u8]>) -> Result<(), String> {
        let known = self.known(key, url, &[ED25519, ML_DSA_44, OWN])?;
        let twice = self.logs.iter().any(|other| other.key.key() == known.key.key());
        self.logs.push(known);
        if twice { Err("the key is that of another log".into()) } else { Ok(()) }
    }

    fn witness(&mut self, name: &[u8], key: &[u8], url: Option<&[u8]>) -> Result<(), String> {
        let known = self.known(key, url, &[COSIGNATURE, ML_DSA_44, OWN])?;
        self.new_name(name)?;
        let twice = self.witnesses.iter().any(|other| other.known.key.key() == known.key.key());
        self.witnesses.push(Witness { name: name.into(), known });
        if twice { Err("the key is that of another witness".into()) } else { Ok(()) }
    }

    fn known(&self, key: &[u8], url: Option<&[u8]>, kinds: &[u8]) -> Result<Known, String> {
        let key = std::str::from_utf8(key).map_err(|error| error.to_string())?;
        let key: VerifierKey = key.parse().map_err(|error: crate::note::NoteError| error.to_string())?;
        if !kinds.contains(&key.kind()) {
            return Err(format!("a key of type 0x{:02x} does not sign here", key.kind()));
        }
        Ok(Known { verifier: (self.open)(&key), key, url: url.map(text) })
    }

    fn group(&mut self, name: &[u8], threshold: &[u8], names: &[&[u8]]) -> Result<(), String> {
        let mut members = Vec::new();
        for name in names {
            let member = self.find(name)?;
            if self.used.contains(&member) {
                return Err(format!("`{}` is a member already", text(name)));
            }
            self.used.push(member);
            members.push(member);
        }
        let threshold = match threshold {
            b"all" => members.len(),
            b"any" => 1,
            number => crate::note::parse_decimal(&text(number))
                .and_then(|number| usize::try_from(number).ok())
                .ok_or_else(|| format!("`{}` is neither `all`, `any` nor a number", text(number)))?,
        };
        if !(1..=members.len()).contains(&threshold) {
            return Err(format!("{threshold} of {} members", members.len()));
        }
        self.new_name(name)?;
        self.groups.push(Group { name: name.into(), threshold, members });
        Ok(())
    }

    fn quorum(&mut self, name: &[u8]) -> Result<(), String> {
        let quorum = if name == b"none" { Quorum::None } else { Quorum::Of(self.find(name)?) };
        let twice = self.quorum.replace(quorum).is_some();
        if twice { Err("there is a quorum already".into()) } else { Ok(()) }
    }

    fn find(&self, name: &[u8]) -> Result<Member, String> {
        let witness = self.witnesses.iter().position(|witness| witness.name == name).map(Member::Witness);
        let group = || self.groups.iter().position(|group| group.name == name).map(Member::Group);
        witness.or_else(group).ok_or_else(|| format!("`{}` is not defined above", text(name)))
    }

    fn new_name(&self, name: &[u8]) -> Result<(), String> {
        let known = name == b"none" || self.find(name).is_ok();
        if known { Err(format!("`{}` is taken", text(name))) } else { Ok(()) }
    }
}
