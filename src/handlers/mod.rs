//! The job types. A new one needs a file here with its `HANDLER`, a line in [`ALL`], and a row in the table
//! `job_types`: `cargo xtask new-job-type`.

pub(crate) mod call_function;
pub(crate) mod deliver_webhook;
pub(crate) mod images;

use crate::job::Handler;

pub const ALL: &[Handler] = &[
    call_function::HANDLER,
    deliver_webhook::HANDLER,
    images::download::HANDLER,
    images::generate::HANDLER,
    images::watch::HANDLER,
];

#[cfg(test)]
mod tests {
    use super::ALL;
    use crate::job::CALL_FUNCTION;
    use std::{env, fs, path::Path};

    /// Generates callers' types from the fields.
    #[test]
    fn payload_types() {
        let interface = |job_type: &str| {
            let words = job_type.split('-').map(|word| word[..1].to_uppercase() + &word[1..]);
            words.collect::<String>()
        };
        let typed = || ALL.iter().filter(|handler| handler.job_type != CALL_FUNCTION);
        let mut page = "// Made of src/handlers: WRITE_DOCS=1 cargo test payload_types\n".to_owned();
        for handler in typed() {
            let (name, job_type) = (interface(handler.job_type), handler.job_type);
            page += &format!(
                "\n/** The payload of a `{job_type}` job. */\nexport interface {name} {{\n{}}}\n",
                (handler.payload)()
            );
        }
        page += "\n/** By job type. */\nexport interface JobTypes {\n";
        for handler in typed() {
            page += &format!("  \"{}\": {};\n", handler.job_type, interface(handler.job_type));
        }
        page += "}\n";
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("npm/payloads.d.ts");
        if env::var_os("WRITE_DOCS").is_some() {
            fs::write(&path, &page).unwrap();
        }
        assert!(
            fs::read_to_string(path).unwrap() == page,
            "npm/payloads.d.ts is out of date; run: WRITE_DOCS=1 cargo test payload_types"
        );
    }
}
