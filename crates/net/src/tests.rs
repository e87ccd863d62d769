//! Real TLS on loopback: who gets in, who does not, and what arrives.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tally_audit::{Body, Ledger, Receipt};
use tally_crypto::seed::Seed;
use tally_crypto::sign::SigningKey;
use tally_crypto::transcript::Digest;
use tokio::runtime::Runtime;

use super::*;
use crate::door::Bounds;

mod bound;
mod meddling;

const BOUNDS: Bounds = Bounds { total: 64, per_source: 32 };

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn issue(&self, party: &str) -> Tls {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([format!("{party}.tallystick")]).unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Tls { ca_pem: self.0.pem(), cert_pem: certificate.pem(), key_pem: key.serialize_pem() }
    }
}

fn key(party: &str) -> SigningKey {
    SigningKey::from_seed(&Seed::new(Digest::of_bytes(party.as_bytes()).0))
}

/// A party with its key; it knows all others.
fn party(name: &str) -> Party {
    let peers = ["platform", "bank-1", "bank-2"].into_iter().filter(|peer| *peer != name);
    let known = |peer: &str| PeerKeys { node: key(peer).verify_key(), tls: None };
    let peers = peers.map(|peer| (peer.to_owned(), known(peer))).collect();
    Party { name: name.into(), key: Arc::new(key(name)), peers }
}

fn listen(runtime: &Runtime, authority: &Authority, address: &str) -> (Link, Receiver<Event>) {
    let (sender, events) = channel();
    let tls = authority.issue("platform");
    let sink = move |event, _| drop(sender.send(event));
    (Listener::bind(runtime.handle(), (address, BOUNDS), party("platform"), tls, sink).unwrap(), events)
}

fn dial(runtime: &Runtime, tls: Tls, me: &str, to: &Link) -> (Link, Receiver<Event>) {
    let (sender, events) = channel();
    let address = to.local_address().unwrap().to_string();
    let sink = move |event, _| drop(sender.send(event));
    (Dialer::start(runtime.handle(), &address, party(me), "platform", tls, sink).unwrap(), events)
}

fn wait(events: &Receiver<Event>, wanted: impl Fn(&Event) -> bool) -> Event {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let event = events.recv_timeout(deadline.saturating_duration_since(Instant::now())).expect("the event comes");
        if wanted(&event) {
            return event;
        }
    }
}

fn receipt() -> Receipt {
    let mut ledger = Ledger::recover("n", []).unwrap();
    let mut batch = ledger.batch();
    batch.append(None, 1, "n", Body::AuditAccess { object: Digest::default() }).unwrap();
    batch.commit(|_| Ok::<_, ()>(())).unwrap();
    ledger.receipt(0).unwrap()
}

fn is_up(event: &Event) -> bool {
    matches!(event, Event::Up { .. })
}

#[test]
fn messages_of_any_length_arrive_both_ways_with_their_receipt() {
    let runtime = Runtime::new().unwrap();
    let authority = Authority::new();
    let (platform, at_platform) = listen(&runtime, &authority, "127.0.0.1:0");
    let (bank, at_bank) = dial(&runtime, authority.issue("bank-1"), "bank-1", &platform);
    assert_eq!(wait(&at_platform, is_up), Event::Up { peer: "bank-1".into() });
    wait(&at_bank, is_up);
    for (sequence, length) in [(1, 0), (2, 10), (3, 5 << 20)] {
        let body = vec![sequence as u8; length];
        bank.send("platform", Outgoing::new(sequence, "s", "kind", body.clone(), &receipt())).unwrap();
        let Event::Message { peer, message } = wait(&at_platform, |_| true) else { panic!("not a message") };
        assert_eq!((peer.as_str(), message.sequence, message.body), ("bank-1", sequence, body));
        let promise = message.receipt.promise();
        assert_eq!((promise.log.as_str(), promise.sequence, promise.leaf), ("bank-1", sequence, receipt().leaf()));
    }
    platform.acknowledge("bank-1", 3);
    assert_eq!(wait(&at_bank, |_| true), Event::Acknowledged { peer: "platform".into(), sequence: 3 });
    platform.send("bank-1", Outgoing::new(1, "", "kind", vec![7], &receipt())).unwrap();
    assert!(matches!(wait(&at_bank, |_| true), Event::Message { .. }));
    assert_eq!(platform.send("bank-2", Outgoing::new(1, "", "k", vec![], &receipt())), Err(NotConnected));
    assert!(platform.traffic().received > 5 << 20);
}

