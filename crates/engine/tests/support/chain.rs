//! What a test may do to the chain: call anvil, hold and make blocks, let the token refuse somebody.

use alloy_primitives::{Address, Bytes, hex};
use serde_json::{Value, json};
use sluice_chain::At;
use sluice_core::amount::Total;
use sluice_engine::node::Node;
use sqlx::{Connection, PgConnection};

use super::{STREAM, World, eventually};

impl World {
    /// Asks the chain's node directly.
    pub async fn anvil(&self, method: &str, parameters: Value) -> Value {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": parameters });
        let answer = reqwest::Client::new().post(self.anvil.url()).json(&body).send().await.expect("anvil");
        let answer: Value = answer.json().await.expect("an answer");
        assert!(answer.get("error").is_none(), "{method}: {answer}");
        answer["result"].clone()
    }

    /// Transactions that wait in the mempool.
    pub async fn waiting_transactions(&self) -> u64 {
        let pool = self.anvil("txpool_status", json!([])).await;
        let number = |name: &str| {
            let text = pool[name].as_str().expect("a number");
            u64::from_str_radix(text.trim_start_matches("0x"), 16).expect("hexadecimal")
        };
        number("pending") + number("queued")
    }

    /// From here on blocks come only when asked for. The epoch of whoever leads is on chain before: taking it needs a
    /// block, and waits in the mempool like what a test looks for there.
    pub async fn hold_blocks(&self) {
        eventually("the epoch is on chain", || async {
            let Some(epoch) = self.epoch_of_head().await else { return Some(()) };
            let known = self.chain.epoch(self.charter, At::Latest).await.ok()?;
            (epoch == known).then_some(())
        })
        .await;
        self.anvil("evm_setAutomine", json!([false])).await;
        self.anvil("evm_setIntervalMining", json!([0])).await;
    }

    /// The epoch of the last leader; `None` if there was none.
    async fn epoch_of_head(&self) -> Option<u64> {
        let mut raw = PgConnection::connect(self.database.url()).await.expect("a connection");
        let sql = "SELECT epoch FROM head WHERE stream = $1";
        let query = sqlx::query_as(sql).bind(i32::try_from(STREAM.0).expect("small"));
        let found: Option<(i64,)> = query.fetch_optional(&mut raw).await.expect("read");
        found.map(|(epoch,)| epoch.unsigned_abs())
    }

    pub async fn mine(&self, blocks: u64) {
        self.anvil("anvil_mine", json!([blocks])).await;
    }

    /// From here on the token refuses to pay this address: a forwarder stands before its code.
    pub async fn refuse_recipient(&self, refused: Address) {
        let behind = Address::repeat_byte(0xbe);
        let code = self.anvil("eth_getCode", json!([self.token, "latest"])).await;
        self.anvil("anvil_setCode", json!([behind, code])).await;
        let forwarder = forwarder(refused, behind);
        self.anvil("anvil_setCode", json!([self.token, Bytes::from(forwarder)])).await;
    }

    /// The token pays everybody again.
    pub async fn refuse_nobody(&self) {
        let code = self.anvil("eth_getCode", json!([Address::repeat_byte(0xbe), "latest"])).await;
        self.anvil("anvil_setCode", json!([self.token, code])).await;
    }

    /// Waits until the log knows the chain up to a block, which takes an event behind it: somebody funds the campaign.
    /// Whatever the node wanted to do about what stood there before, it has had the time for.
    pub async fn read_up_to(&self, node: &Node, block: u64) {
        self.operator.mint(self.token, self.distributor, Total(1)).await.expect("funded");
        eventually("the node has read on", || async {
            let seen = node.follower().read(|s| s.chains.get(&31_337).map(|c| c.finalized.number))?;
            (seen >= block).then_some(())
        })
        .await;
    }

    /// Gives coin to an account.
    pub async fn fund(&self, account: Address) {
        self.anvil("anvil_setBalance", json!([account, "0xde0b6b3a7640000"])).await;
    }
}

/// EVM code that reverts on `transfer(refused, …)` and forwards everything else by DELEGATECALL.
fn forwarder(refused: Address, behind: Address) -> Vec<u8> {
    let mut code = hex!("6004 35 73").to_vec();
    code.extend(refused.as_slice());
    code.extend(hex!("14 6000 35 60e0 1c 63a9059cbb 14 16 61"));
    let jump_refuse = code.len();
    code.extend(hex!("0000 57 36 6000 6000 37 6000 6000 36 6000 73"));
    code.extend(behind.as_slice());
    code.extend(hex!("5a f4 3d 6000 6000 3e 15 61"));
    let jump_failed = code.len();
    code.extend(hex!("0000 57 3d 6000 f3"));
    for (jump, end) in
        [(jump_failed, &hex!("5b 3d 6000 fd")[..]), (jump_refuse, &hex!("5b 6000 6000 fd")[..])]
    {
        let to = u16::try_from(code.len()).expect("short code");
        code[jump..jump + 2].copy_from_slice(&to.to_be_bytes());
        code.extend(end);
    }
    code
}
