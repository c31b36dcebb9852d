//! The private chain: its life, and what is left of it after its owner's death.

#![allow(clippy::unwrap_used, reason = "a test says what it expects by panicking")]

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use common::{FOLDER, Holder, SAYS, await_end};
use serde_json::{Value, json};
use sluice_embedded::{Anvil, AnvilOptions, Error, Mining};

/// Asks the chain; its answer as it is, error or result.
fn ask(port: u16, method: &str, params: &Value) -> Value {
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let head = format!("Host: a\r\nContent-Type: application/json\r\nContent-Length: {}", body.len());
    write!(stream, "POST / HTTP/1.1\r\nConnection: close\r\n{head}\r\n\r\n{body}").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let body = answer.split_once("\r\n\r\n").unwrap().1;
    serde_json::from_str(body).unwrap()
}

fn call(port: u16, method: &str, params: &Value) -> Value {
    let answer = ask(port, method, params);
    assert!(answer.get("error").is_none(), "{method}: {answer}");
    answer["result"].clone()
}

const FROM: &str = "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266";
const TO: &str = "0x00000000000000000000000000000000000c1a55";

/// Pays some wei to [`TO`]; the transaction's hash.
fn pay(port: u16) -> String {
    let payment = json!([{"from": FROM, "to": TO, "value": "0x7"}]);
    call(port, "eth_sendTransaction", &payment).as_str().unwrap().to_owned()
}

/// Waits until a transaction is mined: anvil answers when it has it, and mines afterwards.
async fn await_mined(port: u16, hash: &str) {
    let mined = async {
        while call(port, "eth_getTransactionReceipt", &json!([hash])).is_null() {
            // A receipt is asked for, never announced; the wait is bounded below.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), mined).await.unwrap();
}

fn block(port: u16, tag: &str) -> Value {
    call(port, "eth_getBlockByNumber", &json!([tag, false]))["number"].clone()
}

fn kept(dir: &Path) -> AnvilOptions {
    AnvilOptions { state: Some(dir.to_owned()), ..AnvilOptions::default() }
}

/// Not a test of its own: the others run it as a process to kill.
#[tokio::test]
#[ignore = "run by the other tests, as a process of its own"]
async fn hold() {
    let dir = std::env::var_os(FOLDER).expect("run by the other tests only");
    let chain = Anvil::start(&kept(Path::new(&dir))).await.unwrap();
    println!("{SAYS}{}", chain.pid());
    let hash = pay(chain.port());
    await_mined(chain.port(), &hash).await;
    println!("{SAYS}{hash}");
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn is_what_was_asked_for() {
    let options = AnvilOptions {
        chain_id: 777,
        accounts: 3,
        balance_ether: 5,
        mining: Mining::OnDemand,
        slots_in_an_epoch: 2,
        ..AnvilOptions::default()
    };
    let chain = Anvil::start(&options).await.unwrap();
    let port = chain.port();
    assert_eq!(chain.url(), format!("http://127.0.0.1:{port}"));
    assert_eq!(call(port, "eth_chainId", &json!([])), "0x309");
    assert_eq!(call(port, "eth_accounts", &json!([])).as_array().unwrap().len(), 3);
    assert_eq!(call(port, "eth_getBalance", &json!([FROM, "latest"])), "0x4563918244f40000");
    assert_eq!(chain.private_keys().len(), 3);
    assert!(chain.private_keys().iter().all(|key| key.starts_with("0x") && key.len() == 66));

    // Nothing is mined unasked; finality follows two epochs behind.
    let hash = pay(port);
    assert_eq!(call(port, "eth_getTransactionReceipt", &json!([hash])), Value::Null);
    call(port, "anvil_mine", &json!(["0xa"]));
    assert_eq!(call(port, "eth_getTransactionReceipt", &json!([hash]))["status"], "0x1");
    assert_eq!((block(port, "latest"), block(port, "finalized")), (json!("0xa"), json!("0x6")));
}

#[tokio::test]
async fn limits_a_transactions_gas_as_mainnet_does() {
    let over = json!([{"from": FROM, "to": TO, "gas": "0x1000001"}]);
    let chain = Anvil::start(&AnvilOptions::default()).await.unwrap();
    assert!(ask(chain.port(), "eth_sendTransaction", &over).get("error").is_some());
    let options = AnvilOptions { limit_transaction_gas: false, ..AnvilOptions::default() };
    let chain = Anvil::start(&options).await.unwrap();
    call(chain.port(), "eth_sendTransaction", &over);
}

#[tokio::test]
async fn mines_by_itself() {
    for mining in [Mining::Interval(Duration::from_millis(100)), Mining::Mixed(Duration::from_secs(3600))] {
        let chain = Anvil::start(&AnvilOptions { mining, ..AnvilOptions::default() }).await.unwrap();
        let hash = pay(chain.port());
        await_mined(chain.port(), &hash).await;
    }
}

#[tokio::test]
async fn two_chains_run_side_by_side_and_leave_nothing() {
    let (one, two) = (AnvilOptions::default(), AnvilOptions::default());
    let (one, two) = tokio::join!(Anvil::start(&one), Anvil::start(&two));
    let (one, two) = (one.unwrap(), two.unwrap());
    let hash = pay(one.port());
    await_mined(one.port(), &hash).await;
    assert_eq!((block(one.port(), "latest"), block(two.port(), "latest")), (json!("0x1"), json!("0x0")));
    let (pid, log) = (one.pid(), one.log().to_owned());
    one.stop().await;
    await_end(pid);
    assert!(!log.parent().unwrap().exists());
}

#[tokio::test]
async fn a_kept_chain_is_found_again_after_stop_and_after_its_owners_death() {
    let dir = tempfile::tempdir().unwrap();
    let chain = Anvil::start(&kept(dir.path())).await.unwrap();
    let first = pay(chain.port());
    await_mined(chain.port(), &first).await;
    chain.stop().await;

    for signal in ["KILL", "INT"] {
        let mut holder = Holder::start(dir.path());
        let pid = holder.next().parse().unwrap();
        let second = holder.next();
        holder.kill(signal);
        // At once: the old anvil may still be writing its state.
        let chain = Anvil::start(&kept(dir.path())).await.unwrap();
        await_end(pid);
        for hash in [&first, &second] {
            assert_eq!(call(chain.port(), "eth_getTransactionReceipt", &json!([hash]))["status"], "0x1");
        }
        chain.stop().await;
    }
    let chain = Anvil::start(&kept(dir.path())).await.unwrap();
    assert_eq!(call(chain.port(), "eth_getBalance", &json!([TO, "latest"])), "0x15");
}

#[tokio::test]
async fn a_kept_chain_has_one_owner_and_a_taken_port_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let chain = Anvil::start(&kept(dir.path())).await.unwrap();
    let error = Anvil::start(&kept(dir.path())).await.unwrap_err();
    let Error::InUse { owner, url, .. } = error else { panic!("{error}") };
    assert_eq!((owner, url), (std::process::id(), chain.url()));

    let taken = AnvilOptions { port: Some(chain.port()), ..AnvilOptions::default() };
    let error = Anvil::start(&taken).await.unwrap_err().to_string();
    assert!(error.contains("in use"), "{error}");
}

#[tokio::test]
async fn a_thrown_away_chain_dies_with_a_crash() {
    let chain = Anvil::start(&AnvilOptions::default()).await.unwrap();
    let pid = chain.pid();
    chain.crash().await;
    await_end(pid);
}
