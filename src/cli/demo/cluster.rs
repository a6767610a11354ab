//! A private, throw-away Postgres cluster from the binaries that are installed here. Used by the
//! demo and by the integration tests. It listens on loopback alone, logs in by SCRAM, and is gone
//! when dropped.

use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};

use super::super::token::random_id;

/// How long the server may take to come up.
const START_SECONDS_MAX: u64 = 60;

/// A running cluster.
#[derive(Debug)]
pub struct Cluster {
    directory: PathBuf,
    server: Child,
    /// Ends the server and removes its files once its standard input is closed: also when this
    /// process is killed.
    guard: Child,
    port: u16,
    password: String,
    version: String,
}

/// A user other than root, whom Postgres agrees to run as.
#[derive(Debug, Clone, Copy)]
struct Account {
    uid: u32,
    gid: u32,
}

impl Cluster {
    /// Makes and starts a cluster, or says what is lacking.
    ///
    /// # Errors
    /// No Postgres binaries, or a server that does not come up.
    pub fn start() -> anyhow::Result<Self> {
        let binaries = find_binaries().context(
            "no Postgres server binaries were found in PATH, /usr/lib/postgresql/*/bin or Homebrew",
        )?;
        let directory = std::env::temp_dir().join(format!("pgward-{}", random_id()?));
        std::fs::create_dir(&directory)
            .with_context(|| format!("{} could not be created", directory.display()))?;
        std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(0o700))?;
        let account = unprivileged(&directory)?;
        if let Some(account) = account {
            chown(&directory, Some(account.uid), Some(account.gid))?;
        }
        let password = random_id()?;
        initialize(&binaries, &directory, account, &password)?;
        let port = free_port()?;
        let version = version(&binaries)?;
        let server = launch(&binaries, &directory, account, port)?;
        let guard = watch(&server, &directory, account)?;
        let cluster = Self {
            directory,
            server,
            guard,
            port,
            password,
            version,
        };
        cluster.wait()?;
        Ok(cluster)
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The password of the superuser `postgres`.
    pub fn password(&self) -> &str {
        &self.password
    }

    /// What the server says it is, for instance `postgres (PostgreSQL) 15.18`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The process of the server.
    pub fn process_id(&self) -> u32 {
        self.server.id()
    }

    fn wait(&self) -> anyhow::Result<()> {
        let address = ("127.0.0.1", self.port);
        for _ in 0..START_SECONDS_MAX.saturating_mul(20) {
            if std::net::TcpStream::connect(address).is_ok() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let log = std::fs::read_to_string(self.directory.join("log")).unwrap_or_default();
        bail!("Postgres did not come up:\n{log}")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // The guard kills the postmaster, whose children then end by themselves. Only after that
        // is it reaped here, so its process id cannot have been given to somebody else.
        drop(self.guard.stdin.take());
        let _ = self.guard.wait();
        let _ = self.server.wait();
    }
}

/// The directory of `initdb` and `postgres`, the newest version first.
fn find_binaries() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut directories: Vec<PathBuf> = Vec::new();
    for root in ["/usr/lib/postgresql", "/opt/homebrew/opt", "/usr/local/opt"] {
        let mut found: Vec<PathBuf> = std::fs::read_dir(root)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path().join("bin"))
            .collect();
        found.sort();
        directories.extend(found.into_iter().rev());
    }
    directories.extend(std::env::split_paths(&path));
    directories.into_iter().find(|directory| {
        directory.join("initdb").is_file() && directory.join("postgres").is_file()
    })
}

/// As root: an account that Postgres can run as. Otherwise none is needed.
fn unprivileged(directory: &Path) -> anyhow::Result<Option<Account>> {
    if std::fs::metadata(directory)?.uid() != 0 {
        return Ok(None);
    }
    let users = std::fs::read_to_string("/etc/passwd").context("/etc/passwd")?;
    let account = |wanted: &str| {
        let line = users
            .lines()
            .find(|line| line.split(':').next() == Some(wanted))?;
        let mut fields = line.split(':').skip(2);
        Some(Account {
            uid: fields.next()?.parse().ok()?,
            gid: fields.next()?.parse().ok()?,
        })
    };
    ["postgres", "nobody"]
        .into_iter()
        .find_map(account)
        .map(Some)
        .context("Postgres does not run as root, and there is no user postgres or nobody")
}

fn command(program: &Path, account: Option<Account>, directory: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(directory).stdin(Stdio::null());
    // A group of its own: Ctrl-C on the terminal is for pgward alone.
    command.process_group(0);
    if let Some(account) = account {
        command.uid(account.uid).gid(account.gid);
    }
    command
}

fn initialize(
    binaries: &Path,
    directory: &Path,
    account: Option<Account>,
    password: &str,
) -> anyhow::Result<()> {
    let password_file = directory.join("password");
    std::fs::write(&password_file, password)?;
    if let Some(account) = account {
        chown(&password_file, Some(account.uid), Some(account.gid))?;
    }
    let output = command(&binaries.join("initdb"), account, directory)
        .arg("--pgdata")
        .arg(directory.join("data"))
        .arg("--pwfile")
        .arg(&password_file)
        .args([
            "--username=postgres",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
        ])
        .args(["--locale=C", "--no-sync"])
        .output()
        .context("initdb could not be started")?;
    std::fs::remove_file(&password_file)?;
    ensure!(
        output.status.success(),
        "initdb failed:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

fn launch(
    binaries: &Path,
    directory: &Path,
    account: Option<Account>,
    port: u16,
) -> anyhow::Result<Child> {
    let log = std::fs::File::create(directory.join("log"))?;
    command(&binaries.join("postgres"), account, directory)
        .arg("-D")
        .arg(directory.join("data"))
        .arg("-k")
        .arg(directory)
        .args(["-p", &port.to_string()])
        .args(["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"])
        .args(["-c", "max_connections=300", "-c", "shared_buffers=64MB"])
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .context("postgres could not be started")
}

fn watch(server: &Child, directory: &Path, account: Option<Account>) -> anyhow::Result<Child> {
    const SCRIPT: &str = "cat >/dev/null; kill -KILL \"$1\"; \
        for n in 1 2 3 4 5; do rm -rf \"$2\" && exit; sleep 0.2; done";
    command(Path::new("/bin/sh"), account, Path::new("/"))
        .args(["-c", SCRIPT, "guard", &server.id().to_string()])
        .arg(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("/bin/sh could not be started")
}

fn version(binaries: &Path) -> anyhow::Result<String> {
    let output = Command::new(binaries.join("postgres"))
        .arg("--version")
        .output()
        .context("postgres --version")?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("no free port")?;
    Ok(listener.local_addr()?.port())
}
