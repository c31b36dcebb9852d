//! The private cluster: its life, and what is left of it after each kind of death.

#![allow(clippy::unwrap_used, reason = "a test says what it expects by panicking")]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use common::{FOLDER, Holder, SAYS, await_end};
use sluice_embedded::{Error, Postgres, PostgresOptions};
use sqlx::{Connection, PgConnection};

async fn start(dir: &Path) -> Postgres {
    Postgres::start(dir, &PostgresOptions::default()).await.unwrap()
}

async fn text(url: &str, sql: &'static str) -> String {
    let mut session = PgConnection::connect(url).await.unwrap();
    sqlx::query_scalar(sql).fetch_one(&mut session).await.unwrap()
}

async fn put(url: &str, value: &str) {
    let mut session = PgConnection::connect(url).await.unwrap();
    sqlx::raw_sql("CREATE TABLE IF NOT EXISTS kept (value text)").execute(&mut session).await.unwrap();
    sqlx::query("INSERT INTO kept VALUES ($1)").bind(value).execute(&mut session).await.unwrap();
}

const KEPT: &str = "SELECT string_agg(value, ',' ORDER BY value) FROM kept";

/// Not a test of its own: the others run it as a process to kill.
#[tokio::test]
#[ignore = "run by the other tests, as a process of its own"]
async fn hold() {
    let dir = std::env::var_os(FOLDER).expect("run by the other tests only");
    let cluster = start(Path::new(&dir)).await;
    put(&cluster.url(), "held").await;
    println!("{SAYS}{}", cluster.pid());
    println!("{SAYS}{}", text(&cluster.url(), "SELECT current_setting('data_directory')").await);
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn keeps_its_data_and_its_settings() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = start(dir.path()).await;
    assert_eq!(text(&cluster.url(), "SELECT current_setting('fsync')").await, "on");
    assert_eq!(text(&cluster.url(), "SELECT current_setting('listen_addresses')").await, "");
    let url = cluster.create_database("one").await.unwrap();
    put(&url, "a").await;
    let pid = cluster.pid();
    cluster.stop().await;
    await_end(pid);

    let mut options = PostgresOptions { fsync: false, ..PostgresOptions::default() };
    options.settings.push(("work_mem".to_owned(), "7MB".to_owned()));
    let cluster = Postgres::start(dir.path(), &options).await.unwrap();
    assert_eq!(text(&cluster.url(), "SELECT current_setting('fsync')").await, "off");
    assert_eq!(text(&cluster.url(), "SELECT current_setting('work_mem')").await, "7MB");
    assert_eq!(text(&cluster.url_of("one"), KEPT).await, "a");
    // Asking again creates nothing and drops nothing.
    assert_eq!(cluster.create_database("one").await.unwrap(), url);
    assert_eq!(text(&url, KEPT).await, "a");
    cluster.drop_database("one").await.unwrap();
    assert!(PgConnection::connect(&url).await.is_err());
    assert!(matches!(cluster.create_database("x; drop").await, Err(Error::BadName { .. })));
}

#[tokio::test]
async fn recovers_from_its_own_crash() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = start(dir.path()).await;
    put(&cluster.url(), "before").await;
    // An open session outlives the postmaster for a moment, and must not keep the next start from working.
    let _session = PgConnection::connect(&cluster.url()).await.unwrap();
    cluster.crash().await;
    let cluster = start(dir.path()).await;
    assert_eq!(text(&cluster.url(), KEPT).await, "before");
}

#[tokio::test]
async fn a_killed_owner_takes_its_server_along() {
    for signal in ["KILL", "INT", "TERM"] {
        let dir = tempfile::tempdir().unwrap();
        let mut holder = Holder::start(dir.path());
        let server = holder.next().parse().unwrap();
        holder.kill(signal);
        await_end(server);
        assert_eq!(text(&start(dir.path()).await.url(), KEPT).await, "held");
    }
}

#[tokio::test]
async fn is_found_again_while_the_old_server_still_stops() {
    let dir = tempfile::tempdir().unwrap();
    let mut holder = Holder::start(dir.path());
    let server: u32 = holder.next().parse().unwrap();
    // A stopped postmaster cannot react to its owner's death, so the next owner has to end it.
    assert!(Command::new("kill").args(["-STOP", &server.to_string()]).status().unwrap().success());
    holder.kill("KILL");
    let next = tokio::spawn({
        let dir = dir.path().to_owned();
        async move { start(&dir).await }
    });
    assert!(Command::new("kill").args(["-CONT", &server.to_string()]).status().unwrap().success());
    assert_eq!(text(&next.await.unwrap().url(), KEPT).await, "held");
    await_end(server);
}

