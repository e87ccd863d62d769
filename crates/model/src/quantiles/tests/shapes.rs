//! Values of every kind that cut points have to cope with.

/// Number of kinds.
pub(super) const SHAPES: usize = 17;

/// Banks' values, and what they are.
pub(super) struct Drawn {
    pub(super) banks: Vec<Vec<f64>>,
    pub(super) name: &'static str,
}

struct Draws(u64);

impl Draws {
    fn next(&mut self) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn uniform(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn below(&mut self, count: u64) -> f64 {
        (self.next() % count) as f64
    }

    fn normal(&mut self) -> f64 {
        (-2.0 * (1.0 - self.uniform()).ln()).sqrt() * (std::f64::consts::TAU * self.uniform()).cos()
    }
}

/// Draws one value of a shape.
type Drawing = Box<dyn FnMut(&mut Draws) -> f64>;

/// Values of a kind, dealt to banks, and so many far off at the first of them.
pub(super) fn drawn(shape: usize, seed: u64, rows: usize, banks: usize, outliers: usize) -> Drawn {
    let mut draws = Draws(seed);
    let atom = [0.05, 0.3, 0.6, 0.95][(seed % 4) as usize];
    let (name, mut value): (_, Drawing) = match shape {
        0 => ("uniform in one binade", Box::new(|draws| 0.55 + 0.4 * draws.uniform())),
        1 => ("lognormal", Box::new(|draws| (10.0 + 2.0 * draws.normal()).exp())),
        2 => ("twelfths", Box::new(|draws| draws.below(13) / 12.0)),
        3 => ("standardised counts", Box::new(|draws| (draws.below(40) - 7.3) / 3.9)),
        4 => ("heavy tails", Box::new(|draws| draws.normal() / draws.normal())),
        5 => ("an atom", Box::new(move |draws| if draws.uniform() < atom { 1.0 / 3.0 } else { draws.uniform() })),
        6 => ("zeros", Box::new(move |draws| if draws.uniform() < atom { 0.0 } else { draws.normal() })),
        7 => ("float noise", Box::new(|draws| 0.1 + f64::EPSILON * draws.below(12))),
        8 => ("denormals", Box::new(|draws| f64::from_bits(draws.next() % 100_000))),
        9 => ("huge and negative", Box::new(|draws| draws.normal() * 1e307)),
        10 => ("integers beyond 2^53", Box::new(|draws| (1u64 << 60) as f64 + 256.0 * draws.below(500))),
        11 => ("zeros of both signs", Box::new(|draws| [-0.0, 0.0, -1e-300, 1e-300, 2.0][draws.below(5) as usize])),
        12 => ("days", Box::new(|draws| 1.7e9 + 86_400.0 * draws.below(300))),
        13 => ("negative", Box::new(|draws| -(draws.normal().abs()) - 1e-3)),
        14 => ("standard normal", Box::new(Draws::normal)),
        15 => (
            "an atom, then neighbours",
            Box::new(move |draws| {
                if draws.uniform() < atom { 0.7 } else { f64::from_bits(0.7f64.to_bits() + 1 + draws.next() % 64) }
            }),
        ),
        _ => ("some are missing", Box::new(|draws| if draws.uniform() < 0.2 { f64::NAN } else { draws.uniform() })),
    };
    let mut dealt = vec![Vec::new(); banks];
    for row in 0..rows {
        let value = value(&mut draws);
        // Each bank has some first; then as it comes.
        let bank = if row < banks { row } else { (draws.next() % banks as u64) as usize };
        dealt[bank].push(value);
    }
    for far in [1e30, -1e30, 3e-9, 40.0, f64::MAX].into_iter().take(outliers) {
        dealt[0].push(far);
    }
    Drawn { banks: dealt, name }
}
