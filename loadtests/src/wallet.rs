//! `sluice-load wallet`: the key of one wallet of a generated list.

use crate::generate::keys;
use clap::Args;

/// Print address and secret key of a wallet of generated lists. For tests alone.
#[derive(Debug, Args)]
pub(crate) struct WalletArgs {
    /// The wallet's number: in a single list its row behind the header, from 0; in `campaigns.json` each list says the
    /// number of its first.
    number: u64,
    /// The lists' seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

impl WalletArgs {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let secret = keys::secret(self.seed, self.number);
        println!("address     {}", keys::address(&secret));
        println!("secret key  0x{}", const_hex::encode(secret.to_secret_bytes()));
        Ok(())
    }
}
