//! A platform that puts something into a row that only its holder can see to be wrong.

use super::*;

/// What a platform may seal as a row of two codes, of fields with five and three bins.
fn payloads() -> Vec<Vec<u8>> {
    vec![
        vec![0xff, 0xff, 0xff, 0xff],
        vec![0xff, 0xff, 1, 0],
        vec![1, 0, 4, 0],
        vec![],
        vec![1],
        vec![1, 0],
        vec![1, 0, 1],
        vec![1, 0, 1, 0, 1, 0],
        vec![7; 4096],
    ]
}

/// A session in which the platform spoils the row of an enterprise that it offers to bank-1, which holds it or another one in its
/// place.
fn run(payload: &[u8], held: bool) -> World {
    let mut world = World::new(3);
    let platform = platform_data(3, 120, 21);
    let mut banks: BTreeMap<_, _> =
        (1..).zip(bank_names(3)).map(|(place, name)| (name, bank_data(place, 120, 21))).collect();
    let offered = |name: &String| {
        let place = platform.identifiers.iter().position(|other| other == name).unwrap() as u32;
        platform.consented["bank-1"].contains(&place)
    };
    let own = &mut banks.get_mut("bank-1").unwrap().identifiers;
    let place = own.iter().position(offered).unwrap();
    let spoiled = own[place].clone();
    if !held {
        own[place] = "another".into();
    }
    world.give("platform", Input::Platform(platform.clone())).unwrap();
    world.platform.seal_instead("bank-1", &spoiled, payload);
    for (name, data) in &banks {
        world.give(name, Input::Bank(data.clone())).unwrap();
    }
    world.settle().unwrap();
    world
}

/// The bank says the same in the same order and at the same length whether it holds the row or not, and word for word the same from
/// its first word on that does not hide its set; its log grows by the same entries. Its operator alone learns of the row.
#[test]
fn whether_a_spoiled_row_is_held_shows_nowhere() {
    for payload in payloads() {
        let (held, not) = (run(&payload, true), run(&payload, false));
        let (said, other) = (&held.sent["bank-1"], &not.sent["bank-1"]);
        let shape = |said: &[Vec<u8>]| said.iter().map(|body| (body[0], body.len())).collect::<Vec<_>>();
        assert_eq!(shape(said), shape(other), "{payload:?}");
        let aligned = FromBank::Aligned.encode();
        let from = said.iter().position(|body| *body == aligned).unwrap();
        assert!(said[from..] == other[from..] && said.len() > from + 10, "{payload:?}");
        let facts = |world: &World| world.facts["bank-1"].iter().map(std::mem::discriminant).collect::<Vec<_>>();
        assert_eq!(facts(&held), facts(&not), "{payload:?}");
        assert_eq!(held.stages["bank-1"], not.stages["bank-1"]);
        assert_eq!((held.unread["bank-1"], not.unread["bank-1"]), (1, 0), "{payload:?}");
        assert_eq!((held.unread["bank-2"], held.unread["bank-3"]), (0, 0));
        assert!(held.fits.len() == 4 && held.fits["platform"] == not.fits["platform"]);
    }
}
