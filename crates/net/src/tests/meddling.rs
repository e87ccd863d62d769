//! A peer of the consortium whose messages are not what it has signed.

use tally_audit::{Sent, SignedReceipt};
use tokio::sync::mpsc::Sender;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::*;
use crate::identity::server_name;
use crate::link::Shared;
use crate::outbound::Outbound;
use crate::wire::link_client::LinkClient;
use crate::wire::{Acknowledgement, AddCheckpoint, Frame, Hello, Part, frame::Kind};

const BODY: &[u8] = b"a message";

fn sent(sequence: u64) -> Sent<'static> {
    Sent { from: "bank-1", to: "platform", sequence, session: "s", kind: "session", body: BODY }
}

fn signed(message: &Sent<'_>, by: &str) -> Vec<u8> {
    SignedReceipt::sign(&receipt(), message, &key(by)).encode()
}

/// The message as it is sent, under these bytes of a receipt.
fn part(message: &Sent<'_>, receipt: Vec<u8>) -> Part {
    Part {
        sequence: message.sequence,
        session: message.session.into(),
        kind: message.kind.into(),
        receipt,
        part: 0,
        parts: 1,
        body: message.body.into(),
    }
}

fn own(message: &Sent<'_>) -> Part {
    part(message, signed(message, "bank-1"))
}

/// Sends the parts as bank-1, and waits until the platform ends the connection.
fn send(runtime: &Runtime, authority: &Authority, platform: &Link, parts: Vec<Part>) {
    let frames = parts.into_iter().map(Kind::Part).collect();
    runtime.block_on(async {
        let (_kept, mut answers) = open(authority, platform, frames).await;
        while let Ok(Some(_)) = answers.message().await {}
    });
}

/// Opens a connection as bank-1 and sends the frames after a hello; what keeps it open, and what comes back.
async fn open(authority: &Authority, platform: &Link, frames: Vec<Kind>) -> (Sender<Frame>, Streaming<Frame>) {
    let tls = authority.issue("bank-1");
    let config = tonic::transport::ClientTlsConfig::new()
        .ca_certificate(tonic::transport::Certificate::from_pem(&tls.ca_pem))
        .identity(tonic::transport::Identity::from_pem(&tls.cert_pem, &tls.key_pem))
        .domain_name(server_name("platform"));
    let url = format!("https://{}", platform.local_address().unwrap());
    let endpoint = tonic::transport::Endpoint::from_shared(url).unwrap().tls_config(config).unwrap();
    let (sender, queue) = tokio::sync::mpsc::channel(8);
    let hello = Kind::Hello(Hello { name: "bank-1".into(), version: VERSION });
    for kind in std::iter::once(hello).chain(frames) {
        sender.send(Frame { kind: Some(kind) }).await.unwrap();
    }
    let mut client = LinkClient::new(endpoint.connect().await.unwrap());
    let answers = client.open(ReceiverStream::new(queue)).await.unwrap().into_inner();
    (sender, answers)
}

#[test]
fn what_its_sender_has_not_signed_is_refused_and_the_connection_ends() {
    let runtime = Runtime::new().unwrap();
    let authority = Authority::new();
    let (platform, events) = listen(&runtime, &authority, "127.0.0.1:0");
    let mut flipped = signed(&sent(1), "bank-1");
    let place = flipped.len() - 20;
    flipped[place] = if flipped[place] == b'A' { b'B' } else { b'A' };
    let elsewhere = Sent { to: "bank-2", ..sent(1) };
    let cases = [
        (part(&sent(1), Vec::new()), "carries no receipt"),
        (part(&sent(1), b"{}".to_vec()), "cannot be read"),
        (part(&sent(1), flipped), "not signed by the node key of `bank-1`"),
        (part(&sent(3), signed(&sent(3), "bank-2")), "not signed by the node key of `bank-1`"),
        (part(&Sent { body: b"another one", ..sent(1) }, signed(&sent(1), "bank-1")), "about another message"),
        // Of two messages with the same bytes, each under the receipt of the other one.
        (part(&sent(1), signed(&sent(2), "bank-1")), "about another message number"),
        (part(&Sent { session: "t", ..sent(1) }, signed(&sent(1), "bank-1")), "about another session"),
        (part(&Sent { kind: "contract", ..sent(1) }, signed(&sent(1), "bank-1")), "about another kind"),
        // What was signed for another receiver, or by another sender for this one.
        (part(&sent(1), signed(&elsewhere, "bank-1")), "about another receiver"),
        (part(&sent(1), signed(&Sent { from: "bank-2", ..sent(1) }, "bank-2")), "about another sender"),
        (part(&sent(1), signed(&Sent { from: "bank-7", ..sent(1) }, "bank-1")), "the log `bank-7`"),
        // What it has signed, and no log or store could hold.
        (own(&Sent { kind: &"k".repeat(65), ..sent(1) }), "its kind is not a name"),
        (own(&Sent { kind: "", ..sent(2) }), "its kind is not a name"),
        (own(&Sent { session: &"s".repeat(70_000), ..sent(1) }), "its session is not a name"),
        (own(&Sent { session: "a b", ..sent(2) }), "its session is not a name"),
        (own(&sent(1 << 63)), "its number is none"),
        (own(&sent(0)), "its number is none"),
    ];
    for (part, word) in cases {
        send(&runtime, &authority, &platform, vec![part]);
        let Event::MessageRefused { peer, reason } = wait(&events, |event| !is_up(event)) else { panic!("{word}") };
        assert!(peer == "bank-1" && reason.contains(" of bank-1: ") && reason.contains(word), "{reason}");
        assert!(matches!(wait(&events, |_| true), Event::Down { .. }));
    }
}

