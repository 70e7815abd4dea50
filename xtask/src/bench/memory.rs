//! Memory that streaming a picture takes.

use anyhow::Result;

pub fn bench() -> Result<()> {
    anyhow::bail!("not yet")
}
