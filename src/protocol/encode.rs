//! The bytes of an answer.

use serde_json::value::RawValue;

use super::answer::{Answer, FailedRow, RowOutcome, SubscribeRow};
use super::json::{ObjectWriter, push_escaped};
use super::reject::Reject;
use crate::topic::{BrokerName, Instrument};

/// Bytes that an answer without rows takes, roughly.
const ANSWER_BYTES: usize = 256;

/// Bytes that a row takes, roughly.
const ROW_BYTES: usize = 128;

impl Answer {
    /// The answer as JSON text, with the client's `request_id` if it gave one.
    #[must_use]
    pub fn to_json(&self, request_id: Option<&RawValue>) -> Vec<u8> {
        let mut json = Vec::with_capacity(ANSWER_BYTES + ROW_BYTES * self.row_count());
        let mut object = ObjectWriter::new(&mut json);
        match self {
            Self::Authenticated { broker, user } => {
                success(&mut object, "auth")
                    .text("message", "Authentication successful")
                    .text("broker", broker.as_str())
                    .text("user_id", user.as_str())
                    .raw("supported_features", r#"{"ltp":true,"quote":true,"depth":true}"#);
            }
            Self::Subscribed { rows, broker } => write_subscribed(&mut object, rows, broker),
            Self::Unsubscribed { successful, failed, broker } => {
                write_unsubscribed(&mut object, successful, failed, broker);
            }
            Self::SubscribedOrders => {
                success(&mut object, "subscribe_orders")
                    .text("message", "Subscribed to order updates");
            }
            Self::UnsubscribedOrders => {
                success(&mut object, "unsubscribe_orders")
                    .text("message", "Unsubscribed from order updates");
            }
            Self::BrokerInfo { broker, adapter_status, user } => {
                success(&mut object, "broker_info")
                    .text("broker", broker.as_str())
                    .text("adapter_status", adapter_status)
                    .text("user_id", user.as_str());
            }
            Self::SupportedBrokers { brokers } => {
                success(&mut object, "supported_brokers")
                    .array("brokers", brokers, |out, broker| {
                        out.push(b'"');
                        push_escaped(out, broker.as_str());
                        out.push(b'"');
                    })
                    .number("count", brokers.len() as u64);
            }
            Self::Pong { server_timestamp_ms, timestamp, ping_id } => {
                success(&mut object, "pong")
                    .number("server_timestamp", *server_timestamp_ms)
                    .echo("client_timestamp", timestamp.as_deref())
                    .echo("_pingId", ping_id.as_deref());
            }
            Self::Admin(answer) => answer.write(&mut object),
            Self::Rejected(reject) => {
                object.text("type", "error").text("status", "error");
                write_reject(&mut object, reject);
            }
        }
        object.echo("request_id", request_id).end();
        json
    }

    const fn row_count(&self) -> usize {
        match self {
            Self::Subscribed { rows, .. } => rows.len(),
            Self::Unsubscribed { successful, failed, .. } => successful.len() + failed.len(),
            Self::Admin(answer) => answer.row_count(),
            Self::Authenticated { .. }
            | Self::SubscribedOrders
            | Self::UnsubscribedOrders
            | Self::BrokerInfo { .. }
            | Self::SupportedBrokers { .. }
            | Self::Pong { .. }
            | Self::Rejected(_) => 0,
        }
    }
}

fn success<'w, 'a>(object: &'w mut ObjectWriter<'a>, kind: &str) -> &'w mut ObjectWriter<'a> {
    object.text("type", kind).text("status", "success")
}

fn write_reject(object: &mut ObjectWriter<'_>, reject: &Reject) {
    object.text("code", reject.code.as_str()).text("message", &reject.message);
    if let Some(ms) = reject.retry_after_ms {
        object.number("retry_after_ms", ms);
    }
}

fn write_subscribed(object: &mut ObjectWriter<'_>, rows: &[SubscribeRow], broker: &BrokerName) {
    let failed = rows.iter().any(|row| matches!(row.outcome, RowOutcome::Failed(_)));
    object
        .text("type", "subscribe")
        .text("status", if failed { "partial" } else { "success" })
        .array("subscriptions", rows, |out, row| write_row(out, row, broker))
        .text("message", "Subscription processing complete")
        .text("broker", broker.as_str());
}

fn write_row(out: &mut Vec<u8>, row: &SubscribeRow, broker: &BrokerName) {
    let mut object = ObjectWriter::new(out);
    object.text("symbol", &row.symbol).text("exchange", &row.exchange);
    match &row.outcome {
        RowOutcome::Success { mode, depth, interval_ms } => {
            object
                .text("status", "success")
                .text("mode", mode.label())
                .number("depth", (*depth).into());
            if *interval_ms > 0 {
                object.number("interval_ms", *interval_ms);
            }
        }
        RowOutcome::AlreadySubscribed { mode, depth } => {
            object
                .text("status", "warning")
                .text("message", "Already subscribed")
                .text("mode", mode.label())
                .number("depth", (*depth).into());
        }
        RowOutcome::Failed(reject) => {
            object.text("status", "error");
            write_reject(&mut object, reject);
        }
    }
    object.text("broker", broker.as_str()).end();
}

fn write_unsubscribed(
    object: &mut ObjectWriter<'_>,
    successful: &[Instrument],
    failed: &[FailedRow],
    broker: &BrokerName,
) {
    let status = match (successful, failed) {
        (_, []) => "success",
        ([], _) => "error",
        _ => "partial",
    };
    object
        .text("type", "unsubscribe")
        .text("status", status)
        .text("message", "Unsubscription processing complete")
        .array("successful", successful, |out, instrument| {
            ObjectWriter::new(out)
                .text("symbol", &instrument.symbol)
                .text("exchange", &instrument.exchange)
                .text("status", "success")
                .text("broker", broker.as_str())
                .end();
        })
        .array("failed", failed, |out, row| {
            let mut object = ObjectWriter::new(out);
            object
                .text("symbol", &row.symbol)
                .text("exchange", &row.exchange)
                .text("status", "error");
            write_reject(&mut object, &row.reject);
            object.text("broker", broker.as_str()).end();
        })
        .text("broker", broker.as_str());
}
