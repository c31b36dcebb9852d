//! Wallets that are contracts, put on a development chain where a list names them.

use alloy_primitives::{Address, B256, Bytes};
use anyhow::{Context, ensure};
use serde_json::{Value, json};

/// Compiled from contracts/src/tokens/TestWallet.sol, whose tests compare this file with the source.
const WALLET: &str = include_str!("../../../../contracts/abi/TestWallet.json");

/// Makes an address of an anvil a wallet contract whose owner's key signs for it (ERC-1271). Calls after the next block
/// see it.
///
/// # Errors
/// When the chain's node is no anvil or cannot be reached.
pub async fn make_contract_wallet(rpc: &str, at: Address, owner: Address) -> anyhow::Result<()> {
    let artifact: Value = serde_json::from_str(WALLET)?;
    let code: Bytes =
        artifact["deployedBytecode"]["object"].as_str().context("the wallet's code")?.parse()?;
    let http = reqwest::Client::new();
    let calls = [
        ("anvil_setCode", json!([at, code])),
        // The owner is the first storage slot.
        ("anvil_setStorageAt", json!([at, B256::ZERO, owner.into_word()])),
    ];
    for (method, parameters) in calls {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": parameters });
        let answer: Value = http.post(rpc).json(&body).send().await?.json().await?;
        ensure!(answer.get("error").is_none(), "{method}: {}", answer["error"]);
    }
    Ok(())
}
