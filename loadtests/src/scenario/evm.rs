//! The deployed contracts, executed here: revm with the rules of the fork that they are compiled for.

use alloy_primitives::{Address, B256, Bytes, U256, b256, keccak256};
use anyhow::{Context as _, bail, ensure};
use revm::context::result::ExecutionResult;
use revm::context::{ContextTr, TxEnv};
use revm::handler::MainnetContext;
use revm::primitives::TxKind;
use revm::primitives::hardfork::SpecId;
use revm::{Context, ExecuteCommitEvm, ExecuteEvm, MainBuilder, MainContext, MainnetEvm};
use sluice_server::dev;

use super::chain_state::ChainState;

/// The most gas of a transaction: EIP-7825.
const GAS: u64 = 16_777_216;
/// Gas of a block, as the chain has it that the state comes from.
const BLOCK_GAS: u64 = 60_000_000;
/// `Transfer(address,address,uint256)` of ERC-20.
const TRANSFER: B256 = b256!("0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef");
/// `balanceOf(address)` of ERC-20.
const BALANCE_OF: [u8; 4] = [0x70, 0xa0, 0x82, 0x31];

/// An EVM on a chain's state.
pub(super) struct Evm(MainnetEvm<MainnetContext<ChainState>>);

/// What a transaction did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Executed {
    pub(super) gas: u64,
    /// Transfers of the token, by its events.
    pub(super) transfers: u64,
}

impl Evm {
    /// An EVM in a block of this number and time (Unix seconds).
    pub(super) fn new(state: ChainState, number: u64, time: u64) -> Self {
        let context = Context::mainnet()
            .with_db(state)
            .modify_cfg_chained(|cfg| {
                cfg.set_spec_and_mainnet_gas_params(SpecId::OSAKA);
                cfg.chain_id = dev::CHAIN_ID;
                // Only one account sends here, in the order that is executed.
                cfg.disable_nonce_check = true;
            })
            .modify_block_chained(|block| {
                block.number = U256::from(number);
                block.timestamp = U256::from(time);
                block.gas_limit = BLOCK_GAS;
                block.basefee = 0;
                block.prevrandao = Some(B256::ZERO);
            });
        Self(context.build_mainnet())
    }

    /// Sends a transaction.
    ///
    /// # Errors
    /// When it reverts.
    pub(super) fn send(
        &mut self,
        from: Address,
        to: Address,
        data: Bytes,
        token: Address,
    ) -> anyhow::Result<Executed> {
        match self.0.transact_commit(transaction(from, to, data)).context("no transaction")? {
            ExecutionResult::Success { gas, logs, .. } => {
                let transfers =
                    logs.iter().filter(|log| log.address == token && log.topics()[..1] == [TRANSFER]);
                Ok(Executed { gas: gas.tx_gas_used(), transfers: transfers.count() as u64 })
            }
            ExecutionResult::Revert { output, .. } => bail!("a call reverted with {output}"),
            ExecutionResult::Halt { reason, .. } => bail!("a call halted: {reason:?}"),
        }
    }

    /// What the token says somebody has.
    ///
    /// # Errors
    /// When it says nothing.
    pub(super) fn balance_of(&mut self, token: Address, of: Address) -> anyhow::Result<U256> {
        let data = [&BALANCE_OF[..], of.into_word().as_slice()].concat();
        let done = self.0.transact(transaction(of, token, data.into())).context("no transaction")?;
        let output = done.result.into_output().context("balanceOf answered nothing")?;
        ensure!(output.len() == 32, "balanceOf answered {} bytes", output.len());
        Ok(U256::from_be_slice(&output))
    }

    /// The state.
    pub(super) fn state(&self) -> &ChainState {
        self.0.ctx.db()
    }
}

fn transaction(from: Address, to: Address, data: Bytes) -> TxEnv {
    TxEnv {
        caller: from,
        kind: TxKind::Call(to),
        data,
        gas_limit: GAS,
        gas_price: 0,
        chain_id: Some(dev::CHAIN_ID),
        ..TxEnv::default()
    }
}

/// Where OpenZeppelin's ERC-20 keeps a balance: `_balances` is its first variable.
pub(super) fn balance_slot(of: Address) -> U256 {
    let mut key = [0; 64];
    key[12..32].copy_from_slice(of.as_slice());
    keccak256(key).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapping_of_addresses_in_the_first_slot() {
        // `cast index address 0x00000000000000000000000000000000000000aa 0`
        assert_eq!(TRANSFER, keccak256("Transfer(address,address,uint256)"));
        assert_eq!(BALANCE_OF, keccak256("balanceOf(address)")[..4]);
        let slot = balance_slot(Address::with_last_byte(0xaa));
        let abi = [Address::with_last_byte(0xaa).into_word().0, [0; 32]].concat();
        assert_eq!(slot, U256::from_be_bytes(keccak256(abi).0));
    }
}
