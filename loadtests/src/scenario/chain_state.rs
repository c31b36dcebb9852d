//! A chain's state in memory, for the EVM: accounts, code and storage as a chain that ran the real deployment left them.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io::Read;

use alloy_primitives::{Address, B256, Bytes, U256};
use anyhow::Context;
use revm::primitives::{AddressMap, U256Map};
use revm::state::{Account, AccountInfo, Bytecode};
use revm::{Database, DatabaseCommit};
use serde::Deserialize;

/// Everything a chain knows of its accounts.
#[derive(Clone, Debug, Default)]
pub(super) struct ChainState {
    accounts: AddressMap<Kept>,
}

/// An account; storage that is zero is left out.
#[derive(Clone, Debug, Default)]
struct Kept {
    info: AccountInfo,
    storage: U256Map<U256>,
}

/// What `anvil_dumpState` answers, unpacked, as far as it is read here.
#[derive(Deserialize)]
struct Dump {
    accounts: BTreeMap<Address, DumpedAccount>,
}

#[derive(Deserialize)]
struct DumpedAccount {
    nonce: u64,
    balance: U256,
    code: Bytes,
    storage: BTreeMap<B256, B256>,
}

impl ChainState {
    /// Reads what `anvil_dumpState` answered: JSON, compressed by gzip.
    ///
    /// # Errors
    /// When it is not that.
    pub(super) fn read(dump: &[u8]) -> anyhow::Result<Self> {
        let mut text = Vec::new();
        flate2::read::GzDecoder::new(dump).read_to_end(&mut text).context("the chain's state is no gzip")?;
        let dump: Dump =
            serde_json::from_slice(&text).context("the chain's state is not as anvil writes it")?;
        let kept = |account: DumpedAccount| {
            let code = Bytecode::new_raw(account.code);
            let info = AccountInfo {
                balance: account.balance,
                nonce: account.nonce,
                code_hash: code.hash_slow(),
                code: Some(code),
                ..AccountInfo::default()
            };
            let slots = account.storage.into_iter().map(|(slot, value)| (slot.into(), value.into()));
            Kept { info, storage: slots.filter(|(_, value): &(U256, U256)| !value.is_zero()).collect() }
        };
        let accounts = dump.accounts.into_iter().map(|(address, account)| (address, kept(account)));
        Ok(Self { accounts: accounts.collect() })
    }

    /// A storage slot; zero where nothing was ever stored.
    pub(super) fn slot(&self, address: Address, slot: U256) -> U256 {
        self.accounts.get(&address).and_then(|kept| kept.storage.get(&slot)).copied().unwrap_or_default()
    }

    /// Slots of an account that are not zero.
    pub(super) fn slots(&self, address: Address) -> u64 {
        self.accounts.get(&address).map_or(0, |kept| kept.storage.len() as u64)
    }

    /// Makes room at once for so many more slots: growing step by step would hold a map twice.
    pub(super) fn reserve(&mut self, address: Address, slots: usize) {
        self.accounts.entry(address).or_default().storage.reserve(slots);
    }

    /// Stores a value.
    #[cfg(test)]
    pub(super) fn store(&mut self, address: Address, slot: U256, value: U256) {
        self.accounts.entry(address).or_default().storage.insert(slot, value);
    }
}

impl Database for ChainState {
    type Error = Infallible;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, Infallible> {
        Ok(self.accounts.get(&address).map(|kept| kept.info.clone()))
    }

    fn code_by_hash(&mut self, hash: B256) -> Result<Bytecode, Infallible> {
        // Accounts carry their code, so this is not asked.
        let mut infos = self.accounts.values().map(|kept| &kept.info);
        let found = infos.find(|info| info.code_hash == hash).and_then(|info| info.code.clone());
        Ok(found.unwrap_or_default())
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, Infallible> {
        Ok(self.slot(address, slot))
    }

    fn block_hash(&mut self, _number: u64) -> Result<B256, Infallible> {
        // None of the contracts asks for one.
        Ok(B256::ZERO)
    }
}

impl DatabaseCommit for ChainState {
    fn commit(&mut self, changes: AddressMap<Account>) {
        for (address, account) in changes.into_iter().filter(|(_, account)| account.is_touched()) {
            let kept = self.accounts.entry(address).or_default();
            kept.info = account.info;
            for (slot, value) in account.storage.into_iter().filter(|(_, value)| value.is_changed()) {
                match value.present_value {
                    U256::ZERO => kept.storage.remove(&slot),
                    value => kept.storage.insert(slot, value),
                };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_dump_is_read_and_zeros_are_left_out() {
        let text = r#"{"block":{},"accounts":{"0x00000000000000000000000000000000000000aa":{"nonce":3,"balance":"0x5",
            "code":"0x6001","storage":{
            "0x0000000000000000000000000000000000000000000000000000000000000001":"0x0000000000000000000000000000000000000000000000000000000000000007",
            "0x0000000000000000000000000000000000000000000000000000000000000002":"0x0000000000000000000000000000000000000000000000000000000000000000"}}}}"#;
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(text.as_bytes()).unwrap();
        let mut state = ChainState::read(&packed.finish().unwrap()).unwrap();
        let address = Address::with_last_byte(0xaa);
        let info = state.basic(address).unwrap().unwrap();
        assert_eq!((info.nonce, info.balance), (3, U256::from(5)));
        assert_eq!(state.code_by_hash(info.code_hash).unwrap().original_bytes(), Bytes::from([0x60, 1]));
        assert_eq!((state.slots(address), state.slot(address, U256::from(1))), (1, U256::from(7)));
        assert!(ChainState::read(b"no gzip").is_err());
    }
}
