//! Tokens of auditors: random, shown once, kept as SHA-256 only. One line each: hash, blank, name.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use tally_crypto::transcript::Digest;

use crate::failure::{self, Failure};

/// Makes a token for `name` and keeps its hash in the file.
///
/// # Errors
/// Names the file, or says that the name has a token already.
pub(crate) fn issue(path: &Path, name: &str) -> Result<String, Failure> {
    let cannot = |error: std::io::Error| failure::unwritable(format!("{}: {error}", path.display()));
    if lines(path)?.iter().any(|(_, known)| known == name) {
        let text = format!("{}: `{name}` has a token already: delete its line to revoke it", path.display());
        return Err(failure::refused(text));
    }
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(failure::internal)?;
    let token = hex::encode(bytes);
    // Whoever deleted a line by hand may have left the last one without its end.
    let kept = std::fs::read(path).unwrap_or_default();
    let separator = if kept.last().is_none_or(|last| *last == b'\n') { "" } else { "\n" };
    let mut file: File = OpenOptions::new().append(true).create(true).mode(0o600).open(path).map_err(cannot)?;
    writeln!(file, "{separator}{} {name}", Digest::of_bytes(token.as_bytes())).map_err(cannot)?;
    file.sync_all().map_err(cannot)?;
    Ok(token)
}

/// Whose token this is. The file is read each time: a line that is deleted is revoked at once.
///
/// # Errors
/// Names the file if it cannot be read, or the line that is malformed.
pub(crate) fn holder(path: &Path, token: &str) -> Result<Option<String>, Failure> {
    let hash = Digest::of_bytes(token.as_bytes());
    Ok(lines(path)?.into_iter().find(|(known, _)| *known == hash).map(|(_, name)| name))
}

fn lines(path: &Path) -> Result<Vec<(Digest, String)>, Failure> {
    let text = match std::fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        text => text.map_err(|error| failure::misconfigured(format!("{}: {error}", path.display())))?,
    };
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let line = |(place, line): (usize, &str)| {
        let read = line.split_once(' ').and_then(|(hash, name)| Some((hash.parse().ok()?, name.to_owned())));
        let wrong = || format!("{}: line {}: not a hash and a name", path.display(), place + 1);
        read.ok_or_else(|| failure::misconfigured(wrong()))
    };
    lines.map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_known_until_its_line_is_deleted_and_never_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens");
        assert_eq!(holder(&path, "x").unwrap(), None);
        let (one, two) = (issue(&path, "auditor").unwrap(), issue(&path, "regulator").unwrap());
        assert!(issue(&path, "auditor").is_err());
        assert_eq!(holder(&path, &one).unwrap().as_deref(), Some("auditor"));
        assert_eq!(holder(&path, &two).unwrap().as_deref(), Some("regulator"));
        assert_eq!(holder(&path, &Digest::of_bytes(one.as_bytes()).to_string()).unwrap(), None);
        let kept = std::fs::read_to_string(&path).unwrap();
        assert!(!kept.contains(&one) && !kept.contains(&two));
        let left: Vec<_> = kept.lines().filter(|line| !line.ends_with("auditor")).collect();
        std::fs::write(&path, left.join("\n")).unwrap();
        assert_eq!(holder(&path, &one).unwrap(), None);
        let three = issue(&path, "supervisor").unwrap();
        let known = [&two, &three].map(|token| holder(&path, token).unwrap());
        assert_eq!(known, [Some("regulator".into()), Some("supervisor".into())]);
        std::fs::write(&path, "nonsense\n").unwrap();
        assert!(holder(&path, &one).unwrap_err().message.contains("line 1"));
    }
}
