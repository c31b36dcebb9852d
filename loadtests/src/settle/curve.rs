//! What waiting saves: claims arrive at a steady rate, all over a large round, and are planned by the engine's planner as
//! its settlement does: at once while they fill calls, else when the oldest has waited for the window.

use std::time::Duration;

use anyhow::Context;
use sluice_core::command::RoundMode;
use sluice_core::planner::{GasModel, plan};
use sluice_core::sample::open_campaign;

use crate::report::{Figure, Report, Show, number};

/// Wallets in the round.
const WALLETS: u64 = 1 << 20;
/// Claims of one point.
const CLAIMS: u64 = 30_000;
/// Between two looks: a block of Ethereum.
const BLOCK: f64 = 12.0;
/// Claims a second.
const RATES: [f64; 4] = [0.01, 0.1, 1.0, 10.0];
/// Windows, seconds; nothing shorter than a block makes a difference.
const WINDOWS: [(f64, &str); 6] = [
    (0.0, "none"),
    (60.0, "1 min"),
    (600.0, "10 min"),
    (3_600.0, "1 h"),
    (21_600.0, "6 h"),
    (86_400.0, "1 day"),
];

/// A point of the curve.
struct Point {
    gas: f64,
    /// Mean seconds from decision to plan.
    delay: f64,
}

/// Prints the table, and with `--json` the line.
pub(super) fn print(show: Show) -> anyhow::Result<()> {
    let mut report = Report::new("settle --curve");
    println!("Gas a claim, and in brackets how long it waits on average:\n");
    println!("| claims a second | {} |", WINDOWS.map(|(_, name)| name).join(" | "));
    println!("|---:|{}", "---:|".repeat(WINDOWS.len()));
    for rate in RATES {
        let mut cells = Vec::new();
        for (window, name) in WINDOWS {
            let point = point(rate, window, CLAIMS)?;
            cells.push(format!("{} ({})", number(point.gas), time(point.delay)));
            let name = format!("{rate}/s, window {name}");
            report.add(Figure::new(name, point.gas, "gas/claim").note(format!("waits {:.0} s", point.delay)));
        }
        println!("| {rate} | {} |", cells.join(" | "));
    }
    println!();
    if show.json { report.print(show) } else { Ok(()) }
}

fn time(seconds: f64) -> String {
    match Duration::from_secs_f64(seconds).as_secs() {
        0..120 => format!("{seconds:.0} s"),
        120..7_200 => format!("{:.0} min", seconds / 60.0),
        _ => format!("{:.1} h", seconds / 3_600.0),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a number of claims that is bounded beside it, and places in a list of this many wallets"
)]
fn point(rate: f64, window: f64, most: u64) -> anyhow::Result<Point> {
    let (mut campaign, gas_model) = (open_campaign(&[(WALLETS, RoundMode::Pull)]), GasModel::default());
    let claims = most.min((rate * 86_400.0 * 6.0) as u64).max(200);
    // When each arrived, by index.
    let mut arrived = vec![0.0; WALLETS as usize];
    let (mut next, mut planned, mut gas, mut delay, mut now) = (0, 0, 0, 0.0, 0.0);
    let mut since: Option<f64> = None;
    while planned < claims {
        now += BLOCK;
        while next < claims && next as f64 / rate <= now {
            let index = place(next);
            arrived[index as usize] = next as f64 / rate;
            let (shard, at) = campaign.rounds.get_mut(&1).context("the round")?.shard_mut(index);
            shard.decided.set(at);
            next += 1;
        }
        loop {
            let Some(content) = plan(&campaign, &gas_model, 0) else {
                since = None;
                break;
            };
            let begun = *since.get_or_insert(now);
            if !content.full && now - begun < window {
                break;
            }
            gas += gas_model.of(&campaign, &content.form, &content.words);
            for index in content.words.iter().flat_map(|w| w.indexes().collect::<Vec<_>>()) {
                let (shard, at) = campaign.rounds.get_mut(&1).context("the round")?.shard_mut(index);
                shard.paid.set(at);
                delay += now - arrived[index as usize];
                planned += 1;
            }
        }
    }
    Ok(Point { gas: gas as f64 / claims as f64, delay: delay / claims as f64 })
}

/// The wallet that claims at this turn: every wallet once, all over the list.
fn place(turn: u64) -> u64 {
    // An odd factor permutes the numbers below a power of two.
    turn.wrapping_mul(0x9e37_79b9_7f4a_7c15) % WALLETS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_longer_costs_less_and_takes_longer() {
        let points: Vec<Point> = [0.0, 600.0, 21_600.0].map(|window| point(0.1, window, 400).unwrap()).into();
        assert!(points.windows(2).all(|two| two[1].gas < two[0].gas && two[1].delay > two[0].delay));
    }
}