#[test]
fn a_refusal_is_reported_once_until_something_holds_again() {
    let runtime = Runtime::new().unwrap();
    let authority = Authority::new();
    let (platform, events) = listen(&runtime, &authority, "127.0.0.1:0");
    let unsigned = || part(&sent(1), Vec::new());
    let good = || part(&sent(1), signed(&sent(1), "bank-1"));
    send(&runtime, &authority, &platform, vec![unsigned()]);
    send(&runtime, &authority, &platform, vec![unsigned(), good()]);
    send(&runtime, &authority, &platform, vec![good(), unsigned()]);
    let mut told = Vec::new();
    while told.iter().filter(|event| matches!(event, Event::Down { .. })).count() < 3 {
        told.push(wait(&events, |event| !is_up(event)));
    }
    let refused = told.iter().filter(|event| matches!(event, Event::MessageRefused { .. })).count();
    let taken = told.iter().filter(|event| matches!(event, Event::Message { .. })).count();
    assert_eq!((refused, taken), (2, 1), "{told:?}");
}

#[test]
fn a_number_that_no_message_has_is_not_acknowledged() {
    let runtime = Runtime::new().unwrap();
    let authority = Authority::new();
    let (platform, events) = listen(&runtime, &authority, "127.0.0.1:0");
    let acknowledgement = Kind::Acknowledgement(Acknowledgement { sequence: 1 << 63 });
    let (_kept, _answers) = runtime.block_on(open(&authority, &platform, vec![acknowledgement]));
    let Event::Down { reason, .. } = wait(&events, |event| !is_up(event)) else { panic!("taken in") };
    assert!(reason.contains("that no message has"), "{reason}");
}

#[test]
fn a_later_connection_ends_the_one_before() {
    let runtime = Runtime::new().unwrap();
    let authority = Authority::new();
    let (platform, events) = listen(&runtime, &authority, "127.0.0.1:0");
    runtime.block_on(async {
        let (_first, mut before) = open(&authority, &platform, Vec::new()).await;
        let (_second, _answers) = open(&authority, &platform, Vec::new()).await;
        let ended = async { while let Ok(Some(_)) = before.message().await {} };
        tokio::time::timeout(Duration::from_secs(20), ended).await.unwrap();
    });
    drop(platform);
    assert!(events.try_iter().take(2).all(|event| is_up(&event)), "the peer was never away");
}

#[test]
fn what_waits_for_a_peer_that_does_not_read_is_bounded() {
    let shared = Shared::new(party("platform"), |_, _| ());
    let (parcels, outbound) = Outbound::new("bank-1", &shared);
    let (_number, _replaced) = shared.connect("bank-1", parcels);
    let link = Link { shared, address: None };
    for number in 1..=1000u64 {
        link.answer_to_cosign("bank-1", 409, None, vec![0]);
        link.ask_to_cosign("bank-1", number.to_be_bytes().to_vec());
        link.acknowledge("bank-1", number);
    }
    assert_eq!(outbound.waiting(), 66);
    let runtime = Runtime::new().unwrap();
    let kinds: Vec<_> = runtime.block_on(outbound.take(67).map(|frame| frame.kind).collect());
    assert!(kinds.contains(&Some(Kind::Acknowledgement(Acknowledgement { sequence: 1000 }))));
    assert!(kinds.contains(&Some(Kind::AddCheckpoint(AddCheckpoint { body: 1000u64.to_be_bytes().to_vec() }))));
}
