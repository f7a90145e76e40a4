//! The gateway on real sockets, as its clients see it.

mod common;

use common::{Client, TestGateway};

#[tokio::test]
async fn a_client_authenticates_subscribes_and_sees_prices() {
    let gateway = TestGateway::start().await;
    let mut client = Client::connect(&gateway).await;
    let answer = client.ask(r#"{"action":"authenticate","api_key":"alice-key"}"#).await;
    assert_eq!((&answer["type"], &answer["status"]), (&"auth".into(), &"success".into()));

    let answer = client
        .ask(r#"{"action":"subscribe","symbols":[{"symbol":"TCS","exchange":"NSE"}],"mode":"LTP","request_id":7}"#)
        .await;
    assert_eq!(answer["subscriptions"][0]["status"], "success", "{answer}");
    assert_eq!(answer["request_id"], 7);

    let tick = client.next().await;
    assert_eq!((&tick["type"], &tick["mode"]), (&"market_data".into(), &1.into()), "{tick}");
    assert!(tick["data"]["ltp"].is_number(), "{tick}");
    gateway.stop().await;
}

#[tokio::test]
async fn a_stopped_gateway_leaves_no_task_behind() {
    let gateway = TestGateway::start().await;
    let mut client = Client::connect(&gateway).await;
    client.ask(r#"{"action":"authenticate","api_key":"alice-key"}"#).await;
    let runtime = gateway.runtime.clone();
    let stop = gateway.stop();
    let (close, ()) = tokio::join!(client.closed(), stop);
    assert_eq!(close, Some(1012));
    for _ in 0..100 {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        if runtime_tasks(&runtime) == 0 {
            return;
        }
    }
    panic!("tasks are left: {:?}", tickgate::runtime::Runtime::tasks(&runtime).counts());
}

fn runtime_tasks(runtime: &tickgate::runtime::TokioRuntime) -> usize {
    tickgate::runtime::Runtime::tasks(runtime).total()
}
