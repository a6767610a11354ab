//! The demo's throw-away database: a private cluster, a container, or a database of its own on a
//! server that is there already. The shop's schema is loaded into it.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use tokio_postgres::{Client, NoTls};

use super::super::token::random_id;
use super::cluster::Cluster;

/// The shop: tables with personal data, a poisoned ticket, and an `hr` schema.
pub const SCHEMA: &str = include_str!("shop.sql");
/// The image that is run where Docker is what there is.
const IMAGE: &str = "postgres:17";

/// Where the database runs, and what has to be cleaned up.
#[derive(Debug)]
enum Home {
    Cluster(Cluster),
    Container {
        id: String,
    },
    /// A server that was there before; only the database on it is the demo's.
    Server {
        admin_url: String,
    },
}

/// A throw-away database with the shop in it.
#[derive(Debug)]
pub struct Database {
    home: Home,
    host: String,
    port: u16,
    name: String,
    superuser_url: String,
}

impl Database {
    /// Makes the database, by the first way that works here, or on the server of `url`.
    ///
    /// # Errors
    /// One message that says what to install where nothing works.
    pub async fn create(url: Option<&str>) -> anyhow::Result<Self> {
        let database = match url {
            Some(url) => Self::on_server(url).await?,
            None => Self::here().await?,
        };
        database.load().await
    }

    /// Loads the shop into the database.
    ///
    /// # Errors
    /// A schema that the server does not take.
    pub async fn load(self) -> anyhow::Result<Self> {
        let client = connect(&self.superuser_url).await?;
        client
            .batch_execute(SCHEMA)
            .await
            .context("the shop could not be loaded")?;
        Ok(self)
    }

    async fn here() -> anyhow::Result<Self> {
        let no_cluster = match Cluster::start() {
            Ok(cluster) => return Self::in_cluster(cluster).await,
            Err(error) => error,
        };
        match Self::in_container().await {
            Ok(database) => Ok(database),
            Err(no_docker) => bail!(
                "a database is needed: install Postgres (Debian: apt install postgresql; macOS: \
                 brew install postgresql) or Docker, or give --database-url\n  \
                 Postgres: {no_cluster:#}\n  Docker: {no_docker:#}"
            ),
        }
    }

    /// A database in a private cluster.
    ///
    /// # Errors
    /// A server that does not answer.
    pub async fn in_cluster(cluster: Cluster) -> anyhow::Result<Self> {
        let port = cluster.port();
        let url = |name: &str| {
            format!(
                "postgres://postgres:{}@127.0.0.1:{port}/{name}",
                cluster.password()
            )
        };
        make_database(&url("postgres"), "shop").await?;
        Ok(Self {
            superuser_url: url("shop"),
            home: Home::Cluster(cluster),
            host: "127.0.0.1".to_owned(),
            port,
            name: "shop".to_owned(),
        })
    }

    async fn in_container() -> anyhow::Result<Self> {
        let password = random_id()?;
        let id = docker(&[
            "run",
            "--rm",
            "--detach",
            "--publish",
            "127.0.0.1::5432",
            "--env",
            &format!("POSTGRES_PASSWORD={password}"),
            IMAGE,
        ])?;
        let home = Home::Container { id: id.clone() };
        let published = docker(&["port", &id, "5432/tcp"])?;
        let port: u16 = published
            .lines()
            .next()
            .and_then(|line| line.rsplit(':').next())
            .and_then(|port| port.parse().ok())
            .context("docker port gave no port")?;
        let url = |name: &str| format!("postgres://postgres:{password}@127.0.0.1:{port}/{name}");
        make_database(&url("postgres"), "shop").await?;
        Ok(Self {
            home,
            host: "127.0.0.1".to_owned(),
            port,
            name: "shop".to_owned(),
            superuser_url: url("shop"),
        })
    }

    /// A database of its own on the server of `url`, whose role must be a superuser.
    ///
    /// # Errors
    /// A server that does not answer, or a role that may not create databases.
    pub async fn on_server(url: &str) -> anyhow::Result<Self> {
        let config = url
            .parse::<tokio_postgres::Config>()
            .context("--database-url")?;
        let host = match config.get_hosts().first() {
            Some(tokio_postgres::config::Host::Tcp(host)) => host.clone(),
            _ => bail!("--database-url needs a host name"),
        };
        let name = format!("pgward_demo_{}", random_id()?);
        make_database(url, &name).await?;
        let mut parts = url.splitn(4, '/');
        let authority = parts.nth(2).unwrap_or_default();
        Ok(Self {
            home: Home::Server {
                admin_url: url.to_owned(),
            },
            host,
            port: config.get_ports().first().copied().unwrap_or(5432),
            superuser_url: format!("postgres://{authority}/{name}"),
            name,
        })
    }

    /// What was used, for people.
    pub fn describe(&self) -> String {
        match &self.home {
            Home::Cluster(cluster) => format!("a private cluster, {}", cluster.version()),
            Home::Container { .. } => format!("a container of {IMAGE}"),
            Home::Server { .. } => format!("database {} on {}", self.name, self.host),
        }
    }

    /// The URL that pgward connects with: an ordinary role, not the owner.
    pub fn app_url(&self) -> String {
        format!(
            "postgres://pgward_app:pgward-app@{}:{}/{}?sslmode=disable",
            self.host, self.port, self.name
        )
    }

    /// The URL of the superuser, for those who set the scene.
    pub fn superuser_url(&self) -> &str {
        &self.superuser_url
    }

    /// The database's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The private cluster, where there is one.
    pub fn cluster(&self) -> Option<&Cluster> {
        match &self.home {
            Home::Cluster(cluster) => Some(cluster),
            Home::Container { .. } | Home::Server { .. } => None,
        }
    }

    /// Removes what was made. A cluster and a container also go when this is dropped.
    ///
    /// # Errors
    /// A database that cannot be dropped on somebody else's server.
    pub async fn remove(self) -> anyhow::Result<()> {
        if let Home::Server { admin_url } = &self.home {
            let client = connect(admin_url).await?;
            client
                .batch_execute(&format!("DROP DATABASE {} WITH (FORCE)", self.name))
                .await
                .with_context(|| format!("database {} could not be dropped", self.name))?;
        }
        Ok(())
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if let Self::Container { id } = self {
            let _ = docker(&["rm", "--force", "--volumes", id]);
        }
    }
}

async fn make_database(admin_url: &str, name: &str) -> anyhow::Result<()> {
    let client = connect(admin_url).await?;
    client
        .batch_execute(&format!("CREATE DATABASE {name}"))
        .await
        .with_context(|| format!("database {name} could not be created"))
}

/// Connects as somebody who may do everything. Tries for a while: a container takes its time.
///
/// # Errors
/// No answer within 60 seconds, or a login refused.
pub async fn connect(url: &str) -> anyhow::Result<Client> {
    let mut last = None;
    for _ in 0..120 {
        match tokio_postgres::connect(url, NoTls).await {
            Ok((client, connection)) => {
                tokio::spawn(connection);
                return Ok(client);
            }
            Err(error)
                if error
                    .code()
                    .is_some_and(|code| code.code().starts_with("28")) =>
            {
                return Err(error).context("the database refuses the login");
            }
            Err(error) => last = Some(error),
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    Err(last.map_or_else(|| anyhow::anyhow!("no answer"), anyhow::Error::from))
        .context("the database does not answer")
}

fn docker(arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new("docker")
        .args(arguments)
        .output()
        .context("docker is not installed")?;
    ensure!(
        output.status.success(),
        "docker {}: {}",
        arguments.first().copied().unwrap_or_default(),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
