//! Conversion between Gregorian dates in UTC, as in certificates, and Unix time.

/// Days from 1 March of year 0 to 1 January 1970.
const EPOCH: i64 = 719_468;

/// Days of 400 years, after which the calendar repeats.
const CYCLE: i64 = 146_097;

const DAY: i64 = 24 * 60 * 60;

/// The Unix time of a moment: year, month, day, hour, minute, second. `None` if there is no such moment, or
/// it is before year 0. Leap seconds do not exist here.
pub(crate) fn unix([year, month, day, hour, minute, second]: [i64; 6]) -> Option<i64> {
    if year < 0 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    if !((0..24).contains(&hour) && (0..60).contains(&minute) && (0..60).contains(&second)) {
        return None;
    }
    // Years begin in March here, so that the leap day is the last of its year.
    let (from_march, since) = if month > 2 { (month - 3, year) } else { (month + 9, year - 1) };
    let (cycle, of_cycle) = (since.div_euclid(400), since.rem_euclid(400));
    let of_year = (153 * from_march + 2) / 5 + day - 1;
    let days = cycle * CYCLE + of_cycle * 365 + of_cycle / 4 - of_cycle / 100 + of_year - EPOCH;
    // A date such as 30 February maps to a different date.
    let exists = civil(days) == [year, month, day];
    exists.then_some(days * DAY + hour * 60 * 60 + minute * 60 + second)
}

/// Year, month and day of a day number, counted from 1 January 1970.
fn civil(days: i64) -> [i64; 3] {
    let days = days + EPOCH;
    let (cycle, day) = (days.div_euclid(CYCLE), days.rem_euclid(CYCLE));
    let of_cycle = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * of_cycle + of_cycle / 4 - of_cycle / 100);
    let from_march = (5 * of_year + 2) / 153;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = cycle * 400 + of_cycle + i64::from(month <= 2);
    [year, month, of_year - (153 * from_march + 2) / 5 + 1]
}

/// The date of a Unix time, for people: `2026-12-01`. After year 9999, a phrase with the number of seconds.
pub fn date(unix: u64) -> String {
    let days = i64::try_from(unix).map_or(i64::MAX, |unix| unix / DAY);
    match civil(days.min(10_000 * 366)) {
        [year, month, day] if year <= 9999 => format!("{year:04}-{month:02}-{day:02}"),
        _ => format!("second {unix} of Unix time"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_is_that_of_another_calendar() {
        let mut expected = rcgen::date_time_ymd(1950, 1, 1);
        for days in -7305..80_000 {
            let (year, month, day) = (expected.year(), expected.month(), expected.day());
            let ours = [i64::from(year), i64::from(u8::from(month)), i64::from(day)];
            assert_eq!(civil(days), ours);
            let [year, month, day] = ours;
            assert_eq!(unix([year, month, day, 0, 0, 0]), Some(expected.unix_timestamp()));
            expected = expected.date().next_day().unwrap().midnight().assume_utc();
        }
    }

    #[test]
    fn moments_that_do_not_exist() {
        assert_eq!(unix([2026, 12, 1, 23, 59, 59]), Some(1_796_169_599));
        assert!(unix([2024, 2, 29, 0, 0, 0]).is_some() && unix([2000, 2, 29, 0, 0, 0]).is_some());
        for none in [
            [2023, 2, 29, 0, 0, 0],
            [1900, 2, 29, 0, 0, 0],
            [2024, 4, 31, 0, 0, 0],
            [2024, 0, 1, 0, 0, 0],
            [2024, 13, 1, 0, 0, 0],
            [2024, 1, 0, 0, 0, 0],
            [2024, 1, 32, 0, 0, 0],
            [2024, 1, 1, 24, 0, 0],
            [2024, 1, 1, 0, 60, 0],
            [2024, 1, 1, 0, 0, 60],
        ] {
            assert_eq!(unix(none), None, "{none:?}");
        }
    }

    #[test]
    fn dates_for_people() {
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(253_402_300_799), "9999-12-31");
        assert_eq!(date(253_402_300_800), "second 253402300800 of Unix time");
        assert_eq!(date(u64::MAX), format!("second {} of Unix time", u64::MAX));
    }
}
