//! Raw values stay where they are: whatever the session, their bytes are in no message.

use std::collections::HashSet;

use super::*;

/// Values with every bit of a number drawn, so that a byte sequence of one is no accident.
fn drawn(rows: usize, label: &str, seed: u64) -> Vec<f64> {
    let mut draws = Seed::new([7; 32]).rng(label, &[&seed.to_be_bytes()]);
    (0..rows).map(|_| 1000.0 + (draws.next_u64() >> 11) as f64 / (1u64 << 53) as f64 * 9e6).collect()
}

/// Eight-byte windows of a message, and its text's runs of digits, that are one of the secrets.
fn found(message: &[u8], secrets: &HashSet<[u8; 8]>, texts: &[String]) -> bool {
    let bytes = message.windows(8).any(|window| secrets.contains(window));
    let text = String::from_utf8_lossy(message);
    bytes || texts.iter().any(|secret| text.contains(secret.as_str()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4))]

    #[test]
    fn no_raw_value_and_no_identifier_is_in_any_message(seed in any::<u64>(), trees in any::<bool>()) {
        let mut world = World::under(&if trees { models::trees(3) } else { contract(3) });
        let rows = 150;
        let name = |row: usize| format!("9132{:014}", row as u64 * 7_919 + seed % 1_000_000_000);
        let mut platform = platform_data(3, rows, seed);
        platform.identifiers = (0..rows).map(name).collect();
        let raw = drawn(rows, "platform", seed);
        platform.columns[0] = PlatformColumn::Numeric(raw.clone());
        let mut secrets = raw;
        world.give("platform", Input::Platform(platform)).unwrap();
        for bank in 1..=3 {
            let mut data = bank_data(bank, rows, seed);
            let own = drawn(data.identifiers.len(), &format!("bank-{bank}"), seed);
            data.identifiers = data.identifiers.iter().map(|old| name(old[1..].parse().unwrap())).collect();
            data.columns[0] = Column::Values(own.clone());
            secrets.extend(own);
            world.give(&format!("bank-{bank}"), Input::Bank(data)).unwrap();
        }
        world.settle().unwrap();
        prop_assert_eq!(world.fits.len(), 4);
        let bytes = secrets.iter().flat_map(|value| [value.to_le_bytes(), value.to_be_bytes()]).collect();
        let texts: Vec<_> = secrets.iter().map(f64::to_string).chain((0..rows).map(name)).collect();
        prop_assert!(found(&[[1, 2].as_slice(), &secrets[0].to_le_bytes()].concat(), &bytes, &texts));
        for (node, messages) in &world.sent {
            for message in messages {
                prop_assert!(!found(message, &bytes, &texts), "{} sent a raw value", node);
            }
        }
    }
}
