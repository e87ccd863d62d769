use std::io::{Read as _, Write as _};

use tokio::runtime::Runtime;

use super::*;

const FEW: Bounds = Bounds { total: 4, per_source: 2 };

fn source(last: u8) -> Source {
    Source::of([10, 0, 0, last].into())
}

/// A place, and what ends with it.
fn take(places: &Arc<Places>, last: u8) -> Option<(oneshot::Receiver<()>, Place)> {
    places.take(source(last)).map(Taking::split)
}

fn is_lost((lost, _): &mut (oneshot::Receiver<()>, Place)) -> bool {
    lost.try_recv() == Err(oneshot::error::TryRecvError::Closed)
}

#[test]
fn a_source_takes_its_own_places_only() {
    let places = Places::new(FEW);
    let mut quiet = take(&places, 1).unwrap();
    let mut flood: Vec<_> = (0..100).map(|_| take(&places, 2).unwrap()).collect();
    assert_eq!(places.count(), 3);
    assert!(!is_lost(&mut quiet));
    assert_eq!(flood.iter_mut().map(is_lost).filter(|lost| *lost).count(), 98);
    drop(flood);
    assert_eq!(places.count(), 1);
}

#[test]
fn whoever_comes_to_a_full_door_gets_the_place_of_the_greediest_stranger() {
    let places = Places::new(FEW);
    let mut quiet = take(&places, 1).unwrap();
    let mut greedy = [take(&places, 2).unwrap(), take(&places, 2).unwrap()];
    let mut other = take(&places, 3).unwrap();
    let _last = take(&places, 4).unwrap();
    assert!(is_lost(&mut greedy[0]) && !is_lost(&mut greedy[1]));
    assert!(!is_lost(&mut quiet) && !is_lost(&mut other));
    assert_eq!(places.count(), 4);
}

#[test]
fn whoever_has_shown_who_it_is_stays() {
    let places = Places::new(FEW);
    let mut kept: Vec<_> = (1..=4).map(|last| take(&places, last).unwrap()).collect();
    kept.iter().for_each(|(_, place)| place.pass().keep());
    assert!((1..=9).all(|last| take(&places, last).is_none()), "nobody is a stranger");
    assert!(!kept.iter_mut().any(is_lost));
    kept.pop();
    assert!(take(&places, 9).is_some());
}

#[test]
fn the_last_connections_under_a_name_stay() {
    let places = Places::new(Bounds { total: 9, per_source: 9 });
    let mut all: Vec<_> = (0..4).map(|_| take(&places, 1).unwrap()).collect();
    all.iter().for_each(|(_, place)| place.pass().keep_few("bank-1", 2));
    assert_eq!(all.iter_mut().map(is_lost).collect::<Vec<_>>(), [true, true, false, false]);
}

#[test]
fn a_source_is_an_address_or_the_network_of_one() {
    let of = |text: &str| Source::of(text.parse().unwrap());
    assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
    assert_ne!(of("10.0.0.2"), of("10.0.0.1"));
    assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:2"));
    assert_ne!(of("2001:db8:0:1::1"), of("2001:db8::1"));
}

#[test]
fn troubles_are_told_once_a_minute() {
    let mut complaints = Complaints::new("a door");
    let began = Instant::now();
    assert!(complaints.due().is_none());
    complaints.note(Trouble::TurnedAway, Instant::now());
    assert_eq!(complaints.waiting(), 0, "the first is told at once");
    let later = Instant::now() + Duration::from_secs(30);
    for _ in 0..20_000 {
        complaints.note(Trouble::Replaced, later);
        complaints.note(Trouble::Accept(io::Error::from_raw_os_error(24)), later);
    }
    assert_eq!(complaints.waiting(), 40_000);
    assert!(complaints.due().unwrap() >= began + Duration::from_secs(60));
    complaints.note(Trouble::TurnedAway, began + Duration::from_secs(70));
    assert_eq!(complaints.waiting(), 0);
}

/// Over TCP: strangers beyond the bound break, the one that is kept can still be heard.
#[test]
fn a_connection_breaks_with_its_place() {
    let runtime = Runtime::new().unwrap();
    let mut door = {
        let _guard = runtime.enter();
        Door::bind("127.0.0.1:0", "a door", Bounds { total: 8, per_source: 8 }).unwrap()
    };
    let address = door.local_addr().unwrap();
    runtime.spawn(async move {
        loop {
            let mut guest = door.next().await;
            tokio::spawn(async move {
                use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
                while let Ok(1) = guest.read(&mut [0]).await {
                    guest.pass().keep();
                    if guest.write_all(b"k").await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    let connect = || {
        let stream = std::net::TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    };
    let said = |stream: &mut std::net::TcpStream| {
        let mut answer = [0];
        stream.write_all(b"k").is_ok() && stream.read_exact(&mut answer).is_ok()
    };
    let mut kept = connect();
    assert!(said(&mut kept));
    let mut flood: Vec<_> = (0..300).map(|_| connect()).collect();
    assert!(said(&mut kept));
    assert!(said(&mut connect()), "the next one comes in at once");
    // The first of the flood have lost their places.
    assert!(!matches!(flood[0].read(&mut [0]), Ok(1..)));
    assert!(said(&mut kept));
}
