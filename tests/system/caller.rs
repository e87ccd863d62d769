//! A bank's own system that calls the scoring service: its certificates, and an HTTPS client.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tally_city::{SystemsAuthority, SystemsPair};
use tally_node::scoring as wire;
use tonic::transport::{ClientTlsConfig, Endpoint, Identity};
use ureq::Agent;
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};
use wire::scoring_client::ScoringClient;

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) media_type: String,
    pub(crate) retry_after: Option<u64>,
    pub(crate) replayed: bool,
    pub(crate) body: Value,
}

/// A client.
#[derive(Clone)]
pub(crate) struct Caller {
    agent: Agent,
    root: String,
    token: Option<String>,
}

impl Caller {
    /// A client of the node in `directory` that trusts `authority` and shows `pair`.
    pub(crate) fn new(directory: &Path, authority: &SystemsAuthority, pair: Option<&SystemsPair>) -> Self {
        let root = Certificate::from_pem(authority.certificate().as_bytes()).unwrap();
        let own = pair.map(|pair| {
            let certificate = Certificate::from_pem(pair.certificate.as_bytes()).unwrap();
            let key = PrivateKey::from_pem(pair.key.as_bytes()).unwrap();
            ClientCert::new_with_certs(&[certificate], key)
        });
        let tls = TlsConfig::builder().root_certs(RootCerts::new_with_certs(&[root])).client_cert(own).build();
        let agent = Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(30)))
            .build()
            .new_agent();
        let address = std::fs::read_to_string(directory.join("api.address")).unwrap();
        Self { agent, root: format!("https://{address}"), token: None }
    }

    pub(crate) fn with(&self, token: &str) -> Self {
        Self { token: Some(token.into()), ..self.clone() }
    }

    /// The same service over gRPC, one call.
    pub(crate) fn score_over_grpc(
        &self,
        authority: &SystemsAuthority,
        pair: &SystemsPair,
        request: wire::ScoreRequest,
    ) -> Result<wire::ScoreAnswer, tonic::Status> {
        let tls = ClientTlsConfig::new()
            .ca_certificate(tonic::transport::Certificate::from_pem(authority.certificate()))
            .identity(Identity::from_pem(&pair.certificate, &pair.key))
            .domain_name("localhost");
        let endpoint = Endpoint::from_shared(self.root.clone()).unwrap().tls_config(tls).unwrap();
        let mut request = tonic::Request::new(request);
        if let Some(token) = &self.token {
            request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        }
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let mut client = ScoringClient::new(endpoint.connect().await.unwrap());
            client.score(request).await.map(tonic::Response::into_inner)
        })
    }

    pub(crate) fn get(&self, path: &str) -> Result<(u16, String), ureq::Error> {
        let mut request = self.agent.get(format!("{}{path}", self.root));
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let mut response = request.call()?;
        Ok((response.status().as_u16(), response.body_mut().read_to_string()?))
    }

    pub(crate) fn score(&self, request: &Value) -> Answer {
        self.post(&request.to_string(), None)
    }

    /// The same caller of the service as it is reached now, of the node in `directory`.
    pub(crate) fn at(&self, directory: &Path) -> Self {
        let address = std::fs::read_to_string(directory.join("api.address")).unwrap_or_default();
        Self { root: format!("https://{address}"), ..self.clone() }
    }

    /// The same under an idempotency key; nothing where the service is not there.
    pub(crate) fn try_score_once(&self, request: &Value, key: &str) -> Option<Answer> {
        self.try_post(&request.to_string(), Some(key)).ok()
    }

    /// The same under an idempotency key.
    pub(crate) fn score_once(&self, request: &Value, key: &str) -> Answer {
        self.post(&request.to_string(), Some(key))
    }

    pub(crate) fn post(&self, body: &str, key: Option<&str>) -> Answer {
        self.try_post(body, key).unwrap()
    }

    fn try_post(&self, body: &str, key: Option<&str>) -> Result<Answer, ureq::Error> {
        let mut request = self.agent.post(format!("{}/v1/scores", self.root)).content_type("application/json");
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if let Some(key) = key {
            request = request.header("idempotency-key", format!("\"{key}\""));
        }
        let mut response = request.send(body)?;
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let mut answer = Answer {
            status: response.status().as_u16(),
            media_type: header("content-type").unwrap_or_default(),
            retry_after: header("retry-after").and_then(|text| text.parse().ok()),
            replayed: header("idempotency-replayed").is_some(),
            body: Value::Null,
        };
        answer.body = serde_json::from_str(&response.body_mut().read_to_string()?).unwrap();
        Ok(answer)
    }
}
