//! A peer of the consortium whose messages are not what it has signed.

use tally_audit::{Sent, SignedReceipt};
use tokio_stream::wrappers::ReceiverStream;

use super::*;
use crate::identity::server_name;
use crate::wire::link_client::LinkClient;
use crate::wire::{Frame, Hello, Part, frame::Kind};

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

/// Sends the frames as bank-1, and waits until the platform ends the connection.
fn send(runtime: &Runtime, authority: &Authority, platform: &Link, parts: Vec<Part>) {
    let tls = authority.issue("bank-1");
    let config = tonic::transport::ClientTlsConfig::new()
        .ca_certificate(tonic::transport::Certificate::from_pem(&tls.ca_pem))
        .identity(tonic::transport::Identity::from_pem(&tls.cert_pem, &tls.key_pem))
        .domain_name(server_name("platform"));
    let url = format!("https://{}", platform.local_address().unwrap());
    let endpoint = tonic::transport::Endpoint::from_shared(url).unwrap().tls_config(config).unwrap();
    runtime.block_on(async move {
        let (sender, frames) = tokio::sync::mpsc::channel(8);
        let hello = Hello { name: "bank-1".into(), version: VERSION };
        sender.send(Frame { kind: Some(Kind::Hello(hello)) }).await.unwrap();
        for part in parts {
            sender.send(Frame { kind: Some(Kind::Part(part)) }).await.unwrap();
        }
        let mut client = LinkClient::new(endpoint.connect().await.unwrap());
        let mut answers = client.open(ReceiverStream::new(frames)).await.unwrap().into_inner();
        while let Ok(Some(_)) = answers.message().await {}
    });
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
