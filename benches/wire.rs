//! pgbench's select-only script through pgward, beside the database itself, a bare TCP relay and
//! PgBouncer (where it is installed), in interleaved rounds of one run. Prints medians and ratios;
//! compare ratios, never absolute figures of different runs.
//!
//! `cargo bench --bench wire` — `PGWARD_BENCH_SECONDS` (default 3) is the length of one round,
//! `PGWARD_BENCH_ROUNDS` (default 3) their number.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::wildcard_enum_match_arm,
    reason = "what is not as expected ends the bench"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use pgward::cli::demo::database::{Database, connect};
use pgward::cli::demo::{self, agents};
use pgward::clock::{Clock, SystemClock};
use pgward::config::Config;
use pgward::server::Server;
use pgward::token::{Algorithm, SigningKey};
use tokio::net::{TcpListener, TcpStream};

const POLICY: &str = r#"
[[table]]
name = "public.pgbench_*"
sensitivity = "public"

[[grant]]
id = "bench"
agents = ["ops-bot"]
users = ["*"]
actions = ["select", "insert", "update", "delete"]
tables = ["public.pgbench_*"]
clearance = "public"
"#;

/// One way to the database.
struct Way {
    name: &'static str,
    port: u16,
    user: String,
    password: String,
}

fn main() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(16 << 20)
        .build()
        .unwrap();
    runtime.block_on(run());
}

async fn run() {
    let database = Database::create(None).await.unwrap();
    println!("against {}", database.describe());
    let url: tokio_postgres::Config = database.superuser_url().parse().unwrap();
    let port = url.get_ports()[0];
    initialize(&database, port).await;
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-wire");
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory).unwrap();
    let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
    let tokens = agents::all(&key, SystemClock.now()).unwrap();
    let token = tokens.iter().find(|agent| agent.name == "ops-bot").unwrap();
    demo::write_configuration(&directory, &key, &database.app_url(), 0).unwrap();
    fs::write(directory.join("policies/bench.toml"), POLICY).unwrap();
    let config = Config::load(&directory.join("pgward.toml")).unwrap();
    let server = Server::start(config).await.unwrap();

    let app = |name, port| Way {
        name,
        port,
        user: "pgward_app".to_owned(),
        password: "pgward-app".to_owned(),
    };
    let mut ways = vec![app("direct", port), app("bare relay", relay(port).await)];
    let bouncer = pgbouncer(&directory, port);
    match &bouncer {
        Some((_, port)) => ways.push(app("pgbouncer", *port)),
        None => println!("pgbouncer: skipped, it is not installed"),
    }
    ways.push(Way {
        name: "pgward",
        port: server.local_addr().port(),
        user: "ops-bot".to_owned(),
        password: token.token.expose().to_owned(),
    });
    measure(&ways);
    if let Some((mut child, _)) = bouncer {
        let _ = child.kill();
        let _ = child.wait();
    }
    server.shutdown().await;
}

async fn initialize(database: &Database, port: u16) {
    let url: tokio_postgres::Config = database.superuser_url().parse().unwrap();
    let status = pgbench()
        .args([
            "-i",
            "-q",
            "-s",
            "2",
            "-h",
            "127.0.0.1",
            "-p",
            &port.to_string(),
        ])
        .args(["-U", url.get_user().unwrap(), database.name()])
        .env(
            "PGPASSWORD",
            String::from_utf8_lossy(url.get_password().unwrap()).as_ref(),
        )
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "pgbench -i");
    let client = connect(database.superuser_url()).await.unwrap();
    client
        .batch_execute("GRANT ALL ON ALL TABLES IN SCHEMA public TO pgward_app")
        .await
        .unwrap();
}

fn pgbench() -> Command {
    Command::new("pgbench")
}

