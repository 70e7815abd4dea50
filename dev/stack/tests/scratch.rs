//! Nothing is left when the process that started it is killed.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use local_stack::{Cluster, PostgresKind};

/// Set in the process that the test starts of itself, and kills.
const VICTIM: &str = "WAIT_TO_BE_KILLED";

#[tokio::test]
async fn a_killed_process_leaves_no_server_and_no_directory() {
    if std::env::var_os(VICTIM).is_some() {
        let cluster = Cluster::start(PostgresKind::Embedded, &[]).await.unwrap();
        println!("\n{}", cluster.socket_directory().display());
        std::future::pending::<()>().await;
    }
    let mut owner = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_killed_process_leaves_no_server_and_no_directory", "--nocapture"])
        .env(VICTIM, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(owner.stdout.take().unwrap()).lines();
    let socket = lines.map(|line| PathBuf::from(line.unwrap())).find(|line| line.is_absolute()).unwrap();
    let directory = socket.parent().unwrap();
    let pid_file = std::fs::read_to_string(directory.join("data/postmaster.pid")).unwrap();
    let server = Path::new("/proc").join(pid_file.lines().next().unwrap());
    assert!(server.exists());

    owner.kill().unwrap();
    owner.wait().unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while directory.exists() || is_alive(&server) {
        assert!(Instant::now() < deadline, "{} or {} is still there", directory.display(), server.display());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A process that has ended may stay as a zombie where nobody collects orphans.
fn is_alive(process: &Path) -> bool {
    std::fs::read_to_string(process.join("stat")).is_ok_and(|stat| !stat.contains(") Z "))
}
