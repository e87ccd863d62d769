//! The synthetic city. Deterministic in its seed.
//!
//! Each enterprise has three hidden factors: size `s`, health `h` and age. Its fields are noisy views of them. A loan goes
//! bad with probability `logistic(z)`:
//!
//! | part of z | where it shows |
//! |---|---|
//! | `-3.55` | |
//! | `-0.85 h` | tax growth, electricity, insured employees at the platform; deposits, turnover at the bank |
//! | `+0.55 min(arrears, 3)` | `tax_arrears_count` (platform) |
//! | `+0.40 min(cases, 4)` | `court_cases_24m` (platform) |
//! | `+0.30 min(penalties, 2)` | `penalty_count` (platform) |
//! | `-0.25 min(awards, 3)` | `procurement_wins_24m` (platform) |
//! | `+0.35` in construction or catering | `industry` (platform) |
//! | `-0.30 ln(1 + years) + 0.5` | `years_in_business` (platform) |
//! | `+0.045 min(overdue days, 30)` | `overdraft_days_12m` (bank) |
//! | `+0.30 (rate - 5)` | `interest_rate` (bank) |
//! | `-0.35` with property as collateral | `collateral` (bank) |

use rand_core::Rng;
use tally_crypto::seed::Seed;
use tally_data::keys::check_character;

use crate::fields::{COLLATERAL, DISTRICTS, INDUSTRIES, bank, platform};
use crate::table::{Cells, Table};
use crate::{Book, City};

/// What city to generate.
#[derive(Clone, Debug)]
pub struct Options {
    /// Seed.
    pub seed: u64,
    /// Enterprises.
    pub enterprises: usize,
    /// Banks.
    pub banks: usize,
    /// Share of a bank's customers that consent to it.
    pub consent_rate: f64,
}

/// Share of enterprises without a loan at a bank that consent to it all the same: consent does not mean a loan.
const OTHERS: f64 = 0.3;

struct Enterprise {
    size: f64,
    health: f64,
    years: f64,
    arrears: f64,
    cases: f64,
    penalties: f64,
    awards: f64,
    industry: usize,
    district: usize,
}

pub(crate) fn city(options: &Options) -> City {
    let seed = Seed::new([0; 32]).derive("tallystick/city", &[&options.seed.to_be_bytes()]);
    let mut draws = Draws(Box::new(seed.rng("enterprises", &[])));
    let enterprises: Vec<_> = (0..options.enterprises).map(|_| Enterprise::draw(&mut draws)).collect();
    let ids = identifiers(&enterprises, &mut draws);
    let columns = platform_cells(&enterprises, &mut draws);
    let mut books = Vec::new();
    for number in 1..=options.banks {
        let mut draws = Draws(Box::new(seed.rng("bank", &[&number.to_be_bytes()])));
        books.push(book(number, options.consent_rate, &enterprises, &ids, &mut draws));
    }
    City { seed, platform: Table { ids, columns: platform(columns) }, banks: books }
}

impl Enterprise {
    fn draw(draws: &mut Draws) -> Self {
        let health = draws.normal();
        let strain = libm::exp(-0.55 * health);
        Self {
            size: draws.normal(),
            health,
            years: libm::round(1.0 + 24.0 * libm::pow(draws.uniform(), 2.2)),
            arrears: draws.count(0.22 * strain),
            cases: draws.count(0.30 * strain),
            penalties: draws.count(0.12 * strain),
            awards: draws.count(0.25),
            industry: draws.below(INDUSTRIES.len()),
            district: draws.below(DISTRICTS.len()),
        }
    }

    fn log_odds_of_bad(&self) -> f64 {
        let risky = matches!(INDUSTRIES[self.industry], "construction" | "catering");
        -3.55 - 0.85 * self.health
            + 0.55 * self.arrears.min(3.0)
            + 0.40 * self.cases.min(4.0)
            + 0.30 * self.penalties.min(2.0)
            - 0.25 * self.awards.min(3.0)
            + if risky { 0.35 } else { 0.0 }
            - 0.30 * libm::log1p(self.years)
            + 0.5
    }
}

