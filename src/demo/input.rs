use std::collections::VecDeque;
use std::future::pending;

use bytes::{Buf, Bytes};
use russh::{ChannelMsg, ChannelReadHalf, Sig};
use tokio::io::{AsyncWrite, AsyncWriteExt};

/// How much of a channel's input may wait for a slow reader, bytes. The server gives a channel's window back on arrival, so a
/// reader that waits for its own output to be taken could block both ways if less than the usual amounts in flight were held.
/// Past it the connection itself waits.
const AHEAD: usize = 16 << 20;

/// Copies what the client sends on a channel to `sink` until the channel is closed, which is noticed however slow the sink is.
/// The sink is dropped at the client's EOF or when it takes no more; signals go to `on_signal`.
pub(super) async fn feed(
    mut reader: ChannelReadHalf,
    sink: impl AsyncWrite + Unpin,
    mut on_signal: impl FnMut(&Sig),
) {
    let mut sink = Some(sink);
    let mut ahead: VecDeque<Bytes> = VecDeque::new();
    let (mut held, mut at_end) = (0, false);
    loop {
        tokio::select! {
            message = reader.wait(), if held < AHEAD => match message {
                Some(ChannelMsg::Data { data }) if sink.is_some() => {
                    held += data.len();
                    ahead.push_back(data);
                }
                Some(ChannelMsg::Signal { signal }) => on_signal(&signal),
                Some(ChannelMsg::Eof) => at_end = true,
                Some(ChannelMsg::Close) | None => return,
                Some(_) => {}
            },
            written = write_some(&mut sink, ahead.front()) => match written {
                Some(count) => {
                    held -= count;
                    if let Some(first) = ahead.front_mut() {
                        first.advance(count);
                    }
                    if ahead.front().is_some_and(Bytes::is_empty) {
                        ahead.pop_front();
                    }
                }
                None => {
                    sink = None;
                    ahead.clear();
                    held = 0;
                }
            },
        }
        if at_end && ahead.is_empty() {
            sink = None;
        }
    }
}

/// Bytes that the sink took; `None` if it takes no more. Waits without end while there is nothing to write.
async fn write_some<W: AsyncWrite + Unpin>(sink: &mut Option<W>, data: Option<&Bytes>) -> Option<usize> {
    match (sink, data) {
        (Some(sink), Some(data)) => match sink.write(data).await {
            Ok(count) if count > 0 || data.is_empty() => Some(count),
            _ => None,
        },
        _ => pending().await,
    }
}
