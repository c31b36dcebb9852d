//! A campaign's ledger: the sums of its postings. They are written by the append that decided them.

use std::collections::BTreeMap;

use sluice_core::ids::CampaignId;
use sluice_core::state::funds::Account;

use crate::Store;
use crate::error::{Error, Result};

impl Store {
    /// The balance of each of a campaign's accounts, base units; zero where nothing was ever posted. They add up to
    /// zero.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when they do not.
    pub async fn ledger(&self, campaign: CampaignId) -> Result<BTreeMap<Account, i128>> {
        let sql = "SELECT kind, sum(amount)::text FROM posting WHERE campaign = $1 GROUP BY kind";
        let rows: Vec<(i16, String)> =
            self.fetch_all("sum a campaign's postings", sqlx::query_as(sql).bind(campaign.0)).await?;
        let mut balances: BTreeMap<Account, i128> =
            Account::ALL.iter().map(|account| (*account, 0)).collect();
        for (kind, sum) in rows {
            let unknown = || Error::Corrupt { what: "posting.kind", reason: format!("{kind} is no account") };
            let account = Account::ALL.into_iter().find(|a| *a as i16 == kind).ok_or_else(unknown)?;
            let sum = sum.parse().map_err(|error| Error::Corrupt {
                what: "posting.amount",
                reason: format!("the sum {sum} of {}: {error}", account.as_str()),
            })?;
            balances.insert(account, sum);
        }
        match balances.values().try_fold(0_i128, |sum, balance| sum.checked_add(*balance)) {
            Some(0) => Ok(balances),
            _ => Err(Error::Corrupt {
                what: "posting.amount",
                reason: format!("the accounts of campaign {campaign} do not add up to zero"),
            }),
        }
    }
}
