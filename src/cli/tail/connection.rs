//! A client's connection to a gateway.

use std::io;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{self, Bytes, Utf8Bytes, protocol};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::message::{Message, parse, printable};
use super::tls::Security;
use super::url::Url;
use crate::runtime::Runtime;
use crate::server::MaybeTls;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const UPGRADE_TIMEOUT: Duration = Duration::from_secs(10);
/// Longer than a gateway lets its broker take.
const AUTHENTICATE_TIMEOUT: Duration = Duration::from_secs(30);
const SEND_TIMEOUT: Duration = Duration::from_secs(10);
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
const READ_BUFFER_BYTES: usize = 16 * 1_024;

/// Why a connection could not be had, or was lost.
#[derive(Debug)]
pub enum Trouble {
    /// Trying again would end the same.
    Lasting(String),
    /// It may go well the next time.
    Passing(String),
    /// Nobody reads what we show.
    Output(io::Error),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

/// What came in.
#[derive(Debug)]
pub enum Heard {
    /// A message.
    Text(Utf8Bytes),
    /// A sign of life.
    Alive,
}

/// A WebSocket to a gateway.
#[derive(Debug)]
pub struct Connection<S> {
    socket: WebSocketStream<MaybeTls<S>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Connects, with TLS if the URL says so, and upgrades.
    ///
    /// # Errors
    ///
    /// Says in one sentence what stands in the way.
    pub async fn open<R: Runtime<Stream = S>>(
        runtime: &R,
        url: &Url,
        security: &Security,
    ) -> Result<Self, Trouble> {
        let address = url.address.to_string();
        let stream = match timeout(CONNECT_TIMEOUT, runtime.connect(&address)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(Trouble::Passing(not_connected(&address, &error))),
            Err(_) => return Err(Trouble::Passing(silent(&address, CONNECT_TIMEOUT))),
        };
        let stream = match timeout(UPGRADE_TIMEOUT, security.secure(url, stream)).await {
            Ok(secured) => secured?,
            Err(_) => return Err(Trouble::Passing(silent(&address, UPGRADE_TIMEOUT))),
        };
        let mut config = WebSocketConfig::default();
        config.read_buffer_size = READ_BUFFER_BYTES;
        let upgrade = client_async_with_config(url.text.as_str(), stream, Some(config));
        match timeout(UPGRADE_TIMEOUT, upgrade).await {
            Ok(Ok((socket, _))) => Ok(Self { socket }),
            Ok(Err(error)) => Err(not_upgraded(&address, error)),
            Err(_) => Err(Trouble::Passing(silent(&address, UPGRADE_TIMEOUT))),
        }
    }

    /// Logs in, and returns as whom and on which broker.
    ///
    /// # Errors
    ///
    /// Lasting if the key is wrong.
    pub async fn authenticate(&mut self, key: &str) -> Result<(String, String), Trouble> {
        self.send(&json!({"action": "authenticate", "api_key": key})).await?;
        let answer = timeout(AUTHENTICATE_TIMEOUT, self.authenticated()).await;
        answer.unwrap_or_else(|_| {
            let waited = AUTHENTICATE_TIMEOUT.as_secs();
            Err(Trouble::Passing(format!(
                "the gateway did not answer the log-in within {waited} s"
            )))
        })
    }

    async fn authenticated(&mut self) -> Result<(String, String), Trouble> {
        loop {
            let Heard::Text(text) = self.next().await? else { continue };
            match parse(&text) {
                Some(Message::Authenticated { user, broker }) => return Ok((user, broker)),
                Some(Message::Refused { code, message }) if code == "AUTHENTICATION_ERROR" => {
                    return Err(Trouble::Lasting(format!(
                        "the gateway refused the key ({message}); give another with --key or \
                         TICKGATE_KEY, or make one with `tickgate keys new USER`"
                    )));
                }
                Some(Message::Refused { code, message }) => {
                    return Err(Trouble::Passing(format!(
                        "the gateway refused the log-in: {code}: {message}"
                    )));
                }
                Some(_) | None => {}
            }
        }
    }

    /// Sends a request.
    ///
    /// # Errors
    ///
    /// Fails if the connection is lost or the gateway does not read.
    pub async fn send(&mut self, request: &Value) -> Result<(), Trouble> {
        self.send_frame(protocol::Message::text(request.to_string())).await
    }

    /// Asks for a sign of life.
    ///
    /// # Errors
    ///
    /// As [`Connection::send`].
    pub async fn ping(&mut self) -> Result<(), Trouble> {
        self.send_frame(protocol::Message::Ping(Bytes::new())).await
    }

    async fn send_frame(&mut self, frame: protocol::Message) -> Result<(), Trouble> {
        match timeout(SEND_TIMEOUT, self.socket.send(frame)).await {
            Ok(result) => result.map_err(lost),
            Err(_) => Err(Trouble::Passing("the gateway stopped reading".into())),
        }
    }

