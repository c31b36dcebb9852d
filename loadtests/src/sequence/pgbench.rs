//! pgbench's simple update (`-N`): what one durable transaction a client's statement costs on the same cluster.

use std::path::PathBuf;

use anyhow::{Context, ensure};
use tokio::process::Command;

/// Rows of 100,000 in its largest table.
const SCALE: &str = "10";
const CLIENTS: &str = "16";
/// Debian keeps it beside the server of each version.
const DEBIAN: &str = "/usr/lib/postgresql";

/// Transactions a second; `None` where pgbench is not installed.
pub(super) async fn simple_update(database: &str, seconds: u64) -> anyhow::Result<Option<f64>> {
    let Some(program) = find() else { return Ok(None) };
    ask(&program, &["-i", "-q", "-s", SCALE, database]).await?;
    let duration = seconds.to_string();
    let told = ask(&program, &["-N", "-n", "-c", CLIENTS, "-j", "2", "-T", &duration, database]).await?;
    rate(&told).with_context(|| format!("pgbench tells no rate: {told}")).map(Some)
}

fn rate(told: &str) -> Option<f64> {
    told.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok())
}

async fn ask(program: &PathBuf, arguments: &[&str]) -> anyhow::Result<String> {
    let done = Command::new(program).args(arguments).kill_on_drop(true).output().await?;
    ensure!(done.status.success(), "pgbench failed: {}", String::from_utf8_lossy(&done.stderr));
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}

/// On the path, or the newest of Debian's.
fn find() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let versions = std::fs::read_dir(DEBIAN).into_iter().flatten().flatten();
    let mut debian: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
    debian.sort();
    let folders = std::env::split_paths(&path).chain(debian.into_iter().rev());
    folders.map(|folder| folder.join("pgbench")).find(|program| program.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_found_in_what_it_prints() {
        assert_eq!(
            rate("latency average = 5 ms\ntps = 3061.26 (without initial connection time)\n"),
            Some(3061.26)
        );
        assert_eq!(rate("nothing"), None);
    }
}
