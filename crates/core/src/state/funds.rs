//! Where a campaign's tokens stand, in double entry.

use borsh::{BorshDeserialize, BorshSerialize};

use crate::amount::Total;
use crate::ids::CampaignId;

/// An account of a campaign's ledger. The numbers are the `kind` of posting rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Account {
    /// What came in, as a negative balance: the other side of every deposit.
    Funded = 1,
    /// In the Distributor, for nobody yet.
    Free = 2,
    /// Decided, not yet finally paid.
    Reserved = 3,
    /// Finally paid.
    Paid = 4,
    /// Annulled; still in the Distributor.
    Voided = 5,
    /// Back at the refund address: swept or withdrawn.
    Swept = 6,
}

impl Account {
    /// All of them, in order.
    pub const ALL: [Self; 6] =
        [Self::Funded, Self::Free, Self::Reserved, Self::Paid, Self::Voided, Self::Swept];

    /// The name in reports and rows.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Funded => "funded",
            Self::Free => "free",
            Self::Reserved => "reserved",
            Self::Paid => "paid",
            Self::Voided => "voided",
            Self::Swept => "swept",
        }
    }
}

/// One side of a movement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Posting {
    /// Whose ledger.
    pub campaign: CampaignId,
    /// Which account.
    pub account: Account,
    /// Base units, signed. The postings of an entry add up to zero.
    pub delta: i128,
}

/// Balances of a campaign. They add up to zero, because [`Account::Funded`] holds the deposits as a negative.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Funds {
    balances: [i128; 6],
}

impl Funds {
    /// An account's balance; negative only for [`Account::Funded`], and for [`Account::Free`] if tokens vanished.
    pub fn balance(&self, account: Account) -> i128 {
        self.balances[account as usize - 1]
    }

    /// Moves base units between two accounts and records both sides.
    pub fn transfer(
        &mut self,
        campaign: CampaignId,
        from: Account,
        to: Account,
        amount: Total,
        out: &mut Vec<Posting>,
    ) {
        // Deposits above 2^120 are not taken into the log, and nothing else exceeds what came in.
        let delta = i128::try_from(amount.get()).expect("amounts stay below 2^127");
        if delta == 0 {
            return;
        }
        self.balances[from as usize - 1] -= delta;
        self.balances[to as usize - 1] += delta;
        out.push(Posting { campaign, account: from, delta: -delta });
        out.push(Posting { campaign, account: to, delta });
    }

    /// Whether an amount can be reserved: from what is free, then from what was annulled, which is there to pay its
    /// correction.
    pub fn covers(&self, amount: Total) -> bool {
        let there = self.balance(Account::Free) + self.balance(Account::Voided);
        i128::try_from(amount.get()).is_ok_and(|amount| there >= amount)
    }
}
