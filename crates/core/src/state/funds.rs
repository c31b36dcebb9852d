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
    /// Part of [`Account::Voided`], see [`Funds::annulled`].
    annulled: Total,
}

impl Funds {
    /// An account's balance; negative only for [`Account::Funded`], and for [`Account::Free`] if tokens vanished, which
    /// the Distributor's own accounting rules out.
    pub fn balance(&self, account: Account) -> i128 {
        self.balances[account as usize - 1]
    }

    /// Of what stands in [`Account::Voided`], what the chain has finally annulled. Out of the rest the original may still
    /// be paid, by its wallet or by a batch that was sent before: only this part may pay a correction (CONTRACTS.md,
    /// "Corrections").
    pub fn annulled(&self) -> Total {
        self.annulled
    }

    /// Notes that the chain has finally annulled this much of what stands in [`Account::Voided`].
    pub fn annul(&mut self, amount: Total) {
        self.annulled =
            Total(self.annulled.get().saturating_add(amount.get())).min(self.there(Account::Voided));
    }

    /// What an account can give.
    pub fn there(&self, account: Account) -> Total {
        Total(u128::try_from(self.balance(account)).unwrap_or(0))
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
        self.annulled = self.annulled.min(self.there(Account::Voided));
    }

    /// Moves what the chain moved, which nobody can refuse: from the first account as far as it goes, then from the next.
    /// What none of them has vanished by another way, and is missing from what is free.
    pub fn take(
        &mut self,
        campaign: CampaignId,
        from: &[Account],
        to: Account,
        amount: Total,
        out: &mut Vec<Posting>,
    ) {
        let mut left = amount;
        for account in from {
            let part = self.there(*account).min(left);
            left = Total(left.get() - part.get());
            self.transfer(campaign, *account, to, part, out);
        }
        self.transfer(campaign, Account::Free, to, left, out);
    }

    /// Reserves an amount: from what is free, then from what was finally annulled, which is there to pay its correction.
    /// Says whether that was enough.
    #[must_use]
    pub fn reserve(&mut self, campaign: CampaignId, amount: Total, out: &mut Vec<Posting>) -> bool {
        if !self.covers(amount) {
            return false;
        }
        let from_free = self.there(Account::Free).min(amount);
        let rest = Total(amount.get() - from_free.get());
        self.transfer(campaign, Account::Free, Account::Reserved, from_free, out);
        let annulled = Total(self.annulled.get().saturating_sub(rest.get()));
        self.transfer(campaign, Account::Voided, Account::Reserved, rest, out);
        self.annulled = self.annulled.min(annulled);
        true
    }

    /// What left the Distributor for the refund address is taken from what nobody is owed, then from what was annulled,
    /// then from what was decided and could not be paid while the round's time lasted.
    pub fn gone(&mut self, campaign: CampaignId, amount: Total, out: &mut Vec<Posting>) {
        let voided = self.there(Account::Voided);
        let annulled = self.annulled;
        self.take(
            campaign,
            &[Account::Free, Account::Voided, Account::Reserved],
            Account::Swept,
            amount,
            out,
        );
        let taken = voided.get() - self.there(Account::Voided).get();
        self.annulled = self.annulled.min(Total(annulled.get().saturating_sub(taken)));
    }

    /// Whether [`Self::reserve`] finds enough.
    pub fn covers(&self, amount: Total) -> bool {
        let annulled = i128::try_from(self.annulled.get()).expect("amounts stay below 2^127");
        let there = self.balance(Account::Free) + annulled;
        i128::try_from(amount.get()).is_ok_and(|amount| there >= amount)
    }
}
