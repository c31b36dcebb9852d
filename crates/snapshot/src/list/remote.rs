//! Lists in object stores, as streams. Large objects are fetched in parts, several at a time and all of the same
//! version; a thread of its own does that, so that whoever reads needs no async runtime.

use crate::limits::{REMOTE_PART_BYTES, REMOTE_PARTS_AHEAD};
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt};
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use url::Url;

/// An object on its way.
#[derive(Debug)]
pub(super) struct Download {
    parts: Receiver<io::Result<Vec<u8>>>,
    part: io::Cursor<Vec<u8>>,
    /// Bytes that are still to come.
    missing: u64,
}

/// Begins to fetch an object, and says how long it is.
pub(super) fn open(url: &Url) -> io::Result<(Download, u64)> {
    // Whoever writes http:// means it; stores refuse it unless told.
    let plain = (url.scheme() == "http").then(|| ("allow_http".to_owned(), "true".to_owned()));
    let (store, path) = object_store::parse_url_opts(url, std::env::vars().chain(plain))?;
    // Web servers answer ranges or not; stores do.
    let in_parts = !url.scheme().starts_with("http");
    download(store.into(), path, in_parts)
}

fn download(store: Arc<dyn ObjectStore>, path: Path, in_parts: bool) -> io::Result<(Download, u64)> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let (sender, parts) = sync_channel(REMOTE_PARTS_AHEAD);
    let (say_length, length) = sync_channel(1);
    std::thread::Builder::new().name("list-download".to_owned()).spawn(move || {
        runtime.block_on(async {
            match begin(store, path, in_parts).await {
                Ok((length, parts)) => {
                    let _ = say_length.send(Ok(length));
                    forward(parts, &sender).await;
                }
                Err(error) => drop(say_length.send(Err(error))),
            }
        });
    })?;
    let length = length.recv().map_err(|_| io::Error::other("the download ended before it began"))??;
    Ok((Download { parts, part: io::Cursor::default(), missing: length }, length))
}

type Parts = BoxStream<'static, object_store::Result<Vec<u8>>>;

/// The object's length and its bytes, in order.
async fn begin(store: Arc<dyn ObjectStore>, path: Path, in_parts: bool) -> io::Result<(u64, Parts)> {
    if in_parts {
        let object = store.head(&path).await?;
        if object.e_tag.is_some() || object.version.is_some() {
            return Ok((object.size, parts(store, object)));
        }
    }
    let object = store.get(&path).await?;
    Ok((object.meta.size, object.into_stream().map_ok(Vec::from).boxed()))
}

fn parts(store: Arc<dyn ObjectStore>, object: ObjectMeta) -> Parts {
    let size = object.size;
    let part = move |begin| {
        let range = begin..size.min(begin + REMOTE_PART_BYTES);
        let options = GetOptions {
            range: Some(GetRange::Bounded(range)),
            // Whoever replaces the object meanwhile must not mix two lists.
            if_match: object.e_tag.clone(),
            version: object.version.clone(),
            ..GetOptions::default()
        };
        let (store, path) = (Arc::clone(&store), object.location.clone());
        tokio::spawn(async move { Ok(store.get_opts(&path, options).await?.bytes().await?.into()) })
    };
    let begins = (0..size.div_ceil(REMOTE_PART_BYTES)).map(|number| number * REMOTE_PART_BYTES);
    let joined =
        |part: Result<object_store::Result<Vec<u8>>, _>| part.unwrap_or_else(|error| Err(join_error(error)));
    stream::iter(begins).map(part).buffered(REMOTE_PARTS_AHEAD).map(joined).boxed()
}

fn join_error(error: tokio::task::JoinError) -> object_store::Error {
    object_store::Error::JoinError { source: error }
}

/// Hands the parts on, until there are no more or nobody reads them.
async fn forward(mut parts: Parts, to: &SyncSender<io::Result<Vec<u8>>>) {
    while let Some(part) = parts.next().await {
        let failed = part.is_err();
        if to.send(part.map_err(io::Error::from)).is_err() || failed {
            return;
        }
    }
}

impl Read for Download {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.part.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            match self.parts.recv() {
                Ok(part) => self.part = io::Cursor::new(part?),
                Err(_) if self.missing > 0 => {
                    let what = format!("the object ended {} bytes before its end", self.missing);
                    return Err(io::Error::other(what));
                }
                Err(_) => return Ok(0),
            }
            let length = self.part.get_ref().len() as u64;
            self.missing = self
                .missing
                .checked_sub(length)
                .ok_or_else(|| io::Error::other("the object is longer than it said"))?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use object_store::memory::InMemory;

    fn fetched(bytes: &[u8], in_parts: bool) -> (u64, Vec<u8>) {
        let store = Arc::new(InMemory::new());
        futures::executor::block_on(store.put(&Path::from("list"), bytes.to_vec().into())).unwrap();
        let (mut download, length) = download(store, Path::from("list"), in_parts).unwrap();
        let mut found = Vec::new();
        download.read_to_end(&mut found).unwrap();
        (length, found)
    }

    #[test]
    fn objects_arrive_whole_and_in_order() {
        let part = usize::try_from(REMOTE_PART_BYTES).unwrap();
        let bytes: Vec<u8> = (0..3 * part + 5).map(|at| u8::try_from(at / 999 % 256).unwrap()).collect();
        for length in [0, 1, part - 1, part, part + 1, bytes.len()] {
            for in_parts in [false, true] {
                let (said, found) = fetched(&bytes[..length], in_parts);
                assert!(said == length as u64 && found == bytes[..length], "{length} {in_parts}");
            }
        }
    }

    #[test]
    fn absent_objects_are_said_so() {
        let error = download(Arc::new(InMemory::new()), Path::from("list"), true).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    /// An object that was replaced between two parts.
    #[test]
    fn two_versions_are_not_mixed() {
        let part = usize::try_from(REMOTE_PART_BYTES).unwrap();
        let store = Arc::new(InMemory::new());
        let put = |byte| {
            let bytes = vec![byte; 20 * part];
            futures::executor::block_on(store.put(&Path::from("list"), bytes.into())).unwrap();
        };
        put(1);
        // Few parts are fetched ahead, so the last ones are not when the second version appears.
        let (mut download, _) = download(store.clone(), Path::from("list"), true).unwrap();
        let mut first = [0; 10];
        download.read_exact(&mut first).unwrap();
        put(2);
        let mut rest = Vec::new();
        assert!(download.read_to_end(&mut rest).is_err(), "two versions were taken for one");
        assert!(rest.iter().all(|&byte| byte == 1));
    }
}
