//! Days of the civil calendar, in UTC, without a clock.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A day; documents carry it as `YYYY-MM-DD`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(i64);

/// The text is not a day.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a day: write it as YYYY-MM-DD")]
pub struct NotADay(String);

impl Day {
    /// Milliseconds of a day.
    pub const MILLISECONDS: i64 = 86_400_000;

    /// The day of a moment, Unix milliseconds.
    pub fn of(time: i64) -> Self {
        Self(time.div_euclid(Self::MILLISECONDS))
    }

    /// Its first moment, Unix milliseconds.
    pub fn begins(self) -> i64 {
        self.0.saturating_mul(Self::MILLISECONDS)
    }

    /// Days from this one to `later`; negative if that one is earlier.
    pub fn until(self, later: Self) -> i64 {
        later.0 - self.0
    }

    /// The same day of the month so many months later; where that month is too short, as many days into the next one.
    pub fn after_months(self, months: u32) -> Self {
        let (year, month, day) = self.civil();
        let months = year * 12 + month - 1 + i64::from(months);
        Self::from_civil(months.div_euclid(12), months.rem_euclid(12) + 1, day)
    }

    /// Year, month and day of the month. Eras of 400 years that begin in March, as in Hinnant, "chrono-compatible
    /// low-level date algorithms".
    fn civil(self) -> (i64, i64, i64) {
        let shifted = self.0 + 719_468;
        let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * of_year + 2) / 153;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
        let year = era * 400 + year_of_era + i64::from(month <= 2);
        (year, month, of_year - (153 * from_march + 2) / 5 + 1)
    }

    fn from_civil(year: i64, month: i64, day: i64) -> Self {
        let year = if month <= 2 { year - 1 } else { year };
        let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
        let from_march = (month + 9) % 12;
        let of_year = (153 * from_march + 2) / 5 + day - 1;
        Self(era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year - 719_468)
    }
}

impl std::fmt::Display for Day {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (year, month, day) = self.civil();
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

impl std::str::FromStr for Day {
    type Err = NotADay;

    fn from_str(text: &str) -> Result<Self, NotADay> {
        // A message shows one short field at most.
        let wrong = || NotADay(text.chars().take(40).collect());
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok()).flatten();
        let parts: Vec<&str> = text.split('-').collect();
        let [year, month, day] = parts[..] else { return Err(wrong()) };
        let numbers = (digits(year), digits(month), digits(day));
        // Ten characters bound the year before it is reckoned with.
        let (Some(year), Some(month), Some(date), 10) = (numbers.0, numbers.1, numbers.2, text.len()) else {
            return Err(wrong());
        };
        let found = Self::from_civil(year, month, date);
        // Only a day that exists comes back as it was written.
        if (1..=12).contains(&month) && found.to_string() == text { Ok(found) } else { Err(wrong()) }
    }
}

impl Serialize for Day {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_is_read_as_it_is_written() {
        let mut day: Day = "1899-12-30".parse().unwrap();
        let mut expected = (1899, 12, 30);
        for _ in 0..120_000 {
            assert_eq!(day.civil(), expected);
            assert_eq!(day.to_string().parse(), Ok(day));
            day = Day(day.0 + 1);
            expected = next(expected);
        }
    }

    fn next((year, month, day): (i64, i64, i64)) -> (i64, i64, i64) {
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let february = if leap { 29 } else { 28 };
        let length = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month as usize - 1];
        match (day < length, month < 12) {
            (true, _) => (year, month, day + 1),
            (false, true) => (year, month + 1, 1),
            (false, false) => (year + 1, 1, 1),
        }
    }

    #[test]
    fn months_are_counted_over_the_turn_of_the_year() {
        let later = |day: &str, months| day.parse::<Day>().unwrap().after_months(months).to_string();
        assert_eq!(later("2026-01-05", 12), "2027-01-05");
        assert_eq!(later("2026-11-30", 3), "2027-03-02");
        assert_eq!(later("2024-02-29", 0), "2024-02-29");
    }

    #[test]
    fn moments_have_their_day_and_nonsense_has_none() {
        assert_eq!(Day::of(0).to_string(), "1970-01-01");
        assert_eq!(Day::of(-1).to_string(), "1969-12-31");
        assert_eq!(Day::of(1_767_225_600_000).to_string(), "2026-01-01");
        assert_eq!(Day::of(1_767_225_600_001).begins(), 1_767_225_600_000);
        assert_eq!("2026-03-01".parse::<Day>().unwrap().until("2026-02-27".parse().unwrap()), -2);
        for text in ["", "2026", "2026-1-01", "2026-13-01", "2026-00-01", "2026-02-29", "2026-02-30", "+026-02-01", "x"]
        {
            assert!(text.parse::<Day>().is_err(), "{text}");
        }
        for text in ["99999999999999999999-01-01", "9223372036854775807-01-01", "10000-01-01", "２０２６-01-01"] {
            assert!(text.parse::<Day>().is_err(), "{text}");
        }
    }
}
