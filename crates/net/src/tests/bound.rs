//! Certificates of the right authority, under the right name, and with another key than the registry has.

use super::*;
use crate::direct::{Direct, DirectError, Trust};

/// A party that knows one peer by the key of this certificate too.
fn party_that_knows(name: &str, peer: &str, tls: &Tls) -> Party {
    let mut party = party(name);
    party.peers.get_mut(peer).unwrap().tls = Some(tls_key(&tls.cert_pem).unwrap());
    party
}

fn sink() -> (impl Fn(Event, Room) + Send + Sync + 'static, Receiver<Event>) {
    let (sender, events) = channel();
    (move |event, _| drop(sender.send(event)), events)
}

/// Somebody got a second certificate for bank-1 out of the authority.
#[test]
fn a_bank_with_another_key_is_refused_and_reported() {
    let (runtime, authority) = (Runtime::new().unwrap(), Authority::new());
    let (right, wrong) = (authority.issue("bank-1"), authority.issue("bank-1"));
    let ((tell, events), me) = (sink(), party_that_knows("platform", "bank-1", &right));
    let platform =
        Listener::bind(runtime.handle(), ("127.0.0.1:0", BOUNDS), me, authority.issue("platform"), tell).unwrap();
    let (_link, at_bank) = dial(&runtime, wrong, "bank-1", &platform);
    let Event::Refused { claimed, reason, .. } = wait(&events, |_| true) else { panic!("let in") };
    assert!(claimed.as_deref() == Some("bank-1") && reason.contains("another key"), "{reason}");
    assert!(matches!(wait(&at_bank, |_| true), Event::Down { .. }));
    let (_link, _events) = dial(&runtime, right, "bank-1", &platform);
    wait(&events, is_up);
}

/// Somebody in the middle of the link shows a second certificate for the platform.
#[test]
fn a_platform_with_another_key_is_told_nothing_and_reported() {
    let (runtime, authority) = (Runtime::new().unwrap(), Authority::new());
    let right = authority.issue("platform");
    let (impostor, at_impostor) = listen(&runtime, &authority, "127.0.0.1:0");
    let address = impostor.local_address().unwrap().to_string();
    let ((tell, events), me) = (sink(), party_that_knows("bank-1", "platform", &right));
    let tls = authority.issue("bank-1");
    let _link = Dialer::start(runtime.handle(), &address, me, "platform", tls, tell).unwrap();
    let Event::Refused { claimed, reason, .. } = wait(&events, |_| true) else { panic!("talked to") };
    assert!(claimed.as_deref() == Some("platform") && reason.contains("another key"), "{reason}");
    assert!(matches!(wait(&events, |_| true), Event::Down { .. }));
    assert!(!at_impostor.try_iter().any(|event| is_up(&event)), "the bank has said hello");
}

/// The same between two parties of a run of their own.
#[test]
fn a_direct_peer_with_another_key_is_refused_by_either_side() {
    let authority = Authority::new();
    let (platform, bank) = (authority.issue("platform"), authority.issue("bank-1"));
    let patience = Duration::from_secs(10);
    let run = |shown_by_platform: &Tls, shown_by_bank: &Tls| {
        let trust = |peer: &str, tls: &Tls| Trust::Consortium {
            peer: peer.into(),
            tls_key: Some(tls_key(&tls.cert_pem).unwrap()),
        };
        let (to_bank, to_platform) = (trust("bank-1", &bank), trust("platform", &platform));
        let (ready, address) = channel();
        let (turned_away, reasons) = channel();
        let server = shown_by_platform.clone();
        std::thread::spawn(move || {
            let ready = |address: std::net::SocketAddr| ready.send(address.to_string()).unwrap();
            let refused = move |who| drop(turned_away.send(who));
            let _ended = Direct::listen("127.0.0.1:0", &server, &to_bank, patience, ready, refused);
        });
        let connected = Direct::connect(&address.recv().unwrap(), shown_by_bank, &to_platform, patience);
        (connected.map(drop), reasons)
    };
    run(&platform, &bank).0.unwrap();
    let (refused, _) = run(&authority.issue("platform"), &bank);
    assert!(matches!(&refused, Err(DirectError::Refused(why)) if why.contains("another key")), "{refused:?}");
    let (_, reasons) = run(&platform, &authority.issue("bank-1"));
    let why = reasons.recv_timeout(Duration::from_secs(20)).unwrap();
    assert!(why.contains("another key"), "{why}");
}
