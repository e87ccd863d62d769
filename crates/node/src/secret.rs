//! Where secrets come from: a file, a systemd credential or a prompt; never the command line, never the environment.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::failure::{self, Failure};

/// Reads the secret called `name` (the systemd credential's name and the prompt's subject).
///
/// # Errors
/// Says which source failed, or that there is none.
pub(crate) fn read(file: Option<&Path>, name: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    if let Some(path) = file.map(PathBuf::from).or_else(|| credential(name)) {
        let mut secret = std::fs::read(&path)
            .map_err(|error| failure::misconfigured(format!("{}: cannot read the secret: {error}", path.display())))?;
        while secret.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
            secret.pop();
        }
        return checked(secret);
    }
    let prompt = format!("Passphrase for {name}: ");
    let typed = rpassword::prompt_password(prompt).map_err(|_| {
        failure::usage(format!("there is no terminal to ask for the passphrase of {name}: give --secret-file"))
    })?;
    checked(typed.into_bytes())
}

fn credential(name: &str) -> Option<PathBuf> {
    let path = Path::new(&std::env::var_os("CREDENTIALS_DIRECTORY")?).join(name);
    path.exists().then_some(path)
}

fn checked(secret: Vec<u8>) -> Result<Zeroizing<Vec<u8>>, Failure> {
    if secret.len() < 8 {
        return Err(failure::usage("the passphrase is shorter than 8 bytes"));
    }
    Ok(Zeroizing::new(secret))
}