/// A relay that only copies bytes: what any proxy pays at the least.
async fn relay(to: u16) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut server = TcpStream::connect(("127.0.0.1", to)).await?;
                client.set_nodelay(true)?;
                server.set_nodelay(true)?;
                tokio::io::copy_bidirectional(&mut client, &mut server).await
            });
        }
    });
    port
}

fn pgbouncer(directory: &Path, to: u16) -> Option<(Child, u16)> {
    let program = [
        "/usr/sbin/pgbouncer",
        "/usr/bin/pgbouncer",
        "/opt/homebrew/bin/pgbouncer",
    ]
    .into_iter()
    .find(|path| Path::new(path).exists())?;
    let port = std::net::TcpListener::bind(("127.0.0.1", 0))
        .ok()?
        .local_addr()
        .ok()?
        .port();
    let users = directory.join("users.txt");
    fs::write(&users, "\"pgward_app\" \"pgward-app\"\n").ok()?;
    let ini = directory.join("pgbouncer.ini");
    let text = format!(
        "[databases]\n* = host=127.0.0.1 port={to}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
         listen_port = {port}\nunix_socket_dir =\nauth_type = scram-sha-256\n\
         auth_file = {}\npool_mode = session\nmax_client_conn = 200\ndefault_pool_size = 100\n\
         ignore_startup_parameters = extra_float_digits\n",
        users.display()
    );
    fs::write(&ini, text).ok()?;
    let mut command = Command::new(program);
    command
        .arg(&ini)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if is_root() {
        // PgBouncer refuses to run as root.
        command.args(["--user", "postgres"]);
        let _ = Command::new("chmod")
            .args(["-R", "a+rX"])
            .arg(directory)
            .status();
    }
    let child = command.spawn().ok()?;
    std::thread::sleep(std::time::Duration::from_millis(500));
    Some((child, port))
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

fn measure(ways: &[Way]) {
    let number = |name: &str, default: usize| {
        let text = std::env::var(name).unwrap_or_default();
        text.parse().unwrap_or(default)
    };
    let seconds = number("PGWARD_BENCH_SECONDS", 3);
    let rounds = number("PGWARD_BENCH_ROUNDS", 3);
    println!("pgbench -S, {rounds} rounds of {seconds} s each, transactions per second (median)");
    for protocol in ["simple", "extended", "prepared"] {
        for clients in [1, 8] {
            let mut figures: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
            for _ in 0..rounds {
                for way in ways {
                    let tps = one_round(way, protocol, clients, seconds);
                    figures.entry(way.name).or_default().push(tps);
                }
            }
            report(ways, protocol, clients, &mut figures);
        }
    }
}

fn one_round(way: &Way, protocol: &str, clients: usize, seconds: usize) -> f64 {
    let output = pgbench()
        .args(["-S", "-n", "-h", "127.0.0.1", "-p", &way.port.to_string()])
        .args([
            "-U",
            &way.user,
            "-M",
            protocol,
            "-c",
            &clients.to_string(),
            "-j",
            "1",
        ])
        .args(["-T", &seconds.to_string(), "shop"])
        .env("PGPASSWORD", &way.password)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let tps = text
        .lines()
        .find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok());
    tps.unwrap_or_else(|| {
        panic!(
            "{}: {text}{}",
            way.name,
            String::from_utf8_lossy(&output.stderr)
        )
    })
}

fn report(ways: &[Way], protocol: &str, clients: usize, figures: &mut BTreeMap<&str, Vec<f64>>) {
    let mut median = |name: &str| -> Option<f64> {
        let values = figures.get_mut(name)?;
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied()
    };
    let pgward = median("pgward").unwrap_or_default();
    print!("{protocol:>9} {clients:>2} clients:");
    for way in ways {
        print!("  {} {:.0}", way.name, median(way.name).unwrap_or_default());
    }
    for other in ["direct", "bare relay", "pgbouncer"] {
        if let Some(figure) = median(other) {
            print!("  pgward/{other} {:.2}", pgward / figure);
        }
    }
    println!();
}
