//! The command line. What was typed is parsed here and handed to one file per command. For people
//! on a terminal; JSON with `--json`. The exit status is 0 where everything went well, 1 for a
//! denial or a failed check, 2 for a command that could not be carried out.

mod audit;
mod catalog;
pub mod demo;
mod explain;
mod policy;
mod serve;
mod token;

use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};

/// Zero trust between AI agents and a Postgres database.
#[derive(Debug, Parser)]
#[command(name = "pgward", version, about, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the proxy
    Serve(serve::Args),
    /// A database, an identity provider, a proxy and sample agents on this machine
    Demo(demo::Args),
    /// Check, test and explain policies
    #[command(subcommand)]
    Policy(policy::Command),
    /// The snapshot of the database's schema
    #[command(subcommand)]
    Catalog(catalog::Command),
    /// Development keys and tokens, and what is in a token
    #[command(subcommand)]
    Token(token::Command),
    /// Verify and read the audit log
    #[command(subcommand)]
    Audit(audit::Command),
}

/// How a command ended when it could be carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// As wished.
    Fine,
    /// A denial, or a check that failed.
    Failed,
}

/// Runs the command line of this process.
pub fn run() -> ExitCode {
    // One crypto provider for everything that speaks TLS in this process. A second call, as tests
    // make it, finds it installed already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let cli = Cli::parse();
    match dispatch(cli.command) {
        Ok(Outcome::Fine) => ExitCode::SUCCESS,
        Ok(Outcome::Failed) => ExitCode::from(1),
        Err(error) => {
            eprintln!("pgward: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn dispatch(command: Command) -> anyhow::Result<Outcome> {
    match command {
        Command::Serve(args) => runtime()?.block_on(serve::run(args)),
        Command::Demo(args) => runtime()?.block_on(demo::run(args)),
        Command::Policy(command) => policy::run(command),
        Command::Catalog(command) => catalog::run(command),
        Command::Token(command) => token::run(command),
        Command::Audit(command) => audit::run(command),
    }
}

/// The runtime of everything that talks. Its threads have the stack that deep statements need.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(16 << 20)
        .build()
        .context("the asynchronous runtime could not be started")
}

/// Writes a file that only its owner may read.
fn write_private(path: &std::path::Path, text: &str) -> anyhow::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("{} could not be created", path.display()))?;
    file.write_all(text.as_bytes())
        .with_context(|| format!("{} could not be written", path.display()))
}

/// Colour where people look.
fn colour(stream: &impl std::io::IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none()
}
