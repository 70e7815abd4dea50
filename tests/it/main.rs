//! What the worker says and hears, tested natively: no network, no sleeping, no chance.

mod inputs;
mod script;
mod states;

use std::collections::BTreeSet;
use std::path::Path;

/// Runs every script in `tests/conversations` and tells of all that fail.
#[test]
fn conversations_go_as_written() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conversations");
    let mut paths: Vec<_> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let failed: Vec<_> = paths.iter().filter(|path| std::panic::catch_unwind(|| script::run(path)).is_err()).collect();
    assert!(paths.len() > 40, "only {} conversations were found", paths.len());
    assert!(failed.is_empty(), "of {} conversations these failed (see above): {failed:#?}", paths.len());

    // What the database's own test holds against the functions that there are.
    let words = |(function, arguments): (String, BTreeSet<String>)| {
        std::iter::once(function).chain(arguments).collect::<Vec<_>>().join(" ") + "\n"
    };
    let calls: String = script::calls().into_iter().map(words).collect();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/calls.txt");
    if std::env::var_os("WRITE_DOCS").is_some() {
        std::fs::write(&path, &calls).unwrap();
    }
    assert_eq!(
        calls,
        std::fs::read_to_string(path).unwrap(),
        "what is called has changed; run: WRITE_DOCS=1 cargo test"
    );
}

/// Where Replicate lists more than a lost create can be looked for in, the job fails instead of paying on a guess.
#[test]
fn a_list_without_end_ends_in_a_failure() {
    let page = "> GET replicate:/predictions?cursor=2\n\
                < 200 {\"next\":\"https://api.replicate.com/v1/predictions?cursor=2\",\"results\":[]}\n";
    let text = include_str!("list_without_end.txt").replace("99 PAGES\n", &page.repeat(99));
    script::run_text(&text);
}
