//! pgward as a process of its own, for what cannot be seen from within: its memory, its exit status,
//! what a log does that cannot be written.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use pgward::cli::demo;

use crate::raw::{Raw, query};
use crate::world::{World, scratch_directory, world};

/// `pgward serve`, ended with this value.
struct Serving {
    child: Child,
    port: u16,
}

impl Serving {
    fn start(world: &World, name: &str, change: impl FnOnce(String) -> String) -> (Self, PathBuf) {
        let directory = scratch_directory(name);
        demo::write_configuration(&directory, &world.key, &world.database.app_url(), 0).unwrap();
        let path = directory.join("pgward.toml");
        fs::write(&path, change(fs::read_to_string(&path).unwrap())).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_pgward"))
            .args(["serve", "--config"])
            .arg(&path)
            .env("NO_COLOR", "1")
            .env_remove("RUST_LOG")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = String::new();
        let port = loop {
            let line = log
                .next()
                .unwrap_or_else(|| panic!("ended: {said}"))
                .unwrap();
            said.push_str(&line);
            if let Some((_, port)) = line.split_once("address=127.0.0.1:") {
                break port.trim().parse().unwrap();
            }
        };
        // A pipe that nobody reads would stop it.
        std::thread::spawn(move || log.for_each(drop));
        (Self { child, port }, directory)
    }

    fn login(&self, world: &World, agent: &str) -> Result<Raw, crate::raw::Reply> {
        Raw::login(self.port, agent, world.database.name(), world.token(agent))
    }

    /// The most memory the process has ever had, in KiB.
    #[cfg(target_os = "linux")]
    fn peak_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmHWM"))
            .unwrap();
        line.split_ascii_whitespace()
            .nth(1)
            .unwrap()
            .parse()
            .unwrap()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How many rows: a tenth of what PGWARD_TEST_ROWS=10000000 asks for, since tests run unoptimized.
#[cfg(target_os = "linux")]
fn rows() -> usize {
    let asked = std::env::var("PGWARD_TEST_ROWS").ok();
    asked
        .and_then(|text| text.parse().ok())
        .unwrap_or(1_000_000)
}

/// Rows pass by; they are not gathered, however slowly the client takes them.
#[test]
#[cfg(target_os = "linux")]
fn a_large_result_takes_no_memory() {
    let world = world();
    let (serving, _) = Serving::start(world, "memory", |config| config);
    let mut raw = serving
        .login(world, "support-bot")
        .unwrap_or_else(|reply| panic!("{reply:?}"));
    raw.query("SELECT 1");
    let before = serving.peak_kib();
    let rows = rows();
    raw.send(&query(&format!(
        "SELECT n, repeat('x', 100) FROM generate_series(1, {rows}) AS n"
    )));
    // The database runs ahead; what the client does not take must stay there.
    std::thread::sleep(std::time::Duration::from_secs(1));
    let mut received = 0;
    while let Some(message) = raw.message() {
        received += usize::from(message.tag == b'D');
        if message.tag == b'Z' {
            break;
        }
    }
    assert_eq!(received, rows);
    let grown = serving.peak_kib() - before;
    println!("{rows} rows of 100 bytes: {grown} KiB more than before");
    assert!(grown < 16 * 1024, "{grown} KiB for {rows} rows");
}

/// What cannot be recorded does not run.
#[test]
fn a_log_that_cannot_be_written_stops_statements() {
    if !std::path::Path::new("/dev/full").exists() {
        println!("skipped: there is no /dev/full here to stand for a full disk");
        return;
    }
    let world = world();
    let full = |config: String| config.replace("\"audit.jsonl\"", "\"/dev/full\"");
    let (serving, _) = Serving::start(world, "full", full);
    let refused = match serving.login(world, "support-bot") {
        Err(reply) => reply,
        Ok(mut raw) => {
            // The record of the login may still wait to be written.
            std::thread::sleep(std::time::Duration::from_millis(500));
            raw.query("SELECT name FROM customers")
        }
    };
    assert!(refused.rows().is_empty(), "{refused:?}");
    let error = refused.error().unwrap();
    assert!(error.get(b'M').unwrap().contains("audit"), "{error:?}");
    // It stays so for whoever comes next.
    let next = serving.login(world, "support-bot").err();
    assert!(next.is_some_and(|reply| reply.error().is_some()));
    let on = |config: String| full(config) + "on_failure = \"continue\"\n";
    let (serving, _) = Serving::start(world, "full-continue", on);
    let mut raw = serving
        .login(world, "support-bot")
        .unwrap_or_else(|reply| panic!("{reply:?}"));
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert_eq!(
        raw.query("SELECT name FROM customers LIMIT 1").rows().len(),
        1
    );
}

/// SIGTERM: sessions that are idle end at once, with the words that drivers know.
#[test]
fn it_ends_when_told_to() {
    let world = world();
    let (mut serving, _) = Serving::start(world, "term", |config| config);
    let mut raw = serving
        .login(world, "support-bot")
        .unwrap_or_else(|reply| panic!("{reply:?}"));
    raw.query("SELECT 1");
    let told = Command::new("kill")
        .arg(serving.child.id().to_string())
        .status();
    assert!(told.unwrap().success());
    let reply = raw.reply();
    assert!(reply.closed && reply.code() == "57P01", "{reply:?}");
    assert_eq!(serving.child.wait().unwrap().code(), Some(0));
}
