//! Deploying a Distributor at an address that its terms determine, so that a second run finds what the first deployed.
//!
//! The deployer is the one at the same address on almost every chain
//! (<https://github.com/Arachnid/deterministic-deployment-proxy>): called with a salt and creation code, it does a
//! CREATE2 with both. It has no owner and no state.

use alloy::sol_types::SolValue;
use alloy_primitives::{Address, B256, Bytes, U256, address, hex, keccak256};
use anyhow::{Context, bail, ensure};
use serde::Deserialize;
use sluice_chain::deploy::{NewDistributor, Operator};
use sluice_chain::{At, Chain};

/// The deployer.
const DEPLOYER: Address = address!("0x4e59b44847b379578588920cA78FbF26c0B4956C");

/// The committed build of the contract.
const ARTIFACT: &str = include_str!("../../../../../contracts/abi/Distributor.json");

/// Creation code of a Distributor with these terms.
fn creation_code(terms: &NewDistributor) -> anyhow::Result<Vec<u8>> {
    #[derive(Deserialize)]
    struct Artifact {
        bytecode: Code,
    }
    #[derive(Deserialize)]
    struct Code {
        object: String,
    }
    let artifact: Artifact = serde_json::from_str(ARTIFACT)?;
    let mut code = hex::decode(artifact.bytecode.object)?;
    // `DistributorTerms` of contracts/src/interfaces/Types.sol: seven static fields, a word each.
    let terms = (
        terms.token,
        terms.charter,
        terms.refund,
        U256::from(u8::from(terms.exit_only)),
        U256::from(terms.grace),
        U256::from(terms.opening_delay),
        U256::from(terms.transfer_gas),
    );
    code.extend(terms.abi_encode());
    Ok(code)
}

/// Deploys a Distributor with these terms under this salt, unless it is there; returns where and in which block.
///
/// # Errors
/// When the chain has no such deployer, or the terms break a rule of the contract.
pub async fn deploy(
    operator: &Operator,
    terms: &NewDistributor,
    salt: B256,
) -> anyhow::Result<(Address, u64)> {
    let chain = &operator.chain;
    let code = creation_code(terms)?;
    let at = DEPLOYER.create2(salt, keccak256(&code));
    if !chain.code(at, At::Latest).await?.is_empty() {
        return Ok((at, deployed_at(chain, at).await?));
    }
    ensure!(
        !chain.code(DEPLOYER, At::Latest).await?.is_empty(),
        "this chain has no deterministic deployer at {DEPLOYER}; deploy a Distributor and give --distributor"
    );
    let data = Bytes::from([salt.as_slice(), &code].concat());
    let receipt = operator
        .send("Distributor", Some(DEPLOYER), data, U256::ZERO)
        .await
        .context("the Distributor was not deployed; its terms must satisfy TermsCheck.sol")?;
    if chain.code(at, At::Latest).await?.is_empty() {
        bail!("the deployer did not deploy to {at}");
    }
    Ok((at, receipt.block.number))
}

/// The block in which a contract was deployed: the first that has its code.
///
/// # Errors
/// When the node keeps no old states.
pub async fn deployed_at(chain: &Chain, contract: Address) -> anyhow::Result<u64> {
    let (mut without, mut with) = (0, chain.latest().await?.number);
    while with - without > 1 {
        let middle = without + (with - without) / 2;
        let code = chain.code(contract, At::Number(middle)).await;
        let code = code.context("the node does not know old states; give --deployed-at BLOCK")?;
        if code.is_empty() {
            without = middle;
        } else {
            with = middle;
        }
    }
    Ok(with)
}