#[test]
fn strangers_and_impostors_are_refused_and_reported() {
    let runtime = Runtime::new().unwrap();
    let (authority, other) = (Authority::new(), Authority::new());
    let (platform, events) = listen(&runtime, &authority, "127.0.0.1:0");
    let refused = |event: &Event| matches!(event, Event::Refused { .. });
    let mut foreign = other.issue("bank-1");
    foreign.ca_pem = authority.issue("x").ca_pem;
    let (_link, _events) = dial(&runtime, foreign, "bank-1", &platform);
    assert!(matches!(wait(&events, refused), Event::Refused { claimed: None, .. }));
    let (_link, at_bank) = dial(&runtime, authority.issue("bank-2"), "bank-1", &platform);
    let named = |event: &Event| matches!(event, Event::Refused { claimed: Some(_), .. });
    let Event::Refused { claimed, reason, .. } = wait(&events, named) else { unreachable!() };
    assert_eq!((claimed.as_deref(), reason.as_str()), (Some("bank-1"), "the certificate names bank-2"));
    let Event::Down { reason, .. } = wait(&at_bank, |_| true) else { panic!("let in") };
    assert!(reason.contains("names bank-2"), "{reason}");
    let (_link, _events) = dial(&runtime, authority.issue("bank-9"), "bank-9", &platform);
    let unknown = |event: &Event| matches!(event, Event::Refused { claimed: Some(name), .. } if name == "bank-9");
    wait(&events, unknown);
}

#[test]
fn a_peer_without_a_certificate_or_without_tls_is_refused() {
    use std::io::Write as _;
    let runtime = Runtime::new().unwrap();
    let authority = Authority::new();
    let (platform, events) = listen(&runtime, &authority, "127.0.0.1:0");
    let mut plain = std::net::TcpStream::connect(platform.local_address().unwrap()).unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    assert!(matches!(wait(&events, |_| true), Event::Refused { claimed: None, .. }));
    let config = tonic::transport::ClientTlsConfig::new()
        .ca_certificate(tonic::transport::Certificate::from_pem(authority.issue("x").ca_pem))
        .domain_name("platform.tallystick");
    let url = format!("https://{}", platform.local_address().unwrap());
    let endpoint = tonic::transport::Endpoint::from_shared(url).unwrap().tls_config(config).unwrap();
    runtime.spawn(async move { endpoint.connect().await });
    let Event::Refused { reason, .. } = wait(&events, |_| true) else { panic!("let in") };
    assert!(reason.contains("certificate"), "{reason}");
}

#[test]
fn a_bank_comes_back_when_the_platform_does() {
    let authority = Authority::new();
    let banks = Runtime::new().unwrap();
    let first = Runtime::new().unwrap();
    let (platform, _events) = listen(&first, &authority, "127.0.0.1:0");
    let address = platform.local_address().unwrap().to_string();
    let (_bank, at_bank) = dial(&banks, authority.issue("bank-1"), "bank-1", &platform);
    wait(&at_bank, is_up);
    first.shutdown_background();
    wait(&at_bank, |event| matches!(event, Event::Down { .. }));
    let second = Runtime::new().unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while std::net::TcpListener::bind(&address).is_err() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(50));
    }
    let (_platform, _events) = listen(&second, &authority, &address);
    wait(&at_bank, is_up);
}

#[test]
fn a_platform_of_another_name_is_not_talked_to() {
    let runtime = Runtime::new().unwrap();
    let authority = Authority::new();
    let (sender, _kept) = channel();
    let sink = move |event, _| drop(sender.send(event));
    let impostor =
        Listener::bind(runtime.handle(), ("127.0.0.1:0", BOUNDS), party("platform"), authority.issue("bank-2"), sink)
            .unwrap();
    let (_bank, at_bank) = dial(&runtime, authority.issue("bank-1"), "bank-1", &impostor);
    assert!(matches!(wait(&at_bank, |_| true), Event::Down { .. }));
}

/// Connections that say nothing or next to nothing take no place from a bank, and who is connected stays.
#[test]
fn a_flood_keeps_no_bank_out() {
    use std::io::Write as _;
    let runtime = Runtime::new().unwrap();
    let authority = Authority::new();
    let (platform, at_platform) = listen(&runtime, &authority, "127.0.0.1:0");
    let (bank, at_bank) = dial(&runtime, authority.issue("bank-1"), "bank-1", &platform);
    wait(&at_platform, is_up);
    wait(&at_bank, is_up);
    let address = platform.local_address().unwrap();
    let mut slow: Vec<_> = (0..500).map(|_| std::net::TcpStream::connect(address).unwrap()).collect();
    // The beginning of a hello, in single bytes.
    for byte in [&[0x16], &[0x03], &[0x01]] {
        slow.iter_mut().for_each(|stream| drop(stream.write_all(byte)));
    }
    bank.send("platform", Outgoing::new(1, "s", "kind", vec![1], &receipt())).unwrap();
    wait(&at_platform, |event| matches!(event, Event::Message { .. }));
    let (_other, at_other) = dial(&runtime, authority.issue("bank-2"), "bank-2", &platform);
    wait(&at_other, is_up);
    // The same bank may come again and again: it takes a few places at most.
    let again: Vec<_> = (0..8).map(|_| dial(&runtime, authority.issue("bank-1"), "bank-1", &platform)).collect();
    again.iter().for_each(|(_, events)| drop(wait(events, is_up)));
    drop(slow);
}