/// Unified Social Credit Codes: business registration of the district, a body from the seed, the check character.
fn identifiers(enterprises: &[Enterprise], draws: &mut Draws) -> Vec<String> {
    let mut seen = std::collections::HashSet::new();
    let mut ids = Vec::with_capacity(enterprises.len());
    for enterprise in enterprises {
        let id = loop {
            let body = format!("91{}MA{:07}", DISTRICTS[enterprise.district].1, draws.below(10_000_000));
            let check = check_character(&body).unwrap_or('0');
            let id = format!("{body}{check}");
            if seen.insert(id.clone()) {
                break id;
            }
        };
        ids.push(id);
    }
    ids
}

fn platform_cells(enterprises: &[Enterprise], draws: &mut Draws) -> Vec<Cells> {
    let mut numbers = |missing: f64, value: &mut dyn FnMut(&Enterprise, &mut Draws) -> f64| {
        let draw = |enterprise: &Enterprise| {
            let value = value(enterprise, draws);
            if draws.uniform() < missing { f64::NAN } else { value }
        };
        Cells::Numbers(enterprises.iter().map(draw).collect())
    };
    let hundredth = |value: f64| libm::round(value * 100.0) / 100.0;
    vec![
        numbers(0.0, &mut |e, d| libm::round(libm::exp(4.5 + 0.9 * e.size + 0.5 * d.normal()))),
        numbers(0.0, &mut |e, _| e.years),
        numbers(0.06, &mut |e, d| hundredth(libm::exp(3.0 + e.size + 0.25 * e.health + 0.5 * d.normal()))),
        numbers(0.02, &mut |e, _| e.arrears),
        numbers(0.06, &mut |e, d| hundredth(0.05 + 0.12 * e.health + 0.15 * d.normal())),
        numbers(0.0, &mut |e, _| e.cases),
        numbers(0.0, &mut |e, d| {
            if e.cases > 0.0 { hundredth(e.cases * libm::exp(2.0 + d.normal())) } else { 0.0 }
        }),
        numbers(0.12, &mut |e, d| libm::round(libm::exp(9.5 + 0.8 * e.size + 0.15 * e.health + 0.6 * d.normal()))),
        numbers(0.12, &mut |e, d| hundredth((0.1 - 0.12 * e.health + 0.2 * d.normal()).clamp(-1.0, 1.0))),
        numbers(0.04, &mut |e, d| libm::round(libm::exp(2.2 + 0.8 * e.size + 0.1 * e.health + 0.4 * d.normal()))),
        numbers(0.04, &mut |e, d| hundredth(0.02 + 0.10 * e.health + 0.12 * d.normal())),
        numbers(0.0, &mut |e, _| e.awards),
        numbers(0.0, &mut |e, _| e.penalties),
        codes(enterprises.iter().map(|e| e.industry), &INDUSTRIES),
        codes(enterprises.iter().map(|e| e.district), &DISTRICTS.map(|(name, _)| name)),
    ]
}

/// A book: about three enterprises in ten, larger ones more often; books overlap.
fn book(number: usize, consent_rate: f64, enterprises: &[Enterprise], ids: &[String], draws: &mut Draws) -> Book {
    let taste = 0.35 * (number % 3) as f64 - 0.35;
    let mut rows = Vec::new();
    let mut consented = Vec::new();
    for (row, enterprise) in (0u32..).zip(enterprises) {
        let chance = 1.0 / (1.0 + libm::exp(1.0 - 0.4 * enterprise.size - taste));
        let customer = draws.uniform() < chance;
        if customer {
            rows.push(row as usize);
        }
        if draws.uniform() < if customer { consent_rate } else { OTHERS * consent_rate } {
            consented.push(row);
        }
    }
    let (cells, label) = bank_cells(rows.iter().map(|&row| &enterprises[row]), draws);
    let ids = rows.iter().map(|&row| ids[row].clone()).collect();
    Book { name: format!("bank-{number}"), table: Table { ids, columns: bank(cells) }, label, consented }
}

