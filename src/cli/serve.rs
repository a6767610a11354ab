//! `pgward serve`: the proxy, until it is told to stop.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args as ClapArgs;
use tracing_subscriber::EnvFilter;

use crate::config::{Config, Format, Log};
use crate::server::Server;

use super::{Outcome, colour};

/// Options of `pgward serve`.
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// The configuration file
    #[arg(long, default_value = "pgward.toml", env = "PGWARD_CONFIG")]
    config: PathBuf,
}

pub(super) async fn run(args: Args) -> anyhow::Result<Outcome> {
    let config = Config::load(&args.config)?;
    log(&config.log);
    let server = Server::start(config)
        .await
        .context("pgward could not start")?;
    server.run_until_signal().await?;
    Ok(Outcome::Fine)
}

/// The process's own log, on standard error. `RUST_LOG` wins over the configuration.
fn log(config: &Log) {
    let filter = EnvFilter::try_from_default_env()
        .or_else(|_| EnvFilter::try_new(&config.level))
        .unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(colour(&std::io::stderr()))
        .with_writer(std::io::stderr);
    // A second subscriber, as tests may make it, leaves the first in place.
    let _ = match config.format {
        Format::Text => builder.try_init(),
        Format::Json => builder.json().try_init(),
    };
}
