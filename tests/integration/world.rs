//! The world the integration tests run in: a real Postgres with the shop in it, an identity
//! provider's key, and pgward between. Made once for each test process.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use pgward::cli::demo::agents::{AUDIENCE, DemoAgent, ISSUER};
use pgward::cli::demo::database::Database;
use pgward::cli::demo::{self, cluster::Cluster};
use pgward::clock::{Clock, SystemClock};
use pgward::config::Config;
use pgward::server::Server;
use pgward::token::{Algorithm, SigningKey};
use tokio::runtime::Runtime;

use crate::container;
use crate::raw::Raw;

/// Everything a test needs to know.
pub(crate) struct World {
    pub(crate) runtime: Runtime,
    pub(crate) database: Database,
    pub(crate) port: u16,
    pub(crate) key: SigningKey,
    pub(crate) agents: Vec<DemoAgent>,
    /// Holds the configuration, the policies and the audit log.
    pub(crate) directory: PathBuf,
}

/// The world of this process.
pub(crate) fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .thread_stack_size(16 << 20)
            .build()
            .unwrap();
        let world = runtime.block_on(build());
        World { runtime, ..world }
    })
}

async fn build() -> World {
    let database = database().await;
    println!("integration tests run against {}", database.describe());
    let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
    let agents = demo::agents::all(&key, SystemClock.now()).unwrap();
    let directory = scratch_directory("world");
    demo::write_configuration(&directory, &key, &database.app_url(), 0).unwrap();
    let policies = directory.join("policies");
    fs::create_dir_all(&policies).unwrap();
    let config = Config::load(&directory.join("pgward.toml")).unwrap();
    let server = Server::start(config).await.unwrap();
    let port = server.local_addr().port();
    // Lives as long as the process.
    std::mem::forget(server);
    World {
        runtime: Runtime::new().unwrap(),
        database,
        port,
        key,
        agents,
        directory,
    }
}

/// A database with the shop in it, on a server of its own.
pub(crate) async fn database() -> Database {
    if std::env::var("PGWARD_TEST_POSTGRES").is_ok_and(|way| way == "docker") {
        let url = container::start().await;
        let database = Database::on_server(&url).await.unwrap();
        return database.load().await.unwrap();
    }
    let cluster = Cluster::start().unwrap();
    Database::in_cluster(cluster)
        .await
        .unwrap()
        .load()
        .await
        .unwrap()
}

/// A directory below the build's own temporary one.
pub(crate) fn scratch_directory(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let path = root.join(format!("{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).unwrap();
    path
}

/// The data files of a folder of `tests/data`: name and text, in order.
pub(crate) fn data_files(folder: &str) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(folder);
    let mut paths: Vec<PathBuf> = fs::read_dir(root)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    paths.sort();
    let read = |path: PathBuf| {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        (name, fs::read_to_string(path).unwrap())
    };
    paths.into_iter().map(read).collect()
}

impl World {
    pub(crate) fn agent(&self, name: &str) -> &DemoAgent {
        let found = self.agents.iter().find(|agent| agent.name == name);
        found.unwrap_or_else(|| panic!("no agent {name}"))
    }

    pub(crate) fn token(&self, name: &str) -> &str {
        self.agent(name).token.expose()
    }

    /// A connection as an agent.
    pub(crate) fn login(&self, agent: &str) -> Raw {
        let login = Raw::login(self.port, agent, self.database.name(), self.token(agent));
        login.unwrap_or_else(|reply| panic!("{agent}: {:?}", reply.error()))
    }

    /// Another pgward before the same database, its configuration changed, and its directory.
    pub(crate) fn another(
        &self,
        name: &str,
        change: impl FnOnce(String) -> String,
    ) -> (Server, PathBuf) {
        let directory = scratch_directory(name);
        demo::write_configuration(&directory, &self.key, &self.database.app_url(), 0).unwrap();
        let path = directory.join("pgward.toml");
        fs::write(&path, change(fs::read_to_string(&path).unwrap())).unwrap();
        let config = Config::load(&path).unwrap();
        let server = self.runtime.block_on(Server::start(config)).unwrap();
        (server, directory)
    }

    /// A connection of a driver to the database itself, as its superuser.
    pub(crate) fn superuser(&self) -> tokio_postgres::Client {
        let url = self.database.superuser_url();
        self.runtime.block_on(demo::database::connect(url)).unwrap()
    }

    /// The audit log as it is now.
    pub(crate) fn audit_log(&self) -> String {
        fs::read_to_string(self.directory.join("audit.jsonl")).unwrap()
    }

    /// The issuer and audience of the tokens here.
    pub(crate) const fn trust(&self) -> (&'static str, &'static str) {
        (ISSUER, AUDIENCE)
    }
}
