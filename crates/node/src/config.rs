//! `node.toml`: what a node is called, whom it talks to, where its files are.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tally_crypto::sign::VerifyKey;

use crate::api::ApiSection;
use crate::descriptors::{ConnectionsSection, Listeners};
use crate::failure::{Failure, FailureKind};

/// The whole file; unknown keys are refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Who this node is.
    pub(crate) node: NodeSection,
    /// How it reaches its peers.
    pub(crate) link: LinkSection,
    /// Files that the consortium gives to every node.
    #[serde(default)]
    pub(crate) files: FilesSection,
    /// How sessions are approved here.
    #[serde(default)]
    pub(crate) session: SessionSection,
    /// The transparency log.
    #[serde(default)]
    pub(crate) log: LogSection,
    /// How long records are kept.
    #[serde(default)]
    pub(crate) retention: RetentionSection,
    /// Bank: the scoring service; none if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) api: Option<ApiSection>,
    /// Early warning.
    #[serde(default)]
    pub(crate) warning: WarningSection,
    /// How many connections each listener holds at once.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) connections: ConnectionsSection,
}

fn is_default(connections: &ConnectionsSection) -> bool {
    *connections == ConnectionsSection::default()
}

/// Who a node is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NodeSection {
    /// Party name, as in the registry and in the certificate.
    pub(crate) name: String,
    /// Platform or bank.
    pub(crate) role: Role,
}

/// A node's role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Role {
    /// The city's credit platform: listens.
    Platform,
    /// A bank, insurer or guarantor: dials.
    Bank,
}

/// How a node reaches its peers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LinkSection {
    /// Platform: address and port to listen on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) listen: Option<String>,
    /// Bank: host and port of the platform.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) dial: Option<String>,
    /// Bank: party name of the platform.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) platform: Option<String>,
}

/// Files that the consortium gives to every node; relative paths start at the node's directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct FilesSection {
    /// The signed registry of parties.
    pub(crate) registry: PathBuf,
    /// The consortium's certificate authority.
    pub(crate) ca_certificate: PathBuf,
    /// This node's certificate.
    pub(crate) certificate: PathBuf,
    /// The consortium's key: a registry that another key has signed is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ca_key: Option<VerifyKey>,
}

impl Default for FilesSection {
    fn default() -> Self {
        Self {
            registry: "registry.json".into(),
            ca_certificate: "ca.crt".into(),
            certificate: "node.crt".into(),
            ca_key: None,
        }
    }
}

/// How sessions are approved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SessionSection {
    /// Operators who must approve before the node signs: 1 or 2.
    pub(crate) approvals: u8,
}

impl Default for SessionSection {
    fn default() -> Self {
        Self { approvals: 1 }
    }
}

/// The transparency log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LogSection {
    /// Seconds of the tick on which checkpoints are published, where there is something new; ticks go by the clock, not by
    /// what happens.
    pub(crate) checkpoint_seconds: u32,
    /// At each publication the log is filled up with empty entries to a multiple of this; 1 for none.
    #[serde(skip_serializing_if = "is_one")]
    pub(crate) pad: u32,
    /// Address and port to serve the log's files on, over HTTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) http: Option<String>,
    /// Hashes of the tokens of those who may read more than the checkpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) http_tokens: Option<PathBuf>,
    /// Trust policy (C2SP tlog-policy): the witnesses that cosign this log's checkpoints, and their quorum; none if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) policy: Option<PathBuf>,
}

impl Default for LogSection {
    fn default() -> Self {
        Self { checkpoint_seconds: 1, pad: 1, http: None, http_tokens: None, policy: None }
    }
}

fn is_one(number: &u32) -> bool {
    *number == 1
}

impl LogSection {
    /// Ticks and padding within bounds; tokens do not cross a network in the clear.
    fn check(&self) -> Result<(), String> {
        if !(1..=86_400).contains(&self.checkpoint_seconds) {
            Err("log.checkpoint_seconds is 1 to 86400: peers are promised publication within a day")?;
        }
        if !(1..=4096).contains(&self.pad) {
            Err("log.pad is 1 (no padding) to 4096")?;
        }
        let local = |address: &str| {
            let parsed = address.parse::<std::net::SocketAddr>();
            parsed.is_ok_and(|address| address.ip().is_loopback()) || address.starts_with("localhost:")
        };
        match (&self.http, &self.http_tokens) {
            (None, Some(_)) => Err("log.http_tokens needs log.http, the address to serve on".into()),
            (Some(address), _) if address.rsplit_once(':').is_none() => Err("log.http is host:port".into()),
            (Some(address), Some(_)) if !local(address) => {
                Err("log.http with tokens is a loopback address: put a proxy that speaks TLS before it".into())
            }
            _ => Ok(()),
        }
    }
}

