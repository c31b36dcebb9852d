//! What a chain charges for bringing calldata to another chain: Optimism's kind takes wei beside the gas, Arbitrum's counts
//! gas beside that of the execution.
//!
//! Sources of addresses and interfaces: `GasPriceOracle.sol` of ethereum-optimism/optimism (predeploy
//! 0x42…0F) and `NodeInterface.sol` of OffchainLabs/nitro-contracts (virtual, 0xC8, answered by nodes only). Of the
//! latter `gasEstimateL1Component`, not `gasEstimateComponents`: that one executes the call, and a batch reverts while the
//! one before it is not mined.

use alloy_primitives::{Address, Bytes, address};
use serde::{Deserialize, Serialize};
use sluice_core::fees::DataCost;

use crate::bindings::{GasPriceOracle, NodeInterface};
use crate::error::ChainError;
use crate::rpc::{At, Chain};

/// Optimism's oracle.
const GAS_PRICE_ORACLE: Address = address!("420000000000000000000000000000000000000F");
/// Arbitrum's node interface.
const NODE_INTERFACE: Address = address!("00000000000000000000000000000000000000C8");
/// What a signed transaction has beside its calldata, at most: nonce, fees, gas limit, addresses, signature. The oracle
/// wants the transaction without the signature and adds 68 bytes for it.
const ENVELOPE: usize = 64;

/// What a chain charges for besides execution.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChainKind {
    /// Nothing: Ethereum and chains like it.
    #[default]
    Ethereum,
    /// Calldata, in wei beside the gas: Optimism, Base and others of the OP stack.
    Op,
    /// Calldata, as gas: Arbitrum One and others of its kind.
    Arbitrum,
}

impl Chain {
    /// What the chain charges for this calldata beside its execution. The call is not executed.
    ///
    /// # Errors
    /// No answer, or none that a chain of the configured kind gives.
    pub async fn data_cost(&self, to: Address, data: &Bytes) -> Result<DataCost, ChainError> {
        let bytes = data.len() as u64;
        match self.config().kind {
            ChainKind::Ethereum => Ok(DataCost { bytes, wei: 0, gas: 0 }),
            ChainKind::Op => {
                let call = GasPriceOracle::getL1FeeCall { data: in_envelope(data) };
                let fee = self.view(GAS_PRICE_ORACLE, call, At::Latest).await?;
                Ok(DataCost { bytes, wei: fee.saturating_to(), gas: 0 })
            }
            ChainKind::Arbitrum => {
                let call = NodeInterface::gasEstimateL1ComponentCall {
                    to,
                    contractCreation: false,
                    data: data.clone(),
                };
                let found = self.view(NODE_INTERFACE, call, At::Latest).await?;
                Ok(DataCost { bytes, wei: 0, gas: found.gasEstimateForL1 })
            }
        }
    }
}

/// Calldata as long as the transaction around it, its envelope as incompressible as a real one.
fn in_envelope(data: &Bytes) -> Bytes {
    let envelope = alloy_primitives::keccak256(b"envelope");
    envelope.iter().cycle().take(ENVELOPE).chain(data.iter()).copied().collect::<Vec<_>>().into()
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{U256, hex};
    use alloy_sol_types::SolCall;

    use super::*;

    /// Known selectors of the deployed contracts, and answers as their nodes encode them.
    #[test]
    fn calls_and_answers_are_those_of_the_published_interfaces() {
        assert_eq!(GasPriceOracle::getL1FeeCall::SELECTOR, hex!("49948e0e"));
        assert_eq!(NodeInterface::gasEstimateL1ComponentCall::SELECTOR, hex!("77d488a2"));

        let call = NodeInterface::gasEstimateL1ComponentCall {
            to: address!("00000000000000000000000000000000000000aa"),
            contractCreation: false,
            data: hex!("c0ffee").into(),
        };
        let encoded = hex!(
            "77d488a2"
            "00000000000000000000000000000000000000000000000000000000000000aa"
            "0000000000000000000000000000000000000000000000000000000000000000"
            "0000000000000000000000000000000000000000000000000000000000000060"
            "0000000000000000000000000000000000000000000000000000000000000003"
            "c0ffee0000000000000000000000000000000000000000000000000000000000"
        );
        assert_eq!(call.abi_encode(), encoded);
        let answer = hex!(
            "0000000000000000000000000000000000000000000000000000000000000bb8"
            "0000000000000000000000000000000000000000000000000000000005f5e100"
            "000000000000000000000000000000000000000000000000000000003b9aca00"
        );
        let found = NodeInterface::gasEstimateL1ComponentCall::abi_decode_returns(&answer).unwrap();
        assert_eq!(found.gasEstimateForL1, 3_000);
        assert_eq!(
            (found.baseFee, found.l1BaseFeeEstimate),
            (U256::from(100_000_000), U256::from(1_000_000_000))
        );
        let fee = hex!("000000000000000000000000000000000000000000000000000002d79883d200");
        let fee = GasPriceOracle::getL1FeeCall::abi_decode_returns(&fee).unwrap();
        assert_eq!(fee.saturating_to::<u128>(), 3_125_000_000_000);
    }

    #[test]
    fn the_oracle_is_asked_about_the_whole_transaction() {
        let data = Bytes::from(vec![7; 100]);
        let whole = in_envelope(&data);
        assert_eq!(whole.len(), 100 + ENVELOPE);
        assert!(whole.ends_with(&data));
    }
}
