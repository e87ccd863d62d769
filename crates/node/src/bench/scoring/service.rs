//! The nodes under load: the demo's platform and first bank, with the bank's scoring service switched on.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tally_audit::order::Decision;
use tally_city::SystemsAuthority;
use tally_data::{CsvForm, Table};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::relay;
use crate::api::{Scope, TokenTerms};
use crate::batch::value;
use crate::config::Config;
use crate::control::Command;
use crate::demo::{Node, OPERATOR};
use crate::directory::Directory;
use crate::failure::{self, Failure};

/// A bank's node that serves, and its platform.
pub(super) struct Service {
    platform: Node,
    bank: Node,
    /// Host and port of the service.
    pub(super) address: String,
    pub(super) tls: Arc<ClientConfig>,
    pub(super) token: String,
    /// Calls, as a loan system sends them.
    pub(super) applicants: Vec<Value>,
}

impl Service {
    /// Starts the nodes of a demo that was kept in `folder`, `round_trip` apart.
    pub(super) fn start(folder: &Path, round_trip: Duration) -> Result<Self, Failure> {
        let secret = folder.join("secret");
        let mut platform = Node::new("platform", &folder.join("platform"), &secret);
        let mut bank = Node::new("bank-1", &folder.join("bank-1"), &secret);
        let authority = SystemsAuthority::new().map_err(failure::internal)?;
        configure(&bank.directory, &authority, round_trip)?;
        platform.start()?;
        bank.start()?;
        let token = issue_token(&bank, &secret)?;
        let address = std::fs::read_to_string(bank.directory.join("api.address")).map_err(failure::internal)?;
        let tls = Arc::new(client(&authority)?);
        let applicants = applicants(&folder.join("inputs/bank-1.csv"))?;
        let service = Self { platform, bank, address, tls, token, applicants };
        service.wait_for_platform()?;
        Ok(service)
    }

    fn wait_for_platform(&self) -> Result<(), Failure> {
        for _ in 0..200 {
            let status = self.bank.tell(&Command::Status)?;
            if status["peers"].as_array().is_some_and(|peers| !peers.is_empty()) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Err(failure::unavailable("the bank did not reach the platform"))
    }

    /// Processor time of both nodes so far, seconds.
    pub(super) fn cpu_seconds(&self) -> Option<f64> {
        Some(self.platform.cpu_seconds()? + self.bank.cpu_seconds()?)
    }

    /// Stops the nodes; how many findings an auditor has over all logs, and the first of them.
    pub(super) fn stop_and_audit(&mut self, folder: &Path) -> Result<Value, Failure> {
        self.bank.stop();
        self.platform.stop();
        let logs: Vec<_> = ["platform", "bank-1", "bank-2", "bank-3"].iter().map(|name| folder.join(name)).collect();
        let audit = crate::cli::audit(&logs, &folder.join("registry.json"), None)?;
        let findings = audit["findings"].as_array().map(Vec::as_slice).unwrap_or_default();
        let entries = audit["logs"].as_array().into_iter().flatten().filter_map(|log| log["entries"].as_u64());
        Ok(json!({ "entries": entries.sum::<u64>(), "findings": findings.len(), "first": findings.first() }))
    }
}

/// Switches the service on, with limits that a benchmark does not meet, and puts the round trip between the nodes.
fn configure(bank: &Path, authority: &SystemsAuthority, round_trip: Duration) -> Result<(), Failure> {
    let directory = Directory::new(bank);
    let mut config = Config::read(&directory.config())?;
    if !round_trip.is_zero() {
        let platform = config.link.dial.take().unwrap_or_default();
        config.link.dial = Some(format!("127.0.0.1:{}", relay::start(platform, round_trip / 2)?));
    }
    let server = authority.issue("scores.bank-1").map_err(failure::internal)?;
    for (file, pem) in
        [("api.crt", &server.certificate), ("api.key", &server.key), ("systems.crt", &authority.certificate())]
    {
        std::fs::write(bank.join(file), pem).map_err(failure::unwritable)?;
    }
    let section = "listen = \"127.0.0.1:0\"\ncertificate = \"api.crt\"\nkey = \"api.key\"\nclient_ca = \"systems.crt\"\n\
                   token_approvals = 1\n[caller]\nper_minute = 10000000\nburst = 1000000\n[enterprise]\n\
                   per_minute = 10000000\nburst = 1000000\n";
    config.api = Some(toml::from_str(section).map_err(failure::internal)?);
    let text = toml::to_string(&config).map_err(failure::internal)?;
    std::fs::write(directory.config(), text).map_err(failure::unwritable)
}

fn issue_token(bank: &Node, secret: &Path) -> Result<String, Failure> {
    let expires = "2099-12-31".parse().map_err(failure::internal)?;
    let terms = TokenTerms { name: "loans".into(), scopes: [Scope::Score].into(), expires, certificate: None };
    let passphrase = std::fs::read(secret).map_err(failure::internal)?;
    let decision = Decision::TokenIssue { terms: terms.digest() };
    let order = crate::cli::sign(&bank.directory, OPERATOR, &passphrase, decision)?;
    let issued = bank.tell(&Command::TokenIssue { terms, order })?;
    issued["token"].as_str().map(Into::into).ok_or_else(|| failure::internal("no token was issued"))
}

fn client(authority: &SystemsAuthority) -> Result<ClientConfig, Failure> {
    let pair = authority.issue("loans").map_err(failure::internal)?;
    let certificate = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).map_err(failure::internal);
    let mut roots = RootCertStore::empty();
    roots.add(certificate(&authority.certificate())?).map_err(failure::internal)?;
    let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).map_err(failure::internal)?;
    let mut config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![certificate(&pair.certificate)?], key)
        .map_err(failure::internal)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

/// A call for every borrower of the bank's book.
fn applicants(book: &Path) -> Result<Vec<Value>, Failure> {
    let table = Table::open(book, &CsvForm::default()).map_err(failure::internal)?;
    let header = table.header().to_vec();
    let mut rows = table.rows(&(0..header.len()).collect::<Vec<_>>()).map_err(failure::internal)?;
    let mut calls = Vec::new();
    while let Some(row) = rows.next_row().map_err(failure::internal)? {
        let values = header.iter().enumerate().map(|(place, name)| (name.as_str(), row.cell(place)));
        let values = values.filter(|(name, text)| !matches!(*name, "id" | "y") && !text.is_empty());
        let fields: serde_json::Map<_, _> = values.map(|(name, text)| (name.to_owned(), value(text))).collect();
        calls.push(json!({ "applicant": row.cell(0), "purpose": "loan-underwriting", "fields": fields }));
    }
    Ok(calls)
}
