//! `pgward token`: keys and tokens for development, and what a token says. Nothing here asks an
//! identity provider for anything.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::{Args, Subcommand};

use crate::clock::{Clock, SystemClock};
use crate::principal::{AccessDetail, Agent, Attribute};
use crate::secret::Secret;
use crate::token::{Algorithm, Claims, SigningKey, mint};

use super::{Outcome, write_private};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a key pair for development: private.pem and jwks.json
    Keys {
        /// The directory to write to
        #[arg(long)]
        out: PathBuf,
        /// EdDSA or ES256
        #[arg(long, default_value = "EdDSA")]
        algorithm: String,
    },
    /// Sign a delegated token with a development key and print it
    Mint(Box<MintArgs>),
    /// Show what a token says, without verifying it; the token is read from standard input
    Inspect,
}

#[derive(Debug, Args)]
pub(super) struct MintArgs {
    /// The private key (PKCS#8 PEM), as `pgward token keys` writes it
    #[arg(long)]
    key: PathBuf,
    /// `iss`
    #[arg(long)]
    issuer: String,
    /// `aud`
    #[arg(long, default_value = "pgward")]
    audience: String,
    /// `sub`: the user who delegates
    #[arg(long)]
    user: String,
    /// A group of the user; may be repeated
    #[arg(long = "group")]
    groups: Vec<String>,
    /// An attribute of the user, name=value; may be repeated
    #[arg(long = "attribute", value_parser = pair)]
    attributes: Vec<(String, String)>,
    /// The agent that acts; repeated: each one delegated to by the one before
    #[arg(long = "agent", required = true)]
    agents: Vec<String>,
    /// How long the token lives, for instance 15m or 1h
    #[arg(long, default_value = "15m", value_parser = duration)]
    ttl: u32,
    /// `scope`; may be repeated
    #[arg(long = "scope")]
    scopes: Vec<String>,
    /// What the access is for
    #[arg(long)]
    purpose: Option<String>,
    /// The highest sensitivity that may be reached
    #[arg(long)]
    clearance: Option<String>,
}

pub(super) fn run(command: Command) -> anyhow::Result<Outcome> {
    match command {
        Command::Keys { out, algorithm } => keys(&out, &algorithm)?,
        Command::Mint(args) => println!("{}", mint_token(*args)?.expose()),
        Command::Inspect => inspect()?,
    }
    Ok(Outcome::Fine)
}

fn keys(out: &Path, algorithm: &str) -> anyhow::Result<()> {
    let algorithm = Algorithm::from_word(algorithm)
        .with_context(|| format!("{algorithm} is not an algorithm; use EdDSA or ES256"))?;
    let key = SigningKey::generate(algorithm)?;
    std::fs::create_dir_all(out)
        .with_context(|| format!("{} could not be created", out.display()))?;
    write_private(&out.join("private.pem"), key.to_pem().expose())?;
    let jwks = out.join("jwks.json");
    std::fs::write(&jwks, key.jwks())
        .with_context(|| format!("{} could not be written", jwks.display()))?;
    println!(
        "{} and private.pem beside it; kid {}",
        jwks.display(),
        key.kid()
    );
    Ok(())
}

fn mint_token(args: MintArgs) -> anyhow::Result<Secret> {
    let pem = std::fs::read_to_string(&args.key)
        .with_context(|| format!("{} could not be read", args.key.display()))?;
    let key = SigningKey::from_pem(&Secret::new(pem))?;
    let acting = args.agents.last().cloned().unwrap_or_default();
    let mut claims = Claims::new(
        &args.issuer,
        &args.audience,
        &args.user,
        &acting,
        &random_id()?,
        SystemClock.now(),
        args.ttl,
    );
    claims.chain = args.agents.into_iter().rev().map(agent).collect();
    claims.client_id = Some(acting);
    claims.groups = args.groups;
    claims.scope = args.scopes;
    claims.attributes = args
        .attributes
        .into_iter()
        .map(|(name, value)| (name, Attribute::Text(value)))
        .collect::<BTreeMap<_, _>>();
    if args.purpose.is_some() || args.clearance.is_some() {
        claims.authorization_details = Some(vec![AccessDetail {
            purpose: args.purpose,
            clearance: args.clearance,
            ..AccessDetail::default()
        }]);
    }
    Ok(mint(&key, &claims)?)
}

fn agent(sub: String) -> Agent {
    Agent { sub, issuer: None }
}

/// 128 random bits in hexadecimal.
pub(super) fn random_id() -> anyhow::Result<String> {
    let mut bytes = [0_u8; 16];
    aws_lc_rs::rand::fill(&mut bytes)
        .map_err(|_| anyhow::anyhow!("the system has no randomness"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn inspect() -> anyhow::Result<()> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    let mut parts = text.trim().split('.');
    for name in ["header", "claims"] {
        let part = parts.next().unwrap_or_default();
        let json = URL_SAFE_NO_PAD
            .decode(part)
            .ok()
            .and_then(|bytes| serde_json::from_slice::<serde_json::Value>(&bytes).ok())
            .with_context(|| format!("the token's {name} cannot be read: is it a whole JWT?"))?;
        println!("{name} {}", serde_json::to_string_pretty(&json)?);
    }
    println!("not verified: only pgward serve knows whom to trust");
    Ok(())
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write name=value")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// `90s`, `15m`, `1h` in seconds.
fn duration(text: &str) -> Result<u32, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text.get(digits.len()..).unwrap_or_default() {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err("write for instance 90s, 15m or 1h".to_owned()),
    };
    let number: u32 = digits
        .parse()
        .map_err(|_| "write for instance 90s, 15m or 1h".to_owned())?;
    number
        .checked_mul(unit)
        .ok_or_else(|| "too long".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(duration("90"), Ok(90));
        assert_eq!(duration("15m"), Ok(900));
        assert_eq!(duration("2h"), Ok(7200));
        assert!(duration("soon").is_err() && duration("9999999h").is_err());
    }
}
