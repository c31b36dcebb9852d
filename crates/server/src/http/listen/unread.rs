//! A connection whose other end must read what is written to it. An answer that nobody takes would stay in memory for as long
//! as the other end likes: the time of a request ends with its handler.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// How slowly what is written may be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// In so long …
    pub(super) every: Duration,
    /// … so many bytes, unless there are no more.
    pub(super) bytes: usize,
}

/// A connection that fails when what is written to it is read more slowly than that.
#[derive(Debug)]
pub(super) struct Unread<S> {
    stream: S,
    pace: Pace,
    /// Bytes since the writer began to wait, and until when there must be enough of them; none while nobody waits.
    waiting: Option<(usize, Pin<Box<Sleep>>)>,
}

impl<S> Unread<S> {
    pub(super) fn new(stream: S, pace: Pace) -> Self {
        Self { stream, pace, waiting: None }
    }

    /// What came of a write.
    fn wrote(
        &mut self,
        context: &mut Context<'_>,
        wrote: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(wrote) = wrote {
            if let (Ok(wrote), Some((bytes, _))) = (&wrote, &mut self.waiting) {
                *bytes += *wrote;
            }
            return Poll::Ready(wrote);
        }
        let every = self.pace.every;
        let (bytes, until) = self.waiting.get_or_insert_with(|| (0, Box::pin(sleep(every))));
        loop {
            ready!(until.as_mut().poll(context));
            if *bytes < self.pace.bytes {
                let slow = "what was written is not read";
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, slow)));
            }
            *bytes = 0;
            until.as_mut().reset(Instant::now() + every);
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Unread<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Unread<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.wrote(context, wrote)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.wrote(context, wrote)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// Whoever flushes has written everything: nothing waits to be read but what the system holds.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.waiting = None;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
