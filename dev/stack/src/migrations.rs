//! Applies migrations/*.sql as `supabase db push` does.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use tokio_postgres::Client;

/// One file of migrations/.
pub struct Migration {
    /// `20260101000000_name`
    pub name: String,
    pub sql: String,
}

impl Migration {
    /// All files of migrations/, in order.
    pub fn all() -> Result<Vec<Migration>> {
        let mut paths: Vec<PathBuf> = fs::read_dir(crate::repository().join("migrations"))?
            .map(|entry| Ok(entry?.path()))
            .collect::<Result<_>>()?;
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "sql"));
        paths.sort();
        paths
            .into_iter()
            .map(|path| {
                let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                let sql = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
                Ok(Migration { name, sql })
            })
            .collect()
    }
}

/// Applies every migration in a transaction of its own. Stops at the first that fails and names it.
pub async fn migrate(client: &mut Client) -> Result<()> {
    for migration in Migration::all()? {
        let transaction = client.transaction().await?;
        transaction.batch_execute(&migration.sql).await.map_err(|error| describe(&migration, &error))?;
        transaction.commit().await?;
    }
    Ok(())
}

/// tokio-postgres's own message is only "db error"; the database's message names the cause and the place.
fn describe(migration: &Migration, error: &tokio_postgres::Error) -> anyhow::Error {
    let Some(error) = error.as_db_error() else {
        return anyhow::anyhow!("migration {}: {error}", migration.name);
    };
    let line = match error.position() {
        Some(tokio_postgres::error::ErrorPosition::Original(position)) => {
            let before: String = migration.sql.chars().take(*position as usize).collect();
            format!(" in line {}", before.lines().count())
        }
        _ => String::new(),
    };
    anyhow::anyhow!("migration {}{line}: {error}", migration.name)
}
