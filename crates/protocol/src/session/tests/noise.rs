//! Noise: the same for every party, and a budget that ends the session.

use super::*;

#[test]
fn noise_reaches_every_sum_and_every_party_alike() {
    let mut world = World::under(&noisy(1.0, 20.0));
    let (platform, data) = world.prepare(1200, 6);
    world.settle().unwrap();
    let fit = &world.fits["platform"];
    assert!(world.fits.len() == 4 && world.fits.values().all(|other| other == fit));
    let exact = ideal(&SealedContract::read(&contract(3).envelope()).unwrap(), &platform, &data, &[]).unwrap();
    let (fit, exact) = (fit.scorecard().unwrap(), exact.scorecard().unwrap());
    assert_ne!(fit.fields[0].good, exact.fields[0].good);
    let moved = |(noisy, exact): (&i64, &i64)| (noisy - exact).abs();
    let largest = fit.fields[3].good.iter().zip(&exact.fields[3].good).map(moved).max().unwrap();
    assert!((1..60).contains(&largest), "{largest}");
    world.replay();
}

#[test]
fn a_spent_budget_ends_the_session() {
    let mut world = World::under(&noisy(0.5, 1.0));
    world.prepare(200, 7);
    let fault = world.settle().unwrap_err();
    assert!(fault.culprit.starts_with("bank-") && fault.reason.contains("budget is spent"), "{fault}");
    let refused = |rho_round, rho_session| {
        SealedContract::read(&noisy(rho_round, rho_session).envelope()).unwrap_err().to_string()
    };
    assert!(refused(2.0, 1.0).contains("noise"));
    assert!(refused(1e-9, 1.0).contains("noise"));
}
