//! As much of an HTTP client as an operator needs.

use std::io;
use std::time::Duration;

use tickgate::runtime::Runtime;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

/// Longest answer that is read, in bytes.
const ANSWER_BYTES_MAX: u64 = 16 * 1_024 * 1_024;
/// Patience with one request.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks for a page; gives its status code and body.
///
/// # Errors
///
/// Fails if nobody listens, the answer takes longer than 5 s or is no HTTP.
pub async fn get<R: Runtime>(runtime: &R, addr: &str, path: &str) -> io::Result<(u16, Vec<u8>)> {
    timeout(PATIENCE, fetch(runtime, addr, path))
        .await
        .unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "no answer within 5 s")))
}

async fn fetch<R: Runtime>(runtime: &R, addr: &str, path: &str) -> io::Result<(u16, Vec<u8>)> {
    let mut stream = runtime.connect(addr).await?;
    // The admin port answers to loopback names only; an operator comes through a tunnel.
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await?;
    split(&answer).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no HTTP answer"))
}

/// Takes an answer with a `Content-Length` (or none) apart.
fn split(answer: &[u8]) -> Option<(u16, Vec<u8>)> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).ok()?;
    let mut lines = head.split("\r\n");
    let code = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let mut length = None;
    for line in lines {
        let (name, value) = line.split_once(':')?;
        if name.eq_ignore_ascii_case("transfer-encoding") {
            return None;
        }
        if name.eq_ignore_ascii_case("content-length") {
            length = Some(value.trim().parse::<usize>().ok()?);
        }
    }
    let body = &answer[end + 4..];
    (length.unwrap_or(body.len()) == body.len()).then(|| (code, body.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn an_answer_is_taken_apart_and_a_short_one_refused() {
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
        assert_eq!(split(answer), Some((200, b"{}".to_vec())));
        assert_eq!(split(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n{}"), None);
        assert_eq!(split(b"nonsense"), None);
    }
}
