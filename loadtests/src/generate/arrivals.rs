//! When claims arrive: a crowd in the hour after the launch, then days that wake and sleep, each quieter than the last.

use super::Plan;
use super::amounts::mix;
use anyhow::Context;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

/// What the arrivals of a campaign are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arrivals {
    pub seed: u64,
    /// Claims.
    pub claims: u64,
    /// Rows of all lists together, whose wallets they come from; none claims twice.
    pub wallets: u64,
    /// Days between the first and the last.
    pub days: u64,
}

/// Of a thousand claims, those that come in the hour after the launch.
const LAUNCH_PER_MILLE: u64 = 300;
const MINUTES_A_DAY: u64 = 1_440;

/// How busy each minute is, in proportion to others.
fn rates(days: u64) -> Vec<u64> {
    let daily = (0..days * MINUTES_A_DAY).map(|minute| {
        let (day, hour) = (minute / MINUTES_A_DAY, minute % MINUTES_A_DAY / 60);
        // By night a tenth of what the busiest hour has.
        const HOURS: [u64; 24] =
            [24, 16, 12, 10, 10, 12, 20, 36, 56, 72, 84, 92, 96, 96, 94, 92, 92, 94, 98, 100, 94, 78, 56, 38];
        // Launches are at 15:00.
        HOURS[((hour + 15) % 24) as usize] * 1_000_000 / (100 + 40 * day)
    });
    let mut rates: Vec<u64> = daily.collect();
    let all: u64 = rates.iter().sum();
    // The launch hour decays: its first ten minutes see half of it.
    let decay: Vec<u64> =
        (0..60u32).map(|minute| 1_000_000 * 9u64.pow(minute / 6) / 13u64.pow(minute / 6)).collect();
    let crowd = all * LAUNCH_PER_MILLE / (1_000 - LAUNCH_PER_MILLE);
    let decay_all: u64 = decay.iter().sum();
    for (rate, part) in rates.iter_mut().zip(decay) {
        *rate += crowd * part / decay_all;
    }
    rates
}

impl Arrivals {
    /// Writes `milliseconds,wallet`, a row for each claim to one of these lists, in order of time. A wallet is named by its
    /// number, which its key is found by.
    pub(crate) fn write(&self, plans: &[Plan], out: &Path) -> anyhow::Result<()> {
        let numbers = Numbers::of(plans);
        let failed = || format!("cannot write {}", out.display());
        let aside = out.with_extension("part");
        let mut file = BufWriter::with_capacity(1 << 20, File::create(&aside).with_context(failed)?);
        file.write_all(b"milliseconds,wallet\n").with_context(failed)?;
        self.each(|time, row| writeln!(file, "{time},{}", numbers.of_row(row))).with_context(failed)?;
        file.flush().with_context(failed)?;
        std::fs::rename(&aside, out).with_context(failed)
    }

    fn each<E>(&self, mut take: impl FnMut(u64, u64) -> Result<(), E>) -> Result<(), E> {
        let rates = rates(self.days);
        let all: u128 = rates.iter().map(|&rate| u128::from(rate)).sum();
        let (mut before, mut claim, mut times) = (0u128, 0, Vec::new());
        let step = self.step();
        for (minute, rate) in (0u64..).zip(rates) {
            before += u128::from(rate);
            let until = u64::try_from(u128::from(self.claims) * before / all).expect("at most all claims");
            times.clear();
            times.extend((claim..until).map(|claim| minute * 60_000 + mix(self.seed ^ 0x71, claim) % 60_000));
            times.sort_unstable();
            for &time in &times {
                let row = u128::from(claim) * u128::from(step) % u128::from(self.wallets);
                take(time, u64::try_from(row).expect("below the rows"))?;
                claim += 1;
            }
        }
        Ok(())
    }

    /// A step that visits every wallet once before any twice.
    fn step(&self) -> u64 {
        fn divisor(a: u64, b: u64) -> u64 {
            if b == 0 { a } else { divisor(b, a % b) }
        }
        let wanted = (mix(self.seed, 0x57) % self.wallets.max(1)).max(1);
        (wanted..).find(|&step| divisor(step, self.wallets) == 1).expect("a prime is among them")
    }
}

/// The numbers of the wallets in rows that are counted through all lists. Each list's begin at a block of keys, so between
/// two lists there are numbers that no row has.
struct Numbers(Vec<List>);

struct List {
    /// Rows of the lists before it.
    before: u64,
    first_wallet: u64,
}

impl Numbers {
    fn of(plans: &[Plan]) -> Self {
        let mut rows = 0;
        let lists = plans.iter().map(|plan| {
            let list = List { before: rows, first_wallet: plan.first_wallet };
            rows += plan.rows;
            list
        });
        Self(lists.collect())
    }

    fn of_row(&self, row: u64) -> u64 {
        let after = self.0.partition_point(|list| list.before <= row);
        let list = &self.0[after.saturating_sub(1)];
        list.first_wallet + (row - list.before)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{campaigns, keys, write};
    use super::*;
    use std::collections::HashSet;
    use std::convert::Infallible;

    #[test]
    fn those_who_arrive_are_in_the_lists_with_the_keys_of_their_numbers() {
        let folder = tempfile::tempdir().unwrap();
        let (rows, out) = (600, folder.path().join("arrivals.csv"));
        let plans = campaigns(7, 4, rows, 1_000_000);
        let mut listed = HashSet::new();
        for (number, plan) in plans.iter().enumerate() {
            let list = folder.path().join(format!("{number}.csv"));
            write(plan, &list).unwrap();
            let text = std::fs::read_to_string(&list).unwrap();
            listed.extend(text.lines().skip(1).map(|row| row[..42].to_owned()));
        }
        Arrivals { seed: 7, claims: rows, wallets: rows, days: 2 }.write(&plans, &out).unwrap();
        let text = std::fs::read_to_string(&out).unwrap();
        for line in text.lines().skip(1) {
            let wallet: u64 = line.split_once(',').unwrap().1.parse().unwrap();
            let address = keys::address(&keys::secret(7, wallet)).to_string().to_lowercase();
            assert!(listed.remove(&address), "wallet {wallet} is in no list, or claims twice");
        }
        assert!(listed.is_empty());
    }

    #[test]
    fn a_crowd_then_days_and_nights_and_nobody_twice() {
        let arrivals = Arrivals { seed: 5, claims: 90_000, wallets: 100_000, days: 10 };
        let mut all = Vec::new();
        let take = |time, wallet| {
            all.push((time, wallet));
            Ok::<_, Infallible>(())
        };
        arrivals.each(take).unwrap();
        assert_eq!(all.len(), 90_000);
        assert!(all.is_sorted_by_key(|&(time, _)| time));
        let hour = |n: u64| all.iter().filter(|(time, _)| time / 3_600_000 == n).count();
        assert!(hour(0) > 27_000 && hour(0) < 36_000, "{}", hour(0));
        // 13 hours after the launch at 15:00 it is night.
        assert!(hour(4) > 5 * hour(13), "{} {}", hour(4), hour(13));
        assert!(hour(4) > 2 * hour(4 + 9 * 24));
        let mut wallets: Vec<u64> = all.iter().map(|&(_, wallet)| wallet).collect();
        wallets.sort_unstable();
        wallets.dedup();
        assert_eq!(wallets.len(), 90_000);
        assert!(*wallets.last().unwrap() < 100_000);
    }
}
