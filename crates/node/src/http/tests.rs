use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use axum::routing::get;
use tokio::runtime::Runtime;

use super::*;

/// How long the services of these tests wait.
const SHORT: Duration = Duration::from_secs(1);

/// A service of large answers, over HTTP/1.1 and HTTP/2.
fn served() -> (Runtime, SocketAddr) {
    let runtime = Runtime::new().unwrap();
    let router = Router::new().route("/", get(|| async { vec![0u8; 1 << 20] }));
    let attend =
        move |tcp| converse(Patient::new(tcp, SHORT), Builder::new(TokioExecutor::new()), router.clone(), SHORT);
    let bounds = Bounds { total: 16, per_source: 16 };
    let address = listen(runtime.handle(), "127.0.0.1:0", ("a key", bounds), attend).unwrap();
    (runtime, address)
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

#[test]
fn a_connection_without_a_request_is_closed() {
    let (_runtime, address) = served();
    // Nothing, the beginning of both protocols, headers without an end, and HTTP/2 that never asks.
    let h2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    for sent in [b"".as_slice(), b"P", b"PRI * HT", b"GET / HTTP/1.1\r\nhost: x\r\n", h2] {
        let mut stream = connect(address);
        stream.write_all(sent).unwrap();
        let began = Instant::now();
        // Its own frames may come first.
        let _ = stream.read_to_end(&mut Vec::new());
        assert!(began.elapsed() < Duration::from_secs(10), "{sent:?}");
    }
}

#[test]
fn a_connection_that_asks_stays() {
    let (_runtime, address) = served();
    let mut stream = connect(address);
    for _ in 0..2 {
        std::thread::sleep(SHORT / 3);
        stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).unwrap();
            head.extend(byte);
        }
        assert!(head.starts_with(b"HTTP/1.1 200"));
        // An answer that is taken in slowly is one all the same.
        std::thread::sleep(SHORT / 3);
        stream.read_exact(&mut vec![0; 1 << 20]).unwrap();
    }
}

/// Whoever asks and never reads holds its connection no longer.
#[test]
fn answers_that_nobody_takes_in_end_the_connection() {
    let (_runtime, address) = served();
    let mut stream = connect(address);
    let asked = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n".repeat(64);
    stream.write_all(&asked).unwrap();
    std::thread::sleep(3 * SHORT);
    let mut taken = Vec::new();
    let _ = stream.read_to_end(&mut taken);
    assert!(taken.len() < 64 << 20, "{}", taken.len());
}

#[test]
fn the_scheme_of_a_token_is_written_in_either_case() {
    for header in ["Bearer abc", "bearer abc", "BEARER  abc "] {
        assert_eq!(bearer(header), Some("abc"));
    }
    for header in ["abc", "Basic abc", "Bearerabc", ""] {
        assert_eq!(bearer(header), None);
    }
}

/// Everything that comes until the service ends the connection.
fn answer(address: SocketAddr, sent: &[u8]) -> Vec<u8> {
    let mut stream = connect(address);
    // It may end the connection before it has read all.
    let _ = stream.write_all(sent);
    let mut taken = Vec::new();
    let _ = stream.read_to_end(&mut taken);
    taken
}

#[test]
fn the_head_of_a_request_is_bounded() {
    let (_runtime, address) = served();
    let long = format!("GET / HTTP/1.1\r\nhost: x\r\nlong: {}\r\n\r\n", "x".repeat(HEAD_BYTES));
    let many = format!("GET / HTTP/1.1\r\nhost: x\r\n{}\r\n", "a: b\r\n".repeat(HEADERS));
    let path = format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "x".repeat(HEAD_BYTES));
    for sent in [long, many, path] {
        let taken = answer(address, sent.as_bytes());
        assert!(!taken.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&taken[..taken.len().min(32)]));
        assert!(taken.len() < 1 << 20);
    }
}

/// A frame of HTTP/2: type, flags, stream, payload.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// GET / over http, as HPACK writes it (RFC 7541, appendix A); `:authority` is x.
const GET: &[u8] = &[0x82, 0x86, 0x84, 0x41, 0x01, b'x'];

/// Who takes its requests back at once, again and again, is sent away (CVE-2023-44487); others are served.
#[test]
fn a_client_that_takes_back_what_it_asks_is_sent_away() {
    let (_runtime, address) = served();
    let mut sent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    sent.extend(frame(4, 0, 0, &[]));
    for number in 0..20_000 {
        let stream = 2 * number + 1;
        sent.extend(frame(1, 5, stream, GET));
        sent.extend(frame(3, 0, stream, &8u32.to_be_bytes()));
    }
    let began = Instant::now();
    let taken = answer(address, &sent);
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    assert!(taken.len() < 1 << 20, "{} bytes for requests that were taken back", taken.len());
    let served = answer(address, b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    assert!(served.len() > 1 << 20);
}

/// Headers of HTTP/2 that go on and on (CONTINUATION frames without an end).
#[test]
fn a_head_without_an_end_is_not_waited_for() {
    let (_runtime, address) = served();
    let mut sent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    sent.extend(frame(4, 0, 0, &[]));
    sent.extend(frame(1, 1, 1, GET));
    // Never indexed, name "a", value of 120 bytes.
    let header = [&[0x10, 1, b'a', 120][..], &[b'v'; 120]].concat();
    for _ in 0..2_000 {
        sent.extend(frame(9, 0, 1, &header.repeat(64)));
    }
    let began = Instant::now();
    assert!(answer(address, &sent).len() < 1 << 20);
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
}
