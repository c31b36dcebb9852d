//! Creation code of the committed builds (`contracts/abi/*.json`).

use std::sync::LazyLock;

use alloy_primitives::Bytes;
use serde::Deserialize;

pub static CHARTER: LazyLock<Bytes> = LazyLock::new(|| code(CHARTER_JSON));
pub static DISTRIBUTOR: LazyLock<Bytes> = LazyLock::new(|| code(DISTRIBUTOR_JSON));
pub static TEST_TOKEN: LazyLock<Bytes> = LazyLock::new(|| code(TEST_TOKEN_JSON));
/// Asks a wallet that may not exist yet; its creation code is called, never deployed.
pub static UNBORN_WALLET: LazyLock<Bytes> = LazyLock::new(|| code(UNBORN_WALLET_JSON));

pub const CHARTER_JSON: &str = include_str!("../../../../contracts/abi/Charter.json");
pub const DISTRIBUTOR_JSON: &str = include_str!("../../../../contracts/abi/Distributor.json");
/// Only compared with the bindings: Charters bring their Warden's code along.
#[cfg(test)]
pub const WARDEN_JSON: &str = include_str!("../../../../contracts/abi/Warden.json");
pub const TEST_TOKEN_JSON: &str = include_str!("../../../../contracts/abi/TestToken.json");
pub const UNBORN_WALLET_JSON: &str = include_str!("../../../../contracts/abi/UnbornWallet.json");

#[derive(Deserialize)]
struct Artifact {
    bytecode: Bytecode,
}

#[derive(Deserialize)]
struct Bytecode {
    object: Bytes,
}

fn code(json: &str) -> Bytes {
    let artifact: Artifact =
        serde_json::from_str(json).expect("committed and checked by the contracts' tests");
    artifact.bytecode.object
}
