//! A new job type, made in a copy of the checkout, is green as it is, and is the one that CONTRIBUTING.md shows.

use std::path::Path;
use std::process::Command;

fn checkout() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the checkout")
}

/// Runs it, with a target directory of its own: what cargo makes of the copy it would take for the checkout's.
fn run(copy: &Path, program: &str, arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(copy).env("CARGO_TARGET_DIR", checkout().join("target/new-job-type"));
    command.env("CARGO_MANIFEST_DIR", copy.join("xtask"));
    let ended = command.output().unwrap_or_else(|error| panic!("{program}: {error}"));
    let said = [ended.stdout, ended.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    (ended.status.success(), said)
}

#[test]
fn a_new_job_type_is_green_as_it_is() {
    let copy = tempfile::tempdir().expect("a directory");
    let files = "git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -d -t";
    let (copied, said) = run(checkout(), "sh", &["-c", &format!("{files} {}", copy.path().display())]);
    assert!(copied, "{said}");

    let make = |name: &str| run(copy.path(), env!("CARGO_BIN_EXE_xtask"), &["new-job-type", name]);
    // One of a name behind that of the module there, and one before it.
    for name in ["ping-url", "archive-user"] {
        let (made, said) = make(name);
        assert!(made, "{name}: {said}");
    }
    let (tested, said) = run(copy.path(), "cargo", &["test", "--locked"]);
    assert!(tested, "{said}");
    let migration = run(copy.path(), "sh", &["-c", "cat migrations/*.sql"]).1;
    assert!(
        migration.contains("values ('ping-url')") && migration.contains("values ('archive-user')"),
        "it has their rows"
    );
    for (name, reason) in
        [("ping-url", "is there already"), ("Ping URL", "is named in words like ping-url"), ("", "is named")]
    {
        let (made, said) = make(name);
        assert!(!made && said.contains(reason), "{name}: {said}");
    }
}

#[test]
fn contributing_shows_the_same() {
    let guide = std::fs::read_to_string(checkout().join("CONTRIBUTING.md")).expect("CONTRIBUTING.md");
    let handler = include_str!("../src/new_job_type/handler.rs.txt");
    let run = &handler[handler.find("fields! {").expect("its run")..];
    for line in run.lines().filter(|line| !line.is_empty()) {
        assert!(guide.contains(line.trim()), "CONTRIBUTING.md lacks {line}");
    }
}
