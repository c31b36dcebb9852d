//! Times as people write them: RFC 3339 in UTC.

use sluice_core::ids::{Millis, Seq};
use sluice_engine::evidence::standing::Until;

const DAY: i64 = 86_400_000;

/// A time, as `2026-03-01T12:00:00.250Z`.
pub(crate) fn shown(at: Millis) -> String {
    let at = i64::try_from(at).unwrap_or(i64::MAX);
    let (days, rest) = (at.div_euclid(DAY), at.rem_euclid(DAY));
    let (year, month, day) = date_of(days);
    let (hour, minute, second) = (rest / 3_600_000, rest / 60_000 % 60, rest / 1_000 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", rest % 1_000)
}

/// A position (digits) or a time (`2026-03-01`, `2026-03-01T12:00:00Z`, with or without a fraction).
pub(crate) fn until(text: &str) -> Result<Until, String> {
    if text.bytes().all(|b| b.is_ascii_digit()) && !text.is_empty() {
        return text.parse::<Seq>().map(Until::Seq).map_err(|error| error.to_string());
    }
    millis(text).map(Until::Time).ok_or_else(|| {
        format!("{text:?} is neither a position (digits) nor a time in UTC (2026-03-01T12:00:00Z)")
    })
}

fn millis(text: &str) -> Option<Millis> {
    let (date, time) = text.split_once('T').unwrap_or((text, "00:00:00Z"));
    let date: Vec<&str> = date.split('-').collect();
    let [year, month, day] = date[..] else { return None };
    let (year, month, day) = (number(year, 4)?, number(month, 2)?, number(day, 2)?);
    let (clock, fraction) = match time.strip_suffix('Z')?.split_once('.') {
        Some((clock, fraction)) => (clock, number(fraction, 3)?),
        None => (time.strip_suffix('Z')?, 0),
    };
    let clock: Vec<&str> = clock.split(':').collect();
    let [hour, minute, second] = clock[..] else { return None };
    let (hour, minute, second) = (number(hour, 2)?, number(minute, 2)?, number(second, 2)?);
    let days = days_of(year, month, day);
    if date_of(days) != (year, month, day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    u64::try_from(days * DAY + hour * 3_600_000 + minute * 60_000 + second * 1_000 + fraction).ok()
}

fn number(text: &str, digits: usize) -> Option<i64> {
    (text.len() == digits && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}

/// Days since 1970-01-01 of a date of the Gregorian calendar (Howard Hinnant's `days_from_civil`).
fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The inverse (`civil_from_days`).
fn date_of(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year + era * 400 + i64::from(month <= 2), month, of_year - (153 * shifted + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_they_are_shown() {
        for at in
            [0, 951_782_399_999, 951_782_400_000, 1_709_164_800_000, 1_800_000_000_250, 4_102_444_799_000]
        {
            assert_eq!(until(&shown(at)), Ok(Until::Time(at)), "{}", shown(at));
        }
        assert_eq!(shown(951_782_400_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(until("2000-02-29"), Ok(Until::Time(951_782_400_000)));
        assert_eq!(until("17"), Ok(Until::Seq(17)));
        for bad in
            ["", "2001-02-29", "2000-13-01", "2000-02-29T24:00:00Z", "2000-02-29T10:00:00", "yesterday"]
        {
            assert!(until(bad).is_err(), "{bad}");
        }
    }
}
