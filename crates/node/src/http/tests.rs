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
    let address = listen(runtime.handle(), ("127.0.0.1:0", "a key"), 4, attend).unwrap();
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
