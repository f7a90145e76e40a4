//! Every row of `tests/malformed/requests.jsonl` against a gateway on real sockets: the
//! documented answer, and the connection lives on where the protocol says so.

use serde_json::Value;
use tokio::io::AsyncWriteExt;

use crate::common::malformed::{self, Case, Expected, State};
use crate::common::{Client, TestGateway};

#[tokio::test]
async fn every_malformed_request_gets_its_documented_answer() {
    let gateway = TestGateway::start_with(|config| {
        // A market that hardly moves, so that what is read is answers.
        let mut paper = tickgate::config::BrokerEntry::paper();
        paper.ticks_per_second = Some(0.01);
        config.brokers = vec![paper];
    })
    .await;
    let cases = malformed::cases();
    assert!(cases.len() >= 60, "{} cases", cases.len());
    let mut failures = Vec::new();
    for case in &cases {
        if let Err(failure) = try_case(&gateway, case).await {
            failures.push(format!("{}: {failure}", case.name));
        }
    }
    assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), cases.len(), failures.join("\n"));
    gateway
        .wait_until(|status| {
            status["clients"]["total"] == 0
                && status["topics_total"] == 0
                && status["users_total"] == 0
        })
        .await;
    gateway.stop().await;
}

async fn try_case(gateway: &TestGateway, case: &Case) -> Result<(), String> {
    let mut client = Client::connect(gateway).await;
    match case.state {
        State::Before => {}
        State::After => client.enter("alice-key").await,
    }
    client.0.get_mut().write_all(&case.wire()).await.map_err(|error| error.to_string())?;
    let result = match &case.expected {
        Expected::Close(code) => match client.closed().await {
            Some(closed) if closed == *code => Ok(()),
            other => Err(format!("closed with {other:?} instead of {code}")),
        },
        Expected::Nothing => Ok(()),
        Expected::Error(_) | Expected::Row(_) | Expected::Answer(_) => {
            let answer = answer(&mut client).await;
            judge(case, &answer).map_err(|why| format!("{why}: {answer}"))
        }
    };
    if result.is_ok() && !matches!(case.expected, Expected::Close(_)) {
        let pong = client.ask(r#"{"action":"ping","_pingId":"alive"}"#).await;
        if pong["_pingId"] != "alive" {
            return Err(format!("the connection does not live on: {pong}"));
        }
    }
    result
}

/// The next message that is not a tick.
async fn answer(client: &mut Client) -> Value {
    loop {
        let message = client.next().await;
        if message["type"] != "market_data" {
            return message;
        }
    }
}

fn judge(case: &Case, answer: &Value) -> Result<(), &'static str> {
    let refused = match &case.expected {
        Expected::Error(code) => {
            if answer["status"] != "error" || answer["type"] != "error" {
                return Err("is not refused");
            }
            if answer["code"] != code.as_str() {
                return Err("has another code");
            }
            answer
        }
        Expected::Row(code) => {
            let rows = [&answer["subscriptions"], &answer["failed"]];
            let mut rows = rows.into_iter().filter_map(Value::as_array).flatten();
            let failed = rows.find(|row| row["status"] == "error").ok_or("has no failed row")?;
            if failed["code"] != code.as_str() {
                return Err("has another code in its row");
            }
            failed
        }
        Expected::Answer(kind) => {
            if answer["type"] != kind.as_str() {
                return Err("has another type");
            }
            answer
        }
        Expected::Nothing | Expected::Close(_) => return Ok(()),
    };
    if case.message.as_ref().is_some_and(|message| refused["message"] != message.as_str()) {
        return Err("has another message");
    }
    if let Some(expected) = &case.request_id {
        let text = || Value::String(expected.clone());
        let expected: Value = serde_json::from_str(expected).unwrap_or_else(|_| text());
        if answer["request_id"] != expected {
            return Err("has another request_id");
        }
    }
    Ok(())
}