    /// Waits for what comes next. Cancel-safe.
    ///
    /// # Errors
    ///
    /// Fails if the connection is lost or closed.
    pub async fn next(&mut self) -> Result<Heard, Trouble> {
        match self.socket.next().await {
            Some(Ok(protocol::Message::Text(text))) => Ok(Heard::Text(text)),
            Some(Ok(protocol::Message::Binary(bytes))) => {
                Ok(Utf8Bytes::try_from(bytes).map_or(Heard::Alive, Heard::Text))
            }
            Some(Ok(protocol::Message::Close(frame))) => Err(closed(frame)),
            Some(Ok(
                protocol::Message::Ping(_)
                | protocol::Message::Pong(_)
                | protocol::Message::Frame(_),
            )) => Ok(Heard::Alive),
            Some(Err(error)) => Err(lost(error)),
            None => Err(closed(None)),
        }
    }

    /// Says goodbye, as far as there is time to.
    pub async fn close(mut self) {
        let _ = timeout(CLOSE_TIMEOUT, self.socket.close(None)).await;
    }
}

fn not_connected(address: &str, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            format!("nothing listens on {address}: start the gateway with `tickgate serve`")
        }
        _ => format!("{address} cannot be reached: {error}"),
    }
}

fn silent(address: &str, waited: Duration) -> String {
    format!("{address} did not answer within {} s", waited.as_secs())
}

fn not_upgraded(address: &str, error: tungstenite::Error) -> Trouble {
    match error {
        tungstenite::Error::Http(response) => {
            let status = response.status();
            match status.as_u16() {
                503 => Trouble::Passing(format!("the gateway on {address} is full (HTTP 503)")),
                // Too many come from here; or a proxy, behind which the gateway starts again.
                429 | 502 | 504 => {
                    Trouble::Passing(format!("{address} has no WebSocket now: HTTP {status}"))
                }
                _ => Trouble::Lasting(format!("{address} refused the WebSocket: HTTP {status}")),
            }
        }
        tungstenite::Error::Io(error) => {
            Trouble::Passing(format!("{address} closed the connection: {error}"))
        }
        // What forwards a port takes the connection before it knows that nobody is there.
        tungstenite::Error::Protocol(ProtocolError::HandshakeIncomplete) => {
            Trouble::Passing(format!("{address} closed the connection before it was a WebSocket"))
        }
        error => Trouble::Lasting(format!("{address} is not a WebSocket server: {error}")),
    }
}

fn lost(error: tungstenite::Error) -> Trouble {
    match error {
        tungstenite::Error::ConnectionClosed | tungstenite::Error::AlreadyClosed => closed(None),
        error => Trouble::Passing(format!("the connection was lost ({error})")),
    }
}

fn closed(frame: Option<protocol::CloseFrame>) -> Trouble {
    let Some(frame) = frame else {
        return Trouble::Passing("the gateway closed the connection".into());
    };
    let code = u16::from(frame.code);
    let reason = printable(&frame.reason);
    let sentence = match &*reason {
        "" => format!("the gateway closed the connection ({code})"),
        reason => format!("the gateway closed the connection ({code} {reason})"),
    };
    // 1008: turned away at the door. 4403: removed by an administrator.
    match frame.code {
        CloseCode::Policy => Trouble::Lasting(sentence),
        _ if code == 4403 => Trouble::Lasting(sentence),
        _ => Trouble::Passing(sentence),
    }
}

#[cfg(test)]
mod tests {
    use tokio_tungstenite::tungstenite::http::Response;

    use super::*;

    /// Whether it is worth while to try again, and what is said.
    fn told(error: tungstenite::Error) -> (bool, String) {
        match not_upgraded("gateway:8765", error) {
            Trouble::Passing(sentence) => (true, sentence),
            Trouble::Lasting(sentence) => (false, sentence),
            Trouble::Output(error) => panic!("{error}"),
        }
    }

    #[test]
    fn what_a_proxy_says_while_the_gateway_is_away_passes() {
        let statuses = [(400, false), (403, false), (429, true), (502, true), (503, true)];
        for (status, passes) in statuses.into_iter().chain([(504, true), (404, false)]) {
            let response = Response::builder().status(status).body(None).expect("a response");
            let (again, sentence) = told(tungstenite::Error::Http(Box::new(response)));
            assert_eq!(again, passes, "{sentence}");
            assert!(sentence.contains(&status.to_string()), "{sentence}");
        }
    }

    #[test]
    fn a_connection_that_ends_before_the_upgrade_passes() {
        let (again, sentence) = told(ProtocolError::HandshakeIncomplete.into());
        assert!(again, "{sentence}");
        let (again, sentence) = told(ProtocolError::WrongHttpVersion.into());
        assert!(!again && sentence.contains("is not a WebSocket server"), "{sentence}");
    }
}
