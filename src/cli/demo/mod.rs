//! `pgward demo`: a database, an identity provider's key, the proxy and sample agents on one
//! machine. Plays a scene over real connections, shows the audit trail of it, and stays up with
//! connection strings to paste, until Ctrl-C. Everything it makes is gone afterwards.

pub mod agents;
pub mod cluster;
pub mod database;
mod scene;

use std::fs;
use std::io::BufReader;
use std::path::Path;

use anyhow::Context;
use clap::Args as ClapArgs;

use crate::audit::{Content, Entry, render, verify};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::server::Server;
use crate::token::{Algorithm, SigningKey};

use super::token::random_id;
use super::{Outcome, write_private};

use agents::{AUDIENCE, DemoAgent, ISSUER};
use database::Database;

/// The policy of the shop, the same file that `pgward policy test policies` checks.
const POLICY: &str = include_str!("../../../policies/shop.toml");

/// Options of `pgward demo`.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// End after the scene; exit status 0 only if every step came out as expected
    #[arg(long)]
    once: bool,
    /// Use this server, as a superuser, instead of starting one: postgres://user:password@host/db
    #[arg(long, hide_env_values = true)]
    database_url: Option<String>,
    /// The port of the proxy on 127.0.0.1; 0 for any that is free
    #[arg(long, default_value_t = 6432)]
    port: u16,
}

pub(super) async fn run(args: Args) -> anyhow::Result<Outcome> {
    let directory = std::env::temp_dir().join(format!("pgward-demo-{}", random_id()?));
    fs::create_dir(&directory)
        .with_context(|| format!("{} could not be created", directory.display()))?;
    let outcome = run_in(&directory, &args).await;
    let _ = fs::remove_dir_all(&directory);
    outcome
}

async fn run_in(directory: &Path, args: &Args) -> anyhow::Result<Outcome> {
    println!("pgward demo: starting a database …");
    let database = Database::create(args.database_url.as_deref()).await?;
    println!("database: {}", database.describe());
    let key = SigningKey::generate(Algorithm::EdDsa)?;
    let agents = agents::all(&key, SystemClock.now())?;
    write_configuration(directory, &key, &database.app_url(), args.port)?;
    let config = Config::load(&directory.join("pgward.toml"))?;
    let server = match Server::start(config).await {
        Ok(server) => server,
        Err(error) => {
            database.remove().await?;
            return Err(error).context("the proxy could not start");
        }
    };
    let port = server.local_addr().port();
    println!("pgward:   127.0.0.1:{port}, policy policies/shop.toml");
    let right = scene::play(port, database.name(), &agents).await;
    let told = right.and_then(|right| Ok((right, show_audit(directory)?)));
    if !args.once && told.is_ok() {
        show_connections(port, database.name(), &agents);
        tokio::signal::ctrl_c().await?;
        println!("\nstopping");
    }
    server.shutdown().await;
    database.remove().await?;
    let (right, verified) = told?;
    Ok(if right && verified {
        Outcome::Fine
    } else {
        Outcome::Failed
    })
}

/// Writes a configuration, the policy and the issuer's public key into a directory.
///
/// # Errors
/// A file that cannot be written.
pub fn write_configuration(
    directory: &Path,
    key: &SigningKey,
    database_url: &str,
    port: u16,
) -> anyhow::Result<()> {
    let policies = directory.join("policies");
    fs::create_dir_all(&policies)?;
    fs::write(policies.join("shop.toml"), POLICY)?;
    fs::write(directory.join("jwks.json"), key.jwks())?;
    let signing = crate::audit::SigningKey::generate()?;
    write_private(&directory.join("audit-key.pem"), signing.to_pem()?.expose())?;
    fs::write(directory.join("audit-key.pub"), signing.public().to_pem())?;
    let text = format!(
        "listen = \"127.0.0.1:{port}\"\n\
         policies = \"policies\"\n\n\
         [upstream]\nurl = \"{database_url}\"\n\n\
         [[issuer]]\nissuer = \"{ISSUER}\"\naudience = [\"{AUDIENCE}\"]\n\
         algorithms = [\"EdDSA\"]\njwks_file = \"jwks.json\"\n\n\
         [audit]\npath = \"audit.jsonl\"\nsigning_key = \"audit-key.pem\"\nbuffer_ms = 20\n"
    );
    write_private(&directory.join("pgward.toml"), &text)
}

/// Prints the decisions of the scene from the audit log, and verifies the log.
fn show_audit(directory: &Path) -> anyhow::Result<bool> {
    // The log is written within its bounded delay.
    std::thread::sleep(std::time::Duration::from_millis(200));
    let path = directory.join("audit.jsonl");
    println!("\nThe audit trail of it ({}):", path.display());
    for line in fs::read_to_string(&path)?.lines() {
        let entry = Entry::parse(line)?;
        if matches!(entry.content, Content::Decision(_)) {
            println!("  {}", render(&entry));
        }
    }
    let log = fs::File::open(&path)?;
    let key = fs::read_to_string(directory.join("audit-key.pub"))?;
    let key = crate::audit::PublicKey::parse(&key)?;
    match verify(BufReader::new(log), Some(&key)) {
        Ok(summary) => {
            println!("verified: {summary}");
            Ok(true)
        }
        Err(broken) => {
            println!("NOT verified: {broken}");
            Ok(false)
        }
    }
}

fn show_connections(port: u16, database: &str, agents: &[DemoAgent]) {
    println!("\nThe proxy stays up. Paste one of these (tokens live for an hour):");
    for agent in agents {
        let token = agent.token.expose();
        println!("\n{} for {}:", agent.name, agent.user);
        println!(
            "  PGPASSWORD='{token}' psql -h 127.0.0.1 -p {port} -U {} {database}",
            agent.name
        );
        println!(
            "  python3 -c \"import psycopg; c = psycopg.connect('host=127.0.0.1 port={port} \
             user={} dbname={database}', password='{token}'); \
             print(c.execute('SELECT 1').fetchone())\"",
            agent.name
        );
    }
    println!("\nCtrl-C ends it all.");
}