fn bank_cells<'a>(rows: impl Iterator<Item = &'a Enterprise>, draws: &mut Draws) -> (Vec<Cells>, Vec<u8>) {
    let mut numbers: [Vec<f64>; 7] = Default::default();
    let (mut collateral, mut label) = (Vec::new(), Vec::new());
    for enterprise in rows {
        let strain = libm::exp(-0.45 * enterprise.health);
        let overdue = if draws.uniform() < 0.18 * strain.min(3.0) { libm::ceil(25.0 * draws.uniform()) } else { 0.0 };
        let rate = libm::round((5.0 - 0.25 * enterprise.health + 0.5 * draws.normal()) * 100.0) / 100.0;
        let kind = draws.below(COLLATERAL.len());
        let values = [
            libm::round(libm::exp(4.6 + 0.7 * enterprise.size + 0.5 * draws.normal())),
            [6.0, 12.0, 24.0, 36.0][draws.below(4)],
            rate,
            libm::round(
                libm::exp(3.0 + 0.8 * enterprise.size + 0.30 * enterprise.health + 0.7 * draws.normal()) * 10.0,
            ) / 10.0,
            libm::round(libm::exp(0.5 + 0.20 * enterprise.health + 0.5 * draws.normal()) * 100.0) / 100.0,
            1.0 + draws.count(1.2),
            overdue,
        ];
        for (column, value) in numbers.iter_mut().zip(values) {
            column.push(value);
        }
        for (column, missing) in [(3, 0.05), (4, 0.08)] {
            if draws.uniform() < missing
                && let Some(value) = numbers[column].last_mut()
            {
                *value = f64::NAN;
            }
        }
        collateral.push(kind);
        let z = enterprise.log_odds_of_bad() + 0.045 * overdue.min(30.0) + 0.30 * (rate - 5.0)
            - if COLLATERAL[kind] == "property" { 0.35 } else { 0.0 };
        label.push(u8::from(draws.uniform() < 1.0 / (1.0 + libm::exp(-z))));
    }
    let mut cells: Vec<_> = numbers.into_iter().map(Cells::Numbers).collect();
    cells.push(codes(collateral.into_iter(), &COLLATERAL));
    (cells, label)
}

fn codes(places: impl Iterator<Item = usize>, values: &[&str]) -> Cells {
    let codes = places.map(|place| u16::try_from(place + 1).unwrap_or(0)).collect();
    Cells::Codes { codes, values: values.iter().map(|value| (*value).into()).collect() }
}

/// Random draws from a seeded generator; `libm` keeps them the same on every machine.
struct Draws(Box<dyn Rng>);

impl Draws {
    fn uniform(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn below(&mut self, end: usize) -> usize {
        (self.uniform() * end as f64) as usize
    }

    fn normal(&mut self) -> f64 {
        let (radius, angle) = (1.0 - self.uniform(), self.uniform());
        libm::sqrt(-2.0 * libm::log(radius)) * libm::cos(2.0 * std::f64::consts::PI * angle)
    }

    /// A Poisson count.
    fn count(&mut self, mean: f64) -> f64 {
        let end = libm::exp(-mean.min(20.0));
        let (mut product, mut count) = (self.uniform(), 0.0);
        while product > end {
            product *= self.uniform();
            count += 1.0;
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tally_data::IdentifierKind;

    fn small(seed: u64) -> City {
        City::generate(&Options { seed, enterprises: 3000, banks: 3, consent_rate: 0.85 })
    }

    #[test]
    fn the_city_is_what_it_says() {
        let city = small(1);
        for id in &city.platform.ids {
            assert_eq!(IdentifierKind::Uscc.canonical(id).as_ref(), Ok(id));
        }
        let books: Vec<_> = city.banks.iter().map(|book| book.table.ids.len()).collect();
        assert!(books.iter().all(|rows| (600..1500).contains(rows)), "{books:?}");
        for book in &city.banks {
            let bad = book.label.iter().map(|label| f64::from(*label)).sum::<f64>() / book.label.len() as f64;
            assert!((0.04..0.13).contains(&bad), "{bad}");
            assert_eq!(city.applicants(book).len(), 10);
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_city() {
        assert_eq!(small(7).platform.ids, small(7).platform.ids);
        assert_eq!(small(7).banks[2].label, small(7).banks[2].label);
        assert_ne!(small(7).platform.ids, small(8).platform.ids);
    }
}
