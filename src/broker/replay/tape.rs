//! Reads a recording ahead of its replay, round after round.

use std::io::{Read, Seek};

use tokio::sync::mpsc;

use crate::recording::{End, Next, Reader, Tick};
use crate::runtime::Runtime;

/// The shortest round: a recording of one moment is not repeated without end in the next.
const ROUND_NS_MIN: u64 = 1_000_000;

/// Reads from `from_ns` on, one block after the other, until nobody wants more. Times are made to
/// count from there, and go on in the rounds behind the first.
pub(super) async fn read<R, I>(
    runtime: R,
    mut reader: Reader<I>,
    from_ns: u64,
    repeat: bool,
    out: mpsc::Sender<Vec<Tick>>,
) where
    R: Runtime,
    I: Read + Seek + Send + 'static,
{
    let mut base_ns = 0_u64;
    let mut told = false;
    loop {
        let (back, result) = runtime
            .offload(move || {
                let result = reader.seek(from_ns);
                (reader, result)
            })
            .await;
        reader = back;
        if let Err(error) = result {
            tracing::error!(%error, "the recording cannot be read any more");
            return;
        }
        let mut any = false;
        let end = loop {
            let (back, next) = runtime
                .offload(move || {
                    let next = reader.next_ticks();
                    (reader, next)
                })
                .await;
            reader = back;
            match next {
                Ok(Next::Ticks(mut ticks)) => {
                    any = true;
                    for tick in &mut ticks {
                        tick.at_ns = base_ns.saturating_add(tick.at_ns - from_ns);
                    }
                    if out.send(ticks).await.is_err() {
                        return;
                    }
                }
                Ok(Next::End(end)) => break end,
                Err(error) => {
                    tracing::error!(%error, "the recording cannot be read any more");
                    return;
                }
            }
        };
        if let Some(notice) = end.notice().filter(|_| !std::mem::replace(&mut told, true)) {
            tracing::warn!("{notice}");
        }
        if !any {
            tracing::warn!("there is nothing in the recording from there on");
            return;
        }
        if !repeat {
            return;
        }
        let length_ns = match end {
            End::Whole { length_ns } => length_ns,
            End::Cut { .. } | End::Damaged { .. } => reader.last_ns(),
        };
        let round_ns = length_ns.saturating_sub(from_ns).max(ROUND_NS_MIN);
        base_ns = base_ns.saturating_add(round_ns);
    }
}