#[tokio::test]
async fn a_stale_pid_file_of_a_living_process_is_no_obstacle() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = start(dir.path()).await;
    let data = cluster.dir().join("data");
    cluster.stop().await;
    // A reused process id: here this test's own, whose account PostgreSQL may share.
    fs::write(data.join("postmaster.pid"), format!("{}\n{}\n0\n5432\n", std::process::id(), data.display()))
        .unwrap();
    assert_eq!(text(&start(dir.path()).await.url(), "SELECT 'up'").await, "up");
}

#[tokio::test]
async fn a_second_owner_is_told_who_is_first() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = start(dir.path()).await;
    let error = Postgres::start(dir.path(), &PostgresOptions::default()).await.unwrap_err();
    let Error::InUse { owner, url, .. } = error else { panic!("{error}") };
    assert_eq!((owner, url.as_str()), (std::process::id(), cluster.url().as_str()));
    assert_eq!(text(&url, "SELECT 'first'").await, "first");
}

#[tokio::test]
async fn a_folder_of_something_else_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("thesis.txt"), "years").unwrap();
    let mode = fs::metadata(dir.path()).unwrap().permissions().mode();
    let error = Postgres::start(dir.path(), &PostgresOptions::default()).await.unwrap_err();
    assert!(error.to_string().contains("holds no cluster of ours"), "{error}");
    assert_eq!(fs::metadata(dir.path()).unwrap().permissions().mode(), mode);
}

#[tokio::test]
async fn a_path_too_long_for_a_socket_works() {
    let dir = tempfile::Builder::new().prefix(&"long".repeat(30)).tempdir().unwrap();
    let cluster = start(dir.path()).await;
    assert_eq!(text(&cluster.url(), "SELECT 'up'").await, "up");
    assert_eq!(cluster.dir(), dir.path().canonicalize().unwrap());
    // Its socket lies elsewhere, and goes with it.
    let socket = text(&cluster.url(), "SELECT current_setting('unix_socket_directories')").await;
    assert!(Path::new(&socket).is_dir() && !Path::new(&socket).starts_with(cluster.dir()));
    cluster.stop().await;
    assert!(!Path::new(&socket).exists());
}

#[tokio::test]
async fn a_broken_setting_is_reported_with_the_servers_words() {
    let dir = tempfile::tempdir().unwrap();
    let settings = vec![("shared_buffers".to_owned(), "a lot".to_owned())];
    let options = PostgresOptions { settings, ..PostgresOptions::default() };
    let error = Postgres::start(dir.path(), &options).await.unwrap_err().to_string();
    assert!(error.contains("invalid value for parameter \"shared_buffers\""), "{error}");
}

/// Root's folders are closed to PostgreSQL's account; an ordinary user's are its own.
#[tokio::test]
async fn a_closed_folder_above_is_worked_around() {
    let closed = tempfile::tempdir().unwrap();
    let dir = closed.path().join("postgres");
    let cluster = start(&dir).await;
    let real = cluster.dir().to_owned();
    put(&cluster.url(), "kept").await;
    cluster.stop().await;
    let cluster = start(&dir).await;
    assert_eq!(text(&cluster.url(), KEPT).await, "kept");
    cluster.stop().await;
    if real.starts_with("/var/lib/sluice") {
        fs::remove_dir_all(real).unwrap();
    } else {
        assert_eq!(real, dir.canonicalize().unwrap());
    }
}

/// As root: the same under an ordinary account. As an ordinary user every other test shows it.
#[tokio::test]
async fn works_for_an_ordinary_user() {
    let dir = tempfile::tempdir().unwrap();
    let inside = dir.path().join("postgres");
    let id = |flag| String::from_utf8(Command::new("id").arg(flag).output().unwrap().stdout).unwrap();
    let mut holder = if id("-u").trim() == "0" {
        let binary = dir.path().join("holder");
        fs::copy(std::env::current_exe().unwrap(), &binary).unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let mut command = Command::new("setpriv");
        command.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups"]).arg(binary);
        Holder::start_by(command, &inside)
    } else {
        Holder::start(&inside)
    };
    let server = holder.next().parse().unwrap();
    assert_eq!(holder.next(), inside.canonicalize().unwrap().join("data").display().to_string());
    holder.kill("KILL");
    await_end(server);
}
