//! The demonstration's list and the wallets on it whose keys anyone can derive.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use alloy_primitives::Address;
use anyhow::{Context, ensure};
use sluice_chain::signer::Account;
use sluice_core::entitlement::Entitlement;
use sluice_core::sample::wallet_key;
use sluice_snapshot::list::{Input, Unit};
use sluice_snapshot::{BuildOptions, Snapshot, build};

use super::{Demo, UnitName, ZeroName};

/// Where the repository keeps its sample list.
const SAMPLE: &str = "sample-data/small.csv";
/// Keys tried for the addresses of a list: a thousand of the sample list and room for larger ones made here.
const SAMPLE_KEYS_MAX: u64 = 20_000;

/// A listed wallet whose key is known.
#[derive(Clone, Debug)]
pub(super) struct Wallet {
    pub(super) entitlement: Entitlement,
    pub(super) account: Account,
}

/// The list given, the sample list, or one made here with `--recipients` wallets.
pub(super) fn choose(demo: &Demo, folder: &Path) -> anyhow::Result<PathBuf> {
    match (&demo.list, demo.recipients) {
        (Some(list), _) => Ok(list.clone()),
        (None, None) if Path::new(SAMPLE).is_file() => Ok(SAMPLE.into()),
        (None, recipients) => make(recipients.unwrap_or(1_000), folder),
    }
}

/// A list of wallets with derivable keys; amounts differ, so that a mix-up shows.
fn make(recipients: u32, folder: &Path) -> anyhow::Result<PathBuf> {
    let mut text = String::from("address,amount\n");
    for number in 0..recipients {
        let address = Account::from_bytes(&wallet_key(number))?.address();
        writeln!(text, "{address},{}.{:02}", 10 + number % 90, number % 100)?;
    }
    let path = folder.join("demo-list.csv");
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

/// Builds the snapshot of a list.
pub(super) async fn snapshot(demo: &Demo, list: &Path, folder: &Path) -> anyhow::Result<PathBuf> {
    let out = folder.join("demo.snapshot");
    let options = BuildOptions {
        decimals: crate::dev::DECIMALS,
        unit: match demo.unit {
            UnitName::Token => Unit::Token,
            UnitName::Base => Unit::Base,
            UnitName::Hex => Unit::Hex,
        },
        drop_zero_address: demo.zero_address == ZeroName::Drop,
        ..BuildOptions::default()
    };
    let (list, path) = (list.to_owned(), out.clone());
    tokio::task::spawn_blocking(move || {
        let report = build(&options, &Input::File(list.clone()), &path, &|_| {});
        report.with_context(|| format!("cannot build a snapshot from {}", list.display()))
    })
    .await??;
    Ok(out)
}

/// The listed wallets whose keys are derivable, in the list's order, at most `wanted`.
pub(super) fn wallets(snapshot: &Arc<Snapshot>, wanted: usize) -> anyhow::Result<Vec<Wallet>> {
    if wanted == 0 {
        return Ok(Vec::new());
    }
    let mut known: HashMap<Address, Account> = HashMap::new();
    for number in 0..snapshot.count().min(SAMPLE_KEYS_MAX) {
        let account = Account::from_bytes(&wallet_key(u32::try_from(number)?))?;
        known.insert(account.address(), account);
    }
    let listed = (0..snapshot.count()).filter_map(|index| {
        let entitlement = snapshot.entitlement(index)?;
        let account = known.get(&entitlement.recipient)?.clone();
        Some(Wallet { entitlement, account })
    });
    let wallets: Vec<_> = listed.take(wanted).collect();
    ensure!(
        wallets.len() == wanted,
        "--claims {wanted}: only {} wallets of this list have derivable keys; use --push all or fewer claims",
        wallets.len()
    );
    Ok(wallets)
}
