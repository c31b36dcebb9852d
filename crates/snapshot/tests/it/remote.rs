//! Lists at the address of a web server, which runs here.

use crate::common::{Random, base_units, build_from, list};
use sluice_snapshot::list::{Input, ListError, SourceError};
use sluice_snapshot::{BuildError, build};
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;

/// Serves `body` once, to a request whose path ends with `list.csv`; its length is said to be `length`.
fn serve(body: Vec<u8>, length: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let request = lines.next().unwrap().unwrap();
            while lines.next().is_some_and(|line| !line.unwrap().is_empty()) {}
            let found = request.starts_with("GET ") && request.contains("list.csv ");
            let status = if found { "200 OK" } else { "404 Not Found" };
            let length = if found { length } else { 0 };
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nLast-Modified: Sat, 21 Nov 2026 10:00:00 GMT\r\n\
                 Connection: close\r\n\r\n"
            );
            stream.write_all(head.as_bytes()).unwrap();
            if found {
                // The reader may have hung up already.
                let _ = stream.write_all(&body);
            }
        }
    });
    format!("http://{address}")
}

fn fetch(url: &str) -> Result<sluice_snapshot::Report, BuildError> {
    let folder = tempfile::tempdir().unwrap();
    let input = Input::parse(OsStr::new(url)).unwrap();
    build(&base_units(), &input, &folder.path().join("out.snapshot"), &|_| ())
}

#[test]
fn lists_are_built_from_a_web_server() {
    let text = list(&Random(71).rows(60_000));
    let expected = build_from(&text, &base_units()).unwrap().report;
    let plain = text.clone().into_bytes();
    let server = serve(plain.clone(), plain.len());
    assert_eq!(fetch(&format!("{server}/2026/list.csv")).unwrap(), expected);
    let packed = zstd::encode_all(text.as_bytes(), 1).unwrap();
    let server = serve(packed.clone(), packed.len());
    assert_eq!(fetch(&format!("{server}/list.csv")).unwrap(), expected, "compressed");
    let absent = fetch(&format!("{server}/absent.csv")).unwrap_err();
    assert!(matches!(absent, BuildError::List(ListError::Source(SourceError::Io { .. }))), "{absent:?}");
}

/// A connection that breaks at a row's end must not make a shorter list.
#[test]
fn a_broken_connection_is_no_list() {
    let text = list(&Random(72).rows(60_000));
    let cut = text[..text.len() / 2].rfind('\n').unwrap() + 1;
    let server = serve(text.as_bytes()[..cut].to_vec(), text.len());
    let error = fetch(&format!("{server}/list.csv")).unwrap_err();
    assert!(matches!(error, BuildError::List(ListError::Source(SourceError::Io { .. }))), "{error:?}");
}
