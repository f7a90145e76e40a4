//! A client's WebSocket: reads and writes without either waiting for the other.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::{Sink as _, Stream as _};
use tickgate::runtime::Runtime;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::http::header::AUTHORIZATION;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

/// tungstenite clears its buffer before each read; a small one costs less.
const READ_BUFFER_BYTES: usize = 1_024;

/// An open connection.
pub(super) struct Connection<R: Runtime> {
    socket: WebSocketStream<R::Stream>,
    unflushed: bool,
}

/// Why there is no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotOpen {
    /// The gateway answered with this HTTP status.
    TurnedAway(u16),
    /// It gave no answer.
    Broken,
}

/// What came from the gateway.
pub(super) enum Heard {
    /// A text message.
    Text(String),
    /// Something that no client expects.
    Strange(String),
    /// The connection is over. With the code of the gateway's close frame, if there was one.
    Over(Option<u16>, String),
}

impl<R: Runtime> Connection<R> {
    /// Connects and upgrades, showing this key if there is one. Has no deadline of its own.
    pub async fn open(
        runtime: &R,
        addr: &str,
        path: &str,
        key: Option<&str>,
    ) -> Result<Self, NotOpen> {
        let stream = runtime.connect(addr).await.map_err(|_| NotOpen::Broken)?;
        let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER_BYTES);
        let request = request(addr, path, key).map_err(|_| NotOpen::Broken)?;
        let opened = client_async_with_config(request, stream, Some(config)).await;
        let (socket, _) = opened.map_err(|error| match error {
            tungstenite::Error::Http(page) => NotOpen::TurnedAway(page.status().as_u16()),
            _ => NotOpen::Broken,
        })?;
        Ok(Self { socket, unflushed: false })
    }

    /// Hands a text over; [`Connection::hear`] writes it out.
    pub async fn say(&mut self, text: String) -> Result<(), String> {
        self.send(Message::text(text)).await
    }

    /// Hands a close frame over.
    pub async fn say_goodbye(&mut self) -> Result<(), String> {
        let frame = CloseFrame { code: 1000.into(), reason: "goodbye".into() };
        self.send(Message::Close(Some(frame))).await
    }

    async fn send(&mut self, message: Message) -> Result<(), String> {
        let mut message = Some(message);
        poll_fn(|cx| {
            let socket = Pin::new(&mut self.socket);
            match socket.poll_ready(cx) {
                Poll::Ready(Ok(())) => {}
                other => return other,
            }
            Poll::Ready(match message.take() {
                Some(message) => Pin::new(&mut self.socket).start_send(message),
                None => Ok(()),
            })
        })
        .await
        .map_err(|error| error.to_string())?;
        self.unflushed = true;
        Ok(())
    }

    /// Waits for the next message, writing out what was handed over. Cancel-safe.
    pub async fn hear(&mut self) -> Heard {
        poll_fn(|cx| self.poll_hear(cx)).await
    }

    fn poll_hear(&mut self, cx: &mut Context<'_>) -> Poll<Heard> {
        loop {
            if self.unflushed {
                match Pin::new(&mut self.socket).poll_flush(cx) {
                    Poll::Ready(Ok(())) => self.unflushed = false,
                    Poll::Ready(Err(error)) => return Poll::Ready(over(&error)),
                    Poll::Pending => {}
                }
            }
            let heard = match Pin::new(&mut self.socket).poll_next(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => Heard::Over(None, "end of stream".into()),
                Poll::Ready(Some(Err(error))) => over(&error),
                Poll::Ready(Some(Ok(message))) => match message {
                    Message::Text(text) => Heard::Text(text.to_string()),
                    Message::Close(Some(frame)) => {
                        Heard::Over(Some(frame.code.into()), frame.reason.to_string())
                    }
                    Message::Close(None) => Heard::Over(None, "close without a code".into()),
                    // The library answers pings; the answer has to be flushed.
                    Message::Ping(_) => {
                        self.unflushed = true;
                        continue;
                    }
                    Message::Pong(_) => continue,
                    Message::Binary(bytes) => {
                        Heard::Strange(format!("binary message of {} bytes", bytes.len()))
                    }
                    Message::Frame(_) => Heard::Strange("raw frame".into()),
                },
            };
            return Poll::Ready(heard);
        }
    }
}

/// An upgrade request.
fn request(addr: &str, path: &str, key: Option<&str>) -> tungstenite::Result<Request> {
    let mut request = format!("ws://{addr}{path}").into_client_request()?;
    if let Some(key) = key {
        let shown = HeaderValue::try_from(format!("Bearer {key}"));
        request.headers_mut().insert(AUTHORIZATION, shown.map_err(tungstenite::http::Error::from)?);
    }
    Ok(request)
}

fn over(error: &tungstenite::Error) -> Heard {
    Heard::Over(None, error.to_string())
}