/// How long records are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RetentionSection {
    /// Days after which what opens the log's commitments is deleted, though not before the score that it belongs to.
    pub(crate) openings_days: u32,
    /// Days for which a bank keeps what it put into a session after its end, for an auditor; never longer than the contract allows.
    pub(crate) inputs_days: u32,
}

impl Default for RetentionSection {
    fn default() -> Self {
        Self { openings_days: 1827, inputs_days: 0 }
    }
}

/// Early warning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct WarningSection {
    /// Platform: hours between two runs, besides those after imports; 0 for none.
    pub(crate) every_hours: u32,
    /// Platform: the rules, which an operator must have approved; no warnings if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rules: Option<PathBuf>,
    /// Bank: the data set whose enterprises it watches; all its data sets if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) portfolio: Option<String>,
}

impl Default for WarningSection {
    fn default() -> Self {
        Self { every_hours: 24, rules: None, portfolio: None }
    }
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// Names the file, the key and the remedy.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            let text = format!("{}: {error}: make a node directory with `tallystick init`", path.display());
            Failure::new(FailureKind::Config, text)
        })?;
        Self::parse(text.trim_start_matches('\u{feff}'))
            .map_err(|reason| Failure::new(FailureKind::Config, format!("{}: {reason}", path.display())))
    }

    /// Parses the text of a file.
    ///
    /// # Errors
    /// Says which key is wrong and what to write instead.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let config: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        let link = &config.link;
        match config.node.role {
            Role::Platform if link.listen.is_none() => Err("a platform needs link.listen, such as \"0.0.0.0:7443\"")?,
            Role::Platform if link.dial.is_some() => Err("a platform never dials: remove link.dial")?,
            Role::Bank if link.dial.is_none() => Err("a bank needs link.dial, such as \"platform.example:7443\"")?,
            Role::Bank if link.platform.is_none() => Err("a bank needs link.platform, the platform's party name")?,
            Role::Bank if link.listen.is_some() => Err("a bank only dials out: remove link.listen")?,
            _ => {}
        }
        if !(1..=2).contains(&config.session.approvals) {
            Err("session.approvals is 1 or 2")?;
        }
        config.log.check()?;
        config.connections.check()?;
        check_name(&config.node.name)?;
        match &config.api {
            Some(_) if config.node.role == Role::Platform => Err("applicants are scored at a bank: remove [api]")?,
            Some(api) => api.check()?,
            None => {}
        }
        Ok(config)
    }

    /// The listeners that the node has.
    pub(crate) fn listeners(&self) -> Listeners {
        Listeners { link: self.link.listen.is_some(), api: self.api.is_some(), log: self.log.http.is_some() }
    }
}

/// Party names are DNS labels, since certificates carry them.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    let fits = (1..=40).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !name.starts_with('-')
        && !name.ends_with('-');
    if fits {
        Ok(())
    } else {
        Err(format!("`{name}` is not a party name: lowercase letters, digits and inner hyphens"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shipped_samples_parse() {
        for text in [include_str!("../../../deploy/platform.toml"), include_str!("../../../deploy/bank.toml")] {
            let config = Config::parse(text).unwrap();
            assert_eq!(config.connections, ConnectionsSection::default(), "samples show the defaults");
            for key in ["[connections.link]", "[connections.api]", "[connections.log]", "[connections]"] {
                assert_eq!(text.contains(key), key != absent_at(config.node.role), "{key}");
            }
        }
    }

    /// What a sample of this role has no use for.
    fn absent_at(role: Role) -> &'static str {
        if role == Role::Platform { "[connections.api]" } else { "[connections.link]" }
    }

    #[test]
    fn mistakes_are_named() {
        let bank = "[node]\nname = \"bank-1\"\nrole = \"bank\"\n[link]\ndial = \"h:1\"\nplatform = \"platform\"\n";
        assert!(Config::parse(bank).is_ok());
        for (text, word) in [
            (bank.replace("dial", "dail"), "dail"),
            (bank.replace("dial = \"h:1\"\n", ""), "link.dial"),
            (bank.replace("bank-1", "Bank 1"), "party name"),
            (format!("{bank}[session]\napprovals = 3\n"), "approvals"),
            (format!("{bank}[log]\npad = 0\n"), "log.pad"),
            (format!("{bank}[connections.api]\ntotal = 1\nper_source = 1\n"), "connections.api.total"),
            (format!("{bank}[log]\ncheckpoint_seconds = 0\n"), "checkpoint_seconds"),
            (format!("{bank}[log]\nhttp_tokens = \"t\"\n"), "log.http"),
            (format!("{bank}[log]\nhttp = \"0.0.0.0:1\"\nhttp_tokens = \"t\"\n"), "proxy"),
        ] {
            let error = Config::parse(&text).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
    }
}
