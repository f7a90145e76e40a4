//! A gateway's answers as people read them.

use serde_json::Value;

use crate::runtime::calendar;

/// A sentence, or a table.
pub(super) fn table(answer: &Value) -> String {
    let word = |name: &str| text(&answer[name]);
    let closed = || match answer["closed"].as_u64() {
        Some(1) => "1 client is closed".to_owned(),
        Some(count) => format!("{count} clients are closed"),
        None => "its clients are closed".to_owned(),
    };
    match answer["command"].as_str().unwrap_or_default() {
        "list_clients" => clients(answer),
        "list_blocks" => blocks(answer),
        "block" => {
            let time = match answer["for_ms"].as_u64() {
                Some(ms) => format!("for {}", lasting(ms)),
                None => "until it is unblocked".to_owned(),
            };
            format!("{} is blocked {time}; {}\n", word("network"), closed())
        }
        "unblock" => format!("{} is unblocked\n", word("network")),
        "remove_user" => {
            let time = match answer["for_ms"].as_u64() {
                Some(0) => format!("; {} may come in", word("user")),
                Some(ms) => {
                    let (user, time) = (word("user"), lasting(ms));
                    format!("; {user} is refused for {time}, unless as a super_admin")
                }
                None => String::new(),
            };
            format!("{} of {}{time}\n", closed(), word("user"))
        }
        "close_client" => format!("client {} is closed\n", word("client")),
        "broadcast" => match answer["reached"].as_u64() {
            Some(1) => "1 client was told\n".to_owned(),
            _ => format!("{} clients were told\n", word("reached")),
        },
        "log_level" => format!("the log follows {}; before, {}\n", word("level"), word("before")),
        _ => format!("{answer}\n"),
    }
}

fn clients(answer: &Value) -> String {
    let rows = list(answer, "clients").iter().map(|row| {
        let since = row["since"].as_u64().map_or_else(|| "-".to_owned(), calendar::utc_ms);
        let cell = |name: &str| text(&row[name]);
        [cell("client"), cell("user"), cell("role"), cell("address"), since, cell("topics")]
    });
    let header = ["CLIENT", "USER", "ROLE", "ADDRESS", "SINCE", "TOPICS"];
    laid_out(header, rows.collect(), answer, "no client matches")
}

fn blocks(answer: &Value) -> String {
    let rows = list(answer, "blocks").iter().map(|row| {
        let left = row["left_ms"].as_u64().map_or_else(|| "unblocked".to_owned(), lasting);
        [text(&row["network"]), left, text(&row["by"]), text(&row["reason"])]
    });
    laid_out(["NETWORK", "UNTIL", "BY", "REASON"], rows.collect(), answer, "nothing is blocked")
}

fn list<'a>(answer: &'a Value, name: &str) -> &'a [Value] {
    answer[name].as_array().map_or(&[], Vec::as_slice)
}

/// A table, and how many rows there would be if not all are shown.
fn laid_out<const N: usize>(
    header: [&str; N],
    rows: Vec<[String; N]>,
    answer: &Value,
    nothing: &str,
) -> String {
    let total = answer["total"].as_u64().unwrap_or_default();
    if total == 0 {
        return format!("{nothing}\n");
    }
    let shown = rows.len() as u64;
    let rows: Vec<_> = std::iter::once(header.map(str::to_owned)).chain(rows).collect();
    let width =
        |at: usize| rows.iter().map(|row| console::measure_text_width(&row[at])).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    let mut table = String::new();
    for row in &rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| {
            console::pad_str(cell, *width, console::Alignment::Left, None).into_owned()
        });
        table.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        table.push('\n');
    }
    if shown < total {
        table.push_str(&format!("{shown} of {total}\n"));
    }
    table
}

/// A cell. What a name holds must not move the cursor.
fn text(value: &Value) -> String {
    let text = match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    };
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// Milliseconds in the largest unit that fits, rounded up.
fn lasting(ms: u64) -> String {
    for (unit_ms, unit) in [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m")] {
        if ms >= unit_ms && (ms.is_multiple_of(unit_ms) || ms >= 2 * unit_ms) {
            return format!("{}{unit}", ms.div_ceil(unit_ms));
        }
    }
    format!("{}s", ms.div_ceil(1_000))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_answer_can_be_read() {
        let answers = [
            json!({"command": "list_clients", "total": 5, "clients": [
                {"client": 7, "user": "alice\u{1b}[2J", "role": "trader", "address": "10.0.0.1",
                 "since": 1_795_246_200_123_u64, "topics": 3},
                {"client": 12, "role": "anonymous", "since": 0, "topics": 0},
            ]}),
            json!({"command": "list_clients", "total": 0, "clients": []}),
            json!({"command": "block", "network": "10.0.0.0/8", "closed": 1, "for_ms": 7_200_000}),
            json!({"command": "block", "network": "10.0.0.1/32", "closed": 0}),
            json!({"command": "unblock", "network": "10.0.0.0/8"}),
            json!({"command": "list_blocks", "total": 2, "blocks": [
                {"network": "10.0.0.0/8", "by": "administrator", "reason": "too loud"},
                {"network": "2001:db8::/64", "left_ms": 59_001, "by": "conduct"},
            ]}),
            json!({"command": "list_blocks", "total": 0, "blocks": []}),
            json!({"command": "remove_user", "user": "alice", "closed": 2}),
            json!({"command": "remove_user", "user": "alice", "closed": 1, "for_ms": 90_000}),
            json!({"command": "remove_user", "user": "alice", "closed": 0, "for_ms": 0}),
            json!({"command": "close_client", "client": 7}),
            json!({"command": "broadcast", "reached": 12}),
            json!({"command": "log_level", "level": "debug", "before": "info"}),
        ];
        let shown: String = answers.iter().map(|answer| format!("{}\n", table(answer))).collect();
        insta::assert_snapshot!(shown);
    }
}
